//! What a caller can get wrong.

use crate::rate::{Hz, MAX_RATE, MIN_RATE};

/// A setting that this crate cannot work with. All are the caller's to mend; processing itself never fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One of the two rates lies outside [`MIN_RATE`]`..=`[`MAX_RATE`].
    #[error(
        "cannot resample from {} Hz to {} Hz: both must lie between {} and {} Hz",
        from.0, to.0, MIN_RATE.0, MAX_RATE.0
    )]
    UnsupportedRate {
        /// The rate of the input.
        from: Hz,
        /// The rate asked of the output.
        to: Hz,
    },
    /// A chunk would be shorter or longer than the relay takes.
    #[error("a chunk of {asked_ms} ms: it must last {min_ms} to {max_ms} ms")]
    ChunkDuration {
        /// The duration asked for, in milliseconds.
        asked_ms: u32,
        /// The shortest allowed, in milliseconds.
        min_ms: u32,
        /// The longest allowed, in milliseconds.
        max_ms: u32,
    },
}
