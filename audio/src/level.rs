//! How loud it is.

use crate::pcm::i16_to_f32;

/// Loudness of a stretch of audio, linear: 1.0 is full scale. A full-scale sine has peak 1.0 and RMS 0.707.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Root of the mean square.
    pub rms: f32,
    /// Largest magnitude.
    pub peak: f32,
}

/// Accumulates samples until somebody asks for their [`Level`].
#[derive(Clone, Debug, Default)]
pub struct LevelMeter {
    squares: f64,
    peak: f32,
    count: u32,
}

impl LevelMeter {
    /// A meter that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears samples. One that is not finite counts as 0.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.push_one(sample);
        }
    }

    /// Hears samples in `i16`.
    pub fn push_i16(&mut self, samples: &[i16]) {
        for &sample in samples {
            self.push_one(i16_to_f32(sample));
        }
    }

    /// The level of everything heard since the last call, and starts anew. Nothing heard is silence.
    pub fn take(&mut self) -> Level {
        let heard = core::mem::take(self);
        if heard.count == 0 {
            return Level::default();
        }
        Level { rms: (heard.squares / f64::from(heard.count)).sqrt() as f32, peak: heard.peak }
    }

    fn push_one(&mut self, sample: f32) {
        let magnitude = if sample.is_finite() { sample.abs() } else { 0.0 };
        self.squares += f64::from(magnitude) * f64::from(magnitude);
        self.peak = self.peak.max(magnitude);
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_full_scale_square_is_as_loud_as_can_be() {
        let mut meter = LevelMeter::new();
        meter.push(&[1.0, -1.0, 1.0, -1.0]);
        assert_eq!(meter.take(), Level { rms: 1.0, peak: 1.0 });
    }

    #[test]
    fn the_peak_is_the_largest_magnitude_and_rms_the_root_of_the_mean_square() {
        let mut meter = LevelMeter::new();
        meter.push(&[0.5, 0.0]);
        meter.push_i16(&[-16_384, 0]);
        assert_eq!(meter.take(), Level { rms: 0.125_f32.sqrt(), peak: 0.5 });
    }

    #[test]
    fn a_level_is_taken_once() {
        let mut meter = LevelMeter::new();
        meter.push(&[0.5]);
        meter.take();
        assert_eq!(meter.take(), Level { rms: 0.0, peak: 0.0 });
    }

    #[test]
    fn what_is_not_finite_does_not_spoil_the_level() {
        let mut meter = LevelMeter::new();
        meter.push(&[f32::NAN, f32::INFINITY, 0.5, -0.5]);
        assert_eq!(meter.take(), Level { rms: 0.125_f32.sqrt(), peak: 0.5 });
    }
}
