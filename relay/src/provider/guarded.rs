//! What holds for the codec of any provider, whatever its wire: its words show no key and nothing of what it was asked, and a voice that has said
//! nothing has failed.

use protocol::Time;

use super::repeated::Asked;
use super::{Ask, Codec, Event, Failure, FailureKind, Feed, Input, Opening, Output};
use crate::config::Secret;

/// What is shown in the place of a key.
const SHOWN: &str = "[key]";
/// The first characters of a key are no secret: many have the same ones.
const SHOWN_BEGINNING: usize = 4;
/// What is shown in the place of words that repeat what the provider was asked.
const REPEATS: &str = "[it repeats what it was asked]";
/// The longest character, in bytes: a message that has so many fewer than it may have was perhaps cut.
const CHARACTER_BYTES: usize = 4;

/// A codec whose events are looked through before anybody hears of them.
pub(super) struct Guarded {
    codec: Box<dyn Codec>,
    key: Option<Secret>,
    asked: Asked,
    /// It is a voice and was given something that can be spoken.
    has_words: bool,
    has_sound: bool,
}

impl Guarded {
    /// For this request, made with this key.
    pub(super) fn new(codec: Box<dyn Codec>, key: Option<Secret>, ask: &Ask) -> Guarded {
        let has_words = matches!(ask, Ask::Speak(text) if is_spoken(text));
        Guarded { codec, key, asked: Asked::of(ask), has_words, has_sound: false }
    }

    /// A message in whose place something else stands if it repeats what was asked. What is in front of its first colon is mostly this relay's own,
    /// such as a status.
    fn unrepeated(&self, message: &str) -> String {
        let is_cut = message.len() + CHARACTER_BYTES > Failure::MESSAGE_MAX;
        if !self.asked.is_repeated_in(message, is_cut) {
            return message.to_owned();
        }
        match message.split_once(": ") {
            Some((head, _)) if !self.asked.is_repeated_in(head, false) => format!("{head}: {REPEATS}"),
            _ => REPEATS.to_owned(),
        }
    }
}

/// Whether a voice has something to say there.
fn is_spoken(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

impl Codec for Guarded {
    fn open(&mut self) -> Opening {
        self.codec.open()
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        if let Input::Feed(Feed::Text(text)) = input {
            self.has_words |= is_spoken(text);
            self.asked.more(text);
        }
        self.codec.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Some(match self.codec.poll_output()? {
            Output::Event(Event::Finished(_)) if self.has_words && !self.has_sound => {
                let silent =
                    Failure::new(FailureKind::Provider, "it says that it has spoken, and no sound came");
                Output::Event(Event::Failed(silent))
            }
            Output::Event(Event::Failed(Failure { kind, message, retry_after })) => {
                let message = self.shown(&message);
                Output::Event(Event::Failed(Failure { kind, message, retry_after }))
            }
            Output::Event(event) => {
                self.has_sound |= matches!(event, Event::Sound(_));
                Output::Event(event)
            }
            message => message,
        })
    }

    /// Providers repeat what they were sent, to say what is wrong with it. Their words may be cut in the middle of that.
    fn shown(&self, message: &str) -> String {
        let message = self.unrepeated(message);
        let key = self.key.as_ref().map(Secret::expose).unwrap_or_default();
        if key.is_empty() {
            return message;
        }
        let mut message = message.replace(key, SHOWN);
        let beginnings = (SHOWN_BEGINNING..key.len()).rev().filter_map(|length| key.get(..length));
        if let Some(begun) = beginnings.into_iter().find(|begun| message.ends_with(begun)) {
            message.replace_range(message.len() - begun.len().., SHOWN);
        }
        message
    }

    fn pieces(&self) -> Option<u64> {
        self.codec.pieces()
    }

    fn nobody_spoke(&mut self) -> bool {
        self.codec.nobody_spoke()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.codec.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scenario::{Bench, provider};
    use super::super::{Chat, KINDS, Kind, Message, Provider, Service};
    use super::*;

    /// Each kind, and what it is asked.
    fn all() -> impl Iterator<Item = (&'static Kind, Provider, Ask)> {
        KINDS.iter().map(|kind| {
            let chat = Chat { messages: Vec::new(), tools: Vec::new(), max_output_tokens: 100 };
            let ask = match kind.service {
                Service::LanguageModel => Ask::Chat(chat),
                Service::TextToSpeech => Ask::Speak("Hello there.".to_owned()),
                Service::SpeechToText if kind.is_fed => Ask::Listen,
                Service::SpeechToText => Ask::Transcribe(vec![0; 16_000]),
            };
            (*kind, Provider { voice: Some("v".to_owned()), ..provider(kind, "m") }, ask)
        })
    }

    fn refused(status: u16) -> Input<'static> {
        Input::Head { status, retry_after: Some(7), request_id: None, media_type: "application/json" }
    }

    #[test]
    fn no_provider_gets_its_key_into_an_error() {
        for (kind, provider, ask) in all() {
            let mut bench = Bench::open(&provider, &ask);
            bench.handle(refused(401));
            let body = json!({"error": {"message": "the key sk-test is wrong, sk-test"}}).to_string();
            bench.handle(Input::Bytes(body.as_bytes()));
            let outputs = bench.handle(Input::End);
            let [Output::Event(Event::Failed(failure))] = &outputs[..] else { panic!("{outputs:?}") };
            assert!(!failure.message.contains("sk-test"), "{}: {}", kind.name, failure.message);
            assert!(failure.message.contains("the key [key] is wrong"), "{}: {}", kind.name, failure.message);
            // The words are cut in the middle of the key.
            let mut bench = Bench::open(&provider, &ask);
            bench.handle(refused(401));
            bench
                .handle(Input::Bytes(format!("{}sk-test", "x".repeat(Failure::MESSAGE_MAX - 15)).as_bytes()));
            let outputs = bench.handle(Input::End);
            let [Output::Event(Event::Failed(failure))] = &outputs[..] else { panic!("{outputs:?}") };
            assert!(failure.message.ends_with("xx[key]"), "{}: {}", kind.name, failure.message);
            // It hangs up with those words.
            let mut bench = Bench::open(&provider, &ask);
            bench.handle(Input::Head { status: 101, retry_after: None, request_id: None, media_type: "" });
            let outputs = bench.handle(Input::Lost("closed with 4999: no such key sk-test"));
            let Some(Output::Event(Event::Failed(failure))) = outputs.last() else { panic!("{outputs:?}") };
            assert!(failure.message.ends_with("no such key [key]"), "{}: {}", kind.name, failure.message);
        }
    }

    #[test]
    fn no_provider_gets_what_it_was_asked_into_an_error() {
        let said = "My card is 4929 1203.";
        let question = json!({"messages": [{"role": "user", "content": said}]});
        let refused_with = |provider: &Provider, ask: &Ask, body: &str| {
            let mut bench = Bench::open(provider, ask);
            bench.handle(refused(422));
            body.as_bytes().chunks(1_000).for_each(|piece| assert_eq!(bench.handle(Input::Bytes(piece)), []));
            let outputs = bench.handle(Input::End);
            let [Output::Event(Event::Failed(failure))] = &outputs[..] else { panic!("{outputs:?}") };
            failure.message.clone()
        };
        for (kind, provider, ask) in all() {
            let ask = match ask {
                Ask::Chat(chat) => Ask::Chat(Chat { messages: vec![Message::User(said.to_owned())], ..chat }),
                Ask::Speak(_) => Ask::Speak(said.to_owned()),
                heard => heard,
            };
            let missing = json!({"loc": ["body", "model"], "msg": "Field required", "input": question});
            let body = json!({"detail": [missing]}).to_string();
            assert_eq!(refused_with(&provider, &ask, &body), "HTTP 422: Field required", "{}", kind.name);
            // As much of it as is read is no JSON.
            let body = json!([{"input": [question, "x".repeat(10_000)]}]).to_string();
            let whole = "HTTP 422: it does not say why";
            assert_eq!(refused_with(&provider, &ask, &body), whole, "{}", kind.name);
            assert_eq!(refused_with(&provider, &ask, "{\"input\":7}"), whole, "{}", kind.name);
            if kind.service == Service::SpeechToText {
                continue;
            }
            let repeated = "HTTP 422: [it repeats what it was asked]";
            let within = format!("wrong: [{{'input': {question}}}]");
            let within = json!({"error": {"message": within}}).to_string();
            for body in [within.as_str(), said, "{\"message\":\"bad value '4929'\"}"] {
                assert_eq!(refused_with(&provider, &ask, body), repeated, "{}: {body}", kind.name);
            }
            let own = refused_with(&provider, &ask, "{\"message\":\"no such model\"}");
            assert_eq!(own, "HTTP 422: no such model", "{}", kind.name);
        }
    }

    #[test]
    fn a_refusal_stays_one_and_is_not_billed_however_its_words_end() {
        let flood = vec![b'x'; 1 << 20];
        let inputs = |bench: &mut Bench, how: usize| match how {
            0 => bench.handle(Input::End),
            1 => bench.handle(Input::Lost("reset")),
            2 => bench.wait(),
            // More than any answer has.
            _ => {
                let mut outputs: Vec<Output> =
                    (0..300).flat_map(|_| bench.handle(Input::Bytes(&flood))).collect();
                outputs.extend(bench.handle(Input::End));
                outputs
            }
        };
        for (kind, provider, ask) in all() {
            for (status, is) in [
                (401, FailureKind::Key),
                (403, FailureKind::Permission),
                (402, FailureKind::Payment),
                (429, FailureKind::Busy),
                // Somebody on the way has waited for too long, and who was asked is not silent.
                (408, FailureKind::Provider),
                (504, FailureKind::Provider),
            ] {
                for how in 0..4 {
                    let mut bench = Bench::open(&provider, &ask);
                    bench.handle(refused(status));
                    let outputs = inputs(&mut bench, how);
                    let [Output::Event(Event::Failed(failure))] = &outputs[..] else { panic!("{outputs:?}") };
                    let told = (failure.kind, failure.retry_after);
                    assert_eq!(told, (is, Some(7)), "{}, {status}, {how}: {failure}", kind.name);
                    assert!(!failure.kind.may_be_billed());
                }
            }
        }
    }

    #[test]
    fn a_voice_that_finishes_without_a_sound_has_failed_if_there_was_anything_to_say() {
        struct Mute(Vec<Output>);
        impl Codec for Mute {
            fn open(&mut self) -> Opening {
                unreachable!("nobody opens it")
            }
            fn handle_input(&mut self, _now: Time, _input: Input<'_>) {}
            fn poll_output(&mut self) -> Option<Output> {
                self.0.pop()
            }
        }
        let finished = || Output::Event(Event::Finished(super::super::Answer::default()));
        let ends = |ask: &Ask, fed: Option<&str>, outputs: Vec<Output>| {
            let mut guarded = Guarded::new(Box::new(Mute(outputs)), None, ask);
            if let Some(text) = fed {
                guarded.handle_input(Time::ZERO, Input::Feed(&Feed::Text(text.to_owned())));
            }
            let last = std::iter::from_fn(|| guarded.poll_output()).last();
            matches!(last, Some(Output::Event(Event::Finished(_))))
        };
        let speak = |text: &str| Ask::Speak(text.to_owned());
        assert!(!ends(&speak("Hello."), None, vec![finished()]));
        assert!(!ends(&speak(""), Some("Hello."), vec![finished()]));
        assert!(ends(&speak("… "), Some("!"), vec![finished()]), "there is nothing to say");
        let sound = Output::Event(Event::Sound(super::super::Sound { rate: 24_000, samples: vec![1] }));
        assert!(ends(&speak("Hello."), None, vec![finished(), sound]));
        assert!(ends(&Ask::Transcribe(Vec::new()), None, vec![finished()]));
    }
}
