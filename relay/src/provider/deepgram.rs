//! The wire of Deepgram's streaming recogniser, `v1/listen`: nova-3 and what came before it.
//!
//! Audio goes up in binary messages, words come down in JSON (Deepgram's API reference, "Speech to text, live audio"). A recogniser that
//! hears nothing for 10 s hangs up, so that it is told to stay while the user is muted.

use std::time::Duration;

use protocol::Time;
use serde_json::{Value, json};

use super::channel::{Channel, address};
use super::refusal::words;
use super::{
    Ask, Bounds, Codec, Deadlines, Event, Failure, FailureKind, Feed, Heard, Input, Kind, Opening, Output,
    Provider, Service, TurnSign,
};
use crate::money::bill::{ItemPrice, Quantity};

/// Deepgram's streaming recogniser.
pub(super) const DEEPGRAM: Kind = Kind {
    name: "deepgram",
    service: Service::SpeechToText,
    is_fed: true,
    needs_voice: false,
    default_url: "https://api.deepgram.com/",
    vendor: "deepgram",
    line: |model, language| {
        let is_multilingual = language == Some("multi");
        if is_multilingual { format!("{model}-multilingual") } else { model.to_owned() }
    },
    codec: |provider, ask| {
        let Ask::Listen = ask else { return None };
        Some(Box::new(Deepgram::new(provider)))
    },
    bounds: |provider, _| listening(provider),
    price: ItemPrice::stream,
};

/// Without audio it is told so often to stay; it would hang up after 10 s.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// After the last audio its last words are waited for at most this long.
pub(super) const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);
/// A flush that is not answered within this time had nothing to answer: all that was said of it is all that there is.
pub(super) const FLUSHED_WITHIN: Duration = Duration::from_secs(2);
/// Samples a second of the audio that a recogniser is fed with.
const RATE: f64 = 16_000.0;

/// Audio that is to be worked off now. Deepgram may have nothing to say of it, and then says nothing.
pub(super) struct Flushed {
    /// When it is not waited for any longer.
    pub(super) due: Time,
    /// Where it ends.
    pub(super) end: u32,
}

/// A recogniser that listens.
struct Deepgram {
    channel: Channel,
    /// Samples that it was fed.
    fed: u32,
    /// The latest flush that is not answered.
    flushed: Option<Flushed>,
    /// What it has understood after the last words that stay.
    loose: Option<Heard>,
    /// Words up to this place were told as final without its saying so: they are not told again.
    told: u32,
    /// The end of the last words that stay.
    place: u32,
    /// The user said something that no end of a turn was told for.
    in_turn: bool,
    /// When it is told to stay; `None` before it listens, and when nothing more is to be heard.
    keep_alive_at: Option<Time>,
    /// When its last words are no longer waited for; `None` as long as more audio may come.
    over_at: Option<Time>,
}

/// What one may do that listens for as long as a call lasts.
pub(super) fn listening(provider: &Provider) -> Bounds {
    let Deadlines { connect, silence, .. } = provider.deadlines;
    Bounds {
        head: connect,
        first: None,
        silence: None,
        unanswered: Some(silence),
        whole: None,
        bytes: 1 << 28,
    }
}

/// Samples in so many bytes of audio.
pub(super) fn samples(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() / 2).unwrap_or(u32::MAX)
}

/// The header with the key.
pub(super) fn headers(provider: &Provider) -> Vec<(&'static str, String)> {
    let key = provider.key.iter();
    key.map(|key| ("authorization", format!("Token {}", key.expose()))).collect()
}

/// A place in samples at 16 kHz, from seconds.
pub(super) fn place(seconds: &Value) -> Option<u32> {
    // A float beyond the range becomes the nearest number in it.
    seconds.as_f64().map(|seconds| (seconds * RATE).round() as u32)
}

/// Where the first of these words begins, if they have times.
pub(super) fn words_start(words: &Value) -> Option<u32> {
    place(&words.as_array()?.first()?["start"])
}

/// Where the last of these words ends, if they have times.
pub(super) fn words_end(words: &Value) -> Option<u32> {
    place(&words.as_array()?.last()?["end"])
}

/// What it means that a socket of Deepgram's was closed or lost with these words; `None` if that is a connection which broke.
pub(super) fn closed(cause: &str) -> Option<Failure> {
    let says = |word: &str| cause.contains(word);
    let kind = match () {
        () if says("NET-0001") => FailureKind::Timeout,
        () if says("DATA-") || says("closed with 1008") => FailureKind::Request,
        () if says("NET-") || says("closed with 1011") => FailureKind::Provider,
        () => return None,
    };
    Some(Failure::new(kind, cause))
}

/// What a message of type `Error` means.
pub(super) fn failure(message: &Value) -> Failure {
    let code = message["code"].as_str().or(message["err_code"].as_str()).unwrap_or_default();
    let said = format!("{code} {}", words(message));
    let says = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    let kind = match () {
        () if says(&["TIMEOUT", "NET-0001"]) => FailureKind::Timeout,
        () if says(&["RATE", "TOO_MANY", "LIMIT"]) => FailureKind::Busy,
        () if says(&["AUTH", "PERMISSION"]) => FailureKind::Key,
        () if says(&["INVALID", "UNPARS", "BAD_REQUEST", "DATA-"]) => FailureKind::Request,
        () => FailureKind::Provider,
    };
    Failure::new(kind, said.trim())
}

impl Deepgram {
    fn new(provider: &Provider) -> Deepgram {
        let mut query = vec![
            ("model", provider.model.as_str()),
            ("encoding", "linear16"),
            ("sample_rate", "16000"),
            ("channels", "1"),
            ("interim_results", "true"),
            ("smart_format", "true"),
            ("punctuate", "true"),
            ("endpointing", "300"),
            ("utterance_end_ms", "1000"),
            ("vad_events", "true"),
        ];
        query.extend(provider.language.iter().map(|language| ("language", language.as_str())));
        query.extend(provider.key_terms.iter().map(|term| ("keyterm", term.as_str())));
        let url = address(&provider.base_url, &["v1", "listen"], &query);
        Deepgram {
            channel: Channel::new(url, headers(provider)),
            fed: 0,
            flushed: None,
            loose: None,
            told: 0,
            place: 0,
            in_turn: false,
            keep_alive_at: None,
            over_at: None,
        }
    }

    fn feed(&mut self, now: Time, feed: &Feed) {
        if self.over_at.is_some() {
            return;
        }
        match feed {
            Feed::Audio(audio) if !audio.is_empty() => {
                self.channel.send(audio.clone());
                self.fed = self.fed.saturating_add(samples(audio));
                self.keep_alive_at = self.keep_alive_at.map(|_| now + KEEP_ALIVE);
            }
            Feed::Flush => {
                self.channel.say(&json!({"type": "Finalize"}));
                self.flushed = Some(Flushed { due: now + FLUSHED_WITHIN, end: self.fed });
            }
            Feed::Finish => {
                self.channel.say(&json!({"type": "CloseStream"}));
                self.keep_alive_at = None;
                self.over_at = Some(now + LAST_WORDS_WITHIN);
            }
            // An empty message would close the stream; a recogniser has no use for text.
            Feed::Audio(_) | Feed::Text(_) => {}
        }
    }

    fn read(&mut self, message: &Value) {
        match message["type"].as_str().unwrap_or_default() {
            "Results" => self.results(message),
            "SpeechStarted" => {
                self.in_turn = true;
                let at = place(&message["timestamp"]).unwrap_or(self.place);
                self.channel.tell(Event::Turn(TurnSign::Began { at }));
            }
            "UtteranceEnd" => self.turn_is_over(),
            "Metadata" => {
                self.channel.named(&message["request_id"]);
                if self.over_at.is_some() {
                    // That is what it bills.
                    let billed = place(&message["duration"]);
                    self.channel.finish(billed.map(|samples| Quantity::Samples(samples.into())));
                }
            }
            "Error" => self.channel.fail(failure(message)),
            _ => {}
        }
    }

    fn results(&mut self, message: &Value) {
        self.channel.named(&message["metadata"]["request_id"]);
        let best = &message["channel"]["alternatives"][0];
        let text = best["transcript"].as_str().unwrap_or_default();
        let says = |name: &str| message[name].as_bool().unwrap_or(false);
        let is_final = says("is_final") || says("from_finalize");
        // What it tells of begins where the last words ended that stay, whatever silence that is.
        let window = place(&message["start"]).unwrap_or(self.place);
        let end = window.saturating_add(place(&message["duration"]).unwrap_or(0));
        if end <= self.told && self.told > 0 {
            return;
        }
        self.in_turn |= !text.is_empty();
        let start = words_start(&best["words"]).map_or(window, |at| at.clamp(window, end));
        let words_end = words_end(&best["words"]).map(|at| at.clamp(start, end));
        let heard = Heard { text: text.to_owned(), start, end, words_end, is_final };
        self.loose = (!is_final && !text.is_empty()).then(|| heard.clone());
        // Final words that are none still say how far it has heard.
        if is_final || !text.is_empty() {
            self.channel.tell(Event::Heard(heard));
        }
        if is_final {
            self.place = end;
            self.flushed = self.flushed.take().filter(|_| !says("from_finalize"));
        }
        if says("speech_final") {
            self.turn_is_over();
        }
    }

    /// Nothing was said of a flush: what was understood by then stays, and so does silence.
    fn end_flush(&mut self, flushed: &Flushed) {
        let heard = self.loose.take_if(|loose| loose.start < flushed.end);
        let end = heard.as_ref().map_or(0, |heard| heard.end).max(flushed.end);
        (self.told, self.place) = (end, end);
        self.channel.tell(match heard {
            Some(heard) => Event::Heard(Heard { end, is_final: true, ..heard }),
            None => Event::Unanswered { end },
        });
    }

    /// Said once a turn: both the end of speech and the end of an utterance are the end of a turn.
    fn turn_is_over(&mut self) {
        if std::mem::take(&mut self.in_turn) {
            self.channel.tell(Event::Turn(TurnSign::Over));
        }
    }

    fn time_is_up(&mut self, now: Time) {
        if self.over_at.is_some_and(|over| over <= now) {
            self.channel.finish(None);
        } else if let Some(flushed) = self.flushed.take_if(|flushed| flushed.due <= now) {
            self.end_flush(&flushed);
        } else if self.keep_alive_at.is_some_and(|due| due <= now) {
            self.channel.say(&json!({"type": "KeepAlive"}));
            self.keep_alive_at = Some(now + KEEP_ALIVE);
        }
    }
}

impl Codec for Deepgram {
    fn open(&mut self) -> Opening {
        self.channel.open()
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        match self.channel.take(input) {
            Some(Input::Head { .. }) if self.over_at.is_none() => self.keep_alive_at = Some(now + KEEP_ALIVE),
            Some(Input::Feed(feed)) => self.feed(now, feed),
            Some(Input::Text(text)) => self.read(&serde_json::from_str(text).unwrap_or_default()),
            Some(Input::Timeout) => self.time_is_up(now),
            Some(Input::End) if self.over_at.is_some() => self.channel.finish(None),
            Some(Input::Lost(cause)) => {
                if let Some(failure) = closed(cause) {
                    self.channel.fail(failure);
                }
            }
            Some(Input::Head { .. } | Input::Bytes(_) | Input::Binary(_) | Input::End) | None => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.channel.poll_output()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let flushed = self.flushed.as_ref().map(|flushed| flushed.due);
        let due = self.keep_alive_at.into_iter().chain(self.over_at).chain(flushed).min();
        due.filter(|_| !self.channel.is_over())
    }
}

#[cfg(test)]
mod tests;
