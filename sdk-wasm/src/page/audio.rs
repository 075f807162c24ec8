//! The audio context and the loudspeaker, and keeping them alive.

use std::rc::Rc;

use gloo_timers::callback::Interval;
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AudioContext, AudioContextState, AudioWorkletNode, AudioWorkletNodeOptions};

use super::{Inner, capture, failure};

/// The processor's name in the worklet file.
const PLAYBACK: &str = "voxrelay-playback";
/// How often to look whether the context's clock moves.
const WATCH_MS: u32 = 1_000;
/// A context that stood still for so many looks is told to the application.
const TELL_AFTER: u32 = 2;
/// A context that says it runs and stood still for so many looks is made anew, and again after as many.
const REBUILD_AFTER: u32 = 5;

/// Silent when it is dropped.
pub(super) struct Audio {
    context: AudioContext,
    playback: AudioWorkletNode,
    /// The application's own context is not closed.
    given: bool,
}

impl Drop for Audio {
    fn drop(&mut self) {
        capture::dismiss(&self.playback);
        if !self.given {
            let _ = self.context.close();
        }
    }
}

/// What the last looks at the context's clock showed.
#[derive(Clone, Copy, Default)]
pub(super) struct Watch {
    time: f64,
    stuck: u32,
}

impl Inner {
    pub(super) fn play(&self, context: AudioContext) -> Result<(), JsValue> {
        let options = AudioWorkletNodeOptions::new();
        options.set_number_of_inputs(0);
        options.set_output_channel_count(&Array::of1(&JsValue::from(1)));
        let (playback, port) = capture::node(&context, PLAYBACK, &options)?;
        match &self.output {
            Some(output) => playback.connect_with_audio_node(output)?,
            None => playback.connect_with_audio_node(&context.destination())?,
        };
        self.host.speaker(port, context.sample_rate() as u32);
        self.audio.replace(Some(Audio { context, playback, given: self.given_context }));
        self.resume();
        Ok(())
    }

    pub(super) fn context(&self) -> Option<AudioContext> {
        self.audio.borrow().as_ref().map(|audio| audio.context.clone())
    }

    /// Looks after the context from now on.
    pub(super) fn watch_audio(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let interval = Interval::new(WATCH_MS, move || {
            if let Some(inner) = weak.upgrade() {
                inner.look();
            }
        });
        self.interval.set(Some(interval));
    }

    /// Resumes a context that the browser holds back: at the start, after a gesture, or when the page comes back.
    pub(super) fn resume(&self) {
        if let Some(context) = self.context()
            && context.state() != AudioContextState::Running
        {
            // Without a gesture WebKit never answers this, so nobody waits for it: the watch sees what came of it.
            if let Ok(resuming) = context.resume() {
                self.host.ignore(resuming.unchecked_into());
            }
        }
    }

    /// iOS may call a context `running` whose clock stands still, so the clock is what counts.
    fn look(&self) {
        let Some(context) = self.context() else { return };
        let Watch { time: before, stuck } = self.watch.get();
        let time = context.current_time();
        let stuck = if time == before { stuck + 1 } else { 0 };
        self.watch.set(Watch { time, stuck });
        // An application that gave the context may also pause it.
        if stuck == 0 || self.given_context {
            return;
        }
        self.resume();
        if stuck == TELL_AFTER {
            let cause = "the browser holds the sound back until the page is clicked";
            self.host.error(failure::make(&self.host, &failure::AUDIO, cause));
        }
        // A context that waits for a gesture would only be replaced by another that waits.
        if stuck % REBUILD_AFTER == 0 && context.state() != AudioContextState::Suspended {
            self.host.reopen_audio();
        }
    }
}
