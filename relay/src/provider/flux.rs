//! The wire of Deepgram's Flux, `v2/listen`: a recogniser that finds the turns itself.
//!
//! What it has understood is told for the whole turn each time, and is final with the turn's end (Deepgram's API reference, "Speech to
//! text, turn-based audio"); of a long turn the words that do not change any more are taken to be final before that. It has no message to keep a
//! silent connection alive, closes one that nothing comes over, and says nothing of a forced end where there is no turn.
//!
//! Whatever is told as final before it says so comes again with the rest of its turn. Of each turn it is known which words those are, so that each
//! word is told once.

mod growing;

use std::time::Duration;

use protocol::Time;
use serde_json::{Value, json};

use super::channel::{Channel, address};
use super::deepgram::{
    FLUSHED_WITHIN, Flushed, LAST_WORDS_WITHIN, ONSET, closed, failure, headers, listening, place, samples,
    words_end, words_start,
};
use super::registry::model_line;
use super::told::letters;
use super::{
    Ask, Codec, Event, Failure, FailureKind, Feed, Heard, Input, Kind, Opening, Output, Provider, ROUNDING,
    Service, TurnSign,
};
use crate::money::bill::ItemPrice;
use growing::Growing;

/// Deepgram's recogniser that finds the turns itself.
pub(super) const DEEPGRAM_FLUX: Kind = Kind {
    name: "deepgram-flux",
    service: Service::SpeechToText,
    is_fed: true,
    needs_voice: false,
    default_url: "https://api.deepgram.com/",
    vendor: "deepgram",
    line: model_line,
    codec: |provider, ask| {
        let Ask::Listen = ask else { return None };
        Some(Box::new(Flux::new(provider)))
    },
    bounds: |provider, _| listening(provider),
    price: ItemPrice::stream,
};

/// How sure it is of a turn's end before it says so: the default of Deepgram's documentation.
const END_OF_TURN_THRESHOLD: &str = "0.7";
/// How sure it is when it says that a turn may be over: in the middle of what Deepgram's documentation allows, 0.3 to the threshold of the end.
const EAGER_THRESHOLD: &str = "0.5";
/// After so many milliseconds of silence a turn is over, however sure it is: the default of Deepgram's documentation.
const END_OF_TURN_TIMEOUT_MS: &str = "5000";

/// Audio comes ten times a second. A connection that is closed for want of it after a longer pause than this one was closed for that.
const NOTHING_CAME: Duration = Duration::from_secs(1);

/// A recogniser that listens.
struct Flux {
    channel: Channel,
    /// Samples that it was fed, and when it last was.
    fed: u32,
    fed_at: Option<Time>,
    /// The latest flush that is waited for.
    flushed: Option<Flushed>,
    /// A turn has ended since that flush. What is behind its words is waited for only as long as no more audio comes.
    is_answered: bool,
    /// The end of what was told as final.
    stays: u32,
    /// The number of the turn that it tells of.
    index: Option<i64>,
    /// What it has understood of the turn so far, which no final words have taken the place of.
    turn: Option<Heard>,
    /// Which of the turn's words are final.
    growing: Growing,
    /// The same of the turn that it has told of before, with its number.
    before: (Option<i64>, Growing),
    /// How often it has said something of what it hears.
    pieces: u64,
    /// The end of the last audio that it has said something of.
    place: u32,
    /// When its last words are no longer waited for; `None` as long as more audio may come.
    over_at: Option<Time>,
}

impl Flux {
    fn new(provider: &Provider) -> Flux {
        let mut query = vec![
            ("model", provider.model.as_str()),
            ("encoding", "linear16"),
            ("sample_rate", "16000"),
            ("eot_threshold", END_OF_TURN_THRESHOLD),
            ("eot_timeout_ms", END_OF_TURN_TIMEOUT_MS),
        ];
        // Without `eager_eot_threshold` it never says that a turn may be over.
        if provider.eager {
            query.push(("eager_eot_threshold", EAGER_THRESHOLD));
        }
        // Models of one language refuse to be told a language.
        if provider.model.ends_with("-multi") {
            let language = provider.language.iter().filter(|language| *language != "multi");
            query.extend(language.map(|language| ("language_hint", language.as_str())));
        }
        query.extend(provider.key_terms.iter().map(|term| ("keyterm", term.as_str())));
        let url = address(&provider.base_url, &["v2", "listen"], &query);
        Flux {
            channel: Channel::new(url, headers(provider)),
            fed: 0,
            fed_at: None,
            flushed: None,
            is_answered: false,
            stays: 0,
            index: None,
            turn: None,
            growing: Growing::default(),
            before: (None, Growing::default()),
            pieces: 0,
            place: 0,
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
                self.fed_at = Some(now);
                if std::mem::take(&mut self.is_answered) {
                    self.flushed = None;
                }
            }
            Feed::Flush => {
                self.channel.say(&json!({"type": "ForceEndTurn"}));
                self.flushed = Some(Flushed { due: now + FLUSHED_WITHIN, end: self.fed });
                self.is_answered = false;
            }
            Feed::Finish => {
                self.channel.say(&json!({"type": "CloseStream"}));
                self.over_at = Some(now + LAST_WORDS_WITHIN);
            }
            Feed::Audio(_) | Feed::Text(_) => {}
        }
    }

    fn read(&mut self, now: Time, message: &Value) {
        match message["type"].as_str().unwrap_or_default() {
            "Connected" => self.channel.named(&message["request_id"]),
            "TurnInfo" => {
                self.pieces += 1;
                self.turn_info(message);
            }
            "Error" => self.failed(now, failure(message)),
            _ => {}
        }
    }

    /// That it closes a connection which nothing comes over, of a user who is muted or away, is no failure. What the user was saying goes on
    /// when they are back, so that nothing of it is over.
    fn failed(&mut self, now: Time, failure: Failure) {
        let nothing_came = self.fed_at.is_none_or(|fed_at| now.since(fed_at) >= NOTHING_CAME);
        if failure.kind == FailureKind::Timeout && nothing_came {
            self.channel.finish(None);
        } else {
            self.channel.fail(failure);
        }
    }

    fn turn_info(&mut self, message: &Value) {
        self.channel.named(&message["request_id"]);
        self.tell_of(message["turn_index"].as_i64().or(self.index));
        // What it tells of may begin where the turn before it ended, whatever silence that is.
        let window = place(&message["audio_window_start"]).unwrap_or(self.place);
        let end = place(&message["audio_window_end"]).unwrap_or(window).max(window);
        let start = self.words_start(&message["words"]).clamp(window, end).max(self.stays);
        let end = end.max(start);
        let text = message["transcript"].as_str().unwrap_or_default();
        let text = self.growing.rest(text, &message["words"]).to_owned();
        let words_end = self.words_end(&text, &message["words"], end).map(|at| at.clamp(start, end));
        let heard = Heard { text, start, end, words_end, is_final: false };
        self.place = end;
        match message["event"].as_str().unwrap_or_default() {
            "StartOfTurn" => {
                self.channel.tell(Event::Turn(TurnSign::Began { at: start }));
                self.so_far(heard);
            }
            "Update" if heard.text.is_empty() && self.turn.is_none() => {
                self.silence(end.saturating_sub(ONSET));
            }
            "Update" => self.so_far(heard),
            "EagerEndOfTurn" => {
                self.so_far(heard);
                self.channel.tell(Event::Turn(TurnSign::MayBeOver));
            }
            "TurnResumed" => {
                self.channel.tell(Event::Turn(TurnSign::GoesOn));
                self.so_far(heard);
            }
            "EndOfTurn" => {
                self.turn_is_over(heard);
                self.answer_flush(end);
                if self.index.is_none() {
                    // Without numbers the next message is about another turn.
                    self.growing = Growing::default();
                }
            }
            _ => {}
        }
    }

    /// What follows is about the turn of this number. Another one whose end was not told is over with what was understood of it.
    fn tell_of(&mut self, index: Option<i64>) {
        if index == self.index {
            return;
        }
        if let Some(turn) = self.turn.take() {
            self.turn_is_over(turn);
        }
        let last = (std::mem::replace(&mut self.index, index), std::mem::take(&mut self.growing));
        let (before, growing) = std::mem::replace(&mut self.before, last);
        if before == index {
            self.growing = growing;
        }
    }

    /// A turn has ended here. Whoever has been speaking on since the flush is not cut by that flush any more; of whoever is silent since then the
    /// rest is still waited for.
    fn answer_flush(&mut self, end: u32) {
        let fed = self.fed;
        let flushed = self.flushed.take();
        self.flushed =
            flushed.filter(|flushed| fed <= flushed.end && flushed.end > end.saturating_add(ROUNDING));
        self.is_answered = self.flushed.is_some();
    }

    /// Where the first word of a turn begins. Without a time of its own that is a while before the last sound in which there was none.
    fn words_start(&self, words: &Value) -> u32 {
        let known = self.turn.as_ref().map(|turn| turn.start);
        words_start(words).or(known).unwrap_or(self.place.saturating_sub(ONSET))
    }

    /// Where the last word of a turn ends. Without a time of its own it was known first at the end of the sound in which the words became these,
    /// whatever stands between them.
    fn words_end(&self, text: &str, words: &Value, end: u32) -> Option<u32> {
        let known = self.turn.as_ref().filter(|turn| letters(&turn.text).eq(letters(text)));
        let known = known.map(|turn| turn.words_end.unwrap_or(turn.end));
        words_end(words).or(known).or((!text.is_empty()).then_some(end))
    }

    /// Nobody speaks: how far that was heard is told, since it stays so.
    fn silence(&mut self, end: u32) {
        if end > self.stays {
            let heard =
                Heard { text: String::new(), start: self.stays, end, words_end: None, is_final: true };
            self.stays = end;
            self.channel.tell(Event::Heard(heard));
        }
    }

    /// Nothing was said of a flush, or not all: what was understood by then stays, and so does silence. What was understood only of later audio goes
    /// on: it may be a turn that began after the flush, or somebody who talks on and on.
    fn end_flush(&mut self, flushed: &Flushed) {
        let Some(mut turn) = self.turn.take() else { return self.unanswered(flushed.end) };
        if self.fed <= flushed.end || turn.end <= flushed.end {
            let end = turn.end.max(flushed.end);
            return self.turn_is_over(Heard { end, ..turn });
        }
        match self.growing.stay_before(&turn.text, flushed.end) {
            Some(known) => {
                self.stay(&mut turn, known);
                self.channel.tell(Event::Turn(TurnSign::Over));
            }
            None => self.unanswered(flushed.end.min(turn.start)),
        }
        // Both take back what may change.
        if !turn.text.is_empty() {
            self.channel.tell(Event::Heard(turn.clone()));
            self.turn = Some(turn);
        }
    }

    /// Up to here there are no more words.
    fn unanswered(&mut self, end: u32) {
        if end > self.stays {
            self.stays = end;
            self.channel.tell(Event::Unanswered { end });
        }
    }

    /// It repeats itself several times a second; only news is told.
    fn so_far(&mut self, mut heard: Heard) {
        if heard.text.is_empty() {
            return;
        }
        let settled = match self.flushed {
            None => self.growing.settle(&heard.text, heard.end),
            // What ends a turn by force makes all of it final.
            Some(_) => {
                self.growing.note(&heard.text, heard.end);
                None
            }
        };
        if let Some(known) = settled {
            self.stay(&mut heard, known);
        } else if self.turn.as_ref().is_some_and(|turn| turn.text == heard.text) {
            return;
        }
        self.turn = Some(heard.clone());
        self.channel.tell(Event::Heard(heard));
    }

    /// So many bytes of these words stay, which end there.
    fn stay(&mut self, heard: &mut Heard, (length, end): (usize, u32)) {
        let end = end.max(heard.start);
        let rest = heard.text.split_off(length).trim_start().to_owned();
        let text = std::mem::replace(&mut heard.text, rest);
        let start = std::mem::replace(&mut heard.start, end);
        heard.words_end = heard.words_end.map(|words_end| words_end.max(end));
        self.stays = self.stays.max(end);
        self.channel.tell(Event::Heard(Heard { text, start, end, words_end: Some(end), is_final: true }));
    }

    fn turn_is_over(&mut self, heard: Heard) {
        self.turn = None;
        self.growing.stay_whole(&heard.text, heard.words_end.filter(|_| !heard.text.is_empty()));
        self.stays = self.stays.max(heard.end);
        self.channel.tell(Event::Heard(Heard { is_final: true, ..heard }));
        self.channel.tell(Event::Turn(TurnSign::Over));
    }

    /// It closes without a last word of its own: the latest that it said of the turn is the last.
    fn end(&mut self) {
        if let Some(turn) = self.turn.take() {
            self.turn_is_over(turn);
        }
        self.channel.finish(None);
    }
}

impl Codec for Flux {
    fn open(&mut self) -> Opening {
        self.channel.open()
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        match self.channel.take(input) {
            Some(Input::Feed(feed)) => self.feed(now, feed),
            Some(Input::Text(text)) => self.read(now, &serde_json::from_str(text).unwrap_or_default()),
            Some(Input::Lost(cause)) => match closed(cause) {
                Some(failure) => self.failed(now, failure),
                // It is documented to close without a code, which looks like a connection that broke.
                None if self.over_at.is_some() => self.end(),
                None => {}
            },
            Some(Input::End) if self.over_at.is_some() => self.end(),
            Some(Input::Timeout) if self.over_at.is_some_and(|over| over <= now) => self.end(),
            Some(Input::Timeout) => {
                if let Some(flushed) = self.flushed.take_if(|flushed| flushed.due <= now) {
                    self.end_flush(&flushed);
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
        // Words of a turn are its own to take back, or to make final.
        if self.turn.is_some() {
            return false;
        }
        self.unanswered(self.fed.saturating_sub(ONSET));
        true
    }

    fn poll_timeout(&self) -> Option<Time> {
        let flushed = self.flushed.as_ref().map(|flushed| flushed.due);
        self.over_at.into_iter().chain(flushed).min().filter(|_| !self.channel.is_over())
    }
}

#[cfg(test)]
mod tests;
