//! Which words of a piece are spoken when, where its voice says so.
//!
//! A voice tells that of the text that it was given. What is told of a piece is the text as it was written, with what nobody speaks: the words
//! that both have in common are found in it, one after the other.

use crate::provider::Spoken;

/// So many written words may have no spoken one before the written text is lost track of.
const LOOK_AHEAD_WORDS: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    /// Bytes of the spoken text up to and with the last word that was found.
    spoken: usize,
    /// Bytes of the written text up to and with that word.
    written: usize,
    /// How much of the written text is spoken after how many samples, as far as it was not taken.
    known: Vec<(usize, u32)>,
}

impl Alignment {
    /// The voice says how far it is in the text that it was given, when it speaks at so many samples a second.
    pub(super) fn note(&mut self, text: &str, written: &str, so_far: &Spoken, rate: u32) {
        let through = so_far.bytes as usize;
        let Some(said) = text.get(self.spoken..through) else { return };
        let before = self.written;
        if written.starts_with(text) {
            self.written = through;
        } else {
            said.split_whitespace().for_each(|word| self.find(word, written));
        }
        self.spoken = through;
        if self.written > before {
            let samples = u64::from(so_far.end_ms) * u64::from(rate) / 1_000;
            self.known.push((self.written, u32::try_from(samples).unwrap_or(u32::MAX)));
        }
    }

    /// What is known and was not taken.
    pub(super) fn take(&mut self) -> Vec<(usize, u32)> {
        std::mem::take(&mut self.known)
    }

    /// Goes on to this word in the written text, if it stands there.
    fn find(&mut self, word: &str, written: &str) {
        let Some(rest) = written.get(self.written..) else { return };
        let is_it = |there: &&str| letters(there).eq(letters(word)) && letters(word).next().is_some();
        if let Some(there) = rest.split_whitespace().take(LOOK_AHEAD_WORDS).find(is_it) {
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
        let known = alignment.take();
        assert!(alignment.take().is_empty(), "it is told once");
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
