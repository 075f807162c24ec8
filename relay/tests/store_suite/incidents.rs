//! What operators are told of the service as a whole.

use std::time::Duration;

use relay::records::store::{
    Attempted, Expiring, HOUR_MS, Incident, IncidentKind, IncidentState, NewIncident, Store, unix_ms,
};

use super::{Bench, on_both_databases};

on_both_databases! {
    a_beginning_is_written_once_an_hour_whichever_relays_find_it
    only_what_has_begun_ends_and_each_subject_for_itself
    an_incident_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken
    incidents_of_newer_versions_are_left_to_the_relays_that_know_them
    without_a_webhook_incidents_are_let_go_and_old_ones_are_deleted
}

const LONG: Duration = Duration::from_secs(60);
/// An hour of the past.
const HOUR: i64 = 500_000 * HOUR_MS;

fn down(provider: &str, state: IncidentState, at_ms: i64) -> NewIncident {
    let (kind, subject) = (IncidentKind::ProviderDown, provider.to_owned());
    NewIncident { kind, subject, state, value: 0, threshold: 0, at_ms }
}

async fn fires(store: &dyn Store, provider: &str, at_ms: i64) -> bool {
    store.note_incident(&down(provider, IncidentState::Firing, at_ms)).await.expect("written")
}

async fn resolves(store: &dyn Store, provider: &str, at_ms: i64) -> bool {
    store.note_incident(&down(provider, IncidentState::Resolved, at_ms)).await.expect("written")
}

async fn claim(store: &dyn Store, claim: Duration) -> Vec<Incident> {
    store.claim_incidents(claim, 8).await.expect("claimed")
}

async fn a_beginning_is_written_once_an_hour_whichever_relays_find_it(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    assert!(fires(store, "ears", HOUR).await);
    assert!(!fires(&*other, "ears", HOUR + HOUR_MS - 1).await, "it is known in this hour");
    assert!(fires(&*other, "voice", HOUR).await, "it is another provider");
    assert!(fires(&*other, "ears", HOUR + HOUR_MS).await, "it goes on in the next hour");
    let slow = NewIncident {
        kind: IncidentKind::AnswersSlow,
        subject: String::new(),
        value: 4_000,
        threshold: 3_000,
        ..down("", IncidentState::Firing, HOUR)
    };
    assert!(store.note_incident(&slow).await.expect("written"));
    let mut told: Vec<_> = claim(store, LONG).await;
    told.retain(|incident| incident.kind == IncidentKind::AnswersSlow);
    let [slow] = &told[..] else { panic!("one of them: {told:?}") };
    assert_eq!((slow.state, slow.value, slow.threshold), (IncidentState::Firing, 4_000, 3_000));
}

async fn only_what_has_begun_ends_and_each_subject_for_itself(bench: Bench) {
    let store = &*bench.store;
    assert!(!resolves(store, "ears", HOUR).await, "it was never down");
    assert!(fires(store, "ears", HOUR).await);
    assert!(!resolves(store, "voice", HOUR).await, "that was another one");
    assert!(resolves(store, "ears", HOUR).await);
    assert!(!resolves(store, "ears", HOUR + HOUR_MS).await, "it has ended");
    assert!(!fires(store, "ears", HOUR + 1).await, "one beginning an hour");
    assert!(fires(store, "ears", HOUR + HOUR_MS).await);
    assert!(resolves(store, "ears", HOUR + HOUR_MS).await);
    let states: Vec<IncidentState> =
        claim(store, LONG).await.into_iter().map(|incident| incident.state).collect();
    let (firing, resolved) = (IncidentState::Firing, IncidentState::Resolved);
    assert_eq!(states, [firing, resolved, firing, resolved], "in their order");
}

async fn an_incident_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken(bench: Bench) {
    let store = &*bench.store;
    for provider in ["a", "b", "c"] {
        assert!(fires(store, provider, HOUR).await);
    }
    let first = claim(store, LONG).await;
    assert_eq!(first.len(), 3);
    assert_eq!(claim(store, LONG).await, [], "somebody sends them");
    let attempted = [Attempted::Delivered, Attempted::Again(Duration::ZERO), Attempted::GivenUp];
    for (incident, attempted) in first.iter().zip(attempted) {
        store.finish_incident(&incident.id, incident.attempts, attempted).await.expect("written");
    }
    let again = claim(store, Duration::ZERO).await;
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].id, again[0].attempts), (&first[1].id, 2));
    // It is claimed once more: the one before has no say any more, unless it was delivered.
    assert_eq!(claim(store, LONG).await.len(), 1);
    let late = &again[0];
    store.finish_incident(&late.id, late.attempts, Attempted::Again(Duration::ZERO)).await.expect("written");
    store.finish_incident(&late.id, late.attempts, Attempted::GivenUp).await.expect("written");
    assert_eq!(claim(store, LONG).await, []);
    store.finish_incident(&late.id, 3, Attempted::Again(Duration::ZERO)).await.expect("written");
    assert_eq!(claim(store, LONG).await.len(), 1, "it was not given up either");
}

async fn incidents_of_newer_versions_are_left_to_the_relays_that_know_them(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears", HOUR).await);
    let mut connection = bench.connect().await;
    let newer = "INSERT INTO incidents (id, kind, subject, hour, state, value, threshold, created_at, next_attempt_at)
        VALUES ('newer', 'disk.full', '', 1, 'firing', 0, 0, 1, 1)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("written");
    let claimed = claim(store, LONG).await;
    assert_eq!(claimed.iter().map(|incident| &*incident.subject).collect::<Vec<_>>(), ["ears"]);
}

async fn without_a_webhook_incidents_are_let_go_and_old_ones_are_deleted(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears", HOUR).await);
    store.dismiss_incidents().await.expect("written");
    assert_eq!(claim(store, LONG).await, []);
    assert!(!fires(store, "ears", HOUR).await, "the row is there");
    let before_ms = unix_ms() - HOUR_MS;
    assert_eq!(store.expire(Expiring::Incidents { before_ms }, 10).await.expect("deleted"), 0);
    let before_ms = unix_ms() + HOUR_MS;
    assert_eq!(store.expire(Expiring::Incidents { before_ms }, 10).await.expect("deleted"), 1);
    assert!(fires(store, "ears", HOUR).await);
}
