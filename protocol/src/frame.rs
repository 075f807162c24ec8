//! The binary audio frame: a 12-byte header and the payload.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 1 | kind | 1 = audio |
//! | 1 | 1 | codec | see [`Codec`] |
//! | 2 | 2 | samples | number of samples, u16 little-endian; 0 stands for what the payload holds |
//! | 4 | 4 | seq | number of the frame in its direction, u32 little-endian |
//! | 8 | 4 | position | place of the first sample in the sender's timeline, in samples of the codec's rate, u32 little-endian |
//! | 12 | … | payload | samples |

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 12;

const KIND_AUDIO: u8 = 1;

/// How the payload of an audio frame is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// 16-bit little-endian PCM, mono, 16 kHz: what clients send, and agents may.
    PcmS16le16000,
    /// 16-bit little-endian PCM, mono, 24 kHz: agents only.
    PcmS16le24000,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 2] = [Codec::PcmS16le16000, Codec::PcmS16le24000];

    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Codec::PcmS16le16000 => 1,
            Codec::PcmS16le24000 => 2,
        }
    }

    /// The word in `hello` and `welcome`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Codec::PcmS16le16000 => "pcm_s16le_16000",
            Codec::PcmS16le24000 => "pcm_s16le_24000",
        }
    }

    /// Samples a second.
    #[must_use]
    pub const fn rate(self) -> u32 {
        match self {
            Codec::PcmS16le16000 => 16_000,
            Codec::PcmS16le24000 => 24_000,
        }
    }

    /// Finds the codec by its number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.number() == number)
    }

    /// Finds the codec by its word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Samples in a payload of so many bytes (whole ones).
    #[must_use]
    pub const fn samples(self, bytes: usize) -> u32 {
        (bytes / 2) as u32
    }
}

/// The header of an audio frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioHeader {
    /// How the payload is encoded; `None` for a number this version does not know.
    pub codec: Option<Codec>,
    /// Number of the frame in its direction.
    pub seq: u32,
    /// Place of the first sample in the sender's timeline, in samples.
    pub position: u32,
    /// Number of samples; 0 stands for what the payload holds.
    pub samples: u16,
}

impl AudioHeader {
    /// Splits a binary message into header and payload; `None` if it is shorter than a header or not audio.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<(AudioHeader, &[u8])> {
        let (header, payload) = frame.split_first_chunk::<HEADER_LEN>()?;
        let [KIND_AUDIO, codec, n0, n1, s0, s1, s2, s3, p0, p1, p2, p3] = *header else { return None };
        let seq = u32::from_le_bytes([s0, s1, s2, s3]);
        let position = u32::from_le_bytes([p0, p1, p2, p3]);
        let samples = u16::from_le_bytes([n0, n1]);
        Some((AudioHeader { codec: Codec::from_number(codec), seq, position, samples }, payload))
    }

    /// Writes the header to the end of `frame`, without the number of samples.
    pub fn write(codec: Codec, seq: u32, position: u32, frame: &mut Vec<u8>) {
        frame.extend_from_slice(&[KIND_AUDIO, codec.number(), 0, 0]);
        frame.extend_from_slice(&seq.to_le_bytes());
        frame.extend_from_slice(&position.to_le_bytes());
    }

    /// Writes the number of samples into the header at the beginning of `frame`; 0 for none, or more than it can say.
    pub fn set_samples(frame: &mut [u8], samples: u32) {
        if let [_, _, low, high, ..] = frame {
            [*low, *high] = sayable(samples);
        }
    }

    /// Whether the header at the beginning of `frame` is as [`AudioHeader::set_samples`] makes it.
    pub(crate) fn has_samples(frame: &[u8], samples: u32) -> bool {
        frame.get(2..4) == Some(&sayable(samples))
    }
}

/// A number of samples as the header has it; 0 for more than it can say.
fn sayable(samples: u32) -> [u8; 2] {
    u16::try_from(samples).unwrap_or(0).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_header_is_these_twelve_bytes() {
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le24000, 0x0403_0201, 0x0807_0605, &mut frame);
        frame.extend_from_slice(&[9, 10]);
        assert_eq!(frame, [1, 2, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let (header, payload) = AudioHeader::parse(&frame).expect("just written");
        assert_eq!(
            (header.codec, header.seq, header.position),
            (Some(Codec::PcmS16le24000), 0x0403_0201, 0x0807_0605)
        );
        assert_eq!((header.samples, payload), (0, [9, 10].as_slice()));
        AudioHeader::set_samples(&mut frame, 0x0201);
        assert_eq!(frame[..4], [1, 2, 1, 2]);
        assert_eq!(AudioHeader::parse(&frame).map(|(header, _)| header.samples), Some(0x0201));
        AudioHeader::set_samples(&mut frame, 0x1_0001);
        assert_eq!(frame[..4], [1, 2, 0, 0]);
    }

    #[test]
    fn a_short_or_foreign_frame_is_no_audio() {
        assert_eq!(AudioHeader::parse(&[1; 11]), None);
        assert_eq!(AudioHeader::parse(&[2; 40]), None);
        assert_eq!(
            AudioHeader::parse(&[1, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).map(|(h, _)| h.codec),
            Some(None)
        );
    }
}
