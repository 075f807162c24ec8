//! A session that takes the place of one that could not be resumed, of which the client does not know all that was committed.

mod relay_bench;

use std::time::Duration;

use protocol::relay::Attachment;
use protocol::{Bye, ClientMessage, CloseCode, Codec, Gap, Mark, Numbered, RelayMessage, Upward};
use relay_bench::{Bench, Did, hello, mark};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A client begins at 0, and the session before has committed everything before 3.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.link.inherit(mark(3));
    bench.attach(&hello(None), Attachment::Instead, "r1");
    bench
}

fn text(seq: u32) -> ClientMessage {
    Numbered { mark: mark(seq), message: Upward::Text { text: "again".to_owned() } }.into()
}

#[test]
fn what_was_committed_there_is_acknowledged_and_heard_no_second_time() {
    let mut bench = bench();
    assert_eq!([bench.chunk(0), bench.chunk(1)], [vec![], vec![]]);
    let did = bench.wait(Duration::from_millis(200));
    let [Did::Said(RelayMessage::RelayAck(ack))] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!((ack.received, ack.committed), (mark(2), mark(2)), "no more than has come");
    assert_eq!(bench.chunk(2), []);
    assert_eq!(bench.chunk(3), [Did::Audio(mark(3), 3_200)]);
    assert_eq!(bench.chunk(4), [Did::Audio(mark(4), 3_200)]);
    assert_eq!(bench.client(Bye { end: 5 }), [Did::Bye]);
}

#[test]
fn without_a_session_before_everything_is_heard() {
    let mut bench = Bench::attached();
    assert_eq!(bench.chunk(0), [Did::Audio(mark(0), 3_200)]);
}

#[test]
fn it_is_resumed_where_it_is_like_any_other() {
    let mut bench = bench();
    bench.chunk(0);
    let did = bench.resume("r1", "r2", 0);
    let [Did::Said(RelayMessage::Resumed(resumed)), ..] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!((resumed.received, resumed.committed), (mark(1), mark(1)));
    assert_eq!(bench.chunk(1), [Did::Greeted("r2".into())]);
}

#[test]
fn whoever_hangs_up_within_it_has_hung_up() {
    let mut bench = bench();
    bench.chunk(0);
    assert_eq!(bench.client(Bye { end: 1 }), [Did::Bye]);
}

#[test]
fn what_was_typed_there_is_not_answered_again() {
    let mut bench = bench();
    bench.chunk(0);
    assert_eq!(bench.client(text(1)), []);
}

#[test]
fn a_gap_that_begins_in_it_begins_behind_it() {
    let mut bench = bench();
    bench.chunk(0);
    assert_eq!(bench.client(Gap { from: mark(1), to: mark(2) }), []);
    let did = bench.client(Gap { from: mark(2), to: mark(9) });
    assert_eq!(did, [Did::Gap(Gap { from: mark(3), to: mark(9) })]);
    assert_eq!(bench.chunk(9), [Did::Audio(mark(9), 3_200)]);
}

#[test]
fn numbers_of_another_audio_are_no_excuse() {
    // Frames of half the length: the fourth begins where there was audio already.
    let mut early = bench();
    let did: Vec<Did> =
        (0..4).flat_map(|seq| early.frame(Codec::PcmS16le16000, seq, seq * 800, 1_600)).collect();
    assert!(did.contains(&Did::Close(CloseCode::Protocol)), "{did:?}");
    assert!(!did.iter().any(|did| matches!(did, Did::Audio(..))), "{did:?}");
    // And of twice the length: what is missing between them never came.
    let mut late = bench();
    let did: Vec<Did> =
        (0..4).flat_map(|seq| late.frame(Codec::PcmS16le16000, seq, seq * 3_200, 6_400)).collect();
    let begins = Mark { seq: 3, position: 9_600 };
    assert_eq!(did, [Did::Gap(Gap { from: mark(3), to: begins }), Did::Audio(begins, 6_400)]);
}
