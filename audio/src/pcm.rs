//! Sample formats: `f32`, `i16`, and `i16` as little-endian bytes (s16le), which is what travels.

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

/// One step of `i16` is 1/32,768 of full scale, so -1.0 is exactly -32,768 and +1.0 saturates at 32,767.
const I16_STEPS: f32 = 32_768.0;

/// 1.5 * 2^23. An `f32` this large has no fraction bits, so adding and subtracting it rounds to the nearest integer,
/// ties to even. Unlike `f32::round` this is two plain additions that vectorise on every target.
const ROUND_TO_NEAREST: f32 = 12_582_912.0;

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn every_i16_survives_the_way_to_f32_and_back() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(f32_to_i16(i16_to_f32(sample)), sample);
        }
    }

    #[test]
    fn what_is_too_loud_saturates() {
        for (loud, expected) in [
            (1.0, 32_767),
            (7.5, 32_767),
            (f32::INFINITY, 32_767),
            (-1.0, -32_768),
            (f32::NEG_INFINITY, -32_768),
        ] {
            assert_eq!(f32_to_i16(loud), expected);
        }
    }

    #[test]
    fn what_is_no_number_is_silence() {
        assert_eq!(f32_to_i16(f32::NAN), 0);
    }

    #[test]
    fn a_sample_becomes_the_nearest_step() {
        for (steps, expected) in [(0.4, 0), (0.6, 1), (-0.4, 0), (-0.6, -1), (99.7, 100), (1.5, 2), (2.5, 2)]
        {
            assert_eq!(f32_to_i16(steps / 32_768.0), expected, "{steps}");
        }
    }

    #[test]
    fn the_low_byte_travels_first() {
        let mut bytes = [0; 4];
        assert_eq!(encode_s16le_from_i16(&[0x1234, -2], &mut bytes), 4);
        assert_eq!(bytes, [0x34, 0x12, 0xfe, 0xff]);
        let mut samples = [0; 2];
        assert_eq!(decode_s16le_to_i16(&bytes, &mut samples), 2);
        assert_eq!(samples, [0x1234, -2]);
    }

    #[test]
    fn f32_and_i16_give_the_same_bytes() {
        let samples = [0.0, 0.25, -0.5, 1.0, -1.0];
        let (mut from_f32, mut from_i16) = ([0; 10], [0; 10]);
        encode_s16le(&samples, &mut from_f32);
        encode_s16le_from_i16(&samples.map(f32_to_i16), &mut from_i16);
        assert_eq!(from_f32, from_i16);
        let mut decoded = [0.0; 5];
        assert_eq!(decode_s16le(&from_f32, &mut decoded), 5);
        assert_eq!(decoded, [0.0, 0.25, -0.5, 32_767.0 / 32_768.0, -1.0]);
    }

    #[test]
    fn only_whole_samples_that_fit_are_written() {
        let mut samples = [9.0; 3];
        assert_eq!(decode_s16le(&[0, 0, 0, 0, 77], &mut samples), 2);
        assert_eq!(samples, [0.0, 0.0, 9.0]);
        assert_eq!(decode_s16le(&[0; 8], &mut samples), 3);
        let mut bytes = [9; 3];
        assert_eq!(encode_s16le(&[0.0, 0.0], &mut bytes), 2);
        assert_eq!(bytes, [0, 0, 9]);
    }
}
