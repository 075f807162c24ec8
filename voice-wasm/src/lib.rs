//! Voice activity on the page: a WebAssembly module of its own, which a page loads only for a call that asks for it.
//!
//! The engine (`sdk-wasm`) instantiates it beside itself, gives it each sample of the microphone and how loud the agent is, and is told when the
//! user begins to speak over the agent ([`BargeIn`]). It imports nothing, and all that goes in and out are numbers, so it needs no JavaScript of
//! its own. One instance serves one call.

mod barge_in;

pub use barge_in::BargeIn;

use std::cell::RefCell;

use wasm_bindgen::prelude::wasm_bindgen;

// The default one is three times its size, and a page downloads it.
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

thread_local! {
    static BARGE_IN: RefCell<BargeIn> = RefCell::new(BargeIn::new());
}

/// Hears one sample of the microphone, as [`BargeIn::hear`] does.
#[wasm_bindgen]
#[must_use]
pub fn hear(sample: f32, agent_rms: f32) -> bool {
    BARGE_IN.with_borrow_mut(|barge_in| barge_in.hear(sample, agent_rms))
}
