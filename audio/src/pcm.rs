//! Sample formats: `f32`, `i16`, and `i16` as little-endian bytes (s16le), which is what travels.

/// One step of `i16` is 1/32,768 of full scale, so -1.0 is exactly -32,768 and +1.0 saturates at 32,767.
const I16_STEPS: f32 = 32_768.0;

/// 1.5 * 2^23. An `f32` this large has no fraction bits, so adding and subtracting it rounds to the nearest integer,
/// ties to even. Unlike `f32::round` this is two plain additions that vectorise on every target.
const ROUND_TO_NEAREST: f32 = 12_582_912.0;

/// Full scale ±1.0 to `i16`: rounded to nearest (ties to even), clamped, and NaN becomes 0.
#[must_use]
#[inline]
pub fn f32_to_i16(sample: f32) -> i16 {
    let clamped = (sample * I16_STEPS).clamp(f32::from(i16::MIN), f32::from(i16::MAX));
    // A float-to-integer cast saturates and takes NaN to 0.
    ((clamped + ROUND_TO_NEAREST) - ROUND_TO_NEAREST) as i16
}

/// `i16` to `f32` in -1.0..1.0, exactly: [`f32_to_i16`] gives the same `i16` back.
#[must_use]
#[inline]
pub fn i16_to_f32(sample: i16) -> f32 {
    f32::from(sample) / I16_STEPS
}

/// Reads s16le bytes into `output`. Returns how many samples were written: the smaller of `bytes.len() / 2`
/// and `output.len()`. A trailing odd byte is not read.
pub fn decode_s16le(bytes: &[u8], output: &mut [f32]) -> usize {
    let pairs = bytes.as_chunks::<2>().0;
    for (sample, pair) in output.iter_mut().zip(pairs) {
        *sample = i16_to_f32(i16::from_le_bytes(*pair));
    }
    pairs.len().min(output.len())
}

/// Reads s16le bytes into `output`, like [`decode_s16le`] but without leaving `i16`.
pub fn decode_s16le_to_i16(bytes: &[u8], output: &mut [i16]) -> usize {
    let pairs = bytes.as_chunks::<2>().0;
    for (sample, pair) in output.iter_mut().zip(pairs) {
        *sample = i16::from_le_bytes(*pair);
    }
    pairs.len().min(output.len())
}

/// Writes `samples` as s16le, each converted as by [`f32_to_i16`]. Returns how many bytes were written:
/// two a sample, for as many whole samples as `output` holds.
pub fn encode_s16le(samples: &[f32], output: &mut [u8]) -> usize {
    let pairs = output.as_chunks_mut::<2>().0;
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = f32_to_i16(*sample).to_le_bytes();
    }
    2 * pairs.len().min(samples.len())
}

/// Writes `samples` as s16le. Returns how many bytes were written, as [`encode_s16le`] does.
pub fn encode_s16le_from_i16(samples: &[i16], output: &mut [u8]) -> usize {
    let pairs = output.as_chunks_mut::<2>().0;
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = sample.to_le_bytes();
    }
    2 * pairs.len().min(samples.len())
}
