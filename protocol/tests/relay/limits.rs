//! What a client may not do, and what counts on the next relay as well: idle, too long, too fast, too much.

use super::*;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
    assert_eq!(bench.chunk(31), [Did::Greeted("r2".into()), Did::Audio(mark(31), 3_200)]);
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
    assert_eq!(bench.client(Ping { id: 43, rtt_us: 0 }), [Did::Greeted("r3".into()), pong(43)]);
    for id in 0..38 {
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
