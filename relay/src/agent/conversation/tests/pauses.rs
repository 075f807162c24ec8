//! When a conversation is between two turns: then it can go on elsewhere, and nobody hears that.

use super::talk::{EARS, MIND, MOUTH, Talk, ask_of, hears_utterances, reads_and_speaks, talker_of, voice};
use super::*;
use crate::provider::TurnSign;

fn is_between_turns(talk: &Talk) -> bool {
    talk.agent.is_between_turns()
}

#[test]
fn it_is_no_pause_from_the_first_sign_of_a_turn_until_its_answer_was_heard() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    assert!(is_between_turns(&talk), "a recogniser listens, and nobody speaks");
    talk.event(ears, &Event::Turn(TurnSign::Began { at: 0 }));
    assert!(!is_between_turns(&talk), "somebody may be speaking");
    talk.hears(ears, "What is", (0, 1_000), false);
    assert!(!is_between_turns(&talk), "somebody speaks");
    let mind = talk.asked(ears, "What is it?");
    assert!(!is_between_turns(&talk), "the answer is being found");
    talk.thinks(mind, "It is a test.");
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    assert!(!is_between_turns(&talk), "the answer is to be spoken");
    talk.sounds(mouth, 2_400);
    let did = talk.finishes(mouth);
    assert!(did.contains(&AgentOutput::AnswerEnd) && !is_between_turns(&talk), "it is not heard yet");
    talk.heard(usize::MAX);
    assert!(is_between_turns(&talk));
}

#[test]
fn it_is_no_pause_while_an_utterance_is_heard_or_waits_to_be_understood() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&vec![0; 32_000]);
    assert!(is_between_turns(&talk));
    for chunk in voice(16_000).chunks(1_600) {
        talk.hear(chunk);
    }
    assert!(!is_between_turns(&talk), "somebody speaks");
    let ears = ask_of(&talk.hear(&vec![0; 16_000]), EARS).0;
    assert!(!is_between_turns(&talk), "it may have words");
    talk.finishes(ears);
    assert!(is_between_turns(&talk), "it had none");
}

#[test]
fn it_is_no_pause_while_something_waits_to_be_said_or_the_conversation_has_only_begun() {
    let mut talk = Talk::of(reads_and_speaks());
    let mind = ask_of(&talk.input(AgentInput::Typed { position: 0, text: "Hello" }), MIND).0;
    talk.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
    talk.thinks(mind, "Good day.");
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    let mouth = ask_of(&talk.heard(usize::MAX), MOUTH).0;
    assert!(!is_between_turns(&talk), "what it was told to say is to be spoken");
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    assert!(is_between_turns(&talk));

    let persona = Persona { greeting: "Hello.".to_owned(), ..Persona::default() };
    assert!(!is_between_turns(&Talk::of(talker_of(persona, &[]))), "it is to greet");
}

#[test]
fn an_answer_in_writing_is_over_when_the_call_says_so() {
    let mut bench = Bench::new();
    assert!(bench.0.is_between_turns());
    bench.types("Hello");
    assert!(!bench.0.is_between_turns());
    bench.says(0, "Hi.");
    bench.finishes(0, None);
    assert!(!bench.0.is_between_turns());
    bench.input(AgentInput::AnswerOver { answer: 0, heard: 3 });
    assert!(bench.0.is_between_turns());
    bench.input(AgentInput::Farewell);
    assert!(!bench.0.is_between_turns(), "it says its last words");
}
