//! Which requests an agent says to expect, and when.

use super::talk::{EARS, MIND, MOUTH, Talk, ask_of};
use super::*;
use crate::provider::TurnSign;

/// Whom it expects to ask.
fn whom(talk: &Talk) -> Vec<usize> {
    talk.expected.iter().map(|(provider, _)| *provider).collect()
}

#[test]
fn what_a_turn_will_ask_for_is_expected_from_its_first_sign_until_it_is_asked_for() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    assert!(whom(&talk).is_empty());
    talk.event(ears, &Event::Turn(TurnSign::Began { at: 0 }));
    assert_eq!(whom(&talk), [MIND, MOUTH]);
    assert_eq!(talk.expected[1].1, AtMost::Characters(201), "a sentence");
    let expected = talk.expected[0].1;
    talk.hears(ears, "Tell me.", (0, 1_600), true);
    let did = talk.over(ears);
    let asked = did.iter().find_map(|did| match did {
        AgentOutput::Ask { provider: MIND, request, at_most, .. } => Some((*request, *at_most)),
        _ => None,
    });
    let (mind, asked) = asked.expect("it asks");
    let (AtMost::Tokens { prompt: less, output: same }, AtMost::Tokens { prompt: more, output }) =
        (asked, expected)
    else {
        panic!("{asked:?} {expected:?}")
    };
    assert!(less <= more && same == output, "{asked:?} {expected:?}");
    assert_eq!(whom(&talk), [MOUTH]);
    talk.thinks(mind, "Once upon a time there was a relay. It");
    assert_eq!(whom(&talk), [MOUTH], "another sentence may come");
    talk.finishes(mind);
    assert!(whom(&talk).is_empty());
}

#[test]
fn a_sound_that_becomes_no_words_makes_nothing_expected_for_long() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.event(ears, &Event::Turn(TurnSign::Began { at: 0 }));
    for _ in 0..30 {
        talk.chunk();
    }
    talk.hears(ears, "", (0, 48_000), true);
    assert!(whom(&talk).is_empty());
}
