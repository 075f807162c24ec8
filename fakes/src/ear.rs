//! A recogniser that hears by energy: how loud it is decides when speech begins, which words are known, and when it is quiet again. What
//! a wire makes of that is the wire's own.

use std::collections::VecDeque;

use crate::script::{Hear, Word};

const FRAME_MS: u64 = 20;
/// A frame is loud above this root mean square of its samples, about -36 dB below the full scale.
const LOUD: f64 = 500.0;
/// So much loud sound is speech.
const SPEECH_MS: u64 = 200;
/// A word for so much loud sound.
const WORD_MS: u64 = 400;
/// What is heard if nobody has said what: "word one two three …".
const COUNT: [&str; 12] =
    ["word", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"];

/// What a frame has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was clear that somebody speaks, since this time.
    Began(u64),
    /// One more word of the utterance is known.
    Word,
    /// It is quiet after speech, since so many milliseconds.
    Quiet(u64),
    /// Speech goes on after quiet.
    Resumed,
}

/// A word as it was heard, in milliseconds of the whole sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) word: String,
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

/// Hears the sound of one connection.
#[derive(Debug)]
pub(crate) struct Ear {
    frame: usize,
    rate: u32,
    /// Samples that are not heard yet.
    rest: VecDeque<i16>,
    signs: VecDeque<(u64, Sign)>,
    samples: u64,
    hear: Hear,
    /// How many utterances are over.
    utterance: usize,
    /// When the loud sound of this utterance began.
    began_ms: Option<u64>,
    /// When it was loud last.
    loud_until_ms: u64,
    loud_ms: u64,
    quiet_ms: u64,
    known: Vec<Heard>,
    /// How many of the known words were handed over while the utterance went on.
    given: usize,
}

impl Ear {
    pub(crate) fn new(rate: u32, hear: Hear) -> Self {
        let frame = (u64::from(rate) * FRAME_MS / 1000).max(1) as usize;
        Ear {
            frame,
            rate,
            rest: VecDeque::new(),
            signs: VecDeque::new(),
            samples: 0,
            hear,
            utterance: 0,
            began_ms: None,
            loud_until_ms: 0,
            loud_ms: 0,
            quiet_ms: 0,
            known: Vec::new(),
            given: 0,
        }
    }

    /// Takes sound. What it brings is polled frame by frame, so that a wire may act on one before the next is heard.
    pub(crate) fn handle_sound(&mut self, sound: &[i16]) {
        self.rest.extend(sound);
    }

    /// What the next frame that brings something has brought, and the time at which it ends; `None` when all sound is heard.
    pub(crate) fn poll_sign(&mut self) -> Option<(u64, Sign)> {
        while self.signs.is_empty() && self.rest.len() >= self.frame {
            let frame: Vec<i16> = self.rest.drain(..self.frame).collect();
            self.hear_frame(&frame);
        }
        self.signs.pop_front()
    }

    /// Ends the utterance: its words, without those that were given before.
    pub(crate) fn take(&mut self) -> Vec<Heard> {
        if !self.speaks() {
            self.forget();
            return Vec::new();
        }
        self.complete();
        self.utterance += 1;
        let words = self.known.split_off(self.given);
        self.forget();
        words
    }

    /// Knows all that the script has for this utterance, and at least one word.
    pub(crate) fn complete(&mut self) {
        let total = if self.speaks() { self.vocabulary().len().max(1) } else { 0 };
        while self.known.len() < total {
            self.learn();
        }
    }

    /// Hands over the words that are known, while the utterance goes on.
    pub(crate) fn give(&mut self) -> Vec<Heard> {
        let words = self.known().to_vec();
        self.given = self.known.len();
        words
    }

    /// Whether an utterance is under way.
    pub(crate) fn speaks(&self) -> bool {
        self.loud_ms >= SPEECH_MS
    }

    /// The words of the utterance that are known by now, and were not given yet.
    pub(crate) fn known(&self) -> &[Heard] {
        &self.known[self.given..]
    }

    /// How much sound was heard, in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.samples * 1000 / u64::from(self.rate)
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.samples + self.rest.len() as u64) as f64 / f64::from(self.rate)
    }

    /// When the utterance that is under way began.
    pub(crate) fn began_ms(&self) -> u64 {
        self.began_ms.unwrap_or_else(|| self.now_ms())
    }

    fn hear_frame(&mut self, frame: &[i16]) {
        let begin_ms = self.now_ms();
        self.samples += frame.len() as u64;
        let now_ms = self.now_ms();
        let power: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let is_loud = (power / frame.len() as f64).sqrt() > LOUD;
        let spoke = self.speaks();
        if is_loud {
            let began_ms = *self.began_ms.get_or_insert(begin_ms);
            self.loud_ms += FRAME_MS;
            self.loud_until_ms = now_ms;
            if std::mem::take(&mut self.quiet_ms) > 0 && spoke {
                self.signs.push_back((now_ms, Sign::Resumed));
            }
            if !spoke && self.speaks() {
                self.signs.push_back((now_ms, Sign::Began(began_ms)));
            }
            let words = self.vocabulary().len();
            if self.loud_ms.is_multiple_of(WORD_MS) && (!self.is_scripted() || self.known.len() < words) {
                self.learn();
                self.signs.push_back((now_ms, Sign::Word));
            }
        } else if self.began_ms.is_some() {
            self.quiet_ms += FRAME_MS;
            if spoke {
                self.signs.push_back((now_ms, Sign::Quiet(self.quiet_ms)));
            } else if self.quiet_ms >= SPEECH_MS {
                self.forget();
            }
        }
    }

    /// One more word is known.
    fn learn(&mut self) {
        let index = self.known.len();
        let base = self.began_ms();
        let word = match self.scripted_words().get(index) {
            Some(Word { word, start_ms, end_ms }) => {
                Heard { word: word.clone(), start_ms: base + start_ms, end_ms: base + end_ms }
            }
            None => {
                let until = self.loud_until_ms.max(base + 1);
                let start_ms = self.known.last().map_or(base, |last| last.end_ms).min(until - 1);
                let end_ms = (start_ms + WORD_MS).min(until);
                let word = match self.vocabulary().get(index) {
                    Some(word) => (*word).to_owned(),
                    None => COUNT.get(index).map_or_else(|| index.to_string(), |word| (*word).to_owned()),
                };
                Heard { word, start_ms, end_ms }
            }
        };
        self.known.push(word);
    }

    fn scripted_words(&self) -> &[Word] {
        if self.utterance == 0 { &self.hear.words } else { &[] }
    }

    fn is_scripted(&self) -> bool {
        !self.vocabulary().is_empty()
    }

    /// The words of this utterance, if a script has them.
    fn vocabulary(&self) -> Vec<&str> {
        let words = self.scripted_words();
        if !words.is_empty() {
            return words.iter().map(|word| word.word.as_str()).collect();
        }
        self.hear.texts.get(self.utterance).map_or_else(Vec::new, |text| text.split_whitespace().collect())
    }

    fn forget(&mut self) {
        (self.began_ms, self.loud_ms, self.quiet_ms, self.given) = (None, 0, 0, 0);
        self.known.clear();
    }
}

/// The words as one text.
pub(crate) fn text(words: &[Heard]) -> String {
    words.iter().map(|heard| heard.word.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Speak;
    use crate::sound::{Tone, samples};

    fn signs(ear: &mut Ear, sound: &[i16]) -> Vec<(u64, Sign)> {
        ear.handle_sound(sound);
        std::iter::from_fn(|| ear.poll_sign()).collect()
    }

    fn sound(ms: u64) -> Vec<i16> {
        let speak = Speak { sound_ms: Some(ms), ..Speak::default() };
        samples(&Tone::new(16_000, speak).say("").concat())
    }

    fn quiet(ms: usize) -> Vec<i16> {
        vec![0; ms * 16]
    }

    #[test]
    fn speech_begins_after_200_ms_and_has_a_word_for_each_400() {
        let mut ear = Ear::new(16_000, Hear::default());
        signs(&mut ear, &quiet(100));
        let told = signs(&mut ear, &sound(900));
        assert_eq!(told, [(300, Sign::Began(100)), (500, Sign::Word), (900, Sign::Word)]);
        let told = signs(&mut ear, &quiet(40));
        assert_eq!(told, [(1020, Sign::Quiet(20)), (1040, Sign::Quiet(40))]);
        let words = ear.take();
        assert_eq!(text(&words), "word one");
        assert_eq!((words[1].start_ms, words[1].end_ms), (500, 900));
        assert!(!ear.speaks());
        assert_eq!(ear.seconds(), 1.04);
    }

    #[test]
    fn a_click_is_no_speech() {
        let mut ear = Ear::new(16_000, Hear::default());
        assert!(signs(&mut ear, &[sound(180), quiet(1000), sound(180), quiet(1000)].concat()).is_empty());
        assert!(ear.take().is_empty());
    }

    #[test]
    fn scripted_words_have_their_own_times_from_the_beginning_of_the_first_utterance() {
        let word = |word: &str, start_ms, end_ms| Word { word: word.into(), start_ms, end_ms };
        let words = vec![word("Good", 10, 90), word("day.", 90, 300)];
        let mut ear = Ear::new(16_000, Hear { words, ..Hear::default() });
        signs(&mut ear, &[quiet(500), sound(400)].concat());
        let times =
            |heard: &[Heard]| heard.iter().map(|word| (word.start_ms, word.end_ms)).collect::<Vec<_>>();
        assert_eq!(times(ear.known()), [(510, 590)]);
        assert_eq!(times(&ear.take()), [(510, 590), (590, 800)]);
    }

    #[test]
    fn each_utterance_is_the_scripts_whole_text_however_short_it_was() {
        let hear = Hear { texts: vec!["How are you?".into(), "Fine.".into()], ..Hear::default() };
        let mut ear = Ear::new(16_000, hear);
        signs(&mut ear, &sound(400));
        assert_eq!(text(ear.known()), "How");
        assert_eq!(text(&ear.take()), "How are you?");
        signs(&mut ear, &sound(2000));
        assert_eq!(text(&ear.take()), "Fine.");
        signs(&mut ear, &sound(200));
        assert_eq!(text(&ear.take()), "word");
    }
}
