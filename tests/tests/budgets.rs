//! Caps that hold, seen from outside: real relays, real sockets, both databases.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::{BudgetScope, ClientMessage, RelayMessage, Role};
use relay::records::store::{AlertFilter, SqlStore, Store};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tests::http::metric_until;
use tests::ports::free_address;
use tests::postgres::shared;
use tests::{Heard, Raw, Relay, chunk, hello, token_but};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

/// A chunk of 100 ms costs this much: 0.0048 dollars a minute.
const CHUNK_COST: u64 = 8_000;

/// How a call went.
#[derive(Debug, Default)]
struct Went {
    session_id: Option<String>,
    budgets: Vec<(BudgetScope, u32)>,
    /// Of the session's budget: the threshold, and what was spent by then.
    spent: Vec<(u32, u64)>,
    words: Vec<String>,
    /// How often it was told, but for the last word.
    usages: usize,
    told_cost: u64,
    code: u16,
    errors: Vec<(String, Option<u64>)>,
}

/// Says so many chunks, as fast as the relay's burst allows, and hangs up.
async fn call(relay: &Relay, sub: &str, chunks: u32) -> Went {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let token = token_but(&json!({ "sub": sub, "app_metadata": { "account": "acme" } }));
    raw.say(&ClientMessage::from(hello(&token, None)).to_json()).await;
    let mut went = Went::default();
    let mut sent = false;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(welcome)) => went.session_id = Some(welcome.session_id),
            Heard::Said(RelayMessage::Budget(budget)) => {
                went.budgets.push((budget.scope, budget.percent));
                if budget.scope == BudgetScope::Session {
                    went.spent.push((budget.percent, budget.spent_nano_usd));
                }
            }
            Heard::Said(RelayMessage::Transcript(turn)) if turn.role == Role::Agent => {
                went.words.push(turn.text);
            }
            Heard::Said(RelayMessage::Usage(usage)) => {
                went.usages += 1;
                went.told_cost = usage.cost_nano_usd;
            }
            Heard::Said(RelayMessage::Ended(ended)) => went.told_cost = ended.usage.cost_nano_usd,
            Heard::Said(RelayMessage::ErrorMessage(error)) => went.errors.push((error.code, error.limit)),
            Heard::Closed(code) => {
                went.code = code;
                return went;
            }
            _ => {}
        }
        if went.session_id.is_some() && !sent {
            sent = true;
            for seq in 0..chunks {
                raw.send(Message::binary(chunk(seq))).await;
                if seq % 20 == 0 {
                    sleep(Duration::from_millis(20)).await;
                }
            }
            raw.say(&ClientMessage::from(protocol::Bye { end: chunks }).to_json()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_reaches_its_cap_is_told_so_in_words_and_ends_without_a_cent_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // 12.5 s and half a chunk.
    let metrics = free_address();
    let config = format!("[limits]\nsession_usd = \"0.001004\"\n[metrics]\nlisten = \"{metrics}\"\n");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &config).await;
    let begin = std::time::Instant::now();
    let went = call(&relay, "ada", 200).await;
    assert_eq!(went.code, 4402, "{went:?}");
    assert_eq!(went.told_cost, 125 * CHUNK_COST, "all that fits, and nothing more");
    let last = went.budgets.last();
    assert_eq!(last, Some(&(BudgetScope::Session, 100)), "{went:?}");
    assert!(went.words.last().is_some_and(|words| words.contains("budget")), "{went:?}");
    let seconds = begin.elapsed().as_secs() as usize;
    assert!(went.usages <= seconds + 1, "told once a second at most: {went:?} in {seconds} s");

    let store =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let id = went.session_id.expect("it began");
    let session = store.session(&id).await.expect("readable").expect("stored");
    assert_eq!((session.cost.get(), session.authorised.get()), (125 * CHUNK_COST, 125 * CHUNK_COST));
    assert_eq!(session.end_reason.as_deref(), Some("budget"));
    let ledger = store.ledger(&id).await.expect("readable");
    assert_eq!(ledger.iter().map(|row| row.cost.get()).sum::<u64>(), 125 * CHUNK_COST);

    let told: Vec<u32> = went.budgets.iter().map(|(_, percent)| *percent).collect();
    assert!(told.is_sorted() && told.ends_with(&[80, 100]), "{told:?}");
    let mut alerts = store.list_alerts(&AlertFilter::default(), None, 10).await.expect("readable").rows;
    alerts.reverse();
    let alerted: Vec<(u32, u64)> = alerts
        .iter()
        .filter_map(|row| row.alert.budget())
        .map(|alert| (alert.percent, alert.spent.get()))
        .collect();
    assert_eq!(alerted, went.spent, "the operator hears the sums that the page heard, in their order");
    assert_eq!(alerted.iter().map(|(percent, _)| *percent).collect::<Vec<_>>(), [50, 80, 100]);
    assert_eq!(alerted[2].1, 125 * CHUNK_COST, "all that was spent, not what was known before");
    for percent in [50, 80, 100] {
        let series = format!("voxrelay_budget_alerts_total{{scope=\"session\",percent=\"{percent}\"}}");
        metric_until(metrics, &series, |count| count == 1.0).await;
    }

    let token = token_but(&json!({ "app_metadata": { "limits": { "session_usd": "0.00001" } } }));
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(&token, None)).to_json()).await;
    assert_eq!(raw.end().await, (vec!["budget".into()], 4402), "not even a second is paid for");
}

/// What stands in for Sentry, and what it was posted.
async fn sentry() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dsn = format!("http://public@{}/7", listener.local_addr().expect("bound"));
    let envelopes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&envelopes);
    let take = move |body: String| {
        told.lock().expect("nobody panics").push(body);
        std::future::ready("{}")
    };
    let routes = axum::Router::new().route("/api/7/envelope/", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (dsn, envelopes)
}

#[tokio::test(flavor = "multi_thread")]
async fn sentry_hears_of_each_threshold_and_not_whose_budget_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dsn, envelopes) = sentry().await;
    let config = format!("[limits]\nsession_usd = \"0.001004\"\n[sentry]\ndsn = {dsn:?}\n");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &config).await;
    let went = call(&relay, "lovelace", 200).await;
    assert_eq!(went.code, 4402, "{went:?}");
    relay.terminate().await;
    let told = envelopes.lock().expect("nobody panics").join("\n");
    for percent in [50, 80, 100] {
        assert!(told.contains(&format!("{percent} % of a budget of a session")), "{told}");
    }
    let session = went.session_id.expect("it began");
    for secret in ["lovelace", "acme", "server_name", &*session] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_spent_refuses_the_next_call_and_says_when_to_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[limits]\nuser_day_usd = \"0.0008\"\n").await;
    let went = call(&relay, "ada", 200).await;
    assert_eq!((went.code, went.told_cost), (4402, 100 * CHUNK_COST), "{went:?}");
    assert!(went.budgets.contains(&(BudgetScope::User, 100)), "{went:?}");
    let next = call(&relay, "ada", 1).await;
    assert_eq!((next.code, next.errors), (4402, vec![("user_budget".into(), Some(800_000))]));
    assert_eq!(call(&relay, "bob", 1).await.code, 1000, "others have a day of their own");
}

#[tokio::test]
async fn a_call_close_to_a_cap_leaves_room_for_others() {
    let folder = tempfile::tempdir().expect("a folder");
    // 20 s: less than one call alone would like to have set aside.
    let limits = "[limits]\nuser_day_usd = \"0.0016\"\nsessions_per_user = 5\n";
    let relay = Relay::start(folder.path(), "127.0.0.1:0", limits).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(Raw::welcomed(&relay, "ada").await);
    }
    assert_eq!(open.len(), 5, "each was welcomed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_on_one_server_never_overshoot_and_spend_it_all() {
    let database = shared().database().await;
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    // 100 s and half a chunk, for calls that want 240 s.
    let limits = "[limits]\naccount_month_usd = \"0.008004\"\n";
    let relays = [
        Relay::start_on(&database, here.path(), limits).await,
        Relay::start_on(&database, there.path(), limits).await,
    ];
    let calls = (0..12).map(|n: usize| {
        let relay = &relays[n % 2];
        async move {
            let user = format!("user {n}");
            loop {
                let went = call(relay, &user, 200).await;
                // What others have only set aside is there again in a moment.
                if went.code != 4429 {
                    break went;
                }
                assert_eq!(went.errors[0].0, "account_budget", "{went:?}");
                sleep(Duration::from_millis(300)).await;
            }
        }
    });
    let went = futures_util::future::join_all(calls).await;
    let told: u64 = went.iter().map(|went| went.told_cost).sum();
    assert!(told <= BUDGET, "{told}");
    assert!(BUDGET - told < CHUNK_COST, "a chunk would still have been paid for: {told}");
    assert!(went.iter().any(|went| went.code == 4402));
    let mut connection = AnyConnection::connect(database.expose()).await.expect("it runs");
    let stored: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT CAST((SELECT SUM(cost_nano_usd) FROM voxrelay.ledger) AS BIGINT),
            CAST((SELECT SUM(cost_nano_usd) FROM voxrelay.sessions) AS BIGINT),
            (SELECT spent_nano_usd FROM voxrelay.budgets WHERE scope = 'account'),
            (SELECT reserved_nano_usd FROM voxrelay.budgets WHERE scope = 'account')",
    )
    .fetch_one(&mut connection)
    .await
    .expect("read");
    let told = told as i64;
    assert_eq!(stored, (told, told, told, 0), "ledger, sessions, budget, and what is still set aside");
    let alerts: Vec<i64> =
        sqlx::query_scalar("SELECT percent FROM voxrelay.alerts WHERE scope = 'account' ORDER BY percent")
            .fetch_all(&mut connection)
            .await
            .expect("read");
    assert_eq!(alerts, [50, 80, 100], "once each, whichever relay it was");
}

const BUDGET: u64 = 1_000 * CHUNK_COST + CHUNK_COST / 2;
