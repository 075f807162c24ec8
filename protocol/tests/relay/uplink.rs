//! The user's audio on its way in: in its order, once, with holes, bad chunks and gaps, and how it is acknowledged.

use super::*;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn audio_comes_through_in_order_once() {
    let mut bench = Bench::attached();
    assert_eq!(bench.chunk(0), [Did::Audio(mark(0), 3_200)]);
    assert_eq!(bench.chunk(1), [Did::Audio(mark(1), 3_200)]);
    for _ in 0..50 {
        assert_eq!(bench.chunk(0), [], "acknowledged no more often than anything else");
    }
    let did = bench.wait(Duration::from_millis(200));
    assert!(
        matches!(did.as_slice(), [Did::Said(RelayMessage::RelayAck(ack))] if ack.received == mark(2)),
        "{did:?}"
    );
    bench.chunk(0);
    let did = bench.wait(Duration::from_millis(200));
    assert!(
        matches!(did.as_slice(), [Did::Said(RelayMessage::RelayAck(ack))] if ack.received == mark(2)),
        "it may not know: {did:?}"
    );
}

#[test]
fn how_long_a_frame_waits_for_its_acknowledgement_is_told_once_for_the_oldest_of_them() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    assert_eq!(bench.link.take_acknowledged_after(), None, "it waits");
    bench.wait(Duration::from_millis(100));
    let did = bench.chunk(1);
    assert!(matches!(did.last(), Some(Did::Said(RelayMessage::RelayAck(_)))), "{did:?}");
    assert_eq!(bench.link.take_acknowledged_after(), Some(Duration::from_millis(100)));
    assert_eq!(bench.link.take_acknowledged_after(), None, "it was told");
    bench.chunk(2);
    bench.wait(Duration::from_millis(500));
    assert_eq!(bench.link.take_acknowledged_after(), Some(Duration::from_millis(200)), "the timer's");
    // What is here already is acknowledged again, but nothing new has waited for that.
    bench.chunk(2);
    bench.wait(Duration::from_millis(500));
    assert_eq!(bench.link.take_acknowledged_after(), None);
    // Nor has a frame that came over a connection which is gone.
    bench.chunk(3);
    bench.input(Input::Closed);
    bench.resume("r1", "r2", 0);
    bench.wait(Duration::from_millis(500));
    assert_eq!(bench.link.take_acknowledged_after(), None);
}

#[test]
fn a_hole_is_asked_for_once_and_nothing_after_it_comes_through() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    let did = bench.chunk(3);
    assert!(
        matches!(did.as_slice(), [Did::Said(RelayMessage::Resend(resend))] if resend.from == mark(1)),
        "{did:?}"
    );
    assert_eq!(bench.chunk(4), []);
    assert_eq!(bench.chunk(1), [Did::Audio(mark(1), 3_200)]);
}

#[test]
fn a_client_that_never_fills_the_hole_or_is_far_ahead_is_broken() {
    let mut bench = Bench::attached();
    for asked in 1..=5 {
        let did = bench.chunk(5);
        assert!(matches!(did.as_slice(), [Did::Said(RelayMessage::Resend(_))]), "{asked}: {did:?}");
        bench.wait(Duration::from_millis(1_900));
        assert_eq!(bench.chunk(6), [], "at most every 2 s");
        bench.wait(Duration::from_millis(100));
    }
    assert!(
        bench.chunk(5).contains(&Did::Ended(CloseCode::Protocol)),
        "five times, as docs/protocol.md says"
    );
    assert!(Bench::attached().chunk(1_000_000).contains(&Did::Close(CloseCode::Protocol)));
}

#[test]
fn each_bad_chunk_gets_its_error_is_not_handed_on_and_the_call_goes_on() {
    let pcm = Codec::PcmS16le16000;
    for (codec, position, bytes, code) in [
        (pcm, 0, 98, "chunk_too_small"),
        (pcm, 0, 100_002, "chunk_too_large"),
        (pcm, 0, 3_201, "chunk_odd_length"),
        (Codec::PcmS16le24000, 0, 3_200, "chunk_codec"),
        (pcm, 77, 3_200, "chunk_position"),
    ] {
        let mut bench = Bench::attached();
        let did = bench.frame(codec, 0, position, bytes);
        assert_eq!(error(&did), Some(code));
        assert!(!did.iter().any(|did| matches!(did, Did::Audio(..))), "{code}");
        let next = Mark { seq: 1, position: 1_600 };
        let gap = Did::Gap(Gap { from: Mark { seq: 1, position: 0 }, to: next });
        assert_eq!(bench.chunk(1), [gap, Did::Audio(next, 3_200)], "{code}");
    }
}

#[test]
fn the_timeline_never_goes_back_not_even_after_a_refused_chunk() {
    let pcm = Codec::PcmS16le16000;
    let mut bench = Bench::attached();
    for seq in 0..5 {
        bench.chunk(seq);
    }
    assert_eq!(error(&bench.frame(pcm, 5, 8_000, 3_201)), Some("chunk_odd_length"));
    for (seq, position) in [(6, 0), (7, 7_999), (8, 6_400)] {
        let did = bench.frame(pcm, seq, position, 3_200);
        assert_eq!(error(&did), Some("chunk_position"), "what was metered is not heard again for free");
        assert!(!did.iter().any(|did| matches!(did, Did::Audio(..) | Did::Gap(_))), "{did:?}");
    }
    let back = Gap { from: mark(9), to: Mark { seq: 12, position: 1_600 } };
    assert!(bench.client(back).contains(&Did::Close(CloseCode::Protocol)));
}

#[test]
fn after_a_refused_chunk_the_timeline_goes_on_by_no_more_than_it_can_have_held() {
    let (pcm, longest) = (Codec::PcmS16le16000, 50_000);
    for (skipped, goes_on) in [(0, true), (longest, true), (longest + 1, false), (u32::MAX - 10_000, false)] {
        let mut bench = Bench::attached();
        bench.chunk(0);
        assert_eq!(error(&bench.frame(pcm, 1, 1_600, 3_201)), Some("chunk_odd_length"));
        let did = bench.frame(pcm, 2, 1_600 + skipped, 3_200);
        assert_eq!(error(&did).is_none(), goes_on, "{skipped}: {did:?}");
        assert_eq!(did.iter().any(|did| matches!(did, Did::Audio(..))), goes_on, "{skipped}");
    }
    // Two of them can have held twice as much, and one that was too long all that came of it.
    let mut bench = Bench::attached();
    assert_eq!(error(&bench.frame(pcm, 0, 0, 120_000)), Some("chunk_too_large"));
    assert_eq!(error(&bench.frame(pcm, 1, 60_000, 10)), Some("chunk_too_small"));
    assert_eq!(error(&bench.frame(pcm, 2, 110_000, 3_200)), None);
}

#[test]
fn a_gap_is_no_longer_than_the_frames_that_it_stands_in_for() {
    for (frames, samples, fits) in
        [(1, 50_000, true), (1, 50_001, false), (3, 150_000, true), (9_000, 4_200_000_000, false)]
    {
        let mut bench = Bench::attached();
        bench.chunk(0);
        let to = Mark { seq: 1 + frames, position: 1_600 + samples };
        let did = bench.client(Gap { from: mark(1), to });
        assert_eq!(did.contains(&Did::Gap(Gap { from: mark(1), to })), fits, "{frames}: {did:?}");
        assert_eq!(did.contains(&Did::Close(CloseCode::Protocol)), !fits, "{frames}: {did:?}");
    }
}

#[test]
fn the_users_audio_comes_out_in_the_bytes_that_it_came_in() {
    let mut bench = Bench::attached();
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le16000, 0, 0, &mut frame);
    frame.resize(frame.len() + 3_200, 0);
    let frame = Bytes::from(frame);
    bench.link.handle_input(bench.now, Input::Binary(frame.clone()));
    let output = std::iter::from_fn(|| bench.link.poll_output())
        .find_map(|output| if let Output::Audio { payload, .. } = output { Some(payload) } else { None });
    assert_eq!(
        output.map(|payload| (payload.as_ptr(), payload.len())),
        Some((frame[HEADER_LEN..].as_ptr(), 3_200))
    );
}

#[test]
fn a_gap_that_begins_in_what_has_arrived_begins_behind_it() {
    let mut bench = Bench::attached();
    for seq in 0..3 {
        bench.chunk(seq);
    }
    let did = bench.client(Gap { from: mark(1), to: mark(9) });
    assert_eq!(did, [Did::Gap(Gap { from: mark(3), to: mark(9) })]);
}

#[test]
fn a_declared_gap_stands_in_for_its_frames() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    let gap = Gap { from: mark(1), to: mark(9) };
    assert_eq!(bench.client(gap), [Did::Gap(gap)]);
    assert_eq!(bench.chunk(9), [Did::Audio(mark(9), 3_200)]);
    assert!(
        !bench.client(gap).iter().any(|did| matches!(did, Did::Gap(_))),
        "declared twice, it counts once"
    );
    let wrong = Gap { from: Mark { seq: 10, position: 3 }, to: mark(12) };
    assert!(bench.client(wrong).contains(&Did::Close(CloseCode::Protocol)));
}

#[test]
fn acknowledgements_tell_what_is_received_and_what_is_committed() {
    let mut bench = Bench::attached();
    for seq in 0..4 {
        bench.chunk(seq);
    }
    bench.input(Input::Commit(mark(3)));
    let did = bench.wait(Duration::from_millis(200));
    let [Did::Said(RelayMessage::RelayAck(ack))] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!((ack.received, ack.committed), (mark(4), mark(3)));
    assert_eq!(bench.wait(Duration::from_secs(1)), [], "nothing new, nothing said");
    bench.input(Input::Commit(mark(1)));
    assert_eq!(bench.wait(Duration::from_secs(1)), [], "never back");
}

#[test]
fn every_second_chunk_takes_the_acknowledgement_along_and_none_waits_for_a_timer() {
    let mut bench = Bench::attached();
    let mut acknowledged = Vec::new();
    for seq in 0..100 {
        let acks = bench.chunk(seq).into_iter().filter_map(|did| match did {
            Did::Said(RelayMessage::RelayAck(ack)) => Some(ack.received.seq),
            _ => None,
        });
        acknowledged.extend(acks);
        // Chunks come a little early and a little late.
        let late = [0, 15, 5, 19][seq as usize % 4];
        assert_eq!(bench.wait(Duration::from_millis(81 + late)), [], "after chunk {seq}");
    }
    assert_eq!(acknowledged, (1..=50).map(|pair| pair * 2).collect::<Vec<u32>>());
}

#[test]
fn short_chunks_are_acknowledged_together() {
    let mut bench = Bench::attached();
    let mut acknowledged = Vec::new();
    for seq in 0..50 {
        let did = bench.frame(Codec::PcmS16le16000, seq, seq * 320, 640);
        let acks = did.into_iter().filter_map(|did| match did {
            Did::Said(RelayMessage::RelayAck(ack)) => Some(ack.received.seq),
            _ => None,
        });
        acknowledged.extend(acks);
        assert_eq!(bench.wait(Duration::from_millis(20)), []);
    }
    assert_eq!(acknowledged, (1..=10).map(|five| five * 5).collect::<Vec<u32>>());
}
