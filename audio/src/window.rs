//! The latest stretch of a stream, laid out so that a filter can start anywhere in it.

use crate::quad::{Quad, quad, shifted_in};

/// Samples as overlapping quads: for each sample the quad that ends with it. Quads four samples apart lie side by side, so the samples
/// from any place on are a plain slice of whole vectors, without unaligned loads, which safe Rust cannot express.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Four rows; row `r` holds the quads that end with samples `r`, `r + 4`, `r + 8` and so on.
    rows: [Box<[Quad]>; 4],
    latest: Quad,
    filled: usize,
}

impl Window {
    /// Room for at least so many samples.
    pub(crate) fn new(capacity: usize) -> Self {
        let row = vec![quad([0.0; 4]); capacity.div_ceil(4)].into_boxed_slice();
        Self { rows: [row.clone(), row.clone(), row.clone(), row], latest: quad([0.0; 4]), filled: 0 }
    }

    /// Empties it, then takes so many zeros, fewer than its capacity.
    pub(crate) fn restart(&mut self, zeros: usize) {
        for row in &mut self.rows {
            row.fill(quad([0.0; 4]));
        }
        self.latest = quad([0.0; 4]);
        self.filled = zeros;
    }

    /// Appends as many of `samples` as fit and returns the others.
    pub(crate) fn append<'a>(&mut self, samples: &'a [f32]) -> &'a [f32] {
        let (now, later) = samples.split_at(samples.len().min(4 * self.rows[0].len() - self.filled));
        let mut latest = self.latest;
        for (&sample, end) in now.iter().zip(self.filled..) {
            latest = shifted_in(latest, sample);
            self.rows[end % 4][end / 4] = latest;
        }
        self.latest = latest;
        self.filled += now.len();
        later
    }

    /// Forgets samples from the start, not necessarily all of the first `unneeded`. Returns how many it forgot.
    pub(crate) fn forget(&mut self, unneeded: usize) -> usize {
        let quads = unneeded / 4;
        for row in &mut self.rows {
            row.copy_within(quads.., 0);
        }
        self.filled -= 4 * quads;
        4 * quads
    }

    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// The samples from `start` on, `length` of them: both must lie in what is filled, and `length` be a multiple of four.
    #[inline]
    pub(crate) fn samples(&self, start: usize, length: usize) -> &[Quad] {
        let first_end = start + 3;
        &self.rows[first_end % 4][first_end / 4..][..length / 4]
    }
}
