//! What the page says among the audio, as the relay's machine treats it.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod relay_bench;

use std::time::Duration;

use protocol::relay::{Attachment, Config, Input, Link, Output};
use protocol::{
    AudioHeader, Bye, ClientMessage, CloseCode, Codec, Features, Gap, Hello, Mark, Numbered, Ping,
    RelayMessage, Time, Upward,
};
use relay_bench::{Bench, Did, config, hello};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn text(seq: u32, position: u32, text: &str) -> Numbered {
    Numbered { mark: Mark { seq, position }, message: Upward::Text { text: text.into() } }
}

fn told(did: &[Did]) -> Vec<&str> {
    did.iter()
        .filter_map(|did| match did {
            Did::Said(RelayMessage::ErrorMessage(error)) => Some(error.code.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_text_is_handed_on_once_in_its_place_and_is_acknowledged_and_committed_with_the_audio() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    let hello = text(1, 1_600, "hello");
    let handed_on = Did::Message(hello.mark, hello.message.clone());
    assert_eq!(bench.client(hello.clone()), [handed_on]);
    assert_eq!(bench.client(hello.clone()), [], "a duplicate");
    assert_eq!(bench.frame(Codec::PcmS16le16000, 2, 1_600, 3_200), [Did::Audio(mark_at(2, 1_600), 3_200)]);
    bench.input(Input::Commit(mark_at(2, 1_600)));
    let ack = protocol::RelayAck { received: mark_at(3, 3_200), committed: mark_at(2, 1_600) };
    assert_eq!(bench.wait(Duration::from_millis(200)), [Did::Said(ack.into())]);
    assert_eq!(bench.client(Bye { end: 3 }), [Did::Bye]);
}

fn mark_at(seq: u32, position: u32) -> Mark {
    Mark { seq, position }
}

#[test]
fn a_text_ahead_of_its_place_is_asked_for_again_and_one_in_the_wrong_place_ends_the_call() {
    let mut bench = Bench::attached();
    let resend = protocol::Resend { from: Mark::default() };
    assert_eq!(bench.client(text(1, 0, "ahead")), [Did::Said(resend.into())]);
    let did = bench.client(text(0, 160, "in a place that no audio reaches"));
    assert_eq!(did.last(), Some(&Did::Ended(CloseCode::Protocol)));
}

#[test]
fn after_refused_audio_a_text_may_stand_further_on_and_what_lies_between_is_a_gap() {
    let mut bench = Bench::attached();
    assert_eq!(told(&bench.frame(Codec::PcmS16le16000, 0, 0, 3_201)), ["chunk_odd_length"]);
    let said = text(1, 1_600, "after it");
    let gap = Gap { from: mark_at(1, 0), to: said.mark };
    assert_eq!(bench.client(said.clone()), [Did::Gap(gap), Did::Message(said.mark, said.message)]);
}

#[test]
fn a_text_that_is_too_long_is_answered_and_counts_and_the_eleventh_ends_the_call() {
    let mut bench = Bench::attached();
    for seq in 0..10 {
        let did = bench.client(text(seq, 0, &"ü".repeat(4_001)));
        let [Did::Strikes(strikes), Did::Said(RelayMessage::ErrorMessage(error))] = did.as_slice() else {
            panic!("{did:?}")
        };
        assert_eq!(*strikes, seq + 1);
        assert_eq!(
            (error.code.as_str(), error.limit, error.asked),
            ("text_too_long", Some(4_000), Some(4_001))
        );
        bench.wait(Duration::from_secs(1));
    }
    assert_eq!(bench.client(text(10, 0, "short")).len(), 1);
    let did = bench.client(text(11, 0, &"ü".repeat(4_001)));
    assert_eq!(did.last(), Some(&Did::Ended(CloseCode::Protocol)));
}

#[test]
fn texts_are_under_the_bucket_of_control_messages_and_none_is_lost_by_it() {
    let mut bench = Bench::attached();
    let mut taken = 0;
    while bench.link.is_attached() {
        let did = bench.client(text(taken, 0, "again"));
        taken += u32::from(matches!(did.as_slice(), [Did::Message(..)]));
    }
    assert_eq!(taken, 40);
    bench.wait(Duration::from_secs(2));
    let did = bench.resume("r1", "r2", 0);
    assert!(did.iter().any(
        |did| matches!(did, Did::Said(RelayMessage::Resumed(resumed)) if resumed.received == mark_at(40, 0))
    ));
    let did = bench.client(text(40, 0, "again"));
    assert!(matches!(did.as_slice(), [Did::Greeted(_), Did::Message(..)]), "{did:?}");
}

#[test]
fn whoever_types_is_not_idle() {
    let mut bench = Bench::attached();
    for seq in 0..3 {
        bench.client(Ping { id: 1, rtt_us: 0 });
        let mut did = Vec::new();
        for _ in 0..20 {
            did.extend(bench.wait(Duration::from_secs(25)));
            did.extend(bench.client(Ping { id: 1, rtt_us: 0 }));
        }
        assert!(!did.contains(&Did::Ended(CloseCode::Idle)));
        bench.client(text(seq, 0, "still here"));
    }
}

#[test]
fn what_the_relay_did_not_name_is_of_an_unknown_type() {
    for message in [
        ClientMessage::from(text(0, 0, "hello")),
        protocol::BargeIn { played: 0 }.into(),
        protocol::Playback { held: true }.into(),
    ] {
        let now = Time::from_millis(5);
        let link = Link::new(now, Config { features: &["context"], ..config() }, Mark::default());
        let mut bench = Bench { link, now };
        bench.attach(&hello(None), Attachment::New, "r1");
        assert_eq!(bench.client(message).last(), Some(&Did::Ended(CloseCode::Protocol)));
    }
}

#[test]
fn a_number_of_samples_that_disagrees_with_the_payload_is_a_wrong_position_unless_nobody_named_it() {
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le16000, 0, 0, &mut frame);
    frame.resize(frame.len() + 3_200, 0);
    for (samples, expected) in [(0, None), (1_600, None), (1_599, Some("chunk_position"))] {
        AudioHeader::set_samples(&mut frame, samples);
        let did = Bench::attached().input(Input::Binary(frame.clone().into()));
        assert_eq!(told(&did).first().copied(), expected, "{samples}");
    }
    let now = Time::from_millis(5);
    let mut bench =
        Bench { link: Link::new(now, Config { features: &[], ..config() }, Mark::default()), now };
    bench.attach(&hello(None), Attachment::New, "r1");
    assert_eq!(bench.input(Input::Binary(frame.into())), [Did::Audio(Mark::default(), 3_200)]);
}

#[test]
fn only_a_client_that_knows_it_is_sent_the_number_of_samples() {
    for (features, expected) in [(Features::CLIENT.into(), 480), (Features::default(), 0)] {
        let mut bench = Bench::new();
        bench.attach(&Hello { features, ..hello(None) }, Attachment::New, "r1");
        bench.link.handle_input(bench.now, Input::Audio(&[1; 480]));
        let counts: Vec<u16> = std::iter::from_fn(|| {
            let output = bench.link.poll_output()?;
            Some(if let Output::Binary(frame) = output {
                AudioHeader::parse(&frame).map(|(header, _)| header.samples)
            } else {
                None
            })
        })
        .flatten()
        .collect();
        assert_eq!(counts, [expected]);
    }
}
