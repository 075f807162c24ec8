//! What the caller hears, played in real time into a buffer.

use std::time::Duration;

use audio::{Hz, PlayoutBuffer, Resampler, decode_s16le};
use protocol::Codec;

/// Samples a second of what was heard.
pub const HEARD_RATE: u32 = 24_000;
/// As in the browser.
const PREBUFFER_MS: u32 = 100;
/// More than a relay sends ahead.
const CAPACITY_MS: u32 = 30_000;
/// Of what is heard, no more than this is kept: an hour.
const LONGEST: usize = 3_600 * HEARD_RATE as usize;

/// A loudspeaker and somebody who listens.
pub(super) struct Ears {
    codec: Codec,
    resampler: Option<Resampler>,
    playout: PlayoutBuffer,
    /// Nothing is played for now, and what is queued stays.
    is_held: bool,
    decoded: Vec<f32>,
    resampled: Vec<f32>,
    heard: Vec<f32>,
    /// For how long nothing has been heard since an answer ran dry in its middle.
    dry: Option<Duration>,
    /// The longest such time that more of the same answer came after.
    longest_gap: Duration,
}

impl Ears {
    pub(super) fn new() -> Self {
        Ears {
            codec: Codec::PcmS16le24000,
            resampler: None,
            playout: PlayoutBuffer::new(Hz(HEARD_RATE), PREBUFFER_MS, CAPACITY_MS),
            is_held: false,
            decoded: Vec::new(),
            resampled: Vec::new(),
            heard: Vec::new(),
            dry: None,
            longest_gap: Duration::ZERO,
        }
    }

    /// Queues what the agent says.
    pub(super) fn play(&mut self, codec: Codec, position: u32, payload: &[u8]) {
        if codec != self.codec {
            self.codec = codec;
            self.resampler =
                Resampler::new(Hz(codec.rate()), Hz(HEARD_RATE)).ok().filter(|_| codec.rate() != HEARD_RATE);
        }
        self.decoded.resize(payload.len() / 2, 0.0);
        decode_s16le(payload, &mut self.decoded);
        let at = u64::from(position) * u64::from(HEARD_RATE) / u64::from(codec.rate());
        let Some(resampler) = &mut self.resampler else {
            self.playout.push(at, &self.decoded);
            return;
        };
        self.resampled.resize(resampler.max_output(self.decoded.len()), 0.0);
        let written = resampler.process(&self.decoded, &mut self.resampled);
        self.playout.push(at, &self.resampled[..written]);
    }

    pub(super) fn end_of_reply(&mut self) {
        // What came after the last sound was no gap.
        self.dry = self.dry.filter(|_| self.playout.queued() > 0);
        self.playout.end_of_reply();
    }

    pub(super) fn flush(&mut self) {
        self.dry = None;
        self.playout.flush();
        self.is_held = false;
    }

    /// Plays nothing from now on and keeps what is queued, or goes on.
    pub(super) fn hold(&mut self, held: bool) {
        self.is_held = held;
    }

    pub(super) fn is_playing(&self) -> bool {
        self.playout.is_playing() || self.playout.queued() > 0
    }

    /// Time passes. Says up to which position of the agent's timeline was heard, if anything was.
    pub(super) fn listen(&mut self, span: Duration) -> Option<u32> {
        if self.is_held {
            return None;
        }
        let start = self.heard.len();
        let samples = (u128::from(HEARD_RATE) * span.as_micros() / 1_000_000) as usize;
        self.heard.resize(start + samples, 0.0);
        let played = self.playout.pull(&mut self.heard[start..]);
        if let Some(until) = self.playout.played_until() {
            self.playout.heard_until(until);
        }
        let silent = span.saturating_sub(length(played));
        if played > 0 {
            self.longest_gap = self.longest_gap.max(self.dry.take().unwrap_or_default());
        }
        if let Some(dry) = &mut self.dry {
            *dry += silent;
        } else if self.playout.ran_empty() {
            self.dry = Some(silent);
        }
        // Only what was said is kept, one answer after another.
        self.heard.truncate((start + played).min(LONGEST));
        let until = self.playout.played_until().filter(|_| played > 0)?;
        Some((until * u64::from(self.codec.rate()) / u64::from(HEARD_RATE)) as u32)
    }

    /// What was heard so far.
    pub(super) fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.heard)
    }

    /// The longest time in which nothing was heard in the middle of an answer, without pauses of the agent's.
    pub(super) fn longest_gap(&self) -> Duration {
        self.longest_gap
    }
}

/// How long so many samples sound.
fn length(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(HEARD_RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    /// Queues a fifth of a second of an answer.
    fn play(ears: &mut Ears, position: u32) {
        ears.play(Codec::PcmS16le24000, position, &[0; 9_600]);
    }

    fn listen(ears: &mut Ears, ticks: u32) {
        for _ in 0..ticks {
            ears.listen(TICK);
        }
    }

    #[test]
    fn a_gap_is_silence_in_the_middle_of_an_answer() {
        let mut ears = Ears::new();
        play(&mut ears, 0);
        listen(&mut ears, 10 + 15);
        assert_eq!(ears.longest_gap(), Duration::ZERO, "nobody knows yet whether more comes");
        play(&mut ears, 4_800);
        listen(&mut ears, 10 + 5);
        assert_eq!(ears.longest_gap(), 15 * TICK);
        play(&mut ears, 9_600);
        ears.end_of_reply();
        listen(&mut ears, 10);
        assert_eq!(ears.longest_gap(), 15 * TICK, "a shorter one came after it");
    }

    #[test]
    fn what_comes_between_two_answers_is_no_gap() {
        let mut ears = Ears::new();
        play(&mut ears, 0);
        ears.end_of_reply();
        listen(&mut ears, 10 + 50);
        // Of this one its end is told late.
        play(&mut ears, 4_800);
        listen(&mut ears, 10 + 20);
        ears.end_of_reply();
        listen(&mut ears, 20);
        // This one is interrupted when it has run dry.
        play(&mut ears, 9_600);
        listen(&mut ears, 10 + 20);
        ears.flush();
        play(&mut ears, 14_400);
        ears.end_of_reply();
        listen(&mut ears, 10);
        assert_eq!(ears.longest_gap(), Duration::ZERO);
    }

    #[test]
    fn what_is_held_is_no_gap() {
        let mut ears = Ears::new();
        play(&mut ears, 0);
        listen(&mut ears, 5);
        ears.hold(true);
        listen(&mut ears, 50);
        ears.hold(false);
        listen(&mut ears, 5);
        play(&mut ears, 4_800);
        listen(&mut ears, 10);
        assert_eq!(ears.longest_gap(), Duration::ZERO);
    }
}
