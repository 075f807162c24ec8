//! How loud it is when nobody speaks.

/// The lowest power of the last three seconds. Speech dips to the noise between syllables, steady noise never does, so three
/// seconds after the noise of a room has changed the floor has followed, up or down.
#[derive(Clone, Debug)]
pub(super) struct NoiseFloor {
    /// The lowest power of each of the last periods, the current one last.
    minima: [f32; PERIODS],
    /// Windows in the current period.
    windows: u32,
    /// Periods that were heard from start to end.
    complete: usize,
}

impl NoiseFloor {
    /// Takes the mean square of one window and returns the floor, likewise a mean square.
    pub(super) fn track(&mut self, power: f32) -> f32 {
        if self.windows == PERIOD_WINDOWS {
            self.minima.rotate_left(1);
            self.minima[PERIODS - 1] = f32::INFINITY;
            self.windows = 0;
            self.complete = (self.complete + 1).min(PERIODS);
        }
        self.windows += 1;
        self.minima[PERIODS - 1] = self.minima[PERIODS - 1].min(power);
        let lowest = self.minima.iter().copied().fold(f32::INFINITY, f32::min);
        let highest = if self.complete < PERIODS { EARLY_CEILING } else { f32::INFINITY };
        lowest.clamp(SILENCE, highest)
    }
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self { minima: [f32::INFINITY; PERIODS], windows: 0, complete: 0 }
    }
}

const PERIODS: usize = 6;

/// Half a second of windows, one every 5 ms.
const PERIOD_WINDOWS: u32 = 100;

/// -60 dB of full scale (mean square): the floor of a quiet room. Nothing softer than 8 dB above it is speech to anybody.
pub(super) const SILENCE: f32 = 1e-6;

/// -36 dB of full scale (mean square). Until three seconds have been heard the floor is not taken to be louder than this, so that somebody
/// who speaks at once is heard.
const EARLY_CEILING: f32 = 2.5e-4;
