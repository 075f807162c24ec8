//! Sound: where it comes from, how loud it is, and where it begins.

use std::path::Path;

use audio::{Hz, Resampler, SPEECH_RATE};

use super::Outcome;

/// Samples of a block of 10 ms.
pub(crate) const BLOCK: usize = 160;
/// Blocks that are softer than the loudest by more than this, 30 dB as a ratio of powers, are pauses.
const PAUSE: f32 = 0.001;

/// A WAV, at 16 kHz: its first channel.
pub(crate) fn read(path: &Path) -> Outcome<Vec<f32>> {
    let wav = hound::WavReader::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let spec = wav.spec();
    let full_scale = (1_u32 << (spec.bits_per_sample - 1)) as f32;
    let samples: Result<Vec<f32>, _> = wav
        .into_samples::<i32>()
        .step_by(spec.channels.into())
        .map(|sample| sample.map(|sample| sample as f32 / full_scale))
        .collect();
    at_speech_rate(samples?, spec.sample_rate)
}

/// The same sound at 16 kHz.
pub(crate) fn at_speech_rate(samples: Vec<f32>, rate: u32) -> Outcome<Vec<f32>> {
    if rate == SPEECH_RATE.0 {
        return Ok(samples);
    }
    let mut resampler = Resampler::new(Hz(rate), SPEECH_RATE)?;
    let mut resampled = vec![0.0; resampler.max_output(samples.len())];
    let length = resampler.process(&samples, &mut resampled);
    resampled.truncate(length);
    Ok(resampled)
}

/// The sound from its first audible block to its last, its audible blocks so loud on average, in dB of full scale.
pub(crate) fn levelled(samples: &[f32], decibels: f32) -> Vec<i16> {
    let powers: Vec<f32> = samples.chunks(BLOCK).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let is_audible = |power: &f32| *power > loudest * PAUSE;
    let first = powers.iter().position(is_audible).unwrap_or(0);
    let last = powers.iter().rposition(is_audible).unwrap_or(0);
    let audible: Vec<f32> = powers.iter().copied().filter(is_audible).collect();
    let mean = audible.iter().sum::<f32>() / audible.len().max(1) as f32;
    let gain = ratio(decibels) / mean.sqrt().max(f32::MIN_POSITIVE);
    let to = samples.len().min((last + 1) * BLOCK);
    samples[first * BLOCK..to].iter().map(|sample| audio::f32_to_i16(sample * gain)).collect()
}

/// What an amplitude is multiplied with to be so many decibels louder.
pub(crate) fn ratio(decibels: f32) -> f32 {
    10_f32.powf(decibels / 20.0)
}

fn power(block: &[f32]) -> f32 {
    block.iter().map(|sample| sample * sample).sum::<f32>() / block.len() as f32
}
