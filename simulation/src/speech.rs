//! Recognisers and voices on a bad day: codecs that answer by themselves, without a wire. The real exchange holds them.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::provider::{
    Answer, Ask, Codec, Event, Failure, FailureKind, Feed, Heard, Input, Opening, Output, Sound, Target,
    TurnSign,
};

use crate::random::Random;

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
/// What a voice makes of a character, at 24 kHz: 20 ms, since sound is what a simulated call is slowest with.
const SAMPLES_PER_CHARACTER: u32 = 480;
const RATE: u32 = 24_000;
/// Some recognisers close a connection that nothing comes over for so long: sooner than real ones do, since simulated calls are short.
const IDLE: Duration = Duration::from_secs(2);

/// A recogniser or a voice that is asked.
pub(crate) struct Speech {
    random: Random,
    /// What it says, and when.
    says: VecDeque<(Time, Event)>,
    listening: Listening,
    /// It is gone after so many events.
    lasts: Option<u32>,
    is_ready: bool,
    /// It closes for want of anything to hear.
    closes: bool,
    /// When it was given something to hear.
    fed_at: Option<Time>,
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
    pub(crate) fn new(ask: &Ask, faults: u64, random: &mut Random) -> Speech {
        let lasts = random.percent(faults).then(|| random.between(0, 12) as u32);
        let mut random = Random::new(random.next());
        let closes = matches!(ask, Ask::Listen) && random.percent(50);
        Speech {
            random,
            says: VecDeque::new(),
            listening: Listening::default(),
            lasts,
            is_ready: false,
            closes,
            fed_at: None,
            ask: ask.clone(),
            now: Time::ZERO,
        }
    }

    /// What it says takes a while, and keeps its order.
    fn say(&mut self, now: Time, most_ms: u64, event: Event) {
        let after = Duration::from_millis(self.random.between(0, most_ms));
        let earliest = self.says.back().map_or(now, |(at, _)| *at);
        self.says.push_back((earliest.max(now + after), event));
    }

    fn begin(&mut self, now: Time) {
        match self.ask.clone() {
            Ask::Speak(text) => {
                let mut left = text.chars().count() as u32 * SAMPLES_PER_CHARACTER;
                self.say(now, 400, Event::Ready);
                while left > 0 {
                    let length = left.min(self.random.between(480, 9_600) as u32);
                    left -= length;
                    let samples = vec![self.random.between(1, 9) as i16; length as usize];
                    self.say(now, 60, Event::Sound(Sound { rate: RATE, samples }));
                }
                self.say(now, 30, Event::Finished(Answer::default()));
            }
            Ask::Transcribe(samples) => {
                let end = samples.len() as u32;
                let text = if self.random.percent(5) { String::new() } else { format!("{end} samples") };
                self.say(
                    now,
                    800,
                    Event::Heard(Heard { text, start: 0, end, words_end: None, is_final: true }),
                );
                self.say(now, 30, Event::Finished(Answer::default()));
            }
            _ => self.say(now, 300, Event::Ready),
        }
    }

    fn hear(&mut self, now: Time, bytes: &[u8]) {
        for sample in bytes.chunks_exact(2) {
            self.listening.fed += 1;
            let at = self.listening.fed;
            if sample != [0, 0] {
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
            self.says.push_back((now, Event::Finished(Answer::default())));
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        let (_, event) = self.says.pop_front_if(|(at, _)| *at <= self.now)?;
        let event = match &mut self.lasts {
            Some(0) => {
                self.says.clear();
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
        self.says.front().map(|(at, _)| *at).into_iter().chain(self.idle_at()).min()
    }
}
