//! Turns of the user from where they begin: when the call is told of them, and that they came to nothing.

use super::talk::{
    EARS, MIND, MOUTH, OTHER_EARS, Talk, ask_of, hears_utterances, said_words, talker_of, voice,
};
use super::*;
use crate::provider::TurnSign;
use crate::records::store::TurnRow;

/// What the call is told of the places of turns, in order.
fn places(did: &[AgentOutput]) -> Vec<(&'static str, u32)> {
    did.iter()
        .filter_map(|did| match did {
            AgentOutput::TurnBegan { at } => Some(("began", *at)),
            AgentOutput::TurnDropped { at } => Some(("dropped", *at)),
            AgentOutput::Partial { start, .. } => Some(("words", *start)),
            AgentOutput::Said { start, .. } => Some(("said", *start)),
            AgentOutput::Remarked { start, .. } => Some(("remarked", *start)),
            AgentOutput::Typed { position, .. } => Some(("typed", *position)),
            _ => None,
        })
        .collect()
}

/// A second of a user whom a recogniser hears as a stream.
fn streamed() -> (Talk, RequestId) {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    (0..19).for_each(|_| drop(talk.chunk()));
    (talk, ears)
}

fn begins(talk: &mut Talk, ears: RequestId, at: u32) -> Vec<AgentOutput> {
    talk.event(ears, &Event::Turn(TurnSign::Began { at }))
}

#[test]
fn a_turn_begins_with_the_sign_of_a_recogniser_long_before_its_words() {
    let (mut talk, ears) = streamed();
    assert_eq!(places(&begins(&mut talk, ears, 4_000)), [("began", 4_000)]);
    // What is typed meanwhile stands behind it.
    let position = talk.position;
    assert_eq!(places(&talk.input(AgentInput::Typed { position, text: "Hm" })), [("typed", position)]);
    let mut did = talk.hears(ears, "a table", (4_200, 12_000), false);
    did.extend(begins(&mut talk, ears, 14_000));
    did.extend(talk.hears(ears, "a table, please", (4_200, 20_000), true));
    did.extend(talk.over(ears));
    assert_eq!(places(&did), [("words", 4_200), ("words", 4_200), ("said", 4_200)], "it begins once");
    assert_eq!(places(&begins(&mut talk, ears, 24_000)), [("began", 24_000)], "and the next one after it");
}

#[test]
fn a_turn_of_which_no_words_come_is_dropped_when_that_is_known_and_not_before() {
    let (mut talk, ears) = streamed();
    begins(&mut talk, ears, 12_000);
    assert_eq!(places(&talk.hears(ears, "", (0, 12_000), true)), [], "it may still come");
    assert_eq!(places(&talk.hears(ears, "", (12_000, 24_000), true)), [("dropped", 12_000)]);
    // Somebody who coughs twice has begun with the second cough, if with any.
    begins(&mut talk, ears, 25_000);
    let did = begins(&mut talk, ears, 28_000);
    assert_eq!(places(&did), [("dropped", 25_000), ("began", 28_000)]);
    assert_eq!(places(&talk.hears(ears, "yes", (28_000, 30_000), true)), [("words", 28_000)]);
}

#[test]
fn words_that_are_taken_back_take_their_turn_along_whether_or_not_there_was_a_sign_of_it() {
    for sign in [None, Some(3_900)] {
        let (mut talk, ears) = streamed();
        if let Some(at) = sign {
            begins(&mut talk, ears, at);
        }
        talk.hears(ears, "uh", (4_000, 8_000), false);
        let did = talk.hears(ears, "", (4_000, 9_000), true);
        assert_eq!(places(&did), [("dropped", sign.unwrap_or(4_000))]);
        let did = [talk.hears(ears, "hello", (16_000, 20_000), true), talk.over(ears)].concat();
        assert_eq!(places(&did), [("words", 16_000), ("said", 16_000)], "another turn");
    }
}

#[test]
fn a_turn_whose_recogniser_breaks_is_still_the_same_and_ends_with_the_last_of_them() {
    let (mut talk, ears) = streamed();
    begins(&mut talk, ears, 4_000);
    talk.hears(ears, "uh", (4_000, 8_000), false);
    let did = talk.fails(ears, FailureKind::Connection);
    assert_eq!(places(&did), [], "the next one may hear it");
    let other = ask_of(&did, OTHER_EARS).0;
    let did = talk.fails(other, FailureKind::Connection);
    assert_eq!(places(&did), [], "and the first one, if it is well again");
    let again = ask_of(&talk.asks_ears_again(), EARS).0;
    assert_eq!(places(&talk.all_ears_fail(again, FailureKind::Connection).1), [("dropped", 4_000)]);
}

#[test]
fn a_turn_that_nobody_understands_before_the_call_is_left_is_dropped() {
    let (mut talk, ears) = streamed();
    talk.hears(ears, "uh", (4_000, 8_000), false);
    talk.fails(ears, FailureKind::Connection);
    assert_eq!(places(&talk.input(AgentInput::Leave)), [("dropped", 4_000)], "its words are told already");
    let (mut talk, ears) = streamed();
    talk.hears(ears, "a table", (4_000, 8_000), false);
    assert_eq!(
        places(&talk.input(AgentInput::Leave)),
        [("said", 4_000)],
        "they may have changed, and are all there is"
    );
}

#[test]
fn what_goes_on_behind_a_text_is_a_turn_that_began_before_the_text() {
    let (mut talk, ears) = streamed();
    talk.asked(ears, "A table");
    (0..10).for_each(|_| drop(talk.chunk()));
    let start = talk.position - 8_000;
    talk.hears(ears, "for", (start, start + 4_000), false);
    let position = talk.position;
    let did = talk.input(AgentInput::Typed { position, text: "Hello?" });
    let kinds: Vec<_> = places(&did).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["said", "began", "typed"], "the turn before is whole: {did:?}");
    assert_eq!(said_words(&did)[0].0, "A table");
    let did = talk.hears(ears, "for two", (start, start + 7_000), true);
    assert_eq!(places(&did), [("words", start), ("said", start)], "it has begun already");
}

/// The user says something for a second, and is silent.
fn utters(talk: &mut Talk) -> Vec<AgentOutput> {
    let scene = [voice(16_000), vec![0; 24_000]].concat();
    scene.chunks(1_600).flat_map(|samples| talk.hear(samples)).collect()
}

fn asked_about(did: &[AgentOutput]) -> Vec<(RequestId, usize)> {
    did.iter()
        .filter_map(|did| match did {
            AgentOutput::Ask { request, ask: Ask::Transcribe(samples), .. } => {
                Some((*request, samples.len()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn an_utterance_is_a_turn_from_its_first_sound_on_and_each_comes_to_words_or_to_nothing() {
    let mut talk = Talk::of(hears_utterances());
    assert!(!finals(&talk.hear(&[0; 24_000])).is_empty(), "nobody has said anything");
    let mut began = Vec::new();
    let mut ears = None;
    for _ in 0..3 {
        let did = utters(&mut talk);
        let places = places(&did);
        let [("began", at)] = places.as_slice() else { panic!("{did:?}") };
        began.push(*at);
        ears = ears.or(asked_about(&did).first().copied());
    }
    // The first of them has no words, the second some, and what comes of the third nobody can say.
    let mut ears = ears.expect("it is asked about").0;
    let mut ends = Vec::new();
    for text in ["", "Hello there."] {
        talk.hears(ears, text, (0, 16_000), true);
        let did = talk.finishes(ears);
        ends.extend(places(&did));
        ears = asked_about(&did).first().expect("the next one").0;
    }
    ends.extend(places(&talk.fails(ears, FailureKind::Key)));
    assert_eq!(ends, [("dropped", began[0]), ("said", began[1]), ("dropped", began[2])]);
}

#[test]
fn an_utterance_that_is_given_up_since_too_many_wait_has_come_to_nothing() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let (mut began, mut dropped) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        for (kind, at) in places(&utters(&mut talk)) {
            if kind == "began" { began.push(at) } else { dropped.push(at) }
        }
    }
    assert_eq!(began.len(), 10);
    assert_eq!(dropped, began[1..3], "the one that is asked about stays");
    let left: Vec<_> = began.iter().filter(|at| !dropped.contains(at)).map(|at| ("dropped", *at)).collect();
    assert_eq!(places(&talk.input(AgentInput::Leave)), left, "each of the others, once");
}

#[test]
fn who_speaks_for_a_minute_without_a_pause_is_asked_about_in_pieces_of_which_nothing_is_missing() {
    let mut talk = Talk::of(hears_utterances());
    talk.hear(&[0; 24_000]);
    let (minute, mut did) = (60 * 16_000, Vec::new());
    for samples in [voice(minute), vec![0; 24_000]].concat().chunks(1_600) {
        let asked = talk.hear(samples);
        // Its recogniser answers at once.
        for (ears, length) in asked_about(&asked) {
            did.extend(talk.hears(ears, &format!("{length} samples"), (0, length as u32), true));
            did.extend(talk.finishes(ears));
        }
        did.extend(asked);
    }
    let began = places(&did).into_iter().filter_map(|(kind, at)| (kind == "began").then_some(at));
    let mut pieces: Vec<(u32, u32)> = Vec::new();
    for (at, (_, length)) in began.zip(asked_about(&did)) {
        pieces.push((at, at + length as u32));
    }
    pieces.sort_unstable();
    assert!(pieces.iter().all(|(start, end)| end - start <= 26 * 16_000), "{pieces:?}");
    assert!(pieces.windows(2).all(|two| two[0].1 == two[1].0), "nothing between them is lost: {pieces:?}");
    let ((first, _), (_, last)) = (pieces[0], pieces[pieces.len() - 1]);
    assert!(last - first >= minute, "{pieces:?}");
    // Each piece is said as it is understood, and its audio can be committed then.
    let said: Vec<u32> = said_words(&did).into_iter().map(|(_, _, end)| end).collect();
    assert_eq!(said, pieces.iter().map(|(_, end)| *end).collect::<Vec<_>>());
    for end in said {
        let is_final = |did: &AgentOutput| matches!(did, AgentOutput::Final { through } if *through == end);
        assert!(did.iter().any(is_final), "what ends at {end}");
    }
}

#[test]
fn what_the_user_is_saying_is_not_final_because_the_agent_says_what_the_page_wants() {
    let (mut talk, ears) = streamed();
    assert_eq!(finals(&talk.hears(ears, "", (0, 9_000), true)), [9_000]);
    talk.hears(ears, "a ta", (12_000, 30_000), false);
    let say = AgentInput::Say { position: Some(talk.position), text: "We close soon.", interrupt: false };
    let did = talk.input(say);
    ask_of(&did, MOUTH);
    assert!(finals(&did).iter().all(|through| *through <= 12_000), "{did:?}");
    let did = [talk.hears(ears, "a table", (12_000, 31_000), true), talk.over(ears)].concat();
    assert_eq!(finals(&did).last(), Some(&31_000), "with the words it is");
}

#[test]
fn what_was_said_after_an_answer_that_it_had_begun_before_is_answered_by_the_relay_that_goes_on() {
    let row = |number, role, text: &str, created_at_ms| TurnRow {
        turn: Turn::new(number, role, text.to_owned(), 0, 0),
        created_at_ms,
    };
    let (user, agent) = (protocol::Role::User, protocol::Role::Agent);
    let greeted = [row(0, user, "A table", 900), row(1, agent, "Good evening.", 100)];
    let mut talk = Talk::of(talker_of(Persona::default(), &TurnRow::as_said(greeted.to_vec())));
    let (_, Ask::Chat(chat)) = ask_of(&talk.input(AgentInput::Timeout), MIND) else { panic!("a chat") };
    assert_eq!(chat.messages.last(), Some(&Message::User("A table".to_owned())));
    // Whoever was answered is not answered again.
    for answered in [
        vec![row(0, user, "A table", 100), row(1, agent, "For how many?", 900)],
        vec![row(0, user, "A table", 100), row(1, agent, "For how many?", 100)],
    ] {
        let agent = talker_of(Persona::default(), &TurnRow::as_said(answered));
        assert_eq!(agent.poll_timeout(), None);
    }
}
