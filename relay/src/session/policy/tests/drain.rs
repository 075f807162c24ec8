//! What becomes of a session whose relay is told to stop.

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

fn drain(is_attached: bool) -> Input {
    Input::Drain { within: WITHIN, is_attached }
}

fn moved(moment: Moment) -> [Output; 2] {
    [Output::Note(Note::Moved(moment)), Output::Move]
}

/// A session of this seed that waits for a pause, and how long it took until it did.
fn waiting(seed: u64) -> (Bench, Duration) {
    let mut bench = Bench::of(seed);
    let begun = bench.now;
    assert_eq!(bench.input(drain(true)), []);
    while !bench.policy.wants_to_move() {
        assert_eq!(bench.input(Input::BetweenTurns), [], "its moment has not come");
        assert_eq!(bench.due(), []);
    }
    let waited = bench.now.since(begun);
    (bench, waited)
}

#[test]
fn a_session_whose_relay_is_to_stop_goes_elsewhere_between_two_utterances() {
    let (mut bench, _) = waiting(1);
    assert_eq!(bench.input(Input::BetweenTurns), moved(Moment::BetweenTurns));
    assert!(!bench.policy.wants_to_move());
    assert_eq!(bench.input(Input::BetweenTurns), [], "it is told once");
    assert_eq!(bench.after(WITHIN), [], "and not once more at the end of the time");
    assert_eq!(bench.input(Input::Detached), leaving(true));
    let departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };
    assert_eq!(bench.input(Input::Owed { is_empty: true, is_kept: true }), [Output::Over(departure)]);
}

#[test]
fn it_goes_at_the_end_of_the_time_whatever_is_said() {
    let (mut bench, waited) = waiting(1);
    let latest = bench.policy.poll_timeout().expect("it does not wait for ever").since(bench.now) + waited;
    assert!((WITHIN * 8 / 10..=WITHIN * 9 / 10).contains(&latest), "{latest:?}");
    assert_eq!(bench.due(), moved(Moment::Deadline));
    assert!(bench.policy.poll_timeout() > Some(bench.now + WITHIN), "it has nothing more to do");
}

#[test]
fn sessions_go_at_moments_of_their_own_with_a_pause_and_without_one() {
    let moments = (0..200).map(|seed| {
        let (mut bench, waited) = waiting(seed);
        let before = bench.now;
        bench.due();
        (waited, waited + bench.now.since(before))
    });
    let (mut pauses, mut deadlines): (Vec<_>, Vec<_>) = moments.unzip();
    for (moments, least, most) in [(&mut pauses, 0, 8), (&mut deadlines, 8, 9)] {
        moments.sort_unstable();
        let (least, most) = (WITHIN * least / 10, WITHIN * most / 10);
        assert!(least <= moments[0] && moments[199] <= most, "{moments:?}");
        let tenth = (most - least) / 10;
        assert!(
            moments[0] < least + tenth && moments[199] > most - tenth,
            "the whole time is used: {moments:?}"
        );
    }
}

#[test]
fn one_whose_client_is_away_or_goes_away_lets_go_at_once() {
    let departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };
    for is_attached in [false, true] {
        let mut bench = Bench::new();
        let mut outputs = bench.input(drain(is_attached));
        if is_attached {
            assert_eq!(outputs, []);
            outputs = bench.input(Input::Detached);
        }
        assert_eq!(outputs, leaving(true), "with a connection: {is_attached}");
        assert_eq!(bench.input(Input::Owed { is_empty: true, is_kept: true }), [Output::Over(departure)]);
    }
    let mut bench = Bench::new();
    assert_eq!(bench.input(Input::Detached), [], "nobody is sent away");
}

#[test]
fn a_connection_that_comes_back_all_the_same_is_told_as_well() {
    let (mut bench, _) = waiting(1);
    bench.input(Input::BetweenTurns);
    bench.resume(1);
    assert_eq!(bench.input(Input::Written(Written::Resumed(1))), [resumed(1), attach(1)]);
    assert_eq!(bench.input(Input::BetweenTurns), moved(Moment::BetweenTurns));
}

#[test]
fn a_session_that_ends_goes_nowhere() {
    let mut bench = Bench::new();
    bench.input(drain(true));
    bench.input(Input::CallEnded(CloseCode::Normal));
    assert_eq!(bench.after(WITHIN), []);
    assert_eq!((bench.input(Input::BetweenTurns), bench.input(Input::Detached)), (vec![], vec![]));

    let mut bench = Bench::new();
    bench.input(Input::CallEnded(CloseCode::Normal));
    assert_eq!(bench.input(drain(false)), []);
}

#[test]
fn a_relay_that_stops_for_good_waits_for_no_pause() {
    let (mut bench, _) = waiting(1);
    assert_eq!(bench.input(Input::Shutdown), leaving(true));
}
