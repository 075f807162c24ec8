//! Any sample rate to any other.

use crate::error::Error;
use crate::kernel::{Kernel, LANES};
use crate::rate::{Hz, MAX_RATE, MIN_RATE};

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
/// share a coarser one (up to 25 KiB) between which taps are interpolated.
#[derive(Clone, Debug)]
pub struct Resampler {
    kernel: Kernel,
    /// Output samples sit at multiples of `step / positions` input samples, both reduced.
    positions: u32,
    step: u32,
    /// Rows an input sample of a coarse table, or 0 if every position has a row.
    coarse_rows: u32,
    /// The inputs that some output sample still needs, then free space.
    window: Vec<f32>,
    filled: usize,
    /// Where in `window` the next output sample's first tap falls.
    next: usize,
    /// Where between two inputs the next output sample lies, in `1 / positions`.
    position: u32,
}

/// Input samples taken in before those no longer needed are moved out. Larger means fewer moves.
const INTAKE: usize = 1_024;

/// The most values a table with a row for each position may have: 160 KiB.
const MAX_EXACT_TABLE: usize = 40 * 1_024;

/// Rows of a coarse table in one period of the lower rate. A cubic through four points errs by at most
/// `3/128 * w^4` where `w = 2 pi f / rows`: -142 dB at the edge of the pass band.
const COARSE_ROWS: u32 = 64;

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
            window: vec![0.0; kernel.taps() + INTAKE],
            kernel,
            positions,
            step,
            coarse_rows,
            filled: 0,
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
            if self.filled == self.window.len() {
                self.window.copy_within(self.next.., 0);
                self.filled -= self.next;
                self.next = 0;
            }
            let free = &mut self.window[self.filled..];
            let (now, later) = input.split_at(input.len().min(free.len()));
            free[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            input = later;
            written += self.emit(&mut output[written..]);
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
        self.filled = self.kernel.taps() - 1 - self.kernel.lookahead();
        self.window[..self.filled].fill(0.0);
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

    /// Memory of the table of taps, in bytes.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.kernel.table_bytes()
    }

    fn emit(&mut self, output: &mut [f32]) -> usize {
        let taps = self.kernel.taps();
        let (whole, part) = ((self.step / self.positions) as usize, self.step % self.positions);
        let mut written = 0;
        while self.next + taps <= self.filled {
            if let Some(slot) = output.get_mut(written) {
                let window = &self.window[self.next..self.next + taps];
                *slot = if self.coarse_rows == 0 {
                    dot(self.kernel.row(self.position as usize), window)
                } else {
                    self.interpolate(window)
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
    fn interpolate(&self, window: &[f32]) -> f32 {
        let scaled = self.position * self.coarse_rows;
        let row = (scaled / self.positions) as usize;
        let x = (scaled % self.positions) as f32 / self.positions as f32;
        let weights = [
            x * (x - 1.0) * (2.0 - x) / 6.0,
            (x + 1.0) * (x - 1.0) * (x - 2.0) / 2.0,
            (x + 1.0) * x * (2.0 - x) / 2.0,
            (x + 1.0) * x * (x - 1.0) / 6.0,
        ];
        weights.iter().zip(row..).map(|(weight, row)| weight * dot(self.kernel.row(row), window)).sum()
    }
}

/// Sum of products of two slices whose length is a multiple of [`LANES`]. Fixed lanes let the compiler use vector
/// registers although floating-point addition is not associative.
fn dot(taps: &[f32], window: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (taps, window) in taps.as_chunks::<LANES>().0.iter().zip(window.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += taps[lane] * window[lane];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
