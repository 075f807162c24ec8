//! The module of voice activity (`voice-wasm`), which only a call that asks for it has.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// The compiled module.
    #[wasm_bindgen(typescript_type = "WebAssembly.Module")]
    pub type VoiceModule;

    type Instance;

    #[wasm_bindgen(constructor, catch, js_namespace = WebAssembly)]
    fn new(module: &VoiceModule) -> Result<Instance, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn exports(this: &Instance) -> Voice;

    /// What it exports.
    pub(crate) type Voice;

    /// See `voice_wasm::hear`.
    #[wasm_bindgen(method)]
    pub(crate) fn hear(this: &Voice, sample: f32, agent_rms: f32) -> bool;
}

impl Voice {
    /// One that has heard nothing; `None` if the browser has no room for it.
    pub(crate) fn of(module: &VoiceModule) -> Option<Voice> {
        Instance::new(module).map(|instance| instance.exports()).ok()
    }
}
