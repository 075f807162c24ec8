//! A session that begins, goes on over another connection, and is forgotten.

use super::*;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
fn a_resume_token_works_once_but_survives_a_lost_answer() {
    let mut bench = Bench::attached();
    assert!(bench.link.accepts("r1") && !bench.link.accepts("r2") && !bench.link.accepts(""));
    bench.client(Ping { id: 1, rtt_us: 0 });
    bench.resume("r1", "r2", 0);
    assert!(bench.link.accepts("r1"), "the client may not have got the answer");
    bench.resume("r1", "r3", 0);
    let good = |bench: &Bench| ["r1", "r2", "r3"].map(|token| bench.link.accepts(token));
    assert_eq!(good(&bench), [true; 3], "one attempt may overtake another: the client may hold any of them");
    let did = bench.client(Ping { id: 2, rtt_us: 0 });
    assert_eq!(good(&bench), [false, false, true], "now it has shown which");
    assert!(did.contains(&Did::Greeted("r3".into())), "and whoever stores tokens is told: {did:?}");
    let did = bench.client(Ping { id: 3, rtt_us: 0 });
    assert!(!did.iter().any(|did| matches!(did, Did::Greeted(_))), "once: {did:?}");
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
    let did = bench.client(ClientAck { received: 3, played: 99 });
    assert_eq!(did, [Did::Greeted("r2".into()), Did::Played(99)]);
    assert!(bench.client(ClientAck { received: 4, played: 99 }).contains(&Did::Close(CloseCode::Protocol)));
}

#[test]
fn a_session_rebuilt_from_the_store_goes_on_after_what_is_committed() {
    let now = Time::from_millis(5);
    let mut bench = Bench { link: Link::recovered(now, config(), 1, mark(4)), now };
    let resume =
        Resume { session_id: "s1".into(), resume_token: "r1".into(), epoch: 0, received: 17, played: None };
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
    let resume =
        Resume { session_id: "s0".into(), resume_token: "x".into(), epoch: 3, received: 0, played: None };
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
fn a_client_that_stays_when_it_is_told_to_come_back_elsewhere_is_closed_on_soon_after_its_time() {
    for (within, latest) in [(0, 2), (5, 7)].map(|(within, latest)| (within * 1_000, latest * 1_000)) {
        let mut bench = Bench::attached();
        let told = bench.input(Input::Move { within: Duration::from_millis(within) });
        assert_eq!(told, [Did::Said(Move { within_ms: within as u32 }.into())]);
        assert_eq!(bench.wait(Duration::from_millis(latest - 1)), []);
        assert_eq!(bench.wait(Duration::from_millis(1)), [Did::Close(CloseCode::GoingAway), Did::Detached]);
        assert!(bench.link.accepts("r1"), "the session goes on");

        let mut bench = Bench::attached();
        bench.input(Input::Move { within: Duration::from_millis(within) });
        bench.resume("r1", "r2", 0);
        assert_eq!(bench.wait(Duration::from_secs(10)), [], "another connection was told nothing");
    }
}

#[test]
fn a_client_that_does_not_know_how_to_move_is_closed_on_at_once() {
    let mut bench = Bench::new();
    let hello = Hello { features: Features::default(), ..hello(None) };
    bench.attach(&hello, Attachment::New, "r1");
    let within = Duration::from_secs(5);
    assert_eq!(bench.input(Input::Move { within }), [Did::Close(CloseCode::GoingAway), Did::Detached]);
    assert_eq!(bench.input(Input::Move { within }), [], "nobody is there who could be told");
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
