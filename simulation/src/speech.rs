//! Recognisers and voices on a bad day: codecs that answer by themselves, without a wire. The real exchange holds them.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::provider::{
    Answer, Ask, Codec, Event, Failure, FailureKind, Feed, Heard, Input, Opening, Output, Sound, Target,
    TurnSign,
};

use crate::provider::Habits;
use crate::random::Random;
use crate::scenario::Day;
use crate::voice;

/// A recogniser takes speech for one after so much of it, and its end for one after so much silence.
const ONSET: u32 = 1_600;
const PAUSE: u32 = 4_800;
/// After so much silence it says that it may be the end.
const SHORT_PAUSE: u32 = 1_600;
/// Words that stay are told after so much of them at the latest, and that there were none after so much silence.
const STEP: u32 = 24_000;
/// How often in a hundred what seemed to be words is taken back.
const TAKEN_BACK_PERCENT: u64 = 8;
/// So many of a hundred silences seem to have a word in them.
const TAKEN_BACK: u64 = 5;
/// A voice speaks so many characters a second: far more than people do, since sound is what a simulated call is slowest with.
pub(crate) const CHARACTERS_PER_SECOND: u32 = 50;
/// Most voices speak at the rate of most agents, and so many of a hundred at another one: to change the rate takes longer than all the rest.
const OTHER_RATE_PERCENT: u64 = 25;
const RATE: u32 = 16_000;
const OTHER_RATE: u32 = 24_000;
/// Some recognisers close a connection that nothing comes over for so long: sooner than real ones do, since simulated calls are short.
const IDLE: Duration = Duration::from_secs(2);
/// Whoever is told to work off what it had and says nothing of that in this time has nothing to say: so real codecs have it, after twice as long, and
/// in time before anybody closes a connection.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);
/// Makes another seed of a request's own: its troubles are drawn apart from all else, so that each can be left out alone.
pub(crate) const TROUBLE: u64 = 0x7e57_ab1e;

/// A recogniser or a voice that is asked.
pub(crate) struct Speech {
    random: Random,
    /// What it says, and when.
    says: VecDeque<(Time, Event)>,
    listening: Listening,
    /// It is gone after so many events.
    lasts: Option<u32>,
    is_ready: bool,
    /// Samples a second of what it speaks.
    rate: u32,
    /// It closes for want of anything to hear.
    closes: bool,
    /// When it was given something to hear.
    fed_at: Option<Time>,
    /// Behind so many things that it says it says nothing for this long.
    stall: Option<(u32, Duration)>,
    /// It says words that stay, and pieces of sound, twice, and something behind its end.
    repeats: bool,
    /// Words that stay come so long after the end of their turn.
    late: Option<Duration>,
    /// The flush of which nothing is said in time: when that is known, and up to which sample it asked.
    flushed: Option<(Time, u32)>,
    /// Words that were told and may change.
    loose: Option<Heard>,
    /// Nothing is told any more of what is before this.
    closed: u32,
    ask: Ask,
    now: Time,
}

/// What a recogniser has heard of a stream.
#[derive(Default)]
struct Listening {
    /// Samples that it was given.
    fed: u32,
    /// Where the words began that did not end yet, and where they last were loud.
    run: Option<(u32, u32)>,
    /// What was said of the run.
    has_begun: bool,
    /// It was said that the run may be over.
    may_be_over: bool,
    /// Before this all is told.
    told: u32,
}

impl Speech {
    pub(crate) fn new(ask: &Ask, day: Day, seed: u64) -> Speech {
        let (mut random, mut trouble) = (Random::new(seed), Random::new(seed ^ TROUBLE));
        let closes = matches!(ask, Ask::Listen) && random.percent(50);
        let (stalls, repeats, is_late) =
            (trouble.percent(day.stalls), trouble.percent(day.repeats), trouble.percent(day.late));
        let stall = (trouble.between(0, 8) as u32, Duration::from_millis(trouble.between(1_000, 20_000)));
        let late = Duration::from_millis(trouble.between(100, 3_000));
        let rate = if trouble.percent(OTHER_RATE_PERCENT) { OTHER_RATE } else { RATE };
        let lasts = trouble.percent(day.faults).then(|| trouble.between(0, 12) as u32);
        Speech {
            random,
            says: VecDeque::new(),
            listening: Listening::default(),
            lasts,
            is_ready: false,
            rate,
            closes,
            fed_at: None,
            stall: stalls.then_some(stall),
            repeats,
            late: (is_late && matches!(ask, Ask::Listen)).then_some(late),
            flushed: None,
            loose: None,
            closed: 0,
            ask: ask.clone(),
            now: Time::ZERO,
        }
    }

    /// What it does beside answering.
    pub(crate) fn habits(&self) -> Habits {
        let (stalls, is_late) = (self.stall.is_some(), self.late.is_some());
        let fails = self.lasts.is_some();
        Habits { fails, stalls, repeats: self.repeats, is_late, ..Habits::default() }
    }

    /// What it says takes a while, and keeps its order.
    fn say(&mut self, now: Time, most_ms: u64, event: Event) {
        let after = Duration::from_millis(self.random.between(0, most_ms));
        self.say_after(now, after, event);
    }

    fn say_after(&mut self, now: Time, after: Duration, event: Event) {
        let earliest = self.says.back().map_or(now, |(at, _)| *at);
        let mut at = earliest.max(now + after);
        match self.stall {
            Some((0, time)) => {
                at = at + time;
                self.stall = None;
            }
            Some((left, time)) => self.stall = Some((left - 1, time)),
            None => {}
        }
        self.says.push_back((at, event));
    }

    /// The same once more, if it repeats itself: right behind, and with nothing drawn for that.
    fn repeat(&mut self) {
        if let Some((at, event)) = self.says.back().filter(|_| self.repeats).cloned() {
            self.says.push_back((at, event));
        }
    }

    fn begin(&mut self, now: Time) {
        match self.ask.clone() {
            Ask::Speak(text) => {
                let mut left = text.chars().count() as u32 * (self.rate / CHARACTERS_PER_SECOND);
                self.say(now, 400, Event::Ready);
                while left > 0 {
                    let length = left.min(self.random.between(480, 9_600) as u32);
                    left -= length;
                    let samples = vec![self.random.between(1, 9) as i16; length as usize];
                    self.say(now, 60, Event::Sound(Sound { rate: self.rate, samples }));
                    self.repeat();
                }
                self.finish(now);
            }
            Ask::Transcribe(samples) => {
                self.say_after(now, Duration::ZERO, Event::Ready);
                let end = samples.len() as u32;
                let has_words = samples.iter().any(|sample| voice::is_word(*sample));
                let is_missed = self.random.percent(5);
                let text = if is_missed || !has_words { String::new() } else { format!("{end} samples") };
                self.say(
                    now,
                    800,
                    Event::Heard(Heard { text, start: 0, end, words_end: None, is_final: true }),
                );
                self.repeat();
                self.finish(now);
            }
            _ => self.say(now, 300, Event::Ready),
        }
    }

    /// It is done. Who repeats itself is not quite.
    fn finish(&mut self, now: Time) {
        let last = self.says.back().filter(|_| self.repeats).cloned();
        self.say(now, 30, Event::Finished(Answer::default()));
        if let (Some((at, _)), Some((_, event))) = (self.says.back().cloned(), last) {
            self.says.push_back((at, event));
            self.says.push_back((at, Event::Finished(Answer::default())));
        }
    }

    fn hear(&mut self, now: Time, bytes: &[u8]) {
        for sample in bytes.chunks_exact(2) {
            self.listening.fed += 1;
            let at = self.listening.fed;
            if voice::is_word(i16::from_le_bytes([sample[0], sample[1]])) {
                let (start, _) = self.listening.run.unwrap_or((at - 1, at));
                self.listening.run = Some((start, at));
                self.listening.may_be_over = false;
            }
            match self.listening.run {
                Some((start, loud)) if !self.listening.has_begun && loud >= start + ONSET => {
                    self.listening.has_begun = true;
                    self.say(now, 100, Event::Turn(TurnSign::Began { at: start }));
                    self.words(now, start, loud, false);
                }
                Some((start, loud)) if at >= loud + PAUSE => self.end(now, start, loud),
                Some((start, loud))
                    if self.listening.has_begun
                        && !self.listening.may_be_over
                        && at >= loud + SHORT_PAUSE =>
                {
                    self.listening.may_be_over = true;
                    let told = start.max(self.listening.told).min(loud);
                    self.words(now, told, loud, false);
                    self.say(now, 100, Event::Turn(TurnSign::MayBeOver));
                    if self.random.percent(30) {
                        self.say(now, 100, Event::Turn(TurnSign::GoesOn));
                    }
                }
                Some((start, _)) if at >= start.max(self.listening.told) + STEP => {
                    self.words(now, start.max(self.listening.told), at, true);
                }
                None if at >= self.listening.told + STEP => {
                    if self.random.percent(TAKEN_BACK) {
                        // It seems to hear a word in what is none, and takes it back.
                        let text = "uh".to_owned();
                        let (start, end) = (self.listening.told, at);
                        let heard = Heard { text, start, end, words_end: None, is_final: false };
                        self.say(now, 300, Event::Heard(heard));
                    }
                    let heard = Heard {
                        text: String::new(),
                        start: self.listening.told,
                        end: at,
                        words_end: None,
                        is_final: true,
                    };
                    self.listening.told = at;
                    self.say(now, 200, Event::Heard(heard));
                }
                _ => {}
            }
        }
    }

    fn idle_at(&self) -> Option<Time> {
        self.fed_at.filter(|_| self.is_ready && self.closes).map(|fed_at| fed_at + IDLE)
    }

    fn words(&mut self, now: Time, start: u32, end: u32, is_final: bool) {
        let text = format!("{start}-{end}");
        if is_final {
            self.listening.told = end;
        }
        self.say(now, 300, Event::Heard(Heard { text, start, end, words_end: None, is_final }));
        if is_final {
            self.repeat();
        }
    }

    fn end(&mut self, now: Time, start: u32, loud: u32) {
        let begun = std::mem::take(&mut self.listening.has_begun);
        self.listening.run = None;
        if begun {
            let from = start.max(self.listening.told).min(loud);
            // What seemed to be words was a cough: the recogniser takes it back.
            if from == start && self.random.percent(TAKEN_BACK_PERCENT) {
                self.listening.told = loud;
                let (text, words_end) = (String::new(), None);
                self.say(now, 300, Event::Heard(Heard { text, start, end: loud, words_end, is_final: true }));
            } else if let Some(late) = self.late {
                self.say(now, 100, Event::Turn(TurnSign::Over));
                self.listening.told = loud;
                let (text, words_end) = (format!("{from}-{loud}"), None);
                let heard = Heard { text, start: from, end: loud, words_end, is_final: true };
                return self.say_after(now, late, Event::Heard(heard));
            } else {
                self.words(now, from, loud, true);
            }
            self.say(now, 100, Event::Turn(TurnSign::Over));
        }
    }

    fn flush(&mut self, now: Time) {
        if let Some((start, loud)) = self.listening.run {
            self.end(now, start, loud);
        }
        let end = self.listening.fed;
        let heard = Heard {
            text: String::new(),
            start: self.listening.told.min(end),
            end,
            words_end: None,
            is_final: true,
        };
        self.listening.told = end;
        self.say(now, 200, Event::Heard(heard));
        let due = now + FLUSHED_WITHIN;
        let is_stalled = self.says.back().is_some_and(|(at, _)| *at > due);
        self.flushed = is_stalled.then_some((due, end)).or(self.flushed);
    }

    /// What is known by now of a flush of which nothing was said in time: the words that were there stay, or there are none.
    fn end_flush(&mut self) -> Option<Event> {
        let (_, end) = self.flushed.take_if(|(due, _)| *due <= self.now)?;
        let heard = self.loose.take().filter(|loose| loose.start < end);
        self.closed = heard.as_ref().map_or(0, |heard| heard.end).max(end);
        Some(match heard {
            Some(heard) => Event::Heard(Heard { end: self.closed, is_final: true, ..heard }),
            None => Event::Unanswered { end: self.closed },
        })
    }

    /// What it says next. Of what is closed it says nothing.
    fn next_said(&mut self) -> Option<Event> {
        loop {
            let (_, event) = self.says.pop_front_if(|(at, _)| *at <= self.now)?;
            match &event {
                Event::Heard(heard) if heard.end <= self.closed && self.closed > 0 => continue,
                Event::Heard(heard) => {
                    self.loose = (!heard.is_final && !heard.text.is_empty()).then(|| heard.clone());
                }
                // What was there by then is what was said.
                Event::Turn(TurnSign::Over) => self.loose = None,
                _ => {}
            }
            return Some(event);
        }
    }
}

impl Codec for Speech {
    fn open(&mut self) -> Opening {
        let url = "ws://speech.test/".parse().expect("an address");
        Opening::Socket(Target { url, headers: Vec::new(), body: Vec::new() })
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Head { .. } if !self.is_ready => {
                self.is_ready = true;
                self.begin(now);
            }
            Input::Feed(Feed::Audio(bytes)) => {
                self.fed_at = Some(now);
                self.hear(now, bytes);
            }
            Input::Feed(Feed::Flush) => self.flush(now),
            Input::Feed(Feed::Finish) if matches!(self.ask, Ask::Listen) => {
                self.say(now, 100, Event::Finished(Answer::default()));
            }
            _ => {}
        }
        if self.idle_at().is_some_and(|idle| idle <= now) {
            self.closes = false;
            self.says.clear();
            self.flushed = None;
            self.says.push_back((now, Event::Finished(Answer::default())));
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        let event = self.end_flush().or_else(|| self.next_said())?;
        let event = match &mut self.lasts {
            Some(0) => {
                self.says.clear();
                self.flushed = None;
                let kinds =
                    [FailureKind::Connection, FailureKind::Busy, FailureKind::Provider, FailureKind::Key];
                Event::Failed(Failure::new(kinds[self.random.between(0, 3) as usize], "gone"))
            }
            Some(left) => {
                *left -= 1;
                event
            }
            None => event,
        };
        Some(Output::Event(event))
    }

    fn poll_timeout(&self) -> Option<Time> {
        let flushed = self.flushed.map(|(due, _)| due);
        let says = self.says.front().map(|(at, _)| *at);
        says.into_iter().chain(flushed).chain(self.idle_at()).min()
    }
}
