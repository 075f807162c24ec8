//! The client's machine alone, while it hangs up.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod bench;

use std::time::Duration;

use bench::{Bench, Did, ack, ended, resumed, welcome};
use protocol::client::{Config, Event, GapInfo, Input};
use protocol::{ClientMessage, CloseCode, Ended, Usage};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn hanging_up_waits_for_the_relay_to_have_every_word() {
    let mut bench = Bench::up();
    bench.chunks(2);
    let did = bench.input(Input::Close);
    assert!(did.contains(&Did::Said(ClientMessage::Bye(protocol::Bye { end: 2 }))), "{did:?}");
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
    let did = bench.input(Input::Close);
    assert_eq!(ended(&did), Some(CloseCode::Normal));
    assert!(did.contains(&Did::Told(Event::Gap(GapInfo { position: 0, samples: 3_200 }))), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Said(_))), "{did:?}");
}

#[test]
fn hanging_up_on_a_dead_link_ends_in_time_and_says_what_may_be_lost() {
    let mut bench = Bench::up();
    bench.chunks(2);
    bench.input(Input::Closed { code: 1006 });
    bench.input(Input::Close);
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
fn hanging_up_goes_on_while_audio_gets_through_and_ends_when_it_does_not() {
    let mut bench = Bench::up();
    bench.chunks(300);
    bench.input(Input::Close);
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
        bench.input(Input::Close);
        for _ in 0..5 {
            fails_within(&mut bench, Duration::from_secs(5));
        }
    }
}

#[test]
fn hanging_up_has_an_end_even_while_audio_gets_through() {
    let mut bench = Bench::up();
    bench.chunks(300);
    bench.input(Input::Close);
    let over = (1..=80).any(|slow| {
        bench.relay(ack(slow, 0));
        ended(&bench.wait(Duration::from_secs(4))).is_some()
    });
    assert!(over);
}
