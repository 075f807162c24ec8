//! Who has the floor: what the user does while the agent speaks, and what becomes of the answer.

use std::time::Duration;

use super::talk::{
    EARS, MIND, MOUTH, Talk, ask_of, asks_anybody, hears_utterances, reads_and_speaks, said_words, talker_of,
};
use super::*;
use crate::provider::Heard;

/// How long a chunk is.
const CHUNK: Duration = Duration::from_millis(100);

/// A voice as a mouth makes it, so loud at most.
fn voice(samples: u32, loudest: f64, hertz: f64) -> Vec<i16> {
    let rate = if hertz > 150.0 { 24_000.0 } else { 16_000.0 };
    (0..samples)
        .map(|i| {
            let t = f64::from(i) / rate;
            let tone: f64 = (1..12)
                .map(|h| (t * hertz * std::f64::consts::TAU * f64::from(h)).sin() / f64::from(h))
                .sum();
            (tone / 2.0 * (0.6 + 0.4 * (t * 25.0).sin()) * loudest) as i16
        })
        .collect()
}

/// What becomes of an answer, as words.
fn fate(did: &[AgentOutput]) -> Vec<&'static str> {
    did.iter()
        .filter_map(|did| match did {
            AgentOutput::Hold(true) => Some("held"),
            AgentOutput::Hold(false) => Some("goes on"),
            AgentOutput::Cut => Some("cut"),
            AgentOutput::FalseInterruption => Some("was none"),
            _ => None,
        })
        .collect()
}

/// An agent that is giving an answer, and time that passes.
struct Scene {
    talk: Talk,
    ears: RequestId,
    mouth: RequestId,
}

impl Scene {
    /// It says this, with so much sound that is there already.
    fn speaking(persona: Persona, text: &str, sound: Vec<i16>) -> Scene {
        let mut talk = Talk::of(talker_of(persona, &[]));
        let ears = ask_of(&talk.chunk(), EARS).0;
        // A detector of voice has to know how quiet it is first.
        for _ in 0..20 {
            talk.now = talk.now + CHUNK;
            talk.hear(&[3; 1_600]);
        }
        let mind = talk.asked(ears, "Tell me.");
        let did = [talk.thinks(mind, text), talk.finishes(mind)].concat();
        let mouth = ask_of(&did, MOUTH).0;
        talk.event(mouth, &Event::Sound(crate::provider::Sound { rate: 24_000, samples: sound }));
        Scene { talk, ears, mouth }
    }

    fn new() -> Scene {
        Scene::speaking(Persona::default(), "One two three four five six. ", vec![9; 48_000])
    }

    /// The same, of an agent whose recogniser is asked about one utterance at a time.
    fn with_utterances() -> Scene {
        let mut talk = Talk::of(hears_utterances());
        for _ in 0..20 {
            talk.now = talk.now + CHUNK;
            talk.hear(&[3; 1_600]);
        }
        let did = talk.input(AgentInput::Typed { position: talk.position, text: "Tell me." });
        let mind = ask_of(&did, MIND).0;
        let did = [talk.thinks(mind, "One two three four five six. "), talk.finishes(mind)].concat();
        let mouth = ask_of(&did, MOUTH).0;
        talk.event(mouth, &Event::Sound(crate::provider::Sound { rate: 24_000, samples: vec![9; 48_000] }));
        // There is none that listens all the time.
        Scene { talk, ears: mouth, mouth }
    }

    /// Every recogniser fails.
    fn nobody_hears(&mut self) {
        self.talk.all_ears_fail(self.ears, FailureKind::Key);
    }

    /// The user is heard for as long as these samples last, in chunks; time passes, and what is due happens.
    fn hears(&mut self, samples: &[i16]) -> Vec<AgentOutput> {
        samples.chunks(1_600).flat_map(|chunk| [self.passes(CHUNK), self.talk.hear(chunk)].concat()).collect()
    }

    fn is_quiet(&mut self, chunks: usize) -> Vec<AgentOutput> {
        self.hears(&vec![3; 1_600 * chunks])
    }

    fn speaks(&mut self, millis: u32) -> Vec<AgentOutput> {
        let mut speech = voice(millis * 16, 6_000.0, 120.0);
        speech.resize(speech.len().next_multiple_of(1_600), 3);
        self.hears(&speech)
    }

    fn passes(&mut self, span: Duration) -> Vec<AgentOutput> {
        self.talk.now = self.talk.now + span;
        let due = self.talk.agent.poll_timeout().is_some_and(|due| due <= self.talk.now);
        if due { self.talk.input(AgentInput::Timeout) } else { Vec::new() }
    }

    /// The recogniser has understood this, in the last 300 ms; the turn is over if it `is_over`.
    fn understood(&mut self, text: &str, is_over: bool) -> Vec<AgentOutput> {
        let (start, end) = (self.talk.position - 4_800, self.talk.position - 1_600);
        let mut did = self.talk.hears(self.ears, text, (start, end), is_over);
        if is_over {
            did.extend(self.talk.over(self.ears));
        }
        did
    }
}

#[test]
fn a_cough_holds_the_answer_at_once_and_it_goes_on_when_no_words_follow() {
    let mut scene = Scene::new();
    let did = scene.speaks(200);
    assert_eq!(fate(&did), ["held"], "within the sound itself");
    assert_eq!(fate(&scene.is_quiet(8)), [] as [&str; 0]);
    assert_eq!(fate(&scene.is_quiet(4)), ["goes on", "was none"]);
    assert_eq!(fate(&scene.is_quiet(30)), [] as [&str; 0], "it is decided once");
    assert!(fate(&scene.talk.sounds(scene.mouth, 2_400)).is_empty(), "and the answer goes on");
}

#[test]
fn what_sounds_and_sounds_without_words_is_known_after_a_while_and_holds_nothing_until_it_has_paused() {
    let mut scene = Scene::new();
    assert_eq!(fate(&scene.speaks(9_000)), ["held", "goes on", "was none"], "it is never cut");
    assert_eq!(fate(&scene.is_quiet(10)), [] as [&str; 0]);
    assert_eq!(fate(&scene.speaks(400)), ["held"], "that is somebody else");
}

#[test]
fn who_speaks_louder_than_what_is_known_holds_the_answer_again() {
    let mut scene = Scene::new();
    let music = voice(16 * 9_000, 6_000.0, 120.0);
    assert_eq!(fate(&scene.hears(&music)), ["held", "goes on", "was none"]);
    let over_it = voice(16 * 500, 16_000.0, 120.0);
    assert_eq!(fate(&scene.hears(&over_it)), ["held"]);
}

#[test]
fn where_nobody_hears_an_answer_waits_for_words_of_a_voice_that_goes_on_and_goes_on_where_it_stopped() {
    let mut scene = Scene::new();
    scene.nobody_hears();
    assert_eq!(fate(&scene.speaks(300)), ["held"]);
    assert_eq!(fate(&scene.is_quiet(12)), ["goes on", "was none"], "that was a cough");
    let did = scene.speaks(900);
    assert_eq!(fate(&did), ["held"]);
    assert!(!did.contains(&AgentOutput::Cancel { request: scene.mouth }), "nothing of it is given up");
    assert_eq!(fate(&scene.is_quiet(40)), [] as [&str; 0]);
    assert_eq!(fate(&scene.is_quiet(20)), ["goes on", "was none"]);
    assert_eq!(fate(&scene.is_quiet(60)), [] as [&str; 0], "it is decided once");
    let did = scene.talk.sounds(scene.mouth, 2_400);
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Sound(_))), "it goes on: {did:?}");
}

#[test]
fn where_nobody_hears_music_holds_an_answer_for_ten_seconds_and_no_longer() {
    let mut scene = Scene::new();
    scene.nobody_hears();
    assert_eq!(fate(&scene.speaks(9_000)), ["held"]);
    assert_eq!(fate(&scene.speaks(5_000)), ["goes on", "was none"], "and is known from then on");
}

#[test]
fn an_agent_without_ears_goes_on_where_it_stopped_when_no_words_follow() {
    let mut talk = Talk::of(reads_and_speaks());
    let mind = ask_of(&talk.input(AgentInput::Typed { position: 0, text: "Tell me." }), MIND).0;
    let did = [talk.thinks(mind, "One two three four five six. "), talk.finishes(mind)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    talk.event(mouth, &Event::Sound(crate::provider::Sound { rate: 24_000, samples: vec![9; 48_000] }));
    let mut scene = Scene { talk, ears: mouth, mouth };
    assert_eq!(fate(&scene.talk.input(AgentInput::BargeIn)), ["held"]);
    assert_eq!(fate(&scene.speaks(2_000)), ["goes on", "was none"], "its user's voice is nothing to it");
    let did = scene.talk.sounds(scene.mouth, 2_400);
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Sound(_))), "{did:?}");
}

#[test]
fn words_that_come_once_somebody_hears_again_cut_the_answer_that_waits_for_them() {
    for (text, becomes) in [("Not on Tuesday.", &["cut"][..]), ("Okay.", &["goes on", "was none"])] {
        let mut scene = Scene::new();
        scene.nobody_hears();
        scene.is_quiet(90);
        assert_eq!(fate(&scene.speaks(900)), ["held"]);
        // Ten seconds after the last one had failed a recogniser is asked again.
        scene.ears = ask_of(&scene.is_quiet(10), EARS).0;
        scene.is_quiet(5);
        let did = scene.understood(text, true);
        // Nobody here says that the answer is over, so that the end of the turn cuts it once more.
        let mut fate_of_it = fate(&did);
        fate_of_it.dedup();
        assert_eq!(fate_of_it, becomes, "{text}");
        assert_eq!(said_words(&did).len(), usize::from(becomes == ["cut"]), "{text}");
        assert_eq!(fate(&scene.is_quiet(80)), [] as [&str; 0]);
    }
}

#[test]
fn where_words_come_after_an_utterance_the_answer_is_held_until_it_is_understood() {
    let heard = |text: &str| {
        Event::Heard(Heard { text: text.to_owned(), start: 0, end: 4_800, words_end: None, is_final: true })
    };
    for (text, becomes) in [
        ("", &["goes on", "was none"][..]),
        ("Mhm.", &["goes on", "was none"]),
        ("Not on Tuesday.", &["cut"]),
    ] {
        let mut scene = Scene::with_utterances();
        assert_eq!(fate(&scene.speaks(300)), ["held"]);
        let asked = ask_of(&scene.is_quiet(10), EARS).0;
        assert_eq!(fate(&scene.is_quiet(20)), [] as [&str; 0], "it is not understood yet");
        let did = [scene.talk.event(asked, &heard(text)), scene.talk.finishes(asked), scene.is_quiet(1)];
        assert_eq!(fate(&did.concat()), becomes, "{text}");
    }
    let mut scene = Scene::with_utterances();
    scene.speaks(300);
    assert_eq!(fate(&scene.is_quiet(40)), [] as [&str; 0]);
    assert_eq!(fate(&scene.is_quiet(20)), ["goes on", "was none"], "a recogniser is not waited for for ever");
}

#[test]
fn words_cut_an_answer_that_is_held() {
    let mut scene = Scene::new();
    assert_eq!(fate(&scene.speaks(200)), ["held"]);
    let did = scene.understood("no wait", false);
    assert_eq!(fate(&did), ["cut"]);
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Partial { text, .. } if text == "no wait")));
    assert_eq!(fate(&scene.is_quiet(30)), [] as [&str; 0]);
}

#[test]
fn a_back_channel_changes_nothing_and_is_in_the_transcript() {
    let mut scene = Scene::new();
    assert_eq!(fate(&scene.speaks(250)), ["held"]);
    assert_eq!(scene.understood("uh huh", false), [], "it may become more");
    let did = scene.understood("Uh-huh.", true);
    assert_eq!(fate(&did), ["goes on", "was none"], "as soon as it is understood");
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Remarked { text, .. } if text == "Uh-huh.")));
    assert!(!asks_anybody(&did) && said_words(&did).is_empty(), "{did:?}");
    // The agent speaks for long after that.
    scene.is_quiet(20);
    assert!(!asks_anybody(&scene.talk.heard(usize::MAX)), "nothing is to be answered");
}

#[test]
fn after_words_that_were_taken_back_a_back_channel_and_an_echo_still_change_nothing() {
    for (said, remarked) in [("Mhm.", 1), ("One two three four.", 0)] {
        let mut scene = Scene::new();
        assert_eq!(fate(&scene.speaks(250)), ["held"]);
        assert_eq!(fate(&scene.understood("the", false)), ["cut"]);
        scene.talk.heard(usize::MAX);
        let (start, end) = (scene.talk.position - 4_800, scene.talk.position);
        scene.talk.hears(scene.ears, "", (start, end), true);
        let did = scene.talk.input(AgentInput::Typed { position: scene.talk.position, text: "Go on." });
        let mind = ask_of(&did, MIND).0;
        let did =
            [scene.talk.thinks(mind, "One two three four five six. "), scene.talk.finishes(mind)].concat();
        scene.mouth = ask_of(&did, MOUTH).0;
        scene.talk.sounds(scene.mouth, 48_000);
        scene.is_quiet(10);
        let did = scene.understood(said, true);
        assert_eq!(fate(&did), [] as [&str; 0], "{said}");
        assert!(!asks_anybody(&did) && said_words(&did).is_empty(), "{did:?}");
        let remarks = did.iter().filter(|did| matches!(did, AgentOutput::Remarked { .. })).count();
        assert_eq!(remarks, remarked, "{said}");
    }
}

#[test]
fn the_answer_to_a_yes_is_found_again_when_words_are_taken_back() {
    let mut scene = Scene::speaking(Persona::default(), "Shall I book it? ", vec![9; 48_000]);
    scene.speaks(250);
    scene.understood("Yes.", true);
    scene.talk.finishes(scene.mouth);
    let mind = ask_of(&scene.talk.heard(usize::MAX), MIND).0;
    scene.is_quiet(20);
    let did = scene.understood("the", false);
    assert!(did.contains(&AgentOutput::Cancel { request: mind }), "{did:?}");
    let (start, end) = (scene.talk.position - 4_800, scene.talk.position);
    let did = scene.talk.hears(scene.ears, "", (start, end), true);
    let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
    assert_eq!(chat.messages.last(), Some(&Message::User("Yes.".to_owned())));
}

#[test]
fn a_greeting_that_the_page_cuts_off_before_it_sounds_guards_no_other_answer() {
    let turn_taking = TurnTaking { interruptible_greeting: false, ..TurnTaking::default() };
    let persona = Persona { greeting: "Good evening.".to_owned(), turn_taking, ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let ears = ask_of(&talk.chunk(), EARS).0;
    ask_of(&talk.input(AgentInput::Timeout), MOUTH);
    let text = "One two three four five six.";
    let did = talk.input(AgentInput::Say { position: Some(0), text, interrupt: true });
    let mouth = ask_of(&did, MOUTH).0;
    talk.sounds(mouth, 48_000);
    let mut scene = Scene { talk, ears, mouth };
    scene.is_quiet(10);
    assert_eq!(fate(&scene.talk.input(AgentInput::BargeIn)), ["held"]);
}

#[test]
fn the_beginning_of_a_back_channel_cuts_nothing_before_it_is_known_what_it_becomes() {
    let mut scene = Scene::new();
    scene.speaks(250);
    assert_eq!(scene.understood("all", false), []);
    assert_eq!(scene.understood("all right got", false), []);
    let did = scene.understood("All right, got it.", true);
    assert_eq!(fate(&did), ["goes on", "was none"]);
    assert_eq!(fate(&scene.speaks(250)), ["held"]);
    assert_eq!(scene.understood("all", false), []);
    assert_eq!(fate(&scene.understood("all of us", false)), ["cut"]);
}

#[test]
fn a_back_channel_that_becomes_more_cuts_the_answer_and_is_part_of_the_turn() {
    let mut scene = Scene::new();
    scene.speaks(250);
    assert_eq!(scene.understood("yes", false), []);
    let did = scene.understood("yes but not on Tuesday", false);
    assert_eq!(fate(&did), ["cut"]);
    let did = scene.understood("Yes, but not on Tuesday.", true);
    assert_eq!(said_words(&did).first().map(|said| said.0), Some("Yes, but not on Tuesday."));
}

#[test]
fn who_says_yes_to_the_last_words_of_an_answer_is_answered() {
    let mut scene = Scene::speaking(Persona::default(), "Shall I book it? ", vec![9; 48_000]);
    scene.speaks(250);
    let did = scene.understood("Yes.", true);
    assert!(!asks_anybody(&did), "{did:?}");
    scene.talk.finishes(scene.mouth);
    let did = scene.talk.heard(usize::MAX);
    let (_, Ask::Chat(chat)) = ask_of(&did, MIND) else { panic!("{did:?}") };
    assert_eq!(chat.messages.last(), Some(&Message::User("Yes.".to_owned())));
}

#[test]
fn the_agents_own_voice_and_its_own_words_interrupt_nothing_and_somebody_over_it_does() {
    let own = voice(72_000, 12_000.0, 200.0);
    let mut scene =
        Scene::speaking(Persona::default(), "Your table is booked for Thursday at eight. ", own.clone());
    // 20 dB softer, 150 ms late, at the user's rate.
    let echo: Vec<i16> = std::iter::repeat_n(0, 2_400)
        .chain(own.chunks_exact(3).flat_map(|three| [three[0] / 10, (three[1] / 20) + (three[2] / 20)]))
        .collect();
    let did = scene.hears(&echo[..24_000]);
    assert_eq!(fate(&did), [] as [&str; 0]);
    let began = Event::Turn(crate::provider::TurnSign::Began { at: 40_000 });
    assert_eq!(fate(&scene.talk.event(scene.ears, &began)), [] as [&str; 0]);
    assert_eq!(scene.understood("your table is booked for", false), [], "nobody has said that");
    let did = scene.understood("Your table is brooked for Thursday", true);
    assert_eq!(fate(&did), [] as [&str; 0]);
    assert!(said_words(&did).is_empty() && !asks_anybody(&did), "{did:?}");
    // Somebody half as loud as the agent speaks over its echo.
    let user = voice(8_000, 6_000.0, 120.0);
    let both: Vec<i16> = user.iter().zip(&echo[24_000..]).map(|(user, echo)| user + echo).collect();
    assert_eq!(fate(&scene.hears(&both)).first(), Some(&"held"));
}

#[test]
fn what_was_loud_before_an_answer_makes_no_voice_of_a_sign_that_comes_into_it() {
    let loud = [voice(1_600, 6_000.0, 120.0), vec![3; 3_200]].concat();
    let mut talk = Talk::of(talker_of(Persona::default(), &[]));
    let ears = ask_of(&talk.hear(&loud), EARS).0;
    let mind = talk.asked(ears, "Tell me.");
    talk.hear(&loud);
    let did = [talk.thinks(mind, "One two three. "), talk.finishes(mind)].concat();
    let mouth = ask_of(&did, MOUTH).0;
    talk.event(mouth, &Event::Sound(crate::provider::Sound { rate: 24_000, samples: vec![9; 48_000] }));
    let mut scene = Scene { talk, ears, mouth };
    assert_eq!(fate(&scene.is_quiet(2)), [] as [&str; 0]);
    let began = Event::Turn(crate::provider::TurnSign::Began { at: scene.talk.position - 1_600 });
    assert_eq!(fate(&scene.talk.event(ears, &began)), [] as [&str; 0]);
    scene.hears(&loud);
    assert_eq!(fate(&scene.talk.event(ears, &began)), ["held"]);
}

#[test]
fn the_agents_own_words_misheard_are_nobodys_and_other_words_as_soft_are_somebodys() {
    let agent = "Your table is booked for Thursday at eight, and the kitchen closes at eleven. ";
    let new = || {
        let mut scene = Scene::speaking(Persona::default(), agent, vec![9; 96_000]);
        scene.is_quiet(10);
        scene
    };
    let mut scene = new();
    for heard in ["brook", "brook table", "brook table winter", "brook table winter booked"] {
        assert_eq!(scene.understood(heard, false), [], "{heard}");
    }
    let did =
        scene.understood("Brook table winter booked for Thursday at eight and the kitchen closes", true);
    assert!(fate(&did).is_empty() && said_words(&did).is_empty(), "{did:?}");
    let mut scene = new();
    assert_eq!(scene.understood("stop", false), [], "it may be a word of the agent");
    let did = scene.understood("Stop.", true);
    assert_eq!((fate(&did), said_words(&did).len()), (vec!["cut"], 1));
    assert_eq!(fate(&new().understood("wait I meant on Friday", false)), ["cut"]);
}

#[test]
fn a_greeting_that_may_not_be_interrupted_is_heard_to_its_end_and_what_was_said_is_answered_then() {
    let turn_taking = TurnTaking { interruptible_greeting: false, ..TurnTaking::default() };
    let persona = Persona { greeting: "Good evening.".to_owned(), turn_taking, ..Persona::default() };
    let mut talk = Talk::of(talker_of(persona, &[]));
    let mouth = ask_of(&talk.input(AgentInput::Timeout), MOUTH).0;
    talk.sounds(mouth, 24_000);
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mut scene = Scene { talk, ears, mouth };
    scene.is_quiet(20);
    assert_eq!(fate(&scene.speaks(900)), [] as [&str; 0]);
    assert_eq!(fate(&scene.talk.input(AgentInput::BargeIn)), [] as [&str; 0]);
    let did = scene.understood("A table for two.", true);
    assert_eq!((fate(&did).len(), said_words(&did).len(), asks_anybody(&did)), (0, 1, false), "{did:?}");
    scene.talk.finishes(mouth);
    let did = scene.talk.heard(usize::MAX);
    ask_of(&did, MIND);
}

#[test]
fn words_before_the_first_sound_of_a_greeting_that_may_not_be_interrupted_are_answered_after_it() {
    for is_coming in [false, true] {
        let mut talk = greeted_in_any_case();
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mut mouth = is_coming.then(|| ask_of(&talk.input(AgentInput::Timeout), MOUTH).0);
        (0..10).for_each(|_| drop(talk.chunk()));
        let mut did = talk.hears(ears, "Who is", (1_600, 12_000), false);
        did.extend(talk.hears(ears, "Who is there?", (1_600, 16_000), true));
        did.extend(talk.over(ears));
        assert_eq!((fate(&did).len(), said_words(&did).len(), asks_anybody(&did)), (0, 1, false), "{did:?}");
        assert!(!did.iter().any(|did| matches!(did, AgentOutput::Cancel { .. })), "{did:?}");
        let mouth = *mouth.get_or_insert_with(|| ask_of(&talk.input(AgentInput::Timeout), MOUTH).0);
        talk.sounds(mouth, 2_400);
        let did = talk.finishes(mouth);
        assert_eq!((talk.words.as_str(), asks_anybody(&did)), ("Good evening.", false));
        ask_of(&talk.heard(usize::MAX), MIND);
        assert_eq!(talk.agent.due_to_begin(), None, "it greets once");
    }
}

#[test]
fn what_is_typed_before_or_into_a_greeting_that_may_not_be_interrupted_is_answered_after_it() {
    for (is_coming, sounds) in [(false, false), (true, false), (true, true)] {
        let mut talk = greeted_in_any_case();
        let mut mouth = is_coming.then(|| ask_of(&talk.input(AgentInput::Timeout), MOUTH).0);
        if let Some(mouth) = mouth.filter(|_| sounds) {
            talk.sounds(mouth, 2_400);
        }
        let did = talk.input(AgentInput::Typed { position: 0, text: "Who is there?" });
        assert!(fate(&did).is_empty() && !asks_anybody(&did), "{did:?}");
        assert!(!did.iter().any(|did| matches!(did, AgentOutput::Cancel { .. })), "{did:?}");
        let mouth = *mouth.get_or_insert_with(|| ask_of(&talk.input(AgentInput::Timeout), MOUTH).0);
        if !sounds {
            talk.sounds(mouth, 2_400);
        }
        let did = talk.finishes(mouth);
        assert_eq!((talk.words.as_str(), asks_anybody(&did)), ("Good evening.", false));
        ask_of(&talk.heard(usize::MAX), MIND);
    }
}

/// Somebody who is greeted, whatever they say.
fn greeted_in_any_case() -> Talk {
    let turn_taking = TurnTaking { interruptible_greeting: false, ..TurnTaking::default() };
    let persona = Persona { greeting: "Good evening.".to_owned(), turn_taking, ..Persona::default() };
    Talk::of(talker_of(persona, &[]))
}

#[test]
fn a_conversation_may_not_be_interrupted_in_its_first_seconds_if_that_is_wanted() {
    let turn_taking = TurnTaking { uninterruptible: Duration::from_secs(4), ..TurnTaking::default() };
    let persona = Persona { turn_taking, ..Persona::default() };
    let mut scene = Scene::speaking(persona, "One two three four five six. ", vec![9; 48_000]);
    assert_eq!(fate(&scene.speaks(400)), [] as [&str; 0]);
    scene.is_quiet(20);
    assert_eq!(fate(&scene.speaks(200)), ["held"]);
}

#[test]
fn the_page_holds_an_answer_too_and_what_is_typed_cuts_it() {
    let mut scene = Scene::new();
    assert_eq!(fate(&scene.talk.input(AgentInput::BargeIn)), ["held"]);
    assert_eq!(fate(&scene.talk.input(AgentInput::BargeIn)), [] as [&str; 0], "it may be said again");
    assert_eq!(fate(&scene.passes(Duration::from_secs(1))), ["goes on", "was none"]);
    scene.talk.input(AgentInput::BargeIn);
    let did = scene.talk.input(AgentInput::Typed { position: scene.talk.position, text: "Stop" });
    assert_eq!(fate(&did), ["cut"]);
    assert_eq!(fate(&scene.passes(Duration::from_secs(60))), [] as [&str; 0]);
}

#[test]
fn an_answer_is_held_for_so_long_and_no_longer_whoever_coughs_again_and_again() {
    let mut scene = Scene::new();
    let mut did = Vec::new();
    for _ in 0..7 {
        did.extend(scene.speaks(200));
        did.extend(scene.is_quiet(6));
    }
    assert_eq!(fate(&did)[..3], ["held", "goes on", "was none"]);
}

#[test]
fn another_relay_does_not_answer_a_sign_that_the_user_listens() {
    let turn = |number, role, text: &str| Turn::new(number, role, text.to_owned(), 0, 0);
    let (user, agent) = (protocol::Role::User, protocol::Role::Agent);
    let begins = |last: &str| {
        let turns = [turn(0, user, "Tell me."), turn(1, agent, "One two"), turn(2, user, last)];
        talker_of(Persona::default(), &turns).poll_timeout().is_some()
    };
    assert!(begins("Stop it.") && !begins("Mhm."));
}

#[test]
fn where_a_recogniser_finds_the_turns_the_ears_listen_only_while_the_agent_sounds() {
    let finds_a_voice = |talk: &Talk| talk.agent.hearing.as_ref().expect("the agent hears").is_voiced();
    let mut talk = Talk::of(talker_of(Persona::default(), &[]));
    for chunk in voice(32_000, 6_000.0, 120.0).chunks(1_600) {
        talk.hear(chunk);
        assert!(!finds_a_voice(&talk), "the agent is silent");
    }
    let mut scene = Scene::new();
    assert_eq!(fate(&scene.speaks(400)), ["held"]);
    assert!(finds_a_voice(&scene.talk));
    assert!(fate(&scene.understood("stop", true)).contains(&"cut"));
    scene.is_quiet(20);
    scene.speaks(1_000);
    assert!(!finds_a_voice(&scene.talk), "the answer was cut, and nothing of it comes back any more");
}
