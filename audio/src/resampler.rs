//! Any sample rate to any other.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::quad::{Quad, Registers, WithRegisters, with_widest};
use crate::rate::{Hz, MAX_RATE, MIN_RATE};
use crate::window::Window;

/// Converts a mono stream from one sample rate to another.
///
/// # Alignment, count and delay
/// Output sample `n` is the sound at input time `n * from / to`: the two streams are aligned, sample 0 with sample 0. To know the
/// sound at an instant the filter needs the input up to [`delay_samples`](Self::delay_samples) later, so
/// that is the delay in real time; an output sample is written as soon as that input is there, and nothing else is held back.
/// After [`flush`](Self::flush), `total_in` samples have become exactly `ceil(total_in * to / from)`.
///
/// # Quality
/// Linear phase. With `lower` the lower of both rates: flat within ±0.01 dB to `0.4375 * lower` (7 kHz of 16), and everything from
/// `0.53125 * lower` (8.5 kHz) on is 104 dB down, so neither aliases nor images are heard. Positions are counted in
/// integers, so pitch and length are exact for ever. Two equal rates pass the samples through untouched.
///
/// # Memory
/// The table takes at most 160 KiB: 640 bytes for 48 to 16 kHz, 100 KiB for 44.1 to 16 kHz. Ratios whose table would be larger
/// share a coarser one (up to 32 KiB) between which taps are interpolated.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: Hz,
    kernel: Kernel,
    /// Output samples sit at multiples of `step / positions` input samples, both reduced.
    positions: u32,
    step: u32,
    /// Rows an input sample of a coarse table, or 0 if every position has a row.
    coarse_rows: u32,
    /// The inputs that some output sample still needs, then free space.
    window: Window,
    /// Where in `window` the next output sample's first tap falls.
    next: usize,
    /// Where between two inputs the next output sample lies, in `1 / positions`.
    position: u32,
}

impl Resampler {
    /// A resampler for a mono stream.
    ///
    /// # Errors
    /// [`Error::UnsupportedRate`] if either rate is outside 8,000 to 192,000 Hz.
    pub fn new(from: Hz, to: Hz) -> Result<Self, Error> {
        let supported = MIN_RATE..=MAX_RATE;
        if !supported.contains(&from) || !supported.contains(&to) {
            return Err(Error::UnsupportedRate { from, to });
        }
        let rate = from;
        let (from, to) = (from.0, to.0);
        let divisor = greatest_common_divisor(from, to);
        let (positions, step) = (to / divisor, from / divisor);
        let (kernel, coarse_rows) = if from == to {
            (Kernel::identity(), 0)
        } else if Kernel::taps_for(from, to, positions) * positions as usize <= MAX_EXACT_TABLE {
            (Kernel::new(from, to, positions, 0, i64::from(positions) - 1), 0)
        } else {
            let rows = (COARSE_ROWS * from.min(to)).div_ceil(from);
            // A cubic needs one row before and two after the position.
            (Kernel::new(from, to, rows, -1, i64::from(rows) + 1), rows)
        };
        let mut resampler = Self {
            from: rate,
            window: Window::new(kernel.taps() + INTAKE),
            kernel,
            positions,
            step,
            coarse_rows,
            next: 0,
            position: 0,
        };
        resampler.reset();
        Ok(resampler)
    }

    /// Takes the next `input` and writes every output sample that it makes computable. Returns how many were written,
    /// at most [`max_output`](Self::max_output).
    ///
    /// All input is always taken. If `output` is too short, the samples that do not fit are lost, and those after them
    /// still come at their right place.
    pub fn process(&mut self, mut input: &[f32], output: &mut [f32]) -> usize {
        let mut written = 0;
        while !input.is_empty() {
            input = self.window.append(input);
            written += with_widest(Emit { resampler: self, output: &mut output[written..] });
            if !input.is_empty() {
                self.next -= self.window.forget(self.next);
            }
        }
        written
    }

    /// Ends the stream: writes the samples that were waiting for input after its end, as if silence followed. Returns how many
    /// were written, at most `max_output(delay_samples())`; those that do not fit are lost. The next
    /// [`process`](Self::process) begins a new stream.
    pub fn flush(&mut self, output: &mut [f32]) -> usize {
        let silence = [0.0; 64];
        let mut written = 0;
        let mut remaining = self.delay_samples();
        while remaining > 0 {
            let block = remaining.min(silence.len());
            written += self.process(&silence[..block], &mut output[written..]);
            remaining -= block;
        }
        self.reset();
        written
    }

    /// Forgets all input. The next [`process`](Self::process) begins a new stream.
    pub fn reset(&mut self) {
        // The taps before the first sample fall on silence.
        self.window.restart(self.kernel.taps() - 1 - self.kernel.lookahead());
        self.next = 0;
        self.position = 0;
    }

    /// The most samples that [`process`](Self::process) writes for `input_len` samples.
    #[must_use]
    pub fn max_output(&self, input_len: usize) -> usize {
        (input_len as u64 * u64::from(self.positions) / u64::from(self.step)) as usize + 1
    }

    /// The delay in input samples: how far the input must have come past an output sample's instant.
    #[must_use]
    pub fn delay_samples(&self) -> usize {
        self.kernel.lookahead()
    }

    /// The delay in seconds: [`delay_samples`](Self::delay_samples) of the input rate. 1.65 ms for 48 to 16 kHz.
    #[must_use]
    pub fn delay_seconds(&self) -> f64 {
        self.delay_samples() as f64 / f64::from(self.from.0)
    }

    /// Memory of the table of taps, in bytes.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.kernel.table_bytes()
    }

    #[inline(always)]
    fn emit(&mut self, output: &mut [f32], registers: impl Registers) -> usize {
        let taps = self.kernel.taps();
        let (whole, part) = ((self.step / self.positions) as usize, self.step % self.positions);
        let mut written = 0;
        while self.next + taps <= self.window.filled() {
            if let Some(slot) = output.get_mut(written) {
                let window = self.window.samples(self.next, taps);
                *slot = if self.coarse_rows == 0 {
                    registers.dot(self.kernel.row(self.position as usize), window)
                } else {
                    self.interpolate(window, registers)
                };
                written += 1;
            }
            self.next += whole;
            self.position += part;
            if self.position >= self.positions {
                self.position -= self.positions;
                self.next += 1;
            }
        }
        written
    }

    /// The output sample at `position` by cubic (Lagrange) interpolation between four rows.
    #[inline(always)]
    fn interpolate(&self, window: &[Quad], registers: impl Registers) -> f32 {
        let scaled = self.position * self.coarse_rows;
        let row = (scaled / self.positions) as usize;
        let x = (scaled % self.positions) as f32 / self.positions as f32;
        let weights = [
            x * (x - 1.0) * (2.0 - x) / 6.0,
            (x + 1.0) * (x - 1.0) * (x - 2.0) / 2.0,
            (x + 1.0) * x * (2.0 - x) / 2.0,
            (x + 1.0) * x * (x - 1.0) / 6.0,
        ];
        weights
            .iter()
            .zip(row..)
            .map(|(weight, row)| weight * registers.dot(self.kernel.row(row), window))
            .sum()
    }
}

/// Every output sample that what is in the window makes computable. Tells how many were written.
struct Emit<'a> {
    resampler: &'a mut Resampler,
    output: &'a mut [f32],
}

impl WithRegisters for Emit<'_> {
    #[inline(always)]
    fn with(self, registers: impl Registers) -> usize {
        self.resampler.emit(self.output, registers)
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Input samples taken in before those no longer needed are forgotten. Larger means fewer moves.
const INTAKE: usize = 512;

/// The most values a table with a row for each position may have: 160 KiB.
const MAX_EXACT_TABLE: usize = 40 * 1_024;

/// Rows of a coarse table in one period of the lower rate. A cubic through four points errs by at most
/// `3/128 * w^4` where `w = 2 pi f / rows`: -142 dB at the edge of the pass band.
const COARSE_ROWS: u32 = 64;

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const RATES: [u32; 16] = [
        8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 44_101, 47_999, 48_000, 48_001, 88_200,
        96_000, 176_400, 191_999, 192_000,
    ];

    fn resampler(from: u32, to: u32) -> Resampler {
        Resampler::new(Hz(from), Hz(to)).expect("the tests ask for supported rates")
    }

    #[test]
    fn a_rate_out_of_range_is_refused_with_both_rates() {
        for (from, to) in [(7_999, 16_000), (192_001, 16_000), (48_000, 0), (48_000, u32::MAX)] {
            let error = Resampler::new(Hz(from), Hz(to)).err();
            assert_eq!(error, Some(Error::UnsupportedRate { from: Hz(from), to: Hz(to) }));
        }
    }

    #[test]
    fn any_pair_of_rates_keeps_every_sample() {
        for from in RATES {
            for to in RATES {
                let mut resampler = resampler(from, to);
                let mut output = vec![0.0; resampler.max_output(2_000)];
                let mut total = 0;
                for block in [1, 0, 127, 1_100, 2, 441] {
                    let written = resampler.process(&vec![0.5; block], &mut output);
                    assert!(written <= resampler.max_output(block), "{from} to {to}");
                    total += written as u64;
                }
                let most = resampler.max_output(resampler.delay_samples());
                total += resampler.flush(&mut output[..most]) as u64;
                assert_eq!(total, (1_671 * u64::from(to)).div_ceil(u64::from(from)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_table_takes_at_most_160_kib_and_a_coarse_one_32() {
        for from in RATES {
            for to in RATES {
                let resampler = resampler(from, to);
                let (bytes, coarse) = (resampler.table_bytes(), resampler.coarse_rows > 0);
                let most = if coarse { 32 * 1_024 } else { 160 * 1_024 };
                assert!(bytes <= most, "{from} to {to}: {bytes} bytes");
            }
        }
        assert_eq!(resampler(48_000, 16_000).table_bytes(), 640);
        assert_eq!(resampler(44_100, 16_000).table_bytes(), 102_400);
    }

    #[test]
    fn an_output_sample_comes_with_the_last_input_it_needs() {
        let mut resampler = resampler(48_000, 16_000);
        let delay = resampler.delay_samples();
        assert_eq!(delay, 79);
        let mut output = [0.0; 64];
        assert_eq!(resampler.process(&vec![0.0; delay], &mut output), 0);
        assert_eq!(resampler.process(&[0.0], &mut output), 1);
        assert_eq!(resampler.process(&[0.0, 0.0], &mut output), 0);
        assert_eq!(resampler.process(&[0.0], &mut output), 1);
    }

    #[test]
    fn equal_rates_pass_the_samples_through_at_once() {
        let mut resampler = resampler(16_000, 16_000);
        let input = [0.1, -0.2, 0.3, f32::MIN_POSITIVE];
        let mut output = [0.0; 5];
        assert_eq!(resampler.process(&input, &mut output), 4);
        assert_eq!(output[..4], input);
        assert_eq!(resampler.flush(&mut output), 0);
    }

    #[test]
    fn what_does_not_fit_is_lost_but_nothing_else_moves() {
        let input: Vec<f32> = (0..3_000).map(|n| (n % 37) as f32 / 37.0).collect();
        let (mut whole, mut narrow) = (resampler(48_000, 16_000), resampler(48_000, 16_000));
        let mut expected = vec![0.0; 1_001];
        let complete = whole.process(&input, &mut expected);
        let mut output = [0.0; 10];
        assert_eq!(narrow.process(&input[..2_900], &mut output), 10);
        assert_eq!(output, expected[..10]);
        let written = narrow.process(&input[2_900..2_920], &mut output);
        let later = narrow.process(&input[2_920..], &mut expected[..100]);
        assert_eq!(output[..written], expected[complete - later - written..complete - later]);
    }

    #[test]
    fn flush_and_reset_begin_a_new_stream() {
        let input: Vec<f32> = (0..700).map(|n| (n % 13) as f32 / 13.0).collect();
        let mut resampler = resampler(44_100, 16_000);
        let (mut first, mut second, mut third) = ([0.0; 300], [0.0; 300], [0.0; 300]);
        let written = resampler.process(&input, &mut first);
        resampler.flush(&mut second);
        assert_eq!(resampler.process(&input, &mut second[..written]), written);
        assert_eq!(first[..written], second[..written]);
        resampler.reset();
        resampler.process(&input, &mut third);
        assert_eq!(first, third);
    }

    #[test]
    fn a_bad_sample_is_forgotten_once_the_filter_has_passed() {
        let mut resampler = resampler(48_000, 16_000);
        let mut output = [0.0; 200];
        resampler.process(&[f32::NAN; 3], &mut output);
        resampler.process(&[0.25; 160], &mut output);
        let written = resampler.process(&[0.25; 300], &mut output);
        assert!(output[..written].iter().all(|sample| (sample - 0.25).abs() < 0.001));
    }
}
