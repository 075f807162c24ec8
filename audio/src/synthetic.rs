//! A sound to try things with.

use std::f32::consts::TAU;

/// The sample at this position, at 16 kHz, of a sound that is taken for a voice: the overtones of 120 Hz, which swell four times a second.
/// It peaks at a third of the full scale.
#[must_use]
pub fn voice(position: u32) -> i16 {
    // The phase is taken from the whole second, so that it is as exact after an hour.
    let t = (position % PERIOD) as f32 / RATE as f32;
    let tone: f32 = (1..12).map(|h| (TAU * PITCH_HZ * h as f32 * t).sin() / h as f32).sum();
    (tone * (0.6 + 0.4 * (TAU * SWELL_HZ * t).sin()) * 6_000.0) as i16
}

const RATE: u32 = 16_000;
/// A second has a whole number of both periods.
const PERIOD: u32 = RATE;
const PITCH_HZ: f32 = 120.0;
const SWELL_HZ: f32 = 4.0;
