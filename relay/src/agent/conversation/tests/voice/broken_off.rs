//! Voices that break off after some sound: every word that is told is spoken by somebody, or is text.

use super::*;

const COUNT: &str = "One two three four.";

/// Says that a voice was asked to speak the count, and what comes after it.
fn counting(talk: &mut Talk) -> (RequestId, RequestId) {
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let (first, ask) = ask_of(&talk.thinks(mind, &format!("{COUNT} Another.")), MOUTH);
    assert_eq!(spoken(&ask), COUNT);
    (mind, first)
}

fn is_degraded(degraded: bool) -> AgentOutput {
    AgentOutput::Degraded { what: Ability::Speaking, degraded }
}

#[test]
fn a_sentence_is_spoken_on_where_its_voice_broke_off_by_the_next_one() {
    let mut talk = Talk::new();
    let (mind, first) = counting(&mut talk);
    // A voice of which nothing is known takes 12,442 samples for two words, and 23,106 for three.
    talk.sounds(first, 14_000);
    let did = talk.fails(first, FailureKind::Connection);
    let (rest, ask) = ask_of(&did, OTHER_MOUTH);
    assert_eq!(spoken(&ask), "three four.");
    assert_eq!(spoken_words(&did), [("One two".len(), 14_000)], "what has sounded is known");
    assert_eq!(used_by(&did, first), Some(Quantity::Characters(19)), "it was given all of it");
    let (second, ask) = ask_of(&talk.finishes(mind), OTHER_MOUTH);
    assert_eq!(spoken(&ask), "Another.");
    assert_eq!(talk.words, "One two three four. ");
    talk.sounds(rest, 2_400);
    assert_eq!(used_by(&talk.finishes(rest), rest), Some(Quantity::Characters(11)));
    talk.sounds(second, 2_400);
    let did = talk.finishes(second);
    assert_eq!((talk.words.as_str(), talk.sound), ("One two three four. Another.", 18_800), "once");
    assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd));
}

#[test]
fn what_no_word_of_has_sounded_is_spoken_whole() {
    let mut talk = Talk::new();
    let (_, first) = counting(&mut talk);
    talk.sounds(first, 1_200);
    let did = talk.fails(first, FailureKind::Connection);
    assert_eq!(spoken(&ask_of(&did, OTHER_MOUTH).1), COUNT);
    assert_eq!(spoken_words(&did), [(0, 1_200)]);
}

#[test]
fn where_a_voice_broke_off_it_may_have_said_itself_and_the_next_one_goes_on_from_there() {
    let mut talk = Talk::new();
    let (_, first) = counting(&mut talk);
    let says = |bytes, end_ms| Event::Spoken(Spoken { bytes, end_ms });
    talk.event(first, &says(13, 100));
    // What is said of sound that never comes is not so.
    talk.event(first, &says(19, 5_000));
    assert_eq!(spoken_words(&talk.sounds(first, 4_800)), [(13, 2_400)]);
    let did = talk.fails(first, FailureKind::Connection);
    let (rest, ask) = ask_of(&did, OTHER_MOUTH);
    assert_eq!(spoken(&ask), "four.");
    assert_eq!(spoken_words(&did), [(13, 4_800)]);
    talk.sounds(rest, 4_800);
    assert_eq!(spoken_words(&talk.event(rest, &says(5, 100))), [(19, 7_200)], "in the whole sentence");
}

#[test]
fn a_voice_is_as_fast_as_it_was_in_the_sentence_before() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let first = ask_of(&talk.thinks(mind, &format!("{COUNT} {COUNT} And")), MOUTH).0;
    // Twice as slow as the fastest.
    talk.sounds(first, 50_700);
    talk.finishes(first);
    let second = RequestId(first.0 + 1);
    talk.sounds(second, 18_000);
    let did = talk.fails(second, FailureKind::Connection);
    assert_eq!(spoken(&ask_of(&did, OTHER_MOUTH).1), "two three four.");
}

#[test]
fn of_a_sentence_that_was_prepared_nobody_has_heard_anything_and_another_voice_speaks_it_whole() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let first = ask_of(&talk.thinks(mind, "A sentence. Another."), MOUTH).0;
    let second = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(second, 48_000);
    let did = talk.fails(second, FailureKind::Connection);
    let (again, ask) = ask_of(&did, OTHER_MOUTH);
    assert_eq!((spoken(&ask), talk.words.as_str()), ("Another.", ""));
    assert_eq!(used_by(&did, second), Some(Quantity::Characters(8)), "it has made sound of it");
    talk.sounds(first, 2_400);
    talk.finishes(first);
    assert_eq!((talk.words.as_str(), talk.sound), ("A sentence. ", 2_400));
    talk.sounds(again, 4_800);
    assert_eq!((talk.words.as_str(), talk.sound), ("A sentence. Another.", 7_200));
}

#[test]
fn where_the_last_voice_breaks_off_the_rest_of_the_answer_is_text() {
    let mut talk = Talk::new();
    let (mind, first) = counting(&mut talk);
    talk.sounds(first, 14_000);
    let rest = ask_of(&talk.fails(first, FailureKind::Connection), OTHER_MOUTH).0;
    talk.sounds(rest, 1_200);
    let did = talk.fails(rest, FailureKind::Connection);
    assert!(!asks_anybody(&did) && did.contains(&is_degraded(true)), "{did:?}");
    assert_eq!(spoken_words(&did), [("One two".len(), 15_200)], "the others are only read");
    let did = talk.finishes(mind);
    assert_eq!((talk.words.as_str(), talk.sound), ("One two three four. Another.", 15_200));
    assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd));
}

#[test]
fn who_speaks_while_the_next_voice_is_waited_for_gives_it_up() {
    let mut talk = Talk::new();
    let (_, first) = counting(&mut talk);
    talk.sounds(first, 14_000);
    let rest = ask_of(&talk.fails(first, FailureKind::Connection), OTHER_MOUTH).0;
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Stop" });
    assert!(did.contains(&AgentOutput::Cancel { request: rest }), "{did:?}");
    assert_eq!(talk.sounds(rest, 2_400), []);
}

#[test]
fn a_stand_in_that_speaks_after_an_answer_in_text_is_told_of_as_the_first_voice_is() {
    let mut talk = Talk::new();
    let (mind, first) = counting(&mut talk);
    let other = ask_of(&talk.fails(first, FailureKind::Key), OTHER_MOUTH).0;
    assert!(talk.fails(other, FailureKind::Key).contains(&is_degraded(true)));
    talk.finishes(mind);
    assert_eq!((talk.words.as_str(), talk.sound), ("One two three four. Another.", 0));
    talk.heard(usize::MAX);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "And now?" });
    let mind = ask_of(&did, MIND).0;
    let first = ask_of(&talk.thinks(mind, "A word. And"), MOUTH).0;
    let did = talk.fails(first, FailureKind::Key);
    assert!(!did.contains(&is_degraded(false)), "nobody speaks yet: {did:?}");
    let other = ask_of(&did, OTHER_MOUTH).0;
    assert!(talk.sounds(other, 100).contains(&is_degraded(false)));
    assert!(!talk.sounds(other, 100).contains(&is_degraded(false)), "once");
}
