//! What a session counts of each frame, through handles that it keeps: nothing is looked up or locked for a frame.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::names::{ACKNOWLEDGEMENT_SECONDS, CHUNKS};

/// The two ways of a frame.
const DIRECTIONS: [&str; 2] = ["up", "down"];

/// See [`begin`](super::begin).
pub(super) fn begin() {
    for direction in DIRECTIONS {
        counter!(CHUNKS, "direction" => direction).increment(0);
    }
}

/// The counters of a session's frames.
pub(crate) struct Line {
    up: Counter,
    down: Counter,
    acknowledgement: Histogram,
}

impl Line {
    pub(crate) fn new() -> Line {
        let [up, down] = DIRECTIONS.map(|direction| counter!(CHUNKS, "direction" => direction));
        Line { up, down, acknowledgement: histogram!(ACKNOWLEDGEMENT_SECONDS) }
    }

    /// A frame of audio came from the page.
    pub(crate) fn came(&self) {
        self.up.increment(1);
    }

    /// A frame of audio goes to the page.
    pub(crate) fn went(&self) {
        self.down.increment(1);
    }

    /// An acknowledgement goes to the page, for which its oldest frame has waited for so long.
    pub(crate) fn acknowledged(&self, after: Duration) {
        self.acknowledgement.record(after.as_secs_f64());
    }
}
