//! Sample rates.

/// A sample rate in hertz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hz(pub u32);

/// The rate at which speech travels to the relay: 16 kHz, what speech-to-text providers are trained on.
pub const SPEECH_RATE: Hz = Hz(16_000);

/// The lowest rate a [`crate::Resampler`] takes or makes.
pub const MIN_RATE: Hz = Hz(8_000);

/// The highest rate a [`crate::Resampler`] takes or makes.
pub const MAX_RATE: Hz = Hz(192_000);

impl Hz {
    /// How many samples last `ms` milliseconds, rounded down.
    #[must_use]
    pub const fn samples_in_ms(self, ms: u32) -> usize {
        (self.0 as u64 * ms as u64 / 1_000) as usize
    }
}
