//! The resampler as wasm, to be timed in Node by `bench_wasm.mjs`: build it with
//! `cargo build --profile wasm --target wasm32-unknown-unknown -p audio --example bench_wasm`
//! and bind it for Node with wasm-bindgen.

use audio::{Hz, Resampler, SPEECH_RATE};
use wasm_bindgen::prelude::wasm_bindgen;

/// A resampler to 16 kHz, fed with blocks of 128 samples as an AudioWorklet delivers them.
#[wasm_bindgen]
pub struct Bench {
    resampler: Resampler,
    input: Vec<f32>,
    output: Vec<f32>,
}

#[wasm_bindgen]
impl Bench {
    /// From this rate, in Hz.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(from: u32) -> Self {
        let resampler = Resampler::new(Hz(from), SPEECH_RATE).expect("the bench asks for supported rates");
        // Noise from a linear congruential generator: no block is like the last, none is silent.
        let mut state = 1_u32;
        let noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let input = std::iter::repeat_with(noise).take(128 * 64).collect();
        let output = vec![0.0; resampler.max_output(128)];
        Self { resampler, input, output }
    }

    /// Resamples so many blocks; returns something that depends on all of them, lest they be optimised away.
    pub fn run(&mut self, blocks: u32) -> f32 {
        let mut sum = 0.0;
        for block in self.input.as_chunks::<128>().0.iter().cycle().take(blocks as usize) {
            let written = self.resampler.process(block, &mut self.output);
            sum += self.output[..written].iter().sum::<f32>();
        }
        sum
    }
}
