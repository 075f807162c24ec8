//! What words of the user are, by where they stand beside an answer, for how long
//! its ears are wanted, and for how long an answer is held: the floor alone.

use std::time::Duration;

use super::super::floor::Remark;
use super::*;

/// The floor of a conversation in which the agent said something over two seconds of a silent user, who was heard before that for so many
/// samples.
fn answered(before: u32, manners: TurnTaking) -> Floor {
    let mut floor = Floor::new(manners, 0, true, false);
    floor.begin(Time::ZERO);
    hears(&mut floor, 0, before);
    floor.agent_says("One two three four five six.");
    floor.agent_sounds(&[9; 2_400], 24_000);
    hears(&mut floor, before, before + 32_000);
    floor
}

/// The user is silent from here to there.
fn hears(floor: &mut Floor, from: u32, to: u32) {
    for position in (from..to).step_by(1_600) {
        floor.hear(Time::ZERO, position, &[0; 1_600], false);
    }
}

#[test]
fn a_sign_that_the_user_listens_is_one_while_the_answer_sounds_or_where_it_ended_long_before_that() {
    for (is_over, end, expected) in [
        (false, 32_000, Remark::BackChannel),
        (true, 16_000, Remark::BackChannel),
        (true, 16_001, Remark::Turn),
        (true, 32_000, Remark::Turn),
    ] {
        let mut floor = answered(0, TurnTaking::default());
        if is_over {
            floor.answer_over(Time::ZERO);
        }
        assert_eq!(floor.judge("Mhm.", 8_000, end, 40_000, true), expected, "{is_over}, {end}");
    }
}

#[test]
fn what_was_said_before_an_answer_is_no_remark_about_it() {
    // Words may be said to begin 300 ms early.
    for (start, expected) in [(11_200, Remark::BackChannel), (11_199, Remark::Turn)] {
        let mut floor = answered(16_000, TurnTaking::default());
        assert_eq!(floor.judge("Mhm.", start, 20_000, 20_000, true), expected, "{start}");
    }
}

#[test]
fn the_agents_words_come_back_within_half_a_second_after_its_end() {
    // A recogniser may say half a second late where they end.
    for (words_end, expected) in [(48_000, Remark::Echo), (48_001, Remark::Turn)] {
        let mut floor = answered(0, TurnTaking::default());
        floor.answer_over(Time::ZERO);
        hears(&mut floor, 32_000, 64_000);
        let remark = floor.judge("Four five six.", 30_000, words_end, 64_000, true);
        assert_eq!(remark, expected, "{words_end}");
    }
    let mut floor = answered(0, TurnTaking::default());
    floor.answer_over(Time::ZERO);
    hears(&mut floor, 32_000, 48_000);
    assert!(floor.wants_ears(), "its echo may still come");
    hears(&mut floor, 48_000, 49_600);
    assert!(!floor.wants_ears());
}

#[test]
fn the_agents_words_come_back_into_its_next_answer() {
    let mut floor = answered(0, TurnTaking::default());
    floor.answer_over(Time::ZERO);
    hears(&mut floor, 32_000, 38_400);
    floor.agent_says("Something else.");
    floor.agent_sounds(&[9; 2_400], 24_000);
    hears(&mut floor, 38_400, 48_000);
    assert_eq!(floor.judge("Four five six.", 30_000, 36_000, 48_000, true), Remark::Echo);
    assert_eq!(floor.judge("Not on Tuesday.", 30_000, 36_000, 48_000, true), Remark::Turn);
}

#[test]
fn words_that_somebody_says_just_before_an_answer_with_the_same_words_are_theirs() {
    // Somebody, a room at -45 dB of full scale, a key of 10 ms, and silence.
    for (loudest, samples, expected) in [
        (6_000, 1_600, Remark::Turn),
        (184, 1_600, Remark::Echo),
        (6_000, 160, Remark::Echo),
        (3, 1_600, Remark::Echo),
    ] {
        let mut floor = Floor::new(TurnTaking::default(), 0, true, false);
        floor.begin(Time::ZERO);
        hears(&mut floor, 0, 14_400);
        let mut heard = [3; 1_600];
        heard[..samples].fill(loudest);
        floor.hear(Time::ZERO, 14_400, &heard, false);
        floor.agent_says("Which day, Thursday or Friday?");
        floor.agent_sounds(&[9; 2_400], 24_000);
        hears(&mut floor, 16_000, 32_000);
        let remark = floor.judge("Friday.", 14_400, 17_000, 24_000, true);
        assert_eq!(remark, expected, "{samples} samples of {loudest}");
    }
}

#[test]
fn a_conversation_may_be_interrupted_from_the_moment_on_that_was_said() {
    let uninterruptible = Duration::from_secs(4);
    let floor = answered(0, TurnTaking { uninterruptible, ..TurnTaking::default() });
    let is_guarded = |ms| floor.is_guarded(Time::from_millis(ms));
    assert_eq!((is_guarded(3_999), is_guarded(4_000)), (true, false));
    // One that goes on elsewhere has begun before.
    let mut floor = Floor::new(TurnTaking { uninterruptible, ..TurnTaking::default() }, 0, false, false);
    floor.begin(Time::ZERO);
    assert!(!floor.is_guarded(Time::ZERO));
}

#[test]
fn a_sign_that_the_user_listens_answers_what_ended_within_a_second_and_was_not_understood_long_before() {
    // The sign ends a tenth of a second before the audio does. Of somebody who is muted none comes.
    for (samples, millis, answers) in
        [(12_800, 0, true), (14_400, 0, false), (0, 3_000, true), (0, 3_001, false)]
    {
        let mut floor = answered(0, TurnTaking::default());
        floor.turn_over(Time::ZERO, Remark::BackChannel, 30_400);
        hears(&mut floor, 32_000, 32_000 + samples);
        assert_eq!(floor.answer_over(Time::from_millis(millis)), answers, "{samples}, {millis}");
    }
}

#[test]
fn an_answer_is_held_for_as_long_as_words_may_come_and_is_not_held_again_and_again() {
    for (words_come_late, last_heard, understood_through, resumes) in [
        (false, 0, 0, 1_000),
        (false, 3_000, 0, 4_000),
        (false, 4_500, 0, 5_000),
        (true, 0, 1_599, 5_000),
        (true, 0, 1_600, 1_000),
        (true, 9_500, 0, 10_000),
    ] {
        let mut floor = Floor::new(TurnTaking::default(), 0, true, words_come_late);
        floor.agent_sounds(&[9; 2_400], 24_000);
        hears(&mut floor, 0, 1_600);
        for heard in [0, last_heard] {
            floor.notice(Time::from_millis(heard));
        }
        floor.understood(understood_through);
        assert_eq!(floor.poll_timeout(), Some(Time::from_millis(resumes)), "{words_come_late}, {last_heard}");
    }
}
