//! Pure signal processing for a spoken conversation: everything between a microphone's samples and a
//! loudspeaker's that is arithmetic.
//!
//! No browser, no runtime, no clock and no input or output: the same code runs in a page's Worker (wasm with
//! 128-bit SIMD), in the relay and in the tests. All audio is **mono**. Samples are `f32` in -1.0..=1.0 or `i16`.
//! Buffers are the caller's, whatever their length, and nothing allocates after construction, but for what [`VoiceActivity`] needs when it
//! first hears something. Streams give the same bits whatever the sizes of the blocks they arrive in.
//!
//! | type | turns | into |
//! |---|---|---|
//! | [`Resampler`] | `f32` at any rate from 8 to 192 kHz | `f32` at any other |
//! | [`Chunker`] | `f32` at 16 kHz | `i16` chunks of equal length |
//! | [`decode_s16le`], [`encode_s16le`], [`f32_to_i16`], [`i16_to_f32`] | PCM | PCM |
//! | [`LevelMeter`] | samples | RMS and peak |
//! | [`Lateness`] | times at which chunks come | jitter, and how late they are |
//! | [`VoiceActivity`] (the feature `voice-activity`, on by default) | `f32` or `i16` at 16 kHz | speech started, speech ended |
//! | [`Loudness`] | what both sides sound like, and whether somebody speaks | whether that is louder than an echo |
//! | [`PlayoutBuffer`] | chunks as they come | a steady stream for the loudspeaker |
//!
//! ```
//! use audio::{Chunker, Hz, Resampler, SPEECH_RATE, chunk_samples_for_ms};
//!
//! let mut resampler = Resampler::new(Hz(48_000), SPEECH_RATE)?;
//! let mut chunker = Chunker::new(chunk_samples_for_ms(100)?);
//! let mut resampled = vec![0.0; resampler.max_output(128)];
//! let mut chunks = 0;
//!
//! for _ in 0..375 {
//!     let quantum = [0.0; 128]; // what an AudioWorklet delivers
//!     let written = resampler.process(&quantum, &mut resampled);
//!     chunker.push(&resampled[..written], |chunk| {
//!         assert_eq!(chunk.len(), 1_600);
//!         chunks += 1;
//!     });
//! }
//! assert_eq!(chunks, 9); // one second, but for the 1.6 ms the filter looks ahead
//! # Ok::<(), audio::Error>(())
//! ```

mod chunker;
mod error;
mod kernel;
mod lateness;
mod level;
mod loudness;
mod pcm;
mod playout;
mod quad;
mod rate;
mod resampler;
pub mod synthetic;
#[cfg(feature = "voice-activity")]
mod voice;
mod window;

pub use chunker::{Chunker, MAX_CHUNK_MS, MIN_CHUNK_MS, MIN_CHUNK_SAMPLES, chunk_samples_for_ms};
pub use error::Error;
pub use lateness::{Lateness, Unevenness};
pub use level::{Level, LevelMeter};
pub use loudness::Loudness;
pub use pcm::{
    decode_s16le, decode_s16le_to_i16, encode_s16le, encode_s16le_from_i16, f32_to_i16, i16_to_f32,
};
pub use playout::{PlayoutBuffer, PlayoutStats};
pub use rate::{Hz, MAX_RATE, MIN_RATE, SPEECH_RATE};
pub use resampler::Resampler;
#[cfg(feature = "voice-activity")]
pub use voice::{Attention, VoiceActivity, VoiceConfig, VoiceEvent};
