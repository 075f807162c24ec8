//! Lists, a page at a time.

use std::time::Duration;

use protocol::{Mark, Role};
use relay::records::store::{
    AlertFilter, Cursor, NewSession, Quality, SessionFilter, SessionState, Store, StoreError, Transcript,
    UsageBy, UsageFilter, UsageRow, unix_ms,
};
use sqlx::AnyConnection;

use super::{Bench, WIDE, caps, on_both_databases, open, quota, row, session, settle, turn};

on_both_databases! {
    pages_visit_each_session_once_while_new_ones_come
    each_filter_shows_what_it_says_and_nothing_else
    a_live_session_is_listed_with_its_lease_until_it_ends
    a_conversation_reads_as_one_across_its_sessions_and_shows_nobody_elses
    usage_is_added_up_by_day_for_users_and_for_accounts
    alerts_are_listed_newest_first_with_whom_they_concern
}

/// 2026-03-01, midnight.
const MIDNIGHT: i64 = 1_772_323_200_000;
const DAY: i64 = 86_400_000;

fn at(id: &str, started_at_ms: i64) -> NewSession {
    NewSession { started_at_ms, ..session(id) }
}

async fn ids(store: &dyn Store, filter: &SessionFilter) -> Vec<String> {
    let page = store.list_sessions(filter, None, 100).await.expect("read");
    assert_eq!(page.next, None);
    page.rows.into_iter().map(|row| row.id).collect()
}

async fn pages_visit_each_session_once_while_new_ones_come(bench: Bench) {
    let store = &*bench.store;
    // Some begin in the same millisecond.
    for number in 0..23 {
        open(store, &at(&format!("s{number:02}"), MIDNIGHT + i64::from(number / 3)), &quota()).await;
    }
    let mut seen = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.list_sessions(&SessionFilter::default(), after.as_ref(), 4).await.expect("read");
        assert!(page.rows.len() <= 4);
        seen.extend(page.rows.into_iter().map(|row| row.id));
        open(store, &at(&format!("new{}", seen.len()), MIDNIGHT + 1_000), &quota()).await;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut expected: Vec<String> = (0..23).map(|number| format!("s{number:02}")).collect();
    expected.reverse();
    assert_eq!(seen, expected);
}

async fn each_filter_shows_what_it_says_and_nothing_else(bench: Bench) {
    let store = &*bench.store;
    for (id, user, account, started) in [
        ("a", "ada", "acme", MIDNIGHT),
        ("b", "bob", "acme", MIDNIGHT + 1),
        ("c", "ada", "initech", MIDNIGHT + 2),
        ("d", "'; --", "ac%", MIDNIGHT + 3),
    ] {
        let session = NewSession { user_sub: user.into(), account: account.into(), ..at(id, started) };
        open(store, &session, &quota()).await;
    }
    store.end_session("b", 0, "normal", Quality::default(), MIDNIGHT + 9).await.expect("ended");
    let text = |text: &str| Some(text.to_owned());
    let all = SessionFilter::default();
    for (filter, expected) in [
        (all.clone(), &["d", "c", "b", "a"][..]),
        (SessionFilter { user_sub: text("ada"), ..all.clone() }, &["c", "a"]),
        (SessionFilter { account: text("acme"), ..all.clone() }, &["b", "a"]),
        (SessionFilter { user_sub: text("ada"), account: text("acme"), ..all.clone() }, &["a"]),
        (SessionFilter { user_sub: text("'; --"), ..all.clone() }, &["d"]),
        (SessionFilter { account: text("a%"), ..all.clone() }, &[]),
        (SessionFilter { state: Some(SessionState::Ended), ..all.clone() }, &["b"]),
        (SessionFilter { state: Some(SessionState::Live), ..all.clone() }, &["d", "c", "a"]),
        (SessionFilter { conversation_id: text("c"), ..all.clone() }, &["c"]),
        (SessionFilter { from_ms: Some(MIDNIGHT + 1), ..all.clone() }, &["d", "c", "b"]),
        (SessionFilter { to_ms: Some(MIDNIGHT + 1), ..all.clone() }, &["a"]),
        (
            SessionFilter { from_ms: Some(i64::MIN), to_ms: Some(i64::MAX), ..all.clone() },
            &["d", "c", "b", "a"],
        ),
        (SessionFilter { from_ms: Some(i64::MAX), to_ms: Some(i64::MIN), ..all.clone() }, &[]),
    ] {
        assert_eq!(ids(store, &filter).await, expected, "{filter:?}");
    }
}

async fn a_live_session_is_listed_with_its_lease_until_it_ends(bench: Bench) {
    let store = &*bench.store;
    open(store, &at("a", MIDNIGHT), &quota()).await;
    open(store, &at("b", MIDNIGHT + 1), &quota()).await;
    store.set_attached("a", 0, false).await.expect("noted");
    let page = store.live_sessions(None, 1).await.expect("read");
    assert_eq!((page.rows[0].session.id.as_str(), page.rows[0].detached_at_ms), ("b", None));
    let page = store.live_sessions(page.next.as_ref(), 1).await.expect("read");
    let row = &page.rows[0];
    assert!(row.session.id == "a" && row.detached_at_ms.is_some_and(|at| at < row.lease_until_ms), "{row:?}");
    assert_eq!(page.next, None);
    for id in ["a", "b"] {
        store.end_session(id, 0, "normal", Quality::default(), MIDNIGHT + 9).await.expect("ended");
    }
    assert_eq!(store.live_sessions(None, 100).await.expect("read").rows, []);
}

async fn a_conversation_reads_as_one_across_its_sessions_and_shows_nobody_elses(bench: Bench) {
    let store = &*bench.store;
    open(store, &at("first", MIDNIGHT + 50), &quota()).await;
    let second = NewSession { conversation_id: "first".into(), ..at("a-second", MIDNIGHT + 100) };
    open(store, &second, &quota()).await;
    for (id, words) in [("a-second", ["four", "five"]), ("first", ["one", "two"])] {
        let turns = [turn(0, Role::User, words[0]), turn(1, Role::Agent, words[1])];
        store.save_turns(id, 0, &turns, Mark::default(), 0).await.expect("written");
    }
    store.save_turns("first", 0, &[turn(2, Role::User, "three")], Mark::default(), 0).await.expect("written");

    let mut said = Vec::new();
    let mut after = None;
    loop {
        let of = Transcript::Conversation { id: "first", user_sub: "ada" };
        let page = store.transcript(of, after.as_ref(), 2).await.expect("read");
        said.extend(page.rows.into_iter().map(|said| (said.session_id, said.row.turn.text)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let expected =
        [("first", "one"), ("first", "two"), ("first", "three"), ("a-second", "four"), ("a-second", "five")];
    assert_eq!(said, expected.map(|(id, text)| (id.to_owned(), text.to_owned())));

    let bobs = Transcript::Conversation { id: "first", user_sub: "bob" };
    assert_eq!(store.transcript(bobs, None, 100).await.expect("read").rows, []);
    let one = store.transcript(Transcript::Session("a-second"), None, 100).await.expect("read");
    assert_eq!(one.rows.len(), 2);
    assert_eq!(one.rows[0].row, store.turns("a-second").await.expect("read")[0]);
}

async fn usage_is_added_up_by_day_for_users_and_for_accounts(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    for (id, user, account) in [("a", "ada", "acme"), ("b", "bob", "acme"), ("c", "ada", "initech")] {
        let session = NewSession { user_sub: user.into(), account: account.into(), ..session(id) };
        open(store, &session, &quota()).await;
    }
    for (id, key, at_ms, quantity, cost) in [
        ("a", "1", MIDNIGHT - 1, 1, 10),
        ("a", "2", MIDNIGHT, 2, 20),
        ("a", "3", MIDNIGHT + DAY - 1, 3, 30),
        ("b", "1", MIDNIGHT + 5, 4, 40),
        ("c", "1", MIDNIGHT + 5, 5, 50),
        ("a", "4", MIDNIGHT + DAY, 6, 60),
    ] {
        let settled =
            relay::records::store::Settle { at_ms, ..settle(id, vec![row(key, quantity, cost)], wide) };
        store.settle(&settled).await.expect("written");
    }
    let used = |day: &str, account: &str, user: Option<&str>, quantity, cost| UsageRow {
        day: day.into(),
        account: account.into(),
        user_sub: user.map(str::to_owned),
        item: "echo/listening".into(),
        unit: "sample".into(),
        quantity,
        cost_nano_usd: cost,
    };
    let day = UsageFilter {
        user_sub: None,
        account: None,
        from_ms: MIDNIGHT,
        to_ms: MIDNIGHT + DAY,
        by: UsageBy::User,
    };
    let rows = store.usage(&day, None, 100).await.expect("read").rows;
    let expected = [
        used("2026-03-01", "acme", Some("ada"), 5, 50),
        used("2026-03-01", "acme", Some("bob"), 4, 40),
        used("2026-03-01", "initech", Some("ada"), 5, 50),
    ];
    assert_eq!(rows, expected);
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = store.usage(&day, after.as_ref(), 1).await.expect("read");
        paged.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(paged, expected);

    let by_account = UsageFilter { by: UsageBy::Account, ..day.clone() };
    let whole = [used("2026-03-01", "acme", None, 9, 90), used("2026-03-01", "initech", None, 5, 50)];
    assert_eq!(store.usage(&by_account, None, 100).await.expect("read").rows, whole);
    let all = UsageFilter { from_ms: MIDNIGHT - DAY, to_ms: MIDNIGHT + 2 * DAY, ..by_account.clone() };
    let days: Vec<_> =
        store.usage(&all, None, 100).await.expect("read").rows.into_iter().map(|row| row.day).collect();
    assert_eq!(days, ["2026-02-28", "2026-03-01", "2026-03-01", "2026-03-02"]);
    let hers = UsageFilter { user_sub: Some("ada".into()), account: Some("acme".into()), ..day.clone() };
    assert_eq!(store.usage(&hers, None, 100).await.expect("read").rows, expected[..1]);

    // Erased, it belongs to nobody, and is still on the account's bill.
    store.delete_session("a", None).await.expect("erased");
    assert_eq!(store.usage(&by_account, None, 100).await.expect("read").rows, whole);
    assert_eq!(store.usage(&day, None, 100).await.expect("read").rows, expected[1..]);
    assert_eq!(store.usage(&hers, None, 100).await.expect("read").rows, []);
    let sum: i64 =
        store.usage(&all, None, 100).await.expect("read").rows.iter().map(|row| row.cost_nano_usd).sum();
    assert_eq!(sum, 210);
}

async fn alerts_are_listed_newest_first_with_whom_they_concern(bench: Bench) {
    let store = &*bench.store;
    for (id, user) in [("a", "ada"), ("b", "bob")] {
        open(store, &NewSession { user_sub: user.into(), ..session(id) }, &quota()).await;
        let narrow = caps(100, WIDE, WIDE);
        store.settle(&settle(id, vec![row("1", 1, 80)], narrow)).await.expect("written");
    }
    let page = store.list_alerts(&AlertFilter::default(), None, 3).await.expect("read");
    let rest = store.list_alerts(&AlertFilter::default(), page.next.as_ref(), 3).await.expect("read");
    let all: Vec<_> = page.rows.iter().chain(&rest.rows).map(|row| row.alert.clone()).collect();
    assert_eq!(all.len(), 4, "50 and 80 percent of each: {all:?}");
    assert!(all.windows(2).all(|pair| pair[0].created_at_ms() >= pair[1].created_at_ms()));
    assert_eq!(rest.next, None);
    let of_bob = AlertFilter { user_sub: Some("bob".into()), account: Some("acme".into()) };
    let rows = store.list_alerts(&of_bob, None, 100).await.expect("read").rows;
    assert!(
        rows.len() == 2
            && rows.iter().all(|row| row.alert.budget().is_some_and(|alert| alert.session_id == "b")),
        "{rows:?}"
    );
    let nobody = AlertFilter { account: Some("initech".into()), ..AlertFilter::default() };
    assert_eq!(store.list_alerts(&nobody, None, 100).await.expect("read").rows, []);
}

/// Has the server give up whatever waits for a lock, as it does with what takes too long.
async fn give_up_what_waits(operator: &mut AnyConnection) {
    let sql = "SELECT COUNT(*) FROM (SELECT pg_cancel_backend(pid) AS is_told FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock') AS told WHERE is_told";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *operator).await.expect("read") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_the_server_gives_up_is_too_long_and_what_a_call_waits_for_makes_the_database_away() {
    let bench = Bench::postgres().await;
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let (mut holder, mut operator) = (bench.connect().await, bench.connect().await);
    let hold = "BEGIN; LOCK TABLE ledger, turns IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("locked");
    let by = UsageBy::Account;
    let filter = UsageFilter { user_sub: None, account: None, from_ms: 0, to_ms: unix_ms(), by };
    let (list, ()) = tokio::join!(store.usage(&filter, None, 10), give_up_what_waits(&mut operator));
    let error = list.expect_err("it was given up");
    assert!(matches!(error, StoreError::ListTooLong) && !error.is_away(), "{error:?}");
    let (said, ()) =
        tokio::join!(store.newest_turns("a", "ada", "acme", 10), give_up_what_waits(&mut operator));
    assert!(said.expect_err("it was given up").is_away(), "an agent has to know them");
    let spent = settle("a", vec![row("1", 1, 1)], caps(WIDE, WIDE, WIDE));
    let (paid, ()) = tokio::join!(store.settle(&spent), give_up_what_waits(&mut operator));
    assert!(paid.expect_err("it was given up").is_away(), "what is owed waits");
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("let go");
    store.settle(&spent).await.expect("written");
}
