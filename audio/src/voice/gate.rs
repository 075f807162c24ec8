//! Whether a sound stands out from the noise of the room.

use super::FRAME;
use super::floor::{NoiseFloor, SILENCE};

/// What a frame sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// It is softer than any speech.
    Silence,
    /// It is as loud as the room has been.
    Room,
    /// It is as loud as the room, and what was louder has just ended.
    Fades,
    /// It is louder.
    StandsOut,
    /// It is so much louder that the room is hardly heard beside it.
    Drowns,
}

/// Compares how loud a frame is with how loud the room is, in two ways, and each has to say that nothing stands out: by all of the sound,
/// in which vowels stand out from hiss; and by the differences between neighbouring samples, in which consonants stand out from hum and
/// rumble: 100 Hz are 28 dB softer there, and 1 kHz 8 dB.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    whole: NoiseFloor,
    bright: NoiseFloor,
    /// The sample before the frame.
    last: f32,
    /// Frames for which it stays open.
    open: u32,
}

impl Gate {
    pub(super) fn hear(&mut self, frame: &[i16; FRAME]) -> Sound {
        let (whole, bright) = self.powers(frame);
        // Both floors are to know every frame.
        let (whole_floor, bright_floor) = (self.whole.track(whole), self.bright.track(bright));
        let stands_out = whole > RATIO * whole_floor || bright > RATIO * bright_floor;
        self.open = if stands_out { STAYS_OPEN } else { self.open.saturating_sub(1) };
        match (stands_out, self.open) {
            _ if whole < SILENCE => Sound::Silence,
            (true, _) if whole > DROWNS * whole_floor => Sound::Drowns,
            (true, _) => Sound::StandsOut,
            (false, 0) => Sound::Room,
            (false, _) => Sound::Fades,
        }
    }

    /// The mean squares of the samples and of their differences, at full scale 1.0. In lanes, which a processor adds at once.
    fn powers(&mut self, frame: &[i16; FRAME]) -> (f32, f32) {
        const LANES: usize = 8;
        let mut samples = [0.0; FRAME + 1];
        samples[0] = self.last;
        for (place, sample) in samples[1..].iter_mut().zip(frame) {
            *place = f32::from(*sample);
        }
        self.last = samples[FRAME];
        let (mut whole, mut bright) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        for (now, before) in samples[1..].chunks_exact(LANES).zip(samples.chunks_exact(LANES)) {
            for lane in 0..LANES {
                whole[lane] += now[lane] * now[lane];
                let difference = now[lane] - before[lane];
                bright[lane] += difference * difference;
            }
        }
        let mean_square = |sums: [f32; LANES]| sums.iter().sum::<f32>() * (1.0 / FULL_SCALE / FRAME as f32);
        (mean_square(whole), mean_square(bright))
    }
}

/// 4 dB over the floor. The lowest power of steady noise lies 1 to 2 dB under its mean. Of speech that is 5 dB over white noise, 5 dB would
/// lose half as much again; at 3 dB a fan keeps the gate open.
const RATIO: f32 = 2.5;

/// 25 dB over the floor.
const DROWNS: f32 = 316.0;

/// 96 ms: within a word there are pauses, and its end is soft.
const STAYS_OPEN: u32 = 6;

/// The square of the largest sample.
const FULL_SCALE: f32 = 32_768.0 * 32_768.0;
