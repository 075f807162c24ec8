//! Leases: one a relay, which all of its sessions share, and which each of them may be let go of alone.

use std::time::Duration;

use relay::records::store::{
    Expiring, Leases, Lost, Quality, Quota, SessionState, Store, Swept, TakeOver, TakenOver, unix_ms,
};

use super::{Bench, LEASE, RELAY, of_a_lost_relay, on_both_databases, open, quota, session};

on_both_databases! {
    a_lease_is_renewed_by_its_own_relay_only
    a_renewal_is_one_row_however_many_sessions_there_are_and_waits_for_none_of_them
    a_session_that_was_let_go_stays_so_when_its_relay_renews
    the_relay_that_has_a_session_is_found_by_the_address_that_it_has_said
    nobody_is_told_the_address_of_a_relay_that_is_not_heard_of
    a_relay_that_is_not_heard_of_is_not_waited_for
    a_relay_from_before_it_was_noted_who_is_there_is_waited_for_by_its_lease
    a_relay_that_stops_lets_all_of_its_sessions_go_at_once_and_no_other
    a_relay_without_a_lease_has_one_as_soon_as_it_has_a_session
    relays_of_the_version_before_and_of_this_one_take_nothing_from_each_other
    a_relay_is_forgotten_when_it_is_gone_and_has_left_no_session
    a_session_that_makes_room_ended_when_it_did_and_not_when_its_lease_would_have
    the_clock_by_which_leases_are_kept_can_be_read
    a_sweep_is_a_bounded_number_of_sessions_and_goes_on_with_those_that_have_waited_longest
}

/// Longer than any test takes.
const WINDOW: Duration = Duration::from_secs(600);

/// By their leases alone: those with less left are lost.
pub(super) fn by_lease(left: Duration) -> Lost {
    Lost { left, unseen: None }
}

async fn take_over(store: &dyn Store, id: &str, epoch: u32, relay: &str) -> Option<TakenOver> {
    let by = TakeOver { epoch, resume_hash: [8; 32], previous: [7; 32], relay: relay.into(), lease: LEASE };
    store.take_over(id, &by).await.expect("answered")
}

async fn state(store: &dyn Store, id: &str) -> SessionState {
    store.session(id).await.expect("read").expect("there").state
}

/// Until when they are their relays', by id.
async fn leases(store: &dyn Store) -> Vec<(String, i64)> {
    let rows = store.live_sessions(None, 100).await.expect("read").rows;
    let mut leases: Vec<_> = rows.into_iter().map(|row| (row.session.id, row.lease_until_ms)).collect();
    leases.sort();
    leases
}

async fn held(store: &dyn Store, relay: &str) -> Vec<String> {
    let mut held = store.sessions_held(relay).await.expect("read");
    held.sort();
    held
}

async fn run(bench: &Bench, sql: &str) -> u64 {
    let mut connection = bench.connect().await;
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
    done.expect("written").rows_affected()
}

async fn a_lease_is_renewed_by_its_own_relay_only(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &of_a_lost_relay()).await;
    open(store, &session("b"), &of_a_lost_relay()).await;
    open(store, &session("c"), &Quota { relay: "relay-2".into(), ..of_a_lost_relay() }).await;
    store.end_session("b", 0, "normal", Quality::default(), 1).await.expect("written");
    store.renew_lease("lost-relay", LEASE).await.expect("written");
    assert_eq!(held(store, "lost-relay").await, ["a"]);
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept { released: 1, ended: 1 });
    assert_eq!((state(store, "a").await, state(store, "c").await), (SessionState::Live, SessionState::Ended));
}

async fn a_renewal_is_one_row_however_many_sessions_there_are_and_waits_for_none_of_them(bench: Bench) {
    let store = &*bench.store;
    for id in ["a", "b", "c"] {
        open(store, &session(id), &quota()).await;
    }
    let before = run(&bench, "UPDATE relays SET lease_until = lease_until").await;
    assert_eq!(before, 1, "they share it");
    // Whoever has the sessions locked holds up nobody: no row of theirs is written.
    run(&bench, "UPDATE sessions SET reconnects = 7").await;
    let watched = match bench.is_postgres() {
        true => {
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'a session was written'; END $$;
            CREATE TRIGGER untouched BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION refuse()"
        }
        false => {
            "CREATE TRIGGER untouched BEFORE UPDATE ON sessions
            BEGIN SELECT RAISE(ABORT, 'a session was written'); END"
        }
    };
    run(&bench, watched).await;
    let first = leases(store).await;
    store.renew_lease(RELAY, 2 * LEASE).await.expect("no session is written");
    let second = leases(store).await;
    assert_eq!(first.len(), 3);
    assert!(first.iter().zip(&second).all(|(first, second)| first.1 < second.1), "{first:?} {second:?}");
    assert_eq!(run(&bench, "UPDATE relays SET lease_until = lease_until").await, 1);
}

async fn the_relay_that_has_a_session_is_found_by_the_address_that_it_has_said(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let found = async |id: &'static str, but: &'static str| {
        store.address_of(id, but, by_lease(Duration::ZERO)).await.expect("answered")
    };
    assert_eq!(found("a", "relay-2").await, None, "it has said none");
    store.advertise(RELAY, "http://10.0.0.6:8080").await.expect("written");
    store.advertise(RELAY, "http://10.0.0.7:8080").await.expect("written");
    store.advertise("nobody", "http://10.0.0.8:8080").await.expect("there is nothing to note");
    store.renew_lease(RELAY, LEASE).await.expect("written");
    let address = Some("http://10.0.0.7:8080".to_owned());
    assert_eq!(found("a", "relay-2").await, address, "a renewal leaves it");
    assert_eq!(found("a", RELAY).await, None, "one does not ask oneself");
    assert_eq!(found("b", "relay-2").await, None, "there is no such session");
    store.end_leases(Leases::Session { id: "a", relay: RELAY }).await.expect("written");
    assert_eq!(found("a", "relay-2").await, None, "it was let go");
    take_over(store, "a", 0, "relay-2").await.expect("live");
    assert_eq!(found("a", RELAY).await, None, "the next one has said none");
    store.advertise("relay-2", "http://10.0.0.9:8080").await.expect("written");
    assert_eq!(found("a", RELAY).await.as_deref(), Some("http://10.0.0.9:8080"));
    store.end_leases(Leases::Of("relay-2")).await.expect("written");
    assert_eq!(found("a", RELAY).await, None, "that one stops");
}

async fn nobody_is_told_the_address_of_a_relay_that_is_not_heard_of(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    store.renew_lease(RELAY, LEASE).await.expect("written");
    store.advertise(RELAY, "https://relay-1.internal").await.expect("written");
    let is_found = async |lost| store.address_of("a", "relay-2", lost).await.expect("answered").is_some();
    let silent_for = |seconds| Lost { left: Duration::ZERO, unseen: Some(Duration::from_secs(seconds)) };
    assert!(is_found(silent_for(2)).await);
    // It was killed three seconds ago: its lease goes on, and its address may be another one's by now.
    run(&bench, "UPDATE relays SET seen_at = seen_at - 3000").await;
    assert!(!is_found(silent_for(2)).await);
    assert!(is_found(silent_for(10)).await);
    assert!(is_found(by_lease(Duration::ZERO)).await);
    assert!(!is_found(by_lease(2 * LEASE)).await, "it has missed its renewals");
    store.renew_lease(RELAY, LEASE).await.expect("written");
    assert!(is_found(silent_for(2)).await, "it is heard of again");
}

async fn a_session_that_was_let_go_stays_so_when_its_relay_renews(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    store.end_leases(Leases::Session { id: "a", relay: "relay-2" }).await.expect("written");
    assert_eq!(held(store, RELAY).await, ["a", "b"], "it is not that one's to let go");
    store.end_leases(Leases::Session { id: "a", relay: RELAY }).await.expect("written");
    for _ in 0..2 {
        store.renew_lease(RELAY, LEASE).await.expect("written");
        assert_eq!(held(store, RELAY).await, ["b"]);
    }
    assert!(
        !store.ask_for("a", "relay-2", by_lease(Duration::ZERO)).await.expect("answered"),
        "nobody has it"
    );
    assert!(store.ask_for("b", "relay-2", by_lease(Duration::ZERO)).await.expect("answered"));
    take_over(store, "a", 0, "relay-2").await.expect("live");
    assert_eq!(
        (held(store, RELAY).await, held(store, "relay-2").await),
        (vec!["b".into()], vec!["a".into()])
    );
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept::default(), "both relays are there");
}

async fn a_relay_that_is_not_heard_of_is_not_waited_for(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let silent_for = |seconds| Lost { left: Duration::ZERO, unseen: Some(Duration::from_secs(seconds)) };
    assert!(store.ask_for("a", "relay-2", silent_for(2)).await.expect("answered"), "it began a session");
    // It was killed three seconds ago, and its lease goes on for a while.
    run(&bench, "UPDATE relays SET seen_at = seen_at - 3000").await;
    assert!(!store.ask_for("a", "relay-2", silent_for(2)).await.expect("answered"));
    assert!(store.ask_for("a", "relay-2", silent_for(10)).await.expect("answered"));
    assert!(store.ask_for("a", "relay-2", by_lease(Duration::ZERO)).await.expect("answered"));
    run(&bench, "UPDATE sessions SET end_requested = NULL").await;
    assert!(!store.ask_for("a", "relay-2", silent_for(2)).await.expect("answered"));
    assert_eq!(
        store.ends_requested(RELAY).await.expect("read"),
        [],
        "nothing is asked of a relay that is lost"
    );
    store.renew_lease(RELAY, LEASE).await.expect("written");
    assert!(store.ask_for("a", "relay-2", silent_for(2)).await.expect("answered"), "it is heard of again");
}

async fn a_relay_from_before_it_was_noted_who_is_there_is_waited_for_by_its_lease(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    run(&bench, "UPDATE relays SET seen_at = 0").await;
    let lost = Lost { left: Duration::ZERO, unseen: Some(Duration::ZERO) };
    assert!(store.ask_for("a", "relay-2", lost).await.expect("answered"));
    assert!(!store.ask_for("a", "relay-2", Lost { left: 2 * LEASE, ..lost }).await.expect("answered"));
}

async fn a_relay_that_stops_lets_all_of_its_sessions_go_at_once_and_no_other(bench: Bench) {
    let store = &*bench.store;
    for (id, relay) in [("a", RELAY), ("b", RELAY), ("c", "relay-2")] {
        open(store, &session(id), &Quota { relay: relay.into(), ..quota() }).await;
    }
    store.end_leases(Leases::Of(RELAY)).await.expect("written");
    assert_eq!((held(store, RELAY).await, held(store, "relay-2").await), (vec![], vec!["c".into()]));
    // A renewal that was on its way when the relay stopped brings nothing back.
    store.renew_lease(RELAY, LEASE).await.expect("written");
    assert_eq!(held(store, RELAY).await, [""; 0]);
    let since = leases(store).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.end_leases(Leases::OfAllBut("relay-2")).await.expect("written");
    assert_eq!(
        leases(store).await,
        since,
        "they wait since they were let go, not since somebody said so again"
    );
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept { released: 2, ended: 2 });
    store.end_leases(Leases::OfAllBut("")).await.expect("written");
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 1);
}

async fn a_relay_without_a_lease_has_one_as_soon_as_it_has_a_session(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("first"), &of_a_lost_relay()).await;
    take_over(store, "first", 0, "relay-2").await.expect("live");
    assert_eq!(
        store.sweep(Duration::ZERO).await.expect("swept"),
        Swept::default(),
        "relay-2 is there from now on"
    );
    // It has not renewed in time, and is there again.
    store.end_leases(Leases::Of("relay-2")).await.expect("written");
    open(store, &session("second"), &Quota { relay: "relay-2".into(), ..quota() }).await;
    let [first, second] = leases(store).await.try_into().expect("two");
    let now = unix_ms();
    assert!(first.1 <= now && second.1 > now, "{first:?} {second:?}");
    // One that has a lease does not get a shorter one.
    open(store, &session("third"), &Quota { relay: "relay-2".into(), lease: Duration::ZERO, ..quota() })
        .await;
    assert_eq!(leases(store).await[2].1, second.1);
}

async fn relays_of_the_version_before_and_of_this_one_take_nothing_from_each_other(bench: Bench) {
    let store = &*bench.store;
    for id in ["new", "old", "old and lost"] {
        open(store, &session(id), &quota()).await;
    }
    // As a relay writes that knows no table of relays: each session has a lease of its own.
    let now = unix_ms();
    let soon = now + 60_000;
    run(&bench, &format!("UPDATE sessions SET relay = 'before', lease_until = {soon} WHERE id = 'old'"))
        .await;
    let late = now - 1;
    run(
        &bench,
        &format!("UPDATE sessions SET relay = 'before', lease_until = {late} WHERE id = 'old and lost'"),
    )
    .await;
    // How it looks for what is lost, and renews what is its own.
    let lost = format!("UPDATE sessions SET reconnects = 0 WHERE state = 'live' AND lease_until <= {now}");
    assert_eq!(run(&bench, &lost).await, 1, "of this version's sessions it takes none");
    assert!(
        store.ask_for("old", RELAY, by_lease(LEASE / 2)).await.expect("answered"),
        "it is there, and is asked"
    );
    assert!(!store.ask_for("old and lost", RELAY, by_lease(Duration::ZERO)).await.expect("answered"));
    assert_eq!(store.sweep(WINDOW).await.expect("swept"), Swept::default());
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 1);
    assert_eq!(state(store, "old and lost").await, SessionState::Ended);
    assert_eq!(leases(store).await.iter().find(|(id, _)| id == "old").expect("live").1, soon);

    take_over(store, "old", 0, RELAY).await.expect("live");
    assert_eq!(held(store, RELAY).await, ["new", "old"]);
    store.end_leases(Leases::Of("before")).await.expect("written");
    assert_eq!(held(store, RELAY).await, ["new", "old"]);
    // It takes one over, as its version does, and stops.
    run(&bench, &format!("UPDATE sessions SET relay = 'before', lease_until = {soon} WHERE id = 'new'"))
        .await;
    assert!(store.ask_for("new", RELAY, by_lease(Duration::ZERO)).await.expect("answered"));
    store.end_leases(Leases::Of("before")).await.expect("written");
    assert!(!store.ask_for("new", RELAY, by_lease(Duration::ZERO)).await.expect("answered"), "it has let go");
}

async fn a_relay_is_forgotten_when_it_is_gone_and_has_left_no_session(bench: Bench) {
    let store = &*bench.store;
    let lost = |relay: &str| Quota { relay: relay.into(), ..of_a_lost_relay() };
    for (id, relay) in [("a", "left one"), ("b", "left none")] {
        open(store, &session(id), &lost(relay)).await;
    }
    store.end_session("b", 0, "normal", Quality::default(), 1).await.expect("written");
    open(store, &session("c"), &quota()).await;
    store.end_session("c", 0, "normal", Quality::default(), 1).await.expect("written");
    let gone = Expiring::Relays { before_ms: unix_ms() + 1_000 };
    assert_eq!(store.expire(gone, 10).await.expect("deleted"), 1);
    assert_eq!(store.expire(gone, 10).await.expect("deleted"), 0);
    assert_eq!(run(&bench, "DELETE FROM relays WHERE id = 'left none'").await, 0);
    // Should a row be missing nevertheless, its sessions are lost, and not somebody's for ever.
    run(&bench, "DELETE FROM relays").await;
    assert_eq!(store.sweep(WINDOW).await.expect("swept"), Swept { released: 1, ended: 1 });
}

async fn a_session_that_makes_room_ended_when_it_did_and_not_when_its_lease_would_have(bench: Bench) {
    let store = &*bench.store;
    let quota = Quota { sessions_per_user: 1, ..quota() };
    open(store, &session("a"), &quota).await;
    store.set_attached("a", 0, false).await.expect("written");
    open(store, &session("b"), &quota).await;
    let ended = store.session("a").await.expect("read").expect("there").ended_at_ms.expect("over");
    assert!((unix_ms() - ended).abs() < LEASE.as_millis() as i64 / 2, "{ended}");
}

async fn the_clock_by_which_leases_are_kept_can_be_read(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let until = leases(store).await[0].1;
    let shown = store.clock_ms().await.expect("read");
    let length = LEASE.as_millis() as i64;
    assert!((until - length..until).contains(&shown), "{shown}, and the lease is good until {until}");
}

async fn a_sweep_is_a_bounded_number_of_sessions_and_goes_on_with_those_that_have_waited_longest(
    bench: Bench,
) {
    let store = &*bench.store;
    let limits = Quota { sessions_per_user: 1_000, ..of_a_lost_relay() };
    for n in 0..120 {
        open(store, &session(&format!("{n:03}")), &limits).await;
    }
    // Another relay was lost before.
    open(store, &session("first"), &Quota { relay: "earlier".into(), ..limits.clone() }).await;
    run(&bench, "UPDATE relays SET lease_until = 1 WHERE id = 'earlier'").await;
    assert_eq!(state(store, "first").await, SessionState::Live);
    let mut sweeps = Vec::new();
    loop {
        match store.sweep(Duration::ZERO).await.expect("swept") {
            Swept { ended: 0, .. } => break,
            Swept { ended, .. } => sweeps.push(ended),
        }
        assert_eq!(state(store, "first").await, SessionState::Ended, "the first sweep has it");
    }
    assert!(sweeps.len() >= 2 && sweeps.iter().sum::<u32>() == 121, "{sweeps:?}");
}

/// Rows of SQLite are not locked.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_a_lost_session_that_somebody_has_locked_holds_up_no_other() {
    let bench = Bench::postgres().await;
    let store = &*bench.store;
    for id in ["a", "b", "c"] {
        open(store, &session(id), &of_a_lost_relay()).await;
    }
    let mut operator = bench.connect().await;
    let lock = "BEGIN; SELECT * FROM sessions WHERE id = 'a' FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut operator).await.expect("locked");
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 2);
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept::default());
    sqlx::raw_sql("ROLLBACK").execute(&mut operator).await.expect("free");
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 1);
}
