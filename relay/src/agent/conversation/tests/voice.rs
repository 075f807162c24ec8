//! An agent with ears and a voice: whom it asks what, what becomes of that, and what of it is said and remembered.

mod broken_off;
mod by_tokens;
mod outages;
mod recognisers;

use std::time::Duration;

use super::talk::{
    EARS, MIND, MOUTH, OTHER_EARS, OTHER_MIND, OTHER_MOUTH, Talk, ask_of, asks_anybody, bytes_fed,
    hears_alone, said_words, skills, spoken, talker, used_by, voice, words_end,
};
use super::*;
use crate::money::bill::Billing;
use crate::provider::{Feed, Heard, Service, Sound, Spoken};

#[test]
fn what_is_heard_is_answered_in_sound_piece_by_piece_and_paid_for() {
    let mut talk = Talk::new();
    let (ears, ask) = ask_of(&talk.chunk(), EARS);
    assert_eq!(ask, Ask::Listen);
    let did = talk.chunk();
    assert_eq!(bytes_fed(&did, ears), 3_200);
    let did = talk.hears(ears, "what is", (0, 3_000), false);
    assert!(
        matches!(&did[..], [AgentOutput::Partial { text, start: 0, end: 3_000, final_through: None }] if text == "what is")
    );
    let did = talk.hears(ears, "What is it?", (0, 3_200), true);
    assert!(
        matches!(&did[..], [AgentOutput::Partial { text, final_through: Some(3_200), .. }] if text == "What is it?")
    );
    let did = talk.over(ears);
    assert_eq!(said_words(&did), [("What is it?", 0, 3_200)]);
    let (mind, ask) = ask_of(&did, MIND);
    let Ask::Chat(chat) = ask else { panic!("{ask:?}") };
    assert_eq!(chat.messages, [Message::User("What is it?".to_owned())]);
    // The first sentence is spoken while the second is being written.
    assert_eq!(talk.thinks(mind, "It is a"), []);
    let (first, ask) = ask_of(&talk.thinks(mind, " test. And"), MOUTH);
    assert_eq!(spoken(&ask), "It is a test.");
    let did = talk.sounds(first, 4_800);
    assert_eq!((talk.words.as_str(), talk.sound), ("It is a test. ", 4_800));
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Words { start: 0, .. })), "{did:?}");
    talk.thinks(mind, " this is more.");
    let (second, ask) = ask_of(&talk.finishes(mind), MOUTH);
    assert_eq!(spoken(&ask), "And this is more.");
    // What comes of the second while the first is not complete waits for it.
    talk.sounds(second, 2_400);
    assert_eq!(talk.sound, 4_800);
    let did = talk.finishes(first);
    let used = did.iter().find_map(|did| match did {
        AgentOutput::Spent { request, used, estimated, .. } if *request == first => Some((*used, *estimated)),
        _ => None,
    });
    assert_eq!(used, Some((Some(Quantity::Characters(13)), false)));
    assert_eq!((talk.words.as_str(), talk.sound), ("It is a test. And this is more.", 7_200));
    let did = talk.finishes(second);
    assert_eq!(did.last(), Some(&AgentOutput::AnswerEnd));
    // The next question finds it in the history.
    talk.heard(usize::MAX);
    talk.heard(usize::MAX);
    let mind = talk.asked(ears, "And now?");
    assert!(mind.0 > second.0);
}

#[test]
fn a_last_sentence_waits_for_no_end_that_is_not_said_and_what_follows_all_the_same_is_spoken_too() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Is it sunny?");
    assert!(!asks_anybody(&talk.thinks(mind, "It is sunny.")), "the sentence may go on");
    let (first, ask) = ask_of(&talk.event(mind, &Event::Stopped), MOUTH);
    assert_eq!(spoken(&ask), "It is sunny.");
    assert!(!asks_anybody(&talk.event(mind, &Event::Stopped)), "nothing has come since");
    talk.thinks(mind, " And warm");
    assert!(!asks_anybody(&talk.event(mind, &Event::Stopped)), "no sentence ends there");
    let (second, ask) = ask_of(&talk.finishes(mind), MOUTH);
    assert_eq!(spoken(&ask), "And warm");
    for mouth in [first, second] {
        talk.sounds(mouth, 2_400);
        talk.finishes(mouth);
    }
    assert_eq!((talk.words.as_str(), talk.answers.is_given), ("It is sunny. And warm", false));
}

#[test]
fn who_speaks_into_the_answer_ends_it_and_the_model_is_told_what_was_heard() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Tell me.");
    let mouth = ask_of(&talk.thinks(mind, "One two three. Four "), MOUTH).0;
    talk.sounds(mouth, 24_000);
    let did = talk.hears(ears, "stop it and say the other one", (17_600, 19_000), false);
    let kinds: Vec<_> = did
        .iter()
        .map(|did| match did {
            AgentOutput::Cancel { request } => format!("cancel {}", request.0),
            AgentOutput::Spent { request, used, .. } => format!("spent {} {}", request.0, used.is_some()),
            AgentOutput::Cut => "cut".to_owned(),
            AgentOutput::Partial { text, .. } => text.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let (mind, mouth) = (mind.0, mouth.0);
    let expected = [
        format!("cancel {mind}"),
        format!("spent {mind} true"),
        format!("cancel {mouth}"),
        format!("spent {mouth} true"),
    ];
    assert_eq!(kinds[..4], expected);
    assert_eq!(kinds[4..], ["cut", "stop it and say the other one"]);
    // Nothing of it is heard afterwards.
    assert_eq!(talk.sounds(RequestId(mouth), 24_000), []);
    assert_eq!(talk.thinks(RequestId(mind), "late"), []);
    // The user goes on before the call says how much was heard; then the model is asked.
    talk.hears(ears, "Stop it.", (17_600, 20_000), true);
    let did = talk.over(ears);
    assert!(!asks_anybody(&did), "{did:?}");
    let (_, Ask::Chat(chat)) = ask_of(&talk.heard(7), MIND) else { panic!("a chat") };
    let said = [
        Message::User("Tell me.".to_owned()),
        Message::Assistant { text: "One two".to_owned(), calls: vec![] },
        Message::User("Stop it.".to_owned()),
    ];
    assert_eq!(chat.messages, said);
}

#[test]
fn a_recogniser_that_breaks_is_replaced_and_the_other_hears_what_it_had_not_settled() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    for _ in 0..9 {
        talk.chunk();
    }
    // 0.5 s are final; half a second more was fed.
    talk.hears(ears, "The first half", (0, 8_000), true);
    talk.hears(ears, "and the", (8_000, 14_000), false);
    let did = talk.fails(ears, FailureKind::Connection);
    let (other, ask) = ask_of(&did, OTHER_EARS);
    assert_eq!(ask, Ask::Listen);
    assert_eq!(bytes_fed(&did, other), 16_000, "what stays is not heard again");
    talk.chunk();
    // Its places count from what it was given first.
    let did = talk.hears(other, "and the second.", (0, 8_000), true);
    let AgentOutput::Partial { text, start, end, final_through } = &did[0] else { panic!("{did:?}") };
    assert_eq!(text, "The first half and the second.");
    assert_eq!((*start, *end, *final_through), (0, 16_000, Some(16_000)));
    assert_eq!(said_words(&talk.over(other)), [("The first half and the second.", 0, 16_000)]);
    // What both of them heard is paid twice, and not by the user.
    let did = talk.fails(other, FailureKind::Connection);
    assert_eq!(used_by(&did, other), Some(Quantity::Repeated(8_000)));
    // One that was never there has heard nothing, and the next one hears again only what others have heard.
    let (third, _) = ask_of(&did, EARS);
    let did = talk.fails(third, FailureKind::CircuitOpen);
    assert_eq!(used_by(&did, third), None);
}

/// What the page is told about being heard.
fn told_deaf(did: &[AgentOutput]) -> Vec<bool> {
    did.iter()
        .filter_map(|did| match did {
            AgentOutput::Degraded { what: Ability::Hearing, degraded } => Some(*degraded),
            _ => None,
        })
        .collect()
}

#[test]
fn a_recogniser_that_says_nothing_is_replaced_by_one_that_is_given_all_of_it() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    for _ in 0..150 {
        talk.chunk();
    }
    let did = talk.fails(ears, FailureKind::Timeout);
    let other = ask_of(&did, OTHER_EARS).0;
    assert_eq!(bytes_fed(&did, other), 151 * 3_200, "from the first word on");
    let is_feed = |did: &&AgentOutput| matches!(did, AgentOutput::Feed { .. });
    assert!(did.iter().filter(is_feed).count() <= 8, "in pieces that its socket has room for");
    assert!(told_deaf(&did).is_empty());
    // Nobody else is there to be asked.
    talk.event(other, &Event::Ready);
    let did = talk.fails(other, FailureKind::Timeout);
    assert_eq!(told_deaf(&did), [true], "the user is told before it is tried once more");
    let again = ask_of(&talk.asks_ears_again(), EARS).0;
    let did = talk.hears(again, "Hello", (0, 8_000), true);
    assert_eq!(told_deaf(&did), [false]);
}

#[test]
fn that_a_muted_user_said_nothing_is_no_sign_that_somebody_hears_them() {
    let mut talk = Talk::of(hears_alone());
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.event(ears, &Event::Ready);
    assert_eq!(told_deaf(&talk.fails(ears, FailureKind::Timeout)), [true]);
    let again = ask_of(&talk.asks_ears_again(), EARS).0;
    talk.input(AgentInput::Pause);
    let end = talk.position;
    let did = talk.event(again, &Event::Unanswered { end });
    assert_eq!(told_deaf(&did), [] as [bool; 0], "that is what a codec says where nothing comes");
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Final { .. })), "{did:?}");
    talk.chunk();
    let text = String::new();
    let silence = Heard { text, start: end, end: end + 1_600, words_end: None, is_final: true };
    let did = talk.event(again, &Event::Heard(silence));
    assert_eq!(told_deaf(&did), [false], "that is the recogniser's");
}

#[test]
fn what_a_recogniser_hears_before_anybody_knows_that_it_does_is_not_the_users_to_pay_for() {
    let mut talk = Talk::of(hears_alone());
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.event(ears, &Event::Ready);
    talk.fails(ears, FailureKind::Timeout);
    let again = ask_of(&talk.asks_ears_again(), EARS).0;
    talk.event(again, &Event::Ready);
    // One chunk was kept for it, ten are heard in vain, and ten more are heard.
    for _ in 0..10 {
        talk.chunk();
    }
    talk.hears(again, "Hello", (0, 8_000), false);
    for _ in 0..10 {
        talk.chunk();
    }
    let did = talk.fails(again, FailureKind::Connection);
    assert_eq!(used_by(&did, again), Some(Quantity::Repeated(11 * 1_600)));
}

#[test]
fn without_any_recogniser_the_user_is_told_once_and_typing_goes_on_working() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let (asked, did) = talk.all_ears_fail(ears, FailureKind::Key);
    assert_eq!((asked.as_slice(), told_deaf(&did).as_slice()), (&[OTHER_EARS][..], &[true][..]));
    let mut finals = 0;
    for _ in 0..20 {
        let did = talk.chunk();
        assert!(!asks_anybody(&did), "no storm");
        finals += did.iter().filter(|did| matches!(did, AgentOutput::Final { .. })).count();
    }
    assert!(finals > 0, "what nobody hears is not kept");
    let did = talk.input(AgentInput::Typed { position: talk.position, text: "Hello?" });
    ask_of(&did, MIND);
    // Muted and unmuted, it is tried again, and what is heard ends it.
    talk.input(AgentInput::Pause);
    let ears = ask_of(&talk.chunk(), EARS).0;
    let did = talk.hears(ears, "Hi", (0, 1_000), true);
    assert!(did.contains(&AgentOutput::Degraded { what: Ability::Hearing, degraded: false }), "{did:?}");
}

#[test]
fn a_user_whom_nobody_hears_is_heard_again_after_a_while_without_doing_anything() {
    let mut talk = Talk::new();
    let mut ears = ask_of(&talk.chunk(), EARS).0;
    let mut told = 0;
    // Everybody is tried again each time, and none of them for ever.
    for round in 0..3 {
        let (asked, did) = talk.all_ears_fail(ears, FailureKind::CircuitOpen);
        let expected = [OTHER_EARS, EARS].repeat(asked.len() / 2);
        assert_eq!(asked, [expected, vec![OTHER_EARS]].concat(), "one after the other");
        assert_eq!(asked.len() > 1, round == 0, "it is waited for them once: {asked:?}");
        told += did.iter().filter(|did| matches!(did, AgentOutput::Trouble(_))).count();
        for _ in 0..99 {
            talk.now = talk.now + Duration::from_millis(100);
            assert!(!asks_anybody(&talk.chunk()), "no storm");
        }
        ears = ask_of(&talk.chunk(), EARS).0;
    }
    assert_eq!(told, 1, "it is told once");
    let did = talk.hears(ears, "Hi", (0, 1_000), true);
    assert!(did.contains(&AgentOutput::Degraded { what: Ability::Hearing, degraded: false }), "{did:?}");
}

#[test]
fn a_model_that_fails_before_its_first_word_is_stood_in_for_and_afterwards_the_answer_ends() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let did = talk.fails(mind, FailureKind::Busy);
    let (other, Ask::Chat(chat)) = ask_of(&did, OTHER_MIND) else { panic!("{did:?}") };
    assert_eq!(chat.messages, [Message::User("Well?".to_owned())], "it gets the whole context");
    assert!(did.contains(&AgentOutput::Spent {
        request: mind,
        used: None,
        estimated: true,
        provider_id: None
    }));
    let mouth = ask_of(&talk.thinks(other, "Half an answer. And"), MOUTH).0;
    let did = talk.fails(other, FailureKind::Connection);
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "And", "what was written is spoken");
    assert!(did.contains(&AgentOutput::Degraded { what: Ability::Thinking, degraded: true }));
    talk.sounds(mouth, 100);
    assert_eq!(talk.words, "Half an answer. ");
}

#[test]
fn a_voice_that_fails_before_its_first_sound_is_stood_in_for_and_without_any_the_answer_is_text() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let first = ask_of(&talk.thinks(mind, "A word. Another. And more."), MOUTH).0;
    let did = talk.fails(first, FailureKind::Key);
    let (other, ask) = ask_of(&did, OTHER_MOUTH);
    assert_eq!(spoken(&ask), "A word.");
    let did = talk.fails(other, FailureKind::Key);
    assert!(did.contains(&AgentOutput::Degraded { what: Ability::Speaking, degraded: true }), "{did:?}");
    let mut last = did;
    // The second piece was asked of the first voice, too.
    let second = RequestId(first.0 + 1);
    last.extend(talk.fails(second, FailureKind::Key));
    last.extend(talk.finishes(mind));
    assert_eq!((talk.words.as_str(), talk.sound), ("A word. Another. And more.", 0));
    assert_eq!(last.last(), Some(&AgentOutput::AnswerEnd));
    let billed = last
        .iter()
        .any(|did| matches!(did, AgentOutput::Spent { request, used: Some(_), .. } if *request != mind));
    assert!(!billed, "nobody has spoken");

    talk.heard(usize::MAX);
    let mind = talk.asked(ears, "And now?");
    let first = ask_of(&talk.thinks(mind, "A word. And"), MOUTH).0;
    let well = AgentOutput::Degraded { what: Ability::Speaking, degraded: false };
    assert!(talk.sounds(first, 100).contains(&well), "its first sound says that it speaks again");
}

#[test]
fn a_sentence_that_has_not_reached_its_voice_costs_nothing_when_the_user_interrupts() {
    for (is_sent, stands_in) in [(true, false), (false, false), (true, true)] {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mind = talk.asked(ears, "Well?");
        let mut mouth = ask_of(&talk.thinks(mind, "A sentence. And "), MOUTH).0;
        if is_sent {
            talk.event(mouth, &Event::Ready);
        }
        if stands_in {
            // That the one before was reached says nothing of this one.
            mouth = ask_of(&talk.fails(mouth, FailureKind::Busy), OTHER_MOUTH).0;
        }
        let did = talk.input(AgentInput::Typed { position: talk.position, text: "Stop" });
        let used = (is_sent && !stands_in).then_some(Quantity::Characters(11));
        assert_eq!(used_by(&did, mouth), used, "{did:?}");
    }
}

#[test]
fn what_a_voice_was_given_is_billed_as_it_is_told_when_the_user_interrupts_and_when_it_fails() {
    for fails in [false, true] {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        let mind = talk.asked(ears, "Well?");
        let mouth = ask_of(&talk.thinks(mind, "A sentence. And "), MOUTH).0;
        for used in [Quantity::Characters(5), Quantity::Characters(12), Quantity::Samples(7)] {
            talk.event(mouth, &Event::Usage(used));
        }
        let did = if fails {
            let did = talk.fails(mouth, FailureKind::Timeout);
            // What the one that stands in was given is told by itself, if at all.
            let other = ask_of(&did, OTHER_MOUTH).0;
            let cut = talk.fails(other, FailureKind::Timeout);
            assert_eq!(used_by(&cut, other), Some(Quantity::Characters(11)));
            did
        } else {
            talk.input(AgentInput::Typed { position: talk.position, text: "Stop" })
        };
        assert_eq!(used_by(&did, mouth), Some(Quantity::Characters(12)), "{did:?}");
    }
}

#[test]
fn a_voice_that_is_faster_than_the_ear_is_held_back() {
    let mut talk = Talk::new();
    talk.room = false;
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "Well?");
    let mouth = ask_of(&talk.thinks(mind, "A sentence. And"), MOUTH).0;
    let told = |did: Vec<AgentOutput>| -> Vec<bool> {
        let told = did.iter().filter_map(|did| match did {
            AgentOutput::HoldBack { request, held_back } if *request == mouth => Some(*held_back),
            _ => None,
        });
        told.collect()
    };
    // Half a second each: more than four seconds wait then.
    for sound in 1..=10 {
        assert_eq!(told(talk.sounds(mouth, 12_000)), vec![true; usize::from(sound == 9)], "{sound}");
    }
    // A tenth of a second each: no more than two seconds are left then.
    for room in 1..=40 {
        let did = talk.input(AgentInput::Room { samples: 2_400 });
        assert_eq!(told(did), vec![false; usize::from(room == 30)], "{room}");
    }
}

#[test]
fn a_recogniser_that_hears_utterances_is_asked_about_each_and_nothing_is_final_before() {
    let (first, second, samples) = asked_about_an_utterance(FailureKind::Provider);
    assert_eq!((first, second), (None, Some(Quantity::Samples(samples))));
}

#[test]
fn an_utterance_that_two_recognisers_have_heard_is_paid_by_the_user_once() {
    let (first, second, samples) = asked_about_an_utterance(FailureKind::Timeout);
    assert_eq!((first, second), (Some(Quantity::Repeated(samples)), Some(Quantity::Samples(samples))));
}

/// What a request uses at most, as it is asked.
fn at_most_of(did: &[AgentOutput], whose: RequestId) -> AtMost {
    let at_most = did.iter().find_map(|did| match did {
        AgentOutput::Ask { request, at_most, .. } if *request == whose => Some(*at_most),
        _ => None,
    });
    at_most.unwrap_or_else(|| panic!("it is not asked: {did:?}"))
}

/// Something is said, the first recogniser fails like this and the second one understands: what each has used, and how long it was.
fn asked_about_an_utterance(fails: FailureKind) -> (Option<Quantity>, Option<Quantity>, u64) {
    let ears = skills(Service::SpeechToText, false, Billing::Seconds);
    let team =
        Team { recognisers: vec![(EARS, ears), (OTHER_EARS, ears)], models: vec![MIND], ..Team::default() };
    let mut talk = Talk::of(Conversation::new(
        Persona { max_output_tokens: 9, ..Persona::default() },
        team,
        24_000,
        0,
        &[],
    ));
    let voice = voice(32_000);
    let scene = [vec![0; 24_000], voice, vec![0; 24_000]].concat();
    let mut did = Vec::new();
    for (chunk, samples) in scene.chunks(1_600).enumerate() {
        did.extend(talk.input(AgentInput::Audio { position: chunk as u32 * 1_600, samples }));
    }
    let (ask, Ask::Transcribe(samples)) = ask_of(&did, EARS) else { panic!("{did:?}") };
    assert!((32_000..48_000).contains(&samples.len()), "{}", samples.len());
    let whole_seconds = AtMost::Samples((samples.len() as u64).next_multiple_of(16_000));
    assert_eq!(at_most_of(&did, ask), whole_seconds);
    let begun = did.iter().find_map(|did| match did {
        AgentOutput::SpeechStarted { at } => Some(*at),
        _ => None,
    });
    let finals = did.iter().filter_map(|did| match did {
        AgentOutput::Final { through } => Some(*through),
        _ => None,
    });
    let begun = begun.expect("it is noticed");
    assert!(finals.max().is_none_or(|through| through <= begun), "what is not understood is not final");
    // One fails, the other understands.
    let did = talk.fails(ask, fails);
    let first = used_by(&did, ask);
    let (other, Ask::Transcribe(again)) = ask_of(&did, OTHER_EARS) else { panic!("{did:?}") };
    assert_eq!(again, samples);
    let heard = Heard {
        text: " Hello there. ".to_owned(),
        start: 0,
        end: samples.len() as u32,
        words_end: None,
        is_final: true,
    };
    talk.event(other, &Event::Heard(heard));
    let did = talk.finishes(other);
    let end = begun + samples.len() as u32;
    assert_eq!(said_words(&did), [("Hello there.", begun, end)]);
    let words_end = words_end(&did).expect("it is said");
    assert!(
        (end - 3_200..end).contains(&words_end),
        "{words_end} of {begun} to {end}, which is 200 ms later"
    );
    assert!(did.iter().any(|did| matches!(did, AgentOutput::Final { .. })), "{did:?}");
    ask_of(&did, MIND);
    (first, used_by(&did, other), samples.len() as u64)
}

#[test]
fn the_agent_greets_once_and_only_who_is_new() {
    let mut agent = talker();
    agent.persona.greeting = "Hello.".to_owned();
    let Conversation { persona, .. } = agent;
    let voice = skills(Service::TextToSpeech, false, Billing::Characters);
    let team = Team { models: vec![MIND], voices: vec![(MOUTH, voice)], ..Team::default() };
    let mut talk = Talk::of(Conversation::new(persona.clone(), team.clone(), 24_000, 0, &[]));
    assert_eq!(talk.agent.poll_timeout(), Some(Time::ZERO));
    let did = talk.input(AgentInput::Timeout);
    assert_eq!(spoken(&ask_of(&did, MOUTH).1), "Hello.");
    assert_eq!(talk.agent.poll_timeout(), None);
    let earlier = [Turn::new(0, protocol::Role::Agent, "Hello.".to_owned(), 0, 0)];
    let again = Conversation::new(persona, team, 24_000, 0, &earlier);
    assert_eq!(again.poll_timeout(), None);
}

#[test]
fn a_turn_says_where_its_last_word_ends_before_the_silence_that_its_recogniser_waited_for() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    for _ in 0..19 {
        talk.chunk();
    }
    let heard = |text: &str, end, words_end| {
        let text = text.to_owned();
        Event::Heard(Heard { text, start: 0, end, words_end, is_final: true })
    };
    talk.event(ears, &heard("Good", 8_000, Some(7_000)));
    talk.event(ears, &heard("bye.", 20_000, Some(15_000)));
    // Its last words may be none.
    talk.event(ears, &heard("", 24_000, None));
    let did = talk.over(ears);
    assert_eq!((said_words(&did), words_end(&did)), (vec![("Good bye.", 0, 20_000)], Some(15_000)));
    // One that does not say so is taken at its word about the sound.
    talk.event(ears, &heard("Really.", 30_000, None));
    let did = talk.over(ears);
    assert_eq!(words_end(&did), Some(30_000));
}

#[test]
fn whoever_mutes_has_the_last_words_understood_and_all_of_it_is_final_then() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    for _ in 0..9 {
        talk.chunk();
    }
    let did = talk.input(AgentInput::Pause);
    let flush = AgentOutput::Feed { request: ears, feed: Feed::Flush, at_most: None };
    assert_eq!(did, std::slice::from_ref(&flush));
    let did = talk.hears(ears, "Good bye", (2_000, 15_800), true);
    assert_eq!(said_words(&did), [("Good bye", 2_000, 15_800)]);
    assert!(did.contains(&AgentOutput::Final { through: 16_000 }), "{did:?}");
    talk.chunk();
    let did = talk.input(AgentInput::Pause);
    assert!(did.contains(&flush), "so has who speaks, and is muted again: {did:?}");
}

#[test]
fn words_of_a_muted_user_that_come_when_none_were_expected_any_more_are_said_once() {
    let muted = || {
        let mut talk = Talk::new();
        let ears = ask_of(&talk.chunk(), EARS).0;
        (0..9).for_each(|_| drop(talk.chunk()));
        talk.input(AgentInput::Pause);
        let did = talk.event(ears, &Event::Unanswered { end: 16_000 });
        assert!(did.contains(&AgentOutput::Final { through: 16_000 }), "{did:?}");
        talk.hears(ears, "A table", (15_000, 16_000), false);
        (talk, ears)
    };
    // They may change until their recogniser says that they do not: it is asked to.
    let (mut talk, ears) = muted();
    let flush = AgentOutput::Feed { request: ears, feed: Feed::Flush, at_most: None };
    let did = talk.input(AgentInput::Pause);
    assert!(did.contains(&flush) && said_words(&did).is_empty(), "{did:?}");
    let let_go = AgentOutput::Cancel { request: ears };
    assert!(!talk.input(AgentInput::OnHold(true)).contains(&let_go), "its last words are waited for");
    let did = talk.hears(ears, "A table for two.", (15_000, 16_000), true);
    assert_eq!(said_words(&did), [("A table for two.", 15_000, 16_000)]);
    assert!(did.contains(&let_go), "{did:?}");
    // One that is closed before that has said all that there is.
    let (mut talk, ears) = muted();
    let did = talk.finishes(ears);
    assert_eq!(said_words(&did), [("A table", 15_000, 16_000)]);
}

#[test]
fn on_hold_the_recogniser_is_let_go_once_it_has_said_its_last_words_and_the_first_sample_after_that_asks_again()
 {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    talk.event(ears, &Event::Ready);
    let let_go = AgentOutput::Cancel { request: ears };
    talk.input(AgentInput::Pause);
    let did = talk.input(AgentInput::OnHold(true));
    assert!(!did.contains(&let_go), "its last words are waited for");
    let did = talk.hears(ears, "One moment", (0, 1_600), true);
    assert_eq!(said_words(&did), [("One moment", 0, 1_600)]);
    assert!(did.contains(&let_go), "{did:?}");
    let did = talk.input(AgentInput::OnHold(false));
    assert!(!asks_anybody(&did), "who is silent has nobody listen");
    let did = talk.chunk();
    let again = ask_of(&did, EARS).0;
    assert_eq!(bytes_fed(&did, again), 3_200, "from the first sample on");
    // Who is muted only is heard by the same recogniser afterwards.
    talk.input(AgentInput::Pause);
    let did = talk.hears(again, "Here I am", (0, 1_600), true);
    assert!(!did.contains(&AgentOutput::Cancel { request: again }), "{did:?}");
    // Where nothing waits to be understood, it is let go at once, and no other one is.
    assert!(talk.input(AgentInput::OnHold(true)).contains(&AgentOutput::Cancel { request: again }));
    assert_eq!(talk.input(AgentInput::OnHold(true)), []);
}

/// What it says of when words are spoken: bytes of those that were told last, and where they end in the answer's sound.
fn spoken_words(did: &[AgentOutput]) -> Vec<(usize, u32)> {
    let spoken = did.iter().filter_map(|did| match did {
        AgentOutput::Spoken { bytes, end } => Some((*bytes, *end)),
        _ => None,
    });
    spoken.collect()
}

#[test]
fn when_words_are_spoken_is_said_of_each_sentence_as_its_voice_says_it_in_the_time_of_the_answer() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "What is it?");
    let first = ask_of(&talk.thinks(mind, "It is a *test*. And"), MOUTH).0;
    talk.thinks(mind, " this is more.");
    let second = ask_of(&talk.finishes(mind), MOUTH).0;
    let says = |bytes, end_ms| Event::Spoken(Spoken { bytes, end_ms });
    // Of the second nothing is said before it is told, and the first may be told at another rate than it sounds at.
    assert_eq!(spoken_words(&talk.event(second, &says(3, 200))), []);
    assert_eq!(spoken_words(&talk.event(first, &says(2, 100))), [], "its words are not told yet");
    let did = talk.event(first, &Event::Sound(Sound { rate: 48_000, samples: vec![1; 48_000] }));
    assert_eq!(spoken_words(&did), [(2, 2_400)]);
    assert_eq!(spoken_words(&talk.event(first, &says(5, 900))), [(5, 21_600)]);
    // What is written has marks that nobody speaks.
    assert_eq!(spoken_words(&talk.event(first, &says(12, 1_000))), [("It is a *test*.".len(), 24_000)]);
    talk.finishes(first);
    let begins = talk.sound;
    let did = talk.sounds(second, 24_000);
    assert_eq!(spoken_words(&did), [(3, begins + 4_800)]);
    assert_eq!(spoken_words(&talk.event(second, &says(8, 500))), [(8, begins + 12_000)]);
}

#[test]
fn what_a_voice_said_of_words_before_it_failed_without_a_sound_is_forgotten() {
    let mut talk = Talk::new();
    let ears = ask_of(&talk.chunk(), EARS).0;
    let mind = talk.asked(ears, "What is it?");
    let mouth = ask_of(&talk.thinks(mind, "It is a test. And"), MOUTH).0;
    talk.event(mouth, &Event::Spoken(Spoken { bytes: 5, end_ms: 100 }));
    let other = ask_of(&talk.fails(mouth, FailureKind::Connection), OTHER_MOUTH).0;
    assert_eq!(spoken_words(&talk.sounds(other, 24_000)), []);
    let did = talk.event(other, &Event::Spoken(Spoken { bytes: 5, end_ms: 500 }));
    assert_eq!(spoken_words(&did), [(5, 12_000)]);
}
