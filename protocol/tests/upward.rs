//! What the page says among the audio, as the client's machine treats it.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod bench;

use std::time::Duration;

use bench::{Bench, Did, ack, errors, resumed, sent, welcome};
use protocol::client::{Config, Event, Input, NotTaken, State};
use protocol::{
    AgentState, AgentStateMessage, ClientMessage, CloseCode, Features, Flush, Gap, Hold, Mark, Move,
    Numbered, Reaction, Release, Resend, Resumed, TokenRefused, Upward, Welcome,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn text(text: &str) -> Upward {
    Upward::Text { text: text.into() }
}

/// Numbers and texts of the messages that were sent.
fn texts(did: &[Did]) -> Vec<(Mark, String)> {
    did.iter()
        .filter_map(|did| match did {
            Did::Said(ClientMessage::Numbered(Numbered { mark, message: Upward::Text { text } })) => {
                Some((*mark, text.clone()))
            }
            _ => None,
        })
        .collect()
}

fn gaps(did: &[Did]) -> Vec<(u32, u32)> {
    did.iter()
        .filter_map(|did| match did {
            Did::Said(ClientMessage::Gap(Gap { from, to })) => Some((from.seq, to.seq)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_text_keeps_its_place_among_the_audio_until_it_is_committed() {
    let mut bench = Bench::up();
    bench.chunks(2);
    let at = Mark { seq: 2, position: 3_200 };
    assert_eq!(texts(&bench.message(&text("hello")).expect("taken")), [(at, "hello".into())]);
    assert_eq!(sent(&bench.chunks(1)), [3]);
    let did = bench.relay(Resend { from: Mark { seq: 1, position: 1_600 } });
    assert_eq!((sent(&did), texts(&did)), (vec![1, 3], vec![(at, "hello".into())]));
    bench.relay(ack(2, 0));
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(resumed(2, 0));
    assert_eq!((sent(&did), texts(&did)), (vec![3], vec![(at, "hello".into())]));
    // What is committed is forgotten, and the next relay asks for nothing of it.
    let committed = Mark { seq: 3, position: 3_200 };
    bench.relay(protocol::RelayAck { received: committed, committed });
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(protocol::Resumed { received: committed, committed, ..resumed(0, 0) });
    assert_eq!((sent(&did), texts(&did)), (vec![3], vec![]));
}

#[test]
fn where_audio_is_dropped_the_gaps_go_around_the_texts() {
    let mut bench = Bench::with(Config { buffer: Duration::from_secs(1), ..Config::default() });
    bench.begin();
    bench.relay(welcome());
    bench.input(Input::Closed { code: 1006 });
    for number in 0..3 {
        bench.chunks(6);
        bench.message(&text(&format!("text {number}"))).expect("taken");
    }
    bench.chunks(6);
    bench.reconnect();
    let did = bench.relay(resumed(0, 0));
    assert_eq!(gaps(&did), [(0, 6), (7, 13), (14, 17)]);
    assert_eq!(texts(&did).iter().map(|(mark, _)| mark.seq).collect::<Vec<_>>(), [6, 13, 20]);
    assert_eq!(sent(&did), [17, 18, 19, 21, 22, 23, 24, 25, 26]);
}

#[test]
fn when_messages_alone_fill_the_buffer_the_next_one_is_refused_and_none_is_lost() {
    let mut bench = Bench::with(Config { buffer: Duration::from_secs(1), ..Config::default() });
    let long = text(&"x".repeat(3_900));
    let taken = (0..20).take_while(|_| bench.message(&long).is_ok()).count();
    assert_eq!(taken, 8, "32,000 bytes");
    assert_eq!(bench.message(&long), Err(NotTaken::Full));
    bench.begin();
    let mut did = bench.relay(welcome());
    assert!(sent(&did).is_empty());
    did.extend(bench.chunks(1));
    assert_eq!((texts(&did).len(), gaps(&did)), (8, vec![(8, 9)]), "there is no room for audio either");
    bench.relay(protocol::RelayAck {
        received: Mark { seq: 9, position: 1_600 },
        committed: Mark { seq: 4, position: 0 },
    });
    assert!(bench.message(&long).is_ok(), "what is committed makes room");
}

#[test]
fn what_is_too_long_or_too_late_is_refused_with_the_reason() {
    let mut bench = Bench::up();
    let Err(NotTaken::TooLong(cause)) = bench.message(&text(&"ü".repeat(4_001))) else { panic!("taken") };
    assert_eq!((cause.limit, cause.asked), (4_000, 4_001));
    bench.input(Input::Close { finish: true });
    assert_eq!(bench.message(&text("late")), Err(NotTaken::Over));
}

#[test]
fn what_a_relay_of_another_version_does_not_take_is_told_back_once_and_leaves_no_hole() {
    let mut bench = Bench::up();
    bench.chunks(1);
    bench.input(Input::Closed { code: 1006 });
    bench.message(&text("never")).expect("taken");
    bench.message(&Upward::Context { text: "this one does".into() }).expect("taken");
    bench.chunks(1);
    bench.reconnect();
    let knows_context = Features(vec!["context".into()]);
    let did = bench.relay(protocol::Resumed { features: knows_context.clone(), ..resumed(1, 0) });
    assert_eq!(gaps(&did), [(1, 2)]);
    assert!(did.iter().any(
        |did| matches!(did, Did::Said(ClientMessage::Numbered(said)) if said.mark.seq == 2 && said.message.word() == "context")
    ));
    assert_eq!(sent(&did), [3]);
    let told =
        |did: &[Did]| did.iter().filter(|did| **did == Did::Told(Event::Undelivered(text("never")))).count();
    assert_eq!(told(&did), 1);
    let infos = did
        .iter()
        .filter(|did| matches!(did, Did::Told(Event::Session(info)) if info.features == knows_context));
    assert_eq!(infos.count(), 1, "the application can ask what the relay takes");
    assert_eq!(bench.message(&text("refused at once")), Err(NotTaken::NotSupported));
    // That relay is lost with all it had: the one after it would take texts again.
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(protocol::Resumed { epoch: 1, ..resumed(0, 0) });
    assert_eq!((texts(&did), told(&did), gaps(&did)), (vec![], 0, vec![(1, 2)]));
}

/// What was told not to be delivered.
fn undelivered(did: &[Did]) -> Vec<&Upward> {
    let undelivered = did.iter().filter_map(|did| match did {
        Did::Told(Event::Undelivered(message)) => Some(message),
        _ => None,
    });
    undelivered.collect()
}

/// A call with a text that is stored, and more that its relay has and has not stored.
fn with_texts() -> Bench {
    let mut bench = Bench::up();
    bench.message(&text("stored")).expect("taken");
    bench.chunks(1);
    bench.message(&text("had")).expect("taken");
    bench.message(&Upward::Context { text: "had, too".into() }).expect("taken");
    bench.message(&Upward::Say { text: "to be said".into(), interrupt: false }).expect("taken");
    let received = Mark { seq: 5, position: 1_600 };
    bench.relay(protocol::RelayAck { received, committed: Mark { seq: 1, position: 0 } });
    bench.message(&text("on its way")).expect("taken");
    bench
}

#[test]
fn a_text_that_the_relay_had_and_did_not_store_is_told_back_when_it_says_that_the_call_is_over() {
    for (reason, code) in [("budget", 4402), ("ended_by_operator", 4411)] {
        let mut bench = with_texts();
        bench.relay(protocol::Ended { reason: reason.into(), usage: protocol::Usage::default() });
        let did = bench.input(Input::Closed { code });
        let say = Upward::Say { text: "to be said".into(), interrupt: false };
        assert_eq!(undelivered(&did), [&text("had"), &say, &text("on its way")], "{reason}");
    }
    // Who hangs up is answered when all of it is understood, and the rest is stored with that.
    let mut bench = with_texts();
    bench.input(Input::Close { finish: true });
    bench
        .relay(protocol::RelayAck { received: Mark { seq: 6, position: 1_600 }, committed: Mark::default() });
    bench.relay(protocol::Ended { reason: "normal".into(), usage: protocol::Usage::default() });
    assert_eq!(undelivered(&bench.input(Input::Closed { code: 1000 })), Vec::<&Upward>::new());
    // Where another session goes on, it is sent there.
    let mut bench = with_texts();
    bench.relay(protocol::Ended { reason: "try_later".into(), usage: protocol::Usage::default() });
    assert_eq!(undelivered(&bench.input(Input::Closed { code: 1013 })), Vec::<&Upward>::new());
    bench.reconnect();
    let did = bench.relay(welcome());
    assert_eq!(texts(&did).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["had", "on its way"]);
}

#[test]
fn whatever_code_ends_a_call_without_a_word_a_text_that_is_not_known_to_be_stored_is_told_back() {
    let say = Upward::Say { text: "to be said".into(), interrupt: false };
    for code in CloseCode::ALL {
        let mut bench = with_texts();
        let did = bench.input(Input::Closed { code: code.code() });
        if code.reaction() == Reaction::Stop {
            assert_eq!(undelivered(&did), [&text("had"), &say, &text("on its way")], "{code:?}");
            assert_eq!(bench::ended(&did), Some(*code));
            continue;
        }
        // The call goes on, maybe with a relay that has what is stored and no more: it is sent there.
        assert_eq!(undelivered(&did), Vec::<&Upward>::new(), "{code:?}");
        bench.reconnect();
        let stored = Mark { seq: 1, position: 0 };
        let did = bench.relay(Resumed { epoch: 1, received: stored, committed: stored, ..resumed(0, 0) });
        let again: Vec<String> = texts(&did).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            (again, undelivered(&did).len()),
            (vec!["had".into(), "on its way".into()], 0),
            "{code:?}"
        );
    }
}

#[test]
fn a_call_whose_token_is_refused_again_tells_back_what_was_not_stored() {
    let mut bench = with_texts();
    bench.input(Input::Closed { code: 4401 });
    bench.reconnect();
    let did = bench.input(Input::Closed { code: 4401 });
    assert_eq!(bench::ended(&did), Some(CloseCode::Unauthorized));
    assert_eq!(undelivered(&did).len(), 4, "nobody says what became of it: {did:?}");
}

#[test]
fn a_call_whose_relay_is_lost_and_that_is_then_refused_tells_back_what_was_not_stored() {
    let mut bench = with_texts();
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.input(Input::Closed { code: 4402 });
    let told = undelivered(&did);
    assert_eq!((told.len(), told[0]), (4, &text("had")), "nobody says what became of it: {did:?}");
}

#[test]
fn many_texts_at_once_are_sent_no_faster_than_a_relay_takes_them_and_in_order_with_the_audio() {
    let mut bench = Bench::up();
    let mut did = Vec::new();
    for number in 0..50 {
        did.extend(bench.message(&text(&number.to_string())).expect("taken"));
    }
    did.extend(bench.chunks(1));
    assert_eq!((texts(&did).len(), sent(&did)), (20, vec![]));
    did.extend(bench.wait(Duration::from_millis(1_000)));
    assert_eq!((texts(&did).len(), sent(&did)), (30, vec![]));
    did.extend(bench.wait(Duration::from_millis(2_000)));
    assert_eq!((texts(&did).len(), sent(&did)), (50, vec![50]));
    let in_order: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(texts(&did).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), in_order);
}

#[test]
fn a_move_is_followed_within_its_time_without_an_error_or_a_failure() {
    let mut moments = Vec::new();
    for seed in 0..20 {
        let mut bench = Bench::with(Config { seed, ..Config::default() });
        bench.begin();
        bench.relay(welcome());
        bench.wait(Duration::from_secs(5));
        let told = bench.relay(Move { within_ms: 10_000 });
        assert_eq!(told, []);
        let mut did = Vec::new();
        let begin = bench.now;
        while !did.contains(&Did::RequestToken) {
            did.extend(bench.wait(Duration::from_millis(10)));
        }
        moments.push(bench.now.since(begin).as_millis());
        assert!(did.contains(&Did::Disconnect(1000)) && errors(&did).is_empty(), "{did:?}");
        assert_eq!(bench.client.state(), State::Reconnecting { attempt: 0, retry_in: Duration::ZERO });
    }
    assert!(moments.iter().all(|moment| *moment <= 10_010), "{moments:?}");
    moments.sort_unstable();
    assert!(moments[0] < 3_000 && moments[19] > 7_000, "they spread: {moments:?}");
}

#[test]
fn a_move_without_time_is_followed_at_once_and_nothing_that_was_said_is_lost() {
    let mut bench = Bench::up();
    bench.wait(Duration::from_secs(5));
    let mut did = bench.chunks(3);
    did.extend(bench.relay(Move { within_ms: 0 }));
    did.extend(bench.wait(Duration::ZERO));
    assert!(did.contains(&Did::Disconnect(1000)) && did.contains(&Did::RequestToken), "{did:?}");
    assert!(errors(&did).is_empty(), "{did:?}");
    assert_eq!(bench.client.state(), State::Reconnecting { attempt: 0, retry_in: Duration::ZERO });
    bench.input(Input::Token(Ok("jwt")));
    bench.input(Input::Opened);
    assert_eq!(sent(&bench.relay(resumed(0, 0))), [0, 1, 2], "whoever has the call has none of it yet");
}

#[test]
fn an_interruption_and_held_sound_are_said_again_after_each_greeting_while_they_are_true() {
    let said = |did: &[Did], word: &str| {
        did.iter().filter(|did| matches!(did, Did::Said(said) if said.to_json().contains(word))).count()
    };
    let mut bench = Bench::up();
    let mut did = bench.input(Input::BargeIn);
    did.extend(bench.input(Input::Hold(true)));
    assert_eq!((said(&did, "barge_in"), said(&did, r#""held":true"#)), (1, 1));
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(resumed(0, 0));
    assert_eq!((said(&did, "barge_in"), said(&did, r#""held":true"#)), (1, 1));
    bench.relay(Flush { seq: 0 });
    assert_eq!(said(&bench.input(Input::Hold(false)), r#""held":false"#), 1);
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(resumed(0, 0));
    assert_eq!((said(&did, "barge_in"), said(&did, "held")), (0, 0));
    bench.input(Input::BargeIn);
    bench.relay(AgentStateMessage { seq: 1, state: AgentState::Listening });
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    assert_eq!(said(&bench.relay(resumed(0, 0)), "barge_in"), 0);
}

#[test]
fn sound_that_the_relay_holds_goes_on_with_its_word_a_flush_a_new_epoch_or_the_end() {
    const NONE: [bool; 0] = [];
    let holds = |did: &[Did]| -> Vec<bool> {
        did.iter()
            .filter_map(|did| if let Did::HoldPlayout(held) = did { Some(*held) } else { None })
            .collect()
    };
    let mut bench = Bench::up();
    assert_eq!(holds(&bench.relay(Hold { seq: 0 })), [true]);
    assert_eq!(holds(&bench.relay(Hold { seq: 0 })), NONE, "a number counts once");
    assert_eq!(holds(&bench.relay(Release { seq: 1 })), [false]);
    bench.relay(Hold { seq: 2 });
    assert!(bench.relay(Flush { seq: 3 }).contains(&Did::FlushPlayout), "that ends a hold");
    bench.relay(Hold { seq: 4 });
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    assert_eq!(holds(&bench.relay(resumed(0, 0))), NONE, "the same relay will say how it goes on");
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(Resumed { epoch: 1, ..resumed(0, 0) });
    assert_eq!(holds(&did), [false], "another relay knows nothing of it");
    bench.relay(Hold { seq: 0 });
    assert_eq!(holds(&bench.input(Input::Closed { code: 4402 })), [false]);
}

#[test]
fn a_refused_token_is_told_whichever_way_it_is_said() {
    let mut bench = Bench::up();
    assert_eq!(errors(&bench.relay(TokenRefused { in_ms: 1_000 })), ["token_refused"]);
}

#[test]
fn a_new_session_of_a_relay_that_takes_less_has_its_texts_told_back() {
    let mut bench = Bench::new();
    bench.message(&text("said before anybody answered")).expect("taken");
    bench.begin();
    let did = bench.relay(Welcome { features: Features::default(), ..welcome() });
    assert_eq!(gaps(&did), [(0, 1)]);
    assert!(did.contains(&Did::Told(Event::Undelivered(text("said before anybody answered")))));
}

#[test]
fn only_a_relay_that_is_there_and_takes_interruptions_decides_about_sound_that_is_held_here() {
    let mut bench = Bench::up();
    assert!(bench.client.takes_barge_in());
    bench.input(Input::Closed { code: 1006 });
    assert!(!bench.client.takes_barge_in(), "nobody is there");
    bench.reconnect();
    bench.relay(Resumed { features: Features::default(), ..resumed(0, 0) });
    assert!(!bench.client.takes_barge_in(), "the relay that answered takes none");
}
