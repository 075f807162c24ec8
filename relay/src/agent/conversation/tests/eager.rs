//! Answers that are prepared before the user's turn is over.

use super::talk::{
    EARS, MIND, MOUTH, OTHER_MIND, Talk, ask_of, asks_anybody, said_words, spoken, talker_of, used_by,
};
use super::*;
use crate::provider::TurnSign;

/// A user who may have said something, with their ears.
fn maybe(text: &str) -> (Talk, RequestId, Vec<AgentOutput>) {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    let did = may_be_over(&mut talk, ears, text);
    (talk, ears, did)
}

fn may_be_over(talk: &mut Talk, ears: RequestId, text: &str) -> Vec<AgentOutput> {
    may_be_over_at(talk, ears, text, (1_600, 16_000))
}

fn may_be_over_at(talk: &mut Talk, ears: RequestId, text: &str, place: (u32, u32)) -> Vec<AgentOutput> {
    talk.hears(ears, text, place, false);
    talk.event(ears, &Event::Turn(TurnSign::MayBeOver))
}

fn is_over(talk: &mut Talk, ears: RequestId, text: &str) -> Vec<AgentOutput> {
    let mut did = talk.hears(ears, text, (1_600, 16_000), true);
    did.extend(talk.over(ears));
    did
}

fn questions(did: &[AgentOutput]) -> Vec<String> {
    let (_, Ask::Chat(chat)) = ask_of(did, MIND) else { panic!("{did:?}") };
    chat.messages.iter().map(|message| told(message).1.to_owned()).collect()
}

const USED: TokenUsage = TokenUsage {
    input: 20,
    cached: 0,
    written: 0,
    written_1h: 0,
    output: 5,
    audio_input: 0,
    audio_cached: 0,
    audio_output: 0,
};

fn whole() -> Event {
    let usage = Some(Quantity::Tokens(USED));
    Event::Finished(Answer { finish: Finish::Complete, usage, request_id: Some("r".to_owned()) })
}

#[test]
fn an_answer_is_prepared_and_nobody_hears_of_it_before_the_turn_is_over() {
    let (mut talk, ears, did) = maybe("Hello.");
    assert_eq!(questions(&did), ["Hello."]);
    let mind = ask_of(&did, MIND).0;
    assert_eq!(talk.thinks(mind, "Good morning. How are"), [], "nothing is told, spoken or asked of a voice");
    let did = is_over(&mut talk, ears, "Hello.");
    assert_eq!(said_words(&did), [("Hello.", 1_600, 16_000)]);
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "Good morning.", "it is there at once");
    let is_asked = |did: &AgentOutput| matches!(did, AgentOutput::Ask { ask: Ask::Chat(_), .. });
    assert!(!did.iter().any(is_asked), "{did:?}");
    talk.thinks(mind, " you?");
    let did = talk.event(mind, &whole());
    assert_eq!(used_by(&did, mind), Some(Quantity::Tokens(USED)), "it was wanted");
    // What comes next finds it in the history, once.
    let mouth = ask_of(&did, MOUTH).0;
    for request in [RequestId(mouth.0 - 1), mouth] {
        talk.sounds(request, 2_400);
        talk.finishes(request);
    }
    assert_eq!(talk.words, "Good morning. How are you?");
    talk.heard(usize::MAX);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Fine" });
    assert_eq!(questions(&did), ["Hello.", "Good morning. How are you?", "Fine"]);
}

#[test]
fn one_that_was_whole_before_the_turn_was_over_is_given_and_billed_then() {
    let (mut talk, ears, did) = maybe("Hello.");
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Good morning.");
    assert_eq!(talk.event(mind, &whole()), [], "nobody knows yet what it was used for");
    let did = is_over(&mut talk, ears, "Hello.");
    assert_eq!(used_by(&did, mind), Some(Quantity::Tokens(USED)));
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "Good morning.");
}

#[test]
fn one_whose_model_says_that_it_stops_is_spoken_to_its_last_sentence_when_the_turn_is_over() {
    let (mut talk, ears, did) = maybe("Hello.");
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Good morning.");
    assert_eq!(talk.event(mind, &Event::Stopped), []);
    let did = is_over(&mut talk, ears, "Hello.");
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "Good morning.");
}

#[test]
fn whoever_goes_on_gets_another_answer_and_what_was_prepared_was_used_for_nothing() {
    for is_whole in [true, false] {
        let (mut talk, ears, did) = maybe("Hello.");
        let mind = ask_of(&did, MIND).0;
        talk.thinks(mind, "Good morning.");
        if is_whole {
            talk.event(mind, &whole());
        }
        let did = talk.event(ears, &Event::Turn(TurnSign::GoesOn));
        let used = used_by(&did, mind);
        if is_whole {
            assert_eq!(used, Some(Quantity::Eager(USED)));
        } else {
            assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
            assert!(matches!(used, Some(Quantity::Eager(usage)) if usage.output == 4), "{used:?}");
        }
        assert_eq!(talk.thinks(mind, "late"), []);
        let did = is_over(&mut talk, ears, "Hello. A table, please.");
        assert_eq!(questions(&did), ["Hello. A table, please."], "nothing of it is remembered");
    }
}

#[test]
fn a_turn_that_is_over_with_other_words_is_asked_about_anew() {
    for sign in [false, true] {
        let (mut talk, ears, did) = maybe("Hello.");
        let mind = ask_of(&did, MIND).0;
        talk.thinks(mind, "Good morning.");
        let mut did = if sign { talk.hears(ears, "Hello, hello", (1_600, 16_000), false) } else { vec![] };
        did.extend(is_over(&mut talk, ears, "Hello, hello."));
        assert!(matches!(used_by(&did, mind), Some(Quantity::Eager(_))), "{did:?}");
        assert_eq!(questions(&did), ["Hello, hello."]);
    }
}

#[test]
fn in_one_turn_only_two_answers_are_prepared() {
    let (mut talk, ears, did) = maybe("One.");
    let mut prepared = u32::from(asks_anybody(&did));
    for text in ["One. Two.", "One. Two. Three.", "One. Two. Three. Four."] {
        talk.event(ears, &Event::Turn(TurnSign::GoesOn));
        prepared += u32::from(asks_anybody(&may_be_over(&mut talk, ears, text)));
    }
    assert_eq!(prepared, 2);
    let did = is_over(&mut talk, ears, "One. Two. Three. Four.");
    assert_eq!(questions(&did), ["One. Two. Three. Four."]);
    // The next turn has its own.
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Five.");
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    (0..20).for_each(|_| drop(talk.chunk()));
    let place = (talk.position - 4_800, talk.position);
    assert!(asks_anybody(&may_be_over_at(&mut talk, ears, "Six.", place)));
}

#[test]
fn nothing_is_prepared_for_words_that_only_go_on_with_the_last_turn() {
    let (mut talk, ears, _) = maybe("Hello.");
    is_over(&mut talk, ears, "Hello.");
    (0..10).for_each(|_| drop(talk.chunk()));
    let did = may_be_over_at(&mut talk, ears, "A table.", (20_000, 26_000));
    assert!(!asks_anybody(&did), "it is not the whole turn: {did:?}");
    let did = [talk.hears(ears, "A table.", (20_000, 26_000), true), talk.over(ears)].concat();
    assert_eq!(questions(&did), ["Hello. A table."]);
}

#[test]
fn nothing_is_prepared_while_the_agent_says_what_may_not_be_interrupted() {
    let turn_taking = TurnTaking { interruptible_greeting: false, ..TurnTaking::default() };
    let persona = Persona { greeting: "Good evening.".to_owned(), turn_taking, ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mouth = ask_of(&talk.input(AgentInput::Timeout), MOUTH).0;
    talk.sounds(mouth, 48_000);
    (0..10).for_each(|_| drop(talk.chunk()));
    let said = "I would like a table for two at eight.";
    let did = may_be_over(&mut talk, ears, said);
    assert!(!asks_anybody(&did) && !did.contains(&AgentOutput::Cut), "{did:?}");
    let did = is_over(&mut talk, ears, said);
    assert!(said_words(&did).len() == 1 && !asks_anybody(&did), "{did:?}");
    talk.finishes(mouth);
    assert_eq!(questions(&talk.heard(usize::MAX)), ["Good evening.", said], "it is answered afterwards");
}

#[test]
fn what_the_agent_is_told_to_say_waits_for_no_answer_that_is_prepared() {
    let (mut talk, ears, did) = maybe("Hello.");
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Good morning.");
    let did = talk.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
    assert!(matches!(used_by(&did, mind), Some(Quantity::Eager(_))), "{did:?}");
    let mouth = ask_of(&did, MOUTH).0;
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "We close soon.");
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    assert_eq!(questions(&is_over(&mut talk, ears, "Hello.")), ["We close soon.", "Hello."]);
}

#[test]
fn near_a_cap_nothing_is_prepared_and_what_was_is_given_up() {
    for is_sent in [true, false] {
        let (mut talk, ears, did) = maybe("Hello.");
        let mind = ask_of(&did, MIND).0;
        if is_sent {
            assert_eq!(talk.event(mind, &Event::Ready), []);
        }
        let did = talk.input(AgentInput::Means { means: Means::Little, refused: None });
        let used = used_by(&did, mind);
        assert_eq!(matches!(used, Some(Quantity::Eager(_))), is_sent, "{did:?}");
        assert_eq!(used.is_none(), !is_sent, "what has not left has used nothing: {did:?}");
        assert!(!asks_anybody(&may_be_over(&mut talk, ears, "Hello. A table.")));
        assert_eq!(questions(&is_over(&mut talk, ears, "Hello. A table."))[0], "Hello. A table.");
    }
    // One that there was too little for was never made, and is not asked for less.
    let (mut talk, _, did) = maybe("Hello.");
    let mind = ask_of(&did, MIND).0;
    let did = talk.input(AgentInput::Means { means: Means::Little, refused: Some(mind) });
    assert_eq!(used_by(&did, mind), None);
    assert!(!asks_anybody(&did), "{did:?}");
}

#[test]
fn whoever_types_or_leaves_has_no_use_for_what_was_prepared() {
    for leaves in [false, true] {
        let (mut talk, _, did) = maybe("Hello.");
        let mind = ask_of(&did, MIND).0;
        talk.thinks(mind, "Good morning.");
        let did = talk.input(if leaves {
            AgentInput::Leave
        } else {
            AgentInput::Typed { position: 17_600, text: "Wait" }
        });
        assert!(matches!(used_by(&did, mind), Some(Quantity::Eager(_))), "{did:?}");
        assert_eq!(talk.words, "");
    }
}

#[test]
fn a_model_that_fails_in_secret_is_asked_again_in_the_open() {
    let (mut talk, ears, did) = maybe("Hello.");
    let mind = ask_of(&did, MIND).0;
    let did = talk.fails(mind, FailureKind::Busy);
    let other = ask_of(&did, OTHER_MIND).0;
    assert_eq!(talk.fails(other, FailureKind::Busy).len(), 1, "nobody hears of it");
    let did = is_over(&mut talk, ears, "Hello.");
    assert_eq!(questions(&did), ["Hello."]);
}

#[test]
fn a_draft_that_answers_somebody_who_has_heard_more_than_was_heard_is_dropped() {
    let (mut talk, ears, did) = maybe("Hello.");
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Good morning.");
    talk.event(mind, &whole());
    let did = is_over(&mut talk, ears, "Hello.");
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    (0..20).for_each(|_| drop(talk.chunk()));
    let place = (32_000, 40_000);
    let did = may_be_over_at(&mut talk, ears, "A table, please.", place);
    assert_eq!(questions(&did), ["Hello.", "Good morning.", "A table, please."]);
    let draft = ask_of(&did, MIND).0;
    talk.thinks(draft, "For two?");
    let did = talk.input(AgentInput::TakenBack { answer: 0, heard: 4 });
    assert!(did.contains(&AgentOutput::Cancel { request: draft }), "{did:?}");
    assert!(matches!(used_by(&did, draft), Some(Quantity::Eager(_))), "{did:?}");
    let mut did = talk.hears(ears, "A table, please.", place, true);
    did.extend(talk.over(ears));
    assert_eq!(questions(&did), ["Hello.", "Good", "A table, please."]);
}
