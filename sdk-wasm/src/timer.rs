//! Timers that end with their owner.

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::Event;

#[wasm_bindgen]
extern "C" {
    // Page and Worker have both, refuse neither, and number their timers.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handle: &JsValue, ms: i32) -> i32;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: i32);
}

/// Rings once, unless it is dropped before.
pub(crate) struct Timer {
    number: i32,
    _closure: Closure<dyn FnMut(Event)>,
}

impl Timer {
    /// Calls `ring` after so many milliseconds.
    pub(crate) fn new(ms: i32, mut ring: impl FnMut() + 'static) -> Self {
        // The boxed type of all listeners, though nothing is handed over: a further closure type would add its own glue to the download.
        let handle: Box<dyn FnMut(Event)> = Box::new(move |_| ring());
        let closure = Closure::wrap(handle);
        Timer { number: set_timeout(closure.as_ref(), ms), _closure: closure }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(self.number);
    }
}
