//! The outbox of events.

use std::time::Duration;

use relay::config::Retention;
use relay::money::ledger::LedgerRow;
use relay::records::retention::{Purged, sweep};
use relay::records::store::{
    ALERTS_WEBHOOK, Attempted, DeedFilter, Delivery, DeliveryFilter, DeliveryState, Expiring, HookEvent,
    IncidentKind, IncidentPace, IncidentState, Leases, MessageKind, NewIncident, NewSession, Notice, Quality,
    Quota, Replayed, Settle, Store, Subscription, unix_ms,
};

use super::{Bench, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, row, session, settle, usd};

on_both_databases! {
    each_address_gets_what_it_wants_to_hear_of_what_happens_from_then_on
    every_end_is_told_once_whoever_ends_a_session
    a_delivery_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken
    a_part_of_a_recording_is_told_once
    an_erased_user_is_named_until_the_receiver_has_heard_of_it
    a_delivery_is_repeated_by_an_administrator_whom_the_audit_names
    what_is_repeated_while_it_is_sent_is_sent_once_more
    an_address_that_no_relay_names_any_more_is_told_nothing
    deliveries_are_listed_in_pages_and_go_when_they_are_too_old
    alerts_are_listed_among_the_messages_and_repeated_as_they_are
    the_audit_names_the_user_of_an_alert_only_if_it_is_about_a_user
    what_was_answered_before_an_earlier_version_delivered_it_is_not_told
}

const LONG: Duration = Duration::from_secs(60);
const MINUTE_MS: i64 = 60 * 1_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

async fn subscribe(store: &dyn Store, names: &[(&str, &[HookEvent])]) {
    let named =
        names.iter().map(|(name, events)| Subscription { name: (*name).to_owned(), events: events.to_vec() });
    store.keep_webhooks(&named.collect::<Vec<_>>()).await.expect("written");
}

async fn end(store: &dyn Store, id: &str) {
    store.end_session(id, 0, "normal", Quality::default(), unix_ms()).await.expect("written");
}

async fn finish(store: &dyn Store, delivery: &Delivery, attempted: Attempted, answer: &str) {
    store.finish_delivery(delivery.claimed(), attempted, answer).await.expect("written");
}

/// The ids of all deliveries, sorted.
async fn ids(store: &dyn Store) -> Vec<String> {
    let page = store.list_deliveries(&DeliveryFilter::default(), None, 1_000).await.expect("read");
    let mut ids: Vec<String> = page.rows.into_iter().map(|row| row.id).collect();
    ids.sort();
    ids
}

async fn each_address_gets_what_it_wants_to_hear_of_what_happens_from_then_on(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    subscribe(store, &[("all", &HookEvent::ALL), ("ends", &[HookEvent::CallEnded])]).await;
    open(store, &session("b"), &quota()).await;
    end(store, "a").await;
    end(store, "b").await;
    let expected = ["ended_a_all", "ended_a_ends", "ended_b_all", "ended_b_ends", "started_b_all"];
    assert_eq!(ids(store).await, expected);
    // What is wanted may change, and what is on its way stays.
    subscribe(store, &[("ends", &[HookEvent::CallStarted])]).await;
    open(store, &session("c"), &quota()).await;
    end(store, "c").await;
    let all = ids(store).await;
    assert!(expected.iter().all(|id| all.iter().any(|known| known == id)), "{all:?}");
    assert!(
        all.contains(&"started_c_ends".to_owned()) && !all.contains(&"ended_c_ends".to_owned()),
        "{all:?}"
    );
}

async fn every_end_is_told_once_whoever_ends_a_session(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &[HookEvent::CallEnded])]).await;
    open(store, &session("lost"), &of_a_lost_relay()).await;
    open(store, &session("elsewhere"), &quota()).await;
    open(store, &session("erased"), &quota()).await;
    store.end_leases(Leases::Of("lost-relay")).await.expect("written");
    for _ in 0..3 {
        store.sweep(Duration::ZERO).await.expect("swept");
    }
    assert!(store.end_elsewhere("elsewhere", "ended_by_operator").await.expect("written"));
    assert!(!store.end_elsewhere("elsewhere", "ended_by_operator").await.expect("read"));
    // What is erased is not told any more.
    assert!(store.delete_session("erased", None).await.expect("erased"));
    assert_eq!(ids(store).await, ["ended_elsewhere_crm", "ended_lost_crm"]);
}

async fn a_delivery_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    subscribe(store, &[("crm", &[HookEvent::CallStarted]), ("ops", &[HookEvent::CallStarted])]).await;
    open(store, &session("a"), &quota()).await;
    let claim =
        async |store: &dyn Store, claim| store.claim_deliveries("crm", claim, 8).await.expect("claimed");
    let first = claim(store, Duration::ZERO).await;
    assert_eq!((first.len(), &*first[0].id, first[0].attempts), (1, "started_a_crm", 1));
    assert_eq!(first[0].session_id.as_deref(), Some("a"));
    let second = claim(&*other, LONG).await;
    assert_eq!(second[0].attempts, 2, "the claim was over");
    assert_eq!(claim(store, LONG).await, []);
    // Whoever was overtaken puts nothing off.
    finish(store, &first[0], Attempted::GivenUp, "timed out").await;
    finish(store, &second[0], Attempted::Again(Duration::ZERO), "503").await;
    let third = claim(store, LONG).await;
    assert_eq!((third[0].attempts, third[0].answer.as_deref()), (3, Some("503")));
    finish(store, &third[0], Attempted::Delivered, "204").await;
    finish(store, &third[0], Attempted::Again(Duration::ZERO), "503").await;
    assert_eq!(claim(store, LONG).await, []);
    let of = async |state| {
        let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
        let rows = store.list_deliveries(&filter, None, 10).await.expect("read").rows;
        rows.into_iter().map(|row| (row.webhook, row.answer)).collect::<Vec<_>>()
    };
    assert_eq!(of(DeliveryState::Delivered).await, [("crm".to_owned(), Some("204".to_owned()))]);
    assert_eq!(of(DeliveryState::Waiting).await, [("ops".to_owned(), None)], "the other has its own");
    assert_eq!(of(DeliveryState::GivenUp).await, []);
}

async fn a_part_of_a_recording_is_told_once(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &[HookEvent::RecordingReady]), ("ops", &[HookEvent::CallEnded])]).await;
    open(store, &session("a"), &quota()).await;
    for part in ["0", "0", "2"] {
        store.recording_ready("a", part).await.expect("written");
    }
    store.recording_ready("nobody", "0").await.expect("nothing to write");
    assert_eq!(ids(store).await, ["recording_a_0_crm", "recording_a_2_crm"]);
}

async fn an_erased_user_is_named_until_the_receiver_has_heard_of_it(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &[HookEvent::CallStarted, HookEvent::UserErased])]).await;
    for n in 0..205 {
        open(store, &session(&format!("s{n}")), &quota_of_many()).await;
    }
    assert_eq!(store.delete_user("ada", Some("root"), "act").await.expect("erased"), 205);
    let claimed = store.claim_deliveries("crm", LONG, 8).await.expect("claimed");
    let [erased] = &claimed[..] else { panic!("one event, and no more of what is erased: {claimed:?}") };
    assert_eq!((&*erased.event, erased.user_sub.as_deref()), ("user.erased", Some("ada")));
    assert!(!erased.id.contains("ada"), "{}", erased.id);
    finish(store, erased, Attempted::GivenUp, "503").await;
    assert_eq!(store.replay_delivery(&erased.id, "root").await.expect("written"), Replayed::Yes);
    let again = store.claim_deliveries("crm", LONG, 8).await.expect("claimed");
    assert_eq!(again[0].user_sub.as_deref(), Some("ada"));
    finish(store, &again[0], Attempted::Delivered, "204").await;
    let known = store.list_deliveries(&DeliveryFilter::default(), None, 10).await.expect("read").rows;
    assert_eq!((known.len(), &known[0].user_sub), (1, &None));
    assert_eq!(store.replay_delivery(&erased.id, "root").await.expect("read"), Replayed::Forgotten);
    // A relay that goes on with what another one was lost at tells nothing twice. Whoever asks anew has it told again.
    assert_eq!(store.delete_user("ada", Some("root"), "act").await.expect("erased"), 0);
    assert!(store.claim_deliveries("crm", LONG, 8).await.expect("claimed").is_empty());
    assert_eq!(store.delete_user("ada", Some("root"), "another act").await.expect("erased"), 0);
    let claimed = store.claim_deliveries("crm", LONG, 8).await.expect("claimed");
    assert_eq!(claimed.iter().map(|delivery| &*delivery.event).collect::<Vec<_>>(), ["user.erased"]);
}

/// Room for more sessions than any test of limits opens.
fn quota_of_many() -> Quota {
    Quota { sessions_per_user: 1_000, ..quota() }
}

async fn a_delivery_is_repeated_by_an_administrator_whom_the_audit_names(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &[HookEvent::CallStarted])]).await;
    open(store, &NewSession { user_sub: "bob".into(), ..session("a") }, &quota()).await;
    let mut connection = bench.connect().await;
    let earlier = "UPDATE deliveries SET due_since = due_since - 172800000";
    sqlx::raw_sql(earlier).execute(&mut connection).await.expect("written");
    let first = store.claim_deliveries("crm", LONG, 8).await.expect("claimed").remove(0);
    finish(store, &first, Attempted::Delivered, "204").await;
    assert_eq!(store.replay_delivery("started_b_crm", "root").await.expect("read"), Replayed::Unknown);
    assert_eq!(store.replay_delivery(&first.id, "root").await.expect("written"), Replayed::Yes);
    let again = store.claim_deliveries("crm", LONG, 8).await.expect("claimed").remove(0);
    assert_eq!((&again.id, again.attempts, again.created_at_ms), (&first.id, 1, first.created_at_ms));
    assert!(again.due_since_ms > unix_ms() - MINUTE_MS, "{again:?}");
    assert_eq!((again.delivered_at_ms, again.answer), (None, None), "nothing of before");
    let audit = store.list_audit(&DeedFilter::default(), None, 10).await.expect("read").rows;
    let told: Vec<_> =
        audit.iter().map(|deed| (&*deed.by, &*deed.what, deed.user_sub.as_deref(), &*deed.subject)).collect();
    assert_eq!(told, [("root", "replay_webhook", Some("bob"), "started_a_crm")]);
}

async fn what_is_repeated_while_it_is_sent_is_sent_once_more(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &[HookEvent::CallStarted])]).await;
    open(store, &session("a"), &quota()).await;
    let mut connection = bench.connect().await;
    // It did not happen in the millisecond in which it is repeated.
    let earlier = "UPDATE deliveries SET due_since = due_since - 1000";
    sqlx::raw_sql(earlier).execute(&mut connection).await.expect("written");
    let claim = async || store.claim_deliveries("crm", LONG, 8).await.expect("claimed");
    let first = claim().await.remove(0);
    assert_eq!(store.replay_delivery(&first.id, "root").await.expect("written"), Replayed::Yes);
    finish(store, &first, Attempted::Delivered, "204").await;
    let second = claim().await.remove(0);
    assert_eq!((&second.id, second.attempts), (&first.id, 1));
    // What was sent before has the same number, and is another attempt.
    finish(store, &first, Attempted::Again(Duration::ZERO), "503").await;
    assert_eq!(claim().await, []);
    finish(store, &first, Attempted::GivenUp, "503").await;
    finish(store, &first, Attempted::Delivered, "204").await;
    finish(store, &second, Attempted::Again(Duration::ZERO), "503").await;
    let third = claim().await.remove(0);
    assert_eq!((&third.id, third.attempts), (&first.id, 2));
}

async fn an_address_that_no_relay_names_any_more_is_told_nothing(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("old", &[HookEvent::CallStarted]), ("new", &[HookEvent::CallStarted])]).await;
    subscribe(store, &[("new", &[HookEvent::CallStarted])]).await;
    open(store, &session("a"), &quota()).await;
    assert_eq!(ids(store).await, ["started_a_new", "started_a_old"], "another relay may still have it");
    let mut connection = bench.connect().await;
    let aged = "UPDATE webhooks SET seen_at = seen_at - 7200001 WHERE name = 'old'";
    sqlx::raw_sql(aged).execute(&mut connection).await.expect("aged");
    subscribe(store, &[("new", &[HookEvent::CallStarted])]).await;
    open(store, &session("b"), &quota()).await;
    assert_eq!(ids(store).await, ["started_a_new", "started_a_old", "started_b_new"]);
}

async fn deliveries_are_listed_in_pages_and_go_when_they_are_too_old(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &HookEvent::ALL), ("ops", &[HookEvent::CallEnded])]).await;
    for id in ["a", "b", "c"] {
        open(store, &session(id), &quota()).await;
        end(store, id).await;
    }
    let count = async |filter: DeliveryFilter| {
        store.list_deliveries(&filter, None, 100).await.expect("read").rows.len()
    };
    let none = DeliveryFilter::default;
    assert_eq!(count(none()).await, 9);
    assert_eq!(count(DeliveryFilter { webhook: Some("crm".into()), ..none() }).await, 6);
    let ended = MessageKind::Event(HookEvent::CallEnded);
    assert_eq!(count(DeliveryFilter { event: Some(ended), ..none() }).await, 6);
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.list_deliveries(&none(), after.as_ref(), 2).await.expect("read");
        seen.extend(page.rows.into_iter().map(|row| row.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ids(store).await, "each of them once");
    let expire = async |before_ms, limit| {
        store.expire(Expiring::Deliveries { before_ms }, limit).await.expect("deleted")
    };
    assert_eq!(expire(unix_ms() - 60_000, 5).await, 0);
    assert_eq!(expire(unix_ms() + 60_000, 5).await, 5);
    let keep = Retention { transcript_days: None, recording_days: None };
    for (days, books) in [(29, 0), (31, 4)] {
        let purged = sweep(store, None, &keep, unix_ms() + days * DAY_MS).await.expect("swept");
        assert_eq!(purged, Purged { books, ..Purged::default() }, "after {days} days");
    }
}

async fn alerts_are_listed_among_the_messages_and_repeated_as_they_are(bench: Bench) {
    let store = &*bench.store;
    subscribe(store, &[("crm", &[HookEvent::CallStarted])]).await;
    open(store, &session("a"), &quota()).await;
    let unit = format!("{}output_token", LedgerRow::EXCESS);
    let excess = LedgerRow { item: "x/model".into(), unit, price: usd(2), per: 1, ..row("2", 5, 0) };
    // So long ago that nobody would try for long, if it were not repeated.
    let at_ms = unix_ms() - 2 * DAY_MS;
    let spent = Settle { at_ms, ..settle("a", vec![row("1", 1, 100), excess], caps(100, WIDE, WIDE)) };
    assert_eq!(store.settle(&spent).await.expect("written").alerts.len(), 3);
    let (kind, subject) = (IncidentKind::ProviderDown, "ears".to_owned());
    let down = NewIncident { kind, subject, state: IncidentState::Firing, value: 0, threshold: 0 };
    let pace = IncidentPace { again: LONG, calm: LONG };
    assert!(store.note_incident(&down, pace).await.expect("written"));
    let mut connection = bench.connect().await;
    let earlier = "UPDATE incidents SET created_at = created_at - 172800000";
    sqlx::raw_sql(earlier).execute(&mut connection).await.expect("written");

    let list =
        async |filter: &DeliveryFilter| store.list_deliveries(filter, None, 100).await.expect("read").rows;
    let none = DeliveryFilter::default;
    let all = list(&none()).await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.list_deliveries(&none(), after.as_ref(), 1).await.expect("read");
        seen.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, all, "each of them once, in their order");
    assert!(all.is_sorted_by(|one, next| one.created_at_ms >= next.created_at_ms), "the newest first");
    let mut told: Vec<_> = all
        .iter()
        .map(|row| (&*row.webhook, &*row.event, row.about.as_deref(), row.session_id.as_deref()))
        .collect();
    told.sort_unstable();
    let budget = |about| (ALERTS_WEBHOOK, "budget.threshold", Some(about), Some("a"));
    let expected = [
        ("crm", "call.started", None, Some("a")),
        budget("session, 100 %"),
        budget("session, 50 %"),
        budget("session, 80 %"),
        (ALERTS_WEBHOOK, "provider.down", Some("ears, firing"), None),
        (ALERTS_WEBHOOK, "provider.excess", Some("x/model"), Some("a")),
    ];
    assert_eq!(told, expected);

    let of = async |webhook: Option<&str>, event| {
        list(&DeliveryFilter { webhook: webhook.map(str::to_owned), event, ..none() }).await.len()
    };
    let (reached, exceeded) = (Some(MessageKind::BudgetThreshold), Some(MessageKind::ProviderExcess));
    let [down, failing] = [IncidentKind::ProviderDown, IncidentKind::CallsFailing]
        .map(|kind| Some(MessageKind::Incident(kind)));
    assert_eq!((of(Some(ALERTS_WEBHOOK), None).await, of(Some("crm"), None).await), (5, 1));
    assert_eq!((of(None, reached).await, of(None, exceeded).await), (3, 1));
    assert_eq!((of(None, down).await, of(None, failing).await), (1, 0));
    assert_eq!((of(Some("crm"), reached).await, of(Some(ALERTS_WEBHOOK), reached).await), (0, 3));

    let claimed = store.claim_alerts(LONG, 8).await.expect("claimed");
    let attempted = [Attempted::Delivered, Attempted::Again(LONG), Attempted::GivenUp, Attempted::GivenUp];
    for (alert, (attempted, answer)) in
        claimed.iter().zip(attempted.into_iter().zip(["204", "503", "410", "410"]))
    {
        store.finish_alert(alert.claimed(), attempted, answer).await.expect("written");
    }
    let incident = store.claim_incidents(LONG, 8).await.expect("claimed").remove(0);
    store.finish_incident(incident.claimed(), Attempted::GivenUp, "no route").await.expect("written");
    let answers = async |state| {
        let alerts = DeliveryFilter { webhook: Some(ALERTS_WEBHOOK.into()), state: Some(state), ..none() };
        let mut answers: Vec<_> = list(&alerts)
            .await
            .into_iter()
            .map(|row| (row.answer.unwrap_or_default(), row.attempts))
            .collect();
        answers.sort_unstable();
        answers
    };
    let once =
        |answers: &[&str]| answers.iter().map(|answer| ((*answer).to_owned(), 1_u32)).collect::<Vec<_>>();
    assert_eq!(answers(DeliveryState::Delivered).await, once(&["204"]));
    assert_eq!(answers(DeliveryState::Waiting).await, once(&["503"]));
    assert_eq!(answers(DeliveryState::GivenUp).await, once(&["410", "410", "no route"]));

    let done = [claimed[0].id(), claimed[2].id(), &*incident.id];
    for id in done {
        assert_eq!(store.replay_delivery(id, "root").await.expect("written"), Replayed::Yes);
    }
    for row in list(&none()).await.iter().filter(|row| done.contains(&&*row.id)) {
        let known = (row.state(), row.attempts, row.delivered_at_ms, row.answer.as_deref());
        assert_eq!(known, (DeliveryState::Waiting, 0, None, None), "nothing of before");
    }
    let again = store.claim_alerts(LONG, 8).await.expect("claimed");
    for alert in &again {
        let before = claimed.iter().find(|before| before.id() == alert.id()).expect("it was there before");
        assert_eq!((alert.attempts(), alert.created_at_ms()), (1, before.created_at_ms()));
        assert_eq!(before.due_since_ms(), at_ms);
        assert!(alert.due_since_ms() > unix_ms() - MINUTE_MS, "{alert:?}");
    }
    let incidents = store.claim_incidents(LONG, 8).await.expect("claimed");
    assert_eq!((incidents.len(), &incidents[0].id, incidents[0].attempts), (1, &incident.id, 1));
    assert_eq!(incident.due_since_ms, incident.created_at_ms);
    assert!(incidents[0].due_since_ms > unix_ms() - MINUTE_MS, "{incidents:?}");
    let mut repeated: Vec<&str> = again.iter().map(Notice::id).collect();
    repeated.push(&incidents[0].id);
    repeated.sort_unstable();
    let mut expected = done.to_vec();
    expected.sort_unstable();
    assert_eq!(repeated, expected, "those and no others");
    let audit = store.list_audit(&DeedFilter::default(), None, 10).await.expect("read").rows;
    let mut deeds: Vec<_> =
        audit.iter().map(|deed| (&*deed.subject, &*deed.by, &*deed.what, deed.user_sub.is_some())).collect();
    deeds.sort_unstable();
    let about_a_user = |id: &str| {
        let alert = claimed.iter().find(|alert| alert.id() == id);
        alert.is_some_and(|alert| alert.budget().is_some())
    };
    let expected: Vec<_> =
        expected.into_iter().map(|id| (id, "root", "replay_webhook", about_a_user(id))).collect();
    assert_eq!(deeds, expected);
}

async fn the_audit_names_the_user_of_an_alert_only_if_it_is_about_a_user(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let spent = settle("a", vec![row("1", 1, 100)], caps(100, 100, 100));
    let raised = store.settle(&spent).await.expect("written").alerts;
    assert_eq!(raised.len(), 9, "three thresholds of three budgets");
    let alerts = store.list_deliveries(&DeliveryFilter::default(), None, 100).await.expect("read").rows;
    let mut expected = Vec::new();
    for alert in &alerts {
        assert_eq!(store.replay_delivery(&alert.id, "root").await.expect("written"), Replayed::Yes);
        let is_of_account = alert.about.as_deref().is_some_and(|about| about.starts_with("account, "));
        expected.push((&*alert.id, if is_of_account { None } else { Some("ada") }));
    }
    assert_eq!(expected.iter().filter(|(_, user)| user.is_none()).count(), 3);
    let audit = store.list_audit(&DeedFilter::default(), None, 100).await.expect("read").rows;
    let mut told: Vec<_> = audit.iter().map(|deed| (&*deed.subject, deed.user_sub.as_deref())).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

async fn what_was_answered_before_an_earlier_version_delivered_it_is_not_told(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let spent = settle("a", vec![row("1", 1, 60)], caps(100, WIDE, WIDE));
    assert_eq!(store.settle(&spent).await.expect("written").alerts.len(), 1);
    let alert = store.claim_alerts(Duration::ZERO, 8).await.expect("claimed").remove(0);
    store.finish_alert(alert.claimed(), Attempted::Again(LONG), "503").await.expect("written");
    let answer = async || {
        let listed = store.list_deliveries(&DeliveryFilter::default(), None, 8).await.expect("read").rows;
        (listed[0].state(), listed[0].answer.clone())
    };
    assert_eq!(answer().await, (DeliveryState::Waiting, Some("503".to_owned())));
    // Which knows nothing of answers to alerts.
    let mut connection = bench.connect().await;
    let delivered = "UPDATE alerts SET attempts = attempts + 1, next_attempt_at = NULL, delivered_at = 1";
    sqlx::raw_sql(delivered).execute(&mut connection).await.expect("written");
    assert_eq!(answer().await, (DeliveryState::Delivered, None));
}

/// Rows of each table, one in ten of them given up, and in no order on the disk.
const MANY: &str = "
INSERT INTO deliveries (id, webhook, event, created_at, due_since, delivered_at)
SELECT 'event ' || n, CASE WHEN n % 10 = 0 THEN 'webhook' ELSE 'crm' END, 'call.ended', n, n, CASE WHEN n % 10 > 0 THEN n END
FROM generate_series(1, 5000) AS n ORDER BY n * 997 % 5003;
INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at, delivered_at)
SELECT 'alert ' || n, 'user', n, '', 50, 'a', 'ada', 'acme', 0, 0, n, CASE WHEN n % 10 > 0 THEN n END
FROM generate_series(1, 5000) AS n ORDER BY n * 997 % 5003;
INSERT INTO incidents (id, kind, subject, number, state, value, threshold, found_at, created_at, delivered_at)
SELECT 'incident ' || n, 'provider.down', 'ears', n, 'firing', 0, 0, n, n, CASE WHEN n % 10 > 0 THEN n END
FROM generate_series(1, 5000) AS n ORDER BY n * 997 % 5003;
ANALYZE deliveries;
ANALYZE alerts;
ANALYZE incidents";

/// How many other connections there are, how often those that are over have looked into the tables, and how many rows they have read.
const COUNTED: &str = "
SELECT (SELECT COUNT(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()),
    CAST(SUM(seq_scan + idx_scan) AS BIGINT), CAST(SUM(seq_tup_read + idx_tup_fetch) AS BIGINT)
FROM pg_stat_user_tables WHERE relname IN ('deliveries', 'alerts', 'incidents')";

/// The plans of SQLite are looked at beside the code. PostgreSQL counts what it reads, by whatever plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_hardly_more_rows_than_it_shows_however_many_there_are() {
    let bench = Bench::postgres().await;
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let mut connection = bench.connect().await;
    sqlx::raw_sql(MANY).execute(&mut connection).await.expect("written");
    let none = DeliveryFilter::default;
    let given_up = DeliveryFilter { state: Some(DeliveryState::GivenUp), ..none() };
    let of_alerts = DeliveryFilter { webhook: Some(ALERTS_WEBHOOK.into()), ..none() };
    for filter in [none(), given_up, of_alerts] {
        let first = store.list_deliveries(&filter, None, 5).await.expect("read");
        let second = store.list_deliveries(&filter, first.next.as_ref(), 5).await.expect("read");
        assert_eq!((first.rows.len(), second.rows.len()), (5, 5), "{filter:?}");
    }
    // A connection's figures are there when it is over.
    store.close().await;
    let all = async {
        loop {
            let (others, looks, rows): (i64, i64, i64) =
                sqlx::query_as(COUNTED).fetch_one(&mut connection).await.expect("read");
            // Of three tables for each of six pages.
            if others == 0 && looks >= 18 {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let rows = tokio::time::timeout(LONG, all).await.expect("the connections are over");
    assert!(rows < 500, "{rows} rows were read for six pages of five");
}
