//! The outbox of events.

use std::time::Duration;

use relay::config::Retention;
use relay::records::retention::{Purged, sweep};
use relay::records::store::{
    Attempted, DeedFilter, DeliveryFilter, DeliveryState, Expiring, HookEvent, Leases, NewSession, Quality,
    Quota, Replayed, Store, Subscription, unix_ms,
};

use super::{Bench, of_a_lost_relay, on_both_databases, open, quota, session};

on_both_databases! {
    each_address_gets_what_it_wants_to_hear_of_what_happens_from_then_on
    every_end_is_told_once_whoever_ends_a_session
    a_delivery_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken
    a_part_of_a_recording_is_told_once
    an_erased_user_is_named_until_the_receiver_has_heard_of_it
    a_delivery_is_repeated_by_an_administrator_whom_the_audit_names
    an_address_that_no_relay_names_any_more_is_told_nothing
    deliveries_are_listed_in_pages_and_go_when_they_are_too_old
}

const LONG: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 3_600 * 1_000;

async fn subscribe(store: &dyn Store, names: &[(&str, &[HookEvent])]) {
    let named =
        names.iter().map(|(name, events)| Subscription { name: (*name).to_owned(), events: events.to_vec() });
    store.keep_webhooks(&named.collect::<Vec<_>>()).await.expect("written");
}

async fn end(store: &dyn Store, id: &str) {
    store.end_session(id, 0, "normal", Quality::default(), unix_ms()).await.expect("written");
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
    store.finish_delivery("started_a_crm", 1, Attempted::GivenUp, "timed out").await.expect("written");
    store
        .finish_delivery("started_a_crm", 2, Attempted::Again(Duration::ZERO), "503")
        .await
        .expect("written");
    let third = claim(store, LONG).await;
    assert_eq!((third[0].attempts, third[0].answer.as_deref()), (3, Some("503")));
    store.finish_delivery("started_a_crm", 3, Attempted::Delivered, "204").await.expect("written");
    store
        .finish_delivery("started_a_crm", 3, Attempted::Again(Duration::ZERO), "503")
        .await
        .expect("written");
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
    store.finish_delivery(&erased.id, 1, Attempted::GivenUp, "503").await.expect("written");
    assert_eq!(store.replay_delivery(&erased.id, "root").await.expect("written"), Replayed::Yes);
    store.finish_delivery(&erased.id, 1, Attempted::Delivered, "204").await.expect("written");
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
    let first = store.claim_deliveries("crm", LONG, 8).await.expect("claimed").remove(0);
    store.finish_delivery(&first.id, 1, Attempted::Delivered, "204").await.expect("written");
    assert_eq!(store.replay_delivery("started_b_crm", "root").await.expect("read"), Replayed::Unknown);
    assert_eq!(store.replay_delivery(&first.id, "root").await.expect("written"), Replayed::Yes);
    let again = store.claim_deliveries("crm", LONG, 8).await.expect("claimed").remove(0);
    assert_eq!((&again.id, again.attempts, again.created_at_ms), (&first.id, 1, first.created_at_ms));
    assert!(again.due_since_ms >= first.due_since_ms && again.delivered_at_ms.is_none());
    let audit = store.list_audit(&DeedFilter::default(), None, 10).await.expect("read").rows;
    let told: Vec<_> =
        audit.iter().map(|deed| (&*deed.by, &*deed.what, deed.user_sub.as_deref(), &*deed.subject)).collect();
    assert_eq!(told, [("root", "replay_webhook", Some("bob"), "started_a_crm")]);
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
    assert_eq!(count(DeliveryFilter { event: Some(HookEvent::CallEnded), ..none() }).await, 6);
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
