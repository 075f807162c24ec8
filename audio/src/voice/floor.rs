//! How loud it is when nobody speaks.

/// The lowest power of the last three seconds (minimum statistics, after R. Martin, "Noise power spectral density estimation based on optimal
/// smoothing and minimum statistics", 2001). Speech dips to the noise between syllables, steady noise never does, so three seconds after the
/// noise of a room has changed the floor has followed, up or down.
#[derive(Clone, Debug)]
pub(super) struct NoiseFloor {
    /// The lowest power of each of the last periods, the current one last.
    minima: [f32; PERIODS],
    /// Frames in the current period.
    frames: u32,
    /// Periods that were heard from start to end.
    complete: usize,
}

impl NoiseFloor {
    /// Takes the mean square of one frame and returns the floor, likewise a mean square. Until three seconds have been heard, no noise is known,
    /// and the floor is silence.
    pub(super) fn track(&mut self, power: f32) -> f32 {
        if self.frames == PERIOD_FRAMES {
            self.minima.rotate_left(1);
            self.minima[PERIODS - 1] = f32::INFINITY;
            self.frames = 0;
            self.complete = (self.complete + 1).min(PERIODS);
        }
        self.frames += 1;
        self.minima[PERIODS - 1] = self.minima[PERIODS - 1].min(power);
        if self.complete < PERIODS {
            return SILENCE;
        }
        self.minima.iter().copied().fold(f32::INFINITY, f32::min).max(SILENCE)
    }
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self { minima: [f32::INFINITY; PERIODS], frames: 0, complete: 0 }
    }
}

const PERIODS: usize = 6;

/// Half a second of frames of 16 ms.
const PERIOD_FRAMES: u32 = 31;

/// -60 dB of full scale (mean square): the floor of a quiet room. Nothing softer is speech to anybody.
pub(super) const SILENCE: f32 = 1e-6;
