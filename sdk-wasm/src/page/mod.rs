//! The page role: microphone, loudspeaker, and the page's own coming and going.
//!
//! Nothing here waits. Whatever takes a promise (`getUserMedia`, loading the worklet) is asked of the [`Host`], which comes back with
//! the result: Rust's futures would be a tenth of the download.

mod audio;
mod capture;
mod failure;
mod lifecycle;
mod watch;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::callback::{Interval, Timeout};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{AudioContext, AudioNode, AudioWorkletNode, Document, EventTarget, MediaStream, MessagePort};

use audio::Audio;
use capture::Capture;
use watch::Watch;

use crate::listener::Listener;

#[wasm_bindgen]
extern "C" {
    /// The TypeScript around the page role: waits for promises, passes commands on to the engine and events to the application.
    #[wasm_bindgen(typescript_type = "Host")]
    #[derive(Clone)]
    pub type Host;

    #[wasm_bindgen(method, getter)]
    fn window(this: &Host) -> EventTarget;

    #[wasm_bindgen(method, getter)]
    fn document(this: &Host) -> Document;

    /// `navigator.mediaDevices`, which only secure pages have.
    #[wasm_bindgen(method, getter)]
    fn devices(this: &Host) -> Option<EventTarget>;

    /// Ends the processor of a node, then takes the node out and closes the context that was its own.
    #[wasm_bindgen(method)]
    fn retire(this: &Host, node: &AudioWorkletNode, context: Option<&AudioContext>);

    /// Asks for the microphone again; answered by [`Page::capture`].
    #[wasm_bindgen(method, js_name = reopenMicrophone)]
    fn reopen_microphone(this: &Host);

    /// Asks for context and microphone again; answered by [`Page::play`] and [`Page::capture`].
    #[wasm_bindgen(method, js_name = reopenAudio)]
    fn reopen_audio(this: &Host);

    /// Devices came or went: the default microphone may be another one.
    #[wasm_bindgen(method, js_name = devicesChanged)]
    fn devices_changed(this: &Host);

    /// Hands the engine the port at whose other end a microphone is.
    #[wasm_bindgen(method)]
    fn tap(this: &Host, port: MessagePort, rate: u32);

    /// Hands the engine the port at whose other end a loudspeaker is.
    #[wasm_bindgen(method)]
    fn speaker(this: &Host, port: MessagePort, rate: u32);

    /// Passes `online`, `offline` or `woke` on to the engine.
    #[wasm_bindgen(method)]
    fn signal(this: &Host, name: &str);

    /// Holds the connection down, or lets it come up again.
    #[wasm_bindgen(method)]
    fn hold(this: &Host, held: bool);

    /// Tells the application which microphone is open, and whether sound can come from it.
    #[wasm_bindgen(method)]
    fn microphone(this: &Host, label: &str, live: bool);

    /// Takes care of a promise whose failure is seen elsewhere: unhandled, it would be reported as the page's own mistake.
    #[wasm_bindgen(method)]
    fn ignore(this: &Host, promise: Promise);

    /// Tells the application of trouble that does not end the call.
    #[wasm_bindgen(method)]
    fn error(this: &Host, failure: JsValue);

    /// Makes the error object that the application sees.
    #[wasm_bindgen(method)]
    fn failure(this: &Host, code: &str, message: &str, retryable: bool) -> JsValue;
}

/// What one call needs of its page. Dropping it (`free()` in JavaScript) releases microphone and loudspeaker.
#[wasm_bindgen]
pub struct Page {
    inner: Rc<Inner>,
}

/// Everything is behind a cell, since listeners come back at any time.
struct Inner {
    host: Host,
    /// The context is the application's own: neither closed nor made anew.
    given_context: bool,
    output: Option<AudioNode>,
    audio: RefCell<Option<Audio>>,
    capture: RefCell<Option<Capture>>,
    watch: Cell<Watch>,
    listeners: RefCell<Vec<Listener>>,
    /// Looks after the audio.
    interval: Cell<Option<Interval>>,
    /// Waits until devices have settled.
    settling: Cell<Option<Timeout>>,
    /// Waits whether the browser unmutes the track again.
    muted: Cell<Option<Timeout>>,
}

#[wasm_bindgen]
impl Page {
    /// A page without microphone and loudspeaker yet. The agent is heard through `output`, or else the context's destination.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(host: Host, given_context: bool, output: Option<AudioNode>) -> Page {
        let inner = Inner {
            host,
            given_context,
            output,
            audio: RefCell::new(None),
            capture: RefCell::new(None),
            watch: Cell::new(Watch::default()),
            listeners: RefCell::new(Vec::new()),
            interval: Cell::new(None),
            settling: Cell::new(None),
            muted: Cell::new(None),
        };
        Page { inner: Rc::new(inner) }
    }

    /// Plays through this context, whose worklet is loaded, in place of the one before.
    ///
    /// # Errors
    /// What the browser throws if it cannot.
    pub fn play(&self, context: AudioContext) -> Result<(), JsValue> {
        self.inner.play(context)
    }

    /// Listens to this stream, in place of the one before; after [`play`](Self::play). The tracks of one that is `given`, the
    /// application's own, are not stopped at the end.
    ///
    /// # Errors
    /// What the browser throws if it cannot.
    pub fn capture(&self, stream: &MediaStream, given: bool) -> Result<(), JsValue> {
        self.inner.capture(stream, given)
    }

    /// Listens to the page from now on, and looks after the audio.
    pub fn watch(&self) {
        self.inner.listen();
        self.inner.watch_audio();
    }

    /// Releases the microphone: the call is ending, but the agent may still be heard.
    pub fn release(&self) {
        self.inner.capture.replace(None);
    }

    /// The error that an exception of `getUserMedia` stands for, in the words of `docs/errors.md`.
    #[wasm_bindgen(js_name = microphoneFailure)]
    #[must_use]
    pub fn microphone_failure(&self, cause: &str) -> JsValue {
        let refused = cause.starts_with("NotAllowedError") || cause.starts_with("SecurityError");
        failure::make(&self.inner.host, if refused { &failure::DENIED } else { &failure::MISSING }, cause)
    }

    /// The error that an exception of the audio graph stands for.
    #[wasm_bindgen(js_name = audioFailure)]
    #[must_use]
    pub fn audio_failure(&self, cause: &str) -> JsValue {
        failure::make(&self.inner.host, &failure::AUDIO, cause)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A listener that is just being called holds the rest for a moment longer.
        self.inner.listeners.borrow_mut().clear();
        self.inner.interval.set(None);
        self.inner.settling.set(None);
        self.inner.muted.set(None);
        self.inner.capture.replace(None);
        self.inner.audio.replace(None);
    }
}
