//! Answers that are there while the user speaks.

use std::time::Duration;

use super::talk::{
    EARS, MIND, MOUTH, Talk, ask_of, asks_a_model, asks_anybody, hears_utterances, said_words, voice,
};
use super::*;
use crate::provider::Heard;

/// A user whose utterances are recognised one at a time.
struct Scene {
    talk: Talk,
}

impl Scene {
    /// They have said this, and the model was asked.
    fn asked(text: &str) -> (Scene, RequestId) {
        let mut scene = Scene { talk: Talk::of(hears_utterances()) };
        scene.is_quiet(20);
        scene.speaks(10);
        let ears = ask_of(&scene.is_quiet(10), EARS).0;
        let mind = ask_of(&scene.understood(ears, text), MIND).0;
        (scene, mind)
    }

    /// 100 ms each; what is due happens.
    fn hears(&mut self, samples: &[i16]) -> Vec<AgentOutput> {
        let mut did = Vec::new();
        for chunk in samples.chunks(1_600) {
            self.talk.now = self.talk.now + Duration::from_millis(100);
            if self.talk.agent.poll_timeout().is_some_and(|due| due <= self.talk.now) {
                did.extend(self.talk.input(AgentInput::Timeout));
            }
            did.extend(self.talk.hear(chunk));
        }
        did
    }

    fn speaks(&mut self, chunks: u32) -> Vec<AgentOutput> {
        self.hears(&voice(chunks * 1_600))
    }

    fn is_quiet(&mut self, chunks: usize) -> Vec<AgentOutput> {
        self.hears(&vec![0; chunks * 1_600])
    }

    fn understood(&mut self, ears: RequestId, text: &str) -> Vec<AgentOutput> {
        let (text, end) = (text.to_owned(), 8_000);
        let heard = Heard { text, start: 0, end, words_end: None, is_final: true };
        [self.talk.event(ears, &Event::Heard(heard)), self.talk.finishes(ears)].concat()
    }

    /// The answer is there.
    fn is_answered(&mut self, mind: RequestId) -> (RequestId, Vec<AgentOutput>) {
        let did = [self.talk.thinks(mind, "For how many? "), self.talk.finishes(mind)].concat();
        let mouth = ask_of(&did, MOUTH).0;
        let did = [self.talk.sounds(mouth, 24_000), self.talk.finishes(mouth)].concat();
        (mouth, did)
    }
}

fn begins(did: &[AgentOutput]) -> bool {
    let begins = did.iter().any(|did| matches!(did, AgentOutput::Words { .. }));
    assert_eq!(begins, did.iter().any(|did| matches!(did, AgentOutput::Sound(_))), "{did:?}");
    begins
}

#[test]
fn an_answer_does_not_begin_while_the_user_is_heard_and_what_they_say_belongs_to_the_turn() {
    let (mut scene, mind) = Scene::asked("A table");
    scene.speaks(5);
    let (_, did) = scene.is_answered(mind);
    assert!(!begins(&did), "{did:?}");
    let did = scene.is_quiet(10);
    assert!(!begins(&did), "nobody knows yet what that was: {did:?}");
    let ears = ask_of(&did, EARS).0;
    let did = scene.understood(ears, "for two");
    assert!(!begins(&did) && did.contains(&AgentOutput::TurnGoesOn), "{did:?}");
    assert_eq!(said_words(&did).iter().map(|said| said.0).collect::<Vec<_>>(), ["A table for two"]);
    let (mind, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
    assert_eq!(chat.messages, [Message::User("A table for two".to_owned())]);
    assert!(begins(&scene.is_answered(mind).1), "nobody speaks");
}

#[test]
fn an_answer_begins_as_soon_as_it_is_known_that_what_was_heard_has_no_words() {
    let (mut scene, mind) = Scene::asked("A table");
    scene.speaks(5);
    let (_, did) = scene.is_answered(mind);
    assert!(!begins(&did), "{did:?}");
    let ears = ask_of(&scene.is_quiet(10), EARS).0;
    let did = scene.understood(ears, "");
    assert!(begins(&did) && !asks_anybody(&did), "{did:?}");
    assert_eq!(scene.talk.words.trim(), "For how many?");
    assert_eq!(scene.talk.sound, 24_000, "all of it");
}

#[test]
fn what_has_no_end_keeps_no_answer_from_beginning_for_longer_than_ten_seconds() {
    let (mut scene, mind) = Scene::asked("A table");
    scene.speaks(5);
    let (_, did) = scene.is_answered(mind);
    assert!(!begins(&did) && !begins(&scene.speaks(80)), "{did:?}");
    assert!(begins(&scene.speaks(20)));
    // What is known by then keeps the next one from nothing, until it pauses.
    scene.talk.heard(usize::MAX);
    let position = Some(scene.talk.position);
    let say = AgentInput::Say { position, text: "We close soon.", interrupt: false };
    let mouth = ask_of(&scene.talk.input(say), MOUTH).0;
    assert!(begins(&scene.talk.sounds(mouth, 2_400)));
}

#[test]
fn an_answer_that_sounds_already_is_not_kept_waiting() {
    let (mut scene, mind) = Scene::asked("A table");
    let did = [scene.talk.thinks(mind, "For how many? Or "), scene.talk.thinks(mind, "not.")].concat();
    let mouth = ask_of(&did, MOUTH).0;
    assert!(begins(&scene.talk.sounds(mouth, 24_000)));
    let did = scene.speaks(5);
    assert!(did.contains(&AgentOutput::Hold(true)), "it is held: {did:?}");
    assert!(did.iter().all(|did| !matches!(did, AgentOutput::Cut)), "and not cut: {did:?}");
    let did = scene.talk.sounds(mouth, 2_400);
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Sound(_))), "the call holds it: {did:?}");
}

#[test]
fn an_answer_that_is_held_goes_on_when_its_call_is_to_end_and_the_last_words_follow() {
    let (mut scene, mind) = Scene::asked("A table");
    let did = [scene.talk.thinks(mind, "For how many? "), scene.talk.finishes(mind)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    let did = [scene.talk.sounds(mouth, 24_000), scene.talk.finishes(mouth)].concat();
    assert!(begins(&did));
    assert!(scene.speaks(5).contains(&AgentOutput::Hold(true)));
    scene.talk.agent.persona.limit_goodbye = "Goodbye.".to_owned();
    let did = scene.talk.input(AgentInput::Farewell);
    assert!(did.contains(&AgentOutput::Hold(false)), "{did:?}");
    // A voice that goes on holds nothing more, and what it held was no mistake.
    let did = [scene.speaks(20), scene.is_quiet(100)].concat();
    let held = |did: &&AgentOutput| matches!(did, AgentOutput::Hold(true) | AgentOutput::FalseInterruption);
    assert_eq!(did.iter().find(held), None, "{did:?}");
    let did = scene.talk.heard(usize::MAX);
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Ask { provider: MOUTH, .. })), "{did:?}");
}

#[test]
fn while_an_answer_waits_and_sounds_nobody_asks_whether_the_user_is_still_there() {
    let (mut scene, mind) = Scene::asked("A table");
    let (after, question) = (Duration::from_secs(1), "Are you there?".to_owned());
    scene.talk.agent.quiet = Quiet::new(Patience { after, question, goodbye: String::new() });
    scene.talk.agent.quiet.pause();
    let did = [scene.talk.thinks(mind, "For how many? "), scene.talk.finishes(mind)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    scene.speaks(5);
    scene.talk.sounds(mouth, 24_000);
    let ears = ask_of(&scene.is_quiet(10), EARS).0;
    assert!(begins(&scene.understood(ears, "")));
    let did = scene.is_quiet(400);
    assert!(!asks_anybody(&did), "{did:?}");
}

/// A user who has said something and goes on before it is understood, and then it is.
fn goes_on() -> Scene {
    let mut scene = Scene { talk: Talk::of(hears_utterances()) };
    scene.is_quiet(20);
    scene.speaks(10);
    let ears = ask_of(&scene.is_quiet(10), EARS).0;
    scene.speaks(5);
    let did = scene.understood(ears, "A table");
    assert_eq!(said_words(&did).iter().map(|said| said.0).collect::<Vec<_>>(), ["A table"]);
    assert!(!asks_a_model(&did), "the user goes on: {did:?}");
    scene
}

#[test]
fn no_model_is_asked_about_an_utterance_while_the_next_one_is_heard_and_then_about_both() {
    let mut scene = goes_on();
    let did = scene.is_quiet(10);
    let ears = ask_of(&did, EARS).0;
    assert!(!asks_a_model(&did), "nobody knows yet what that was: {did:?}");
    let did = scene.understood(ears, "for two");
    let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
    assert_eq!(chat.messages, [Message::User("A table for two".to_owned())]);
    // What has no words keeps nothing waiting, once that is known.
    let mut scene = goes_on();
    let ears = ask_of(&scene.is_quiet(10), EARS).0;
    assert!(asks_a_model(&scene.understood(ears, "")));
}

/// Which request is about an utterance, if one is made.
fn utterance(did: &[AgentOutput]) -> Option<RequestId> {
    did.iter().find_map(|did| match did {
        AgentOutput::Ask { request, ask: Ask::Transcribe(_), .. } => Some(*request),
        _ => None,
    })
}

#[test]
fn who_talks_on_behind_the_longest_utterance_is_asked_about_when_they_pause() {
    // The recogniser takes no time at all, or a second: by then it is heard that they go on.
    for takes in [0, 10] {
        let mut scene = Scene { talk: Talk::of(hears_utterances()) };
        scene.is_quiet(20);
        let speech = voice(70 * 16_000);
        let mut chunks = speech.chunks(1_600);
        for text in ["I would", "like a table"] {
            let mut is_asked = false;
            let ears = chunks.by_ref().find_map(|chunk| {
                let did = scene.hears(chunk);
                is_asked |= asks_a_model(&did);
                utterance(&did)
            });
            for chunk in chunks.by_ref().take(takes) {
                is_asked |= asks_a_model(&scene.hears(chunk));
            }
            is_asked |= asks_a_model(&scene.understood(ears.expect("25 s are an utterance"), text));
            assert!(!is_asked, "they talk on behind {text:?}");
        }
        for chunk in chunks.by_ref().take(30) {
            assert!(!asks_a_model(&scene.hears(chunk)));
        }
        let ears = ask_of(&scene.is_quiet(10), EARS).0;
        let did = scene.understood(ears, "for two");
        let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
        assert_eq!(chat.messages, [Message::User("I would like a table for two".to_owned())]);
    }
}

#[test]
fn who_comes_to_an_end_with_the_longest_utterance_is_answered_within_a_second() {
    let mut scene = Scene { talk: Talk::of(hears_utterances()) };
    scene.is_quiet(20);
    let speech = voice(30 * 16_000);
    let ears = speech.chunks(1_600).find_map(|chunk| utterance(&scene.hears(chunk)));
    scene.understood(ears.expect("25 s are an utterance"), "That is all.");
    // What is left behind the utterance may be one of its own, in which nobody says anything.
    let mut did = scene.is_quiet(11);
    if let Some(ears) = utterance(&did) {
        did.extend(scene.understood(ears, ""));
    }
    assert!(asks_a_model(&did), "{did:?}");
}

#[test]
fn what_has_no_end_keeps_no_question_waiting_for_longer_than_ten_seconds() {
    let mut scene = goes_on();
    assert!(!asks_a_model(&scene.speaks(80)));
    assert!(asks_a_model(&scene.speaks(20)));
}

#[test]
fn noise_that_pauses_keeps_no_question_waiting_for_longer_than_ten_seconds_before_it_is_understood() {
    let mut scene = goes_on();
    let bursts = |scene: &mut Scene, many: u32| {
        (0..many).any(|_| asks_a_model(&[scene.speaks(5), scene.is_quiet(8)].concat()))
    };
    assert!(!bursts(&mut scene, 7), "9.1 s");
    assert!(bursts(&mut scene, 1), "10.4 s");
}
