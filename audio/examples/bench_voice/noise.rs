//! Noises of a room. All but the music are made, the same ones at every run.

use std::f32::consts::TAU;

/// Samples a second.
const RATE: f32 = 16_000.0;

/// What else is to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    Keys,
    Door,
    Fan,
    Music,
    White,
}

impl Noise {
    pub(crate) const ALL: [Noise; 5] = [Noise::Keys, Noise::Door, Noise::Fan, Noise::Music, Noise::White];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Noise::Keys => "keys",
            Noise::Door => "door",
            Noise::Fan => "fan",
            Noise::Music => "music",
            Noise::White => "white noise",
        }
    }

    /// So many samples of it, at some level. Music comes from these pieces.
    pub(crate) fn samples(self, count: usize, seed: u32, music: &[Vec<f32>]) -> Vec<f32> {
        let mut random = Random::new(seed);
        match self {
            Noise::Keys => keys(count, &mut random),
            Noise::Door => doors(count, &mut random),
            Noise::Fan => fan(count, &mut random),
            Noise::Music => {
                // From its twentieth second on: some begin softly.
                let piece = &music[seed as usize % music.len()];
                piece.iter().cycle().skip(20 * RATE as usize).take(count).copied().collect()
            }
            Noise::White => (0..count).map(|_| random.signed()).collect(),
        }
    }
}

/// Somebody types, five to ten keys a second, and thinks now and then. A key clicks when it is pressed, and more softly when it is released.
fn keys(count: usize, random: &mut Random) -> Vec<f32> {
    let mut sound = vec![0.0; count];
    let mut at = 0.1;
    while at < count as f32 / RATE {
        let loudness = random.between(0.4, 1.0);
        click(&mut sound, at, loudness, random);
        let released = at + random.between(0.05, 0.1);
        click(&mut sound, released, loudness * 0.4, random);
        at +=
            if random.between(0.0, 1.0) < 0.04 { random.between(0.5, 1.5) } else { random.between(0.1, 0.2) };
    }
    sound
}

/// Noise of a few milliseconds, brighter or duller, with the knock of the key against its ground.
fn click(sound: &mut [f32], at: f32, loudness: f32, random: &mut Random) {
    let (fades, hertz, dull) =
        (random.between(0.002, 0.005), random.between(180.0, 400.0), random.between(0.2, 0.8));
    let mut soft = 0.0;
    add(sound, at, 0.04, |t| {
        soft += dull * (random.signed() - soft);
        let knock = 0.3 * (TAU * hertz * t).sin() * (-t / 0.008).exp();
        loudness * (soft * (-t / fades).exp() + knock)
    });
}

/// A door falls shut every two to five seconds: the latch, the thump, and the room after it.
fn doors(count: usize, random: &mut Random) -> Vec<f32> {
    let mut sound = vec![0.0; count];
    let mut at = 0.7;
    while at < count as f32 / RATE {
        let (hertz, loudness) = (random.between(60.0, 120.0), random.between(0.5, 1.0));
        click(&mut sound, at - 0.06, loudness * 0.3, random);
        let (mut soft, mut room) = (0.0, 0.0);
        add(&mut sound, at, 0.8, |t| {
            let noise = random.signed();
            soft += 0.25 * (noise - soft);
            room += 0.08 * (noise - room);
            let thump = (TAU * hertz * t).sin() * (-t / 0.06).exp();
            loudness * (thump + 1.5 * soft * (-t / 0.03).exp() + 0.6 * room * (-t / 0.15).exp())
        });
        at += random.between(2.0, 5.0);
    }
    sound
}

/// Air, the hum of the motor, and blades that pass 23 times a second.
fn fan(count: usize, random: &mut Random) -> Vec<f32> {
    let (mut first, mut second) = (0.0, 0.0);
    (0..count)
        .map(|n| {
            let t = n as f32 / RATE;
            first += 0.3 * (random.signed() - first);
            second += 0.3 * (first - second);
            let blades = 1.0 + 0.2 * (TAU * (23.0 * t).fract()).sin();
            let hum = 0.1 * (TAU * (100.0 * t).fract()).sin() + 0.04 * (TAU * (200.0 * t).fract()).sin();
            second * blades + hum
        })
        .collect()
}

/// Adds a sound of so many seconds that begins there.
fn add(sound: &mut [f32], at: f32, seconds: f32, mut wave: impl FnMut(f32) -> f32) {
    let start = (at.max(0.0) * RATE) as usize;
    let samples = (seconds * RATE) as usize;
    for (n, sample) in sound.iter_mut().skip(start).take(samples).enumerate() {
        *sample += wave(n as f32 / RATE);
    }
}

/// A linear congruential generator: the same at every run.
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        let mut random = Random(seed);
        random.signed();
        random
    }

    /// In -1.0..1.0.
    pub(crate) fn signed(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 8_388_608.0 - 1.0
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.signed() + 1.0) / 2.0
    }
}
