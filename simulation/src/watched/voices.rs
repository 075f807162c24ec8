//! What voices have spoken: of a sentence whose voice breaks off, another voice speaks what is left, and leaves out no word that did not sound.

use std::collections::BTreeMap;
use std::time::Duration;

use relay::money::tab::RequestId;
use relay::provider::Event;

use crate::speech::CHARACTERS_PER_SECOND;

/// See the module. An agent is told one thing, and then it is heard what it does: who is asked to go on is in the same step as the failure.
#[derive(Debug, Default)]
pub(crate) struct Voices {
    /// What each of them was given to speak, and how long its sound is so far.
    speaking: BTreeMap<RequestId, (String, Duration)>,
    /// What one of them was given that has broken off in this step, and how long its sound was.
    broken_off: Option<(String, Duration)>,
    /// No voice is left, and answers are text.
    is_mute: bool,
    /// Texts of which a voice had made some sound, and that another one was asked to go on with.
    pub(crate) went_on: u64,
}

impl Voices {
    /// Another step begins. What is left unsaid of the one before, if anything is.
    pub(super) fn begin(&mut self) -> Option<String> {
        let (text, lasted) = self.broken_off.take()?;
        let is_left = !self.is_mute && text.chars().count() > characters(lasted);
        is_left.then_some(text)
    }

    /// A voice is asked to speak this.
    pub(super) fn ask(&mut self, request: RequestId, text: &str) {
        let goes_on = self.broken_off.take_if(|(whole, lasted)| {
            let left_out = whole.strip_suffix(text).map(|spoken| spoken.trim_end().chars().count());
            left_out.is_some_and(|left_out| left_out <= characters(*lasted))
        });
        self.went_on += u64::from(goes_on.is_some_and(|(_, lasted)| lasted > Duration::ZERO));
        self.speaking.insert(request, (text.to_owned(), Duration::ZERO));
    }

    /// A provider says something.
    pub(super) fn hear(&mut self, request: RequestId, event: &Event) {
        let Some((_, lasted)) = self.speaking.get_mut(&request) else { return };
        match event {
            Event::Sound(sound) => {
                let samples = sound.samples.len() as u64;
                *lasted += Duration::from_micros(samples * 1_000_000 / u64::from(sound.rate.max(1)));
            }
            Event::Failed(_) => self.broken_off = self.speaking.remove(&request),
            _ => {}
        }
    }

    /// A request is over.
    pub(super) fn end(&mut self, request: RequestId) {
        self.speaking.remove(&request);
    }

    /// The page is told that no voice is left, or that one is there again.
    pub(super) fn mute(&mut self, is_mute: bool) {
        self.is_mute = is_mute;
    }
}

/// How many characters a voice speaks in this time.
fn characters(lasted: Duration) -> usize {
    (lasted.as_micros() * u128::from(CHARACTERS_PER_SECOND) / 1_000_000) as usize
}

#[cfg(test)]
mod tests {
    use relay::provider::{Failure, FailureKind, Sound};

    use super::*;

    const TEXT: &str = "one two three four";
    const FIRST: RequestId = RequestId(0);
    const SECOND: RequestId = RequestId(1);

    /// A voice breaks off after so many characters of the text.
    fn broken_off(after: u32) -> Voices {
        let mut voices = Voices::default();
        voices.ask(FIRST, TEXT);
        let rate = CHARACTERS_PER_SECOND * 100;
        let samples = vec![1; after as usize * 100];
        voices.hear(FIRST, &Event::Sound(Sound { rate, samples }));
        voices.hear(FIRST, &Event::Failed(Failure::new(FailureKind::Connection, "gone")));
        voices
    }

    #[test]
    fn what_is_left_is_spoken_by_another_voice_and_no_word_is_left_out() {
        let left_unsaid = |after, rest: Option<&str>| {
            let mut voices = broken_off(after);
            if let Some(rest) = rest {
                voices.ask(SECOND, rest);
            }
            voices.begin().is_some()
        };
        assert!(left_unsaid(8, None), "nobody goes on");
        assert!(!left_unsaid(8, Some("three four")) && !left_unsaid(8, Some(TEXT)));
        assert!(left_unsaid(6, Some("three four")), "nobody has said the second word to its end");
        assert!(left_unsaid(8, Some("something else")));
        assert!(!left_unsaid(18, None), "all of it has sounded");
    }

    #[test]
    fn without_another_voice_the_rest_is_text() {
        let mut voices = broken_off(4);
        voices.mute(true);
        assert_eq!(voices.begin(), None);
        assert_eq!(broken_off(4).begin().as_deref(), Some(TEXT));
    }

    #[test]
    fn whoever_goes_on_with_what_has_not_sounded_at_all_is_not_counted() {
        for (after, went_on) in [(0, 0), (8, 1)] {
            let mut voices = broken_off(after);
            voices.ask(SECOND, TEXT);
            assert_eq!(voices.went_on, went_on);
        }
    }
}
