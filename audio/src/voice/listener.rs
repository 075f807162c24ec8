//! The neural network, and what it has to catch up on.

use std::fmt;

use earshot::Detector;

use super::FRAME;

/// Says how likely it is that somebody speaks. It hears a frame together with the two before it and remembers more than that; so after frames
/// that it was not asked about, it hears the last of them first.
pub(super) struct Listener {
    network: Detector,
    /// The last frames that it has not heard, in a ring, and how many there are.
    passed: [[i16; FRAME]; CATCH_UP],
    next: usize,
    count: usize,
}

impl Listener {
    /// Hears a frame. How likely it is that somebody speaks, from 0 to 1.
    pub(super) fn listen(&mut self, frame: &[i16; FRAME]) -> f32 {
        for place in (0..CATCH_UP).skip(CATCH_UP - self.count) {
            self.network.predict_i16(&self.passed[(self.next + place) % CATCH_UP]);
        }
        self.count = 0;
        self.network.predict_i16(frame)
    }

    /// A frame that nobody asks about.
    pub(super) fn pass(&mut self, frame: &[i16; FRAME]) {
        self.passed[self.next] = *frame;
        self.next = (self.next + 1) % CATCH_UP;
        self.count = (self.count + 1).min(CATCH_UP);
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self { network: Detector::default(), passed: [[0; FRAME]; CATCH_UP], next: 0, count: 0 }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("count", &self.count).finish_non_exhaustive()
    }
}

/// 64 ms. Twice as many find speech no better.
const CATCH_UP: usize = 4;
