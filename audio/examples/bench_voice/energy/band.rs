//! The band that carries most of a voice's energy.

use super::HOP;
use super::floor::SILENCE;

/// A band pass from 200 to 4,000 Hz at 16 kHz. Fourth-order Butterworth below, so that mains hum (50 to 120 Hz) and rumble fall by 18
/// to 48 dB; second-order above, against hiss.
#[derive(Clone, Debug, Default)]
pub(super) struct SpeechBand {
    states: [State; SECTIONS.len()],
}

/// The two delays of a section in transposed direct form II.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    first: f32,
    second: f32,
}

struct Section {
    b0: f32,
    b1: f32,
    b2: f32,
    a1: f32,
    a2: f32,
}

impl SpeechBand {
    /// The energy of a hop within the band. Of one that is softer than any floor, the energy in all: it is no less, and counts as silence
    /// either way.
    pub(super) fn energy(&mut self, hop: &[f32; HOP]) -> f32 {
        let whole = sum_of_squares(hop);
        if whole < SILENCE * HOP as f32 {
            self.states = Default::default();
            return whole;
        }
        let energy = hop.iter().fold(0.0, |energy, sample| {
            let voice = self.filter(*sample);
            energy + voice * voice
        });
        self.settle();
        energy
    }

    #[inline]
    fn filter(&mut self, sample: f32) -> f32 {
        self.states.iter_mut().zip(&SECTIONS).fold(sample, |input, (state, section)| {
            let output = section.b0 * input + state.first;
            state.first = section.b1 * input - section.a1 * output + state.second;
            state.second = section.b2 * input - section.a2 * output;
            output
        })
    }

    /// Zeroes what has decayed beyond hearing: denormal numbers are slow on most processors.
    fn settle(&mut self) {
        for state in &mut self.states {
            if state.first.abs() + state.second.abs() < 1e-15 {
                *state = State::default();
            }
        }
    }
}

/// Sums in eight lanes, which a processor adds at once.
fn sum_of_squares(hop: &[f32; HOP]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for block in hop.chunks_exact(lanes.len()) {
        for (lane, sample) in lanes.iter_mut().zip(block) {
            *lane += sample * sample;
        }
    }
    lanes.iter().sum()
}

/// The formulas are those of R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients".
/// A Butterworth filter of order four is two sections with these Q.
const SECTIONS: [Section; 3] =
    [high_pass_200(0.541_196_1), high_pass_200(1.306_563), low_pass_4000(0.707_106_77)];

const fn high_pass_200(q: f32) -> Section {
    // Of 2 pi * 200 / 16,000.
    const COS: f32 = 0.996_917_3;
    const SIN: f32 = 0.078_459_1;
    let alpha = SIN / (2.0 * q);
    let a0 = 1.0 + alpha;
    Section {
        b0: (1.0 + COS) / 2.0 / a0,
        b1: -(1.0 + COS) / a0,
        b2: (1.0 + COS) / 2.0 / a0,
        a1: -2.0 * COS / a0,
        a2: (1.0 - alpha) / a0,
    }
}

const fn low_pass_4000(q: f32) -> Section {
    // Of 2 pi * 4,000 / 16,000: cosine 0, sine 1.
    let alpha = 1.0 / (2.0 * q);
    let a0 = 1.0 + alpha;
    Section { b0: 0.5 / a0, b1: 1.0 / a0, b2: 0.5 / a0, a1: 0.0, a2: (1.0 - alpha) / a0 }
}
