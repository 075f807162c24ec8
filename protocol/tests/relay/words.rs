//! What the session says, how a slow reader gets it, and the end of a call.

use super::*;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
fn a_client_that_reads_all_and_acknowledges_nothing_is_not_written_to_for_ever() {
    let said = |turn| Transcript {
        seq: 0,
        turn,
        role: Role::User,
        text: "x".repeat(10_000),
        start: 0,
        end: 0,
        last: true,
    };
    let mut bench = Bench::attached();
    let mut turns = 0;
    let ended = loop {
        turns += 1;
        assert!(turns < 1_000, "bounded");
        let did = bench.input(Input::Say(&Saying::Transcript(said(turns))));
        if did.iter().any(|did| matches!(did, Did::Ended(_))) {
            break did;
        }
    };
    assert!(turns > 400, "{turns} are no trouble");
    assert!(ended.iter().any(|did| matches!(did, Did::Close(CloseCode::Protocol))), "{ended:?}");
    // Whoever says now and then what it has may be told as much as there is.
    let mut bench = Bench::attached();
    for turn in 0..1_000 {
        let did = bench.input(Input::Say(&Saying::Transcript(said(turn))));
        assert!(!did.iter().any(|did| matches!(did, Did::Ended(_))), "{turn}");
        if turn % 100 == 0 {
            bench.client(ClientAck { received: turn + 1, played: 0 });
        }
    }
}

#[test]
fn a_session_that_the_link_ends_tells_before_what_is_stored() {
    let mut bench = Bench::attached();
    bench.chunk(0);
    bench.chunk(1);
    bench.wait(Duration::from_secs(1));
    bench.input(Input::Commit(mark(2)));
    // Something is wrong with the next message.
    let did = bench.input(Input::Text("{"));
    let [
        Did::Said(RelayMessage::RelayAck(ack)),
        Did::Said(_),
        Did::Close(CloseCode::Protocol),
        Did::Ended(_),
    ] = did.as_slice()
    else {
        panic!("{did:?}")
    };
    assert_eq!((ack.received, ack.committed), (mark(2), mark(2)));
    // What was told already is not told again.
    let mut bench = Bench::attached();
    bench.chunk(0);
    bench.input(Input::Commit(mark(1)));
    bench.wait(Duration::from_secs(1));
    let did = bench.input(Input::Text("{"));
    assert!(!did.iter().any(|did| matches!(did, Did::Said(RelayMessage::RelayAck(_)))), "{did:?}");
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
fn a_session_that_has_ended_is_over_in_a_minute_even_if_its_client_takes_nothing() {
    let mut bench = Bench::attached();
    let link = &mut bench.link;
    let said = |link: &mut Link| std::iter::from_fn(|| link.poll_urgent()).collect::<Vec<_>>();
    let mut now = bench.now;
    link.handle_input(now, Input::Audio(&[0; 2_400]));
    link.handle_input(now, Input::End { code: CloseCode::Normal, usage: Usage::default() });
    // The socket is full, so nothing but what is urgent is asked for. And the client goes on talking.
    for second in 0..60 {
        now = now + Duration::from_secs(1);
        link.handle_input(now, Input::Control);
        link.handle_input(now, Input::Text(r#"{"type":"ping","id":1,"rtt_us":0}"#));
        assert!(second == 59 || link.poll_timeout().is_some_and(|due| due > now), "after {second} s");
        let more = said(link);
        assert!(more.is_empty(), "{more:?}");
    }
    link.handle_input(now, Input::Timeout);
    let last = said(link);
    assert!(matches!(last.last(), Some(Output::Close(CloseCode::Normal))), "{last:?}");
    assert!(link.is_over());
    assert_eq!(link.poll_timeout(), None);
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
