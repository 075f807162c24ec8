//! The wire of Deepgram's streaming recogniser, `v1/listen`: nova-3 and what came before it.
//!
//! Audio goes up in binary messages, words come down in JSON (Deepgram's API reference, "Speech to text, live audio"). A recogniser that
//! hears nothing for 10 s hangs up, so that it is told to stay while the user is muted.
//!
//! Words may change until it calls them final, and are told as final by this codec where it does not say so in time. Then they come again, and
//! only what is behind them is told. That a turn is over is told when all of its words are final.

use std::time::Duration;

use protocol::Time;
use serde_json::{Value, json};

use super::channel::{Channel, address};
use super::refusal::words;
use super::told::{self, Told, behind_words};
use super::{
    Ask, Bounds, Codec, Deadlines, Event, Failure, FailureKind, Feed, Heard, Input, Kind, Opening, Output,
    Provider, ROUNDING, Service, TurnSign,
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
/// It moves words while they may change. The end of an utterance has a second without words behind it, so that a word which ends up to half a second
/// behind it is that one.
const MOVED: u32 = 8_000;
/// Somebody is noticed only after they have begun to speak: so many samples before the end of silence may be speech, 1 s.
pub(super) const ONSET: u32 = 16_000;
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
    /// Words that were told as final without its saying so.
    forced: Forced,
    /// What is before this place was told as final without its saying so. Whatever it says of that comes late.
    told: u32,
    /// The end of the last words that stay.
    place: u32,
    /// The latest words of the turn that stay: where they begin, and where the last of them ends if that is known. `None` where the user said
    /// nothing that no end of a turn was told for.
    latest: Option<(u32, Option<u32>)>,
    /// The last word of the turn ends here, and does not stay yet.
    ending: Option<u32>,
    /// The turn is over with the latest words that stay, should those be none that may change.
    is_over_before: bool,
    /// How often it has said something of what it hears.
    pieces: u64,
    /// When it is told to stay; `None` before it listens, and when nothing more is to be heard.
    keep_alive_at: Option<Time>,
    /// When its last words are no longer waited for; `None` as long as more audio may come.
    over_at: Option<Time>,
}

/// Words that were told as final although it may tell them again.
#[derive(Default)]
struct Forced {
    words: Told,
    /// Where the last of them ends, if that is known.
    words_end: Option<u32>,
    /// What it tells of later audio has none of them.
    end: u32,
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

/// How many of the words of a text are spoken before this place, by their middle, if they have times.
pub(super) fn spoken_before(text: &str, words: &Value, before: u32) -> Option<usize> {
    let middle = |word: &Value| Some(place(&word["start"])? / 2 + place(&word["end"])? / 2);
    let middles: Vec<u32> = words.as_array()?.iter().map(middle).collect::<Option<_>>()?;
    let is_each = middles.len() == told::words(text).count();
    is_each.then(|| middles.iter().take_while(|middle| **middle < before).count())
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
        () if says(&["PERMISSION"]) => FailureKind::Permission,
        () if says(&["AUTH"]) => FailureKind::Key,
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
            forced: Forced::default(),
            told: 0,
            place: 0,
            latest: None,
            ending: None,
            is_over_before: false,
            pieces: 0,
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
            Feed::Flush => self.flush(now),
            Feed::Finish => {
                self.channel.say(&json!({"type": "CloseStream"}));
                self.keep_alive_at = None;
                self.over_at = Some(now + LAST_WORDS_WITHIN);
            }
            // An empty message would close the stream; a recogniser has no use for text.
            Feed::Audio(_) | Feed::Text(_) => {}
        }
    }

    fn flush(&mut self, now: Time) {
        self.channel.say(&json!({"type": "Finalize"}));
        self.flushed = Some(Flushed { due: now + FLUSHED_WITHIN, end: self.fed });
    }

    fn read(&mut self, now: Time, message: &Value) {
        let kind = message["type"].as_str().unwrap_or_default();
        self.pieces += u64::from(matches!(kind, "Results" | "SpeechStarted" | "UtteranceEnd"));
        match kind {
            "Results" => self.results(message),
            "SpeechStarted" => {
                let at = place(&message["timestamp"]).unwrap_or(self.place);
                self.channel.tell(Event::Turn(TurnSign::Began { at }));
            }
            "UtteranceEnd" => self.utterance_ends(now, &message["last_word_end"]),
            "Metadata" => {
                self.channel.named(&message["request_id"]);
                if self.over_at.is_some() {
                    // That is what it bills.
                    let billed = place(&message["duration"]);
                    self.end(billed.map(|samples| Quantity::Samples(samples.into())));
                }
            }
            "Error" => self.channel.fail(failure(message)),
            _ => {}
        }
    }

    fn results(&mut self, message: &Value) {
        self.channel.named(&message["metadata"]["request_id"]);
        let best = &message["channel"]["alternatives"][0];
        let says = |name: &str| message[name].as_bool().unwrap_or(false);
        let is_final = ["is_final", "from_finalize", "speech_final"].into_iter().any(says);
        // What it tells of begins where the last words ended that stay, whatever silence that is.
        let window = place(&message["start"]).unwrap_or(self.place);
        let heard_to = window.saturating_add(place(&message["duration"]).unwrap_or(0));
        if window.saturating_add(ROUNDING) >= self.forced.end {
            self.forced = Forced::default();
        }
        let whole = best["transcript"].as_str().unwrap_or_default();
        let text = self.news(whole, &best["words"]);
        let (window, end) = (window.max(self.told), heard_to.max(self.told));
        let start = words_start(&best["words"]).map_or(window, |at| at.clamp(window, end));
        let words_end = words_end(&best["words"]).filter(|_| !text.is_empty());
        let words_end = words_end.map(|at| at.clamp(start, end));
        let heard = Heard { text: text.to_owned(), start, end, words_end, is_final };
        let has_words = !text.is_empty();
        let had_words = self.loose.take().is_some();
        self.loose = (!is_final && has_words).then(|| heard.clone());
        // Final words that are none still say how far it has heard, and words that are gone are taken back.
        if is_final || has_words || had_words {
            self.channel.tell(Event::Heard(heard));
        }
        if is_final {
            self.place = end;
            self.forced.words.forget(whole);
            if heard_to >= self.forced.words_end.unwrap_or(self.forced.end) {
                // It has told all of them again, whatever has become of them.
                self.forced = Forced::default();
            }
            self.flushed =
                self.flushed.take().filter(|flushed| flushed.end > heard_to.saturating_add(ROUNDING));
            if has_words {
                self.latest = Some((start, words_end));
                self.is_over_before = false;
            }
            if self.ending.is_some_and(|at| at <= heard_to.saturating_add(ROUNDING)) {
                if self.is_ended(words_end) {
                    self.turn_is_over();
                }
                self.ending = None;
            }
        }
        if says("speech_final") || self.is_over_before && self.loose.is_none() {
            self.turn_is_over();
        }
    }

    /// What of a text was not told before. Should words have changed that were told, those are news that are spoken behind the last of them. If that
    /// is not known, all is news from the first one on that has changed: rather is a word told twice than lost.
    fn news<'a>(&self, text: &'a str, words: &Value) -> &'a str {
        let Forced { words: told, words_end, .. } = &self.forced;
        told.behind(text).unwrap_or_else(|| {
            let before = words_end.and_then(|end| spoken_before(text, words, end));
            behind_words(text, before.unwrap_or_else(|| told.common(text)))
        })
    }

    /// For a while no words have come behind the one that ends there. It may say so late: of a turn that is over, or of words behind which there are
    /// more by now. Where it has not called those words final, it is asked to: the turn is over when they are.
    fn utterance_ends(&mut self, now: Time, last_word_end: &Value) {
        // It says -1 where it has called no word final.
        let is_said = last_word_end.as_f64().is_some_and(|seconds| seconds >= 0.0);
        // Words that came late are told behind what was final by then.
        let at = place(last_word_end).filter(|_| is_said).map(|at| at.max(self.told));
        let is_theirs = |(start, words_end): (u32, Option<u32>)| {
            at.is_none_or(|at| words_end.map_or(start < at, |end| end <= at.saturating_add(MOVED)))
        };
        let Some(loose) = &self.loose else {
            if self.latest.is_some_and(is_theirs) {
                self.turn_is_over();
            }
            return;
        };
        if !is_theirs((loose.start, loose.words_end)) {
            self.is_over_before |= self.latest.is_some_and(is_theirs);
            return;
        }
        self.ending = at.or(loose.words_end).or(Some(loose.end));
        if self.flushed.is_none() && self.over_at.is_none() {
            self.flush(now);
        }
    }

    /// Whether words whose last one ends there, if that is known, are the last ones of a turn that it has called over.
    fn is_ended(&self, words_end: Option<u32>) -> bool {
        let is_last = |at: u32| words_end.is_none_or(|end| end <= at.saturating_add(MOVED));
        self.ending.is_some_and(is_last)
    }

    /// Nothing was said of a flush: what was understood by then stays, and so does silence. Whoever speaks on is heard on.
    fn end_flush(&mut self, flushed: &Flushed) {
        let fed = self.fed;
        let is_ended = self.loose.as_ref().is_some_and(|loose| self.is_ended(loose.words_end));
        let heard = self.loose.take_if(|loose| {
            let stays = loose.end <= flushed.end || is_ended;
            fed <= flushed.end || loose.start < flushed.end && stays
        });
        if let Some(heard) = heard {
            let end = heard.end.max(flushed.end);
            self.stay(Heard { end, ..heard });
            if self.ending.is_some() {
                self.turn_is_over();
            }
        } else {
            let begins = self.loose.as_ref().map_or(flushed.end, |loose| loose.start);
            let end = begins.min(flushed.end);
            if end > self.place {
                (self.told, self.place) = (end, end);
                self.channel.tell(Event::Unanswered { end });
                // That takes back what may change.
                if let Some(loose) = &self.loose {
                    self.channel.tell(Event::Heard(loose.clone()));
                }
            }
            self.ending = None;
        }
    }

    /// These words stay, although it has not said so.
    fn stay(&mut self, heard: Heard) {
        self.forced.words.add(&heard.text);
        (self.forced.words_end, self.forced.end) = (heard.words_end, heard.end);
        (self.told, self.place) = (heard.end, heard.end);
        self.latest = Some((heard.start, heard.words_end));
        self.is_over_before = false;
        self.channel.tell(Event::Heard(Heard { is_final: true, ..heard }));
    }

    /// Said once a turn: both the end of speech and the end of an utterance are the end of a turn.
    fn turn_is_over(&mut self) {
        (self.ending, self.is_over_before) = (None, false);
        if self.latest.take().is_some() {
            self.channel.tell(Event::Turn(TurnSign::Over));
        }
    }

    /// The last that it said is the last that there is.
    fn end(&mut self, billed: Option<Quantity>) {
        if let Some(heard) = self.loose.take() {
            self.stay(heard);
            self.turn_is_over();
        }
        self.channel.finish(billed);
    }

    fn time_is_up(&mut self, now: Time) {
        if self.over_at.is_some_and(|over| over <= now) {
            self.end(None);
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
            Some(Input::Text(text)) => self.read(now, &serde_json::from_str(text).unwrap_or_default()),
            Some(Input::Timeout) => self.time_is_up(now),
            Some(Input::End) if self.over_at.is_some() => self.end(None),
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

    fn pieces(&self) -> Option<u64> {
        Some(self.pieces)
    }

    fn nobody_spoke(&mut self) -> bool {
        // Words that may change are its own to take back, or to make final.
        if self.loose.is_some() {
            return false;
        }
        let end = self.fed.saturating_sub(ONSET);
        if end > self.place {
            (self.told, self.place) = (end, end);
            self.channel.tell(Event::Unanswered { end });
        }
        true
    }

    fn poll_timeout(&self) -> Option<Time> {
        let flushed = self.flushed.as_ref().map(|flushed| flushed.due);
        let due = self.keep_alive_at.into_iter().chain(self.over_at).chain(flushed).min();
        due.filter(|_| !self.channel.is_over())
    }
}

#[cfg(test)]
mod tests;
