//! Models that stand in for others.

use super::talk::{
    EARS, MIND, MOUTH, OTHER_MIND, OTHER_MOUTH, Talk, ask_of, said_words, spoken, talker, used_by,
};
use super::tools::{AT_EIGHT, toolbox};
use super::*;
use crate::agent::tool::Runs;
use crate::provider::{ToolCall, TurnSign};

/// What is asked of the model that stands in, and how it is asked.
fn asked_instead(did: &[AgentOutput]) -> (RequestId, Vec<(&'static str, String)>) {
    let (request, Ask::Chat(chat)) = ask_of(did, OTHER_MIND) else { panic!("{did:?}") };
    let told = chat.messages.iter().map(told).map(|(who, text)| (who, text.to_owned()));
    (request, told.collect())
}

fn is_degraded(did: &[AgentOutput]) -> bool {
    did.iter()
        .any(|did| matches!(did, AgentOutput::Degraded { degraded: true, .. } | AgentOutput::Trouble(_)))
}

#[test]
fn a_model_that_breaks_off_before_anything_sounds_is_stood_in_for_from_the_beginning() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let mouth = ask_of(&talk.thinks(mind, "Half an answer. Another. And"), MOUTH).0;
    let did = talk.fails(mind, FailureKind::Busy);
    let (other, told) = asked_instead(&did);
    assert_eq!(told, [("user", "Well?".to_owned())], "it gets the whole context");
    assert!(used_by(&did, mind).is_some(), "it has read the question");
    assert!(did.contains(&AgentOutput::Cancel { request: mouth }), "no voice speaks it: {did:?}");
    assert!(!is_degraded(&did) && words(&did).is_empty(), "nobody notices: {did:?}");
    assert_eq!(talk.sounds(mouth, 2_400), [], "what comes of it afterwards is not heard");
    let did = [talk.thinks(other, "A whole one."), talk.finishes(other)].concat();
    let (mouth, ask) = ask_of(&did, MOUTH);
    assert_eq!(spoken(&ask), "A whole one.");
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    assert_eq!((talk.words.as_str(), talk.sound), ("A whole one.", 2_400));
    talk.heard(usize::MAX);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Thanks" });
    let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
    assert_eq!(chat.messages.iter().map(told_text).collect::<Vec<_>>(), ["Well?", "A whole one.", "Thanks"]);
}

fn told_text(message: &Message) -> &str {
    told(message).1
}

#[test]
fn what_sounded_before_a_tool_stays_when_the_model_breaks_off_behind_it() {
    let mut talk = Talk::of(talker().with_tools(toolbox(), &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "A table?");
    talk.thinks(mind, "Let me look.");
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
    talk.event(mind, &Event::ToolCall(call));
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    let result = AgentInput::ToolResult { call_id: "c0", from: Runs::Page, output: "4", is_error: false };
    let mind = ask_of(&talk.input(result), MIND).0;
    talk.thinks(mind, "There are");
    let (other, told) = asked_instead(&talk.fails(mind, FailureKind::Connection));
    assert_eq!(told.last(), Some(&("tool", "4".to_owned())));
    let did = [talk.thinks(other, "Four are free."), talk.finishes(other)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 4_800);
    let did = talk.finishes(mouth);
    assert_eq!((talk.words.as_str(), talk.sound), ("Let me look. Four are free.", 7_200));
    assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd), "{did:?}");
}

#[test]
fn a_model_that_says_nothing_is_stood_in_for() {
    for text in ["", " \n"] {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mind = talk.asked(ears, "Well?");
        if !text.is_empty() {
            assert_eq!(talk.thinks(mind, text), [], "spaces are nothing to be said");
        }
        let did = talk.finishes(mind);
        let (other, told) = asked_instead(&did);
        assert_eq!(told, [("user", "Well?".to_owned())]);
        assert!(matches!(used_by(&did, mind), Some(Quantity::Tokens(_))), "{did:?}");
        assert!(!is_degraded(&did), "{did:?}");
        // Nobody else is there to be asked.
        let did = talk.finishes(other);
        assert!(is_degraded(&did), "{did:?}");
        assert_eq!(
            spoken(&ask_of(&did, MOUTH).1),
            NO_ANSWER.split_inclusive(". ").next().unwrap_or("").trim()
        );
    }
}

#[test]
fn a_model_that_calls_what_it_was_not_offered_and_says_nothing_is_stood_in_for() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: "{}".into() };
    talk.event(mind, &Event::ToolCall(call));
    let did = talk.finishes(mind);
    assert_eq!(asked_instead(&did).1, [("user", "Well?".to_owned())]);
    assert!(!is_degraded(&did), "{did:?}");
}

#[test]
fn a_model_that_broke_off_before_its_first_word_is_billed_and_one_that_never_began_is_not() {
    for (broke, is_billed) in [(FailureKind::BrokeOff, true), (FailureKind::Connection, false)] {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mind = talk.asked(ears, "Well?");
        talk.event(mind, &Event::Ready);
        let did = talk.fails(mind, broke);
        assert_eq!(used_by(&did, mind).is_some(), is_billed, "{did:?}");
        asked_instead(&did);
    }
}

#[test]
fn a_voice_that_broke_off_before_its_first_sound_is_billed_and_one_that_never_began_is_not() {
    for (broke, is_billed) in [(FailureKind::BrokeOff, true), (FailureKind::Connection, false)] {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mind = talk.asked(ears, "Well?");
        talk.thinks(mind, "All is well.");
        let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
        talk.event(mouth, &Event::Ready);
        let did = talk.fails(mouth, broke);
        assert_eq!(used_by(&did, mouth).is_some(), is_billed, "{did:?}");
        ask_of(&did, OTHER_MOUTH);
    }
}

#[test]
fn a_draft_that_says_nothing_is_billed_as_one_and_stood_in_for() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "Well?", (1_600, 16_000), false);
    let mind = ask_of(&talk.event(ears, &Event::Turn(TurnSign::MayBeOver)), MIND).0;
    let did = talk.finishes(mind);
    assert!(matches!(used_by(&did, mind), Some(Quantity::Eager(_))), "{did:?}");
    let other = asked_instead(&did).0;
    talk.thinks(other, "Well.");
    talk.hears(ears, "Well?", (1_600, 16_000), true);
    let did = talk.over(ears);
    assert_eq!(said_words(&did).len(), 1);
    let did = talk.finishes(other);
    assert!(matches!(used_by(&did, other), Some(Quantity::Tokens(_))), "it was wanted: {did:?}");
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "Well.");
}
