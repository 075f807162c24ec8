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
