//! Sessions: limits, leases, taking over, ending.

use std::time::Duration;

use protocol::{Mark, Role};
use relay::money::budget::Range;
use relay::records::store::{
    EndRequest, HAND_OFF, Inherited, InsteadOf, Leases, NewSession, Opened, Quality, Quota, SessionState,
    Settle, StoreError, Swept, TakeOver, Whom, unix_ms,
};

use super::leases::by_lease;
use super::{
    Bench, LEASE, RELAY, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, row, session, settle,
    turn, usd,
};

on_both_databases! {
    a_session_is_read_back_as_it_was_written
    an_ended_session_takes_nothing_more
    a_session_id_is_taken_once
    a_user_and_an_account_have_no_more_live_sessions_than_their_limits
    who_asks_whether_a_session_may_begin_is_told_what_one_that_begins_would_be_and_changes_nothing
    a_session_without_a_connection_makes_room
    a_session_of_another_account_makes_no_room_in_one_that_is_full
    a_session_whose_relay_is_lost_keeps_its_place_until_another_needs_it
    a_take_over_tells_when_something_was_last_metered_and_which_turn_is_next
    a_relay_that_is_there_is_asked_to_hand_a_session_over
    of_many_that_begin_at_once_as_many_get_in_as_may
    a_conversation_goes_on_for_its_own_user_only
    a_session_is_taken_over_once
    what_a_session_has_paid_for_is_not_metered_in_the_one_that_takes_its_place
    what_nobody_takes_over_is_ended
}

fn of(user: &str, account: &str, id: &str) -> NewSession {
    NewSession { user_sub: user.into(), account: account.into(), ..session(id) }
}

async fn a_session_is_read_back_as_it_was_written(bench: Bench) {
    let store = &*bench.store;
    assert_eq!(store.session("a").await.expect("read"), None);
    let new = NewSession {
        plan: Some("pro".into()),
        committed: Mark { seq: 3, position: 4_800 },
        recording: Some("2026/a.wav".into()),
        epoch: 2,
        ..session("a")
    };
    open(store, &new, &quota()).await;
    store.rotate_resume("a", 2, &[8; 32], Some(&[7; 32]), 1).await.expect("written");
    store.note_strikes("a", 2, 3).await.expect("written");

    let row = store.session("a").await.expect("read").expect("there");
    assert_eq!((row.state, row.ended_at_ms, row.end_reason.as_deref()), (SessionState::Live, None, None));
    assert_eq!(
        (row.user_sub.as_str(), row.account.as_str(), row.plan.as_deref()),
        ("ada", "acme", Some("pro"))
    );
    assert_eq!((row.client.as_str(), row.agent.as_str(), row.relay.as_str()), ("test/1", "echo", RELAY));
    assert_eq!((row.conversation_id.as_str(), row.login.as_deref()), ("a", Some("login-1")));
    assert_eq!((row.resume_hash, row.resume_hash_previous), ([8; 32], Some([7; 32])));
    assert_eq!((row.epoch, row.reconnects, row.strikes), (2, 1, 3));
    assert_eq!(row.started_at_ms, new.started_at_ms);
    assert_eq!((row.committed, row.metered_position), (new.committed, 4_800));
    assert_eq!(row.recording, new.recording);

    let quality = Quality { rtt_avg_us: 1_000, rtt_max_us: 5_000, lost_samples: 16_000 };
    store.end_session("a", 2, "normal", quality, 2_000).await.expect("written");
    let row = bench.another().await.session("a").await.expect("read").expect("there");
    assert_eq!(
        (row.state, row.ended_at_ms, row.end_reason.as_deref(), row.quality, row.resume_hash_previous),
        (SessionState::Ended, Some(2_000), Some("normal"), quality, None)
    );
}

async fn an_ended_session_takes_nothing_more(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    store.end_session("a", 0, "normal", Quality::default(), 2_000).await.expect("written");
    for refused in [
        store.end_session("a", 0, "idle", Quality::default(), 3_000).await,
        store.rotate_resume("a", 0, &[1; 32], None, 1).await,
        store.set_attached("a", 0, true).await,
        store.note_strikes("a", 0, 1).await,
        store.save_turns("a", 0, &[], Mark::default(), 0).await,
        store.end_session("nobody", 0, "normal", Quality::default(), 3_000).await,
    ] {
        assert!(matches!(refused, Err(StoreError::NoSession { .. })), "{refused:?}");
    }
    assert_eq!(store.session("a").await.expect("read").expect("there").end_reason.as_deref(), Some("normal"));
}

async fn a_session_id_is_taken_once(bench: Bench) {
    open(&*bench.store, &session("a"), &quota()).await;
    let again = bench.store.open_session(&session("a"), &quota()).await;
    assert!(matches!(&again, Err(error @ StoreError::Database(_)) if !error.is_away()), "{again:?}");
}

async fn a_user_and_an_account_have_no_more_live_sessions_than_their_limits(bench: Bench) {
    let store = &*bench.store;
    let quota = Quota { sessions_per_user: 2, sessions_per_account: 3, ..quota() };
    let opened = async |session: NewSession| store.open_session(&session, &quota).await.expect("answered");
    assert!(matches!(opened(session("1")).await, Opened::Yes { .. }));
    assert!(matches!(opened(session("2")).await, Opened::Yes { .. }));
    assert_eq!(opened(session("3")).await, Opened::UserFull { live: 2 });
    assert!(matches!(opened(of("bob", "acme", "4")).await, Opened::Yes { .. }));
    assert_eq!(opened(of("bob", "acme", "5")).await, Opened::AccountFull { live: 3 });
    assert!(matches!(opened(of("cleo", "other", "6")).await, Opened::Yes { .. }));
    store.end_session("1", 0, "normal", Quality::default(), 1).await.expect("written");
    assert!(matches!(opened(session("7")).await, Opened::Yes { .. }));
    assert_eq!(store.session("3").await.expect("read"), None, "a refusal leaves nothing");
}

async fn who_asks_whether_a_session_may_begin_is_told_what_one_that_begins_would_be_and_changes_nothing(
    bench: Bench,
) {
    let store = &*bench.store;
    let quota =
        Quota { sessions_per_user: 1, reserve: Range { at_least: usd(10), at_most: usd(10) }, ..quota() };
    let short = Quota { caps: caps(WIDE, 5, WIDE), ..quota.clone() };
    let look = async |quota: &Quota| store.may_open_session(&session("1"), quota).await.expect("answered");
    for _ in 0..3 {
        assert!(matches!(look(&quota).await, Opened::Yes { replaced: None, .. }));
        assert!(matches!(look(&short).await, Opened::NoMoney(_)));
    }
    assert_eq!(store.session("1").await.expect("read"), None);
    open(store, &session("1"), &quota).await;
    let second = async || store.may_open_session(&session("2"), &quota).await.expect("answered");
    assert_eq!(second().await, Opened::UserFull { live: 1 });
    store.set_attached("1", 0, false).await.expect("written");
    assert!(matches!(second().await, Opened::Yes { replaced: Some(_), .. }), "it would make room");
    let row = store.session("1").await.expect("read").expect("there");
    assert_eq!(row.state, SessionState::Live, "and makes none");
    let foreign = NewSession { conversation_id: "nobody's".into(), ..session("3") };
    assert_eq!(store.may_open_session(&foreign, &quota).await.expect("answered"), Opened::NoConversation);
}

async fn a_session_without_a_connection_makes_room(bench: Bench) {
    let store = &*bench.store;
    let quota = Quota { sessions_per_user: 2, ..quota() };
    open(store, &session("1"), &quota).await;
    open(store, &session("2"), &quota).await;
    store.set_attached("2", 0, false).await.expect("written");
    let opened = store.open_session(&session("3"), &quota).await.expect("answered");
    assert!(matches!(&opened, Opened::Yes { replaced: Some(id), .. } if id == "2"), "{opened:?}");
    let row = store.session("2").await.expect("read").expect("there");
    assert_eq!((row.state, row.end_reason.as_deref()), (SessionState::Ended, Some("replaced")));

    store.set_attached("1", 0, false).await.expect("written");
    store.set_attached("1", 0, true).await.expect("written");
    assert_eq!(
        store.open_session(&session("4"), &quota).await.expect("answered"),
        Opened::UserFull { live: 2 }
    );
}

async fn a_session_of_another_account_makes_no_room_in_one_that_is_full(bench: Bench) {
    let store = &*bench.store;
    let quota = Quota { sessions_per_user: 3, sessions_per_account: 2, ..quota() };
    for session in [of("bob", "acme", "1"), of("cleo", "acme", "2"), of("ada", "other", "3")] {
        open(store, &session, &quota).await;
    }
    store.set_attached("3", 0, false).await.expect("written");
    assert_eq!(
        store.open_session(&of("ada", "acme", "4"), &quota).await.expect("answered"),
        Opened::AccountFull { live: 2 }
    );
    assert_eq!(store.session("3").await.expect("read").expect("there").state, SessionState::Live);
    // Of the user's own that wait, one of the account that is called makes room before those of others.
    store.end_session("1", 0, "normal", Quality::default(), 1).await.expect("written");
    open(store, &of("ada", "acme", "5"), &quota).await;
    store.set_attached("5", 0, false).await.expect("written");
    let opened = store.open_session(&of("ada", "acme", "6"), &quota).await.expect("answered");
    assert!(matches!(&opened, Opened::Yes { replaced: Some(id), .. } if id == "5"), "{opened:?}");
    // Where the user has too many, any of them that waits makes room.
    open(store, &of("ada", "third", "7"), &quota).await;
    let opened = store.open_session(&of("ada", "third", "8"), &quota).await.expect("answered");
    assert!(matches!(&opened, Opened::Yes { replaced: Some(id), .. } if id == "3"), "{opened:?}");
}

async fn a_session_whose_relay_is_lost_keeps_its_place_until_another_needs_it(bench: Bench) {
    let store = &*bench.store;
    let quota = Quota { sessions_per_user: 2, sessions_per_account: 3, ..quota() };
    for id in ["1", "2"] {
        open(store, &session(id), &quota).await;
    }
    // Its relay stops: both wait to be resumed.
    store.end_leases(Leases::Of(RELAY)).await.expect("written");
    open(store, &of("bob", "acme", "3"), &quota).await;
    assert_eq!(
        store.open_session(&of("cleo", "acme", "4"), &quota).await.expect("answered"),
        Opened::AccountFull { live: 3 },
        "what waits to be resumed counts, and is not given to somebody else"
    );
    store.end_leases(Leases::Session { id: "3", relay: "relay-2" }).await.expect("written");
    let taken = store.take_over("2", &take_over(0, "relay-2")).await.expect("written");
    assert!(taken.is_some());
    // Two old ones and two new ones never are there at once: the one that waits makes room, the one that was resumed does not.
    let opened = store.open_session(&session("5"), &quota).await.expect("answered");
    assert!(matches!(&opened, Opened::Yes { replaced: Some(id), .. } if id == "1"), "{opened:?}");
    assert_eq!(
        store.open_session(&session("6"), &quota).await.expect("answered"),
        Opened::UserFull { live: 2 }
    );
    assert_eq!(store.take_over("1", &take_over(0, "relay-2")).await.expect("answered"), None, "it is over");
    store.end_leases(Leases::Session { id: "5", relay: RELAY }).await.expect("written");
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 1, "nobody came back for it");
    let opened = store.open_session(&session("6"), &quota).await.expect("answered");
    assert!(matches!(opened, Opened::Yes { replaced: None, .. }), "{opened:?}");
}

async fn a_relay_that_is_there_is_asked_to_hand_a_session_over(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let fresh = by_lease(LEASE - Duration::from_secs(15));
    assert!(!store.ask_for("a", RELAY, fresh).await.expect("answered"), "it has it itself");
    assert!(!store.ask_for("nobody", "relay-2", fresh).await.expect("answered"));
    assert_eq!(store.ends_requested(RELAY).await.expect("read"), []);
    for _ in 0..2 {
        assert!(store.ask_for("a", "relay-2", fresh).await.expect("answered"));
        let asked = EndRequest { id: "a".into(), reason: HAND_OFF.into() };
        assert_eq!(store.ends_requested(RELAY).await.expect("read"), [asked]);
    }
    store.end_leases(Leases::Session { id: "a", relay: RELAY }).await.expect("written");
    assert!(!store.ask_for("a", "relay-2", fresh).await.expect("answered"), "it has let go");
    store.take_over("a", &take_over(0, "relay-2")).await.expect("written").expect("live");
    assert_eq!(store.ends_requested("relay-2").await.expect("read"), [], "the wish is fulfilled");

    // One whose relay has not renewed it lately is not waited for; and what an administrator wants stands.
    assert!(
        !store.ask_for("b", "relay-2", by_lease(LEASE + Duration::from_secs(1))).await.expect("answered")
    );
    store.request_end(Whom::Session("b"), "ended_by_operator", None).await.expect("written");
    assert!(store.ask_for("b", "relay-2", fresh).await.expect("answered"));
    store.take_over("b", &take_over(0, "relay-2")).await.expect("written").expect("live");
    let wanted = EndRequest { id: "b".into(), reason: "ended_by_operator".into() };
    assert_eq!(store.ends_requested("relay-2").await.expect("read"), [wanted]);
}

async fn a_take_over_tells_when_something_was_last_metered_and_which_turn_is_next(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    let taken = store.take_over("a", &take_over(0, "relay-2")).await.expect("written").expect("live");
    assert_eq!(taken.metered_at_ms, None);
    for (epoch, at_ms, key) in [(1, 5_000, "x@0"), (1, 9_000, "x@1")] {
        let settle = Settle { epoch, at_ms, ..settle("a", vec![row(key, 1, 3)], all) };
        store.settle(&settle).await.expect("written");
    }
    let taken = store.take_over("a", &take_over(1, "relay-3")).await.expect("written").expect("live");
    assert_eq!((taken.metered_at_ms, taken.next_turn), (Some(9_000), 0));
    for number in 0..3 {
        store
            .save_turns("a", 2, &[turn(number, Role::User, "one")], Mark::default(), 0)
            .await
            .expect("written");
    }
    let taken = store.take_over("a", &take_over(2, "relay-4")).await.expect("written").expect("live");
    assert_eq!(taken.next_turn, 3);
}

async fn of_many_that_begin_at_once_as_many_get_in_as_may(bench: Bench) {
    let quota = Quota { sessions_per_user: 7, sessions_per_account: 20, ..quota() };
    let stores = [bench.store.clone(), bench.another().await];
    let tasks: Vec<_> = (0..60)
        .map(|n: usize| {
            let (store, quota) = (stores[n % 2].clone(), quota.clone());
            let session = of(["ada", "bob", "cleo"][n % 3], "acme", &format!("s{n}"));
            tokio::spawn(async move {
                let opened = store.open_session(&session, &quota).await.expect("answered");
                (session.user_sub, matches!(opened, Opened::Yes { .. }))
            })
        })
        .collect();
    let mut of_user = std::collections::HashMap::<String, u32>::new();
    for task in tasks {
        let (user, opened) = task.await.expect("no panic");
        *of_user.entry(user).or_default() += u32::from(opened);
    }
    assert_eq!(of_user.values().sum::<u32>(), 20);
    assert!(of_user.values().all(|count| *count <= 7), "{of_user:?}");
}

async fn a_conversation_goes_on_for_its_own_user_only(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let next = NewSession { conversation_id: "a".into(), ..session("b") };
    open(store, &next, &quota()).await;
    assert_eq!(store.session("b").await.expect("read").expect("there").conversation_id, "a");
    for foreign in [
        NewSession { conversation_id: "a".into(), ..of("bob", "acme", "c") },
        NewSession { conversation_id: "b".into(), ..session("d") },
        // Another tenant may have the same user, and is not to read what they said here.
        NewSession { conversation_id: "a".into(), ..of("ada", "other", "e") },
    ] {
        assert_eq!(store.open_session(&foreign, &quota()).await.expect("answered"), Opened::NoConversation);
    }
}

fn take_over(epoch: u32, relay: &str) -> TakeOver {
    TakeOver { epoch, resume_hash: [8; 32], previous: [7; 32], relay: relay.into(), lease: LEASE }
}

async fn what_a_session_has_paid_for_is_not_metered_in_the_one_that_takes_its_place(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    let begin = |id: &str, user: &str, before: &str, hash: u8, seq: u32| NewSession {
        committed: Mark { seq, position: 1_600 * seq },
        instead_of: Some(InsteadOf { session_id: before.into(), resume_hash: [hash; 32] }),
        ..of(user, "acme", id)
    };
    let quota = Quota { sessions_per_user: 20, ..quota() };
    // Three seconds were metered, and two of them were committed.
    open(store, &session("a"), &quota).await;
    let metered = Settle {
        metered_position: 48_000,
        committed: Mark { seq: 20, position: 32_000 },
        replayable_samples: 16_000,
        release: true,
        ..settle("a", vec![row("1", 48_000, 40)], wide)
    };
    store.settle(&metered).await.expect("written");
    let inherits = async |new: NewSession| match store.open_session(&new, &quota).await.expect("answered") {
        Opened::Yes { inherited: Inherited { committed, paid, metered_through }, .. } => {
            (committed.seq, paid, metered_through)
        }
        other => panic!("{other:?}"),
    };

    assert_eq!(
        inherits(begin("b", "ada", "a", 7, 15)).await,
        (15, 0, 24_000),
        "it lives, and may be resumed yet"
    );
    store.end_session("a", 0, "abnormal", Quality::default(), unix_ms()).await.expect("written");
    assert_eq!(inherits(begin("c", "bob", "a", 7, 15)).await, (15, 0, 24_000), "somebody else's");
    assert_eq!(inherits(begin("d", "ada", "a", 6, 15)).await, (15, 0, 24_000), "a wrong token");
    assert_eq!(inherits(begin("e", "ada", "x", 7, 15)).await, (15, 0, 24_000), "it does not exist");
    assert_eq!(
        inherits(begin("f", "ada", "a", 7, 15)).await,
        (20, 16_000, 48_000),
        "committed, and paid for"
    );
    assert_eq!(
        inherits(begin("g", "ada", "a", 7, 15)).await,
        (20, 0, 48_000),
        "what is paid for is given once"
    );
    let row = store.session("f").await.expect("read").expect("there");
    assert_eq!((row.replayable_samples, row.metered_position, row.audio_samples), (16_000, 48_000, 0));
    assert_eq!(row.committed, Mark { seq: 20, position: 32_000 });
}

async fn a_session_is_taken_over_once(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let taken = store.take_over("a", &take_over(0, "relay-2")).await.expect("written").expect("live");
    let row = taken.session;
    assert_eq!((row.epoch, row.reconnects, row.relay.as_str()), (1, 1, "relay-2"));
    assert_eq!((row.resume_hash, row.resume_hash_previous), ([8; 32], Some([7; 32])));
    assert_eq!(store.take_over("a", &take_over(0, "relay-3")).await.expect("answered"), None, "too late");
    assert_eq!(store.take_over("nobody", &take_over(0, "relay-3")).await.expect("answered"), None);
    let fenced = store.end_session("a", 0, "normal", Quality::default(), 1).await;
    assert!(matches!(fenced, Err(StoreError::Fenced { .. })), "{fenced:?}");
    store.end_session("a", 1, "normal", Quality::default(), 1).await.expect("written");
    assert_eq!(store.take_over("a", &take_over(1, "relay-3")).await.expect("answered"), None, "it is over");
}

async fn what_nobody_takes_over_is_ended(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("kept"), &quota()).await;
    open(store, &session("lost"), &of_a_lost_relay()).await;
    let window = Duration::from_secs(120);
    assert_eq!(store.sweep(window).await.expect("swept"), Swept::default(), "it may still be resumed");
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept { released: 1, ended: 1 });
    let row = store.session("lost").await.expect("read").expect("there");
    assert_eq!((row.state, row.end_reason.as_deref()), (SessionState::Ended, Some("abnormal")));
    assert!(row.ended_at_ms.is_some_and(|at| (at - unix_ms()).abs() < 60_000));
    assert_eq!(store.session("kept").await.expect("read").expect("there").state, SessionState::Live);
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept::default());
}
