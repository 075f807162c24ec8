//! Turns.

use std::time::Duration;

use protocol::{Mark, Resume, Role};
use relay::call::{Latency, Turn};
use relay::records::store::{
    InsteadOf, NewSession, Opened, Quality, Quota, Reserve, Store, StoreError, Swept, TakeOver, unix_ms,
};
use relay::session::beginning::Beginning;

use super::{
    Bench, LEASE, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, reserve, session, turn, usd,
};

on_both_databases! {
    a_turn_is_written_over_and_what_is_committed_never_goes_back
    what_a_turn_lacks_leaves_what_is_stored
    a_version_of_a_turn_that_comes_late_replaces_no_later_one
    whoever_takes_over_is_told_of_the_answers_of_which_nobody_has_said_how_far_they_were_heard
    of_every_answer_what_was_not_heard_is_taken_back_and_later_if_a_take_over_came_to_nothing
    a_relay_that_lost_the_session_writes_nothing_more
    what_a_relay_had_kept_is_written_when_the_session_has_ended_unless_another_one_goes_on_from_there
    what_was_taken_back_of_an_answer_is_taken_back_when_the_session_has_ended_too
    what_a_lost_relay_had_kept_is_written_although_what_it_had_exposed_was_charged
    what_a_relay_had_kept_of_a_session_that_was_ended_elsewhere_is_written
    what_a_relay_had_kept_is_not_written_once_another_one_has_taken_the_session_over
    a_take_over_by_a_relay_that_knows_nothing_of_kept_epochs_counts_all_the_same
    nothing_that_a_relay_had_kept_of_a_deleted_session_is_written
    any_text_is_stored_as_it_was_said
    the_newest_turns_of_a_conversation_are_read_in_order_and_nobody_elses
    nobody_reads_in_a_conversation_what_others_said_there_even_if_its_rows_were_mixed
}

async fn a_turn_is_written_over_and_what_is_committed_never_goes_back(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let far = Mark { seq: 20, position: 32_000 };
    let turns = [turn(0, Role::User, "hel"), turn(1, Role::Agent, "You said")];
    store.save_turns("a", 0, &turns, far, 0).await.expect("written");
    let turns = [turn(0, Role::User, "hello"), turn(1, Role::Agent, "You said: hello")];
    store.save_turns("a", 0, &turns, Mark { seq: 5, position: 8_000 }, 0).await.expect("written");

    let rows = store.turns("a").await.expect("read");
    let texts: Vec<_> = rows.iter().map(|row| (row.turn.text.as_str(), row.turn.role)).collect();
    assert_eq!(texts, [("hello", Role::User), ("You said: hello", Role::Agent)]);
    assert!(rows.iter().all(|row| (row.created_at_ms - unix_ms()).abs() < 60_000));
    assert_eq!(store.session("a").await.expect("read").expect("there").committed, far);
    assert_eq!(bench.another().await.turns("a").await.expect("read"), rows);
}

async fn what_a_turn_lacks_leaves_what_is_stored(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let latency = Latency { stt_ms: Some(200), llm_ms: Some(300), send_ms: Some(2), ..Latency::default() };
    let first = Turn { heard: Some(500), latency, ..turn(0, Role::Agent, "hello") };
    store.save_turns("a", 0, std::slice::from_ref(&first), Mark::default(), 0).await.expect("written");
    let later = Latency { tts_ms: Some(0), heard_ms: Some(9), total_ms: Some(500), ..Latency::default() };
    let second = Turn { latency: later, ..turn(0, Role::Agent, "hello") };
    store.save_turns("a", 0, &[second], Mark::default(), 0).await.expect("written");
    let stored = &store.turns("a").await.expect("read")[0].turn;
    let latency = Latency { tts_ms: Some(0), heard_ms: Some(9), total_ms: Some(500), ..latency };
    assert_eq!(*stored, Turn { latency, ..first });
}

async fn a_version_of_a_turn_that_comes_late_replaces_no_later_one(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let version = |revision, text: &str| Turn { revision, ..turn(0, Role::User, text) };
    let far = Mark { seq: 20, position: 32_000 };
    store.save_turns("a", 0, &[version(2, "hello you")], far, 0).await.expect("written");
    for kept in [false, true] {
        let late = [version(1, "hello"), Turn { revision: 3, ..turn(1, Role::Agent, "hi") }];
        let written = match kept {
            true => store.save_kept_turns("a", 0, &late, Mark::default(), 0).await,
            false => store.save_turns("a", 0, &late, Mark::default(), 0).await,
        };
        written.expect("it is done, and the rest of it is written");
        let texts: Vec<String> =
            store.turns("a").await.expect("read").into_iter().map(|row| row.turn.text).collect();
        assert_eq!(texts, ["hello you", "hi"]);
    }
    // The same write, once more, and the first one of the relay that goes on with the session.
    store.save_turns("a", 0, &[version(2, "hello you")], far, 0).await.expect("written");
    let by =
        TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    store.take_over("a", &by).await.expect("written").expect("live");
    store.save_turns("a", 1, &[version(1, "hello you two")], far, 0).await.expect("written");
    assert_eq!(store.turns("a").await.expect("read")[0].turn.text, "hello you two");
}

async fn whoever_takes_over_is_told_of_the_answers_of_which_nobody_has_said_how_far_they_were_heard(
    bench: Bench,
) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let by = |epoch| TakeOver {
        epoch,
        resume_hash: [8; 32],
        previous: [7; 32],
        relay: "relay-2".into(),
        lease: LEASE,
    };
    let heard = Turn { heard: Some(16_000), ..turn(1, Role::Agent, "one") };
    let written = Turn { end: 0, ..turn(4, Role::Agent, "in writing") };
    let turns = [turn(0, Role::User, "hello"), heard, turn(2, Role::User, "more"), written];
    store.save_turns("a", 0, &turns, Mark::default(), 0).await.expect("written");
    let taken = store.take_over("a", &by(0)).await.expect("written").expect("live");
    assert!(taken.unheard.is_empty(), "it was heard, or has no sound: {taken:?}");

    let (late, under_way) = (turn(5, Role::Agent, "two three"), turn(7, Role::Agent, "four"));
    let between = turn(6, Role::User, "and then");
    let turns = [late.clone(), between, under_way.clone()];
    store.save_turns("a", 1, &turns, Mark::default(), 0).await.expect("written");
    let taken = store.take_over("a", &by(1)).await.expect("written").expect("live");
    let both = [(1, late.clone()), (1, under_way.clone())];
    assert_eq!(taken.unheard, both, "its client was slow to say how far the first was heard");
    // The next relay is lost before it has written anything, or has written one of them.
    let taken = store.take_over("a", &by(2)).await.expect("written").expect("live");
    assert_eq!(taken.unheard, both, "nobody has said it yet");
    let said = Turn { heard: Some(16_000), ..late };
    store.save_turns("a", 3, &[said], Mark::default(), 0).await.expect("written");
    let more: Vec<Turn> = (8..20).map(|number| turn(number, Role::Agent, "more")).collect();
    let taken = store.take_over("a", &by(3)).await.expect("written").expect("live");
    assert_eq!(taken.unheard, [(1, under_way)]);
    store.save_turns("a", 4, &more, Mark::default(), 0).await.expect("written");
    let taken = store.take_over("a", &by(4)).await.expect("written").expect("live");
    let numbers: Vec<u32> = taken.unheard.iter().map(|(_, turn)| turn.turn).collect();
    assert_eq!(numbers, (11..20).collect::<Vec<_>>(), "the newest");
}

async fn of_every_answer_what_was_not_heard_is_taken_back_and_later_if_a_take_over_came_to_nothing(
    bench: Bench,
) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    // A later session of the conversation, with a turn of the same number.
    open(store, &NewSession { conversation_id: "a".into(), ..session("b") }, &quota()).await;
    let said =
        |number: u32, start| Turn { start, end: start + 24_000, ..turn(number, Role::Agent, "one two") };
    let turns = [turn(0, Role::User, "hello"), said(1, 0), said(2, 24_000), said(3, 48_000)];
    store.save_turns("a", 0, &turns, Mark::default(), 0).await.expect("written");
    store.save_turns("b", 0, &[said(3, 0)], Mark::default(), 0).await.expect("written");
    let by = |epoch| TakeOver {
        epoch,
        resume_hash: [8; 32],
        previous: [7; 32],
        relay: "relay-2".into(),
        lease: LEASE,
    };
    // The client never hears of this relay, which answers, and is lost before it has written what it took back.
    store.take_over("a", &by(0)).await.expect("written").expect("live");
    store.save_turns("a", 1, &[said(4, 0)], Mark::default(), 0).await.expect("written");
    let taken = store.take_over("a", &by(1)).await.expect("written").expect("live");
    let beginning = |epoch, played| {
        let (session_id, resume_token) = ("a".to_owned(), "token".to_owned());
        let resume = Resume { session_id, resume_token, epoch, received: 0, played };
        Beginning::taken_over(taken.clone(), &resume, 24_000, quota().caps, unix_ms())
    };
    let left = |beginning: &Beginning| -> Vec<(u32, String, Option<u32>)> {
        let left = beginning.broken_off.iter();
        left.map(|turn| (turn.turn, turn.text.clone(), turn.heard)).collect()
    };
    let back = beginning(0, Some(40_000));
    let heard = [
        (1, "one two".to_owned(), Some(24_000)),
        (2, "one".to_owned(), Some(40_000)),
        (3, String::new(), Some(48_000)),
        (4, String::new(), Some(0)),
    ];
    assert_eq!(left(&back), heard);
    assert_eq!(back.unheard, ["one two"], "it may be said again, once");
    assert!(left(&beginning(0, None)).is_empty(), "a client of an earlier version does not say it");
    assert!(left(&beginning(2, Some(40_000))).is_empty(), "it is in another epoch");

    let mut said = store.newest_turns("a", "ada", "acme", 500).await.expect("read");
    back.correct(&mut said);
    let texts = |id: &str| -> Vec<&str> {
        said.iter().filter(|said| said.session_id == id).map(|said| &*said.row.turn.text).collect()
    };
    assert_eq!(texts("a"), ["hello", "one two", "one", "", ""]);
    assert_eq!(texts("b"), ["one two"], "what is of another session stays");
}

async fn a_relay_that_lost_the_session_writes_nothing_more(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let by =
        TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    store.take_over("a", &by).await.expect("written").expect("live");
    let late = store.save_turns("a", 0, &[turn(0, Role::User, "late")], Mark::default(), 0).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    let nobody = store.save_turns("nobody", 0, &[turn(0, Role::User, "late")], Mark::default(), 0).await;
    assert!(matches!(nobody, Err(StoreError::NoSession { .. })), "{nobody:?}");
    store.save_turns("a", 1, &[turn(0, Role::User, "hello")], Mark::default(), 0).await.expect("written");
    assert_eq!(store.turns("a").await.expect("read")[0].turn.text, "hello");
}

async fn the_newest_turns_of_a_conversation_are_read_in_order_and_nobody_elses(bench: Bench) {
    let store = &*bench.store;
    for id in ["a", "b", "c"] {
        let of = NewSession { conversation_id: "a".into(), ..session(id) };
        open(store, &of, &quota()).await;
        for number in 0..3 {
            let text = format!("{id} {number}");
            let turn = turn(number, Role::User, &text);
            store.save_turns(id, 0, &[turn], Mark::default(), 0).await.expect("written");
        }
    }
    open(store, &session("other"), &quota()).await;
    store.save_turns("other", 0, &[turn(0, Role::User, "other")], Mark::default(), 0).await.expect("written");
    let read = async |user: &str, account: &str, limit| {
        let rows = store.newest_turns("a", user, account, limit).await.expect("read");
        rows.into_iter().map(|said| said.row.turn.text).collect::<Vec<_>>()
    };
    assert_eq!(read("ada", "acme", 4).await, ["b 2", "c 0", "c 1", "c 2"]);
    assert_eq!(read("ada", "acme", 500).await.len(), 9);
    assert_eq!(read("somebody else", "acme", 500).await, [""; 0]);
    assert_eq!(read("ada", "another account", 500).await, [""; 0], "another account may have the same user");
}

async fn nobody_reads_in_a_conversation_what_others_said_there_even_if_its_rows_were_mixed(bench: Bench) {
    let store = &*bench.store;
    let owners = [("ada", "acme", "a"), ("ada", "other", "b"), ("bob", "acme", "c")];
    for (user, account, id) in owners {
        let of = NewSession { user_sub: user.into(), account: account.into(), ..session(id) };
        open(store, &of, &quota()).await;
        store.save_turns(id, 0, &[turn(0, Role::User, id)], Mark::default(), 0).await.expect("written");
    }
    // No relay writes this. What is read is its owner's all the same.
    let mixed = "UPDATE sessions SET conversation_id = 'a'";
    sqlx::raw_sql(mixed).execute(&mut bench.connect().await).await.expect("mixed");
    for (user, account, id) in owners {
        let said = store.newest_turns("a", user, account, 500).await.expect("read");
        let texts: Vec<_> = said.iter().map(|said| said.row.turn.text.as_str()).collect();
        assert_eq!(texts, [id], "{user} of {account}");
        let of = NewSession { user_sub: user.into(), account: account.into(), ..session(&format!("{id}-2")) };
        let next = NewSession { conversation_id: "a".into(), ..of };
        let opened = store.may_open_session(&next, &quota()).await.expect("answered");
        assert!(matches!(opened, Opened::Yes { .. }), "{user} of {account} has a part in it: {opened:?}");
    }
    let nobody = NewSession { account: "nobody's".into(), ..session("d") };
    let nobody = NewSession { conversation_id: "a".into(), ..nobody };
    assert_eq!(store.may_open_session(&nobody, &quota()).await.expect("answered"), Opened::NoConversation);
}

async fn what_a_relay_had_kept_is_written_when_the_session_has_ended_unless_another_one_goes_on_from_there(
    bench: Bench,
) {
    let store = &*bench.store;
    let far = Mark { seq: 20, position: 32_000 };
    let said = async |turn: Turn| store.save_kept_turns("a", 0, &[turn], far, 0).await;
    open(store, &session("a"), &quota()).await;
    said(turn(0, Role::User, "while it lives")).await.expect("written");
    store.end_session("a", 0, "abnormal", Quality::default(), unix_ms()).await.expect("written");
    said(turn(1, Role::User, "when it has ended")).await.expect("written");
    said(turn(0, Role::User, "an older text of it")).await.expect("answered");
    assert_eq!(store.session("a").await.expect("read").expect("there").committed, far);
    let late = store.save_turns("a", 0, &[turn(2, Role::User, "of a call")], far, 0).await;
    assert!(matches!(late, Err(StoreError::NoSession { .. })), "a call learns that it is over: {late:?}");
    let older = store.save_kept_turns("a", 7, &[turn(2, Role::User, "of another epoch")], far, 0).await;
    assert!(matches!(older, Err(StoreError::NoSession { .. })), "{older:?}");

    let next = NewSession {
        instead_of: Some(InsteadOf { session_id: "a".into(), resume_hash: session("a").resume_hash }),
        ..session("b")
    };
    open(store, &next, &quota()).await;
    let late = said(turn(2, Role::User, "said again in the next one")).await;
    assert!(matches!(late, Err(StoreError::NoSession { .. })), "{late:?}");
    let texts: Vec<String> =
        store.turns("a").await.expect("read").into_iter().map(|row| row.turn.text).collect();
    assert_eq!(texts, ["while it lives", "when it has ended"]);
}

async fn what_was_taken_back_of_an_answer_is_taken_back_when_the_session_has_ended_too(bench: Bench) {
    let store = &*bench.store;
    let far = Mark { seq: 20, position: 32_000 };
    let version = |revision, text: &str| Turn { revision, ..turn(0, Role::Agent, text) };
    open(store, &session("a"), &quota()).await;
    store.save_turns("a", 0, &[version(2, "one two three")], far, 0).await.expect("written");
    store.end_session("a", 0, "abnormal", Quality::default(), unix_ms()).await.expect("written");
    let kept = [version(3, "one"), version(2, "one two three"), version(1, "one two")];
    for kept in kept {
        store.save_kept_turns("a", 0, &[kept], far, 0).await.expect("answered");
        let stored = store.turns("a").await.expect("read");
        assert_eq!(stored[0].turn.text, "one", "the latest of them stays");
    }
}

/// Begins a session that has something exposed.
async fn begin_exposed(store: &dyn Store, id: &str, of: &Quota) {
    open(store, &session(id), of).await;
    let ask = Reserve { exposed: usd(30), ..reserve(id, 100, 100, caps(WIDE, WIDE, WIDE)) };
    store.reserve(&ask).await.expect("answered");
}

/// Writes what the relay of this epoch has kept of the session "a".
async fn kept(store: &dyn Store, epoch: u32, number: u32, text: &str) -> Result<(), StoreError> {
    let mark = Mark { seq: 10 * (number + 1), position: 16_000 * (number + 1) };
    store.save_kept_turns("a", epoch, &[turn(number, Role::User, text)], mark, 0).await
}

async fn words(store: &dyn Store) -> Vec<String> {
    store.turns("a").await.expect("read").into_iter().map(|row| row.turn.text).collect()
}

async fn taken_over(store: &dyn Store, epoch: u32) -> u32 {
    let by =
        TakeOver { epoch, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    store.take_over("a", &by).await.expect("written").expect("live").session.epoch
}

async fn what_a_lost_relay_had_kept_is_written_although_what_it_had_exposed_was_charged(bench: Bench) {
    let store = &*bench.store;
    begin_exposed(store, "a", &of_a_lost_relay()).await;
    let swept = store.sweep(Duration::from_secs(600)).await.expect("swept");
    assert_eq!(swept, Swept { released: 1, ended: 0 });
    assert_eq!(store.session("a").await.expect("read").expect("there").epoch, 1);
    kept(store, 0, 0, "while it waits for its client").await.expect("written");
    let mark = store.session("a").await.expect("read").expect("there").committed;
    assert_eq!(mark, Mark { seq: 10, position: 16_000 }, "whoever takes it over goes on behind these words");
    let call = store.save_turns("a", 0, &[turn(1, Role::User, "of a call")], Mark::default(), 0).await;
    assert!(matches!(call, Err(StoreError::Fenced { .. })), "a call has lost it: {call:?}");
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept"), Swept { released: 1, ended: 1 });
    kept(store, 0, 1, "when it has ended").await.expect("written");
    let nobody = kept(store, 1, 2, "of an epoch in which no relay had it").await;
    assert!(matches!(nobody, Err(StoreError::NoSession { .. })), "{nobody:?}");
    assert_eq!(words(store).await, ["while it waits for its client", "when it has ended"]);
}

async fn what_a_relay_had_kept_of_a_session_that_was_ended_elsewhere_is_written(bench: Bench) {
    let store = &*bench.store;
    // What it had exposed is charged, so that its epoch rises twice.
    begin_exposed(store, "a", &quota()).await;
    assert!(store.end_elsewhere("a", "ended_by_operator").await.expect("ended"));
    assert_eq!(store.session("a").await.expect("read").expect("there").epoch, 2);
    let call = store.save_turns("a", 0, &[turn(0, Role::User, "of a call")], Mark::default(), 0).await;
    assert!(matches!(call, Err(StoreError::NoSession { .. })), "a call learns that it is over: {call:?}");
    kept(store, 0, 0, "it was said before").await.expect("written");
    let other = kept(store, 1, 1, "of another epoch").await;
    assert!(matches!(other, Err(StoreError::NoSession { .. })), "{other:?}");
    assert_eq!(words(store).await, ["it was said before"]);
}

async fn what_a_relay_had_kept_is_not_written_once_another_one_has_taken_the_session_over(bench: Bench) {
    let store = &*bench.store;
    begin_exposed(store, "a", &of_a_lost_relay()).await;
    store.sweep(Duration::from_secs(600)).await.expect("swept");
    let epoch = taken_over(store, 1).await;
    let late = kept(store, 0, 0, "said again there").await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    assert!(store.end_elsewhere("a", "ended_by_operator").await.expect("ended"));
    let late = kept(store, 0, 0, "said again there").await;
    assert!(matches!(late, Err(StoreError::NoSession { .. })), "{late:?}");
    kept(store, epoch, 1, "of the relay that took it over").await.expect("written");
    assert_eq!(words(store).await, ["of the relay that took it over"]);
}

async fn a_take_over_by_a_relay_that_knows_nothing_of_kept_epochs_counts_all_the_same(bench: Bench) {
    let store = &*bench.store;
    begin_exposed(store, "a", &of_a_lost_relay()).await;
    store.sweep(Duration::from_secs(600)).await.expect("swept");
    // As such a relay writes it.
    let older = "UPDATE sessions SET epoch = epoch + 1 WHERE id = 'a'";
    sqlx::raw_sql(older).execute(&mut bench.connect().await).await.expect("written");
    let late = kept(store, 0, 0, "said again there").await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    kept(store, 2, 0, "of the older relay, which is a newer one by now").await.expect("written");
}

async fn nothing_that_a_relay_had_kept_of_a_deleted_session_is_written(bench: Bench) {
    let store = &*bench.store;
    begin_exposed(store, "a", &of_a_lost_relay()).await;
    store.sweep(Duration::from_secs(600)).await.expect("swept");
    assert!(store.delete_session("a", None).await.expect("deleted"));
    let late = kept(store, 0, 0, "of somebody who is forgotten").await;
    assert!(matches!(late, Err(StoreError::NoSession { .. })), "{late:?}");
    assert!(words(store).await.is_empty());
}

async fn any_text_is_stored_as_it_was_said(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let texts = [
        "",
        "'; DROP TABLE turns; --",
        "<script>alert(1)</script>",
        "\u{1b}[2J",
        "🎙️ grüße\r\n\t",
        "$1 ? %s",
    ];
    for (number, text) in (0..).zip(texts) {
        store
            .save_turns("a", 0, &[turn(number, Role::User, text)], Mark::default(), 0)
            .await
            .expect("written");
    }
    let stored = store.turns("a").await.expect("read");
    assert_eq!(stored.iter().map(|row| row.turn.text.as_str()).collect::<Vec<_>>(), texts);
}
