//! The outbox of alerts.

use std::collections::BTreeSet;
use std::time::Duration;

use relay::money::budget::{Balance, Scope};
use relay::money::ledger::LedgerRow;
use relay::records::store::{
    Alert, AlertFilter, Attempted, Claimed, DeliveryFilter, ExcessAlert, NewSession, Notice, Payer, Replayed,
    Settle, Store, StoreError, unix_ms,
};

use super::{Bench, caps, on_both_databases, open, quota, row, session, settle, usd};

on_both_databases! {
    an_alert_is_claimed_by_one_at_a_time_and_again_when_the_claim_is_over
    of_many_who_claim_at_once_each_alert_has_one
    a_delivered_alert_is_not_claimed_again
    an_alert_that_failed_waits_and_one_that_is_given_up_is_done
    what_was_claimed_again_is_not_put_off_by_the_first
    what_is_repeated_while_it_is_sent_is_sent_once_more
    without_a_webhook_alerts_are_let_go_after_a_while
    what_a_provider_reports_too_much_is_an_alert_once_an_hour_for_each_item
    an_alert_outlives_the_call_that_raised_it_and_does_not_name_it
    what_was_told_is_not_told_again_after_its_call_was_erased
    an_erased_user_is_named_by_no_alert
    a_user_whose_last_calls_are_erased_at_the_same_moment_is_named_by_no_alert
    what_is_written_late_for_an_erased_call_reaches_thresholds_as_ever_and_names_nobody_who_is_gone
}

const LONG: Duration = Duration::from_secs(60);

/// Three alerts for each session: its budget at 50, 80 and 100 percent.
async fn raise(store: &dyn Store, sessions: u32) {
    let caps = caps(100, super::WIDE, super::WIDE);
    for n in 0..sessions {
        let id = format!("s{n}");
        open(store, &session(&id), &quota()).await;
        let settled = store.settle(&settle(&id, vec![row("1", 1, 100)], caps)).await.expect("written");
        assert_eq!(settled.alerts.len(), 3);
    }
}

/// Of budgets.
async fn claim(store: &dyn Store, claim: Duration) -> Vec<Alert> {
    let claimed = store.claim_alerts(claim, 100).await.expect("claimed");
    let mut claimed: Vec<Alert> = claimed.iter().filter_map(|notice| notice.budget().cloned()).collect();
    claimed.sort_by(|a, b| a.id.cmp(&b.id));
    claimed
}

async fn finish(store: &dyn Store, alert: &Alert, attempted: Attempted) {
    let Alert { id, attempts, due_since_ms, .. } = alert;
    let claimed = Claimed { id, attempts: *attempts, due_since_ms: *due_since_ms };
    let answer = if attempted == Attempted::Delivered { "204" } else { "503" };
    store.finish_alert(claimed, attempted, answer).await.expect("written");
}

async fn an_alert_is_claimed_by_one_at_a_time_and_again_when_the_claim_is_over(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    raise(store, 1).await;
    let brief = Duration::from_millis(300);
    let first = claim(store, brief).await;
    assert_eq!(
        first.iter().map(|alert| (alert.percent, alert.attempts)).collect::<Vec<_>>(),
        [(50, 1), (80, 1), (100, 1)]
    );
    assert_eq!((first[0].session_id.as_str(), first[0].user_sub.as_str()), ("s0", "ada"));
    let mut second = claim(&*other, LONG).await;
    if second.is_empty() {
        tokio::time::sleep(brief * 2).await;
        second = claim(&*other, LONG).await;
    }
    assert_eq!(second.iter().map(|alert| alert.attempts).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(second[0].id, first[0].id, "an alert keeps its id");
    assert_eq!(claim(store, LONG).await, []);
}

async fn of_many_who_claim_at_once_each_alert_has_one(bench: Bench) {
    raise(&*bench.store, 40).await;
    let stores = [bench.store.clone(), bench.another().await];
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let claimed = store.claim_alerts(LONG, 7).await.expect("claimed");
                    if claimed.is_empty() {
                        return ids;
                    }
                    assert!(claimed.len() <= 7 && claimed.iter().all(|alert| alert.attempts() == 1));
                    ids.extend(claimed.into_iter().map(|alert| alert.id().to_owned()));
                }
            })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await.expect("no panic"));
    }
    // Somebody who finds all that is left locked leaves it to whoever has locked it.
    ids.extend(claim(&*bench.store, LONG).await.into_iter().map(|alert| alert.id));
    assert_eq!(ids.len(), 120);
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), 120);
}

async fn a_delivered_alert_is_not_claimed_again(bench: Bench) {
    let store = &*bench.store;
    raise(store, 1).await;
    for alert in claim(store, Duration::ZERO).await {
        finish(store, &alert, Attempted::Delivered).await;
        // From a relay that was slow: it is delivered.
        finish(store, &alert, Attempted::Again(Duration::ZERO)).await;
    }
    assert_eq!(claim(store, LONG).await, []);
    let mut connection = bench.connect().await;
    let delivered: (i64,) = sqlx::query_as("SELECT COUNT(delivered_at) FROM alerts")
        .fetch_one(&mut connection)
        .await
        .expect("read");
    assert_eq!(delivered.0, 3);
}

async fn an_alert_that_failed_waits_and_one_that_is_given_up_is_done(bench: Bench) {
    let store = &*bench.store;
    raise(store, 1).await;
    let claimed = claim(store, LONG).await;
    let attempted = [Attempted::Again(Duration::ZERO), Attempted::Again(LONG), Attempted::GivenUp];
    for (alert, attempted) in claimed.iter().zip(attempted) {
        finish(store, alert, attempted).await;
    }
    let again = claim(store, LONG).await;
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].id, again[0].attempts), (&claimed[0].id, 2));
}

async fn what_was_claimed_again_is_not_put_off_by_the_first(bench: Bench) {
    let store = &*bench.store;
    raise(store, 1).await;
    let first = claim(store, Duration::ZERO).await;
    let second = claim(store, LONG).await;
    assert_eq!(second.len(), 3);
    for alert in &first {
        finish(store, alert, Attempted::Again(Duration::ZERO)).await;
        finish(store, alert, Attempted::GivenUp).await;
    }
    assert_eq!(claim(store, LONG).await, []);
    for alert in &second {
        finish(store, alert, Attempted::Again(Duration::ZERO)).await;
    }
    assert_eq!(claim(store, LONG).await.len(), 3, "it was not given up either");
}

async fn what_is_repeated_while_it_is_sent_is_sent_once_more(bench: Bench) {
    let store = &*bench.store;
    raise(store, 1).await;
    let mut connection = bench.connect().await;
    // It was not raised in the millisecond in which it is repeated.
    let earlier = "UPDATE alerts SET created_at = created_at - 1000";
    sqlx::raw_sql(earlier).execute(&mut connection).await.expect("written");
    let first = claim(store, LONG).await;
    for alert in &first {
        assert_eq!(store.replay_delivery(&alert.id, "root").await.expect("written"), Replayed::Yes);
        finish(store, alert, Attempted::Delivered).await;
    }
    let second = claim(store, LONG).await;
    assert_eq!(second.iter().map(|alert| alert.attempts).collect::<Vec<_>>(), [1, 1, 1]);
    // What was sent before has the same number, and is another attempt.
    for alert in &first {
        finish(store, alert, Attempted::Again(Duration::ZERO)).await;
    }
    assert_eq!(claim(store, LONG).await, []);
    for (before, alert) in first.iter().zip(&second) {
        finish(store, before, Attempted::GivenUp).await;
        finish(store, before, Attempted::Delivered).await;
        finish(store, alert, Attempted::Again(Duration::ZERO)).await;
    }
    let third = claim(store, LONG).await;
    assert_eq!(third.iter().map(|alert| alert.attempts).collect::<Vec<_>>(), [2, 2, 2]);
}

async fn without_a_webhook_alerts_are_let_go_after_a_while(bench: Bench) {
    let store = &*bench.store;
    raise(store, 1).await;
    store.dismiss_alerts(LONG).await.expect("written");
    assert_eq!(claim(store, Duration::ZERO).await.len(), 3, "a relay that has one may take them");
    store.dismiss_alerts(Duration::ZERO).await.expect("written");
    assert_eq!(claim(store, LONG).await, []);
}

/// So many tokens, each of which costs the operator two nano-dollars.
fn excess(key: &str, item: &str, quantity: u64) -> LedgerRow {
    let unit = format!("{}output_token", LedgerRow::EXCESS);
    let (price, per) = (super::usd(2), 1);
    LedgerRow { item: item.into(), unit, price, per, ..row(key, quantity, 0) }
}

async fn what_a_provider_reports_too_much_is_an_alert_once_an_hour_for_each_item(bench: Bench) {
    const HOUR_MS: i64 = 3_600_000;
    let store = &*bench.store;
    let caps = caps(1_000, super::WIDE, super::WIDE);
    for id in ["a", "b"] {
        open(store, &session(id), &quota()).await;
    }
    let hour = settle("a", Vec::new(), caps).at_ms / HOUR_MS * HOUR_MS;
    let settle = |id: &str, rows: Vec<LedgerRow>, at_ms| Settle { at_ms, ..settle(id, rows, caps) };
    let rows = vec![excess("1", "x/model", 30), excess("2", "x/model", 5), excess("3", "x/voice", 1)];
    let first = settle("a", rows, hour);
    for _ in 0..2 {
        let settled = store.settle(&first).await.expect("written");
        assert_eq!((settled.alerts.len(), settled.cost.get()), (0, 0), "it costs the user nothing");
    }
    // Another call, within the same hour and after it; and a row that is as it should be.
    store.settle(&settle("b", vec![excess("1", "x/model", 9)], hour + HOUR_MS - 1)).await.expect("written");
    store.settle(&settle("b", vec![excess("2", "x/model", 7)], hour + HOUR_MS)).await.expect("written");
    store.settle(&settle("b", vec![row("3", 1, 1)], hour + HOUR_MS)).await.expect("written");
    let listed = store.list_alerts(&AlertFilter::default(), None, 10).await.expect("read").rows;
    let told: Vec<ExcessAlert> = listed
        .into_iter()
        .map(|row| match row.alert {
            Notice::Excess(alert) => alert,
            Notice::Budget(alert) => panic!("no budget was reached: {alert:?}"),
        })
        .collect();
    let mut brief: Vec<_> =
        told.iter().map(|alert| (&*alert.item, alert.excess.get(), &*alert.session_id)).collect();
    brief.sort_unstable();
    assert_eq!(brief, [("x/model", 14, "b"), ("x/model", 70, "a"), ("x/voice", 2, "a")]);
    assert!(told.iter().all(|alert| alert.account == "acme" && alert.hour.len() == "2026-11-22T19".len()));
    let of_ada = AlertFilter { user_sub: Some("ada".into()), ..AlertFilter::default() };
    assert_eq!(store.list_alerts(&of_ada, None, 10).await.expect("read").rows, [], "it concerns no user");
}

/// Each alert: what it is about, the call and the user that it names, and whether it waits for the webhook.
async fn named(bench: &Bench) -> Vec<String> {
    let sql = "SELECT scope || ' ' || percent || ' [' || session_id || '] [' || user_sub || ']'
            || CASE WHEN next_attempt_at IS NULL THEN '' ELSE ' waits' END
        FROM alerts WHERE percent IN (0, 100)";
    let mut named: Vec<String> =
        sqlx::query_scalar(sql).fetch_all(&mut bench.connect().await).await.expect("read");
    named.sort_unstable();
    named
}

/// All three budgets are used up by a session, and a provider has reported too much.
async fn exhaust(store: &dyn Store, id: &str, user: &str) {
    let new = NewSession { user_sub: user.into(), account: user.into(), ..session(id) };
    open(store, &new, &quota()).await;
    let rows = vec![row("1", 1, 100), excess("2", &format!("x/{id}"), 5)];
    store.settle(&settle(id, rows, caps(100, 100, 100))).await.expect("written");
}

async fn an_alert_outlives_the_call_that_raised_it_and_does_not_name_it(bench: Bench) {
    let store = &*bench.store;
    exhaust(store, "a", "ada").await;
    open(store, &session("b"), &quota()).await;
    let before = [
        "account 100 [a] [ada] waits",
        "provider 0 [a] [] waits",
        "session 100 [a] [ada] waits",
        "user 100 [a] [ada] waits",
    ];
    assert_eq!(named(&bench).await, before);
    assert!(store.delete_session("a", None).await.expect("erased"));
    let after = ["account 100 [] [] waits", "provider 0 [] [] waits", "user 100 [] [ada] waits"];
    assert_eq!(named(&bench).await, after, "whose day it is stays while she has another call");
    let claimed = store.claim_alerts(LONG, 100).await.expect("claimed");
    assert_eq!(claimed.len(), 7, "three thresholds of two budgets, and the provider");
    let listed = store.list_deliveries(&DeliveryFilter::default(), None, 100).await.expect("read").rows;
    assert!(listed.len() == 7 && listed.iter().all(|row| row.session_id.is_none()), "{listed:?}");
    // As a relay of an earlier version erases: it knows nothing of alerts.
    let mut connection = bench.connect().await;
    sqlx::raw_sql("DELETE FROM sessions WHERE id = 'b'").execute(&mut connection).await.expect("deleted");
    assert_eq!(named(&bench).await[2], "user 100 [] [] waits", "nothing else of her is left");
}

async fn what_was_told_is_not_told_again_after_its_call_was_erased(bench: Bench) {
    let store = &*bench.store;
    exhaust(store, "a", "ada").await;
    exhaust(store, "b", "ada").await;
    for alert in store.claim_alerts(LONG, 100).await.expect("claimed") {
        store.finish_alert(alert.claimed(), Attempted::Delivered, "204").await.expect("written");
    }
    assert!(store.delete_session("a", None).await.expect("erased"));
    // A call is refused, and the budget's newest session is the other one.
    let balance = Balance { limit: usd(100), spent: usd(200), reserved: usd(0) };
    for scope in [Scope::User, Scope::Account] {
        let told = store.exhausted("b", scope, balance, unix_ms()).await.expect("written");
        assert_eq!(told, None, "{scope:?}");
    }
    let again = settle("b", vec![row("3", 1, 1)], caps(1_000, 100, 100));
    assert_eq!(store.settle(&again).await.expect("written").alerts, []);
    assert_eq!(store.claim_alerts(LONG, 100).await.expect("claimed"), []);
}

async fn an_erased_user_is_named_by_no_alert(bench: Bench) {
    let store = &*bench.store;
    exhaust(store, "a", "ada").await;
    exhaust(store, "b", "bob").await;
    store.delete_user("ada", Some("root"), "act").await.expect("erased");
    let others = ["account 100 [b] [bob] waits", "session 100 [b] [bob] waits", "user 100 [b] [bob] waits"];
    let nobodys = ["account 100 [] [] waits", "user 100 [] [] waits"];
    let providers = ["provider 0 [] [] waits", "provider 0 [b] [] waits"];
    let mut expected = [&others[..], &nobodys[..], &providers[..]].concat();
    expected.sort_unstable();
    assert_eq!(named(&bench).await, expected);
    // What two erasings at the same moment have left.
    let mut connection = bench.connect().await;
    let left = "UPDATE alerts SET user_sub = 'ada' WHERE session_id = '' AND scope = 'user'";
    sqlx::raw_sql(left).execute(&mut connection).await.expect("written");
    store.delete_user("ada", None, "another").await.expect("nothing to do");
    assert_eq!(named(&bench).await, expected);
}

async fn a_user_whose_last_calls_are_erased_at_the_same_moment_is_named_by_no_alert(bench: Bench) {
    let store = &*bench.store;
    exhaust(store, "a", "ada").await;
    exhaust(store, "b", "bob").await;
    // The schema did nothing, as with a call that it took for the last but one.
    let nothing = if bench.is_postgres() {
        "DROP TRIGGER alerts_of_erased ON sessions"
    } else {
        "DROP TRIGGER alerts_of_erased"
    };
    sqlx::raw_sql(nothing).execute(&mut bench.connect().await).await.expect("dropped");
    assert!(store.delete_session("a", None).await.expect("erased"));
    let alerts = named(&bench).await;
    assert!(alerts.iter().all(|alert| !alert.contains("[ada]")), "{alerts:?}");
    assert!(alerts.contains(&"user 100 [b] [bob] waits".to_owned()), "{alerts:?}");
}

async fn what_is_written_late_for_an_erased_call_reaches_thresholds_as_ever_and_names_nobody_who_is_gone(
    bench: Bench,
) {
    let store = &*bench.store;
    let caps = caps(100, 100, 1_000);
    for id in ["a", "b", "c"] {
        open(store, &session(id), &quota()).await;
    }
    store.settle(&settle("a", vec![row("1", 1, 79)], caps)).await.expect("written");
    let owe = async |id: &str, key: &str, cost: u64| {
        let payer = Some(Payer { user_sub: "ada".into(), account: "acme".into() });
        let owed = Settle { payer, ..settle(id, vec![row(key, 1, cost)], caps) };
        // Whoever has it on their disk may write it twice.
        for _ in 0..2 {
            let settled = store.settle(&owed).await;
            assert!(matches!(settled, Err(StoreError::Erased { .. })), "{settled:?}");
        }
    };
    assert!(store.delete_session("a", None).await.expect("erased"));
    owe("a", "2", 21).await;
    assert_eq!(named(&bench).await, ["user 100 [] [ada] waits"], "she has other calls");
    for id in ["b", "c"] {
        assert!(store.delete_session(id, None).await.expect("erased"));
    }
    assert_eq!(named(&bench).await, ["user 100 [] [] waits"]);
    owe("b", "1", 900).await;
    assert_eq!(named(&bench).await, ["account 100 [] [] waits", "user 100 [] [] waits"]);
    let told = claim(store, LONG).await;
    let told: Vec<_> = told.iter().map(|alert| (alert.scope, alert.percent, alert.spent.get())).collect();
    let user = [(Scope::User, 50, 79), (Scope::User, 80, 100), (Scope::User, 100, 100)];
    let account = [50, 80, 100].map(|percent| (Scope::Account, percent, 1_000));
    assert_eq!(told, [&user[..], &account[..]].concat(), "and nothing of the calls' own budgets");
}
