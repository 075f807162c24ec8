//! The client's machine alone, against a script.

mod bench;

use std::time::Duration;

use bench::{Bench, Did, ack, conversation, ended, errors, resumed, sent, welcome};
use protocol::client::{Config, ErrorInfo, Event, GapInfo, Input, NotTaken, State};
use protocol::{
    AudioHeader, Budget, BudgetScope, ClientMessage, CloseCode, Codec, Ended, ErrorCode, ErrorMessage, Flush,
    Listened, Mark, RelayMessage, ReplyEnd, ResumeFailed, Resumed, TokenExpiring, TooLong, Upward, Usage,
    Welcome,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_call_begins_with_a_token_then_a_socket_then_hello_and_nothing_else() {
    let mut bench = Bench::new();
    assert_eq!(bench.input(Input::Start), [Did::RequestToken, Did::Told(Event::State(State::Connecting))]);
    assert_eq!(bench.input(Input::Token(Ok("jwt"))), [Did::Connect]);
    let did = bench.input(Input::Opened);
    let [Did::Said(ClientMessage::Hello(hello))] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!((hello.token.as_str(), hello.resume.as_ref(), hello.start), ("jwt", None, Mark::default()));
}

#[test]
fn what_is_said_before_the_relay_answers_is_sent_as_soon_as_it_does() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    assert_eq!(sent(&bench.chunks(3)), Vec::<u32>::new());
    bench.input(Input::Opened);
    assert_eq!(sent(&bench.relay(welcome())), [0, 1, 2]);
    assert_eq!(sent(&bench.chunks(1)), [3]);
}

#[test]
fn a_reconnect_resumes_and_sends_only_what_the_relay_does_not_have() {
    let mut bench = Bench::up();
    bench.chunks(10);
    bench.relay(ack(4, 2));
    let did = bench.input(Input::Closed { code: 1006 });
    assert_eq!(errors(&did), ["link_lost"]);
    bench.chunks(2);
    let did = bench.reconnect();
    let [Did::Said(ClientMessage::Hello(hello))] = did.as_slice() else { panic!("{did:?}") };
    let resume = hello.resume.as_ref().expect("resumes");
    assert_eq!((resume.session_id.as_str(), resume.resume_token.as_str()), ("s1", "r1"));
    assert_eq!(resume.played, Some(0));
    assert_eq!(hello.start, Mark { seq: 2, position: 3_200 });
    assert_eq!(sent(&bench.relay(resumed(7, 2))), [7, 8, 9, 10, 11]);
}

#[test]
fn a_relay_that_lost_its_memory_gets_everything_that_is_not_committed() {
    let mut bench = Bench::up();
    bench.chunks(10);
    bench.relay(ack(10, 6));
    bench.input(Input::Closed { code: 1012 });
    bench.reconnect();
    let did = bench.relay(ResumeFailed { reason: "unknown".into(), epoch: 1 });
    assert_eq!(errors(&did), ["resume_failed"]);
    assert_eq!(sent(&bench.relay(Welcome { epoch: 1, ..welcome() })), [6, 7, 8, 9]);
}

#[test]
fn a_new_session_after_a_lost_one_is_asked_for_in_the_same_conversation() {
    let mut bench = Bench::with(Config { conversation: Some("wished".into()), ..Config::default() });
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    assert_eq!(conversation(&bench.input(Input::Opened)), Some("wished".into()));
    bench.relay(Welcome { conversation_id: "first".into(), ..welcome() });
    bench.input(Input::Closed { code: 1012 });
    assert_eq!(conversation(&bench.reconnect()), Some("first".into()));
    bench.relay(ResumeFailed { reason: "unknown".into(), epoch: 1 });
    // The link breaks between the refusal and the welcome.
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(conversation(&bench.reconnect()), Some("first".into()));
    // The first conversation was deleted meanwhile.
    bench.relay(Welcome { conversation_id: "second".into(), epoch: 1, ..welcome() });
    bench.input(Input::Closed { code: 1012 });
    assert_eq!(conversation(&bench.reconnect()), Some("second".into()));
}

#[test]
fn a_budget_is_told_once_though_it_is_sent_twice() {
    let mut bench = Bench::up();
    let budget = Budget {
        seq: 0,
        scope: BudgetScope::User,
        percent: 80,
        limit_nano_usd: 20_000_000_000,
        spent_nano_usd: 16_100_000_000,
    };
    assert_eq!(bench.relay(budget), [Did::Told(Event::Budget(budget))]);
    assert_eq!(bench.relay(budget), []);
}

#[test]
fn a_full_buffer_drops_the_oldest_and_says_how_much_once() {
    let mut bench = Bench::with(Config { buffer: Duration::from_secs(1), ..Config::default() });
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    bench.input(Input::Opened);
    bench.relay(welcome());
    bench.input(Input::Offline);
    let did = bench.chunks(25);
    assert_eq!(errors(&did), ["buffer_full"]);
    bench.reconnect();
    let did = bench.relay(resumed(0, 0));
    assert_eq!(sent(&did), (15..25).collect::<Vec<_>>());
    assert!(did.contains(&Did::Told(Event::Gap(GapInfo { position: 0, samples: 24_000 }))));
    let gap = did.iter().position(|did| matches!(did, Did::Said(ClientMessage::Gap(_))));
    assert!(gap < did.iter().position(|did| matches!(did, Did::Sent(_))), "the relay hears of the gap first");
}

#[test]
fn audio_the_relay_has_may_be_dropped_without_a_word() {
    let mut bench = Bench::with(Config { buffer: Duration::from_secs(1), ..Config::default() });
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    bench.input(Input::Opened);
    bench.relay(welcome());
    for seq in 1..=30 {
        assert_eq!(errors(&bench.chunks(1)), Vec::<String>::new());
        bench.relay(ack(seq, 0));
    }
}

#[test]
fn retry_after_is_honoured_even_then() {
    let mut bench = Bench::up();
    bench.relay(ErrorMessage { retry_after_ms: Some(20_000), ..ErrorCode::AudioTooFast.into() });
    bench.input(Input::Closed { code: 4429 });
    bench.input(Input::Online);
    assert!(!bench.wait(Duration::from_millis(19_900)).contains(&Did::RequestToken));
    assert!(bench.wait(Duration::from_millis(200)).contains(&Did::RequestToken));
}

#[test]
fn a_refused_token_is_fetched_anew_once() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("old")));
    bench.input(Input::Opened);
    assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), None);
    let did = bench.wait(Duration::from_secs(2));
    assert!(did.contains(&Did::RequestToken), "{did:?}");
    bench.input(Input::Token(Ok("new")));
    bench.input(Input::Opened);
    assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), Some(CloseCode::Unauthorized));
}

#[test]
fn every_close_code_leads_to_its_reaction() {
    for code in CloseCode::ALL {
        let mut bench = Bench::up();
        let did = bench.input(Input::Closed { code: code.code() });
        let stopped = ended(&did) == Some(*code);
        assert_eq!(stopped, code.reaction() == protocol::Reaction::Stop, "{code:?}");
    }
}

#[test]
fn a_token_function_that_fails_is_told_and_tried_again() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    let did = bench.input(Input::Token(Err("the server said 500")));
    let told = did.iter().any(|did| {
        matches!(did, Did::Told(Event::Error(error)) if error.code == "token_unavailable" && error.message.contains("500"))
    });
    assert!(told, "{did:?}");
    assert!(bench.wait(Duration::from_secs(1)).contains(&Did::RequestToken));
    // One that never answers is no different.
    assert_eq!(errors(&bench.wait(Duration::from_secs(10))), ["token_unavailable"]);
}

#[test]
fn an_application_that_gives_no_token_any_more_ends_a_call_without_a_connection_which_tells_what_is_lost() {
    let second = Duration::from_secs(1);
    for hangs_up in [false, true] {
        let mut bench = Bench::up();
        bench.chunks(2);
        let text = Upward::Text { text: "in writing".into() };
        bench.message(&text).expect("it is kept");
        bench.input(Input::Closed { code: 1006 });
        if hangs_up {
            bench.input(Input::Close { finish: true });
        }
        assert!(bench.wait(5 * second).contains(&Did::RequestToken));
        let told = [
            Event::Gap(GapInfo { position: 0, samples: 3_200 }),
            Event::Undelivered(text),
            Event::State(State::Closed),
            Event::Ended { code: CloseCode::Unauthorized, usage: Usage::default() },
        ];
        let did = bench.input(Input::NoToken);
        let did: Vec<Did> = did.into_iter().filter(|did| matches!(did, Did::Told(_))).collect();
        assert_eq!(did, told.map(Did::Told), "{hangs_up}");
    }
    let mut bench = Bench::new();
    bench.input(Input::Start);
    let did = bench.input(Input::NoToken);
    assert_eq!(ended(&did), Some(CloseCode::Unauthorized), "there never was a connection");
    assert_eq!(errors(&did), Vec::<String>::new(), "the application knows why");
    // It was asked while there still was one.
    let mut bench = Bench::up();
    bench.relay(TokenExpiring { in_ms: 60_000 });
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(ended(&bench.input(Input::NoToken)), Some(CloseCode::Unauthorized));
}

#[test]
fn an_application_that_gives_no_token_any_more_ends_no_call_that_is_up_until_the_relay_does() {
    let mut bench = Bench::up();
    assert_eq!(bench.input(Input::NoToken), [], "nobody has asked");
    for _ in 0..2 {
        assert_eq!(bench.relay(TokenExpiring { in_ms: 60_000 }), [Did::RequestToken]);
        assert_eq!(bench.input(Input::NoToken), []);
        let did = bench.wait(Duration::from_secs(11));
        assert_eq!(errors(&did), Vec::<String>::new(), "nobody waits for an answer");
    }
    assert_eq!(bench.client.state(), State::Connected);
    bench.relay(TokenExpiring { in_ms: 10_000 });
    let did = bench.input(Input::Token(Ok("jwt")));
    assert!(matches!(did.as_slice(), [Did::Said(ClientMessage::Token(_))]), "another one may come: {did:?}");
    bench.relay(Ended { reason: CloseCode::Unauthorized.name().into(), usage: Usage::default() });
    assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), None);
    assert!(bench.wait(Duration::from_secs(2)).contains(&Did::RequestToken));
    assert_eq!(ended(&bench.input(Input::NoToken)), Some(CloseCode::Unauthorized));
}

#[test]
fn without_a_network_it_is_no_news_that_there_is_no_token() {
    let mut bench = Bench::up();
    bench.input(Input::Offline);
    assert!(bench.wait(Duration::from_secs(1)).contains(&Did::RequestToken), "`offline` may be wrong");
    assert_eq!(errors(&bench.input(Input::Token(Err("no network")))), Vec::<String>::new());
    bench.input(Input::Online);
    assert!(bench.wait(Duration::from_secs(1)).contains(&Did::RequestToken));
    bench.input(Input::Offline);
    // A page of the application's own that stands in for its server.
    let did = bench.input(Input::NoToken);
    assert!(matches!(did.as_slice(), [Did::Told(Event::State(State::Reconnecting { .. }))]), "{did:?}");
    bench.input(Input::Online);
    assert!(bench.wait(Duration::from_secs(1)).contains(&Did::RequestToken));
    assert_eq!(errors(&bench.input(Input::Token(Err("still none")))), ["token_unavailable"]);
}

#[test]
fn what_an_earlier_relay_said_is_not_reported_as_heard_to_the_next() {
    let mut bench = Bench::up();
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le24000, 0, 0, &mut frame);
    frame.resize(frame.len() + 4_800, 0);
    bench.input(Input::Binary(&frame));
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(Resumed { epoch: 1, ..resumed(0, 0) });
    let fresh = Did::Said(ClientMessage::ClientAck(protocol::ClientAck { received: 0, played: 0 }));
    assert!(did.contains(&fresh), "{did:?}");
    bench.input(Input::Played(2_400));
    assert!(
        !bench
            .wait(Duration::from_secs(1))
            .iter()
            .any(|did| matches!(did, Did::Said(ClientMessage::ClientAck(_))))
    );
}

#[test]
fn whoever_listened_in_at_a_relay_that_is_lost_does_not_at_the_next_one() {
    let listened = |did: Vec<Did>| -> Vec<bool> {
        let told = did.into_iter().filter_map(|did| match did {
            Did::Told(Event::Listened(listening)) => Some(listening),
            _ => None,
        });
        told.collect()
    };
    let none = Vec::<bool>::new();
    let mut bench = Bench::up();
    assert_eq!(listened(bench.relay(Listened { seq: 0, listening: true })), [true]);
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    assert_eq!(listened(bench.relay(resumed(0, 0))), none, "the same relay knows what it has said");
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    assert_eq!(listened(bench.relay(Resumed { epoch: 1, ..resumed(0, 0) })), [false]);
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    assert_eq!(listened(bench.relay(Resumed { epoch: 2, ..resumed(0, 0) })), none, "nobody did");
}

#[test]
fn what_the_client_has_goes_on_playing_and_counts_as_heard_when_its_relay_is_lost() {
    let frame = |seq, position, samples: usize| {
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le24000, seq, position, &mut frame);
        frame.resize(frame.len() + 2 * samples, 0);
        frame
    };
    let said = |did: &[Did]| {
        let [Did::Said(ClientMessage::Hello(hello))] = did else { panic!("{did:?}") };
        hello.resume.as_ref().and_then(|resume| resume.played)
    };
    let told = |did: Vec<Did>| {
        did.into_iter().rev().find_map(|did| match did {
            Did::Said(ClientMessage::ClientAck(ack)) => Some(ack.played),
            _ => None,
        })
    };
    let second = Duration::from_secs(1);
    let mut bench = Bench::up();
    bench.input(Input::Binary(&frame(0, 0, 24_000)));
    bench.input(Input::Played(1_000));
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(said(&bench.reconnect()), Some(24_000), "more than was heard by now");
    let did = bench.relay(Resumed { epoch: 1, ..resumed(0, 0) });
    assert!(did.contains(&Did::EndOfReply), "nothing more comes of it: {did:?}");
    // The next relay speaks while the rest is being played.
    bench.input(Input::Binary(&frame(0, 0, 24_000)));
    for position in [2_000, 12_000, 24_000] {
        bench.input(Input::Played(position));
        assert!(told(bench.wait(second)).is_none_or(|played| played == 0), "{position} is of the last one");
    }
    bench.input(Input::Played(480));
    assert_eq!(told(bench.wait(second)), Some(480));

    // What is dropped is heard no more.
    bench.relay(Flush { seq: 1 });
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(said(&bench.reconnect()), Some(480));
    let did = bench.relay(Resumed { epoch: 1, ..resumed(0, 0) });
    assert!(!did.contains(&Did::EndOfReply), "the same relay goes on with it: {did:?}");
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(Resumed { epoch: 2, ..resumed(0, 0) });
    assert!(!did.contains(&Did::EndOfReply), "nothing is left to be heard: {did:?}");
}

#[test]
fn an_answer_that_has_run_out_ends_with_its_relay_and_what_the_next_one_says_is_no_late_part_of_it() {
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le24000, 0, 0, &mut frame);
    frame.resize(frame.len() + 4_800, 0);
    let mut ends = Vec::new();
    for is_over in [false, true] {
        let mut bench = Bench::up();
        bench.input(Input::Binary(&frame));
        bench.input(Input::Played(2_400));
        if is_over {
            assert_eq!(bench.relay(ReplyEnd { seq: 1 }), [Did::EndOfReply]);
        }
        for epoch in 0..3 {
            bench.input(Input::Closed { code: 1006 });
            bench.reconnect();
            let did = bench.relay(Resumed { epoch, ..resumed(0, 0) });
            ends.push(did.iter().filter(|did| **did == Did::EndOfReply).count());
        }
    }
    // The same relay goes on with it, the next one does not, and the one after that has nothing to end.
    assert_eq!(ends, [0, 1, 0, 0, 0, 0]);
}

#[test]
fn what_is_dropped_when_the_user_hangs_up_does_not_count_as_heard() {
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le24000, 0, 0, &mut frame);
    frame.resize(frame.len() + 48_000, 0);
    let mut bench = Bench::up();
    bench.input(Input::Binary(&frame));
    bench.input(Input::Played(1_000));
    bench.input(Input::Chunk(&[0; 1_600]));
    bench.input(Input::Closed { code: 1006 });
    bench.input(Input::Close { finish: true });
    let did = bench.reconnect();
    let [Did::Said(ClientMessage::Hello(hello))] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!(hello.resume.as_ref().and_then(|resume| resume.played), Some(1_000));
}

#[test]
fn an_expiring_token_is_replaced_inside_the_call() {
    let mut bench = Bench::up();
    assert_eq!(bench.relay(TokenExpiring { in_ms: 60_000 }), [Did::RequestToken]);
    let did = bench.input(Input::Token(Ok("fresh")));
    assert!(
        matches!(did.as_slice(), [Did::Said(ClientMessage::Token(token))] if token.token == "fresh"),
        "{did:?}"
    );
}

#[test]
fn an_unreachable_relay_is_given_up_in_the_end() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    let mut did = Vec::new();
    for _ in 0..100 {
        if bench.client.state() == State::Closed {
            break;
        }
        did = bench.wait(Duration::from_millis(500));
        if did.contains(&Did::RequestToken) {
            bench.input(Input::Token(Ok("jwt")));
            bench.input(Input::Closed { code: 1006 });
        }
    }
    assert_eq!(ended(&did), Some(CloseCode::Abnormal));
    assert_eq!(errors(&did), ["gave_up"]);
}

#[test]
fn while_muted_nothing_is_sent_and_the_relay_is_told_again_after_a_reconnect() {
    let mut bench = Bench::up();
    bench.chunks(2);
    let muted = Did::Said(ClientMessage::Mute(protocol::Mute { muted: true }));
    assert_eq!(bench.input(Input::Mute(true)), std::slice::from_ref(&muted));
    assert_eq!(bench.chunks(3), []);
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.relay(resumed(2, 0));
    assert!(did.contains(&muted), "{did:?}");
    bench.input(Input::Mute(false));
    assert_eq!(sent(&bench.chunks(1)), [2], "the timeline goes on where it was");
}

#[test]
fn mute_comes_after_the_words_before_it() {
    let mut bench = Bench::up();
    bench.input(Input::Buffered(1_000_000));
    bench.chunks(2);
    assert_eq!(bench.input(Input::Mute(true)), []);
    let did = bench.input(Input::Buffered(0));
    assert!(
        matches!(did.as_slice(), [Did::Sent(0), Did::Sent(1), Did::Said(ClientMessage::Mute(_))]),
        "{did:?}"
    );
}

#[test]
fn who_unmutes_speaks_and_mutes_again_at_once_is_said_to_be_muted_behind_those_words() {
    for is_full in [false, true] {
        let mut bench = Bench::up();
        bench.chunks(1);
        let muted = Did::Said(ClientMessage::Mute(protocol::Mute { muted: true }));
        assert_eq!(bench.input(Input::Mute(true)), std::slice::from_ref(&muted));
        bench.wait(Duration::from_millis(50));
        if is_full {
            bench.input(Input::Buffered(1_000_000));
        }
        assert_eq!(bench.input(Input::Mute(false)), [], "a button must not cost the connection");
        let mut did = bench.chunks(1);
        did.extend(bench.input(Input::Mute(true)));
        assert!(!did.contains(&muted), "{did:?}");
        did.extend(bench.wait(Duration::from_millis(300)));
        did.extend(bench.input(Input::Buffered(0)));
        did.extend(bench.wait(Duration::from_secs(1)));
        let of_the_user: Vec<&Did> = did
            .iter()
            .filter(|did| matches!(did, Did::Sent(_) | Did::Said(ClientMessage::Mute(_))))
            .collect();
        assert_eq!(of_the_user, [&Did::Sent(1), &muted], "is the line full: {is_full}");
    }
}

#[test]
fn the_agent_is_played_in_order_once_and_acknowledged_with_what_was_heard() {
    let mut bench = Bench::up();
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le24000, 0, 0, &mut frame);
    frame.extend_from_slice(&[1, 2, 3, 4]);
    assert_eq!(bench.input(Input::Binary(&frame)), [Did::Played(0, vec![1, 2, 3, 4])]);
    assert_eq!(bench.input(Input::Binary(&frame)), [], "a duplicate is not played");
    bench.input(Input::Played(2));
    let did = bench.wait(Duration::from_millis(200));
    let expected = protocol::ClientAck { received: 1, played: 2 };
    assert_eq!(did, [Did::Said(ClientMessage::ClientAck(expected))]);

    bench.input(Input::Closed { code: 1006 });
    let did = bench.reconnect();
    let [Did::Said(ClientMessage::Hello(hello))] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!(
        hello.resume.as_ref().and_then(|resume| resume.played),
        Some(2),
        "the next relay is told as well"
    );
    bench.relay(resumed(0, 0));
    frame[4] = 5;
    assert!(bench.input(Input::Binary(&frame)).contains(&Did::Disconnect(1000)), "a hole is a broken link");
}

#[test]
fn an_unknown_numbered_message_counts_and_an_unknown_unnumbered_one_is_ignored() {
    let mut bench = Bench::up();
    assert_eq!(bench.input(Input::Text(r#"{"type":"tomorrow"}"#)), []);
    assert_eq!(bench.input(Input::Text(r#"{"type":"tomorrow","seq":0}"#)), []);
    assert_eq!(bench.input(Input::Text(r#"{"type":"reply_end","seq":1}"#)), [Did::EndOfReply]);
    assert_eq!(bench.input(Input::Text(r#"{"type":"flush","seq":2}"#)), [Did::FlushPlayout]);
}

#[test]
fn whatever_the_relay_says_nothing_panics() {
    let nonsense = [
        "",
        "{",
        "null",
        r#"{"type":1}"#,
        r#"{"type":"ack","received":{"seq":4000000000,"position":0},"committed":{"seq":4000000000,"position":0}}"#,
        r#"{"type":"resend","from":{"seq":4000000000,"position":1}}"#,
        r#"{"type":"welcome"}"#,
        r#"{"type":"transcript","seq":0}"#,
    ];
    for text in nonsense {
        let mut bench = Bench::up();
        bench.chunks(2);
        bench.input(Input::Text(text));
        bench.input(Input::Binary(text.as_bytes()));
        assert_ne!(bench.client.state(), State::Idle);
    }
}

#[test]
fn a_hello_that_came_too_late_is_no_refused_token() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    for _ in 0..4 {
        bench.input(Input::Token(Ok("jwt")));
        bench.wait(Duration::from_secs(3));
        bench.input(Input::Opened);
        bench.wait(Duration::from_secs(2));
        // Nor is it told as one, which would be the reason why there is no connection at last.
        assert_eq!(bench.relay(ErrorMessage::from(ErrorCode::Unauthorized)), []);
        assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), None);
        let asked = (0..50).any(|_| bench.wait(Duration::from_millis(100)).contains(&Did::RequestToken));
        if !asked {
            break;
        }
    }
    assert_ne!(bench.client.state(), State::Closed);
}

#[test]
fn however_often_it_is_muted_the_relay_hears_the_last_state_and_seldom() {
    for toggles in 50..70 {
        let mut bench = Bench::up();
        let mut did = Vec::new();
        for toggle in 0..toggles {
            did.extend(bench.input(Input::Mute(toggle % 2 == 0)));
            did.extend(bench.wait(Duration::from_millis(10)));
        }
        did.extend(bench.wait(Duration::from_secs(1)));
        let told: Vec<bool> = did
            .iter()
            .filter_map(|did| match did {
                Did::Said(ClientMessage::Mute(mute)) => Some(mute.muted),
                _ => None,
            })
            .collect();
        assert!(told.len() <= 5, "{told:?}");
        assert_eq!(told.last().copied().unwrap_or(false), toggles % 2 == 1);
    }
}

#[test]
fn a_token_is_asked_for_once_at_a_time() {
    let mut bench = Bench::up();
    let asked: usize = (0..20)
        .map(|_| {
            let did = bench.relay(TokenExpiring { in_ms: 30_000 });
            did.iter().filter(|did| **did == Did::RequestToken).count()
        })
        .sum();
    assert_eq!(asked, 1);
}

#[test]
fn a_numbered_message_with_a_new_word_is_ignored_and_counts() {
    let document = include_str!("../../docs/protocol.md");
    let numbered: Vec<&str> = document
        .lines()
        .filter(|line| {
            line.starts_with("{\"type\":") && line.contains("\"seq\":") && !line.contains("\"from\"")
        })
        .filter(|line| RelayMessage::parse(line).is_ok() && !line.contains("\"committed\""))
        .collect();
    assert!(numbered.len() >= 5, "{numbered:?}");
    let mut bench = Bench::up();
    let mut expected = 0;
    for line in numbered {
        let message: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("JSON");
        // Every word of the message, its type among them, by turns.
        for (name, _) in message.iter().filter(|(_, value)| value.is_string()) {
            let mut changed = message.clone();
            changed[name] = "pondering".into();
            changed["seq"] = expected.into();
            let changed = serde_json::to_string(&changed).expect("JSON");
            let told = bench.input(Input::Text(&changed));
            expected += 1;
            assert_eq!(bench.client.state(), State::Connected, "{changed}");
            let is_free_text = matches!(name.as_str(), "text" | "call_id" | "name" | "arguments");
            assert!(is_free_text || told.is_empty(), "{changed}: {told:?}");
            let did = bench.wait(Duration::from_millis(200));
            assert!(
                did.iter().any(|did| matches!(
                    did,
                    Did::Said(ClientMessage::ClientAck(ack)) if ack.received == expected
                )),
                "{changed}: {did:?}"
            );
        }
    }
}

#[test]
fn a_refusal_before_an_outage_is_not_the_first_of_two_in_a_row() {
    for (outage, ends) in [(Duration::ZERO, true), (Duration::from_secs(300), false)] {
        let mut bench = Bench::up();
        assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), None);
        bench.input(Input::Offline);
        bench.wait(outage);
        bench.input(Input::Token(Err("no network")));
        bench.input(Input::Online);
        bench.reconnect();
        assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })).is_some(), ends, "{outage:?}");
        if !ends {
            bench.reconnect();
            assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), Some(CloseCode::Unauthorized));
        }
    }
}

#[test]
fn the_application_is_heard_once_for_each_time_it_is_asked_for_a_token() {
    let mut bench = Bench::up();
    assert_eq!(bench.input(Input::Token(Ok("unasked"))), []);
    assert_eq!(bench.relay(TokenExpiring { in_ms: 60_000 }), [Did::RequestToken]);
    assert_eq!(errors(&bench.wait(Duration::from_secs(10))), ["token_unavailable"]);
    let late = bench.input(Input::Token(Ok("late")));
    assert!(matches!(late.as_slice(), [Did::Said(ClientMessage::Token(_))]), "{late:?}");
    assert_eq!(bench.input(Input::Token(Ok("again"))), []);
}

#[test]
fn a_message_that_is_too_long_is_refused_with_what_it_may_have() {
    let refused = NotTaken::TooLong(TooLong { limit: 4_000, asked: 4_001 });
    let told = ErrorInfo::from(refused);
    assert_eq!((told.code.as_str(), told.limit), ("text_too_long", Some(4_000)));
    assert_eq!(ErrorInfo::from(NotTaken::Over).limit, None);
}

#[test]
fn the_state_is_what_a_call_goes_through() {
    let mut bench = Bench::new();
    assert_eq!(bench.client.state(), State::Idle);
    bench.input(Input::Start);
    assert_eq!(bench.client.state(), State::Connecting);
    bench.input(Input::Token(Ok("jwt")));
    bench.input(Input::Opened);
    assert_eq!(bench.client.state(), State::Connecting);
    bench.relay(welcome());
    bench.chunks(1);
    assert_eq!(bench.client.state(), State::Connected);
    bench.input(Input::Closed { code: 1006 });
    let State::Reconnecting { attempt: 1, retry_in } = bench.client.state() else {
        panic!("{:?}", bench.client.state())
    };
    let just_before = retry_in - Duration::from_micros(1);
    assert!(!bench.wait(just_before).contains(&Did::RequestToken));
    assert!(bench.wait(retry_in - just_before).contains(&Did::RequestToken));
    let now = State::Reconnecting { attempt: 1, retry_in: Duration::ZERO };
    assert_eq!(bench.client.state(), now);
    bench.input(Input::Token(Ok("jwt")));
    bench.input(Input::Opened);
    assert_eq!(bench.client.state(), now);
    bench.relay(resumed(0, 0));
    assert_eq!(bench.client.state(), State::Connected);
    bench.input(Input::Close { finish: true });
    assert_eq!(bench.client.state(), State::Closing);
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(bench.client.state(), State::Closing, "whatever becomes of the connection");
    bench.wait(Duration::from_secs(30));
    assert_eq!(bench.client.state(), State::Closed);
}

#[test]
fn what_the_client_hands_to_the_socket_counts_before_the_socket_says_so() {
    let mut bench = Bench::new();
    bench.begin();
    bench.chunks(60);
    // 128 KiB are reached with the 41st frame of 3,212 bytes.
    assert_eq!(sent(&bench.relay(welcome())), (0..41).collect::<Vec<_>>());
    assert_eq!(sent(&bench.input(Input::Buffered(0))), (41..60).collect::<Vec<_>>());
}
