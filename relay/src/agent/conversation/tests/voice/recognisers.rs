//! Recognisers that break: what is made of it, how often another one is asked, and what the user is told.

use super::*;
use crate::agent::conversation::tests::talk::hears_utterances;

/// Who is asked, if anybody is.
fn asked_next(did: &[AgentOutput]) -> Option<RequestId> {
    did.iter().find_map(|did| match did {
        AgentOutput::Ask { request, ask: Ask::Listen, .. } => Some(*request),
        _ => None,
    })
}

fn troubles(did: &[AgentOutput]) -> usize {
    did.iter().filter(|did| matches!(did, AgentOutput::Trouble(ErrorCode::NotHeard))).count()
}

fn flush(request: RequestId) -> AgentOutput {
    AgentOutput::Feed { request, feed: Feed::Flush, at_most: None }
}

/// The recogniser says this of what it was given first, a tenth of a second, and breaks.
fn says_and_breaks(
    talk: &mut Talk,
    ears: RequestId,
    (text, is_final): (&str, bool),
) -> (Option<RequestId>, Vec<bool>) {
    let mut did = talk.hears(ears, text, (0, 1_600), is_final);
    did.extend(talk.fails(ears, FailureKind::Provider));
    if talk.waits_for_ears() {
        did.extend(talk.asks_ears_again());
    }
    (asked_next(&did), told_deaf(&did))
}

#[test]
fn a_recogniser_that_breaks_after_its_first_word_each_time_is_asked_for_ten_seconds_and_then_no_more_for_a_while()
 {
    // A word that may change, and silence that stays: neither is of use to anybody.
    for says in [("Well", false), ("", true)] {
        for (agent, recognisers) in [(hears_alone(), 1), (talker(), 2)] {
            let mut talk = Talk::of(agent);
            let mut ears = asked_next(&talk.chunk()).expect("one is asked");
            for round in 0..3 {
                (0..20).for_each(|_| drop(talk.chunk()));
                let (mut asked, mut is_deaf) = (1, false);
                while asked < 20 {
                    let (next, told) = says_and_breaks(&mut talk, ears, says);
                    is_deaf = told.last().copied().unwrap_or(is_deaf);
                    let Some(next) = next else { break };
                    (ears, asked) = (next, asked + 1);
                }
                // All of them are asked as often: again and again before the user is told, and then once each time.
                let times = if round == 0 { 6..=8 } else { 1..=1 };
                assert!(
                    times.contains(&(asked / recognisers)) && asked % recognisers == 0 && is_deaf,
                    "{asked} of {recognisers} in round {round}, {says:?}, and the user is told: {is_deaf}"
                );
                for _ in 0..99 {
                    talk.now = talk.now + Duration::from_millis(100);
                    assert!(!asks_anybody(&talk.chunk()), "no storm");
                }
                ears = asked_next(&talk.chunk()).expect("after ten seconds one is asked again");
            }
        }
    }
}

#[test]
fn a_recogniser_that_has_given_words_that_stay_or_has_heard_for_ten_seconds_may_break_as_often_as_it_likes() {
    for (says, chunks) in [(("Well", true), 5), (("Well", false), 100)] {
        let mut talk = Talk::of(hears_alone());
        let mut ears = asked_next(&talk.chunk()).expect("one is asked");
        for round in 0..8 {
            (0..chunks).for_each(|_| drop(talk.chunk()));
            let (next, told) = says_and_breaks(&mut talk, ears, says);
            assert_eq!(told, [] as [bool; 0], "{says:?} in round {round}");
            ears = next.expect("another one is asked at once");
        }
    }
    // What a recogniser hears at once, since it was kept, is no time in which it has heard.
    let mut talk = Talk::of(hears_alone());
    let mut ears = asked_next(&talk.chunk()).expect("one is asked");
    (0..300).for_each(|_| drop(talk.chunk()));
    for had_heard in [true, false] {
        talk.hears(ears, "Well", (0, 1_600), false);
        let next = asked_next(&talk.fails(ears, FailureKind::Provider));
        assert_eq!((next.is_some(), talk.waits_for_ears()), (had_heard, !had_heard));
        ears = next.unwrap_or(ears);
    }
}

#[test]
fn however_often_recognisers_break_no_more_is_given_to_another_one_than_the_call_has_lasted_and_a_minute() {
    const CHUNKS: u64 = 600;
    for is_paused in [false, true] {
        let mut talk = Talk::of(hears_alone());
        let mut ears = asked_next(&talk.chunk()).expect("one is asked");
        (1..CHUNKS).for_each(|_| drop(talk.chunk()));
        if is_paused {
            assert_eq!(talk.input(AgentInput::Pause), [flush(ears)]);
        }
        let (mut repeated, mut asked, mut not_heard) = (0, 1, 0);
        // A word that stays is of use, so that another one is asked each time, and given all that is behind it.
        let last = loop {
            let mut did = talk.hears(ears, "Well", (0, 1_600), true);
            did.extend(talk.fails(ears, FailureKind::Provider));
            if let Some(Quantity::Repeated(samples)) = used_by(&did, ears) {
                repeated += samples;
            }
            not_heard += troubles(&did);
            let Some(next) = asked_next(&did) else { break did };
            (ears, asked) = (next, asked + 1);
            assert!(asked < 10, "it is asked for ever");
        };
        // A minute was said, so the most is two.
        assert_eq!((repeated, asked), (2 * CHUNKS * 1_600, 4));
        assert!(not_heard > 0, "the user is told that some was heard by nobody");
        if is_paused {
            // No sample comes with which another one would be asked: what was understood is what was said.
            assert_eq!(said_words(&last)[0].0, "Well Well Well Well");
            assert!(last.contains(&AgentOutput::Final { through: 600 * 1_600 }), "{last:?}");
        }
        let did = talk.chunk();
        let ears = asked_next(&did).expect("one is asked with the next sample");
        assert_eq!(bytes_fed(&did, ears), 3_200, "and hears what comes from now on");
    }
}

#[test]
fn who_is_muted_for_long_is_not_told_that_nobody_hears_them() {
    let failed = |kind| Event::Failed(Failure::new(kind, "why"));
    for ends in
        [Event::Finished(Answer::default()), failed(FailureKind::Timeout), failed(FailureKind::Connection)]
    {
        let mut talk = Talk::of(hears_alone());
        let mut ears = asked_next(&talk.chunk()).expect("one is asked");
        for _ in 0..5 {
            talk.hears(ears, "Hello", (0, 1_600), true);
            talk.over(ears);
            talk.input(AgentInput::Pause);
            let did = talk.event(ears, &ends);
            assert!(!asks_anybody(&did), "nobody has to hear who says nothing");
            assert_eq!((told_deaf(&did).as_slice(), troubles(&did)), (&[][..], 0), "{ends:?}");
            let did = talk.chunk();
            ears = asked_next(&did).expect("the first sample asks again");
            assert_eq!(bytes_fed(&did, ears), 3_200, "{ends:?}");
            assert_eq!((told_deaf(&did).as_slice(), troubles(&did)), (&[][..], 0), "{ends:?}");
        }
    }
}

#[test]
fn whoever_is_cut_off_in_mid_sentence_is_heard_whole_when_they_are_back() {
    let cut_off = || {
        let mut talk = Talk::of(hears_alone());
        let ears = asked_next(&talk.chunk()).expect("one is asked");
        (0..9).for_each(|_| drop(talk.chunk()));
        talk.hears(ears, "I would like", (0, 14_000), false);
        // Nothing comes any more, so that it is closed.
        let did = talk.event(ears, &Event::Finished(Answer::default()));
        assert!(!asks_anybody(&did) && told_deaf(&did).is_empty() && said_words(&did).is_empty(), "{did:?}");
        // However long that takes.
        let did = talk.asks_ears_again();
        assert!(!asks_anybody(&did) && !talk.waits_for_ears(), "{did:?}");
        talk
    };
    let mut talk = cut_off();
    let did = talk.chunk();
    let again = asked_next(&did).expect("the first sample asks again");
    assert_eq!(bytes_fed(&did, again), 11 * 3_200, "from the first word on");
    talk.hears(again, "I would like a table", (0, 17_600), true);
    assert_eq!(said_words(&talk.over(again)), [("I would like a table", 0, 17_600)]);
    // Or they mute themselves, or hang up: what they have said is understood as far as it goes.
    let mut talk = cut_off();
    let did = talk.input(AgentInput::Pause);
    let again = asked_next(&did).expect("somebody has to hear it");
    assert_eq!(bytes_fed(&did, again), 10 * 3_200);
    assert_eq!(did.last(), Some(&flush(again)));
    let did = talk.hears(again, "I would like", (0, 16_000), true);
    assert_eq!(said_words(&did), [("I would like", 0, 16_000)]);
    assert!(did.contains(&AgentOutput::Final { through: 16_000 }), "{did:?}");
}

#[test]
fn a_recogniser_that_closes_in_order_each_time_is_not_asked_again_with_each_sample() {
    for (agent, recognisers) in [(hears_alone(), 1), (talker(), 2)] {
        let mut talk = Talk::of(agent);
        let (mut asked, mut told) = (0, Vec::new());
        // Twenty seconds in which somebody speaks and every stream is closed with the chunk that it was opened with.
        for _ in 0..200 {
            talk.now = talk.now + Duration::from_millis(100);
            let mut did = talk.input(AgentInput::Timeout);
            did.extend(talk.chunk());
            if let Some(ears) = asked_next(&did) {
                asked += 1;
                did.extend(talk.event(ears, &Event::Ready));
                did.extend(talk.finishes(ears));
            }
            told.extend(told_deaf(&did));
        }
        // As after failures: for ten seconds with growing waits, and then once every ten seconds.
        assert!((5 * recognisers..=9 * recognisers).contains(&asked), "{asked} of {recognisers}");
        assert_eq!(told, [true], "{recognisers}");
    }
    // Whose words stay was of use, however it closes: the next sample asks again.
    let mut talk = Talk::of(hears_alone());
    for round in 0..8 {
        let ears = asked_next(&talk.chunk()).expect("one is asked");
        talk.hears(ears, "Well", (0, 1_600), true);
        assert_eq!(told_deaf(&talk.finishes(ears)), [] as [bool; 0], "round {round}");
    }
    // One that was closed for want of anything to hear is asked for last words as soon as it is time.
    let mut talk = Talk::of(hears_alone());
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    talk.finishes(ears);
    assert!(!asks_anybody(&talk.input(AgentInput::Pause)), "not before");
    let did = talk.asks_ears_again();
    let again = asked_next(&did).expect("somebody has to hear it");
    assert_eq!((bytes_fed(&did, again), did.last()), (3_200, Some(&flush(again))));
}

#[test]
fn the_last_words_before_a_mute_are_wanted_of_a_stand_in_as_well() {
    let mut talk = Talk::new();
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    (0..9).for_each(|_| drop(talk.chunk()));
    assert_eq!(talk.input(AgentInput::Pause), [flush(ears)]);
    let did = talk.fails(ears, FailureKind::Connection);
    let other = ask_of(&did, OTHER_EARS).0;
    assert_eq!(bytes_fed(&did, other), 10 * 3_200);
    assert_eq!(did.last(), Some(&flush(other)), "no silence follows that would end the turn");
    let did = talk.hears(other, "Good bye", (0, 16_000), true);
    assert_eq!(said_words(&did), [("Good bye", 0, 16_000)]);
}

#[test]
fn the_last_words_before_a_mute_are_wanted_of_another_one_where_the_recogniser_closes_before_it_says_them() {
    let mut talk = Talk::new();
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    (0..9).for_each(|_| drop(talk.chunk()));
    assert_eq!(talk.input(AgentInput::Pause), [flush(ears)]);
    let did = talk.event(ears, &Event::Finished(Answer::default()));
    let other = ask_of(&did, OTHER_EARS).0;
    assert_eq!(bytes_fed(&did, other), 10 * 3_200);
    assert_eq!(did.last(), Some(&flush(other)), "no sample follows with which one would be asked");
    let did = talk.hears(other, "Good bye", (0, 16_000), true);
    assert_eq!(said_words(&did), [("Good bye", 0, 16_000)]);
}

#[test]
fn what_is_too_long_ago_for_a_stand_in_is_told_the_user() {
    let fails_after = |has_final: bool| {
        let mut talk = Talk::new();
        let ears = asked_next(&talk.chunk()).expect("one is asked");
        (0..699).for_each(|_| drop(talk.chunk()));
        talk.hears(ears, "And so on and on", (0, 700 * 1_600), false);
        if has_final {
            talk.hears(ears, "And so on", (0, 110 * 1_600), true);
        }
        let did = talk.fails(ears, FailureKind::Connection);
        let other = ask_of(&did, OTHER_EARS).0;
        (
            troubles(&did),
            bytes_fed(&did, other) / 3_200,
            troubles(&talk.fails(other, FailureKind::Connection)),
        )
    };
    // 60 s are kept of 70.
    assert_eq!(fails_after(false), (1, 600, 0), "ten seconds are heard by nobody, which is told once");
    assert_eq!(fails_after(true), (0, 590, 0), "they were understood");
}

#[test]
fn what_a_recogniser_that_is_fed_has_used_has_the_providers_own_name_for_it() {
    let names = |did: &[AgentOutput]| -> Vec<Option<String>> {
        let names = did.iter().filter_map(|did| match did {
            AgentOutput::Spent { provider_id, .. } => Some(provider_id.clone()),
            _ => None,
        });
        names.collect()
    };
    let named = |name: &str| vec![Some(name.to_owned())];
    let mut talk = Talk::new();
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    talk.event(ears, &Event::Ready);
    talk.event(ears, &Event::Named("dg-1".to_owned()));
    let did = talk.fails(ears, FailureKind::Connection);
    assert_eq!((names(&did), used_by(&did, ears)), (named("dg-1"), None));
    let other = ask_of(&did, OTHER_EARS).0;
    talk.event(other, &Event::Ready);
    talk.event(other, &Event::Named("dg-2".to_owned()));
    let did = talk.input(AgentInput::Leave);
    assert!(did.contains(&AgentOutput::Cancel { request: other }));
    assert_eq!((names(&did), used_by(&did, other)), (named("dg-2"), Some(Quantity::Repeated(1_600))));
}

#[test]
fn what_is_not_final_where_a_call_goes_on_elsewhere_is_no_turn_and_comes_there_once_more() {
    let begun = || {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        (0..10).for_each(|_| drop(talk.chunk()));
        (talk, ears)
    };
    let finals = |did: &[AgentOutput]| -> Vec<u32> {
        let through = did.iter().filter_map(|did| match did {
            AgentOutput::Final { through } => Some(*through),
            _ => None,
        });
        through.collect()
    };
    // Where the call ends, those words are all that there will be.
    let (mut talk, ears) = begun();
    talk.hears(ears, "A table for", (4_000, 12_000), false);
    let did = talk.input(AgentInput::Leave);
    assert_eq!(said_words(&did), [("A table for", 4_000, 12_000)]);
    // Elsewhere the whole sentence is heard.
    let (mut talk, ears) = begun();
    talk.hears(ears, "A table for", (4_000, 12_000), false);
    talk.input(AgentInput::HandOver);
    let did = talk.input(AgentInput::Leave);
    assert!(said_words(&did).is_empty(), "{did:?}");
    assert!(finals(&did).iter().all(|through| *through < 4_000), "{did:?}");
    // Of words that are final none is said twice.
    let (mut talk, ears) = begun();
    talk.hears(ears, "A table", (4_000, 8_000), true);
    talk.hears(ears, "for two", (9_000, 12_000), false);
    talk.input(AgentInput::HandOver);
    let did = talk.input(AgentInput::Leave);
    assert_eq!(said_words(&did), [("A table", 4_000, 8_000)]);
    assert!(finals(&did).iter().all(|through| *through <= 8_000), "{did:?}");
}

/// The user says something for a second, and is silent; who is asked about it, if anybody is.
fn utters(talk: &mut Talk) -> (Vec<AgentOutput>, Option<RequestId>) {
    let scene = [voice(16_000), vec![0; 24_000]].concat();
    let did: Vec<AgentOutput> = scene.chunks(1_600).flat_map(|samples| talk.hear(samples)).collect();
    let asked = did.iter().find_map(|did| match did {
        AgentOutput::Ask { request, ask: Ask::Transcribe(_), .. } => Some(*request),
        _ => None,
    });
    (did, asked)
}

#[test]
fn what_an_utterance_has_used_is_said_behind_its_words_so_that_it_is_its_turns() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let ears = utters(&mut talk).1.expect("it is asked about");
    // Words that may change are none, and what it says in parts is one turn.
    for (text, is_final) in [("Hell", false), ("Hello", true), ("", true), ("there.", true)] {
        talk.hears(ears, text, (0, 20_000), is_final);
    }
    let did = talk.finishes(ears);
    assert_eq!(said_words(&did)[0].0, "Hello there.");
    let place = |is: fn(&AgentOutput) -> bool| did.iter().position(is).expect("it is said");
    let said = place(|did| matches!(did, AgentOutput::Said { .. }));
    let spent = place(|did| matches!(did, AgentOutput::Spent { .. }));
    let model = place(|did| matches!(did, AgentOutput::Ask { ask: Ask::Chat(_), .. }));
    assert!(said < spent && spent < model, "{did:?}");
    assert!(matches!(used_by(&did, ears), Some(Quantity::Samples(_))));
    let is_estimate = |did: &AgentOutput| matches!(did, AgentOutput::Spent { estimated: true, .. });
    assert!(!did.iter().any(is_estimate), "how long it was is known: {did:?}");
    // Of one that understands nothing there are no words.
    let ears = utters(&mut talk).1.expect("it is asked about");
    let did = talk.finishes(ears);
    assert!(matches!(used_by(&did, ears), Some(Quantity::Samples(_))), "{did:?}");
}

#[test]
fn that_utterances_are_given_up_since_the_recogniser_is_too_slow_is_told_once_until_it_has_caught_up() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    for times in 0..2 {
        let (_, ears) = utters(&mut talk);
        let mut ears = ears.expect("the first one is asked about");
        let told: Vec<usize> = (0..10).map(|_| troubles(&utters(&mut talk).0)).collect();
        // One is asked about, and seven more have room behind it.
        assert_eq!(told, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0], "time {times}");
        for left in (0..8).rev() {
            let did = talk.finishes(ears);
            let next = did.iter().find_map(|did| match did {
                AgentOutput::Ask { request, ask: Ask::Transcribe(_), .. } => Some(*request),
                _ => None,
            });
            assert_eq!(next.is_some(), left > 0, "{left} are left: {did:?}");
            ears = next.unwrap_or(ears);
        }
    }
}

#[test]
fn whoever_hangs_up_while_a_stand_in_hears_an_utterance_pays_for_it_once() {
    for billing in [Billing::Seconds, Billing::Tokens] {
        let ears = skills(Service::SpeechToText, false, billing);
        let team = Team {
            recognisers: vec![(EARS, ears), (OTHER_EARS, ears)],
            models: vec![MIND],
            ..Team::default()
        };
        let mut talk = Talk::of(Conversation::new(Persona::default(), team, 24_000, 0, &[]));
        talk.hear(&[0; 24_000]);
        let first = utters(&mut talk).1.expect("it is asked about");
        let mut did = talk.fails(first, FailureKind::Timeout);
        let second = ask_of(&did, OTHER_EARS).0;
        talk.event(second, &Event::Ready);
        did.extend(talk.input(AgentInput::Leave));
        let (first, second) = (used_by(&did, first), used_by(&did, second));
        assert!(
            matches!(
                (first, second),
                (Some(Quantity::Repeated(_)), Some(Quantity::Samples(_)))
                    | (Some(Quantity::RepeatedTokens(_)), Some(Quantity::Tokens(_)))
            ),
            "{first:?}, {second:?}"
        );
    }
}

#[test]
fn an_utterance_that_has_reached_nobody_when_the_call_ends_costs_nothing() {
    for is_sent in [true, false] {
        let mut talk = Talk::of(hears_utterances());
        talk.hear(&[0; 24_000]);
        let ears = utters(&mut talk).1.expect("it is asked about");
        if is_sent {
            talk.event(ears, &Event::Ready);
        }
        let did = talk.input(AgentInput::Leave);
        assert_eq!(used_by(&did, ears).is_some(), is_sent, "{did:?}");
    }
}

#[test]
fn what_has_no_words_is_final_although_the_next_utterance_waits_and_is_paid_for_nowhere_else() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let ears = utters(&mut talk).1.expect("it is asked about");
    let second = talk.position;
    utters(&mut talk);
    let did = talk.finishes(ears);
    // It lasts from 1.5 s to 2.5 s.
    assert!(finals(&did).iter().any(|through| (40_000..second + 8_000).contains(through)), "{did:?}");
}

/// How many chunks later the user's turn is over.
fn over_after(talk: &mut Talk, mut says: impl FnMut(&mut Talk) -> Vec<AgentOutput>) -> Option<u32> {
    (1..=100).find(|_| {
        let did = [talk.chunk(), says(talk)].concat();
        let is_over = !said_words(&did).is_empty();
        if is_over {
            ask_of(&did, MIND);
        }
        is_over
    })
}

#[test]
fn words_of_a_recogniser_that_broke_are_answered_although_the_one_that_hears_on_hears_nobody() {
    for hears_silence in [true, false] {
        let mut talk = Talk::new();
        let ears = asked_next(&talk.chunk()).expect("one is asked");
        (0..9).for_each(|_| drop(talk.chunk()));
        talk.hears(ears, "A table for two.", (0, 14_400), true);
        let other = ask_of(&talk.fails(ears, FailureKind::Connection), OTHER_EARS).0;
        // As long as it is not there, the user may be saying more.
        (0..40).for_each(|_| assert_eq!(said_words(&talk.chunk()), []));
        talk.event(other, &Event::Ready);
        let mut told = 0;
        let after = over_after(&mut talk, |talk| {
            let fed = talk.position - 14_400;
            if !hears_silence || fed < told + 8_000 {
                return Vec::new();
            }
            let start = std::mem::replace(&mut told, fed);
            talk.hears(other, "", (start, fed), true)
        });
        let expected = if hears_silence { 1 } else { 30 };
        assert_eq!(after, Some(expected), "silence is told: {hears_silence}");
    }
}

#[test]
fn words_of_a_recogniser_that_broke_go_on_with_those_of_the_one_that_hears_on() {
    let mut talk = Talk::new();
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    (0..9).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "A table", (0, 14_400), true);
    let other = ask_of(&talk.fails(ears, FailureKind::Connection), OTHER_EARS).0;
    talk.event(other, &Event::Ready);
    (0..20).for_each(|_| drop(talk.chunk()));
    talk.hears(other, "for two", (16_000, 32_000), false);
    (0..40).for_each(|_| assert_eq!(said_words(&talk.chunk()), [], "they may go on"));
    talk.hears(other, "for two.", (16_000, 32_000), true);
    assert_eq!(said_words(&talk.over(other)), [("A table for two.", 0, 46_400)]);
}

#[test]
fn silence_behind_words_that_stay_is_the_end_of_a_turn_of_which_no_end_is_told() {
    let mut talk = Talk::new();
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    (0..49).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "A table for two.", (0, 16_000), true);
    assert_eq!(said_words(&talk.hears(ears, "", (16_000, 63_000), true)), []);
    let did = talk.hears(ears, "", (63_000, 64_000), true);
    assert_eq!(said_words(&did), [("A table for two.", 0, 16_000)]);
    ask_of(&did, MIND);
}

#[test]
fn that_an_utterance_is_understood_by_nobody_is_told_once_and_that_one_is_understood_again() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let mut told = Vec::new();
    for fails in [true, true, false, false] {
        let ears = utters(&mut talk).1.expect("it is asked about");
        let did = if fails { talk.fails(ears, FailureKind::Key) } else { talk.finishes(ears) };
        told.push((told_deaf(&did), troubles(&did)));
    }
    assert_eq!(told, [(vec![true], 1), (vec![], 0), (vec![false], 0), (vec![], 0)]);
}

#[test]
fn what_is_lost_on_the_way_is_waited_for_by_nobody_who_hears_a_stream() {
    let mut talk = Talk::of(hears_alone());
    let ears = asked_next(&talk.chunk()).expect("one is asked");
    talk.hears(ears, "Hello", (0, 1_600), true);
    talk.over(ears);
    talk.input(AgentInput::Gap { position: 1_600, end: 16_000 });
    assert_eq!(finals(&talk.input(AgentInput::Pause)), [16_000]);
}

#[test]
fn the_last_words_before_a_mute_are_all_if_they_end_within_a_tenth_of_a_second_of_it() {
    for (end, is_all) in [(14_400, true), (14_399, false)] {
        let mut talk = Talk::new();
        let ears = asked_next(&talk.chunk()).expect("one is asked");
        (0..9).for_each(|_| drop(talk.chunk()));
        talk.input(AgentInput::Pause);
        let did = talk.hears(ears, "Good bye", (2_000, end), true);
        assert_eq!(said_words(&did).len(), usize::from(is_all), "{end}");
    }
}
