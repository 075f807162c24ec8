//! One open microphone, from its stream to the engine's port.

use std::rc::Rc;

use gloo_timers::callback::Timeout;
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AudioContext, AudioWorkletNode, AudioWorkletNodeOptions, ChannelCountMode, MediaStream,
    MediaStreamAudioSourceNode, MediaStreamTrack, MediaStreamTrackState, MessageChannel, MessagePort,
};

use super::watch::Sound;
use super::{Host, Inner};
use crate::listener::Listener;

/// The processor's name in the worklet file.
const TAP: &str = "voxrelay-tap";
/// A track that the browser muted (a phone call, another app) is opened anew after this.
const MUTED_FOR_MS: u32 = 2_000;
/// One device that comes or goes makes several events.
const SETTLE_MS: u32 = 500;

/// Releases its microphone when it is dropped.
pub(super) struct Capture {
    host: Host,
    track: MediaStreamTrack,
    source: MediaStreamAudioSourceNode,
    tap: AudioWorkletNode,
    /// The application's own stream is not stopped.
    given: bool,
    _listeners: [Listener; 3],
}

impl Capture {
    /// Whether sound can come from it.
    fn is_live(&self) -> bool {
        self.track.ready_state() == MediaStreamTrackState::Live && !self.track.muted()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.source.disconnect();
        self.host.retire(&self.tap, None);
        if !self.given {
            self.track.stop();
        }
    }
}

impl Inner {
    /// Leads a stream to the engine.
    pub(super) fn capture(self: &Rc<Self>, stream: &MediaStream, given: bool) -> Result<(), JsValue> {
        let Some(context) = self.context() else { return Ok(()) };
        let track = stream.get_audio_tracks().get(0).unchecked_into::<MediaStreamTrack>();
        let source = context.create_media_stream_source(stream)?;
        let options = AudioWorkletNodeOptions::new();
        // Chromium ignores a channel count in the constraints, so the node mixes down.
        options.set_channel_count(1);
        options.set_channel_count_mode(ChannelCountMode::Explicit);
        let (tap, port) = node(&context, TAP, &options)?;
        source.connect_with_audio_node(&tap)?;
        // It renders silence, but a node that leads nowhere need not be run.
        tap.connect_with_audio_node(&context.destination())?;
        let listeners =
            [self.follow(&track, "ended"), self.follow(&track, "mute"), self.follow(&track, "unmute")];
        let host = self.host.clone();
        let capture = Capture { host, track, source, tap, given, _listeners: listeners };
        self.host.tap(port, context.sample_rate() as u32);
        self.host.microphone(&capture.track.label(), capture.is_live());
        self.capture.replace(Some(capture));
        Ok(())
    }

    /// Asks for the microphone again if sound can no longer come from this one. Whoever interrupts the sound has the microphone, too.
    pub(super) fn mend_capture(&self) {
        let broken = self.capture.borrow().as_ref().is_some_and(|capture| !capture.is_live());
        if broken && self.sound() != Some(Sound::Interrupted) {
            self.host.reopen_microphone();
        }
    }

    /// Devices came or went.
    pub(super) fn settle(self: &Rc<Self>) {
        self.settling.set(Some(self.later(SETTLE_MS, |inner| {
            inner.host.devices_changed();
            inner.mend_capture();
        })));
    }

    /// Tells and mends what happens to the track.
    fn follow(self: &Rc<Self>, track: &MediaStreamTrack, event: &'static str) -> Listener {
        let (weak, label) = (Rc::downgrade(self), track.label());
        Listener::new(track, event, move |_| {
            let Some(inner) = weak.upgrade() else { return };
            inner.host.microphone(&label, event == "unmute");
            match event {
                "mute" => inner.muted.set(Some(inner.later(MUTED_FOR_MS, Inner::mend_capture))),
                "ended" => inner.mend_capture(),
                _ => {}
            }
        })
    }

    /// A timer for one of the slots: each reason to look again has its own, so that none puts off another.
    fn later(self: &Rc<Self>, wait_ms: u32, act: fn(&Inner)) -> Timeout {
        let weak = Rc::downgrade(self);
        Timeout::new(wait_ms, move || {
            if let Some(inner) = weak.upgrade() {
                act(&inner);
            }
        })
    }
}

/// Makes a worklet node and a channel to its processor; returns the far end.
pub(super) fn node(
    context: &AudioContext,
    name: &str,
    options: &AudioWorkletNodeOptions,
) -> Result<(AudioWorkletNode, MessagePort), JsValue> {
    let node = AudioWorkletNode::new_with_options(context, name, options)?;
    let channel = MessageChannel::new()?;
    let near = channel.port1();
    node.port()?.post_message_with_transferable(&near, &Array::of1(&near))?;
    Ok((node, channel.port2()))
}
