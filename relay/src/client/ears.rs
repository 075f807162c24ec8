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
        self.playout.end_of_reply();
    }

    pub(super) fn flush(&mut self) {
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
        // Only what was said is kept, one answer after another.
        self.heard.truncate((start + played).min(LONGEST));
        let until = self.playout.played_until().filter(|_| played > 0)?;
        Some((until * u64::from(self.codec.rate()) / u64::from(HEARD_RATE)) as u32)
    }

    /// What was heard so far.
    pub(super) fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.heard)
    }
}
