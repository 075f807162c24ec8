//! The audio context and the loudspeaker, and keeping them alive.

use std::rc::Rc;

use gloo_timers::callback::Interval;
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AudioContext, AudioContextState, AudioWorkletNode, AudioWorkletNodeOptions};

use super::watch::Sound;
use super::{Host, Inner, capture, failure};

/// The processor's name in the worklet file.
const PLAYBACK: &str = "voxrelay-playback";
/// How often to look whether the context's clock moves.
const WATCH_MS: u32 = 1_000;

/// Silent when it is dropped.
pub(super) struct Audio {
    host: Host,
    context: AudioContext,
    playback: AudioWorkletNode,
    /// The application's own context is not closed.
    given: bool,
}

impl Drop for Audio {
    fn drop(&mut self) {
        self.host.retire(&self.playback, (!self.given).then_some(&self.context));
    }
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
        let host = self.host.clone();
        self.audio.replace(Some(Audio { host, context, playback, given: self.given_context }));
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
            self.ask_to_run(&context);
        }
    }

    fn ask_to_run(&self, context: &AudioContext) {
        // Without a gesture WebKit never answers this, so nobody waits for it: the watch sees what came of it.
        if let Ok(resuming) = context.resume() {
            self.host.ignore(resuming.unchecked_into());
        }
    }

    /// What the context says, if there is one.
    pub(super) fn sound(&self) -> Option<Sound> {
        Some(match self.context()?.state() {
            AudioContextState::Suspended => Sound::Suspended,
            AudioContextState::Running | AudioContextState::Closed => Sound::Running,
            // `interrupted`, a word that only some browsers have.
            _ => Sound::Interrupted,
        })
    }

    fn look(&self) {
        let (Some(context), Some(sound)) = (self.context(), self.sound()) else { return };
        let mut watch = self.watch.get();
        // An application that gave the context may also pause it. What interrupts it is never the application.
        if self.given_context && sound != Sound::Interrupted && !watch.is_interrupted() {
            return;
        }
        let remedy = watch.look(context.current_time(), sound);
        self.watch.set(watch);
        if remedy.tell {
            let cause = match sound {
                Sound::Suspended => "the browser holds the sound back until the page is clicked",
                Sound::Interrupted => "another app, such as a phone call, has the sound",
                Sound::Running => "the sound stands still",
            };
            self.host.error(failure::make(&self.host, &failure::AUDIO, cause));
        }
        if remedy.resume {
            self.ask_to_run(&context);
        }
        if remedy.is_back {
            self.mend_capture();
        }
        if remedy.rebuild {
            self.host.reopen_audio();
        }
    }
}
