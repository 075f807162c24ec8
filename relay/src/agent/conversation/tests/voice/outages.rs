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
    assert!((4..=6).contains(&asked.len()), "{asked:?}");
    assert!(told_deaf(&did) == [true] && did.contains(&trouble()), "{did:?}");
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let ears = ask_of(&utters(&mut talk), EARS).0;
    let did = talk.fails(ears, FailureKind::Timeout);
    assert!(told_deaf(&did) == [true] && !talk.waits_for_ears(), "{did:?}");
}

fn trouble() -> AgentOutput {
    AgentOutput::Trouble(ErrorCode::NotHeard)
}
