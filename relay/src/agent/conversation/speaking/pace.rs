//! How fast an agent's voices speak, as far as they have shown it: how far one came in a text that breaks off and says nothing of that.

use crate::agent::speech_rate::{ends_of_words, lasts_at_least};

/// See the module. Both sums are of texts that were spoken whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long they last at least, in samples.
    least: u64,
    /// How long they lasted, in samples.
    lasted: u64,
}

impl Pace {
    /// Of voices that have not spoken anything yet. They take a third longer than the fastest: of two wrong guesses it is better to say a word
    /// twice than to leave one out.
    pub(super) fn new() -> Pace {
        Pace { least: 3, lasted: 4 }
    }

    /// A text was spoken whole in so many samples, of which there are so many a second. No voice is taken to be faster than the fastest.
    pub(super) fn note(&mut self, text: &str, samples: u32, rate: u32) {
        let least = lasts_at_least(text, rate);
        if samples > 0 {
            self.least = self.least.saturating_add(u64::from(least));
            self.lasted = self.lasted.saturating_add(u64::from(samples.max(least)));
        }
    }

    /// How many bytes of a text are spoken within so many samples: whole words.
    pub(super) fn reaches(self, text: &str, samples: u32, rate: u32) -> usize {
        let least = u64::from(samples).saturating_mul(self.least) / self.lasted.max(1);
        let is_spoken = |end: &usize| u64::from(lasts_at_least(&text[..*end], rate)) <= least;
        if is_spoken(&text.len()) {
            return text.len();
        }
        ends_of_words(text).take_while(is_spoken).last().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 24_000;
    const TEXT: &str = "One two three four five.";

    #[test]
    fn a_voice_of_which_nothing_is_known_is_slower_than_the_fastest_one() {
        let reached = |samples| &TEXT[..Pace::new().reaches(TEXT, samples, RATE)];
        // Seven letters last 7 / 18 s at least, and a third more.
        assert_eq!(reached(0), "");
        assert_eq!(reached(7 * 1_333 * 4 / 3 - 2), "One");
        assert_eq!(reached(7 * 1_333 * 4 / 3 + 2), "One two");
        assert_eq!(reached(3 * RATE), TEXT);
    }

    #[test]
    fn a_voice_is_taken_to_go_on_as_fast_as_it_has_spoken_before() {
        let mut pace = Pace::new();
        // Half as fast as the fastest.
        pace.note(&"a".repeat(180), 20 * RATE, RATE);
        // What nobody can have spoken says nothing of anybody.
        pace.note("Nothing was heard of it.", 0, RATE);
        let reached = |samples| &TEXT[..pace.reaches(TEXT, samples, RATE)];
        assert_eq!(reached(7 * RATE / 9 - 200), "One");
        assert_eq!(reached(7 * RATE / 9 + 200), "One two");
        // However much it says at once, it is not faster than the fastest.
        let mut pace = Pace::new();
        pace.note(&"a".repeat(1_800), 1, RATE);
        assert_eq!(&TEXT[..pace.reaches(TEXT, 7 * RATE / 18 + 200, RATE)], "One two");
    }

    #[test]
    fn in_a_script_without_spaces_it_is_a_word_that_was_reached_too() {
        let text = "我们今晚八点还有一张两人桌。";
        let reached = &text[..Pace::new().reaches(text, RATE, RATE)];
        assert_eq!(reached, "我们今", "three of five in a second");
    }
}
