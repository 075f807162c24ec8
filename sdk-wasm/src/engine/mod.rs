//! The engine role: signal work and the link's driver.

mod capture;
mod link;
mod playback;
mod report;
mod socket;
mod upward;
mod voice;

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use js_sys::Float32Array;
use protocol::client::{Answer, Config, Input, Transport, Transports};
use protocol::{Upward, read_json};
use serde::Deserialize;
use tsify::Tsify;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, MessageEvent, MessagePort};

pub use report::Outlet;

use capture::Capture;
use link::Link;
use playback::Playback;
use voice::{Voice, VoiceModule};

/// Levels are told at most this often, in milliseconds, while somebody looks at them: 20 a second. That the agent fell silent is told at once.
const LEVEL_EVERY_MS: f64 = 50.0;
/// How well the line does is told so often while there is sound either way, in milliseconds.
const QUALITY_EVERY_MS: f64 = 2_000.0;
/// So often it is told once more where there is no sound: the page warns by the last five, and none of these has anything of the sound.
const QUIET_QUALITIES: u8 = 6;
/// Levels are told this often otherwise. Each one wakes the page's main thread, and 20 a second take as much of it as all else of a call.
const LEVEL_UNWATCHED_EVERY_MS: f64 = 250.0;

/// One call: what runs between the worklets' ports and the socket.
///
/// Dropping it (`free()` in JavaScript) closes socket, ports and timer.
#[wasm_bindgen]
pub struct Engine {
    inner: Rc<RefCell<Inner>>,
}

/// The parts borrow each other only for the length of a call, so they lie side by side.
pub(crate) struct Inner {
    pub(crate) link: Link,
    pub(crate) capture: Capture,
    pub(crate) playback: Playback,
    muted: bool,
    closing: bool,
    levels_watched: bool,
    level_told_ms: f64,
    quality_told_ms: f64,
}

/// What an engine is made with.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    /// Name and version, for the relay's record.
    client: String,
    /// 20 to 200; values outside are brought to the nearest inside.
    chunk_ms: u32,
    /// 1,000 to 60,000, the same.
    buffer_ms: u64,
    /// How long a lost connection is tried.
    give_up_after_ms: u64,
    /// What the connections may go over.
    #[tsify(type = "\"auto\" | \"websocket\" | \"http\"")]
    transport: String,
    /// Any number that differs between pages: it spreads their reconnects.
    seed: u64,
    /// The conversation to go on with, if it is not a new one.
    #[tsify(optional)]
    conversation: Option<String>,
    /// The name of the agent to speak with, if it is not the relay's default.
    #[tsify(optional)]
    agent: Option<String>,
}

#[wasm_bindgen]
impl Engine {
    /// A call that waits for [`start`](Self::start), made with `settings` as JSON text.
    ///
    /// # Panics
    /// If the settings are not those of this version.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(outlet: Outlet, settings: &str) -> Engine {
        report::tell_panics_to(&outlet);
        let settings: Settings =
            read_json(settings).expect("the TypeScript around the engine is of its version");
        let config = Config {
            client: settings.client,
            buffer: Duration::from_millis(settings.buffer_ms),
            give_up_after: Duration::from_millis(settings.give_up_after_ms),
            conversation: settings.conversation,
            agent: settings.agent,
            // The first letter says it, and is less to download than the words.
            transports: match settings.transport.as_bytes() {
                [b'h', ..] => Transports::Only(Transport::Http),
                [b'w', ..] => Transports::Only(Transport::WebSocket),
                _ => Transports::Both,
            },
            seed: settings.seed,
        };
        let inner = Rc::new_cyclic(|weak| {
            RefCell::new(Inner {
                link: Link::new(weak.clone(), outlet, config),
                capture: Capture::new(settings.chunk_ms),
                playback: Playback::new(weak.clone()),
                muted: false,
                closing: false,
                levels_watched: false,
                level_told_ms: 0.0,
                quality_told_ms: 0.0,
            })
        });
        Engine { inner }
    }

    /// Connects.
    pub fn start(&self) {
        self.input(Input::Start);
    }

    /// The application's answer to the report `token`.
    pub fn token(&self, token: &str) {
        self.input(Input::Token(Ok(token)));
    }

    /// The application could not answer the report `token`.
    #[wasm_bindgen(js_name = tokenFailed)]
    pub fn token_failed(&self, cause: &str) {
        self.input(Input::Token(Err(cause)));
    }

    /// The application will not answer the report `token`, this time or later.
    #[wasm_bindgen(js_name = noToken)]
    pub fn no_token(&self) {
        self.input(Input::NoToken);
    }

    /// What the report `why` was answered with; with a status of 0 there was no answer.
    pub fn why(&self, status: u16, body: &str) {
        self.input(Input::Why((status != 0).then_some(Answer { status, body })));
    }

    /// The browser's `online` event. It changes nothing while the connection is held down.
    pub fn online(&self) {
        self.input(Input::Online);
    }

    /// The browser's `offline` event.
    pub fn offline(&self) {
        self.input(Input::Offline);
    }

    /// The page was hidden, frozen or asleep and is back.
    pub fn woke(&self) {
        self.input(Input::Woke);
    }

    /// Holds the connection down (`true`) until it may come up again (`false`): for a page in the back/forward cache, and for
    /// applications that show an outage.
    pub fn hold(&self, held: bool) {
        parts(&self.inner).link.held = held;
        self.input(if held { Input::Offline } else { Input::Online });
    }

    /// Takes the microphone's samples from this port, mono `f32` at `rate` Hz. Replaces the one before.
    pub fn tap(&self, port: MessagePort, rate: u32) {
        let weak = Rc::downgrade(&self.inner);
        let inner = &mut *parts(&self.inner);
        let opened = inner.capture.open(port, rate, inner.muted, move |event| {
            if let Some(inner) = weak.upgrade() {
                parts(&inner).captured(&event);
            }
        });
        if let Err(error) = opened {
            inner.link.report(error);
        }
    }

    /// Sends the agent's samples to this port, mono `f32` at `rate` Hz. Replaces the one before.
    pub fn speaker(&self, port: MessagePort, rate: u32) {
        let weak = Rc::downgrade(&self.inner);
        parts(&self.inner).playback.open(port, rate, move |event| {
            if let Some(inner) = weak.upgrade() {
                parts(&inner).rendered(&event);
            }
        });
    }

    /// Stops or goes on with sending what the microphone hears. What was said before is still sent.
    pub fn mute(&self, muted: bool) {
        let inner = &mut *parts(&self.inner);
        inner.muted = muted;
        inner.capture.mute(muted, |chunk| inner.link.chunk(chunk, &mut inner.playback));
        inner.link.input(Input::Mute(muted), &mut inner.playback);
    }

    /// Puts the call on hold: the agent falls silent where it is, and the relay is told. Who is on hold is muted as well.
    #[wasm_bindgen(js_name = onHold)]
    pub fn on_hold(&self, on_hold: bool) {
        parts(&self.inner).playback.put_on_hold(on_hold);
        self.input(Input::Hold(on_hold));
    }

    /// Somebody looks at the levels, or nobody does any more.
    #[wasm_bindgen(js_name = watchLevels)]
    pub fn watch_levels(&self, watched: bool) {
        parts(&self.inner).levels_watched = watched;
    }

    /// Says something among the audio: a message of the protocol as JSON text, without its place. Answered with the report `taken` or
    /// `refused` with this `id`.
    pub fn message(&self, id: u32, json: &str) {
        let inner = &mut *parts(&self.inner);
        // Whoever calls this makes the text from checked parts.
        let Ok(message) = Upward::parse(json) else { return };
        inner.link.message(id, &message, &mut inner.playback);
    }

    /// The page noticed that the user speaks while the agent does.
    #[wasm_bindgen(js_name = bargeIn)]
    pub fn barge_in(&self) {
        self.input(Input::BargeIn);
    }

    /// Has the compiled `voice.wasm` listen from here on: when the user begins to speak over the agent, the agent is held at once, and the relay
    /// is asked what becomes of it.
    pub fn voice(&self, module: &VoiceModule) {
        let inner = &mut *parts(&self.inner);
        inner.capture.listen(Voice::of(module), inner.muted);
    }

    /// Hangs up: sends what was said, unless it is not to `finish`, says goodbye to the relay, and ends with the report `ended`.
    pub fn close(&self, finish: bool) {
        let inner = &mut *parts(&self.inner);
        inner.closing = true;
        inner.capture.close(|chunk| inner.link.chunk(chunk, &mut inner.playback));
        inner.playback.flush();
        inner.link.input(Input::Close { finish }, &mut inner.playback);
    }

    fn input(&self, input: Input<'_>) {
        let inner = &mut *parts(&self.inner);
        inner.link.input(input, &mut inner.playback);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        report::tell_no_panics_to(self.inner.borrow().link.outlet());
    }
}

impl Inner {
    /// A block of the microphone.
    fn captured(&mut self, event: &Event) {
        if self.muted || self.closing {
            return;
        }
        let Ok(samples) = data(event).dyn_into::<Float32Array>() else { return };
        let silent = self.capture.push(&samples, |chunk| self.link.chunk(chunk, &mut self.playback));
        if let Some(error) = silent {
            self.link.report(error);
        }
        let begins = self.capture.notices(self.playback.agent_rms());
        if begins && self.link.takes_barge_in() && self.playback.hold_for_relay() {
            self.link.input(Input::BargeIn, &mut self.playback);
        }
        self.tell_level();
    }

    /// The loudspeaker has come further.
    fn rendered(&mut self, event: &Event) {
        match data(event).as_f64() {
            Some(samples) => {
                if let Some(position) = self.playback.rendered(samples as u32) {
                    self.link.input(Input::Played(position), &mut self.playback);
                }
            }
            None => self.playback.flushed(),
        }
        // Silence is told at once: the loudspeaker says nothing more that could tell it.
        if self.playback.is_silent() {
            self.level_told_ms = 0.0;
        }
        self.tell_level();
        self.link.tell_drained(&self.playback);
    }

    fn tell_level(&mut self) {
        let now = link::now_ms();
        self.link.sounds();
        let every = if self.levels_watched { LEVEL_EVERY_MS } else { LEVEL_UNWATCHED_EVERY_MS };
        if now - self.level_told_ms >= every {
            self.level_told_ms = now;
            self.link.tell_level(self.capture.level(), self.playback.level());
        }
        if now - self.quality_told_ms >= QUALITY_EVERY_MS {
            self.tell_quality(QUIET_QUALITIES);
        }
    }

    /// There was no sound that would have had it told how well the line does.
    fn quiet(&mut self) {
        let left = self.link.quiet_left();
        self.tell_quality(left);
    }

    /// Tells how well the line does, and so many times more unless there is sound.
    fn tell_quality(&mut self, left: u8) {
        self.quality_told_ms = link::now_ms();
        self.link.tell_quality(&mut self.playback, self.capture.clipped_ms(), left);
    }
}

/// The parts, for the length of a call. A panic tells where a borrow began: of all of them it is one place, since each would be downloaded.
#[inline(always)]
pub(crate) fn parts(inner: &RefCell<Inner>) -> RefMut<'_, Inner> {
    inner.borrow_mut()
}

fn data(event: &Event) -> JsValue {
    event.unchecked_ref::<MessageEvent>().data()
}
