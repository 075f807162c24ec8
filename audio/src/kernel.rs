//! The low-pass filter behind the [`crate::Resampler`], and its sampling into rows of taps.
//!
//! The filter is a symmetric impulse response `h(t)` that lasts [`SUPPORT_PERIODS`] periods of the lower of the two rates.
//! On that interval it is written as a cosine series,
//!
//! ```text
//! h(t) = 1/T * (a_0 + 2 * sum over k of a_k * cos(2 pi k t / T)),   |t| < T/2
//! ```
//!
//! whose coefficients are samples of its own frequency response, `a_k = H(k / T)` (frequency-sampling design: L. Rabiner,
//! B. Gold, C. McGonegal, "An Approach to the Approximation Problem for Nonrecursive Digital Filters", 1970). The `a_k`
//! are chosen to minimise the largest weighted error, see `examples/design_kernel.rs`, which prints the table.

use crate::quad::{Quad, STRIDE, quad};

/// The filter sampled at whole input samples, once for each position of an output sample between two of them.
///
/// Row `r`, tap `i` is `h(i - history - (r - first) / steps)`, in input samples.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    coefficients: Vec<Quad>,
    taps: usize,
    lookahead: usize,
}

impl Kernel {
    /// Rows for the positions `first / steps ..= last / steps` in steps of `1 / steps` input samples.
    pub(crate) fn new(from: u32, to: u32, steps: u32, from_position: i64, to_position: i64) -> Self {
        let prototype = prototype(u64::from(from), u64::from(from.min(to)), u64::from(steps));
        let reach = prototype.len() as i64 - 1;
        let steps = i64::from(steps);
        // The furthest tap of an output sample just before the next input sample.
        let lookahead = (reach + steps - 1) / steps; // rounded up
        let taps = Self::taps_for(from, to, steps as u32);
        let oldest = lookahead + 1 - taps as i64;
        let mut coefficients = Vec::with_capacity((to_position - from_position + 1) as usize * taps / 4);
        for position in from_position..=to_position {
            for first in (oldest..=lookahead).step_by(4) {
                coefficients.push(quad([0, 1, 2, 3].map(|lane| {
                    let distance = ((first + lane) * steps - position).unsigned_abs() as usize;
                    prototype.get(distance).copied().unwrap_or(0.0)
                })));
            }
        }
        Self { coefficients, taps, lookahead: lookahead as usize }
    }

    /// One row with a single tap of 1.0: for two rates that are the same.
    pub(crate) fn identity() -> Self {
        let mut coefficients = vec![quad([0.0; 4]); STRIDE];
        coefficients[STRIDE - 1] = quad([0.0, 0.0, 0.0, 1.0]);
        Self { coefficients, taps: TAPS_STEP, lookahead: 0 }
    }

    /// Taps a row; a multiple of 16.
    pub(crate) fn taps(&self) -> usize {
        self.taps
    }

    /// How many of a row's taps lie after the input sample at or before the output sample.
    pub(crate) fn lookahead(&self) -> usize {
        self.lookahead
    }

    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[Quad] {
        &self.coefficients[row * (self.taps / 4)..][..self.taps / 4]
    }

    pub(crate) fn table_bytes(&self) -> usize {
        self.coefficients.len() * size_of::<Quad>()
    }

    /// How many taps a row has for these rates with this many rows an input sample.
    pub(crate) fn taps_for(from: u32, to: u32, steps: u32) -> usize {
        let reach = reach(u64::from(from), u64::from(from.min(to)), u64::from(steps));
        let steps = u64::from(steps);
        ((reach / steps + 1 + reach.div_ceil(steps)) as usize).next_multiple_of(TAPS_STEP)
    }
}

/// The largest `n` with `n / steps` input samples strictly inside half the support.
fn reach(from: u64, lower: u64, steps: u64) -> u64 {
    (SUPPORT_PERIODS.0 * from * steps - 1) / (2 * SUPPORT_PERIODS.1 * lower)
}

/// One half of `h(t)` at multiples of `1 / steps` input samples from 0 on.
fn prototype(from: u64, lower: u64, steps: u64) -> Vec<f32> {
    let support = SUPPORT_PERIODS.0 as f64 * from as f64 / (SUPPORT_PERIODS.1 * lower) as f64;
    let angle = core::f64::consts::TAU / (support * steps as f64);
    let (step_sin, step_cos) = small_sin_cos(angle);
    let (mut sin, mut cos) = (0.0, 1.0);
    (0..=reach(from, lower, steps))
        .map(|_| {
            let value = cosine_series(cos) / support;
            (sin, cos) = (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin);
            value as f32
        })
        .collect()
}

/// `a_0 + 2 * sum of a_k cos(k x)` from `cos(x)` (C. W. Clenshaw, "A note on the summation of Chebyshev series", 1955).
fn cosine_series(cos: f64) -> f64 {
    let (mut next, mut after) = (0.0, 0.0);
    for a in RESPONSE[1..].iter().rev() {
        (next, after) = (2.0 * a + 2.0 * cos * next - after, next);
    }
    RESPONSE[0] + cos * next - after
}

/// Sine and cosine of an angle of at most 0.12 by their Taylor series, to the last bit or so. It keeps the
/// general functions with their argument reduction out of the wasm; all other angles follow by rotation.
fn small_sin_cos(x: f64) -> (f64, f64) {
    let s = x * x;
    let sin = x * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0))));
    let cos = 1.0 - s / 2.0 * (1.0 - s / 12.0 * (1.0 - s / 30.0 * (1.0 - s / 56.0 * (1.0 - s / 90.0))));
    (sin, cos)
}

/// How long `h(t)` lasts in periods of the lower rate, as a fraction: 160/3 periods are 160 samples at 48 kHz for
/// an output at 16 kHz.
const SUPPORT_PERIODS: (u64, u64) = (160, 3);

/// Frequency response at multiples of `1/T`. Pass band to 0.4375 of the lower rate (7 kHz of 16) within ±0.0060 dB, stop
/// band from 0.53125 of it (8.5 kHz) 104.8 dB down.
const RESPONSE: [f64; 32] = [
    0.999311346418,
    1.000683785984,
    0.999332625188,
    1.000633204715,
    0.999414521202,
    1.000543963299,
    0.999525132966,
    1.000407840117,
    0.999673421926,
    1.000238724761,
    0.999850436414,
    1.000058009172,
    1.000035883200,
    0.999873438945,
    1.000214523923,
    0.999703323413,
    1.000371851859,
    0.999568069637,
    1.000483731665,
    0.999489160692,
    1.000514191771,
    0.999535131132,
    1.000260069101,
    1.000554969174,
    0.955005788329,
    0.660253808911,
    0.237188976234,
    0.030402837123,
    0.000411409090,
    0.000002283201,
    0.000005679966,
    -0.000004634236,
];

/// Rows are padded to a multiple of this many taps, so that they are whole vectors.
const TAPS_STEP: usize = 4 * STRIDE;
