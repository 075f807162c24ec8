//! What was said, at another rate, as fast as it is asked for.

use audio::{Hz, Resampler, SPEECH_RATE, f32_to_i16, i16_to_f32};

use crate::agent::tape::Tape;

/// An utterance that is being said back.
pub(super) struct Playback {
    /// What is left of the utterance.
    speech: Tape,
    length: u32,
    given: u32,
    /// `None` where the rates are the same.
    resampler: Option<Box<Resampler>>,
    /// Resampled and not given yet.
    ready: Vec<i16>,
    scratch: Vec<f32>,
}

impl Playback {
    /// # Panics
    /// Never: the agent has made a resampler of this rate before.
    pub(super) fn new(speech: Tape, rate: Hz) -> Playback {
        let length = (speech.len() as u64 * u64::from(rate.0)).div_ceil(u64::from(SPEECH_RATE.0));
        let resampler = (rate != SPEECH_RATE).then(|| {
            Box::new(Resampler::new(SPEECH_RATE, rate).expect("the agent made one when it was made"))
        });
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        Playback { speech, length, given: 0, resampler, ready: Vec::new(), scratch: Vec::new() }
    }

    /// Samples of the whole.
    pub(super) fn length(&self) -> u32 {
        self.length
    }

    /// Whether all of it was given.
    pub(super) fn is_over(&self) -> bool {
        self.given == self.length
    }

    /// The next samples, so many at most.
    pub(super) fn next(&mut self, samples: u32) -> Vec<i16> {
        let wanted = samples.min(self.length - self.given) as usize;
        while self.ready.len() < wanted {
            self.make_ready();
        }
        self.given += wanted as u32;
        let rest = self.ready.split_off(wanted);
        std::mem::replace(&mut self.ready, rest)
    }

    /// Makes at least one sample more ready, as long as there is any.
    fn make_ready(&mut self) {
        let Playback { speech, resampler, ready, scratch, .. } = self;
        let block = speech.first();
        let Some(resampler) = resampler else {
            ready.extend_from_slice(block);
            return speech.forget(block.len());
        };
        scratch.clear();
        scratch.extend(block.iter().map(|sample| i16_to_f32(*sample)));
        let room = resampler.max_output(block.len().max(resampler.delay_samples()));
        let mut output = vec![0.0; room];
        let written = if block.is_empty() {
            resampler.flush(&mut output)
        } else {
            resampler.process(scratch, &mut output)
        };
        ready.extend(output[..written].iter().map(|sample| f32_to_i16(*sample)));
        let taken = scratch.len();
        speech.forget(taken);
    }
}
