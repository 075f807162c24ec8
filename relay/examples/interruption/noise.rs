//! Coughs, keys and doors, made from a seed; and the noise of a room.

use std::f32::consts::TAU;

const RATE: f32 = 16_000.0;

/// The same numbers for the same seed: the upper bits of a linear congruential generator (Knuth's MMIX).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        let mut random = Random(seed ^ 0x9E37_79B9_7F4A_7C15);
        for _ in 0..4 {
            random.unit();
        }
        random
    }

    /// A number of at least 0 and less than 1.
    pub(crate) fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }

    pub(crate) fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.unit()
    }

    pub(crate) fn white(&mut self) -> f32 {
        self.between(-1.0, 1.0)
    }
}

/// What rings when it is struck: two poles at a frequency, with a bandwidth.
struct Resonance {
    a: f32,
    b: f32,
    gain: f32,
    before: [f32; 2],
}

impl Resonance {
    fn new(hertz: f32, bandwidth: f32) -> Resonance {
        let radius = (-TAU / 2.0 * bandwidth / RATE).exp();
        let a = 2.0 * radius * (TAU * hertz / RATE).cos();
        Resonance { a, b: -radius * radius, gain: 1.0 - radius, before: [0.0; 2] }
    }

    fn ring(&mut self, input: f32) -> f32 {
        let output = self.gain * input + self.a * self.before[0] + self.b * self.before[1];
        self.before = [output, self.before[0]];
        output
    }
}

/// One to three coughs: air that bursts out, noise that a throat shapes, and often a voiced end.
pub(crate) fn cough(seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut sound = Vec::new();
    for _ in 0..1 + (random.unit() * 3.0) as usize {
        let formants = [(600.0, 900.0), (1_300.0, 1_800.0), (2_400.0, 3_400.0)];
        let mut throat = formants.map(|(least, most)| Resonance::new(random.between(least, most), 250.0));
        let (burst, noise, end) =
            (random.between(0.02, 0.05), random.between(0.08, 0.2), random.between(0.0, 0.12));
        let pitch = random.between(110.0, 260.0);
        for index in 0..((burst + noise + end) * RATE) as usize {
            let at = index as f32 / RATE;
            let swell = if at < burst { (at / 0.005).min(1.0) } else { 0.5 * (-(at - burst) / noise).exp() };
            let is_voiced = at > burst + noise;
            let voiced = if is_voiced { 3.0 * (1.0 - 2.0 * (at * pitch).fract()) } else { 0.0 };
            let source = swell * (random.white() + voiced);
            sound
                .push(throat.iter_mut().map(|resonance| resonance.ring(source)).sum::<f32>() + 0.05 * source);
        }
        pause(&mut sound, random.between(0.08, 0.3));
    }
    sound
}

/// Somebody types for so many seconds: each key clicks, knocks, and clicks more softly when it comes up again.
pub(crate) fn keys(seed: u64, seconds: f32) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut sound = vec![0.0; (seconds * RATE) as usize];
    let (pace, knock) = (random.between(0.09, 0.25), random.between(180.0, 420.0));
    let mut at = 0.0;
    while at < seconds - 0.2 {
        let loud = random.between(0.5, 1.0);
        click(&mut sound, at, loud, 0.003, knock, &mut random);
        click(&mut sound, at + random.between(0.05, 0.1), loud * 0.4, 0.002, knock * 1.3, &mut random);
        at += pace * random.between(0.5, 1.8);
    }
    sound
}

/// A door that falls shut, with its latch after it.
pub(crate) fn door(seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut sound = vec![0.0; (1.2 * RATE) as usize];
    let thump = random.between(55.0, 130.0);
    click(&mut sound, 0.0, 1.0, random.between(0.03, 0.09), thump, &mut random);
    for _ in 0..2 + (random.unit() * 3.0) as usize {
        let at = random.between(0.05, 0.35);
        click(&mut sound, at, random.between(0.1, 0.4), 0.004, random.between(600.0, 1_800.0), &mut random);
    }
    sound
}

/// The noise of a room: each sample as it was a moment ago, and a little else.
pub(crate) fn room(random: &mut Random, before: &mut f32) -> f32 {
    *before = 0.7 * *before + 0.3 * random.white();
    *before * 4.0
}

/// Something hits something else: noise that decays within `fade` seconds, and what it strikes rings six times as long.
fn click(sound: &mut [f32], at: f32, loud: f32, fade: f32, hertz: f32, random: &mut Random) {
    let begin = ((at * RATE) as usize).min(sound.len());
    for (index, sample) in sound[begin..].iter_mut().take((fade * 30.0 * RATE) as usize).enumerate() {
        let since = index as f32 / RATE;
        let ringing = (TAU * hertz * since).sin() * (-since / (6.0 * fade)).exp();
        *sample += loud * (random.white() * (-since / fade).exp() + 0.6 * ringing);
    }
}

fn pause(sound: &mut Vec<f32>, seconds: f32) {
    sound.resize(sound.len() + (seconds * RATE) as usize, 0.0);
}
