//! When a model is asked: not while the user goes on speaking, since it would be asked anew with the rest.

use std::time::Duration;

use super::talk::{
    EARS, MIND, MOUTH, Talk, ask_of, asks_a_model, asks_anybody, said_words, spoken, talker, talker_of,
};
use super::tools::{AT_EIGHT, toolbox};
use super::*;
use crate::agent::tool::Runs;
use crate::provider::{ToolCall, TurnSign};

fn questions(did: &[AgentOutput]) -> Vec<String> {
    let (_, Ask::Chat(chat)) = ask_of(did, MIND) else { panic!("{did:?}") };
    chat.messages.iter().map(|message| told(message).1.to_owned()).collect()
}

/// A user who has cut off an answer and has taken a turn by that, before the call has said how much of the answer was heard.
fn interrupted() -> (Talk, RequestId) {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "A table");
    (0..10).for_each(|_| drop(talk.chunk()));
    let mouth = ask_of(&talk.thinks(mind, "For how many? And "), MOUTH).0;
    talk.sounds(mouth, 24_000);
    assert!(talk.hears(ears, "For two", (20_000, 24_000), true).contains(&AgentOutput::Cut));
    let did = talk.over(ears);
    assert_eq!((said_words(&did).len(), asks_a_model(&did)), (1, false), "{did:?}");
    (talk, ears)
}

/// Time passes, and what is due happens.
fn passes(talk: &mut Talk, span: Duration) -> Vec<AgentOutput> {
    talk.now = talk.now + span;
    let is_due = talk.agent.poll_timeout().is_some_and(|due| due <= talk.now);
    if is_due { talk.input(AgentInput::Timeout) } else { Vec::new() }
}

#[test]
fn after_an_interruption_a_model_is_asked_once_and_about_all_that_was_said() {
    let (mut talk, ears) = interrupted();
    talk.hears(ears, "and", (25_000, 27_000), false);
    assert!(!asks_a_model(&talk.heard(7)), "the user goes on");
    let mut did = talk.hears(ears, "and a child", (25_000, 30_000), true);
    assert!(!asks_a_model(&did), "words that stay are no end: {did:?}");
    did = talk.over(ears);
    assert_eq!(questions(&did), ["A table", "For how", "For two and a child"]);
}

#[test]
fn who_is_silent_when_the_answer_is_over_is_answered_at_once() {
    let (mut talk, _) = interrupted();
    assert_eq!(questions(&talk.heard(7)), ["A table", "For how", "For two"]);
}

#[test]
fn words_that_are_taken_back_keep_a_question_waiting_until_that_is_known() {
    let (mut talk, ears) = interrupted();
    talk.hears(ears, "uh", (25_000, 27_000), false);
    assert!(!asks_a_model(&talk.heard(7)));
    let did = talk.hears(ears, "", (25_000, 30_000), true);
    assert_eq!(questions(&did), ["A table", "For how", "For two"]);
}

#[test]
fn of_whom_nothing_more_is_heard_is_waited_for_no_longer_than_ten_seconds_and_two_without_words() {
    for (has_words, seconds) in [(true, 10), (false, 2)] {
        let (mut talk, ears) = interrupted();
        talk.now = Time::from_millis(5_000);
        if has_words {
            talk.hears(ears, "and", (25_000, 27_000), false);
        } else {
            talk.event(ears, &Event::Turn(TurnSign::Began { at: 25_000 }));
        }
        assert!(!asks_a_model(&talk.heard(7)));
        assert!(!asks_a_model(&passes(&mut talk, Duration::from_millis(1_000 * seconds - 1))));
        let did = passes(&mut talk, Duration::from_millis(1));
        assert!(questions(&did).iter().any(|text| text.starts_with("For two")), "{did:?}");
        assert_eq!(talk.agent.poll_timeout(), None, "it asks once");
    }
}

#[test]
fn signs_without_words_keep_no_question_waiting_for_longer_than_ten_seconds() {
    let (mut talk, ears) = interrupted();
    let began = Event::Turn(TurnSign::Began { at: 25_000 });
    talk.event(ears, &began);
    assert!(!asks_a_model(&talk.heard(7)));
    for second in 1..10 {
        let did = [passes(&mut talk, Duration::from_secs(1)), talk.event(ears, &began)].concat();
        assert!(!asks_a_model(&did), "after {second} s");
    }
    assert!(asks_a_model(&passes(&mut talk, Duration::from_secs(1))));
}

#[test]
fn words_without_an_end_keep_no_question_waiting_for_longer_than_two_and_a_half_minutes() {
    let (mut talk, ears) = interrupted();
    talk.hears(ears, "and", (25_000, 27_000), false);
    assert!(!asks_a_model(&talk.heard(7)));
    for times in 1..30 {
        let did = [
            passes(&mut talk, Duration::from_secs(5)),
            talk.hears(ears, "and so on", (25_000, 27_000), false),
        ];
        assert!(!asks_a_model(&did.concat()), "after {times} times 5 s");
    }
    assert!(asks_a_model(&passes(&mut talk, Duration::from_secs(5))));
}

#[test]
fn nobody_asks_whether_the_user_is_still_there_while_a_question_waits() {
    let (mut talk, ears) = interrupted();
    let (after, question) = (Duration::from_secs(1), "Are you there?".to_owned());
    talk.agent.quiet = Quiet::new(Patience { after, question, goodbye: String::new() });
    talk.hears(ears, "and", (25_000, 27_000), false);
    talk.heard(7);
    let did = passes(&mut talk, Duration::from_secs(5));
    assert_eq!(did, [], "the user is answered first");
}

#[test]
fn what_is_typed_is_asked_about_at_once_although_somebody_speaks() {
    let (mut talk, ears) = interrupted();
    talk.heard(7);
    talk.hears(ears, "and", (25_000, 27_000), false);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Outside." });
    assert_eq!(questions(&did).last().map(String::as_str), Some("Outside."));
    // Also where the answer before it is not over yet.
    let (mut talk, ears) = interrupted();
    talk.hears(ears, "and", (25_000, 27_000), false);
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Outside." });
    assert!(!asks_a_model(&did), "it is not known what was heard: {did:?}");
    assert_eq!(questions(&talk.heard(7)).last().map(String::as_str), Some("Outside."));
}

#[test]
fn an_answer_that_another_relay_owed_is_asked_for_when_the_user_has_said_all() {
    let turns = [Turn::new(0, protocol::Role::User, "A table.".to_owned(), 0, 0)];
    let mut talk = Talk::of(talker_of(Persona::default(), &turns));
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "For two", (4_000, 12_000), false);
    let did = talk.input(AgentInput::Timeout);
    assert!(!asks_a_model(&did), "{did:?}");
    let did = [talk.hears(ears, "For two.", (4_000, 14_000), true), talk.over(ears)].concat();
    assert_eq!(questions(&did), ["A table.", "For two."]);
}

#[test]
fn what_nobody_heard_of_a_relay_that_was_lost_is_said_again_unless_the_user_is_to_be_answered() {
    use protocol::Role::{Agent, User};
    let said = |role, text: &str| Turn::new(0, role, text.to_owned(), 0, 0);
    let goes_on = |turns: &[Turn], unheard: &str| {
        let greeting = "Good evening, {name}.".to_owned();
        let patience = Patience { question: "Still there?".to_owned(), ..Patience::default() };
        let persona = Persona { greeting, patience, ..Persona::default() };
        Talk::of(talker_of(persona, turns).with_unheard(&[unheard.to_owned()]))
    };
    // A greeting, with the values that it had.
    let mut talk = goes_on(&[said(Agent, "")], "Good evening, Ada.");
    let (mouth, ask) = ask_of(&talk.input(AgentInput::Timeout), MOUTH);
    assert_eq!(spoken(&ask), "Good evening, Ada.");
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    let did = [talk.heard(usize::MAX), talk.input(AgentInput::Timeout)].concat();
    assert!(!asks_anybody(&did), "once: {did:?}");

    let told = [said(User, "Hello"), said(Agent, "Hi."), said(Agent, "")];
    let did = goes_on(&told, "We close soon.").input(AgentInput::Timeout);
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "We close soon.", "it was told to say that");
    let did = goes_on(&told, "Still there?").input(AgentInput::Timeout);
    assert!(!asks_anybody(&did), "a silence begins anew: {did:?}");
    let did = goes_on(&told[..1], "Hi.").input(AgentInput::Timeout);
    assert_eq!(questions(&did), ["Hello"], "an answer is asked for anew");
}

/// A user who was answered something else while a tool ran, of which nothing has come yet, and their ears.
fn answered_meanwhile() -> (Talk, RequestId) {
    let mut talk = Talk::of(talker().with_tools(toolbox(), &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "A table?");
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
    talk.event(mind, &Event::ToolCall(call));
    talk.finishes(mind);
    let (start, end) = (talk.position - 4_800, talk.position);
    let did = [talk.hears(ears, "Are you open?", (start, end), true), talk.over(ears)].concat();
    let mind = ask_of(&did, MIND).0;
    talk.thinks(mind, "Yes.");
    let mouth = ask_of(&talk.finishes(mind), MOUTH).0;
    talk.sounds(mouth, 2_400);
    talk.finishes(mouth);
    talk.heard(usize::MAX);
    // Words of a user whom nobody sees speak may be an echo before that.
    (0..15).for_each(|_| drop(talk.chunk()));
    (talk, ears)
}

const RESULT: AgentInput<'_> =
    AgentInput::ToolResult { call_id: "c0", from: Runs::Page, output: "4", is_error: false };

#[test]
fn what_has_come_of_a_tool_that_nobody_waits_for_is_told_when_it_is_quiet() {
    let (mut talk, ears) = answered_meanwhile();
    talk.event(ears, &Event::Turn(TurnSign::Began { at: talk.position - 1_600 }));
    assert!(!asks_a_model(&talk.input(RESULT)), "somebody may be speaking");
    // They were not.
    assert!(asks_a_model(&passes(&mut talk, Duration::from_secs(2))));
}

#[test]
fn what_has_come_of_a_tool_is_told_although_a_turn_that_has_begun_does_not_end() {
    let (mut talk, ears) = answered_meanwhile();
    let (start, end) = (talk.position - 4_800, talk.position);
    talk.hears(ears, "And", (start, end), false);
    assert!(!asks_a_model(&talk.input(RESULT)), "somebody speaks");
    assert!(!asks_a_model(&passes(&mut talk, Duration::from_millis(9_999))));
    assert!(asks_a_model(&passes(&mut talk, Duration::from_millis(1))), "nothing more has come of that");
}
