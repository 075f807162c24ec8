//! The wire of ElevenLabs' voices, `text-to-speech/…/stream-input`.
//!
//! Text goes up in JSON, each message ending with a space; sound comes down in base64, with the times of its characters (ElevenLabs' API
//! reference, "Text to speech, WebSocket"). Those times begin with the sound of their own message, and only some messages have them.

mod spoken;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Time;
use serde_json::{Value, json};

use self::spoken::Words;
use super::aura::speaking;
use super::channel::{Channel, address};
use super::pcm::Pcm;
use super::refusal::words;
use super::registry::model_line;
use super::{Ask, Codec, Event, Failure, FailureKind, Feed, Input, Kind, Opening, Output, Provider, Service};
use crate::money::bill::{ItemPrice, Quantity};

/// ElevenLabs' voices.
pub(super) const ELEVENLABS: Kind = Kind {
    name: "elevenlabs",
    service: Service::TextToSpeech,
    is_fed: true,
    needs_voice: true,
    default_url: "https://api.elevenlabs.io/",
    vendor: "elevenlabs",
    line: model_line,
    codec: |provider, ask| {
        // The configuration gives it a voice.
        let (Ask::Speak(text), Some(voice)) = (ask, &provider.voice) else { return None };
        Some(Box::new(ElevenLabs::new(provider, voice, text)))
    },
    bounds: speaking,
    price: ItemPrice::voice,
};

/// Samples a second.
const RATE: u32 = 24_000;
/// Characters after which a piece of sound is made, for the first pieces and all later ones: the default of ElevenLabs' documentation.
const CHUNK_LENGTHS: [u32; 4] = [120, 160, 250, 290];

/// A voice that speaks.
struct ElevenLabs {
    channel: Channel,
    pcm: Pcm,
    words: Words,
    /// The beginning of a word whose end has not come: each message ends with a space, and none is to cut a word in two.
    unsent: String,
    /// Characters that it was given to speak, the spaces that end its messages among them: what is billed.
    given: u64,
    /// So many of them were told.
    told: u64,
    /// Nothing more comes.
    finishing: bool,
}

impl ElevenLabs {
    fn new(provider: &Provider, voice: &str, text: &str) -> ElevenLabs {
        let mut query = vec![
            ("model_id", provider.model.as_str()),
            ("output_format", "pcm_24000"),
            ("sync_alignment", "true"),
        ];
        // It knows languages without their regions.
        let language = provider.language.as_deref().and_then(|tag| tag.split('-').next());
        query.extend(language.map(|language| ("language_code", language)));
        let path = ["v1", "text-to-speech", voice, "stream-input"];
        let key = provider.key.iter();
        let headers = key.map(|key| ("xi-api-key", key.expose().to_owned())).collect();
        let mut channel = Channel::new(address(&provider.base_url, &path, &query), headers);
        channel.say(&json!({"text": " ", "generation_config": {"chunk_length_schedule": CHUNK_LENGTHS}}));
        let (pcm, words) = (Pcm::mono(RATE), Words::default());
        let mut voice =
            ElevenLabs { channel, pcm, words, unsent: String::new(), given: 0, told: 0, finishing: false };
        voice.speak(text);
        voice
    }

    /// All but the word that may go on.
    fn speak(&mut self, text: &str) {
        self.words.give(text);
        self.unsent.push_str(text);
        let last = self.unsent.char_indices().rfind(|(_, c)| c.is_whitespace());
        let Some(whole) = last.map(|(at, space)| at + space.len_utf8()) else { return };
        let later = self.unsent.split_off(whole);
        let sent = std::mem::replace(&mut self.unsent, later);
        if !sent.trim().is_empty() {
            let text = self.ended(&sent);
            self.channel.say(&json!({"text": text, "try_trigger_generation": true}));
        }
    }

    fn feed(&mut self, feed: &Feed) {
        if self.finishing {
            return;
        }
        match feed {
            Feed::Text(text) => self.speak(text),
            Feed::Flush => {
                let unsent = std::mem::take(&mut self.unsent);
                let text = self.ended(&unsent);
                self.channel.say(&json!({"text": text, "flush": true}));
            }
            Feed::Finish => {
                self.finishing = true;
                let unsent = std::mem::take(&mut self.unsent);
                if !unsent.trim().is_empty() {
                    let text = self.ended(&unsent);
                    self.channel.say(&json!({"text": text}));
                }
                self.channel.say(&json!({"text": ""}));
            }
            Feed::Audio(_) => {}
        }
    }

    /// A text that ends as each message has to.
    fn ended(&mut self, text: &str) -> String {
        let text = format!("{} ", text.trim_end());
        self.given += text.chars().count() as u64;
        text
    }

    /// Says how many characters it was given, once it has them: with the spaces, which are not in the text.
    fn tell_given(&mut self) {
        if self.channel.is_open() && self.told < self.given {
            self.told = self.given;
            self.channel.tell(Event::Usage(Quantity::Characters(self.given)));
        }
    }

    fn read(&mut self, message: &Value) {
        if let Some(failure) = failure(message) {
            return self.channel.fail(failure);
        }
        let begins_ms = self.pcm.told_ms();
        // Without a piece of it, all that follows may begin in the middle of a sample.
        let Ok(audio) = STANDARD.decode(message["audio"].as_str().unwrap_or_default()) else {
            return self
                .channel
                .fail(Failure::new(FailureKind::Provider, "a piece of the sound is not base64"));
        };
        if let Some(sound) = self.pcm.read(&audio) {
            self.channel.tell(sound);
        }
        let names = ["alignment", "normalizedAlignment", "normalized_alignment"];
        if let Some(times) = names.iter().map(|name| &message[*name]).find(|times| times.is_object()) {
            for spoken in self.words.aligned(times, begins_ms) {
                self.channel.tell(Event::Spoken(spoken));
            }
        }
        // A flush may be answered by such a message, too.
        let is_last = ["isFinal", "is_final"].iter().any(|name| message[*name].as_bool() == Some(true));
        if is_last && self.finishing {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(spoken) = self.words.end() {
            self.channel.tell(Event::Spoken(spoken));
        }
        self.channel.finish(Some(Quantity::Characters(self.given)));
    }
}

/// What a message that tells of trouble means; `None` if it tells of none.
fn failure(message: &Value) -> Option<Failure> {
    let error = message.get("error").filter(|error| !error.is_null() && **error != json!(false));
    let coded = message.get("code").filter(|code| !code.is_null()).and(message.get("message"));
    error.or(coded)?;
    let name = error.filter(|error| !error.is_boolean()).map(words).unwrap_or_default();
    let said = message["message"].as_str().filter(|said| *said != name);
    let text = [Some(name.as_str()), said].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let kind = kind(&text).unwrap_or(FailureKind::Provider);
    Some(Failure::new(kind, text))
}

/// Whose trouble these words of ElevenLabs' are, if they say so. Its errors have names such as `quota_exceeded`, and sentences.
fn kind(said: &str) -> Option<FailureKind> {
    let said = said.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    Some(match () {
        () if says(&["quota", "payment", "subscription", "credit"]) => FailureKind::Payment,
        () if says(&["permission"]) => FailureKind::Permission,
        () if says(&["api_key", "api key", "unauthorized", "authoriz", "authentic"]) => FailureKind::Key,
        () if says(&["too_many", "too many", "rate_limit", "rate limit", "concurren", "busy"]) => {
            FailureKind::Busy
        }
        () if says(&["timeout", "timed out"]) => FailureKind::Timeout,
        () if says(&["voice", "model", "not_found", "not found", "invalid", "character_limit"]) => {
            FailureKind::Request
        }
        () => return None,
    })
}

impl Codec for ElevenLabs {
    fn open(&mut self) -> Opening {
        self.channel.open()
    }

    fn handle_input(&mut self, _now: Time, input: Input<'_>) {
        match self.channel.take(input) {
            Some(Input::Feed(feed)) => self.feed(feed),
            Some(Input::Text(text)) => self.read(&serde_json::from_str(text).unwrap_or_default()),
            Some(Input::End) if self.finishing => self.finish(),
            Some(Input::Lost(cause)) if cause.starts_with("closed with") => {
                let policy = cause.starts_with("closed with 1008").then_some(FailureKind::Request);
                if let Some(kind) = kind(cause).or(policy) {
                    self.channel.fail(Failure::new(kind, cause));
                }
            }
            Some(
                Input::Head { .. }
                | Input::Bytes(_)
                | Input::Binary(_)
                | Input::End
                | Input::Lost(_)
                | Input::Timeout,
            )
            | None => {}
        }
        self.tell_given();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.channel.poll_output()
    }
}

#[cfg(test)]
mod tests;
