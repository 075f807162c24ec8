//! Words that come when the user's turn seemed to be over.

use std::time::Duration;

use super::talk::{EARS, MIND, MOUTH, Talk, ask_of, asks_anybody, said_words, talker_of};
use super::tools::{AT_EIGHT, toolbox};
use super::*;
use crate::agent::tool::Runs;
use crate::provider::ToolCall;

/// A user who has said something that the model is asked about, with ears and model.
fn asked_for_a_table() -> (Talk, RequestId, RequestId) {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "A table");
    (0..10).for_each(|_| drop(talk.chunk()));
    (talk, ears, mind)
}

fn questions(did: &[AgentOutput]) -> Vec<String> {
    let (_, Ask::Chat(chat)) = ask_of(did, MIND) else { panic!("{did:?}") };
    chat.messages.iter().map(|message| told(message).1.to_owned()).collect()
}

#[test]
fn words_that_come_before_the_answer_sounds_belong_to_the_turn_and_it_is_asked_about_anew() {
    let (mut talk, ears, mind) = asked_for_a_table();
    // Even its voice was asked already.
    let mouth = ask_of(&talk.thinks(mind, "For how many? And "), MOUTH).0;
    let did = talk.hears(ears, "for two", (20_000, 26_000), true);
    for request in [mind, mouth] {
        assert!(did.contains(&AgentOutput::Cancel { request }), "{did:?}");
    }
    let mut kinds =
        did.iter().filter(|did| !matches!(did, AgentOutput::Cancel { .. } | AgentOutput::Spent { .. }));
    assert_eq!(kinds.next(), Some(&AgentOutput::TurnGoesOn), "before its words: {did:?}");
    let first = 1_600;
    let whole = AgentOutput::Partial {
        text: "A table for two".to_owned(),
        start: first,
        end: 26_000,
        final_through: Some(26_000),
    };
    assert_eq!(kinds.next(), Some(&whole));
    let did = talk.over(ears);
    assert_eq!(said_words(&did), [("A table for two", first, 26_000)]);
    assert!(!did.contains(&AgentOutput::TurnGoesOn), "it was told once");
    assert_eq!(questions(&did), ["A table for two"]);
    // And once more.
    (0..5).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "tonight", (36_000, 40_000), false);
    talk.hears(ears, "tonight.", (36_000, 40_000), true);
    let did = talk.over(ears);
    assert_eq!(questions(&did), ["A table for two tonight."]);
    // What the page corrects is the turn as it is now.
    talk.input(AgentInput::Corrected { said: 2, text: "A table for ten tonight." });
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Gladly.");
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(mouth, 24_000);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Thanks" });
    assert_eq!(questions(&did), ["A table for ten tonight.", "Gladly.", "Thanks"]);
}

#[test]
fn after_the_first_sound_they_are_a_turn_of_their_own() {
    let (mut talk, ears, mind) = asked_for_a_table();
    let mouth = ask_of(&talk.thinks(mind, "For how many? And "), MOUTH).0;
    talk.sounds(mouth, 24_000);
    let did = talk.hears(ears, "for two", (20_000, 26_000), true);
    assert!(did.contains(&AgentOutput::Cut) && !did.contains(&AgentOutput::TurnGoesOn), "{did:?}");
    let mut did = talk.over(ears);
    assert_eq!(said_words(&did), [("for two", 20_000, 26_000)]);
    did.extend(talk.heard(7));
    assert_eq!(questions(&did), ["A table", "For how", "for two"]);
}

#[test]
fn a_turn_that_only_seemed_to_go_on_is_answered_as_it_was() {
    let (mut talk, ears, mind) = asked_for_a_table();
    let did = talk.hears(ears, "for", (20_000, 22_000), false);
    assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
    // The recogniser thinks better of it, and hears nothing.
    let did = talk.hears(ears, "", (20_000, 28_000), true);
    assert_eq!(said_words(&did).len(), 1, "{did:?}");
    assert_eq!(said_words(&did)[0].0, "A table");
    assert_eq!(questions(&did), ["A table"]);
    assert!(!asks_anybody(&talk.over(ears)));
    assert_eq!(said_words(&talk.hears(ears, "", (28_000, 33_000), true)), [], "it is said once");
}

#[test]
fn what_is_typed_belongs_to_no_turn_that_was_spoken() {
    let (mut talk, ears, _) = asked_for_a_table();
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "for two" });
    assert_eq!(questions(&did), ["A table", "for two"]);
    let did = talk.hears(ears, "tonight", (20_000, 26_000), true);
    assert!(!did.contains(&AgentOutput::TurnGoesOn), "{did:?}");
    assert_eq!(questions(&talk.over(ears)), ["A table", "for two", "tonight"]);
}

#[test]
fn what_the_agent_says_while_a_turn_goes_on_takes_no_words_from_it() {
    for (rest, whole) in [("", "A table"), ("for two", "A table for two")] {
        let (mut talk, ears, _) = asked_for_a_table();
        let did = talk.hears(ears, "for", (20_000, 22_000), false);
        assert!(did.contains(&AgentOutput::TurnGoesOn), "{did:?}");
        let did = talk.input(AgentInput::Say { position: Some(0), text: "We close soon.", interrupt: false });
        let mouth = ask_of(&did, MOUTH).0;
        talk.sounds(mouth, 2_400);
        talk.finishes(mouth);
        assert_eq!(talk.words, "We close soon.");
        let mut did = talk.hears(ears, rest, (20_000, 28_000), true);
        did.extend(talk.over(ears));
        let is_whole = |did: &AgentOutput| match did {
            AgentOutput::Partial { text, .. } | AgentOutput::Said { text, .. } => text == whole,
            _ => true,
        };
        assert!(did.iter().all(is_whole), "{did:?}");
        assert_eq!(said_words(&did).len(), 1, "{did:?}");
        did.extend(talk.heard("We close".len()));
        assert_eq!(questions(&did), ["We close", whole], "the question is the last word");
    }
}

#[test]
fn words_that_began_a_turn_of_their_own_stay_that_whatever_of_the_answer_was_not_heard() {
    let turn_taking = TurnTaking { uninterruptible: Duration::from_secs(60), ..TurnTaking::default() };
    let persona = Persona { turn_taking, ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]).with_tools(toolbox(), &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "A table");
    (0..40).for_each(|_| drop(talk.chunk()));
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
    let mut did = talk.thinks(mind, "I am looking. ");
    did.extend(talk.event(mind, &Event::ToolCall(call)));
    did.extend(talk.finishes(mind));
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 24_000);
    talk.finishes(mouth);
    let result = AgentInput::ToolResult { call_id: "c0", from: Runs::Page, output: "0", is_error: false };
    let mind = ask_of(&talk.input(result), MIND).0;
    // What was said before the answer began comes late. It stands before the second part, and does not interrupt.
    let did = [talk.hears(ears, "for two", (20_000, 26_000), true), talk.over(ears)].concat();
    assert_eq!(said_words(&did), [("for two", 20_000, 26_000)]);
    let did = [talk.thinks(mind, "None is free. "), talk.finishes(mind)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 24_000);
    talk.finishes(mouth);
    assert_eq!(talk.answers.begun, 1, "it is one answer");
    talk.now = Time::from_millis(61_000);
    let mut did = talk.hears(ears, "tonight", (36_000, 40_000), false);
    assert!(did.contains(&AgentOutput::Cut), "{did:?}");
    // Nothing of the second part was heard.
    did.extend(talk.heard("I am looking.".len()));
    did.extend(talk.hears(ears, "tonight", (36_000, 40_000), true));
    did.extend(talk.over(ears));
    assert!(!did.contains(&AgentOutput::TurnGoesOn), "it was told as another turn: {did:?}");
    assert_eq!(said_words(&did), [("tonight", 36_000, 40_000)]);
}
