//! A recogniser that listens, and the audio that it is given.

use std::collections::VecDeque;

use bytes::Bytes;
use protocol::Time;

use super::super::super::outbox::Outbox;
use crate::money::tab::RequestId;
use crate::provider::Feed;

/// A recogniser that breaks has been of use if it has heard so much audio as it came, 10 s, or has given words that stay. Whatever it was given
/// of what is kept says nothing: the next one is given that again.
const OF_USE_SAMPLES: u32 = 10 * 16_000;

/// A piece of audio.
pub(super) struct Kept {
    pub(super) position: u32,
    pub(super) bytes: Bytes,
}

pub(super) struct Asked {
    pub(super) request: RequestId,
    /// Which of the recognisers it is.
    pub(super) recogniser: usize,
    /// The provider's own name for it.
    pub(super) provider_id: Option<String>,
    /// Where the audio stood when it was asked.
    since: u32,
    /// It has said something of what it hears.
    pub(super) has_heard: bool,
    /// It has given words that stay, of audio that was kept until then.
    pub(super) has_understood: bool,
    /// Samples that it was given.
    pub(super) fed: u32,
    /// Samples that it was given and that the user does not pay for: another one had been given them, or nobody was known to hear them.
    pub(super) repeated: u32,
    /// Those of them that another one had been given, whoever was known to hear.
    pub(super) again: u32,
    /// Where the audio stood, and when that was, when it was known to be connected, so that it gets what it is given.
    pub(super) connected: Option<(u32, Time)>,
    /// Where in the user's timeline its samples are: from this sample on they go on at this position. Never empty.
    places: VecDeque<(u32, u32)>,
}

impl Kept {
    pub(super) fn end(&self) -> u32 {
        self.position + self.samples()
    }

    pub(super) fn samples(&self) -> u32 {
        (self.bytes.len() / 2) as u32
    }

    /// How much of it is before this place.
    pub(super) fn before(&self, place: u32) -> u32 {
        self.end().min(place).saturating_sub(self.position)
    }
}

impl Asked {
    pub(super) fn new(request: RequestId, recogniser: usize, since: u32) -> Asked {
        Asked {
            request,
            recogniser,
            provider_id: None,
            since,
            has_heard: false,
            has_understood: false,
            fed: 0,
            repeated: 0,
            again: 0,
            connected: None,
            places: VecDeque::new(),
        }
    }

    /// Whether it was of use before it broke, if the audio stands here then.
    pub(super) fn was_of_use(&self, end: u32) -> bool {
        self.has_understood || self.has_heard && end.saturating_sub(self.since) >= OF_USE_SAMPLES
    }

    pub(super) fn feed(&mut self, kept: &Kept, outbox: &mut Outbox) {
        self.note(kept);
        outbox.feed(self.request, Feed::Audio(kept.bytes.clone()));
    }

    /// It is given this next.
    pub(super) fn note(&mut self, kept: &Kept) {
        let expected = self.places.back().map(|(sample, position)| position + (self.fed - sample));
        if expected != Some(kept.position) {
            self.places.push_back((self.fed, kept.position));
        }
        self.fed += kept.samples();
    }

    /// Where a sample that it was given is in the user's timeline.
    pub(super) fn position(&self, sample: u32) -> u32 {
        let sample = sample.min(self.fed);
        let place = self.places.iter().rev().find(|(first, _)| *first <= sample).or(self.places.front());
        place.map_or(0, |(first, position)| position + sample.saturating_sub(*first))
    }

    /// Forgets where samples are that nothing will be said about.
    pub(super) fn forget_before(&mut self, position: u32) {
        while self.places.get(1).is_some_and(|(_, second)| *second <= position) {
            self.places.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_samples_are_is_forgotten_once_nothing_more_will_be_said_about_them() {
        let mut asked = Asked::new(RequestId(0), 0, 0);
        // The user's timeline has a gap after every chunk, and what the recogniser is given has none.
        for chunk in 0..1_000 {
            let kept = Kept { position: chunk * 3_200, bytes: vec![0; 3_200].into() };
            asked.note(&kept);
            assert_eq!(asked.position(chunk * 1_600), kept.position);
            assert_eq!(asked.position(asked.fed), kept.end());
            asked.forget_before(kept.position + 800);
            assert_eq!(asked.places.len(), 1, "after chunk {chunk}");
            assert_eq!(asked.position(asked.fed), kept.end(), "what is open is still known");
        }
    }
}
