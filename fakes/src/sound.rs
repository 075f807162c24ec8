//! Sound as the voices make it and as a recogniser gets it: 16-bit samples of one channel.

use std::f64::consts::TAU;

use crate::script::Speak;

/// How long a character sounds.
const CHARACTER_MS: u64 = 60;
const TONE_HZ: u32 = 440;
const PIECE_MS: u64 = 100;
/// A third of the full scale: loud, and far from clipping.
const AMPLITUDE: f64 = 11_000.0;

/// A voice: a tone of 60 ms a character, that goes on without a click from one piece to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tone {
    rate: u32,
    speak: Speak,
    /// How many samples have sounded.
    position: u64,
}

impl Tone {
    pub(crate) fn new(rate: u32, speak: Speak) -> Self {
        Tone { rate, speak, position: 0 }
    }

    /// The text as pieces of little-endian samples.
    pub(crate) fn say(&mut self, text: &str) -> Vec<Vec<u8>> {
        let ms = self.speak.sound_ms.unwrap_or(text.chars().count() as u64 * CHARACTER_MS);
        let samples = ms * u64::from(self.rate) / 1000;
        let piece = (self.speak.piece_ms.unwrap_or(PIECE_MS) * u64::from(self.rate) / 1000).max(1);
        let hz = f64::from(self.speak.tone_hz.unwrap_or(TONE_HZ));
        let rate = f64::from(self.rate);
        let begin = self.position;
        self.position += samples;
        let sample = |position: u64| (AMPLITUDE * (TAU * hz * position as f64 / rate).sin()) as i16;
        (0..samples)
            .step_by(piece as usize)
            .map(|first| {
                let last = (first + piece).min(samples);
                (first..last).flat_map(|offset| sample(begin + offset).to_le_bytes()).collect()
            })
            .collect()
    }

    /// When each character of the text begins and how long it sounds, in milliseconds.
    pub(crate) fn characters(&self, text: &str) -> Vec<(u64, u64)> {
        let count = text.chars().count() as u64;
        let ms = self.speak.sound_ms.unwrap_or(count * CHARACTER_MS);
        (0..count).map(|index| (index * ms / count, (index + 1) * ms / count - index * ms / count)).collect()
    }
}

/// The head of a WAV file whose length nobody knows yet.
pub(crate) fn wav_head(rate: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(44);
    head.extend(b"RIFF\xff\xff\xff\xffWAVEfmt ");
    head.extend(16_u32.to_le_bytes());
    head.extend(1_u16.to_le_bytes());
    head.extend(1_u16.to_le_bytes());
    head.extend(rate.to_le_bytes());
    head.extend((rate * 2).to_le_bytes());
    head.extend(2_u16.to_le_bytes());
    head.extend(16_u16.to_le_bytes());
    head.extend(b"data\xff\xff\xff\xff");
    head
}

/// Rate and samples of the first channel of a WAV file of 16 bits; `None` if it is none.
pub(crate) fn read_wav(bytes: &[u8]) -> Option<(u32, Vec<i16>)> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut form = None;
    while rest.len() >= 8 {
        let (head, body) = rest.split_at(8);
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        // A length that a writer to a pipe could not know reaches to the end.
        let chunk = &body[..size.min(body.len())];
        match &head[..4] {
            b"fmt " => {
                let number = |at: usize| Some(u16::from_le_bytes([*chunk.get(at)?, *chunk.get(at + 1)?]));
                let rate = u32::from(number(4)?) | u32::from(number(6)?) << 16;
                if number(14)? != 16 || number(0)? != 1 || number(2)? == 0 || rate == 0 {
                    return None;
                }
                form = Some((rate, usize::from(number(2)?)));
            }
            b"data" => {
                let (rate, channels) = form?;
                return Some((rate, samples(chunk).into_iter().step_by(channels).collect()));
            }
            _ => {}
        }
        rest = body.get(size + size % 2..).unwrap_or_default();
    }
    None
}

/// Little-endian samples; an odd byte at the end is left off.
pub(crate) fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_sounds_60_ms_a_character_in_pieces_of_100_ms_that_go_on_without_a_click() {
        let mut tone = Tone::new(24_000, Speak::default());
        let pieces: Vec<_> = ["four", "five"].iter().flat_map(|text| tone.say(text)).collect();
        let lengths: Vec<_> = pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [4_800, 4_800, 1_920, 4_800, 4_800, 1_920]);
        let sound = samples(&pieces.concat());
        let steps = sound.windows(2).map(|pair| i32::from(pair[1]).abs_diff(i32::from(pair[0])));
        assert!(steps.max().is_some_and(|step| step < 1_300));
    }

    #[test]
    fn a_wav_file_of_unknown_length_is_read_to_its_end() {
        let mut file = wav_head(16_000);
        file.extend([1, 0, 2, 0, 3]);
        assert_eq!(read_wav(&file), Some((16_000, vec![1, 2])));
        assert_eq!(read_wav(b"RIFF"), None);
        assert_eq!(read_wav(&file[..40]), None);
    }
}
