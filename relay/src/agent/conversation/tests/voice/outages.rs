//! Recognisers that have all failed: what was said meanwhile is kept for as long as they may be well again.

use super::*;
use crate::agent::conversation::tests::talk::hears_utterances;

/// The user was told that nobody hears them, or something that was said is done with.
fn is_given_up(did: &[AgentOutput]) -> bool {
    let is_trouble = |did: &AgentOutput| {
        matches!(did, AgentOutput::Trouble(_) | AgentOutput::Final { .. } | AgentOutput::Degraded { .. })
    };
    did.iter().any(is_trouble)
}

#[test]
fn what_is_said_in_a_short_outage_of_the_only_recogniser_is_heard_when_it_is_over() {
    let mut talk = Talk::of(hears_alone());
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..9).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "I would like", (0, 16_000), false);
    // Every connection is dropped, and others are refused: there, and then here, since calls have failed.
    let mut did = talk.fails(ears, FailureKind::Connection);
    for kind in [FailureKind::Connection, FailureKind::CircuitOpen] {
        assert!(talk.waits_for_ears());
        (0..5).for_each(|_| did.extend(talk.chunk()));
        assert!(!asks_anybody(&did) && !is_given_up(&did), "{did:?}");
        did = talk.asks_ears_again();
        let again = ask_of(&did, EARS).0;
        did = talk.fails(again, kind);
    }
    assert!(!is_given_up(&did), "{did:?}");
    let did = talk.asks_ears_again();
    let again = ask_of(&did, EARS).0;
    assert_eq!(bytes_fed(&did, again), 20 * 3_200, "all of it, from the first word on");
    talk.hears(again, "I would like a table for two.", (0, 32_000), true);
    assert_eq!(said_words(&talk.over(again)), [("I would like a table for two.", 0, 32_000)]);
    assert!(!talk.waits_for_ears());
}

#[test]
fn the_last_words_before_a_mute_are_understood_after_an_outage_though_nothing_more_comes() {
    let mut talk = Talk::of(hears_alone());
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..9).for_each(|_| drop(talk.chunk()));
    talk.fails(ears, FailureKind::Connection);
    let did = talk.input(AgentInput::Pause);
    assert!(!asks_anybody(&did) && !is_given_up(&did), "{did:?}");
    let did = talk.asks_ears_again();
    let again = ask_of(&did, EARS).0;
    assert_eq!(bytes_fed(&did, again), 10 * 3_200);
    let did = talk.hears(again, "Good bye", (0, 16_000), true);
    assert_eq!(said_words(&did), [("Good bye", 0, 16_000)]);
    // Whoever leaves waits for nobody.
    talk.chunk();
    let next = ask_of(&talk.fails(again, FailureKind::Connection), EARS).0;
    talk.fails(next, FailureKind::Connection);
    assert!(talk.waits_for_ears());
    talk.input(AgentInput::Leave);
    assert!(!talk.waits_for_ears());
}

#[test]
fn each_of_four_recognisers_is_asked_before_any_is_asked_again() {
    let ears = skills(Service::SpeechToText, true, Billing::Stream);
    let places = [7, 5, 6, 4];
    let team = Team {
        recognisers: places.map(|place| (place, ears)).to_vec(),
        models: vec![MIND],
        ..Team::default()
    };
    let mut talk = Talk::of(Conversation::new(Persona::default(), team, 24_000, 0, &[]));
    let first = ask_of(&talk.chunk(), places[0]).0;
    let (asked, did) = talk.all_ears_fail(first, FailureKind::Connection);
    let all = [vec![places[0]], asked].concat();
    assert_eq!((all.len() % 4, told_deaf(&did).as_slice()), (0, &[true][..]), "{all:?}");
    assert!(all.chunks(4).all(|round| round == places), "{all:?}");
    // Whoever is the only one that is well is found.
    let mut talk = Talk::of(talker());
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.hears(ears, "Well", (0, 1_600), true);
    talk.over(ears);
    let did = talk.fails(ears, FailureKind::Connection);
    assert!(!asks_anybody(&did), "nothing is left that anybody could hear");
    ask_of(&talk.chunk(), OTHER_EARS);
}

#[test]
fn an_utterance_in_a_short_outage_is_understood_when_it_is_over_and_the_next_one_behind_it() {
    let utters = |talk: &mut Talk| -> Vec<AgentOutput> {
        let scene = [voice(16_000), vec![0; 24_000]].concat();
        scene.chunks(1_600).flat_map(|samples| talk.hear(samples)).collect()
    };
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let ears = ask_of(&utters(&mut talk), EARS).0;
    let mut did = talk.fails(ears, FailureKind::Connection);
    did.extend(utters(&mut talk));
    let is_told = |did: &[AgentOutput]| !told_deaf(did).is_empty() || did.contains(&trouble());
    assert!(!asks_anybody(&did) && !is_told(&did), "{did:?}");
    let again = ask_of(&talk.asks_ears_again(), EARS).0;
    talk.hears(again, "Hello there.", (0, 16_000), true);
    let did = talk.finishes(again);
    assert_eq!(said_words(&did)[0].0, "Hello there.");
    let second = ask_of(&did, EARS).0;
    // An outage that goes on is told, and so is one in which each try may be billed, at once.
    let (asked, did) = talk.all_ears_fail(second, FailureKind::Provider);
    assert!((5..=7).contains(&asked.len()), "{asked:?}");
    assert!(told_deaf(&did) == [true] && did.contains(&trouble()), "{did:?}");
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let ears = ask_of(&utters(&mut talk), EARS).0;
    let did = talk.fails(ears, FailureKind::Timeout);
    assert!(told_deaf(&did) == [true] && !talk.waits_for_ears(), "{did:?}");
}

#[test]
fn a_stand_in_that_is_well_is_asked_at_once_after_each_hold_and_mute_however_often_the_first_one_fails() {
    // It is let go of on hold, it closes or breaks while the user is muted, or it closes since nothing comes.
    let ends: [fn(&mut Talk, RequestId); 4] = [
        |talk, _| {
            talk.input(AgentInput::Pause);
            talk.input(AgentInput::OnHold(true));
            talk.input(AgentInput::OnHold(false));
        },
        |talk, ears| {
            talk.input(AgentInput::Pause);
            talk.finishes(ears);
        },
        |talk, ears| {
            talk.input(AgentInput::Pause);
            talk.fails(ears, FailureKind::Connection);
        },
        |talk, ears| drop(talk.finishes(ears)),
    ];
    for (how, ends) in ends.into_iter().enumerate() {
        let mut talk = Talk::new();
        for round in 0..6 {
            let ears = ask_of(&talk.chunk(), EARS).0;
            let did = talk.fails(ears, FailureKind::Connection);
            assert!(!is_given_up(&did) && !talk.waits_for_ears(), "{how}, {round}: {did:?}");
            let other = ask_of(&did, OTHER_EARS).0;
            talk.event(other, &Event::Ready);
            // Nobody says anything that anybody could be of use with.
            talk.hears(other, "", (0, 1_600), true);
            talk.now = talk.now + Duration::from_secs(600);
            ends(&mut talk, other);
        }
    }
}

#[test]
fn a_stand_in_that_is_there_and_says_nothing_is_no_sign_that_the_outage_is_over() {
    let mut talk = Talk::new();
    let (mut told, mut others) = (Vec::new(), 0);
    for _ in 0..40 {
        let mut did = talk.chunk();
        if talk.waits_for_ears() {
            did.extend(talk.asks_ears_again());
        }
        // The first one refuses, and the other one is flushed at each pause and has never a word to say.
        while let Some((request, provider)) = did.iter().find_map(|did| match did {
            AgentOutput::Ask { request, provider, .. } => Some((*request, *provider)),
            _ => None,
        }) {
            told.extend(told_deaf(&did));
            did = if provider == EARS {
                talk.fails(request, FailureKind::Connection)
            } else {
                others += 1;
                talk.event(request, &Event::Ready);
                talk.input(AgentInput::Pause);
                let end = talk.position;
                talk.event(request, &Event::Unanswered { end });
                let mut did = talk.input(AgentInput::OnHold(true));
                did.extend(talk.input(AgentInput::OnHold(false)));
                did
            };
        }
        told.extend(told_deaf(&did));
        talk.now = talk.now + Duration::from_secs(1);
    }
    assert!(others > 0 && told.contains(&true), "nobody is told that nobody hears them");
}

#[test]
fn one_that_refuses_to_be_called_since_somebody_waited_too_long_has_not_listened_in_silence() {
    for status in [408, 504] {
        let failed = Event::Failed(Failure::of_status(status, "why", None));
        let mut talk = Talk::of(hears_alone());
        let ears = ask_of(&talk.chunk(), EARS).0;
        let did = talk.event(ears, &failed);
        assert!(!is_given_up(&did) && talk.waits_for_ears(), "{status}: {did:?}");
        let again = ask_of(&talk.asks_ears_again(), EARS).0;
        talk.hears(again, "Hello", (0, 1_600), true);
        assert_eq!(said_words(&talk.over(again)), [("Hello", 0, 1_600)]);
        // Nor has one whose words about that are a time-out's.
        let mut talk = Talk::of(hears_alone());
        let ears = ask_of(&talk.chunk(), EARS).0;
        let did = talk.fails(ears, FailureKind::Timeout);
        assert!(!is_given_up(&did) && talk.waits_for_ears(), "{did:?}");
        // An utterance that it refuses is not one without words, and nothing of it is billed.
        let mut talk = Talk::of(hears_utterances());
        let ears = asked_about(&mut talk);
        talk.event(ears, &Event::Ready);
        let did = talk.event(ears, &failed);
        assert!(!is_given_up(&did) && talk.waits_for_ears(), "{status}: {did:?}");
        assert_eq!(used_by(&did, ears), None);
        let again = ask_of(&talk.asks_ears_again(), EARS).0;
        talk.hears(again, "Hello there.", (0, 16_000), true);
        assert_eq!(said_words(&talk.finishes(again))[0].0, "Hello there.");
    }
}

#[test]
fn an_utterance_that_somebody_had_when_the_connection_broke_is_the_operators_to_pay_and_asked_about_twice() {
    let broke = [FailureKind::Connection, FailureKind::BrokeOff];
    for (is_heard, broke) in [true, false].into_iter().flat_map(|heard| broke.map(|broke| (heard, broke))) {
        let mut talk = Talk::of(hears_utterances());
        let first = asked_about(&mut talk);
        talk.event(first, &Event::Ready);
        let did = talk.fails(first, broke);
        let Some(Quantity::Repeated(samples)) = used_by(&did, first) else { panic!("{did:?}") };
        assert!(!is_given_up(&did) && talk.waits_for_ears(), "{did:?}");
        let second = ask_of(&talk.asks_ears_again(), EARS).0;
        talk.event(second, &Event::Ready);
        if is_heard {
            talk.hears(second, "Hello there.", (0, 16_000), true);
            let did = talk.finishes(second);
            assert_eq!(used_by(&did, second), Some(Quantity::Samples(samples)), "the user pays once");
        } else {
            let did = talk.fails(second, broke);
            assert_eq!(used_by(&did, second), Some(Quantity::Repeated(samples)));
            assert!(told_deaf(&did) == [true] && did.contains(&trouble()), "{did:?}");
            assert!(!talk.waits_for_ears(), "it is not paid for again and again");
        }
    }
}

#[test]
fn what_is_kept_for_nobody_any_more_is_told_to_the_call_which_charges_for_none_of_it() {
    let mut talk = Talk::of(hears_alone());
    let mut ears = ask_of(&talk.chunk(), EARS).0;
    let (mut dropped, mut fed) = (Vec::new(), 0);
    // Each connection is tried for 25 s.
    for _ in 0..2 {
        (0..250).for_each(|_| drop(talk.chunk()));
        talk.now = talk.now + Duration::from_secs(25);
        let mut did = talk.fails(ears, FailureKind::Connection);
        (0..60).for_each(|_| did.extend(talk.chunk()));
        did.extend(talk.asks_ears_again());
        ears = ask_of(&did, EARS).0;
        fed = bytes_fed(&did, ears);
        dropped.extend(did.into_iter().filter_map(|did| match did {
            AgentOutput::Dropped { kept, .. } => Some(kept),
            _ => None,
        }));
    }
    assert_eq!((dropped, fed), (vec![60 * 16_000], 60 * 32_000));
}

/// An utterance that is being asked about.
fn asked_about(talk: &mut Talk) -> RequestId {
    let scene = [vec![0; 24_000], voice(16_000), vec![0; 24_000]].concat();
    let did: Vec<AgentOutput> = scene.chunks(1_600).flat_map(|samples| talk.hear(samples)).collect();
    ask_of(&did, EARS).0
}

fn trouble() -> AgentOutput {
    AgentOutput::Trouble(ErrorCode::NotHeard)
}
