//! The client's machine alone, on lines that are slow, stuck or silent.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod bench;

use std::collections::VecDeque;
use std::time::Duration;

use bench::{Bench, Did, ack, resumed, sent, welcome};
use protocol::client::{Config, Event, Input, State};
use protocol::{ClientMessage, Mark, Pong, RelayAck, Upward, Usage};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
fn a_slow_round_trip_is_measured_again_after_2_s_until_five_in_a_row_were_fast() {
    let mut bench = Bench::up();
    let mut apart = Vec::new();
    let mut answered = bench.now;
    for rtt_ms in [500, 400, 401, 80, 80, 80, 80, 80, 80] {
        let id = loop {
            bench.now = bench.client.poll_timeout().expect("a heartbeat is due");
            if let Some(Did::Said(ClientMessage::Ping(ping))) = bench.input(Input::Timeout).last() {
                break ping.id;
            }
        };
        apart.push(bench.now.since(answered).as_millis());
        bench.now = bench.now + Duration::from_millis(rtt_ms);
        bench.relay(Pong { id });
        answered = bench.now;
    }
    assert_eq!(apart, [15_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 14_920]);
}

#[test]
fn what_waits_is_what_the_relay_is_not_known_to_have() {
    let mut bench = Bench::up();
    assert_eq!(bench.client.waiting(), 0);
    bench.chunks(10);
    assert_eq!(bench.client.waiting(), 16_000);
    bench.relay(ack(4, 2));
    assert_eq!(bench.client.waiting(), 9_600);
    bench.input(Input::Closed { code: 1006 });
    bench.chunks(1);
    assert_eq!(bench.client.waiting(), 11_200, "also while there is no connection");
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
fn what_lay_in_a_queue_while_the_machine_slept_counts_but_is_no_sign_of_life() {
    let mut bench = Bench::up();
    bench.now = bench.now + Duration::from_secs(40);
    // A driver that wakes may hand over what had come before it rings the timer.
    assert!(bench.relay(Usage::default()).contains(&Did::Told(Event::Usage(Usage::default()))));
    assert!(bench.input(Input::Timeout).contains(&Did::Disconnect(1000)), "it is noticed at once");
}

#[test]
fn a_greeting_whose_answer_lay_in_a_queue_while_the_machine_slept_makes_a_connection_that_is_probed() {
    let mut bench = Bench::new();
    bench.begin();
    bench.now = bench.now + Duration::from_secs(40);
    bench.relay(welcome());
    assert_eq!(bench.client.state(), State::Connected);
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
fn audio_that_waits_behind_many_messages_is_no_stuck_line() {
    let mut bench = Bench::with(Config { buffer: Duration::from_secs(60), ..Config::default() });
    bench.begin();
    bench.relay(welcome());
    // They go out ten in a second, so the audio behind them begins after 18 s.
    let (mut received, mut position, mut did) = (0, 0, Vec::new());
    for _ in 0..200 {
        did.extend(bench.message(&Upward::Text { text: "hello".into() }).expect("there is room"));
    }
    did.extend(bench.chunks(30));
    for _ in 0..40 {
        let is_of_the_uplink =
            |did: &&Did| matches!(did, Did::Said(ClientMessage::Numbered(_)) | Did::Sent(_));
        received += did.iter().filter(is_of_the_uplink).count() as u32;
        position += did.iter().filter(|did| matches!(did, Did::Sent(_))).count() as u32 * 1_600;
        assert!(!did.contains(&Did::Disconnect(1000)), "after {received}");
        let mark = Mark { seq: received, position };
        did = bench.relay(RelayAck { received: mark, committed: Mark::default() });
        did.extend(bench.wait(Duration::from_millis(500)));
    }
    assert_eq!((received, position), (230, 30 * 1_600));
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
fn a_slow_line_that_lets_little_wait_is_left_alone() {
    let mut bench = Bench::up();
    bench.chunks(10);
    for acknowledged in 1..5 {
        let did = bench.wait(Duration::from_secs(4));
        assert!(!did.contains(&Did::Disconnect(1000)), "a second of audio waits, and some of it got through");
        bench.relay(ack(acknowledged, 0));
    }
}
