//! Which words of a piece are spoken when, where its voice says so.
//!
//! A voice tells that of the text that it was given. What is told of a piece is the text as it was written, with what nobody speaks: the words
//! that both have in common are found in it, one after the other.

use crate::agent::speech_rate::{look_ahead, words};
use crate::provider::Spoken;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    /// Bytes of the spoken text up to and with the last word that was found.
    spoken: usize,
    /// Bytes of the written text up to and with that word.
    written: usize,
    /// What the voice has said, in its order.
    marks: Vec<Mark>,
    /// So many of them were taken.
    taken: usize,
    /// Bytes of the written text up to and with the last word that was taken.
    told: usize,
}

/// How far a voice is after how many samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes of the text that it was given.
    pub(super) spoken: usize,
    /// Bytes of the written text.
    pub(super) written: usize,
    samples: u32,
}

impl Mark {
    /// How far a voice is that has spoken so many bytes of a text that was written like this.
    pub(super) fn of(text: &str, written: &str, spoken: usize) -> Mark {
        let mut alignment = Alignment::default();
        alignment.note_at(text, written, spoken, 0);
        Mark { spoken, ..alignment.marks.last().copied().unwrap_or_default() }
    }
}

impl Alignment {
    /// The voice says how far it is in the text that it was given, when it speaks at so many samples a second.
    pub(super) fn note(&mut self, text: &str, written: &str, so_far: &Spoken, rate: u32) {
        let samples = u64::from(so_far.end_ms) * u64::from(rate) / 1_000;
        self.note_at(text, written, so_far.bytes as usize, u32::try_from(samples).unwrap_or(u32::MAX));
    }

    /// How much of the written text is spoken after how many samples, as far as those are there and it was not taken.
    pub(super) fn take(&mut self, through: u32) -> Vec<(usize, u32)> {
        let mut known = Vec::new();
        while let Some(mark) = self.marks.get(self.taken).copied().filter(|mark| mark.samples <= through) {
            self.taken += 1;
            if mark.written > self.told {
                self.told = mark.written;
                known.push((mark.written, mark.samples));
            }
        }
        known
    }

    /// How far the voice was after so many samples, if it has said anything of that at all.
    pub(super) fn reached(&self, samples: u32) -> Option<Mark> {
        let reached = self.marks.iter().rfind(|mark| mark.samples <= samples);
        (!self.marks.is_empty()).then(|| reached.copied().unwrap_or_default())
    }

    /// So many bytes of the text are spoken after so many samples.
    fn note_at(&mut self, text: &str, written: &str, through: usize, samples: u32) {
        let Some(said) = text.get(self.spoken..through) else { return };
        if said.is_empty() {
            return;
        }
        if written.starts_with(text) {
            self.written = through;
        } else {
            words(said).for_each(|word| self.find(word, written));
        }
        self.spoken = through;
        self.marks.push(Mark { spoken: self.spoken, written: self.written, samples });
    }

    /// Goes on to this word in the written text, if it stands there.
    fn find(&mut self, word: &str, written: &str) {
        let Some(rest) = written.get(self.written..) else { return };
        let is_it = |there: &&str| letters(there).eq(letters(word)) && letters(word).next().is_some();
        // Marks alone are spoken by nobody.
        let spoken = words(rest).filter(|there| letters(there).next().is_some());
        if let Some(there) = spoken.take(look_ahead(word)).find(is_it) {
            // Both are parts of the same text.
            self.written = there.as_ptr() as usize - written.as_ptr() as usize + there.len();
        }
    }
}

/// What is heard of a word: no marks around it.
fn letters(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|char| char.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the written text is spoken when, if the voice says this of what it was given: bytes and milliseconds.
    fn aligned(text: &str, written: &str, said: &[(u32, u32)]) -> Vec<(String, u32)> {
        let mut alignment = Alignment::default();
        for &(bytes, end_ms) in said {
            alignment.note(text, written, &Spoken { bytes, end_ms }, 24_000);
        }
        let known = alignment.take(u32::MAX);
        assert!(alignment.take(u32::MAX).is_empty(), "it is told once");
        known.into_iter().map(|(bytes, samples)| (written[..bytes].to_owned(), samples)).collect()
    }

    #[test]
    fn what_is_spoken_as_it_is_written_is_aligned_to_the_letter() {
        let text = "It is a test.";
        let known = aligned(text, text, &[(2, 100), (5, 500), (13, 1_000)]);
        assert_eq!(known, [("It".into(), 2_400), ("It is".into(), 12_000), (text.into(), 24_000)]);
    }

    #[test]
    fn what_is_written_otherwise_than_spoken_is_aligned_by_the_words_that_both_have() {
        let known =
            aligned("It is seven euros, yes.", "It is **7 €**, _yes_.", &[(5, 100), (17, 700), (23, 900)]);
        assert_eq!(known, [("It is".into(), 2_400), ("It is **7 €**, _yes_.".into(), 21_600)]);
        // Of several words at once the last one that both have counts.
        let known = aligned("One two three.", "- One *two* three.", &[(7, 300)]);
        assert_eq!(known, [("- One *two*".into(), 7_200)]);
    }

    #[test]
    fn what_is_written_without_spaces_is_aligned_by_its_characters() {
        let known =
            aligned("你好，世界。", "**你好**，「👋」世界。", &[(3, 100), (6, 200), (9, 300), (15, 900)]);
        assert_eq!(
            known,
            [("**你".into(), 2_400), ("**你好".into(), 4_800), ("**你好**，「👋」世界".into(), 21_600)]
        );
        let known = aligned("コーヒーです", "*コーヒー*です", &[(12, 400), (15, 500), (18, 600)]);
        assert_eq!(
            known,
            [("*コーヒー".into(), 9_600), ("*コーヒー*で".into(), 12_000), ("*コーヒー*です".into(), 14_400)]
        );
    }

    #[test]
    fn what_is_spoken_in_sound_that_is_not_there_yet_waits_for_it() {
        let text = "It is a test.";
        let mut alignment = Alignment::default();
        assert_eq!(alignment.reached(u32::MAX), None, "it says nothing");
        for (bytes, end_ms) in [(2, 100), (5, 500)] {
            alignment.note(text, text, &Spoken { bytes, end_ms }, 24_000);
        }
        assert_eq!(alignment.take(11_999), [(2, 2_400)]);
        let reached = |samples| alignment.reached(samples).map(|mark| mark.spoken);
        assert_eq!([reached(0), reached(11_999), reached(12_000)], [Some(0), Some(2), Some(5)]);
        assert_eq!(alignment.take(12_000), [(5, 12_000)]);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let text = "Grüße an alle.";
        assert_eq!(
            aligned(text, text, &[(3, 100), (99, 200), (7, 300), (5, 400)]).len(),
            1,
            "in mid-character, beyond, back"
        );
        assert_eq!(aligned("Yes.", "No.", &[(4, 100)]), []);
    }
}
