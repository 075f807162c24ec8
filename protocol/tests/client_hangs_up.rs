//! The client's machine alone, while it hangs up.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod bench;

use std::time::Duration;

use bench::{Bench, Did, ack, ended, resumed, sent, welcome};
use protocol::client::{Config, Event, GapInfo, Input, State};
use protocol::{
    AudioHeader, Bye, ClientMessage, CloseCode, Codec, Ended, Hold, Mute, Release, Upward, Usage,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn hanging_up_waits_for_the_relay_to_have_every_word() {
    let mut bench = Bench::up();
    bench.chunks(2);
    let did = bench.input(Input::Close { finish: true });
    assert!(did.contains(&Did::Said(ClientMessage::Bye(Bye { end: 2 }))), "{did:?}");
    bench.relay(ack(2, 2));
    bench.relay(Ended { reason: "normal".into(), usage: Usage { cost_nano_usd: 9, ..Usage::default() } });
    let did = bench.input(Input::Closed { code: 1000 });
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert!(!did.iter().any(|did| matches!(did, Did::Told(Event::Gap(_)))));
}

#[test]
fn who_hangs_up_before_the_relay_has_answered_takes_the_call_back_and_is_told_what_was_not_sent() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("t")));
    bench.chunks(2);
    bench.input(Input::Opened);
    let did = bench.input(Input::Close { finish: true });
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert!(did.contains(&Did::Told(Event::Gap(GapInfo { position: 0, samples: 3_200 }))), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Said(_))), "{did:?}");
}

#[test]
fn hanging_up_on_a_dead_link_ends_in_time_and_says_what_may_be_lost() {
    let mut bench = Bench::up();
    bench.chunks(2);
    bench.input(Input::Closed { code: 1006 });
    bench.input(Input::Close { finish: true });
    let did = bench.wait(Duration::from_secs(31));
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert!(did.contains(&Did::Told(Event::Gap(GapInfo { position: 0, samples: 3_200 }))), "{did:?}");
}

#[test]
fn a_loss_after_a_session_that_ended_is_a_loss_and_not_that_end() {
    for code in (1_000..=1_015).chain(4_000..=4_999).map(CloseCode::from_code) {
        if code.reaction() == protocol::Reaction::Stop {
            continue;
        }
        let mut bench = Bench::up();
        bench.relay(Ended { reason: code.name().into(), usage: Usage::default() });
        bench.input(Input::Closed { code: code.code() });
        bench.reconnect();
        bench.relay(resumed(0, 0));
        for _ in 0..3 {
            let did = bench.input(Input::Closed { code: CloseCode::Abnormal.code() });
            assert_eq!(ended(&did), None, "{code:?}");
            bench.reconnect();
        }
    }
}

#[test]
fn after_the_relay_has_said_why_it_ends_a_call_it_is_over_however_its_connection_goes() {
    let heartbeats = Duration::from_secs(60);
    for code in CloseCode::ALL.iter().copied().filter(|code| code.reaction() == protocol::Reaction::Stop) {
        for way in ["it died while the machine slept", "the network is away", "what follows is broken"] {
            let mut bench = Bench::up();
            if way.starts_with("it died") {
                bench.now = bench.now + heartbeats;
            }
            let said = Ended { reason: code.name().into(), usage: Usage::default() };
            assert_eq!(ended(&bench.relay(said)), None, "its connection is still there");
            let did = match way {
                "the network is away" => bench.input(Input::Offline),
                "what follows is broken" => bench.input(Input::Text("{")),
                _ => bench.input(Input::Timeout),
            };
            assert_eq!(ended(&did), Some(code), "{way}: {did:?}");
            assert!(did.contains(&Did::Disconnect(1_000)), "{way}: {did:?}");
            assert_eq!(bench.wait(heartbeats), [], "{way}");
        }
    }
    // A relay that only goes away is followed by the next one.
    let mut bench = Bench::up();
    bench.now = bench.now + heartbeats;
    bench.relay(Ended { reason: "going_away".into(), usage: Usage::default() });
    assert_eq!(ended(&bench.input(Input::Timeout)), None);
    bench.reconnect();
}

#[test]
fn hanging_up_goes_on_while_audio_gets_through_and_ends_when_it_does_not() {
    let mut bench = Bench::up();
    bench.chunks(300);
    bench.input(Input::Close { finish: true });
    for slow in 1..=20 {
        let did = bench.wait(Duration::from_secs(9));
        assert_eq!(ended(&did), None, "after {slow}: {did:?}");
        bench.input(Input::Buffered(0));
        bench.relay(ack(slow * 10, 0));
    }
    let did = bench.wait(Duration::from_secs(31));
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert!(did.iter().any(|did| matches!(did, Did::Told(Event::Gap(_)))), "what is lost is announced");
}

#[test]
fn while_it_hangs_up_a_connection_is_tried_every_five_seconds_however_many_attempts_have_failed() {
    for seed in 0..50 {
        let mut bench = Bench::with(Config { seed, ..Config::default() });
        bench.input(Input::Start);
        bench.input(Input::Token(Ok("jwt")));
        bench.input(Input::Opened);
        bench.relay(welcome());
        bench.chunks(5);
        bench.input(Input::Closed { code: 1006 });
        let fails_within = |bench: &mut Bench, span| {
            assert!(bench.wait(span).contains(&Did::RequestToken), "seed {seed}: within {span:?}");
            bench.input(Input::Token(Ok("jwt")));
            bench.input(Input::Closed { code: 1006 });
        };
        for _ in 0..6 {
            fails_within(&mut bench, Duration::from_secs(30));
        }
        bench.input(Input::Close { finish: true });
        for _ in 0..5 {
            fails_within(&mut bench, Duration::from_secs(5));
        }
    }
}

#[test]
fn hanging_up_has_an_end_even_while_audio_gets_through() {
    let mut bench = Bench::up();
    bench.chunks(300);
    bench.input(Input::Close { finish: true });
    let over = (1..=80).any(|slow| {
        bench.relay(ack(slow, 0));
        ended(&bench.wait(Duration::from_secs(4))).is_some()
    });
    assert!(over);
}

const AT_ONCE: Input<'static> = Input::Close { finish: false };

/// Audio that is told to be missing: from this chunk to that one.
fn gap(from: u32, to: u32) -> Did {
    Did::Told(Event::Gap(GapInfo { position: from * 1_600, samples: (to - from) * 1_600 }))
}

fn gaps(did: &[Did]) -> Vec<&Did> {
    did.iter().filter(|did| matches!(did, Did::Told(Event::Gap(_)))).collect()
}

fn bye(end: u32) -> Did {
    Did::Said(ClientMessage::Bye(Bye { end }))
}

fn text(text: &str) -> Upward {
    Upward::Text { text: text.into() }
}

/// A call of which two chunks are sent, and then wait three more, a text, and one more: the socket is full.
fn held_back() -> Bench {
    let mut bench = Bench::up();
    assert_eq!(bench.chunks(2), [Did::Sent(0), Did::Sent(1)]);
    bench.input(Input::Buffered(200_000));
    assert_eq!(bench.chunks(3), []);
    bench.message(&text("in writing")).expect("it is kept");
    assert_eq!(bench.chunks(1), []);
    bench
}

#[test]
fn who_does_not_wait_says_goodbye_after_what_was_sent_and_is_told_what_was_not() {
    let mut bench = held_back();
    let did = bench.input(AT_ONCE);
    let undelivered = Did::Told(Event::Undelivered(text("in writing")));
    assert_eq!(did, [gap(2, 6), undelivered, Did::Told(Event::State(State::Closing)), bye(2)]);
    bench.relay(ack(2, 2));
    bench.relay(Ended { reason: "normal".into(), usage: Usage::default() });
    let did = bench.input(Input::Closed { code: 1000 });
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert_eq!(gaps(&did), Vec::<&Did>::new(), "each sample is told once");
}

#[test]
fn what_is_said_after_a_hang_up_that_does_not_wait_is_not_sent_in_place_of_what_was_taken_back() {
    let mut bench = Bench::up();
    bench.input(Input::Buffered(200_000));
    // An acknowledgement is due, behind which the goodbye waits.
    bench.input(Input::Binary(&sound(0, 0, 2_400)));
    bench.chunks(1);
    let mut did = bench.input(AT_ONCE);
    did.extend(bench.input(Input::Buffered(0)));
    did.extend(bench.chunks(1));
    did.extend(bench.wait(Duration::from_secs(1)));
    assert_eq!((gaps(&did), sent(&did)), (vec![&gap(0, 1)], vec![]));
    assert!(did.contains(&bye(0)), "{did:?}");
}

#[test]
fn who_does_not_wait_loses_nothing_of_what_a_free_line_has_taken() {
    let mut bench = Bench::up();
    bench.chunks(5);
    let did = bench.input(AT_ONCE);
    assert_eq!(did, [Did::Told(Event::State(State::Closing)), bye(5)]);
}

#[test]
fn who_does_not_wait_is_through_at_once_where_there_is_no_connection() {
    let mut bench = Bench::up();
    bench.chunks(5);
    bench.relay(ack(4, 3));
    bench.input(Input::Closed { code: 1006 });
    bench.message(&text("in writing")).expect("it is kept");
    let did = bench.input(AT_ONCE);
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert_eq!(gaps(&did), [&gap(3, 5)]);
    assert!(did.contains(&Did::Told(Event::Undelivered(text("in writing")))), "{did:?}");

    let mut bench = Bench::up();
    bench.chunks(1);
    bench.input(Input::Closed { code: 1006 });
    bench.reconnect();
    let did = bench.input(AT_ONCE);
    assert!(did.contains(&Did::Disconnect(1_000)), "a relay that has not answered: {did:?}");
    assert_eq!(ended(&did), Some(CloseCode::Normal));

    let mut bench = Bench::new();
    bench.begin();
    bench.chunks(1);
    let did = bench.input(AT_ONCE);
    assert_eq!((ended(&did), gaps(&did)), (Some(CloseCode::Normal), vec![&gap(0, 1)]), "never connected");
}

#[test]
fn who_does_not_wait_gives_up_what_is_still_to_be_sent_again_after_a_resume() {
    let mut bench = Bench::up();
    bench.chunks(6);
    bench.input(Input::Closed { code: 1006 });
    bench.chunks(2);
    bench.reconnect();
    bench.input(Input::Buffered(200_000));
    bench.relay(resumed(4, 3));
    let did = bench.input(AT_ONCE);
    assert_eq!((gaps(&did), did.last()), (vec![&gap(4, 8)], Some(&bye(4))));
    bench.relay(ack(4, 4));
    assert_eq!(gaps(&bench.input(Input::Closed { code: 1000 })), Vec::<&Did>::new());
}

#[test]
fn a_call_that_is_hung_up_and_waits_can_be_shortened_and_not_lengthened_again() {
    let mut bench = held_back();
    assert_eq!(bench.input(Input::Close { finish: true }), [Did::Told(Event::State(State::Closing))]);
    let did = bench.input(AT_ONCE);
    assert_eq!((gaps(&did), did.last()), (vec![&gap(2, 6)], Some(&bye(2))));
    assert!(!did.contains(&Did::Told(Event::State(State::Closing))), "told once: {did:?}");
    bench.wait(Duration::from_secs(6));
    assert_eq!(bench.input(Input::Close { finish: true }), []);
    assert_eq!(bench.input(AT_ONCE), []);
    assert_eq!(ended(&bench.wait(Duration::from_millis(4_100))), Some(CloseCode::Normal));

    let mut bench = Bench::up();
    bench.chunks(2);
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(ended(&bench.input(Input::Close { finish: true })), None);
    assert_eq!(ended(&bench.input(AT_ONCE)), Some(CloseCode::Normal));
}

#[test]
fn who_does_not_wait_goes_with_the_connection_and_is_told_what_may_be_lost() {
    let mut bench = held_back();
    bench.input(AT_ONCE);
    bench.relay(ack(2, 1));
    let did = bench.input(Input::Closed { code: 1006 });
    assert_eq!((ended(&did), gaps(&did)), (Some(CloseCode::Normal), vec![&gap(1, 2)]));
    assert!(!did.iter().any(|did| matches!(did, Did::Disconnect(_) | Did::RequestToken)), "{did:?}");
}

#[test]
fn who_does_not_wait_is_through_in_ten_seconds_even_while_what_was_sent_gets_through() {
    let mut bench = Bench::up();
    bench.chunks(30);
    bench.input(AT_ONCE);
    for slow in 1..=9 {
        assert_eq!(ended(&bench.wait(Duration::from_secs(1))), None);
        bench.relay(ack(slow, slow));
    }
    let did = bench.wait(Duration::from_millis(1_100));
    assert_eq!((ended(&did), gaps(&did)), (Some(CloseCode::Normal), vec![&gap(9, 30)]));
}

/// So many samples of the agent, from this place on.
fn sound(seq: u32, position: u32, samples: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le24000, seq, position, &mut frame);
    frame.resize(frame.len() + 2 * samples, 0);
    frame
}

#[test]
fn who_hangs_up_in_the_midst_of_an_answer_hears_no_more_of_it_and_what_is_dropped_does_not_count_as_heard() {
    for (finish, is_held) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut bench = Bench::up();
        bench.chunks(1);
        bench.input(Input::Binary(&sound(0, 0, 24_000)));
        bench.input(Input::Played(1_000));
        let mut next = 1;
        if is_held {
            assert_eq!(bench.relay(Hold { seq: 1 }), [Did::HoldPlayout(true)]);
            next = 2;
        }
        let mut did = bench.input(Input::Close { finish });
        did.extend(bench.input(Input::Binary(&sound(next, 24_000, 4_800))));
        did.extend(bench.relay(Release { seq: next + 1 }));
        did.extend(bench.input(Input::Binary(&sound(next + 2, 28_800, 4_800))));
        // Nothing beyond what was taken before that can be reported as played.
        did.extend(bench.input(Input::Played(33_600)));
        did.extend(bench.wait(Duration::from_secs(1)));
        let case = format!("finish: {finish}, held: {is_held}: {did:?}");
        assert!(!did.iter().any(|did| matches!(did, Did::Played(..))), "{case}");
        let told = did.iter().rev().find_map(|did| match did {
            Did::Said(ClientMessage::ClientAck(ack)) => Some(*ack),
            _ => None,
        });
        let heard = protocol::ClientAck { received: next + 3, played: 1_000 };
        assert_eq!(told, Some(heard), "it came, and was not heard: {case}");
    }
}

#[test]
fn hanging_up_takes_too_long_but_the_relay_has_said_why_the_call_ends() {
    for code in CloseCode::ALL.iter().copied().filter(|code| code.reaction() == protocol::Reaction::Stop) {
        for finish in [false, true] {
            for has_hung_up_before in [false, true] {
                let mut bench = Bench::up();
                bench.chunks(1);
                bench.relay(ack(1, 1));
                let mut did = Vec::new();
                if has_hung_up_before {
                    did.extend(bench.input(Input::Close { finish }));
                }
                did.extend(bench.relay(Ended { reason: code.name().into(), usage: Usage::default() }));
                if !has_hung_up_before {
                    did.extend(bench.input(Input::Close { finish }));
                }
                // The relay lives, and does not close the connection.
                for _ in 0..40 {
                    did.extend(bench.relay(Usage::default()));
                    did.extend(bench.wait(Duration::from_secs(1)));
                }
                let case = format!("{code:?}, finish: {finish}, {has_hung_up_before}: {did:?}");
                assert_eq!(ended(&did), Some(code), "{case}");
                let closes = did.iter().filter(|did| matches!(did, Did::Disconnect(_)));
                assert_eq!(closes.count(), 1, "{case}");
            }
        }
    }
}

#[test]
fn the_relay_is_told_what_was_heard_before_the_goodbye() {
    for finish in [false, true] {
        let mut bench = Bench::up();
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le24000, 0, 0, &mut frame);
        frame.extend_from_slice(&[1, 2, 3, 4]);
        bench.input(Input::Binary(&frame));
        bench.input(Input::Played(2));
        assert_eq!(bench.input(Input::Close { finish }), [Did::Told(Event::State(State::Closing))]);
        let heard = Did::Said(ClientMessage::ClientAck(protocol::ClientAck { received: 1, played: 2 }));
        assert_eq!(bench.wait(Duration::from_millis(200)), [heard, bye(0)]);
    }
}

#[test]
fn who_is_muted_and_does_not_wait_says_so_and_then_goodbye() {
    let mut bench = held_back();
    assert_eq!(bench.input(Input::Mute(true)), []);
    let did = bench.input(AT_ONCE);
    assert_eq!(did[did.len() - 2..], [Did::Said(ClientMessage::Mute(Mute { muted: true })), bye(2)]);
}
