//! The head of a WAV file: stereo, 16 kHz, 16 bit.

/// Length of the head.
pub(super) const HEADER_BYTES: u64 = 44;
/// Bytes of one sample of both channels.
pub(super) const FRAME_BYTES: u64 = 4;

const CHANNELS: u16 = 2;
const RATE: u32 = 16_000;

/// The head of a file with so many bytes of audio. Beyond 4 GiB it says as much as it can; readers then take what follows.
pub(super) fn header(audio_bytes: u64) -> [u8; HEADER_BYTES as usize] {
    let audio = u32::try_from(audio_bytes).unwrap_or(u32::MAX);
    let frame = FRAME_BYTES as u16;
    let mut header = [0; HEADER_BYTES as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&audio.saturating_add(36).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&1_u16.to_le_bytes());
    put(&CHANNELS.to_le_bytes());
    put(&RATE.to_le_bytes());
    put(&(RATE * u32::from(frame)).to_le_bytes());
    put(&frame.to_le_bytes());
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&audio.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_it() {
        let mut file = header(8).to_vec();
        file.extend([1, 0, 2, 0, 3, 0, 4, 0]);
        let reader = hound::WavReader::new(&*file).expect("a WAV file");
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 16_000, 16));
        let samples: Vec<i16> = reader.into_samples().map(|sample| sample.expect("whole")).collect();
        assert_eq!(samples, [1, 2, 3, 4]);
    }
}
