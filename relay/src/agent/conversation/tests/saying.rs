//! What the agent is told to say while somebody waits for an answer.

use super::super::memory::STILL_WAITS;
use super::talk::{MIND, MOUTH, Talk, ask_of, asks_a_model, reads_and_speaks, spoken, talker_of};
use super::*;

fn say(interrupt: bool) -> AgentInput<'static> {
    AgentInput::Say { position: Some(0), text: "One moment.", interrupt }
}

#[test]
fn a_question_in_writing_is_answered_after_what_is_said_at_once() {
    let mut bench = Bench::new();
    bench.types("What is my balance?");
    let did = bench.input(say(true));
    assert!(did.contains(&AgentOutput::Cancel { request: RequestId(0) }), "{did:?}");
    assert_eq!((words(&did).as_str(), asked(&did)), ("One moment.", None));
    let did = bench.input(AgentInput::AnswerOver { answer: 0, heard: 11 });
    let all = [
        ("system", "Listen."),
        ("user", "What is my balance?"),
        ("assistant", "One moment."),
        // Models refuse to go on with words of their own.
        ("user", STILL_WAITS),
    ];
    assert_eq!(asked(&did), Some(all.to_vec()));
    bench.says(1, "A tenner.");
    bench.finishes(1, None);
    assert_eq!(bench.input(AgentInput::AnswerOver { answer: 1, heard: 9 }), [], "once");
    // Of what was read nothing is said again.
    bench.types("For two?");
    bench.says(2, "I am afr");
    let did = bench.input(say(true));
    assert_eq!((words(&did).as_str(), asked(&did)), ("One moment.", None));
}

#[test]
fn what_was_said_behind_a_question_is_no_answer_to_it() {
    let turns = [Turn::new(0, protocol::Role::User, "Still there?".to_owned(), 0, 0)];
    let mut talk = Talk::of(talker_of(Persona::default(), &turns));
    let is_said = |talk: &mut Talk, did: &[AgentOutput]| {
        let mouth = ask_of(did, MOUTH).0;
        talk.sounds(mouth, 2_400);
        talk.finishes(mouth);
        talk.heard(usize::MAX)
    };
    let did = talk.input(say(false));
    talk.input(AgentInput::Timeout);
    let did = is_said(&mut talk, &did);
    let mind = ask_of(&did, MIND).0;
    // It is found, and makes way once more.
    let did = talk.input(say(true));
    assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
    let did = is_said(&mut talk, &did);
    ask_of(&did, MIND);
}

#[test]
fn a_question_is_answered_after_what_is_said_at_once_unless_something_of_the_answer_was_heard() {
    for (has_words, heard) in [(false, None), (true, None), (true, Some(0)), (true, Some(4))] {
        let mut talk = Talk::of(reads_and_speaks());
        let typed = AgentInput::Typed { position: 0, text: "What is my balance?" };
        let mind = ask_of(&talk.input(typed), MIND).0;
        if has_words {
            let mouth = ask_of(&talk.thinks(mind, "Ten pounds. And "), MOUTH).0;
            if heard.is_some() {
                talk.sounds(mouth, 2_400);
            }
        }
        let mut did = talk.input(say(true));
        if let Some(bytes) = heard {
            did.extend(talk.heard(bytes));
        }
        let (mouth, ask) = ask_of(&did, MOUTH);
        assert_eq!(spoken(&ask), "One moment.");
        assert!(!asks_a_model(&did), "that is said first: {did:?}");
        talk.sounds(mouth, 2_400);
        talk.finishes(mouth);
        assert_eq!(talk.words, "One moment.");
        let did = talk.heard(usize::MAX);
        assert_eq!(asks_a_model(&did), heard != Some(4), "{has_words} {heard:?}: {did:?}");
    }
}

#[test]
fn what_is_said_is_said_to_its_end_before_a_question_that_waits_is_asked() {
    for interrupt in [false, true] {
        let turns = [Turn::new(0, protocol::Role::User, "Still there?".to_owned(), 0, 0)];
        let mut talk = Talk::of(talker_of(Persona::default(), &turns));
        let mouth = ask_of(&talk.input(say(interrupt)), MOUTH).0;
        assert!(!asks_a_model(&talk.input(AgentInput::Timeout)), "the answer would be part of it");
        talk.sounds(mouth, 2_400);
        assert!(!asks_a_model(&talk.finishes(mouth)));
        let did = talk.heard(usize::MAX);
        let mind = ask_of(&did, MIND).0;
        let mouth = ask_of(&talk.thinks(mind, "Ten pounds. And "), MOUTH).0;
        talk.sounds(mouth, 2_400);
        assert_eq!(talk.words.trim(), "Ten pounds.", "an answer of its own");
    }
}

#[test]
fn who_has_left_is_not_answered_although_an_answer_made_way() {
    let mut talk = Talk::of(reads_and_speaks());
    let mind = ask_of(&talk.input(AgentInput::Typed { position: 0, text: "Hello" }), MIND).0;
    let mouth = ask_of(&talk.thinks(mind, "Good day. And "), MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.input(say(true));
    talk.input(AgentInput::Leave);
    assert!(!asks_a_model(&talk.heard(0)));
}
