//! What becomes of a turn that has no end.

use std::time::Duration;

use super::talk::{EARS, MIND, MOUTH, OTHER_EARS, Talk, ask_of, asks_anybody, said_words, talker_of, voice};
use super::tools::{AT_EIGHT, toolbox};
use super::*;
use crate::agent::tool::Runs;
use crate::provider::{Feed, ToolCall};

fn flushes(did: &[AgentOutput]) -> usize {
    did.iter().filter(|did| matches!(did, AgentOutput::Feed { feed: Feed::Flush, .. })).count()
}

#[test]
fn who_talks_on_and_on_is_answered_all_the_same_and_does_not_interrupt_that() {
    let persona = Persona { longest_turn: Duration::from_secs(10), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mut flushed = Vec::new();
    for chunk in 1..=120 {
        if chunk % 20 == 0 {
            let end = talk.position - 1_600;
            let did = talk.hears(ears, "and so on", (end - 20_000, end), chunk == 40);
            assert!(said_words(&did).is_empty(), "words that stay do not end a turn: {did:?}");
        }
        if flushes(&talk.chunk()) > 0 {
            flushed.push(talk.position);
        }
    }
    // Its first words begin after three quarters of a second.
    assert_eq!(flushed.len(), 1, "the recogniser is asked once for what it has: {flushed:?}");
    assert!((160_000 + 10_400..160_000 + 13_600).contains(&flushed[0]), "{flushed:?}");
    let did = talk.hears(ears, "and so on and on", (80_000, 190_000), true);
    assert_eq!(said_words(&did).len(), 1, "{did:?}");
    let mind = ask_of(&did, MIND).0;
    assert!(!asks_anybody(&talk.over(ears)));
    // Whoever talks on does not interrupt the answer that is owed to them, neither before it sounds nor afterwards.
    (0..10).for_each(|_| drop(talk.chunk()));
    let did = talk.hears(ears, "furthermore", (192_000, 200_000), true);
    assert!(matches!(&did[..], [AgentOutput::Partial { text, .. }] if text == "furthermore"), "{did:?}");
    let mouth = ask_of(&talk.thinks(mind, "Let me say something. And "), MOUTH).0;
    talk.sounds(mouth, 24_000);
    let mut did = talk.hear(&voice(16_000));
    did.extend(talk.hears(ears, "furthermore and", (192_000, 204_000), true));
    did.extend(talk.over(ears));
    assert_eq!(said_words(&did).len(), 1, "a turn of its own: {did:?}");
    let is_cut = |did: &AgentOutput| {
        matches!(did, AgentOutput::Cut | AgentOutput::Hold(_) | AgentOutput::Cancel { .. })
    };
    assert!(!did.iter().any(is_cut), "{did:?}");
    // It is answered afterwards, as any other.
    talk.finishes(mouth);
    talk.finishes(mind);
    let more = RequestId(mouth.0 + 1);
    talk.sounds(more, 2_400);
    talk.finishes(more);
    let mind = ask_of(&talk.heard(usize::MAX), MIND).0;
    let mouth = ask_of(&talk.thinks(mind, "Well then. And "), MOUTH).0;
    talk.sounds(mouth, 24_000);
    let did = talk.hears(ears, "no", (210_000, 214_000), false);
    assert!(did.contains(&AgentOutput::Cut), "{did:?}");
}

#[test]
fn an_answer_that_is_owed_is_given_up_for_nothing_that_is_said_before_it_sounds() {
    let (mut talk, ears) = too_long();
    let did = talk.hears(ears, "and so on and on", (4_000, 60_000), true);
    let mind = ask_of(&did, MIND).0;
    talk.over(ears);
    (0..20).for_each(|_| drop(talk.chunk()));
    let is_cut = |did: &AgentOutput| matches!(did, AgentOutput::Cut | AgentOutput::Cancel { .. });
    for (text, (start, end), whole) in
        [("furthermore", (90_000, 100_000), "furthermore"), ("and", (102_000, 106_000), "furthermore and")]
    {
        let did = [talk.hears(ears, text, (start, end), true), talk.over(ears)].concat();
        assert_eq!(said_words(&did), [(whole, 90_000, end)]);
        assert!(!asks_anybody(&did) && !did.iter().any(is_cut), "{did:?}");
    }
    let did = [talk.thinks(mind, "One two three four five six. "), talk.finishes(mind)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 24_000);
    // Nor is it owed any less when somebody says that they listen.
    (0..10).for_each(|_| drop(talk.chunk()));
    let (start, end) = (talk.position - 8_000, talk.position - 1_600);
    let did = [talk.hears(ears, "yes", (start, end), true), talk.over(ears)].concat();
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Remarked { .. })), "{did:?}");
    (0..10).for_each(|_| drop(talk.chunk()));
    let (start, end) = (talk.position - 8_000, talk.position - 1_600);
    let did = [talk.hears(ears, "wait I meant on Friday", (start, end), true), talk.over(ears)].concat();
    assert!(said_words(&did).len() == 1 && !did.iter().any(is_cut), "{did:?}");
    talk.finishes(mouth);
    let (_, Ask::Chat(chat)) = ask_of(&talk.heard(usize::MAX), MIND) else { panic!("it asks a model") };
    for said in ["furthermore and", "wait I meant on Friday"] {
        assert!(chat.messages.contains(&Message::User(said.to_owned())), "{:?}", chat.messages);
    }
}

#[test]
fn what_a_recogniser_finds_once_more_is_no_part_of_two_turns() {
    let persona = Persona { longest_turn: Duration::from_secs(3), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "and so on", (4_000, 16_000), false);
    let flushed = (0..40).map(|_| flushes(&talk.chunk())).sum::<usize>();
    assert_eq!(flushed, 1);
    let did = talk.hears(ears, "and so on and on", (4_000, 60_000), true);
    assert_eq!(said_words(&did), [("and so on and on", 4_000, 60_000)]);
    let did = talk.hears(ears, "and on", (52_000, 58_000), true);
    assert!(matches!(did[..], [AgentOutput::Partial { start: 60_000, end: 60_000, .. }]), "{did:?}");
}

#[test]
fn what_is_said_while_an_owed_answer_waits_for_a_tool_is_answered_with_it_once_it_is_whole() {
    let persona = Persona { longest_turn: Duration::from_secs(3), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]).with_tools(toolbox(), &[]));
    let ears = goes_on_too_long(&mut talk);
    let mind = ask_of(&talk.hears(ears, "and so on and on", (4_000, 60_000), true), MIND).0;
    talk.over(ears);
    (0..20).for_each(|_| drop(talk.chunk()));
    let call = ToolCall { id: "m".into(), name: "tables".into(), arguments: AT_EIGHT.into() };
    let mut did = talk.thinks(mind, "Let me look. ");
    did.extend(talk.event(mind, &Event::ToolCall(call)));
    did.extend(talk.finishes(mind));
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 24_000);
    let mut did = talk.finishes(mouth);
    // They talk on, and the tool answers between two of their words.
    did.extend(talk.hears(ears, "furthermore", (90_000, 96_000), true));
    did.extend(talk.over(ears));
    did.extend(talk.hears(ears, "and", (98_000, 99_000), false));
    did.extend(talk.input(AgentInput::ToolResult {
        call_id: "c0",
        from: Runs::Page,
        output: "4",
        is_error: false,
    }));
    did.extend(talk.heard(usize::MAX));
    assert!(!asks_anybody(&did) && !did.contains(&AgentOutput::Cut), "{did:?}");
    assert_eq!(talk.words, "Let me look. ", "nobody passes the time any more");
    let did = [talk.hears(ears, "and then", (98_000, 104_000), true), talk.over(ears)].concat();
    let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("it asks a model") };
    let told: Vec<_> = chat.messages.iter().map(told).collect();
    let turns = [("user", "and so on and on"), ("assistant", "Let me look. "), ("tool", "4")];
    assert_eq!(told, [&turns[..], &[("user", "furthermore and then")]].concat());
}

/// A user whose words, which may change, have been coming for longer than a turn may be, with their ears.
fn too_long() -> (Talk, RequestId) {
    let persona = Persona { longest_turn: Duration::from_secs(3), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = goes_on_too_long(&mut talk);
    (talk, ears)
}

/// Such a user, of a call in which a turn may be 3 s long.
fn goes_on_too_long(talk: &mut Talk) -> RequestId {
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..10).for_each(|_| drop(talk.chunk()));
    talk.hears(ears, "and so on", (4_000, 16_000), false);
    let flushed = (0..40).map(|_| flushes(&talk.chunk())).sum::<usize>();
    assert_eq!(flushed, 1);
    ears
}

#[test]
fn a_turn_that_is_too_long_is_over_with_the_first_words_that_stay_whoever_hears_them() {
    let (mut talk, ears) = too_long();
    let other = ask_of(&talk.fails(ears, FailureKind::Connection), OTHER_EARS).0;
    let did = talk.hears(other, "and so on and on", (4_000, 60_000), true);
    assert_eq!(said_words(&did), [("and so on and on", 4_000, 60_000)]);
}

#[test]
fn a_long_turn_whose_words_are_taken_back_ends_no_other_one() {
    let (mut talk, ears) = too_long();
    let did = talk.hears(ears, "", (4_000, 60_000), true);
    assert!(did.contains(&AgentOutput::Final { through: 60_000 }), "{did:?}");
    let did = talk.hears(ears, "I would like", (72_000, 80_000), true);
    assert!(said_words(&did).is_empty(), "they may go on: {did:?}");
}

#[test]
fn without_a_longest_turn_everybody_may_talk_on() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mut flushed = 0;
    for chunk in 0..2_000 {
        if chunk % 100 == 0 {
            let end = talk.position;
            talk.hears(ears, "and so on", (end - 1_600, end), true);
        }
        flushed += flushes(&talk.chunk());
    }
    assert_eq!(flushed, 0);
}
