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
