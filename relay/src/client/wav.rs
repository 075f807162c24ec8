//! WAV files in and out.

use std::path::{Path, PathBuf};

use audio::{Error, Hz, Resampler, SPEECH_RATE, f32_to_i16};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::HEARD_RATE;

/// Why a WAV file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// It cannot be read, or is no WAV file.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// Its rate cannot be brought to 16 kHz.
    #[error("cannot use {path}: {source}")]
    Rate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
}

/// Reads the first channel of a WAV file (integer or float, 8 to 192 kHz) as mono 16 kHz.
///
/// # Errors
/// When it cannot be read or its rate is not between 8 and 192 kHz.
pub fn read_speech(path: &Path) -> Result<Vec<i16>, WavError> {
    let read = |source| WavError::Read { path: path.to_owned(), source };
    let mut reader = WavReader::open(path).map_err(read)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    let samples: Result<Vec<f32>, _> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().step_by(channels).collect(),
        SampleFormat::Int => {
            let scale = 1.0 / (1_i64 << (spec.bits_per_sample - 1)) as f32;
            reader
                .samples::<i32>()
                .step_by(channels)
                .map(|sample| sample.map(|value| value as f32 * scale))
                .collect()
        }
    };
    let samples = samples.map_err(read)?;
    let mut resampler = Resampler::new(Hz(spec.sample_rate), SPEECH_RATE)
        .map_err(|source| WavError::Rate { path: path.to_owned(), source })?;
    let mut output = vec![0.0; resampler.max_output(samples.len())];
    let written = resampler.process(&samples, &mut output);
    output.truncate(written);
    let mut tail = vec![0.0; resampler.max_output(resampler.delay_samples())];
    let flushed = resampler.flush(&mut tail);
    output.extend_from_slice(&tail[..flushed]);
    Ok(output.into_iter().map(f32_to_i16).collect())
}

/// Writes what was heard as a 16-bit WAV file.
///
/// # Errors
/// When it cannot be written.
pub fn write_heard(path: &Path, heard: &[f32]) -> Result<(), WavError> {
    let write = |source| WavError::Write { path: path.to_owned(), source };
    let spec = WavSpec {
        channels: 1,
        sample_rate: HEARD_RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec).map_err(write)?;
    for sample in heard {
        writer.write_sample(f32_to_i16(*sample)).map_err(write)?;
    }
    writer.finalize().map_err(write)
}
