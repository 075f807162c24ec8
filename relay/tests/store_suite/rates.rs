//! Sessions that begin in a minute: exact over several relays, by user and by address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ErrorCode;
use relay::admission::throttle::Excess;
use relay::records::store::{Expiring, NewSession, Opened, Quota, Store, unix_ms};
use tokio::time::sleep;

use super::{Bench, on_both_databases, quota, session};

on_both_databases! {
    of_many_sessions_that_begin_at_once_on_two_relays_as_many_begin_as_the_limits_say
    a_refusal_says_to_the_millisecond_when_to_come_back
    a_session_that_is_refused_counts_for_nobody
    who_asks_whether_a_session_may_begin_takes_none
    a_clock_that_is_set_locks_nobody_out_for_longer_than_a_minute
    rates_go_when_they_are_whole_and_name_nobody
}

/// Sessions that begin at once.
const MANY: u32 = 40;
/// How many of them may.
const LIMIT: u32 = 5;
/// How much of a minute each of those takes.
const EACH: Duration = Duration::from_secs(12);
const HOUR_US: i64 = 3_600_000_000;

fn of(user: &str, id: &str) -> NewSession {
    NewSession { user_sub: user.into(), ..session(id) }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// So many sessions a minute for a user, and for an address.
fn per_minute(user: u32, address: u32) -> Quota {
    Quota { sessions_per_minute: user, sessions_per_minute_per_address: address, ..quota() }
}

/// Begins a session, asking again while the database is too busy to answer, as a client does.
async fn open(store: &dyn Store, session: &NewSession, quota: &Quota) -> Opened {
    loop {
        match store.open_session(session, quota).await {
            Err(error) if error.is_away() => sleep(Duration::from_millis(20)).await,
            opened => return opened.expect("answered"),
        }
    }
}

/// Why a session is one too many in a minute, or `None` if it begins.
async fn excess(store: &dyn Store, session: &NewSession, quota: &Quota) -> Option<Excess> {
    match open(store, session, quota).await {
        Opened::Yes { .. } => None,
        Opened::TooOften(excess) => Some(excess),
        refused => panic!("{refused:?}"),
    }
}

fn assert_is(excess: &Excess, code: ErrorCode, limit: u32) {
    let limit = u64::from(limit);
    assert_eq!((excess.code, excess.limit, excess.asked), (code, limit, limit + 1));
    assert!(excess.retry_after <= Duration::from_secs(60), "{excess:?}");
}

/// Moves all that is counted by so much, as if the database's clock had been set back by as much.
async fn set_clock_back(bench: &Bench, by_us: i64) {
    let moved = sqlx::query("UPDATE rates SET tat_us = tat_us + $1").bind(by_us);
    moved.execute(&mut bench.connect().await).await.expect("written");
}

async fn count(bench: &Bench, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut bench.connect().await).await.expect("read")
}

async fn of_many_sessions_that_begin_at_once_on_two_relays_as_many_begin_as_the_limits_say(bench: Bench) {
    let stores = [bench.store.clone(), bench.another().await];
    for (round, code) in [ErrorCode::SessionRate, ErrorCode::AddressRate].into_iter().enumerate() {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..MANY)
            .map(|n| {
                let store: Arc<dyn Store> = stores[n as usize % 2].clone();
                let (user, limits, from) = match code {
                    ErrorCode::SessionRate => ("ada".to_owned(), (LIMIT, u32::MAX), "192.0.2.1".to_owned()),
                    _ => (format!("user {n}"), (u32::MAX, LIMIT), format!("2001:db8:1:2::{n:x}")),
                };
                let new = of(&user, &format!("{round}-{n}"));
                let quota = Quota { address: address(&from), ..per_minute(limits.0, limits.1) };
                tokio::spawn(async move { excess(&*store, &new, &quota).await })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            match task.await.expect("no panic") {
                None => passed += 1,
                Some(excess) => {
                    assert_is(&excess, code, LIMIT);
                    assert!(excess.retry_after <= EACH, "{excess:?}");
                }
            }
        }
        // On a machine that took so long, another one may.
        let more = begun.elapsed().as_secs() / EACH.as_secs();
        let all = u64::from(LIMIT);
        assert!((all..=all + more).contains(&passed), "{code:?}: {passed} in {:?}", begun.elapsed());
    }
}

async fn a_refusal_says_to_the_millisecond_when_to_come_back(bench: Bench) {
    let store = &*bench.store;
    let limits = per_minute(2, u32::MAX);
    assert_eq!(excess(store, &of("ada", "a"), &limits).await, None);
    // The next one takes 30 s: it may begin when no more than that are missing of a whole minute.
    let may_begin_ms = unix_ms() + 1_000;
    let whole_us = (may_begin_ms + 30_000) * 1_000;
    let set = sqlx::query("UPDATE rates SET tat_us = $1").bind(whole_us);
    set.execute(&mut bench.connect().await).await.expect("written");
    let before_ms = unix_ms();
    let refused = excess(store, &of("ada", "b"), &limits).await.expect("it is too early");
    let after_ms = unix_ms();
    assert_is(&refused, ErrorCode::SessionRate, 2);
    let wait_ms = refused.retry_after_ms() as i64;
    // The database's clock may be the next millisecond already, or the one before still.
    let exact = may_begin_ms - after_ms - 1..=may_begin_ms - before_ms + 1;
    assert!(exact.contains(&wait_ms), "{wait_ms} ms, not {exact:?}");
    sleep(refused.retry_after + Duration::from_millis(2)).await;
    assert_eq!(excess(store, &of("ada", "b"), &limits).await, None);
    assert!(excess(store, &of("ada", "c"), &limits).await.is_some());
}

async fn a_session_that_is_refused_counts_for_nobody(bench: Bench) {
    let store = &*bench.store;
    let from = |text: &str| Quota { address: address(text), ..per_minute(1, 2) };
    let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
    assert_eq!(excess(store, &of("ada", "a"), &here).await, None);
    for place in [&here, &there] {
        for _ in 0..5 {
            let refused = excess(store, &of("ada", "refused"), place).await.expect("one a minute");
            assert_is(&refused, ErrorCode::SessionRate, 1);
        }
    }
    assert!(store.session("refused").await.expect("read").is_none());
    // Nor does one that is refused for another reason.
    let full = Quota { sessions_per_account: 1, ..here.clone() };
    for _ in 0..5 {
        let refused = open(store, &of("bob", "b"), &full).await;
        assert!(matches!(refused, Opened::AccountFull { live: 1 }), "{refused:?}");
    }
    assert_eq!(excess(store, &of("bob", "b"), &here).await, None);
    for _ in 0..5 {
        let refused = excess(store, &of("cyd", "c"), &here).await.expect("two a minute");
        assert_is(&refused, ErrorCode::AddressRate, 2);
    }
    assert_eq!(excess(store, &of("cyd", "c"), &there).await, None);
    assert_eq!(excess(store, &of("dan", "d"), &there).await, None);
    let refused = excess(store, &of("eve", "e"), &there).await.expect("two a minute");
    assert_is(&refused, ErrorCode::AddressRate, 2);
}

async fn who_asks_whether_a_session_may_begin_takes_none(bench: Bench) {
    let store = &*bench.store;
    let limits = per_minute(1, 1);
    let look = async |new: NewSession| store.may_open_session(&new, &limits).await.expect("answered");
    for _ in 0..5 {
        assert!(matches!(look(of("ada", "a")).await, Opened::Yes { .. }));
    }
    assert_eq!(count(&bench, "SELECT COUNT(*) FROM rates").await, 0);
    assert_eq!(excess(store, &of("ada", "a"), &limits).await, None);
    for (user, code) in [("ada", ErrorCode::SessionRate), ("bob", ErrorCode::AddressRate)] {
        let looked = look(of(user, "b")).await;
        assert!(matches!(&looked, Opened::TooOften(excess) if excess.code == code), "{looked:?}");
    }
}

async fn a_clock_that_is_set_locks_nobody_out_for_longer_than_a_minute(bench: Bench) {
    let store = &*bench.store;
    let limits = per_minute(1, u32::MAX);
    let mut begun = 0;
    let mut next = async || {
        begun += 1;
        excess(store, &of("ada", &format!("{begun}")), &limits).await
    };
    assert_eq!(next().await, None);
    for jump_us in [HOUR_US, -HOUR_US, 24 * HOUR_US] {
        let refused = next().await.expect("one a minute");
        assert_is(&refused, ErrorCode::SessionRate, 1);
        set_clock_back(&bench, jump_us).await;
        assert_eq!(next().await, None, "{jump_us}");
    }
    for back_s in [1, 20, 59] {
        set_clock_back(&bench, back_s * 1_000_000).await;
        if let Some(refused) = next().await {
            assert_is(&refused, ErrorCode::SessionRate, 1);
        }
    }
}

async fn rates_go_when_they_are_whole_and_name_nobody(bench: Bench) {
    let store = &*bench.store;
    let expire = async |limit: u32| store.expire(Expiring::Rates, limit).await.expect("deleted");
    let one = Quota { address: address("198.51.100.7"), ..per_minute(1, 1) };
    assert_eq!(excess(store, &of("user", "a"), &one).await, None);
    let wide = Quota { address: address("198.51.100.8"), ..quota() };
    for n in 0..4 {
        assert_eq!(excess(store, &of(&format!("user {n}"), &format!("{n}")), &wide).await, None);
    }
    assert_eq!(count(&bench, "SELECT COUNT(*) FROM rates").await, 2 + 4 + 1);
    let named =
        "SELECT COUNT(*) FROM rates WHERE length(key) <> 64 OR key LIKE '%user%' OR key LIKE '%198.51%'";
    assert_eq!(count(&bench, named).await, 0);
    // Of those with room for millions nothing is missing after a moment, and of the others most of a minute.
    sleep(Duration::from_millis(10)).await;
    for deleted in [3, 2, 0] {
        assert_eq!(expire(3).await, deleted);
    }
    let refused = excess(store, &of("user", "b"), &one).await.expect("it still counts");
    assert_is(&refused, ErrorCode::SessionRate, 1);
    // What a clock that was set back has left says nothing any more.
    set_clock_back(&bench, HOUR_US).await;
    assert_eq!(expire(10).await, 2);
    assert_eq!(excess(store, &of("user", "b"), &one).await, None);
}
