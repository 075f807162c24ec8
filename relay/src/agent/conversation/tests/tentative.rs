//! Words that a recogniser takes back: what they have cut off.

use std::time::Duration;

use super::talk::{
    EARS, MIND, MOUTH, OTHER_EARS, Talk, ask_of, asks_anybody, said_words, spoken, talker, talker_of,
};
use super::tools::{AT_EIGHT, toolbox};
use super::*;
use crate::agent::tool::Runs;
use crate::provider::{Feed, ToolCall};

fn questions(did: &[AgentOutput]) -> Vec<String> {
    let (_, Ask::Chat(chat)) = ask_of(did, MIND) else { panic!("{did:?}") };
    chat.messages.iter().map(|message| told(message).1.to_owned()).collect()
}

/// A user who has typed something that the model is asked about, with ears and model, after half a second.
fn typed_a_question() -> (Talk, RequestId, RequestId) {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "What is my balance?" });
    let mind = ask_of(&did, MIND).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    (talk, ears, mind)
}

#[test]
fn a_typed_question_is_answered_although_a_recogniser_takes_back_what_it_seemed_to_hear() {
    let (mut talk, ears, mind) = typed_a_question();
    let did = talk.hears(ears, "uh", (4_000, 8_000), false);
    assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
    let did = talk.hears(ears, "", (4_000, 8_000), true);
    assert_eq!(questions(&did), ["What is my balance?"]);
    let mind = ask_of(&did, MIND).0;
    assert!(!asks_anybody(&talk.over(ears)), "once");
    // And once more, where what seemed to be a word was cut off by its voice as well.
    let mouth = ask_of(&talk.thinks(mind, "Ten pounds. And "), MOUTH).0;
    let did = talk.hears(ears, "uh", (10_000, 12_000), false);
    assert!([mind, mouth].iter().all(|request| did.contains(&AgentOutput::Cancel { request: *request })));
    assert_eq!(questions(&talk.hears(ears, "", (10_000, 16_000), true)), ["What is my balance?"]);
}

#[test]
fn a_question_is_answered_although_the_recogniser_breaks_off_behind_a_word_that_nobody_else_hears() {
    let (mut talk, ears, _) = typed_a_question();
    talk.hears(ears, "uh", (12_000, 14_000), false);
    let other = ask_of(&talk.fails(ears, FailureKind::Connection), OTHER_EARS).0;
    let did = talk.hears(other, "", (0, 9_000), true);
    assert!(did.contains(&AgentOutput::Final { through: 9_000 }), "{did:?}");
    assert!(!asks_anybody(&did), "the word may still come");
    assert_eq!(questions(&talk.hears(other, "", (9_000, 17_600), true)), ["What is my balance?"]);

    let (mut talk, ears, _) = typed_a_question();
    talk.hears(ears, "uh", (4_000, 8_000), false);
    let did = talk.all_ears_fail(ears, FailureKind::Key).1;
    assert_eq!(questions(&did), ["What is my balance?"], "nobody hears");
}

#[test]
fn a_question_is_answered_although_words_of_a_muted_user_that_came_late_are_none() {
    for is_final in [true, false] {
        let (mut talk, ears, mind) = typed_a_question();
        talk.input(AgentInput::Pause);
        let end = talk.position;
        let did = talk.event(ears, &Event::Unanswered { end });
        assert!(did.contains(&AgentOutput::Final { through: end }), "{did:?}");
        let did = talk.hears(ears, "A table", (end - 1_600, end), false);
        assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
        let mut did = talk.hears(ears, "", (end - 1_600, end), is_final);
        if !is_final {
            did.extend(talk.input(AgentInput::Pause));
        }
        assert_eq!(questions(&did), ["What is my balance?"]);
    }
}

#[test]
fn an_answer_that_another_relay_owed_is_given_although_words_are_taken_back() {
    let turns = [Turn::new(0, protocol::Role::User, "Still there?".to_owned(), 0, 0)];
    let mut talk = Talk::of(talker_of(Persona::default(), &turns));
    let mind = ask_of(&talk.input(AgentInput::Timeout), MIND).0;
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    let did = talk.hears(ears, "uh", (4_000, 8_000), false);
    assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
    assert_eq!(questions(&talk.hears(ears, "", (4_000, 12_000), true)), ["Still there?"]);
}

#[test]
fn of_an_answer_that_words_have_cut_which_are_taken_back_nothing_is_said_again_unless_nothing_was_heard() {
    for (heard, asks) in [(0, true), (11, false)] {
        let (mut talk, ears, mind) = typed_a_question();
        let mouth = ask_of(&talk.thinks(mind, "Ten pounds. And "), MOUTH).0;
        talk.sounds(mouth, 24_000);
        let did = talk.hears(ears, "uh", (10_000, 12_000), false);
        assert!(did.contains(&AgentOutput::Cut), "{did:?}");
        talk.heard(heard);
        assert_eq!(asks_anybody(&talk.hears(ears, "", (10_000, 17_600), true)), asks, "{heard} bytes");
    }
}

#[test]
fn what_the_agent_was_about_to_say_by_itself_is_said_although_words_are_taken_back() {
    let persona = Persona { greeting: "Good evening.".to_owned(), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mouth = ask_of(&talk.input(AgentInput::Timeout), MOUTH).0;
    (0..20).for_each(|_| drop(talk.chunk()));
    let did = talk.hears(ears, "uh", (4_000, 8_000), false);
    assert!(did.contains(&AgentOutput::Cancel { request: mouth }), "{did:?}");
    talk.hears(ears, "", (4_000, 9_000), true);
    assert_eq!(talk.agent.poll_timeout(), Some(Time::ZERO), "it begins anew");
    let (mouth, ask) = ask_of(&talk.input(AgentInput::Timeout), MOUTH);
    assert_eq!(spoken(&ask), "Good evening.");
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    let did = talk.input(AgentInput::Say { position: Some(3_200), text: "We close soon.", interrupt: false });
    let mouth = ask_of(&did, MOUTH).0;
    let did = talk.hears(ears, "uh", (20_000, 24_000), false);
    assert!(did.contains(&AgentOutput::Cancel { request: mouth }), "{did:?}");
    let did = talk.hears(ears, "", (20_000, 30_000), true);
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "We close soon.");
    assert!(said_words(&did).is_empty(), "{did:?}");
}

/// A user whose recogniser takes back what cut the greeting off, while something that the agent was told to say sounds, with their ears and the
/// voice's request of that.
fn said_before_the_greeting(turn_taking: TurnTaking) -> (Talk, RequestId, RequestId) {
    let persona = Persona { greeting: "Good evening.".to_owned(), turn_taking, ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    ask_of(&talk.input(AgentInput::Timeout), MOUTH);
    (0..20).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "uh", (4_000, 8_000), false);
    let mouth = ask_of(&talk.input(say()), MOUTH).0;
    talk.sounds(mouth, 2_400);
    assert_eq!(talk.words, "We close soon.");
    let did = talk.hears(ears, "", (4_000, 9_000), true);
    assert!(!asks_anybody(&did), "{did:?}");
    (talk, ears, mouth)
}

fn say() -> AgentInput<'static> {
    AgentInput::Say { position: Some(3_200), text: "We close soon.", interrupt: false }
}

#[test]
fn a_greeting_that_begins_anew_waits_until_what_is_said_meanwhile_was_heard() {
    let (mut talk, _, mouth) = said_before_the_greeting(TurnTaking::default());
    for is_whole in [false, true] {
        if is_whole {
            talk.finishes(mouth);
        }
        assert_eq!(talk.agent.poll_timeout(), None, "no time ends that: {is_whole}");
        let did = talk.input(AgentInput::Timeout);
        assert!(!asks_anybody(&did), "it would begin before that is heard: {did:?}");
    }
    talk.heard(usize::MAX);
    assert_eq!(talk.agent.poll_timeout(), Some(Time::ZERO));
    assert_eq!(spoken(&ask_of(&talk.input(AgentInput::Timeout), MOUTH).1), "Good evening.");
}

#[test]
fn a_greeting_that_waits_is_said_although_words_are_taken_back_once_more() {
    let (mut talk, ears, _) = said_before_the_greeting(TurnTaking::default());
    let did = talk.hears(ears, "uh", (12_000, 14_000), false);
    assert!(did.contains(&AgentOutput::Cut), "{did:?}");
    talk.heard(3);
    talk.hears(ears, "", (12_000, 16_000), true);
    assert_eq!(spoken(&ask_of(&talk.input(AgentInput::Timeout), MOUTH).1), "Good evening.");
}

#[test]
fn who_says_something_over_what_may_not_be_interrupted_is_answered_and_not_greeted_any_more() {
    let turn_taking = TurnTaking { uninterruptible: Duration::from_secs(60), ..TurnTaking::default() };
    let (mut talk, ears, mouth) = said_before_the_greeting(turn_taking);
    talk.hears(ears, "What is my balance?", (10_000, 14_000), true);
    let did = talk.over(ears);
    assert!(!did.contains(&AgentOutput::Cut) && !asks_anybody(&did), "{did:?}");
    talk.finishes(mouth);
    let did = talk.heard(usize::MAX);
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Ten pounds.");
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    assert!(!asks_anybody(&talk.input(AgentInput::Timeout)));
}

#[test]
fn all_that_words_have_cut_off_one_after_another_is_said_when_they_are_taken_back() {
    let persona = Persona { greeting: "Good evening.".to_owned(), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    ask_of(&talk.input(AgentInput::Timeout), MOUTH);
    (0..20).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "uh", (4_000, 8_000), false);
    let mouth = ask_of(&talk.input(say()), MOUTH).0;
    let did = talk.hears(ears, "uh uh", (4_000, 9_000), false);
    assert!(did.contains(&AgentOutput::Cancel { request: mouth }), "{did:?}");
    let (mouth, ask) = ask_of(&talk.hears(ears, "", (4_000, 10_000), true), MOUTH);
    assert_eq!(spoken(&ask), "We close soon.");
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    assert_eq!(spoken(&ask_of(&talk.input(AgentInput::Timeout), MOUTH).1), "Good evening.");
}

#[test]
fn what_is_said_again_makes_no_room_for_more_to_be_said() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    ask_of(&talk.input(say()), MOUTH);
    talk.hears(ears, "uh", (4_000, 8_000), false);
    let full = AgentOutput::Trouble(ErrorCode::MessagesFull);
    for place in 0..=TO_SAY_MAX {
        assert!(!talk.input(say()).contains(&full), "one is said and the others wait: {place}");
    }
    talk.hears(ears, "uh uh", (4_000, 9_000), false);
    ask_of(&talk.hears(ears, "", (4_000, 10_000), true), MOUTH);
    assert_eq!(talk.agent.room_to_say(), Some(0));
    assert!(talk.input(say()).contains(&full), "more waits than may wait");
}

#[test]
fn a_greeting_that_is_to_begin_anew_does_not_once_the_user_has_said_something() {
    let persona = Persona { greeting: "Good evening.".to_owned(), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    ask_of(&talk.input(AgentInput::Timeout), MOUTH);
    (0..20).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "uh", (4_000, 8_000), false);
    talk.hears(ears, "", (4_000, 9_000), true);
    // All of this may come before the time that has come is handled.
    talk.hears(ears, "What is my balance?", (10_000, 14_000), true);
    assert_eq!(questions(&talk.over(ears)), ["What is my balance?"]);
    let did = talk.input(AgentInput::Timeout);
    assert!(!asks_anybody(&did), "a second answer beside the one that is being found: {did:?}");
}

#[test]
fn who_answers_before_words_are_taken_back_is_asked_about_once() {
    let (mut talk, ears, _) = typed_a_question();
    talk.hears(ears, "uh", (4_000, 8_000), false);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Hello?" });
    assert_eq!(questions(&did), ["What is my balance?", "Hello?"]);
    assert!(!asks_anybody(&talk.hears(ears, "", (4_000, 16_000), true)));
    assert!(!asks_anybody(&talk.hears(ears, "", (16_000, 17_600), true)));
}

#[test]
fn an_answer_after_a_tool_is_asked_for_again_when_words_are_taken_back() {
    for comes in ["before", "while", "after"] {
        let mut talk = Talk::of(talker().with_tools(toolbox(), &[]));
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mind = talk.asked(ears, "A table?");
        let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
        talk.event(mind, &Event::ToolCall(call));
        talk.finishes(mind);
        (0..10).for_each(|_| drop(talk.chunk()));
        let (start, end) = (talk.position - 4_800, talk.position);
        let result = AgentInput::ToolResult { call_id: "c0", from: Runs::Page, output: "4", is_error: false };
        let mut did = Vec::new();
        if comes == "before" {
            did.extend(talk.input(result));
            let mind = ask_of(&did, MIND).0;
            assert!(
                talk.hears(ears, "uh", (start, end), false).contains(&AgentOutput::Cancel { request: mind })
            );
            did = talk.hears(ears, "", (start, end), true);
        } else {
            talk.hears(ears, "uh", (start, end), false);
            if comes == "while" {
                did.extend(talk.input(result));
            }
            let back = talk.hears(ears, "", (start, end), true);
            if comes == "after" {
                assert!(!asks_anybody(&back), "the answer waits for the tool: {back:?}");
                did.extend(talk.input(result));
            } else {
                assert!(!asks_anybody(&did), "the user seems to speak: {did:?}");
                did = back;
            }
        }
        let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
        let told: Vec<_> = chat.messages.iter().map(told).collect();
        assert_eq!(told, [("user", "A table?"), ("assistant", ""), ("tool", "4")], "{comes}");
    }
}

#[test]
fn who_mutes_right_behind_words_that_stay_has_said_all_of_them() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..9).for_each(|_| drop(talk.chunk()));
    // There is nothing behind them of which anything is still to be said.
    talk.hears(ears, "Good bye", (2_000, 16_000), true);
    let did = talk.input(AgentInput::Pause);
    assert!(!did.iter().any(|did| matches!(did, AgentOutput::Feed { feed: Feed::Flush, .. })), "{did:?}");
    assert_eq!(said_words(&did), [("Good bye", 2_000, 16_000)]);
    assert_eq!(questions(&did), ["Good bye"]);
}
