//! Which words of a text are spoken, from the times of the characters that a voice has spoken.

use serde_json::Value;

use super::super::Spoken;
use crate::agent::speech_rate::{ends_of_words, look_ahead, words};

/// No word is longer; what is longer is no word.
const WORD_MAX_BYTES: usize = 200;

/// The words of a request, and how far they are spoken.
#[derive(Default)]
pub(super) struct Words {
    /// All the text that the request was given.
    text: String,
    /// Bytes of it up to and with the last word that is known to be spoken.
    spoken: usize,
    /// The word that is being spoken, as far as its characters have come.
    word: String,
    /// When its sound ends so far.
    word_ends_ms: u64,
}

impl Words {
    /// More text.
    pub(super) fn give(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The words that end with these characters. Their times count from `begins_ms`, in milliseconds since the first of the request's sound.
    pub(super) fn aligned(&mut self, times: &Value, begins_ms: u64) -> Vec<Spoken> {
        let list = |names: &[&str]| names.iter().find_map(|name| times[*name].as_array());
        let characters = list(&["chars", "characters"]);
        let starts = list(&["charStartTimesMs", "char_start_times_ms"]);
        let lengths =
            list(&["charDurationsMs", "charsDurationsMs", "char_durations_ms", "chars_durations_ms"]);
        let (Some(characters), Some(starts), Some(lengths)) = (characters, starts, lengths) else {
            return Vec::new();
        };
        let mut spoken = Vec::new();
        for ((character, start), length) in characters.iter().zip(starts).zip(lengths) {
            let (Some(character), Some(start)) = (character.as_str(), start.as_f64()) else { continue };
            // A float beyond the range becomes the nearest number in it.
            let ends = (start + length.as_f64().unwrap_or(0.0)).round() as u64;
            let ends_ms = begins_ms.saturating_add(ends);
            spoken.extend(character.chars().filter_map(|character| self.goes_on(character, ends_ms)));
        }
        spoken
    }

    /// The next character, whose sound ends then. It may end the word before it.
    fn goes_on(&mut self, character: char, ends_ms: u64) -> Option<Spoken> {
        if character.is_whitespace() {
            return self.end();
        }
        let before = self.word.len();
        self.word.push(character);
        let mut ended = None;
        if before > 0 && ends_of_words(&self.word).any(|end| end == before) {
            let next = self.word.split_off(before);
            ended = self.end();
            self.word = next;
        } else if self.word.len() > WORD_MAX_BYTES {
            self.word.truncate(before);
            return None;
        }
        self.word_ends_ms = self.word_ends_ms.max(ends_ms);
        ended
    }

    /// The word that was being spoken is over.
    pub(super) fn end(&mut self) -> Option<Spoken> {
        let word = std::mem::take(&mut self.word);
        let rest = self.text.get(self.spoken..)?;
        let there = words(rest).take(look_ahead(&word)).find(|there| *there == word)?;
        // Both are parts of the same text.
        let begins = there.as_ptr() as usize - self.text.as_ptr() as usize;
        self.spoken = begins + there.len();
        let end_ms = u32::try_from(self.word_ends_ms).unwrap_or(u32::MAX);
        Some(Spoken { bytes: u32::try_from(self.spoken).unwrap_or(u32::MAX), end_ms })
    }
}
