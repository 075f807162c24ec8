//! The relay's machine alone, against a script.

mod relay_bench;

use std::time::Duration;

use bytes::Bytes;
use protocol::relay::{Attachment, Config, Elsewhere, Input, Link, Output, Saying};
use protocol::{
    Ability, AgentState, AudioHeader, Budget, BudgetScope, Bye, ClientAck, ClientMessage, CloseCode, Codec,
    Degraded, Gap, HEADER_LEN, Latency, Listened, Mark, Mute, Ping, RelayMessage, Resume, Role, Time,
    ToolCall, ToolCancel, Transcript, Usage,
};
use relay_bench::{Bench, Did, config, hello, mark};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn pong(id: u32) -> Did {
    Did::Said(protocol::Pong { id }.into())
}

fn error(did: &[Did]) -> Option<&str> {
    did.iter().find_map(|did| match did {
        Did::Said(RelayMessage::ErrorMessage(error)) => Some(error.code.as_str()),
        _ => None,
    })
}

#[test]
fn a_new_session_is_welcomed_with_its_limits_and_a_resume_token() {
    let mut bench = Bench::new();
    let did = bench.attach(&hello(None), Attachment::New, "r1");
    let [Did::Said(RelayMessage::Welcome(welcome)), Did::Attached] = did.as_slice() else {
        panic!("{did:?}")
    };
    assert_eq!((welcome.resume_token.as_str(), welcome.heartbeat_ms, welcome.epoch), ("r1", 15_000, 0));
    assert_eq!(welcome.limits, config().limits);
}

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
fn nothing_but_audio_keeps_a_session_from_being_idle() {
    let acts: [fn(&mut Bench, u32); 6] = [
        |bench, _| drop(bench.chunk(0)),
        |bench, n| drop(bench.client(Mute { muted: n.is_multiple_of(2) })),
        |bench, n| drop(bench.client(Ping { id: n, rtt_us: 1_000 })),
        |bench, _| drop(bench.client(ClientAck { received: 0, played: 0 })),
        |bench, n| drop(bench.client(Gap { from: mark(1 + n), to: mark(2 + n) })),
        // Refused, and so are ten of them in a session at most.
        |bench, n| drop(bench.frame(Codec::PcmS16le16000, (1 + n).min(10), 1_600, 3_201)),
    ];
    let idle = Duration::from_millis(config().limits.idle_ms);
    for (nth, act) in acts.into_iter().enumerate() {
        let mut bench = Bench::attached();
        bench.chunk(0);
        let steps = idle.as_secs() as u32 / 5;
        let ended = (0..steps).position(|n| {
            act(&mut bench, n);
            bench.wait(Duration::from_secs(5)).contains(&Did::Ended(CloseCode::Idle))
        });
        assert_eq!(ended, Some(steps as usize - 1), "act {nth}");
    }
    let mut bench = Bench::attached();
    for seq in 0..2 * idle.as_secs() as u32 / 5 {
        bench.chunk(seq);
        assert!(!bench.wait(Duration::from_secs(5)).contains(&Did::Ended(CloseCode::Idle)));
    }
}

#[test]
fn frames_and_pings_without_end_close_the_connection_but_not_the_session() {
    for input in [&[1_u8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] as &[u8], &[]] {
        let mut bench = Bench::attached();
        bench.chunk(0);
        let closed = (0..100_000).find_map(|_| {
            let did = if input.is_empty() {
                bench.input(Input::Control)
            } else {
                bench.input(Input::Binary(input.to_vec().into()))
            };
            did.contains(&Did::Close(CloseCode::Limited)).then_some(did)
        });
        let did = closed.expect("closed");
        assert!(
            did.contains(&Did::Detached) && !did.iter().any(|did| matches!(did, Did::Ended(_))),
            "{did:?}"
        );
    }
}

#[test]
fn the_longest_duration_counts_from_the_beginning_of_the_session() {
    let now = Time::from_millis(1);
    let mut link = Link::recovered(now, config(), 1, mark(4));
    let age = Duration::from_millis(config().limits.session_ms) - Duration::from_secs(1);
    link.carry_over(&Elsewhere { age, ..Elsewhere::default() });
    assert_eq!(link.poll_timeout(), Some(now + Duration::from_secs(1)));
}

#[test]
fn audio_that_was_heard_on_another_relay_is_taken_out_of_the_bucket() {
    // Real time, and a burst of 2 s, or the longest chunk, which is more here: 3.125 s.
    for (age_s, heard_s, chunks) in [(0, 0, 31), (100, 100, 31), (100, 106, 21), (100, 108, 1), (100, 200, 0)]
    {
        let now = Time::from_millis(1);
        let mut link = Link::recovered(now, config(), 1, Mark::default());
        let seconds = Duration::from_secs;
        link.carry_over(&Elsewhere { age: seconds(age_s), heard: heard_s * 16_000, ..Elsewhere::default() });
        let mut bench = Bench { link, now };
        bench.resume("old", "r1", 0);
        let taken = (0..100).take_while(|seq| !bench.chunk(*seq).contains(&Did::Close(CloseCode::Limited)));
        assert_eq!(taken.count(), chunks, "{heard_s} s heard in {age_s} s");
    }
}

#[test]
fn who_is_idle_is_idle_on_the_next_relay_too_but_is_asked_first() {
    let idle = Duration::from_millis(config().limits.idle_ms);
    for (quiet, left) in [(Duration::ZERO, idle), (idle / 2, idle / 2), (idle * 3, Duration::from_secs(60))] {
        let now = Time::from_millis(1);
        let mut link = Link::recovered(now, Config { resume_window: 2 * idle, ..config() }, 1, mark(4));
        link.carry_over(&Elsewhere { quiet, ..Elsewhere::default() });
        assert_eq!(link.poll_timeout(), Some(now + left), "{quiet:?}");
    }
}

#[test]
fn who_changes_relays_again_and_again_finds_no_full_buckets_there() {
    for (resumes, age_s, full) in [(3, 0, true), (11, 0, false), (11, 60, true), (200, 600, false)] {
        let now = Time::from_millis(1);
        let mut link = Link::recovered(now, config(), 1, Mark::default());
        link.carry_over(&Elsewhere { resumes, age: Duration::from_secs(age_s), ..Elsewhere::default() });
        let mut bench = Bench { link, now };
        bench.resume("old", "r1", 0);
        let pings =
            (0..100).take_while(|id| !bench.client(Ping { id: *id, rtt_us: 0 }).contains(&Did::Detached));
        assert_eq!(pings.count(), if full { 40 } else { 20 }, "{resumes} resumes in {age_s} s");
    }
}

#[test]
fn what_was_refused_on_another_relay_counts_on_the_next_one() {
    for before in [0, 3, 10] {
        let now = Time::from_millis(1);
        let mut link = Link::recovered(now, config(), 1, Mark::default());
        link.carry_over(&Elsewhere { strikes: before, ..Elsewhere::default() });
        let mut bench = Bench { link, now };
        bench.resume("old", "r1", 0);
        for strikes in before + 1..=10 {
            let did = bench.input(Input::Binary(Bytes::from_static(&[1])));
            assert!(did.contains(&Did::Strikes(strikes)), "the next relay is to know: {did:?}");
        }
        let did = bench.input(Input::Binary(Bytes::from_static(&[1])));
        assert!(did.contains(&Did::Ended(CloseCode::Protocol)), "{before} before: {did:?}");
    }
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
fn what_is_played_again_on_another_relay_passes_at_once_and_nothing_else_does() {
    let passes = |again: u32| {
        let mut bench = Bench::new();
        let elsewhere =
            Elsewhere { age: Duration::from_secs(1), heard: 60 * 16_000, again, ..Elsewhere::default() };
        bench.link.carry_over(&elsewhere);
        bench.attach(&hello(None), Attachment::New, "r1");
        (0..1_000).take_while(|seq| !bench.chunk(*seq).contains(&Did::Close(CloseCode::Limited))).count()
    };
    assert_eq!(passes(0), 0, "all of the burst was used elsewhere");
    assert_eq!(passes(20 * 1_600), 20);
    assert_eq!(passes(u32::MAX), 31, "no more than any burst");
}

#[test]
fn a_client_that_keeps_sending_bad_chunks_is_closed() {
    let mut bench = Bench::attached();
    for seq in 0..10 {
        assert_eq!(error(&bench.frame(Codec::PcmS16le16000, seq, 0, 10)), Some("chunk_too_small"));
    }
    assert!(bench.frame(Codec::PcmS16le16000, 10, 0, 10).contains(&Did::Close(CloseCode::Protocol)));
}

#[test]
fn audio_faster_than_real_time_beyond_the_burst_closes_the_connection_but_not_the_session() {
    let mut bench = Bench::attached();
    let refused = (0..100).find_map(|seq| {
        let did = bench.chunk(seq);
        did.contains(&Did::Close(CloseCode::Limited)).then_some((seq, did))
    });
    let (seq, did) = refused.expect("refused");
    // The longest chunk always passes, and is more here than the burst.
    assert_eq!((seq, error(&did)), (31, Some("audio_too_fast")));
    assert!(did.contains(&Did::Detached) && !did.iter().any(|did| matches!(did, Did::Ended(_))));
    bench.wait(Duration::from_secs(1));
    let did = bench.resume("r1", "r2", 0);
    assert!(
        matches!(&did[0], Did::Said(RelayMessage::Resumed(resumed)) if resumed.received == mark(31)),
        "{did:?}"
    );
    assert_eq!(bench.chunk(31), [Did::Audio(mark(31), 3_200)]);
}

#[test]
fn more_control_messages_than_the_limit_close_the_connection_and_a_resume_says_again_what_was_lost() {
    let mut bench = Bench::attached();
    for id in 0..40 {
        assert_eq!(bench.client(Ping { id, rtt_us: 0 }), [pong(id)]);
    }
    let did = bench.client(Bye { end: 0 });
    let told = protocol::ErrorMessage {
        limit: Some(20),
        asked: Some(21),
        retry_after_ms: Some(2_000),
        ..protocol::ErrorCode::ControlRate.into()
    };
    let told = Did::Said(told.into());
    assert_eq!(did, [told, Did::Close(CloseCode::Limited), Did::Detached], "the message is not acted on");
    assert_eq!(bench.client(Ping { id: 41, rtt_us: 0 }), [], "what was on its way is not heard");

    // Who does not wait gets no further, on whatever connection: the bucket is the session's.
    bench.resume("r1", "r2", 0);
    assert_eq!(error(&bench.client(Ping { id: 42, rtt_us: 0 })), Some("control_rate"));
    bench.wait(Duration::from_secs(2));
    bench.resume("r2", "r3", 0);
    for id in 0..39 {
        assert_eq!(bench.client(Ping { id, rtt_us: 0 }), [pong(id)]);
    }
    assert_eq!(bench.client(Bye { end: 0 }), [Did::Bye]);
}

#[test]
fn whatever_comes_as_text_counts_as_a_control_message() {
    let messages = [
        ClientMessage::from(Ping { id: 1, rtt_us: 0 }),
        protocol::Mute { muted: true }.into(),
        Gap { from: mark(0), to: mark(0) }.into(),
        protocol::Token { token: "jwt".into() }.into(),
    ];
    for message in messages {
        let mut bench = Bench::attached();
        let limited = (0..100).position(|_| error(&bench.client(message.clone())) == Some("control_rate"));
        assert_eq!(limited, Some(40), "{message:?}");
    }
    let mut bench = Bench::attached();
    for seq in 0..20 {
        bench.chunk(seq);
    }
    assert_eq!(bench.client(Ping { id: 1, rtt_us: 0 }), [pong(1)], "audio does not");
}

#[test]
fn acknowledgements_that_a_line_held_back_for_a_minute_pass_at_once_and_without_end_they_do_not() {
    let mut bench = Bench::attached();
    for played in 0..300 {
        assert_eq!(bench.client(ClientAck { received: 0, played }), [Did::Played(played)]);
    }
    let flood = (0..1_000_000)
        .any(|_| error(&bench.client(ClientAck { received: 0, played: 0 })) == Some("audio_too_fast"));
    assert!(flood);
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
fn a_full_socket_keeps_the_agents_words_waiting_and_nothing_of_the_users() {
    let mut bench = Bench::attached();
    bench.link.handle_input(bench.now, Input::Audio(&[7; 480]));
    let mut frame = Vec::new();
    AudioHeader::write(Codec::PcmS16le16000, 0, 0, &mut frame);
    frame.resize(frame.len() + 3_200, 0);
    bench.link.handle_input(bench.now, Input::Binary(frame.into()));
    assert!(matches!(bench.link.poll_urgent(), Some(Output::Audio { .. })));
    assert!(bench.link.poll_urgent().is_none());
    bench.now = bench.now + Duration::from_millis(200);
    bench.link.handle_input(bench.now, Input::Timeout);
    assert!(matches!(bench.link.poll_urgent(), Some(Output::Text(text)) if text.contains("\"ack\"")));
    assert!(bench.link.poll_urgent().is_none());
    assert!(matches!(bench.link.poll_output(), Some(Output::Binary(_))));
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

#[test]
fn a_resume_token_works_once_but_survives_a_lost_answer() {
    let mut bench = Bench::attached();
    assert!(bench.link.accepts("r1") && !bench.link.accepts("r2") && !bench.link.accepts(""));
    bench.client(Ping { id: 1, rtt_us: 0 });
    bench.resume("r1", "r2", 0);
    assert!(bench.link.accepts("r1"), "the client may not have got the answer");
    bench.resume("r1", "r3", 0);
    let good = |bench: &Bench| ["r1", "r2", "r3"].map(|token| bench.link.accepts(token));
    assert_eq!(good(&bench), [true; 3], "one attempt may overtake another: the client may hold any of them");
    bench.client(Ping { id: 2, rtt_us: 0 });
    assert_eq!(good(&bench), [false, false, true], "now it has shown which");
    assert!(bench.link.accepts("r3"));
}

#[test]
fn what_the_agent_said_meanwhile_is_replayed_from_what_the_client_has() {
    let mut bench = Bench::attached();
    bench.input(Input::Say(&Saying::Agent(AgentState::Speaking)));
    assert_eq!(bench.input(Input::Audio(&[1; 2_400])), [Did::Sent(1)]);
    assert_eq!(bench.input(Input::Closed), [Did::Detached]);
    assert_eq!(bench.input(Input::Audio(&[1; 2_400])), []);
    let did = bench.resume("r1", "r2", 1);
    assert_eq!(did[1..], [Did::Attached, Did::Sent(1), Did::Sent(2)]);
    assert_eq!(bench.client(ClientAck { received: 3, played: 99 }), [Did::Played(99)]);
    assert!(bench.client(ClientAck { received: 4, played: 99 }).contains(&Did::Close(CloseCode::Protocol)));
}

#[test]
fn a_slow_reader_makes_the_agent_wait() {
    let mut bench = Bench::attached();
    let mut frames = 0;
    while bench.link.has_room() {
        bench.input(Input::Audio(&[0; 2_400]));
        frames += 1;
        assert!(frames < 1_000, "bounded");
    }
    bench.client(ClientAck { received: frames, played: 0 });
    assert!(bench.link.has_room());
    bench.input(Input::Closed);
    assert!(!bench.link.has_room(), "without a connection it waits, too");
}

#[test]
fn a_session_rebuilt_from_the_store_goes_on_after_what_is_committed() {
    let now = Time::from_millis(5);
    let mut bench = Bench { link: Link::recovered(now, config(), 1, mark(4)), now };
    let resume = Resume { session_id: "s1".into(), resume_token: "r1".into(), epoch: 0, received: 17 };
    let did = bench.attach(&hello(Some(resume)), Attachment::Resume, "r2");
    let [Did::Said(RelayMessage::Resumed(resumed)), Did::Attached] = did.as_slice() else {
        panic!("{did:?}")
    };
    assert_eq!((resumed.epoch, resumed.received, resumed.committed), (1, mark(4), mark(4)));
    assert_eq!(bench.input(Input::Audio(&[0; 100])), [Did::Sent(0)], "the downlink counts from 0 again");
}

#[test]
fn a_refused_resume_is_said_before_the_welcome() {
    let mut bench = Bench::new();
    let resume = Resume { session_id: "s0".into(), resume_token: "x".into(), epoch: 3, received: 0 };
    let did = bench.attach(&hello(Some(resume)), Attachment::Instead, "r1");
    let [
        Did::Said(RelayMessage::ResumeFailed(failed)),
        Did::Said(RelayMessage::Welcome(welcome)),
        Did::Attached,
    ] = did.as_slice()
    else {
        panic!("{did:?}")
    };
    assert_eq!((failed.reason.as_str(), failed.epoch, welcome.epoch), ("unknown", 4, 4));
}

#[test]
fn a_silent_client_is_detached_after_two_heartbeats_and_forgotten_after_the_resume_window() {
    let mut bench = Bench::attached();
    bench.wait(Duration::from_secs(20));
    let did = bench.client(Ping { id: 5, rtt_us: 1_500 });
    assert_eq!(did, [Did::RoundTrip(Duration::from_micros(1_500)), pong(5)]);
    assert_eq!(bench.wait(Duration::from_secs(29)), []);
    assert_eq!(bench.wait(Duration::from_secs(2)), [Did::Close(CloseCode::GoingAway), Did::Detached]);
    assert_eq!(bench.wait(Duration::from_secs(118)), []);
    assert_eq!(bench.wait(Duration::from_secs(2)), [Did::Ended(CloseCode::Abnormal)]);
    assert!(!bench.link.accepts("r1"));
}

#[test]
fn a_session_ends_when_it_is_idle_or_too_long() {
    let mut bench = Bench::attached();
    let mut did = Vec::new();
    for id in 0..60 {
        did.extend(bench.client(Ping { id, rtt_us: 0 }));
        did.extend(bench.wait(Duration::from_secs(11)));
    }
    assert!(did.contains(&Did::Ended(CloseCode::Idle)), "pings are no activity");

    let (mut bench, mut did) = (Bench::attached(), Vec::new());
    for seq in 0..1_801 {
        did = bench.chunk(seq);
        did.extend(bench.wait(Duration::from_secs(1)));
        if did.contains(&Did::Ended(CloseCode::TooLong)) {
            assert_eq!(seq, 1_799);
            break;
        }
    }
    assert_eq!(error(&did), Some("too_long"));
}

#[test]
fn hanging_up_waits_for_the_frames_before_it() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    assert_eq!(bench.client(Bye { end: 2 }), []);
    assert_eq!(bench.chunk(1), [Did::Audio(mark(1), 3_200), Did::Bye]);
    bench.input(Input::Say(&Saying::Agent(AgentState::Listening)));
    let did = bench.input(Input::End { code: CloseCode::Normal, usage: Usage::default() });
    assert!(
        matches!(
            did.as_slice(),
            [
                Did::Said(RelayMessage::RelayAck(_)),
                Did::Said(RelayMessage::Ended(_)),
                Did::Close(CloseCode::Normal)
            ]
        ),
        "{did:?}"
    );
    assert_eq!(bench.chunk(2), [], "it is over");
}

#[test]
fn nonsense_is_a_protocol_error_and_never_a_panic() {
    for text in
        ["", "{", "[]", "null", r#"{"type":"sing"}"#, r#"{"type":"ack"}"#, r#"{"type":"bye","end":-1}"#]
    {
        assert!(
            Bench::attached().input(Input::Text(text)).contains(&Did::Close(CloseCode::Protocol)),
            "{text}"
        );
    }
    let hello = ClientMessage::from(hello(None)).to_json();
    assert!(
        Bench::attached().input(Input::Text(&hello)).contains(&Did::Close(CloseCode::Protocol)),
        "hello again"
    );
    assert_eq!(error(&Bench::attached().input(Input::Binary(Bytes::new()))), Some("chunk_too_small"));
    assert_eq!(
        error(&Bench::attached().input(Input::Binary(vec![9; 64].into()))),
        Some("protocol"),
        "no audio"
    );
}

#[test]
fn hanging_up_does_not_wait_for_a_frame_that_was_refused() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    assert_eq!(bench.client(Bye { end: 2 }), []);
    let did = bench.frame(Codec::PcmS16le16000, 1, 1_600, 10);
    assert_eq!(error(&did), Some("chunk_too_small"));
    assert!(did.contains(&Did::Bye), "{did:?}");
}

#[test]
fn an_acknowledgement_that_was_due_on_the_connection_before_is_said_once_on_the_next() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    let did = bench.resume("r1", "r2", 0);
    assert!(
        matches!(&did[..], [Did::Said(RelayMessage::Resumed(resumed)), Did::Attached] if resumed.received.seq == 1)
    );
    assert_eq!(bench.wait(Duration::from_secs(1)), [], "the greeting has said it");
}

#[test]
fn whatever_the_session_says_is_numbered_by_the_link() {
    let mut bench = Bench::attached();
    let seq = 99;
    let said =
        Transcript { seq, turn: 1, role: Role::Agent, text: "Yes.".into(), last: true, start: 0, end: 0 };
    let (scope, percent, limit_nano_usd, spent_nano_usd) = (BudgetScope::Session, 50, 10, 5);
    let call_id = String::from("call");
    let (name, arguments) = ("now".into(), "{}".into());
    let sayings = [
        Saying::Agent(AgentState::Speaking),
        Saying::Transcript(said),
        Saying::Budget(Budget { seq, scope, percent, limit_nano_usd, spent_nano_usd }),
        Saying::ToolCall(ToolCall { seq, call_id: call_id.clone(), name, arguments }),
        Saying::ToolCancel(ToolCancel { seq, call_id }),
        Saying::Degraded(Degraded { seq, what: Ability::Hearing, degraded: true }),
        Saying::Latency(Latency {
            seq,
            turn: 1,
            stt_ms: None,
            llm_ms: Some(3),
            tts_ms: None,
            send_ms: None,
            heard_ms: None,
            total_ms: Some(4),
        }),
        Saying::Listened(Listened { seq, listening: true }),
        Saying::ReplyEnd,
        Saying::Flush,
        Saying::Hold(true),
        Saying::Hold(false),
    ];
    for (number, saying) in sayings.iter().enumerate() {
        bench.link.handle_input(bench.now, Input::Say(saying));
        let text = std::iter::from_fn(|| bench.link.poll_output())
            .filter_map(|output| if let Output::Text(text) = output { Some(text) } else { None })
            .last();
        let text = text.expect("it is said");
        assert!(text.contains(&format!("\"seq\":{number}")), "{text}");
    }
}

#[test]
fn whoever_is_too_fast_is_told_by_how_much() {
    let mut bench = Bench::attached();
    let error = (0..100).find_map(|seq| {
        bench.chunk(seq).into_iter().find_map(|did| match did {
            Did::Said(RelayMessage::ErrorMessage(error)) => Some(error),
            _ => None,
        })
    });
    let error = error.expect("a burst has an end");
    assert_eq!((error.code.as_str(), error.limit), ("audio_too_fast", Some(2_000)));
    assert_eq!(error.asked, error.retry_after_ms.map(|wait| 2_000 + wait));
}

#[test]
fn a_session_that_its_client_never_heard_of_is_not_kept_for_long() {
    let over =
        |bench: &mut Bench| bench.wait(Duration::from_secs(6)).contains(&Did::Ended(CloseCode::Abnormal));
    let mut bench = Bench::attached();
    bench.input(Input::Closed);
    assert!(over(&mut bench), "nothing was said");
    let mut bench = Bench::attached();
    bench.client(ClientAck { received: 0, played: 0 });
    bench.input(Input::Closed);
    assert!(!over(&mut bench), "it was greeted");
}
