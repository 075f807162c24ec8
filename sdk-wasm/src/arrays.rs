//! What a browser's arrays hold, in memory of this module.

use js_sys::{Float32Array, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;

// `copy_to` of `js_sys` is the same but for a comparison of the lengths, whose words for the case that they differ need code that writes numbers in
// three ways: all of it would be downloaded.
#[wasm_bindgen]
extern "C" {
    /// Fills `memory`, which has to be as long as they are, with bytes.
    #[wasm_bindgen(js_namespace = Uint8Array, js_name = "prototype.set.call")]
    pub(crate) fn copy_bytes(memory: &mut [u8], bytes: &Uint8Array);

    /// The same with samples.
    #[wasm_bindgen(js_namespace = Float32Array, js_name = "prototype.set.call")]
    pub(crate) fn copy_samples(memory: &mut [f32], samples: &Float32Array);
}
