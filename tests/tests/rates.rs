//! Rates that hold over all relays: two real ones on one database, and whoever goes from one to the other.

use protocol::{Bye, ClientMessage, ErrorCode, ErrorMessage, RelayMessage};
use relay::records::store::unix_ms;
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tests::postgres::shared;
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::time::{Duration, Instant, sleep};

/// Sessions a minute.
const LIMIT: usize = 5;
/// How much of a minute each of them takes.
const EACH: Duration = Duration::from_secs(12);
/// How many are tried.
const TRIES: usize = 10;

/// Begins a call and hangs up, or says why there is none.
async fn call(relay: &Relay, sub: &str) -> Result<(), ErrorMessage> {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&token_but(&json!({ "sub": sub })), None)).to_json()).await;
    let mut told = None;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(_)) => {
                raw.say(&ClientMessage::from(Bye { end: 0 }).to_json()).await;
                assert_eq!(raw.end().await, (Vec::new(), 1000));
                return Ok(());
            }
            Heard::Said(RelayMessage::ErrorMessage(error)) => told = Some(error),
            Heard::Closed(code) => {
                assert_eq!(code, 4429);
                return Err(told.expect("it says why"));
            }
            _ => {}
        }
    }
}

fn wait_of(told: &ErrorMessage) -> Duration {
    Duration::from_millis(told.retry_after_ms.expect("it says when to come back"))
}

/// Tries a call at one relay and at the other by turns, as `user` says who, and comes back when it is told to.
async fn by_turns(limits: &str, code: ErrorCode, user: impl Fn(usize) -> String) {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let relays = [
        Relay::start_on(&database, folders[0].path(), limits).await,
        Relay::start_on(&database, folders[1].path(), limits).await,
    ];
    let begin = Instant::now();
    let (mut both_asked, mut wait) = (begin, Duration::ZERO);
    for nth in 0..TRIES {
        let asked = Instant::now();
        let went = call(&relays[nth % 2], &user(nth)).await;
        if nth < LIMIT {
            assert_eq!(went, Ok(()), "call {nth}");
            if nth < relays.len() {
                both_asked = Instant::now();
            }
            continue;
        }
        let told = went.expect_err("as many as may have begun");
        let limit = LIMIT as u64;
        assert_eq!((&*told.code, told.limit, told.asked), (code.name(), Some(limit), Some(limit + 1)));
        // The part of a minute that the first call took is there again so long after it, for either relay after it was first asked.
        wait = wait_of(&told);
        let tick = Duration::from_millis(2);
        let earliest = EACH.saturating_sub(begin.elapsed() + tick);
        let latest = EACH.saturating_sub(asked - both_asked) + tick;
        assert!((earliest..=latest).contains(&wait), "{wait:?}: {earliest:?} to {latest:?}");
    }
    // Although the relay that was asked last has counted the tries that were refused.
    sleep(wait).await;
    assert_eq!(call(&relays[(TRIES - 1) % 2], &user(TRIES)).await, Ok(()), "it is as that relay said");
    for relay in relays {
        relay.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_user_in_a_minute_are_counted_over_two_relays() {
    let limits = format!("[limits]\nsessions_per_minute = {LIMIT}\n");
    by_turns(&limits, ErrorCode::SessionRate, |_| "ada".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_an_address_in_a_minute_are_counted_over_two_relays() {
    let limits = format!("[network]\nsessions_per_minute_per_address = {LIMIT}\n");
    by_turns(&limits, ErrorCode::AddressRate, |nth| format!("user {nth}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_begin_in_a_moment_waits_for_it_and_any_other_is_sent_away() {
    let database = shared().database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start_on(&database, folder.path(), "[limits]\nsessions_per_minute = 10\n").await;
    assert_eq!(call(&relay, "ada").await, Ok(()));
    let mut connection = AnyConnection::connect(database.expose()).await.expect("it runs");
    // The next one takes 6 s of the minute, as if calls at another relay had left none of it for so long.
    let mut leave_none_for = async |ms: i64| {
        let whole_us = (unix_ms() + ms + 54_000) * 1_000;
        let set = sqlx::query("UPDATE voxrelay.rates SET tat_us = $1").bind(whole_us);
        set.execute(&mut connection).await.expect("written");
    };
    leave_none_for(5_000).await;
    let wait = wait_of(&call(&relay, "ada").await.expect_err("it is too early"));
    assert!((3_000..=5_002).contains(&wait.as_millis()), "{wait:?}");
    leave_none_for(400).await;
    let begin = Instant::now();
    assert_eq!(call(&relay, "ada").await, Ok(()));
    assert!(begin.elapsed() >= Duration::from_millis(200), "{:?}", begin.elapsed());
    relay.terminate().await;
}
