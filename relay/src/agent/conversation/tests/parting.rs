//! What an agent does when little money is left, and then none.

use super::talk::{MIND, MOUTH, Talk, ask_of, asks_anybody, spoken, talker_of};
use super::*;
use crate::agent::conversation::thinking::BE_BRIEF;

const CHEAP: usize = 7;

fn frugal() -> Conversation {
    let team = Team { models: vec![MIND], near_cap: vec![CHEAP], ..Team::default() };
    let persona = Persona { max_output_tokens: 900, limit_goodbye: "Goodbye.".to_owned(), ..persona() };
    Conversation::new(persona, team, 24_000, 0, &[])
}

fn means(means: Means) -> AgentInput<'static> {
    AgentInput::Means { means, refused: None }
}

/// Of whom an answer was asked, which request that is, how long it may be, and whether it is to be brief.
fn asks(did: &[AgentOutput]) -> Option<(usize, RequestId, u64, bool)> {
    did.iter().find_map(|did| match did {
        AgentOutput::Ask {
            request,
            provider,
            ask: Ask::Chat(chat),
            at_most: AtMost::Tokens { output, .. },
        } => {
            assert_eq!(u64::from(chat.max_output_tokens), *output);
            let last = chat.messages.last();
            Some((*provider, *request, *output, last == Some(&Message::User(BE_BRIEF.to_owned()))))
        }
        _ => None,
    })
}

#[test]
fn with_little_money_it_is_brief_and_with_hardly_any_it_asks_a_cheaper_model() {
    let mut bench = Bench(frugal(), Answers::default());
    assert_eq!(asks(&bench.types("Hello")), Some((MIND, RequestId(0), 900, false)));
    assert_eq!(bench.input(means(Means::Little)), []);
    assert_eq!(asks(&bench.types("Well?")), Some((MIND, RequestId(1), 300, true)));
    bench.input(means(Means::Scarce));
    assert_eq!(asks(&bench.types("And?")), Some((CHEAP, RequestId(2), 300, true)));
    // If that one fails, the usual one is asked, as briefly.
    let did = bench.event(2, &Event::Failed(Failure::new(FailureKind::Busy, "busy")));
    assert_eq!(asks(&did), Some((MIND, RequestId(3), 300, true)));
    // With more money it is itself again, and what it was told meanwhile was never said.
    bench.input(means(Means::Ample));
    let did = bench.types("Now?");
    assert_eq!(asks(&did), Some((MIND, RequestId(4), 900, false)));
    assert!(asked(&did).is_some_and(|told| told.iter().all(|(_, text)| *text != BE_BRIEF)));
}

#[test]
fn a_question_that_there_is_too_little_for_is_asked_anew_for_less() {
    let mut bench = Bench(frugal(), Answers::default());
    bench.types("Hello");
    let did = bench.input(AgentInput::Means { means: Means::Little, refused: Some(RequestId(0)) });
    assert_eq!(spent(&did), Some((None, true)), "it was never made");
    assert_eq!(asks(&did), Some((MIND, RequestId(1), 300, true)));
    let did = bench.input(AgentInput::Means { means: Means::Scarce, refused: Some(RequestId(0)) });
    assert_eq!(did, [], "that one is not asked any more");
    assert_eq!(words(&bench.says(1, "Hi.")), "Hi.");
}

#[test]
fn without_money_it_says_goodbye_in_place_of_an_answer_and_then_hangs_up() {
    let mut bench = Bench(frugal(), Answers::default());
    assert_eq!(bench.0.farewell(), Some(vec![]), "what is written costs nothing");
    bench.types("Hello");
    bench.says(0, "Let me ");
    let did = bench.input(AgentInput::Farewell);
    assert!(did.contains(&AgentOutput::Cancel { request: RequestId(0) }), "{did:?}");
    assert_eq!(words(&did), "Goodbye.");
    assert!(did.contains(&AgentOutput::AnswerEnd), "{did:?}");
    assert_eq!(
        bench.input(AgentInput::AnswerOver { answer: 0, heard: 7 }),
        [],
        "its last words are not over"
    );
    let did = bench.types("Wait!");
    assert!(!asks_anybody(&did) && !did.contains(&AgentOutput::Cut), "{did:?}");
    assert_eq!(bench.input(AgentInput::Farewell), [], "once");
    let did = bench.input(AgentInput::AnswerOver { answer: 1, heard: 8 });
    assert_eq!(did, [AgentOutput::HangUp]);
    assert_eq!(writer(&[]).farewell(), None, "who has nothing to say is not asked to");
}

#[test]
fn the_sentence_that_sounds_is_spoken_to_its_end_and_nothing_cuts_the_goodbye() {
    let goodbye = "I have to go now. Goodbye.";
    let persona = Persona { limit_goodbye: goodbye.to_owned(), ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), super::talk::EARS).0;
    let mind = talk.asked(ears, "Tell me.");
    let first = ask_of(&talk.thinks(mind, "One two three. Four five six. Seven "), MOUTH).0;
    talk.sounds(first, 24_000);
    let second = RequestId(first.0 + 1);
    let did = talk.input(AgentInput::Farewell);
    for request in [mind, second] {
        assert!(did.contains(&AgentOutput::Cancel { request }), "{did:?}");
    }
    assert!(!did.contains(&AgentOutput::Cancel { request: first }) && !asks_anybody(&did), "{did:?}");
    assert_eq!(talk.finishes(first).last(), Some(&AgentOutput::AnswerEnd));
    assert_eq!(talk.words, "One two three. ");
    // What the last words use is what was said beforehand.
    let kept = talk.agent.farewell().expect("it has some");
    let did = talk.heard(usize::MAX);
    let mut uses = Vec::new();
    for did in &did {
        if let AgentOutput::Ask { provider, at_most, .. } = did {
            uses.push((*provider, *at_most));
        }
    }
    assert_eq!(uses, kept);
    let (mouth, ask) = ask_of(&did, MOUTH);
    assert_eq!(spoken(&ask), "I have to go now.");
    talk.sounds(mouth, 24_000);
    let did = talk.hears(ears, "No, wait!", (17_600, 19_000), true);
    assert!(!did.contains(&AgentOutput::Cut), "{did:?}");
    assert!(!asks_anybody(&talk.over(ears)));
    talk.finishes(mouth);
    talk.sounds(RequestId(mouth.0 + 1), 24_000);
    talk.finishes(RequestId(mouth.0 + 1));
    assert_eq!(talk.words, goodbye);
    assert!(talk.heard(usize::MAX).contains(&AgentOutput::HangUp));
}

/// What it says that it does not get to.
fn unsaid(did: &[AgentOutput]) -> Vec<(&str, Option<u32>)> {
    let unsaid = did.iter().filter_map(|did| match did {
        AgentOutput::Unsaid { text, position } => Some((text.as_str(), *position)),
        _ => None,
    });
    unsaid.collect()
}

#[test]
fn what_it_was_told_to_say_and_does_not_get_to_is_not_lost_without_a_word() {
    let say = |position, text| AgentInput::Say { position: Some(position), text, interrupt: false };
    // Two wait for the answer that is being given when the money is used up, and a third comes into the goodbye.
    let mut bench = Bench(frugal(), Answers::default());
    bench.types("Hello");
    bench.says(0, "Let me ");
    bench.input(say(1_600, "We close soon."));
    bench.input(say(3_200, "Mind the step."));
    let did = bench.input(AgentInput::Farewell);
    assert_eq!(unsaid(&did), [("We close soon.", Some(1_600)), ("Mind the step.", Some(3_200))]);
    assert_eq!(words(&did), "Goodbye.");
    let did = bench.input(say(4_800, "Too late."));
    assert_eq!(unsaid(&did), [("Too late.", Some(4_800))]);
    assert_eq!(unsaid(&bench.input(AgentInput::Leave)), []);
    // One that is stopped says the same of what waits, once; its own last words are not of that sort.
    let mut talk =
        Talk::of(talker_of(Persona { limit_goodbye: "Goodbye.".to_owned(), ..Persona::default() }, &[]));
    let ears = ask_of(&talk.chunk(), super::talk::EARS).0;
    talk.asked(ears, "Tell me.");
    talk.input(say(1_600, "We close soon."));
    assert_eq!(unsaid(&talk.input(AgentInput::Leave)), [("We close soon.", Some(1_600))]);
    assert_eq!(unsaid(&talk.input(AgentInput::Leave)), []);
    let mut talk =
        Talk::of(talker_of(Persona { limit_goodbye: "Goodbye.".to_owned(), ..Persona::default() }, &[]));
    let ears = ask_of(&talk.chunk(), super::talk::EARS).0;
    let mind = talk.asked(ears, "Tell me.");
    let mouth = ask_of(&talk.thinks(mind, "One two three. Four "), MOUTH).0;
    talk.sounds(mouth, 24_000);
    assert_eq!(unsaid(&talk.input(AgentInput::Farewell)), []);
    assert_eq!(unsaid(&talk.input(AgentInput::Leave)), [], "its goodbye waited for the end of the sentence");
}

#[test]
fn there_is_room_for_so_much_that_it_is_to_say_and_what_nobody_sends_again_is_left_unsaid_as_such() {
    let mut bench = Bench::new();
    assert_eq!(bench.0.room_to_say(), Some(TO_SAY_MAX));
    bench.types("Hello");
    for left in (0..TO_SAY_MAX).rev() {
        bench.input(AgentInput::Say { position: None, text: "We close soon.", interrupt: false });
        assert_eq!(bench.0.room_to_say(), Some(left));
    }
    let did = bench.input(AgentInput::Leave);
    assert_eq!(unsaid(&did), [("We close soon.", None); TO_SAY_MAX]);
    // One that is said takes nothing of the user's along that is not understood.
    let mut bench = Bench::new();
    let did = bench.input(AgentInput::Say { position: None, text: "We close soon.", interrupt: false });
    assert_eq!((words(&did).as_str(), finals(&did)), ("We close soon.", vec![0]));
}
