//! Somebody listens in.

use super::*;

/// How often the page is told of it.
fn told(outputs: &[Output]) -> usize {
    kinds(outputs).iter().filter(|kind| *kind == "listened").count()
}

/// How much whoever listens hears of.
fn heard(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Record(_))).count()
}

/// A call that is not recorded, of a client that knows what listening in is.
fn begin() -> Bench {
    let mut bench = Bench::begin_as(&["listened"]);
    bench.machine.is_recorded = false;
    bench
}

#[test]
fn what_is_said_goes_to_whoever_listens_and_the_page_is_told_that_somebody_does_and_that_nobody_does() {
    let mut bench = begin();
    assert_eq!(heard(&bench.audio(3, silence)), 0);
    assert_eq!(told(&bench.input(Input::Listens { tell_page: true })), 1);
    assert!(heard(&bench.audio(3, silence)) >= 3);
    assert_eq!(told(&bench.input(Input::ListensNoMore)), 1);
    assert_eq!(heard(&bench.audio(3, silence)), 0);
}

#[test]
fn a_page_that_is_not_to_know_is_told_nothing() {
    let mut bench = begin();
    assert_eq!(told(&bench.input(Input::Listens { tell_page: false })), 0);
    assert!(heard(&bench.audio(3, silence)) >= 3);
    assert_eq!(told(&bench.input(Input::ListensNoMore)), 0);
}

#[test]
fn a_page_is_told_of_the_first_of_whom_it_is_to_know_whoever_listened_before() {
    let mut bench = begin();
    let mut told = |input| told(&bench.input(input));
    let (known, hidden) = (|| Input::Listens { tell_page: true }, || Input::Listens { tell_page: false });
    assert_eq!(told(hidden()), 0);
    assert_eq!(told(known()), 1, "it was not told of the one before");
    assert_eq!([told(known()), told(hidden())], [0, 0], "it knows");
    assert_eq!(told(Input::ListensNoMore), 1);
    assert_eq!([told(hidden()), told(Input::ListensNoMore)], [0, 0]);
    assert_eq!([told(known()), told(Input::ListensNoMore)], [1, 1]);
}

#[test]
fn whoever_comes_to_a_session_that_leaves_is_not_told_of() {
    let mut bench = begin();
    bench.audio(1, silence);
    bench.input(Input::Shutdown);
    assert_eq!(told(&bench.input(Input::Listens { tell_page: true })), 0);
}

#[test]
fn whoever_begins_to_listen_knows_how_it_stands() {
    let mut bench = begin();
    let fresh = Sounding { is_connected: true, is_muted: false, is_held: false, spoken: 0, heard: 0 };
    assert_eq!(bench.machine.sounding(), fresh);
    bench.audio(15, voice);
    bench.audio(20, silence);
    let spoken = bench.machine.sounding().spoken;
    assert!(spoken > 0, "the echo has answered");
    bench.text(&json!({ "type": "ack", "received": 0, "played": 480 }));
    bench.text(&json!({ "type": "mute", "muted": true }));
    let later = bench.machine.sounding();
    assert_eq!((later.is_muted, later.heard), (true, 480));
    bench.input(Input::Incoming(Incoming::Gone(None)));
    assert!(!bench.machine.sounding().is_connected);
}

#[test]
fn the_agent_is_held_as_long_as_the_call_or_the_page_holds_it() {
    let mut bench = begin();
    bench.input(Input::Listens { tell_page: true });
    let holds = |outputs: &[Output]| -> Vec<bool> {
        let held = |output: &Output| match output {
            Output::Record(Recorded::Held(held)) => Some(*held),
            _ => None,
        };
        outputs.iter().filter_map(held).collect()
    };
    let playback = |held: bool| json!({ "type": "playback", "held": held });
    assert_eq!(holds(&bench.text(&playback(true))), [true]);
    assert!(bench.machine.sounding().is_held);
    // The call holds it as well, and lets it go later than the page.
    bench.machine.record_hold(true, true);
    assert_eq!(holds(&bench.drain()), [true]);
    assert_eq!(holds(&bench.text(&playback(false))), [true]);
    assert!(bench.machine.sounding().is_held);
    bench.machine.record_hold(false, false);
    assert_eq!(holds(&bench.drain()), [false]);
    assert!(!bench.machine.sounding().is_held);
}
