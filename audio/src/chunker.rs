//! Cutting a stream into the chunks that travel.

use crate::error::Error;
use crate::pcm::f32_to_i16;
use crate::rate::SPEECH_RATE;

/// The shortest chunk: below this the frame headers outweigh the audio.
pub const MIN_CHUNK_MS: u32 = 20;

/// The longest chunk: above this a listener would notice the wait.
pub const MAX_CHUNK_MS: u32 = 200;

/// The fewest samples [`Chunker::flush`] emits. The relay refuses chunks of less than 100 bytes.
pub const MIN_CHUNK_SAMPLES: usize = 50;

/// Samples of a chunk that lasts `ms` milliseconds at 16 kHz: 1,600 for 100 ms.
///
/// # Errors
/// [`Error::ChunkDuration`] outside [`MIN_CHUNK_MS`]`..=`[`MAX_CHUNK_MS`].
pub fn chunk_samples_for_ms(ms: u32) -> Result<usize, Error> {
    if (MIN_CHUNK_MS..=MAX_CHUNK_MS).contains(&ms) {
        Ok(SPEECH_RATE.samples_in_ms(ms))
    } else {
        Err(Error::ChunkDuration { asked_ms: ms, min_ms: MIN_CHUNK_MS, max_ms: MAX_CHUNK_MS })
    }
}

/// Collects `f32` samples into `i16` chunks of equal length, converted as by [`f32_to_i16`].
#[derive(Clone, Debug)]
pub struct Chunker {
    chunk: Vec<i16>,
    /// How much of `chunk` is waiting for its end.
    filled: usize,
}

impl Chunker {
    /// A chunker of `chunk` samples a chunk; 0 counts as 1. See [`chunk_samples_for_ms`].
    #[must_use]
    pub fn new(chunk: usize) -> Self {
        Self { chunk: vec![0; chunk.max(1)], filled: 0 }
    }

    /// Takes samples; calls `on_chunk` for each chunk that they complete.
    pub fn push(&mut self, mut samples: &[f32], mut on_chunk: impl FnMut(&[i16])) {
        while !samples.is_empty() {
            let free = &mut self.chunk[self.filled..];
            let (now, later) = samples.split_at(samples.len().min(free.len()));
            for (slot, sample) in free.iter_mut().zip(now) {
                *slot = f32_to_i16(*sample);
            }
            self.filled += now.len();
            samples = later;
            if self.filled == self.chunk.len() {
                self.filled = 0;
                on_chunk(&self.chunk);
            }
        }
    }

    /// Emits what waits for its end as a last, shorter chunk; nothing if nothing waits. Fewer than
    /// [`MIN_CHUNK_SAMPLES`] are filled up to that number with silence (never beyond a whole chunk).
    pub fn flush(&mut self, mut on_chunk: impl FnMut(&[i16])) {
        if self.filled == 0 {
            return;
        }
        let end = self.filled.max(MIN_CHUNK_SAMPLES.min(self.chunk.len()));
        self.chunk[self.filled..end].fill(0);
        self.filled = 0;
        on_chunk(&self.chunk[..end]);
    }

    /// Forgets what waits.
    pub fn reset(&mut self) {
        self.filled = 0;
    }

    /// Samples a chunk.
    #[must_use]
    pub fn chunk_samples(&self) -> usize {
        self.chunk.len()
    }

    /// Samples that wait for the end of their chunk.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.filled
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Sample `n` is `n` steps of `i16`.
    fn ramp(count: usize) -> Vec<f32> {
        (0..count).map(|n| n as f32 / 32_768.0).collect()
    }

    #[test]
    fn a_hundred_milliseconds_are_1600_samples() {
        assert_eq!(chunk_samples_for_ms(100), Ok(1_600));
        assert_eq!(chunk_samples_for_ms(20), Ok(320));
        assert_eq!(chunk_samples_for_ms(200), Ok(3_200));
    }

    #[test]
    fn a_duration_the_relay_would_not_like_is_refused_with_the_limits() {
        for asked_ms in [0, 19, 201] {
            assert_eq!(
                chunk_samples_for_ms(asked_ms),
                Err(Error::ChunkDuration { asked_ms, min_ms: 20, max_ms: 200 })
            );
        }
    }

    #[test]
    fn chunks_are_whole_and_in_order_whatever_the_blocks() {
        for block in [1, 7, 100, 128, 333, 1_000] {
            let mut chunker = Chunker::new(100);
            let mut heard = Vec::new();
            for block in ramp(1_000).chunks(block) {
                chunker.push(block, |chunk| {
                    assert_eq!(chunk.len(), 100);
                    heard.extend_from_slice(chunk);
                });
            }
            assert!(heard.iter().copied().eq(0..1_000), "blocks of {block}");
        }
    }

    #[test]
    fn flush_emits_the_rest_once() {
        let mut chunker = Chunker::new(100);
        chunker.push(&ramp(160), |_| {});
        assert_eq!(chunker.pending(), 60);
        let mut rest = Vec::new();
        chunker.flush(|chunk| rest.extend_from_slice(chunk));
        chunker.flush(|_| panic!("nothing is left"));
        assert!(rest.iter().copied().eq(100..160));
    }

    #[test]
    fn a_rest_too_short_to_travel_is_filled_up_with_silence() {
        let mut chunker = Chunker::new(100);
        chunker.push(&[0.5; 130], |_| {});
        let mut rest = Vec::new();
        chunker.flush(|chunk| rest.extend_from_slice(chunk));
        assert_eq!(rest.len(), MIN_CHUNK_SAMPLES);
        assert!(rest[..30].iter().all(|&sample| sample == 16_384));
        assert!(rest[30..].iter().all(|&sample| sample == 0));
    }
}
