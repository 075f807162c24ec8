//! Measuring a resampler from outside: tones in, figures out. Shared by the tests, which assert the goals, and by the
//! bench, which prints them.

use std::f64::consts::TAU;

use audio::{Hz, Resampler, f32_to_i16};

/// Anything that turns a stream at one rate into a stream at another.
pub(crate) trait Stream {
    /// Takes input of any length; appends the output it makes computable.
    fn feed(&mut self, input: &[f32], output: &mut Vec<f32>);
    /// The input has ended; appends the rest.
    fn finish(&mut self, output: &mut Vec<f32>);
}

/// The resampler that is measured.
pub(crate) struct Ours(pub(crate) Resampler);

impl Stream for Ours {
    fn feed(&mut self, input: &[f32], output: &mut Vec<f32>) {
        let start = output.len();
        output.resize(start + self.0.max_output(input.len()), 0.0);
        let written = self.0.process(input, &mut output[start..]);
        output.truncate(start + written);
    }

    fn finish(&mut self, output: &mut Vec<f32>) {
        let start = output.len();
        output.resize(start + self.0.max_output(self.0.delay_samples()), 0.0);
        let written = self.0.flush(&mut output[start..]);
        output.truncate(start + written);
    }
}

/// The goals that a conversion from 48 or 44.1 to 16 kHz is held to.
pub(crate) mod goal {
    pub(crate) const ALIAS_DBFS: f64 = -100.0;
    pub(crate) const RIPPLE_DB: f64 = 0.02;
    pub(crate) const DELAY_MS: f64 = 2.5;
    pub(crate) const SINAD_DB: f64 = 97.0;
    /// What the arithmetic of the measurement resolves; the goal is none at all.
    pub(crate) const PITCH_PPM: f64 = 1e-6;
}

/// The figures of one resampler, as defined by the functions below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) alias_dbfs: f64,
    pub(crate) alias_at_hz: f64,
    pub(crate) ripple_db: f64,
    pub(crate) delay_ms: f64,
    pub(crate) sinad_db: f64,
    pub(crate) pitch_ppm: f64,
    pub(crate) lost_samples: i64,
}

impl Figures {
    /// With a tone every `alias_step` Hz in the search for aliases.
    pub(crate) fn of(from: Hz, to: Hz, alias_step: usize, make: &dyn Fn() -> Box<dyn Stream>) -> Self {
        let (alias_dbfs, alias_at_hz) = worst_alias(from, to, alias_step, make);
        let (pitch_ppm, lost_samples) = pitch_and_loss(from, to, make);
        Self {
            alias_dbfs,
            alias_at_hz,
            ripple_db: ripple(from, to, make),
            delay_ms: delay_ms(from, to, make),
            sinad_db: sinad(from, to, make),
            pitch_ppm,
            lost_samples,
        }
    }
}

/// Tones of -1 dBFS from 17/32 of the lower rate (8.5 kHz of 16) to the input's Nyquist frequency, every `step` Hz: the loudest thing that
/// comes out, as the amplitude of a sine of the same power, and the tone that caused it.
pub(crate) fn worst_alias(from: Hz, to: Hz, step: usize, make: &dyn Fn() -> Box<dyn Stream>) -> (f64, f64) {
    let first = from.0.min(to.0) * 17 / 32;
    (first..=from.0 / 2)
        .step_by(step)
        .chain([from.0 / 2])
        .map(|hz| {
            let hz = f64::from(hz);
            let output = steady(from, to, &tone(from, hz, decibel_ratio(-1.0), 0.08), make);
            (decibels((2.0 * mean_square(output.iter().map(|&x| f64::from(x)))).sqrt()), hz)
        })
        .fold((f64::NEG_INFINITY, 0.0), |worst, this| if this.0 > worst.0 { this } else { worst })
}

/// Largest less smallest gain for tones from 50 Hz to 7/16 of the lower rate (7 kHz of 16), in dB.
pub(crate) fn ripple(from: Hz, to: Hz, make: &dyn Fn() -> Box<dyn Stream>) -> f64 {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for hz in (50..=from.0.min(to.0) * 7 / 16).step_by(25) {
        let hz = f64::from(hz);
        let output = steady(from, to, &tone(from, hz, 0.5, 0.1), make);
        let gain = decibels(Sine::fit(&output, hz / f64::from(to.0)).amplitude() / 0.5);
        (least, most) = (least.min(gain), most.max(gain));
    }
    most - least
}

/// Signal to noise and distortion of a 997 Hz tone at -0.1 dBFS after rounding to `i16`, in dB. A perfect converter has 98.0.
pub(crate) fn sinad(from: Hz, to: Hz, make: &dyn Fn() -> Box<dyn Stream>) -> f64 {
    let output = steady(from, to, &tone(from, 997.0, decibel_ratio(-0.1), 1.0), make);
    let rounded: Vec<f32> = output.iter().map(|&x| f32::from(f32_to_i16(x)) / 32_768.0).collect();
    let sine = Sine::fit(&rounded, 997.0 / f64::from(to.0));
    10.0 * (sine.amplitude().powi(2) / 2.0 / sine.residual(&rounded)).log10()
}

/// Over 20 seconds of a 997 Hz tone: the error of the pitch in parts per million, from the phase at both ends, and how many output samples
/// are missing (or too many, if negative) once the stream has finished.
pub(crate) fn pitch_and_loss(from: Hz, to: Hz, make: &dyn Fn() -> Box<dyn Stream>) -> (f64, i64) {
    let input = tone(from, 997.0, 0.5, 20.0);
    let output = run(&input, 128, make);
    let expected = (input.len() as u64 * u64::from(to.0)).div_ceil(u64::from(from.0));
    let (cycles, half_second) = (997.0 / f64::from(to.0), to.0 as usize / 2);
    let start = &output[1_000..1_000 + half_second];
    let last = output.len() - 1_000 - half_second;
    let end = &output[last..last + half_second];
    let elapsed = (last - 1_000) as f64 * cycles;
    let turned = Sine::fit(end, cycles).phase() - Sine::fit(start, cycles).phase();
    let error = (turned / TAU - elapsed.fract() + 1.5).rem_euclid(1.0) - 0.5;
    (error / elapsed * 1e6, expected as i64 - output.len() as i64)
}

/// The longest that a sound waits between being taken in and coming out, in ms, when samples come in one by one.
pub(crate) fn delay_ms(from: Hz, to: Hz, make: &dyn Fn() -> Box<dyn Stream>) -> f64 {
    let (from_hz, to_hz) = (f64::from(from.0), f64::from(to.0));
    // A period longer than any delay, so that its phase shows the delay without ambiguity.
    let input = tone(from, 5.0, 0.5, 1.0);
    let mut stream = make();
    let mut output = Vec::new();
    let mut taken_in_at = Vec::new();
    for (index, sample) in input.iter().enumerate() {
        stream.feed(std::slice::from_ref(sample), &mut output);
        taken_in_at.resize(output.len(), index as f64 / from_hz);
    }
    let skipped = to.0 as usize / 5;
    let steady = &output[skipped..skipped + 3 * to.0 as usize / 5];
    let phase = Sine::fit(steady, 5.0 / to_hz).phase() - TAU * 5.0 * skipped as f64 / to_hz;
    let lag = (-phase / TAU).rem_euclid(1.0);
    let lag = if lag > 0.9 { lag - 1.0 } else { lag } / 5.0;
    let waits = taken_in_at.iter().enumerate().skip(skipped).map(|(n, at)| at - (n as f64 / to_hz - lag));
    1_000.0 * waits.fold(f64::NEG_INFINITY, f64::max)
}

/// The whole stream in blocks, from its first sample to its last.
pub(crate) fn run(input: &[f32], block: usize, make: &dyn Fn() -> Box<dyn Stream>) -> Vec<f32> {
    let mut stream = make();
    let mut output = Vec::new();
    for block in input.chunks(block) {
        stream.feed(block, &mut output);
    }
    stream.finish(&mut output);
    output
}

/// A sine of `seconds`, starting at phase 0.
pub(crate) fn tone(rate: Hz, hz: f64, amplitude: f64, seconds: f64) -> Vec<f32> {
    let count = (f64::from(rate.0) * seconds).round() as u64;
    (0..count)
        .map(|n| {
            let cycles = (n as f64 * hz / f64::from(rate.0)).fract();
            (amplitude * (TAU * cycles).sin()) as f32
        })
        .collect()
}

pub(crate) fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

pub(crate) fn decibel_ratio(decibels: f64) -> f64 {
    10f64.powf(decibels / 20.0)
}

/// Output without its start and end, where the tone is switched on and off.
pub(crate) fn steady(from: Hz, to: Hz, input: &[f32], make: &dyn Fn() -> Box<dyn Stream>) -> Vec<f32> {
    let output = run(input, input.len(), make);
    // 30 periods of the lower rate: more than half the length of any of the filters.
    let edge = (120 * u64::from(to.0) / u64::from(from.0.min(to.0))) as usize;
    output[edge..output.len() - edge].to_vec()
}

fn mean_square(samples: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = samples.len() as f64;
    samples.map(|x| x * x).sum::<f64>() / count
}

/// `sine * sin(x) + cosine * cos(x) + offset`, fitted by least squares.
pub(crate) struct Sine {
    cycles: f64,
    sine: f64,
    cosine: f64,
    offset: f64,
}

impl Sine {
    pub(crate) fn fit(samples: &[f32], cycles: f64) -> Self {
        let mut normal = [[0.0; 4]; 3];
        for (n, &sample) in samples.iter().enumerate() {
            let (sin, cos) = (TAU * (n as f64 * cycles).fract()).sin_cos();
            let row = [sin, cos, 1.0, f64::from(sample)];
            for (sums, left) in normal.iter_mut().zip(row) {
                for (sum, right) in sums.iter_mut().zip(row) {
                    *sum += left * right;
                }
            }
        }
        for pivot in 0..3 {
            for other in (0..3).filter(|&other| other != pivot) {
                let factor = normal[other][pivot] / normal[pivot][pivot];
                let above = normal[pivot];
                for (value, above) in normal[other].iter_mut().zip(above) {
                    *value -= factor * above;
                }
            }
        }
        let [sine, cosine, offset] = [0, 1, 2].map(|n| normal[n][3] / normal[n][n]);
        Self { cycles, sine, cosine, offset }
    }

    pub(crate) fn amplitude(&self) -> f64 {
        self.sine.hypot(self.cosine)
    }

    pub(crate) fn phase(&self) -> f64 {
        self.cosine.atan2(self.sine)
    }

    /// Mean square of what the fit leaves.
    pub(crate) fn residual(&self, samples: &[f32]) -> f64 {
        mean_square(samples.iter().enumerate().map(|(n, &sample)| {
            let (sin, cos) = (TAU * (n as f64 * self.cycles).fract()).sin_cos();
            f64::from(sample) - self.sine * sin - self.cosine * cos - self.offset
        }))
    }
}
