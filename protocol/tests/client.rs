//! The client's machine alone, against a script.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod bench;

use std::collections::VecDeque;
use std::time::Duration;

use bench::{Bench, Did, ack, conversation, ended, errors, resumed, sent, welcome};
use protocol::client::{Config, ErrorInfo, Event, GapInfo, Input, NotTaken, State};
use protocol::{
    AudioHeader, Budget, BudgetScope, ClientMessage, CloseCode, Codec, Ended, ErrorCode, ErrorMessage, Mark,
    Pong, RelayAck, RelayMessage, ResumeFailed, Resumed, TokenExpiring, TooLong, Usage, Welcome,
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
fn a_full_socket_holds_chunks_back_until_it_has_room() {
    let mut bench = Bench::up();
    bench.input(Input::Buffered(1_000_000));
    assert_eq!(sent(&bench.chunks(3)), Vec::<u32>::new());
    let due = bench.client.poll_timeout().expect("looks again");
    assert!(due.since(bench.now) <= Duration::from_millis(50));
    bench.now = due;
    assert_eq!(sent(&bench.input(Input::Buffered(0))), [0, 1, 2]);
}

#[test]
fn a_heartbeat_goes_out_every_15_s_and_its_answer_gives_the_round_trip_time() {
    let mut bench = Bench::up();
    for _ in 0..4 {
        let sent_at = bench.now;
        let ping = loop {
            bench.now = bench.client.poll_timeout().expect("a heartbeat is due");
            let did = bench.input(Input::Timeout);
            if let Some(Did::Said(ClientMessage::Ping(ping))) = did.last() {
                break *ping;
            }
        };
        assert_eq!(bench.now.since(sent_at), Duration::from_secs(15));
        let pinged_at = bench.now;
        bench.now = pinged_at + Duration::from_millis(80);
        assert_eq!(
            bench.relay(Pong { id: ping.id }),
            [Did::Told(Event::RoundTrip(Duration::from_millis(80)))]
        );
        bench.now = pinged_at;
    }
}

#[test]
fn a_relay_silent_for_two_heartbeats_is_dead() {
    let mut bench = Bench::up();
    assert!(!bench.wait(Duration::from_millis(29_900)).iter().any(|did| matches!(did, Did::Disconnect(_))));
    assert!(bench.wait(Duration::from_millis(200)).contains(&Did::Disconnect(1000)));
}

#[test]
fn unacknowledged_audio_finds_a_dead_link_in_ten_seconds_but_survives_a_stall_of_four() {
    let mut bench = Bench::up();
    bench.chunks(5);
    assert!(!bench.wait(Duration::from_secs(4)).iter().any(|did| matches!(did, Did::Disconnect(_))));
    bench.relay(ack(5, 0));
    bench.chunks(5);
    assert!(bench.wait(Duration::from_millis(10_100)).contains(&Did::Disconnect(1000)));
}

#[test]
fn waking_up_probes_the_link_and_drops_it_when_nothing_answers() {
    let mut bench = Bench::up();
    assert!(bench.input(Input::Woke).iter().any(|did| matches!(did, Did::Said(ClientMessage::Ping(_)))));
    assert!(bench.wait(Duration::from_secs(5)).contains(&Did::Disconnect(1000)));
}

#[test]
fn the_network_coming_back_ends_the_backoff_at_once() {
    let mut bench = Bench::up();
    bench.wait(Duration::from_secs(1));
    assert!(bench.input(Input::Offline).contains(&Did::Disconnect(1000)));
    bench.input(Input::Online);
    assert_eq!(bench.client.poll_timeout(), Some(bench.now));
    assert_eq!(bench.input(Input::Timeout), [Did::RequestToken]);
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
fn without_a_network_it_is_no_news_that_there_is_no_token() {
    let mut bench = Bench::up();
    bench.input(Input::Offline);
    assert!(bench.wait(Duration::from_secs(1)).contains(&Did::RequestToken), "`offline` may be wrong");
    assert_eq!(errors(&bench.input(Input::Token(Err("no network")))), Vec::<String>::new());
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

/// A relay that has what the line has carried: so many chunks after so long, again and again.
fn carry(bench: &mut Bench, from: u32, chunks: u32, every: Duration, times: u32) -> Vec<Did> {
    let mut did = Vec::new();
    for burst in 1..=times {
        did.extend(bench.wait(every));
        bench.input(Input::Buffered(0));
        did.extend(bench.relay(ack(from + burst * chunks, 0)));
    }
    did
}

#[test]
fn a_slow_line_that_moves_is_not_dropped_while_it_carries_2_kb_a_second() {
    // From an eighth of a chunk's time to a stall of 9 s, and at least a sixteenth of what is said.
    for (chunks, every_ms) in [(1, 1_300), (3, 3_900), (8, 9_000), (30, 9_500), (1, 800)] {
        let mut bench = Bench::with(Config { buffer: Duration::from_secs(60), ..Config::default() });
        bench.input(Input::Start);
        bench.input(Input::Token(Ok("jwt")));
        bench.input(Input::Opened);
        bench.relay(welcome());
        bench.chunks(600);
        let did = carry(&mut bench, 0, chunks, Duration::from_millis(every_ms), 540 / chunks.max(10));
        assert!(
            !did.iter().any(|did| matches!(did, Did::Disconnect(_))),
            "{chunks} every {every_ms} ms: {did:?}"
        );
    }
}

#[test]
fn a_line_on_which_the_relay_talks_and_nothing_gets_up_is_replaced_after_10_s() {
    let mut bench = Bench::up();
    bench.chunks(5);
    bench.relay(ack(2, 0));
    let mut did = Vec::new();
    for _ in 0..11 {
        did.extend(bench.wait(Duration::from_secs(1)));
        did.extend(bench.relay(Usage::default()));
    }
    assert!(did.contains(&Did::Disconnect(1000)), "{did:?}");
}

#[test]
fn a_line_that_is_stuck_is_replaced_and_a_network_that_carries_no_more_is_left_alone() {
    let mut bench = Bench::with(Config { buffer: Duration::from_secs(60), ..Config::default() });
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    bench.input(Input::Opened);
    bench.relay(welcome());
    bench.chunks(600);
    // A chunk every 4 s: 0.8 KB/s, of 32 that are said.
    let (mut received, mut replaced) = (0, 0);
    for _ in 0..140 {
        received += 1;
        let did = bench.wait(Duration::from_secs(4));
        if did.contains(&Did::Disconnect(1000)) {
            replaced += 1;
            if !did.contains(&Did::RequestToken) {
                bench.reconnect();
            } else {
                bench.input(Input::Token(Ok("jwt")));
                bench.input(Input::Opened);
            }
            bench.relay(resumed(received, 0));
        } else {
            bench.relay(ack(received, 0));
        }
        bench.input(Input::Buffered(0));
    }
    assert!((1..=3).contains(&replaced), "{replaced}");
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
        assert_eq!(ended(&bench.input(Input::Closed { code: 4401 })), None);
        let asked = (0..50).any(|_| bench.wait(Duration::from_millis(100)).contains(&Did::RequestToken));
        if !asked {
            break;
        }
    }
    assert_ne!(bench.client.state(), State::Closed);
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
fn however_often_the_page_wakes_the_relay_is_probed_seldom() {
    let mut bench = Bench::up();
    let mut pings = 0;
    for _ in 0..100 {
        let did = bench.input(Input::Woke);
        for did in &did {
            if let Did::Said(ClientMessage::Ping(ping)) = did {
                pings += 1;
                bench.relay(Pong { id: ping.id });
            }
        }
        bench.wait(Duration::from_millis(10));
    }
    assert!(pings <= 2, "{pings}");
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
fn however_often_the_page_wakes_a_dead_link_is_found_in_time() {
    let mut bench = Bench::up();
    let mut did = Vec::new();
    for _ in 0..20 {
        did.extend(bench.input(Input::Woke));
        did.extend(bench.wait(Duration::from_millis(500)));
    }
    assert!(did.contains(&Did::Disconnect(1000)), "each probe put off the end of the one before");
}

#[test]
fn on_a_line_that_is_too_slow_what_is_dropped_is_declared_seldom() {
    for bytes_a_second in [0, 4_000, 10_000, 24_000, 31_000] {
        let mut bench = Bench::with(Config { buffer: Duration::from_secs(1), ..Config::default() });
        bench.input(Input::Start);
        bench.input(Input::Token(Ok("jwt")));
        bench.input(Input::Opened);
        bench.relay(welcome());
        let (mut waits, mut gaps, mut received) = (0_usize, 0, 0);
        // What is in the socket, oldest first: the relay has whatever has left it.
        let mut on_its_way = VecDeque::new();
        let seconds = 30;
        for _ in 0..seconds * 50 {
            bench.wait(Duration::from_millis(20));
            waits = waits.saturating_sub(bytes_a_second / 50);
            let mut did = bench.input(Input::Buffered(waits));
            did.extend(bench.input(Input::Chunk(&[1; 320])));
            waits += sent(&did).len() * 652;
            on_its_way.extend(sent(&did));
            while on_its_way.len() * 652 > waits {
                received = on_its_way.pop_front().map_or(received, |seq| seq + 1);
            }
            gaps += did.iter().filter(|did| matches!(did, Did::Said(ClientMessage::Gap(_)))).count();
            bench.relay(RelayAck { received: Mark { seq: received, position: received * 320 }, ..ack(0, 0) });
        }
        assert!(gaps <= seconds, "{gaps} in {seconds} s at {bytes_a_second} bytes a second");
        // One that moves is kept; one that moves nothing at all is replaced.
        assert_eq!(
            bench.client.state() == State::Connected,
            bytes_a_second > 0,
            "{bytes_a_second} bytes a second"
        );
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
fn a_slow_line_that_lets_little_wait_is_left_alone() {
    let mut bench = Bench::up();
    bench.chunks(10);
    for acknowledged in 1..5 {
        let did = bench.wait(Duration::from_secs(4));
        assert!(!did.contains(&Did::Disconnect(1000)), "a second of audio waits, and some of it got through");
        bench.relay(ack(acknowledged, 0));
    }
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
    bench.input(Input::Close);
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
