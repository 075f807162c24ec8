//! What an agent does when nobody says anything.

use std::time::Duration;

use super::talk::{EARS, MIND, MOUTH, Talk, ask_of, talker_of};
use super::tools::{AT_EIGHT, toolbox};
use super::*;
use crate::agent::tool::{Called, Runs, StoredCall};
use crate::provider::{ToolCall, TurnSign};

fn patience() -> Patience {
    Patience {
        after: Duration::from_secs(30),
        question: "Are you there?".to_owned(),
        goodbye: "Goodbye.".to_owned(),
    }
}

fn patient(greeting: &str) -> Conversation {
    let persona = Persona {
        greeting: greeting.to_owned(),
        max_output_tokens: 5,
        patience: patience(),
        ..Persona::default()
    };
    Conversation::new(persona, Team { models: vec![0], ..Team::default() }, 24_000, 0, &[])
}

fn at(agent: &mut Conversation, seconds: u64, input: AgentInput<'_>) -> Vec<AgentOutput> {
    agent.handle_input(Time::from_millis(1_000 * seconds), input);
    std::iter::from_fn(|| agent.poll_output()).collect()
}

fn due(agent: &Conversation) -> Option<u64> {
    agent.poll_timeout().map(|due| due.as_micros() / 1_000_000)
}

#[test]
fn who_says_nothing_is_asked_once_and_then_told_goodbye() {
    let mut agent = patient("");
    assert_eq!(at(&mut agent, 5, AgentInput::Timeout), []);
    assert_eq!(due(&agent), Some(35));
    assert_eq!(at(&mut agent, 34, AgentInput::Timeout), [], "it is not time yet");
    assert_eq!(words(&at(&mut agent, 35, AgentInput::Timeout)), "Are you there?");
    assert_eq!(due(&agent), None, "while it speaks nobody is waited for");
    assert_eq!(at(&mut agent, 37, AgentInput::AnswerOver { answer: 0, heard: 14 }), []);
    assert_eq!(due(&agent), Some(67));
    let did = at(&mut agent, 67, AgentInput::Timeout);
    assert_eq!(words(&did), "Goodbye.");
    assert!(!did.contains(&AgentOutput::HangUp), "it is heard first");
    assert_eq!(at(&mut agent, 69, AgentInput::AnswerOver { answer: 1, heard: 8 }), [AgentOutput::HangUp]);
    assert_eq!(due(&agent), None);
}

#[test]
fn a_word_of_the_user_begins_the_wait_anew_and_thinking_is_no_quiet() {
    let mut agent = patient("Hello.");
    assert_eq!(words(&at(&mut agent, 1, AgentInput::Timeout)), "Hello.");
    at(&mut agent, 2, AgentInput::AnswerOver { answer: 0, heard: 6 });
    assert_eq!(words(&at(&mut agent, 32, AgentInput::Timeout)), "Are you there?");
    at(&mut agent, 33, AgentInput::AnswerOver { answer: 1, heard: 14 });
    assert!(asked(&at(&mut agent, 40, AgentInput::Typed { position: 0, text: "Yes" })).is_some());
    assert_eq!(due(&agent), None, "the model is asked");
    let event = Event::Text("Good.".to_owned());
    at(&mut agent, 100, AgentInput::Event { request: RequestId(0), event: &event });
    at(
        &mut agent,
        101,
        AgentInput::Event { request: RequestId(0), event: &Event::Finished(Answer::default()) },
    );
    at(&mut agent, 102, AgentInput::AnswerOver { answer: 2, heard: 5 });
    assert_eq!(due(&agent), Some(132));
    assert_eq!(words(&at(&mut agent, 132, AgentInput::Timeout)), "Are you there?", "it asks again");
}

#[test]
fn who_speaks_into_the_goodbye_is_not_hung_up_on() {
    let mut agent = patient("");
    at(&mut agent, 0, AgentInput::Timeout);
    at(&mut agent, 30, AgentInput::Timeout);
    at(&mut agent, 31, AgentInput::AnswerOver { answer: 0, heard: 14 });
    assert_eq!(words(&at(&mut agent, 61, AgentInput::Timeout)), "Goodbye.");
    let did = at(&mut agent, 62, AgentInput::Typed { position: 0, text: "Wait" });
    assert!(!did.contains(&AgentOutput::HangUp), "{did:?}");
    let did = at(&mut agent, 62, AgentInput::AnswerOver { answer: 1, heard: 3 });
    assert!(!did.contains(&AgentOutput::HangUp) && asked(&did).is_some(), "{did:?}");
}

#[test]
fn whoever_is_on_hold_is_not_asked_and_has_all_the_time_again_when_they_are_back() {
    let mut agent = patient("");
    at(&mut agent, 0, AgentInput::Timeout);
    assert!(due(&agent).is_some());
    at(&mut agent, 20, AgentInput::OnHold(true));
    assert_eq!(due(&agent), None);
    assert_eq!(at(&mut agent, 3_000, AgentInput::Timeout), []);
    at(&mut agent, 3_600, AgentInput::OnHold(false));
    assert_eq!(due(&agent), Some(3_630));
    // What ends meanwhile changes nothing about that.
    at(&mut agent, 3_601, AgentInput::OnHold(true));
    at(&mut agent, 3_602, AgentInput::AnswerOver { answer: 0, heard: 0 });
    assert_eq!(due(&agent), None);
    at(&mut agent, 3_700, AgentInput::OnHold(false));
    assert_eq!(due(&agent), Some(3_730));
}

#[test]
fn who_begins_to_speak_is_not_asked_before_they_can_be_understood_and_not_while_the_agent_is_to_speak() {
    let mut talk = Talk::of(talker_of(Persona { patience: patience(), ..Persona::default() }, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.input(AgentInput::Timeout);
    assert_eq!(due(&talk.agent), Some(30));
    talk.now = Time::from_millis(29_000);
    talk.event(ears, &Event::Turn(TurnSign::Began { at: 0 }));
    // As long as an utterance may be, and then as long as ever.
    assert_eq!(due(&talk.agent), Some(29 + 25 + 30));
    // With their words the wait begins anew, and ends when the model is asked.
    talk.now = Time::from_millis(33_000);
    let mind = talk.asked(ears, "Tell me.");
    assert_eq!(due(&talk.agent), None);
    ask_of(&talk.thinks(mind, "One two three. Four "), MOUTH);
    talk.event(ears, &Event::Turn(TurnSign::Began { at: talk.position }));
    assert_eq!(due(&talk.agent), None, "the answer is about to sound");
}

#[test]
fn while_a_tool_runs_nobody_is_asked_whatever_sound_they_make() {
    let persona = Persona { patience: patience(), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]).with_tools(toolbox(), &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.input(AgentInput::Timeout);
    let mind = talk.asked(ears, "A table?");
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
    talk.event(mind, &Event::ToolCall(call));
    talk.finishes(mind);
    for on_hold in [false, true] {
        talk.input(AgentInput::OnHold(on_hold));
        talk.event(ears, &Event::Turn(TurnSign::Began { at: talk.position }));
        talk.input(AgentInput::OnHold(false));
        assert_eq!(talk.agent.quiet.due(), None, "it would be said before the answer, on hold: {on_hold}");
    }
}

#[test]
fn who_waits_for_a_tool_that_was_called_at_another_relay_is_not_asked() {
    let turns = [Turn::new(0, protocol::Role::User, "A table?".to_owned(), 0, 0)];
    let called = Called {
        call_id: "old_0".into(),
        model_id: "m".into(),
        name: "tables".into(),
        arguments: AT_EIGHT.into(),
        runs: Runs::Page,
    };
    let stored = StoredCall { called, turn: 1, output: None };
    let persona = Persona { patience: patience(), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &turns).with_tools(toolbox(), &[stored]));
    talk.input(AgentInput::Timeout);
    assert_eq!(talk.agent.quiet.due(), None, "the answer waits for the tool");
    let result = AgentInput::ToolResult { call_id: "old_0", from: Runs::Page, output: "4", is_error: false };
    ask_of(&talk.input(result), MIND);
}

#[test]
fn an_agent_without_patience_to_lose_waits_for_ever() {
    let mut agent = writer(&[]);
    assert_eq!(agent.poll_timeout(), None);
    at(&mut agent, 1, AgentInput::Typed { position: 0, text: "Hi" });
    at(&mut agent, 2, AgentInput::Event { request: RequestId(0), event: &Event::Text("Yes.".to_owned()) });
    at(
        &mut agent,
        3,
        AgentInput::Event { request: RequestId(0), event: &Event::Finished(Answer::default()) },
    );
    at(&mut agent, 4, AgentInput::AnswerOver { answer: 0, heard: 4 });
    assert_eq!(agent.poll_timeout(), None);
}
