//! The user's audio as it was received, as a WAV file. Off by default, and announced to the page.

use std::fs::{File, create_dir_all};
use std::io::BufWriter;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};
use protocol::Gap;

/// A gap longer than this is shortened: 60 s.
const LONGEST_SILENCE: u32 = 60 * 16_000;

/// A file that is being written: 16 kHz, 16 bit, mono. It is finished when this is dropped.
pub(super) struct Recording(WavWriter<BufWriter<File>>);

impl Recording {
    /// Opens `<session>.user.wav`, with the epoch in its name after a recovery.
    pub(super) fn create(dir: &Path, session_id: &str, epoch: u32) -> Result<Recording, hound::Error> {
        create_dir_all(dir)?;
        let name = match epoch {
            0 => format!("{session_id}.user.wav"),
            _ => format!("{session_id}.{epoch}.user.wav"),
        };
        let spec = WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        WavWriter::create(dir.join(name), spec).map(Recording)
    }

    /// Adds 16-bit little-endian samples.
    pub(super) fn audio(&mut self, payload: &[u8]) -> Result<(), hound::Error> {
        let mut writer = self.0.get_i16_writer((payload.len() / 2) as u32);
        for sample in payload.chunks_exact(2) {
            writer.write_sample(i16::from_le_bytes([sample[0], sample[1]]));
        }
        writer.flush()
    }

    /// Adds silence where audio is missing, so that times stay right.
    pub(super) fn gap(&mut self, gap: Gap) -> Result<(), hound::Error> {
        let samples = gap.to.position.saturating_sub(gap.from.position).min(LONGEST_SILENCE);
        let mut writer = self.0.get_i16_writer(samples);
        for _ in 0..samples {
            writer.write_sample(0_i16);
        }
        writer.flush()
    }
}
