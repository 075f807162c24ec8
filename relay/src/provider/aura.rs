//! The wire of Deepgram's voice, Aura, `v1/speak` as a WebSocket.
//!
//! Text goes up in JSON, sound comes down in binary messages; the voice begins to speak at the end of a sentence or when it is told to
//! flush, at most 20 times in a minute (Deepgram's API reference, "Text to speech, streaming").

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use serde_json::{Value, json};

use super::channel::{Channel, address};
use super::deepgram::{closed, failure, headers};
use super::pcm::Pcm;
use super::{Ask, Bounds, Codec, Feed, Input, Kind, Opening, Output, Provider, Service};
use crate::money::bill::ItemPrice;

/// Deepgram's voice.
pub(super) const DEEPGRAM_AURA: Kind = Kind {
    name: "deepgram-aura",
    service: Service::TextToSpeech,
    is_fed: true,
    needs_voice: false,
    default_url: "https://api.deepgram.com/",
    vendor: "deepgram",
    line: |model, _| if model.starts_with("aura-2") { "aura-2".to_owned() } else { "aura-1".to_owned() },
    codec: |provider, ask| {
        let Ask::Speak(text) = ask else { return None };
        Some(Box::new(Aura::new(provider, text)))
    },
    bounds: speaking,
    price: ItemPrice::voice,
};

/// Samples a second.
const RATE: u32 = 24_000;
/// The longest text of a message; Deepgram's documentation gives 2,000 characters.
const TEXT_MAX_CHARS: usize = 2_000;
/// Flushes in [`FLUSHES_WITHIN`], one less than there may be: the last one of a request is always sent.
const FLUSHES_MAX: usize = 19;
/// The time in which there may be so many flushes.
const FLUSHES_WITHIN: Duration = Duration::from_secs(60);

/// A voice that speaks.
struct Aura {
    channel: Channel,
    pcm: Pcm,
    /// Text was sent after the last flush.
    has_text: bool,
    /// When the latest flushes were sent, oldest first; never more than [`FLUSHES_MAX`].
    flushes: VecDeque<Time>,
    /// Flushes that are not worked off yet.
    unanswered: usize,
    /// Nothing more comes.
    finishing: bool,
}

/// What a voice may do that is fed: it is silent while nothing is there to be spoken.
pub(super) fn speaking(provider: &Provider, ask: &Ask) -> Bounds {
    let has_text = matches!(ask, Ask::Speak(text) if !text.trim().is_empty());
    let first = has_text.then_some(provider.deadlines.first);
    Bounds { first, bytes: 1 << 26, ..provider.deadlines.over_socket() }
}

/// The name of a voice as a model: `aura-2` and `thalia` are `aura-2-thalia-en`. Without a voice the model is the whole name.
fn model(provider: &Provider) -> String {
    let Some(voice) = &provider.voice else { return provider.model.clone() };
    let language = provider.language.as_deref().and_then(|tag| tag.split('-').next()).unwrap_or("en");
    format!("{}-{voice}-{language}", provider.model)
}

impl Aura {
    fn new(provider: &Provider, text: &str) -> Aura {
        let model = model(provider);
        let query = [("model", model.as_str()), ("encoding", "linear16"), ("sample_rate", "24000")];
        let url = address(&provider.base_url, &["v1", "speak"], &query);
        let mut aura = Aura {
            channel: Channel::new(url, headers(provider)),
            pcm: Pcm::mono(RATE),
            has_text: false,
            flushes: VecDeque::new(),
            unanswered: 0,
            finishing: false,
        };
        aura.speak(text);
        aura
    }

    fn speak(&mut self, text: &str) {
        for piece in pieces(text) {
            self.channel.say(&json!({"type": "Speak", "text": piece}));
            self.has_text |= !piece.trim().is_empty();
        }
    }

    fn feed(&mut self, now: Time, feed: &Feed) {
        if self.finishing {
            return;
        }
        match feed {
            Feed::Text(text) => self.speak(text),
            // One too many would be refused with a warning: the text is then spoken with what comes after it.
            Feed::Flush if self.flushes.len() < FLUSHES_MAX || self.forget_a_flush(now) => self.flush(now),
            Feed::Finish => {
                self.finishing = true;
                self.flush(now);
                self.finish_if_spoken();
            }
            Feed::Flush | Feed::Audio(_) => {}
        }
    }

    /// Whether the oldest flush no longer counts.
    fn forget_a_flush(&mut self, now: Time) -> bool {
        let is_old = self.flushes.front().is_some_and(|sent| *sent + FLUSHES_WITHIN <= now);
        is_old && self.flushes.pop_front().is_some()
    }

    /// What was sent is to be spoken now; nothing if that is nothing.
    fn flush(&mut self, now: Time) {
        if std::mem::take(&mut self.has_text) {
            self.channel.say(&json!({"type": "Flush"}));
            self.flushes.push_back(now);
            self.unanswered += 1;
        }
    }

    fn finish_if_spoken(&mut self) {
        if self.finishing && self.unanswered == 0 {
            self.channel.say(&json!({"type": "Close"}));
            self.channel.finish(None);
        }
    }

    fn read(&mut self, message: &Value) {
        match message["type"].as_str().unwrap_or_default() {
            "Metadata" => self.channel.named(&message["request_id"]),
            "Flushed" => {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.finish_if_spoken();
            }
            "Error" => self.channel.fail(failure(message)),
            // A warning is no end.
            _ => {}
        }
    }
}

/// The text in pieces that are short enough, cut between words where there is such a place.
fn pieces(text: &str) -> Vec<&str> {
    let (mut rest, mut pieces) = (text, Vec::new());
    while let Some((most, _)) = rest.char_indices().nth(TEXT_MAX_CHARS) {
        let at = rest[..most].rfind(' ').filter(|at| *at > 0).unwrap_or(most);
        let (piece, later) = rest.split_at(at);
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

impl Codec for Aura {
    fn open(&mut self) -> Opening {
        self.channel.open()
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        match self.channel.take(input) {
            Some(Input::Feed(feed)) => self.feed(now, feed),
            Some(Input::Binary(bytes)) => {
                if let Some(sound) = self.pcm.read(bytes) {
                    self.channel.tell(sound);
                }
            }
            Some(Input::Text(text)) => self.read(&serde_json::from_str(text).unwrap_or_default()),
            Some(Input::Lost(cause)) => {
                if let Some(failure) = closed(cause) {
                    self.channel.fail(failure);
                }
            }
            Some(Input::Head { .. } | Input::Bytes(_) | Input::End | Input::Timeout) | None => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.channel.poll_output()
    }
}

#[cfg(test)]
mod tests;
