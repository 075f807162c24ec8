//! What operators are told of the service as a whole.

use std::time::Duration;

use relay::records::store::{
    Attempted, DeliveryFilter, Expiring, HOUR_MS, Incident, IncidentKind, IncidentPace, IncidentState,
    NewIncident, Replayed, Store, unix_ms,
};

use super::{Bench, on_both_databases};

on_both_databases! {
    a_beginning_is_written_once_whichever_relays_find_it_and_again_after_a_while
    only_what_has_begun_ends_and_each_subject_for_itself
    what_comes_and_goes_is_told_each_time_however_soon
    it_is_not_over_while_any_relay_finds_it
    many_relays_that_find_it_at_once_write_it_once
    an_incident_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken
    nobody_hears_of_an_end_before_its_beginning
    what_waits_is_given_up_when_it_says_nothing_beside_what_is_newer
    what_was_given_up_while_it_was_sent_is_not_sent_again
    incidents_of_newer_versions_are_left_to_the_relays_that_know_them
    without_a_webhook_incidents_are_let_go_after_a_while_and_old_ones_are_deleted
    what_waits_behind_a_message_that_is_sent_is_not_let_go
    of_what_began_unheard_nobody_hears_the_end
    what_is_repeated_is_sent_and_counts_as_heard
    what_is_repeated_while_it_is_sent_is_sent_once_more
    what_is_repeated_and_refused_holds_up_nothing_new
    what_is_repeated_is_given_up_when_a_newer_message_says_the_same
}

const LONG: Duration = Duration::from_secs(60);
const FIRING: IncidentState = IncidentState::Firing;
const RESOLVED: IncidentState = IncidentState::Resolved;
/// It is told again after a time that no test takes, and over at once.
const PACE: IncidentPace = IncidentPace { again: Duration::from_secs(3_600), calm: Duration::ZERO };

fn down(provider: &str, state: IncidentState) -> NewIncident {
    let (kind, subject) = (IncidentKind::ProviderDown, provider.to_owned());
    NewIncident { kind, subject, state, value: 0, threshold: 0 }
}

async fn note(store: &dyn Store, provider: &str, state: IncidentState, pace: IncidentPace) -> bool {
    store.note_incident(&down(provider, state), pace).await.expect("written")
}

async fn fires(store: &dyn Store, provider: &str) -> bool {
    note(store, provider, FIRING, PACE).await
}

async fn resolves(store: &dyn Store, provider: &str) -> bool {
    note(store, provider, RESOLVED, PACE).await
}

/// Takes what is due, as somebody who delivers it. Says what it was.
async fn hear(store: &dyn Store) -> Vec<IncidentState> {
    let mut heard = Vec::new();
    loop {
        let claimed = claim(store, LONG).await;
        if claimed.is_empty() {
            return heard;
        }
        for incident in claimed {
            heard.push(incident.state);
            finish(store, &incident, Attempted::Delivered).await;
        }
    }
}

/// Drops what has been due for so long, as a relay without an address does.
async fn let_go(store: &dyn Store, due_for: Duration) {
    store.dismiss_incidents(due_for).await.expect("written");
}

fn told(incidents: &[Incident]) -> Vec<(&str, IncidentState)> {
    incidents.iter().map(|incident| (&*incident.subject, incident.state)).collect()
}

async fn finish(store: &dyn Store, incident: &Incident, attempted: Attempted) {
    store.finish_incident(incident.claimed(), attempted, "503").await.expect("written");
}

async fn claim(store: &dyn Store, claim: Duration) -> Vec<Incident> {
    store.claim_incidents(claim, 8).await.expect("claimed")
}

async fn a_beginning_is_written_once_whichever_relays_find_it_and_again_after_a_while(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    assert!(fires(store, "ears").await);
    assert!(!fires(&*other, "ears").await, "it is known");
    assert!(fires(&*other, "voice").await, "it is another provider");
    let often = IncidentPace { again: Duration::ZERO, ..PACE };
    assert!(note(&*other, "ears", FIRING, often).await, "it goes on");
    let slow = NewIncident {
        kind: IncidentKind::AnswersSlow,
        subject: String::new(),
        value: 4_000,
        threshold: 3_000,
        ..down("", FIRING)
    };
    assert!(store.note_incident(&slow, PACE).await.expect("written"));
    let mut claimed = claim(store, LONG).await;
    claimed.retain(|incident| incident.kind == IncidentKind::AnswersSlow);
    let [slow] = &claimed[..] else { panic!("one of them: {claimed:?}") };
    assert_eq!((slow.state, slow.value, slow.threshold), (FIRING, 4_000, 3_000));
}

async fn only_what_has_begun_ends_and_each_subject_for_itself(bench: Bench) {
    let store = &*bench.store;
    assert!(!resolves(store, "ears").await, "it was never down");
    assert!(fires(store, "ears").await);
    assert!(!resolves(store, "voice").await, "that was another one");
    assert!(resolves(store, "ears").await);
    assert!(!resolves(store, "ears").await, "it has ended");
    assert_eq!(hear(store).await, [FIRING, RESOLVED], "in their order");
}

async fn what_comes_and_goes_is_told_each_time_however_soon(bench: Bench) {
    let store = &*bench.store;
    let mut heard = Vec::new();
    for _ in 0..3 {
        assert!(fires(store, "ears").await);
        heard.extend(hear(store).await);
        assert!(resolves(store, "ears").await);
        heard.extend(hear(store).await);
    }
    assert_eq!(heard, [FIRING, RESOLVED].repeat(3));
    assert!(fires(store, "ears").await, "and it is told that it is down now");
    assert_eq!(hear(store).await, [FIRING]);
}

async fn it_is_not_over_while_any_relay_finds_it(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    let pace = IncidentPace { calm: LONG, ..PACE };
    let found = async |seconds: i64| {
        let mut connection = bench.connect().await;
        let earlier = format!("UPDATE incidents SET found_at = found_at - {seconds} * 1000");
        sqlx::raw_sql(sqlx::AssertSqlSafe(earlier)).execute(&mut connection).await.expect("written");
    };
    assert!(note(store, "ears", FIRING, pace).await);
    assert!(!note(store, "ears", RESOLVED, pace).await, "the other one may find it still");
    found(50).await;
    assert!(!note(&*other, "ears", FIRING, pace).await, "it does, and it is known");
    found(50).await;
    assert!(!note(store, "ears", RESOLVED, pace).await, "that was found since");
    // Whoever has found it may be gone by then, or started anew.
    found(50).await;
    assert!(note(store, "ears", RESOLVED, pace).await, "nobody has for a minute");
    assert!(note(&*other, "ears", FIRING, pace).await, "it has begun again");
}

async fn many_relays_that_find_it_at_once_write_it_once(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    for state in [FIRING, RESOLVED, FIRING, RESOLVED] {
        let notes = (0..8).map(|at| note(if at % 2 == 0 { store } else { &*other }, "ears", state, PACE));
        let written = futures_util::future::join_all(notes).await;
        assert_eq!(written.iter().filter(|written| **written).count(), 1, "{state:?}: {written:?}");
    }
}

async fn an_incident_is_claimed_by_one_at_a_time_and_is_done_when_it_is_taken(bench: Bench) {
    let store = &*bench.store;
    for provider in ["a", "b", "c"] {
        assert!(fires(store, provider).await);
    }
    let first = claim(store, LONG).await;
    assert_eq!(first.len(), 3);
    assert_eq!(claim(store, LONG).await, [], "somebody sends them");
    let attempted = [Attempted::Delivered, Attempted::Again(Duration::ZERO), Attempted::GivenUp];
    for (incident, attempted) in first.iter().zip(attempted) {
        finish(store, incident, attempted).await;
    }
    let again = claim(store, Duration::ZERO).await;
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].id, again[0].attempts), (&first[1].id, 2));
    // It is claimed once more: the one before has no say any more, unless it was delivered.
    let last = claim(store, LONG).await;
    assert_eq!(last.len(), 1);
    let late = &again[0];
    finish(store, late, Attempted::Again(Duration::ZERO)).await;
    finish(store, late, Attempted::GivenUp).await;
    assert_eq!(claim(store, LONG).await, []);
    finish(store, &last[0], Attempted::Again(Duration::ZERO)).await;
    assert_eq!(claim(store, LONG).await.len(), 1, "it was not given up either");
}

async fn nobody_hears_of_an_end_before_its_beginning(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears").await && resolves(store, "ears").await && fires(store, "voice").await);
    let first = claim(store, LONG).await;
    assert_eq!(told(&first), [("ears", FIRING), ("voice", FIRING)], "the end waits");
    assert_eq!(claim(store, LONG).await, [], "the beginning is being sent");
    // It fails, and waits for longer than the end has to.
    finish(store, &first[0], Attempted::Again(LONG)).await;
    assert_eq!(claim(store, LONG).await, [], "nobody has heard that it began");
    finish(store, &first[0], Attempted::Again(Duration::ZERO)).await;
    let again = claim(store, LONG).await;
    assert_eq!(told(&again), [("ears", FIRING)]);
    finish(store, &again[0], Attempted::Delivered).await;
    assert_eq!(hear(store).await, [RESOLVED]);
}

async fn what_waits_is_given_up_when_it_says_nothing_beside_what_is_newer(bench: Bench) {
    let store = &*bench.store;
    let often = IncidentPace { again: Duration::ZERO, ..PACE };
    // Nobody takes anything for hours in which it goes on.
    for _ in 0..3 {
        assert!(note(store, "ears", FIRING, often).await);
    }
    assert_eq!(hear(store).await, [FIRING], "the newest");
    // Nor while it comes and goes. That it was over in between is told to those who have heard that it was so.
    for _ in 0..3 {
        assert!(resolves(store, "ears").await && fires(store, "ears").await);
    }
    assert_eq!(hear(store).await, [RESOLVED, FIRING]);
    assert!(resolves(store, "ears").await);
    assert_eq!(hear(store).await, [RESOLVED]);
    for _ in 0..3 {
        assert!(fires(store, "ears").await && resolves(store, "ears").await);
    }
    assert_eq!(hear(store).await, [FIRING, RESOLVED], "once, and in their order");
    assert!(fires(store, "ears").await && resolves(store, "ears").await && fires(store, "ears").await);
    assert_eq!(hear(store).await, [FIRING], "nobody has heard of what was over");
}

async fn what_was_given_up_while_it_was_sent_is_not_sent_again(bench: Bench) {
    let store = &*bench.store;
    let often = IncidentPace { again: Duration::ZERO, ..PACE };
    assert!(fires(store, "ears").await);
    let sent = claim(store, LONG).await;
    assert!(note(store, "ears", FIRING, often).await);
    finish(store, &sent[0], Attempted::Again(Duration::ZERO)).await;
    let newer = claim(store, LONG).await;
    assert_eq!(newer.len(), 1, "the newer one alone");
    assert_ne!(newer[0].id, sent[0].id);
}

async fn incidents_of_newer_versions_are_left_to_the_relays_that_know_them(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears").await);
    let mut connection = bench.connect().await;
    let newer = "INSERT INTO incidents (id, kind, subject, number, state, value, threshold, found_at, created_at, next_attempt_at)
        VALUES ('newer', 'disk.full', '', 1, 'firing', 0, 0, 1, 1, 1)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("written");
    let claimed = claim(store, LONG).await;
    assert_eq!(claimed.iter().map(|incident| &*incident.subject).collect::<Vec<_>>(), ["ears"]);
}

async fn without_a_webhook_incidents_are_let_go_after_a_while_and_old_ones_are_deleted(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears").await);
    let_go(store, LONG).await;
    assert_eq!(claim(store, Duration::ZERO).await.len(), 1, "a relay that has one may take it");
    let_go(store, Duration::ZERO).await;
    assert_eq!(claim(store, LONG).await, []);
    assert!(!fires(store, "ears").await, "the row is there");
    let before_ms = unix_ms() - HOUR_MS;
    assert_eq!(store.expire(Expiring::Incidents { before_ms }, 10).await.expect("deleted"), 0);
    let before_ms = unix_ms() + HOUR_MS;
    assert_eq!(store.expire(Expiring::Incidents { before_ms }, 10).await.expect("deleted"), 1);
    assert!(fires(store, "ears").await);
}

async fn what_waits_behind_a_message_that_is_sent_is_not_let_go(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears").await && resolves(store, "ears").await);
    let mut connection = bench.connect().await;
    let old = "UPDATE incidents SET next_attempt_at = next_attempt_at - 3600000 WHERE state = 'resolved'";
    sqlx::raw_sql(old).execute(&mut connection).await.expect("written");
    let beginning = claim(store, LONG).await;
    assert_eq!(told(&beginning), [("ears", FIRING)]);
    let_go(store, LONG).await;
    finish(store, &beginning[0], Attempted::Again(LONG)).await;
    let_go(store, LONG).await;
    finish(store, &beginning[0], Attempted::Delivered).await;
    let_go(store, LONG).await;
    assert_eq!(hear(store).await, [RESOLVED], "it could not be taken before");
}

async fn of_what_began_unheard_nobody_hears_the_end(bench: Bench) {
    let store = &*bench.store;
    let often = IncidentPace { again: Duration::ZERO, ..PACE };
    assert!(fires(store, "ears").await);
    let_go(store, Duration::ZERO).await;
    assert!(resolves(store, "ears").await, "it is over");
    assert_eq!(hear(store).await, [], "since nobody has an address");
    assert!(fires(store, "ears").await && resolves(store, "ears").await);
    let_go(store, Duration::ZERO).await;
    assert_eq!(hear(store).await, [], "nor of both that waited");
    assert!(fires(store, "ears").await);
    assert_eq!(hear(store).await, [FIRING]);
    // That it goes on is not heard. That it began was.
    assert!(note(store, "ears", FIRING, often).await);
    let_go(store, Duration::ZERO).await;
    assert!(resolves(store, "ears").await);
    assert_eq!(hear(store).await, [RESOLVED]);
}

/// Has the newest message repeated that says this.
async fn repeat(store: &dyn Store, about: &str) {
    let listed = store.list_deliveries(&DeliveryFilter::default(), None, 20).await.expect("read").rows;
    let found = listed.iter().find(|row| row.about.as_deref() == Some(about)).expect("it is listed");
    assert_eq!(store.replay_delivery(&found.id, "root").await.expect("written"), Replayed::Yes);
}

async fn what_is_repeated_is_sent_and_counts_as_heard(bench: Bench) {
    let store = &*bench.store;
    // Nobody has heard of the beginning. A relay without an address, which drops such ends, is there as well.
    assert!(fires(store, "ears").await);
    let_go(store, Duration::ZERO).await;
    assert!(resolves(store, "ears").await);
    assert_eq!(hear(store).await, []);
    repeat(store, "ears, resolved").await;
    let_go(store, LONG).await;
    assert_eq!(hear(store).await, [RESOLVED]);
    // It begins again before that is sent.
    repeat(store, "ears, resolved").await;
    assert!(fires(store, "ears").await);
    assert_eq!(hear(store).await, [RESOLVED, FIRING]);
    // What was heard, and is dropped when it was to be sent once more, has an end.
    repeat(store, "ears, firing").await;
    let_go(store, Duration::ZERO).await;
    assert_eq!(claim(store, LONG).await, []);
    assert!(resolves(store, "ears").await);
    assert_eq!(hear(store).await, [RESOLVED]);
}

async fn what_is_repeated_while_it_is_sent_is_sent_once_more(bench: Bench) {
    let store = &*bench.store;
    assert!(fires(store, "ears").await);
    let mut connection = bench.connect().await;
    // It was not written in the millisecond in which it is repeated.
    let earlier = "UPDATE incidents SET created_at = created_at - 1000";
    sqlx::raw_sql(earlier).execute(&mut connection).await.expect("written");
    let first = claim(store, LONG).await;
    repeat(store, "ears, firing").await;
    finish(store, &first[0], Attempted::Delivered).await;
    let second = claim(store, LONG).await;
    assert_eq!((told(&second), second[0].attempts), (vec![("ears", FIRING)], 1));
    // What was sent before has the same number, and is another attempt.
    finish(store, &first[0], Attempted::Again(Duration::ZERO)).await;
    assert_eq!(claim(store, LONG).await, []);
    finish(store, &first[0], Attempted::GivenUp).await;
    finish(store, &first[0], Attempted::Delivered).await;
    finish(store, &second[0], Attempted::Again(Duration::ZERO)).await;
    let third = claim(store, LONG).await;
    assert_eq!((told(&third), third[0].attempts), (vec![("ears", FIRING)], 2));
}

async fn what_is_repeated_and_refused_holds_up_nothing_new(bench: Bench) {
    let store = &*bench.store;
    for provider in ["ears", "voice"] {
        assert!(fires(store, provider).await && resolves(store, provider).await);
    }
    assert_eq!(hear(store).await.len(), 4);
    for provider in ["ears", "voice"] {
        repeat(store, &format!("{provider}, resolved")).await;
        assert!(fires(store, provider).await);
    }
    // The receiver has had it, and refuses it.
    let repeated = [("ears", RESOLVED), ("voice", RESOLVED)];
    let first = claim(store, LONG).await;
    assert_eq!(told(&first), repeated, "it comes first if it is taken");
    for incident in &first {
        finish(store, incident, Attempted::Again(Duration::ZERO)).await;
    }
    let second = claim(store, LONG).await;
    assert_eq!(told(&second), repeated);
    for incident in &second {
        finish(store, incident, Attempted::Again(LONG)).await;
    }
    let new = claim(store, Duration::ZERO).await;
    assert_eq!(told(&new), [("ears", FIRING), ("voice", FIRING)]);
    finish(store, &new[0], Attempted::Delivered).await;
    // Nor does it keep what nobody takes.
    finish(store, &new[1], Attempted::Again(Duration::ZERO)).await;
    let_go(store, Duration::ZERO).await;
    assert_eq!(claim(store, LONG).await, []);
    // What is new holds up what is newer, as ever.
    assert!(resolves(store, "ears").await && fires(store, "ears").await);
    assert_eq!(told(&claim(store, LONG).await), [("ears", RESOLVED)]);
    assert_eq!(claim(store, LONG).await, []);
}

async fn what_is_repeated_is_given_up_when_a_newer_message_says_the_same(bench: Bench) {
    let store = &*bench.store;
    let often = IncidentPace { again: Duration::ZERO, ..PACE };
    assert!(fires(store, "ears").await);
    assert_eq!(hear(store).await, [FIRING]);
    repeat(store, "ears, firing").await;
    assert!(note(store, "ears", FIRING, often).await);
    assert_eq!(hear(store).await, [FIRING], "the newer one alone");
}
