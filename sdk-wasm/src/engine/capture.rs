//! From the tap's blocks to chunks of 16 kHz.

use audio::{Chunker, Hz, Level, LevelMeter, MAX_CHUNK_MS, MIN_CHUNK_MS, Resampler, SPEECH_RATE};
use js_sys::Float32Array;
use protocol::{ErrorCode, ErrorInfo};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Event, MessagePort};

use super::voice::Voice;
use crate::arrays::copy_samples;
use crate::listener::Listener;

/// A microphone that gives nothing but zeros for so long is told to the user: a live one always has noise.
const SILENT_AFTER_S: u32 = 3;

/// A sample this loud is at the end of its scale: what was louder is cut off.
const FULL_SCALE: f32 = 0.999;
/// The tap posts so much at a time where a voice is to be noticed at once: half of what it posts otherwise.
const AWAITED_MS: u32 = 8;

// Constants, so that of all the errors' texts only these are downloaded.
const SILENT: ErrorInfo = ErrorCode::MicrophoneSilent.info();
const UNSUPPORTED_RATE: ErrorInfo = ErrorCode::AudioUnavailable.info();

// What `Tap::tell` posts and `Inner::captured` reads, as the worklet has it.
#[wasm_bindgen(typescript_custom_section)]
const TAP_TOLD: &str = "/** What the tap is told: to be still, or to go on in blocks of as many samples at most, if that is not 0. */
export type TapTold = true | number;
/** What it tells the engine: samples. */
export type TapTells = Float32Array;";

/// The way of the microphone's samples.
pub(crate) struct Capture {
    tap: Option<Tap>,
    chunker: Chunker,
    meter: LevelMeter,
    /// Who notices that the user speaks over the agent, if somebody is to.
    voice: Option<Voice>,
}

/// One microphone.
struct Tap {
    port: MessagePort,
    _listener: Listener,
    resampler: Resampler,
    /// Samples of the device, and at 16 kHz: grown to the largest block that came, never freed.
    block: Vec<f32>,
    speech: Vec<f32>,
    /// How much of `speech` is of the last block.
    written: usize,
    rate: u32,
    /// How many zeros have come in a row.
    zeros: u32,
    /// How many samples at full scale have come since somebody asked.
    clipped: u32,
}

impl Capture {
    pub(crate) fn new(chunk_ms: u32) -> Self {
        let chunk_ms = chunk_ms.clamp(MIN_CHUNK_MS, MAX_CHUNK_MS);
        Capture {
            tap: None,
            chunker: Chunker::new(SPEECH_RATE.samples_in_ms(chunk_ms)),
            meter: LevelMeter::new(),
            voice: None,
        }
    }

    pub(crate) fn open(
        &mut self,
        port: MessagePort,
        rate: u32,
        muted: bool,
        handle: impl FnMut(Event) + 'static,
    ) -> Result<(), ErrorInfo> {
        let resampler = Resampler::new(Hz(rate), SPEECH_RATE).map_err(|_| UNSUPPORTED_RATE)?;
        let listener = Listener::new(&port, "message", handle);
        port.start();
        let tap = Tap {
            port,
            _listener: listener,
            resampler,
            block: Vec::new(),
            speech: Vec::new(),
            written: 0,
            rate,
            zeros: 0,
            clipped: 0,
        };
        tap.tell(muted, self.voice.is_some());
        self.tap = Some(tap);
        Ok(())
    }

    /// Takes a block; calls `on_chunk` for each chunk that it completes. Says when the microphone seems dead.
    pub(crate) fn push(&mut self, samples: &Float32Array, on_chunk: impl FnMut(&[i16])) -> Option<ErrorInfo> {
        let tap = self.tap.as_mut()?;
        let len = samples.length() as usize;
        tap.block.resize(len, 0.0);
        copy_samples(&mut tap.block, samples);
        let most = tap.resampler.max_output(len);
        if tap.speech.len() < most {
            tap.speech.resize(most, 0.0);
        }
        tap.written = tap.resampler.process(&tap.block, &mut tap.speech);
        let speech = &tap.speech[..tap.written];
        self.meter.push(speech);
        self.chunker.push(speech, on_chunk);
        tap.clipped += tap.block.iter().filter(|sample| sample.abs() >= FULL_SCALE).count() as u32;
        tap.hear_silence(len as u32)
    }

    /// Has this one notice that the user speaks over the agent.
    pub(crate) fn listen(&mut self, voice: Option<Voice>, muted: bool) {
        self.voice = voice;
        if let Some(tap) = &self.tap {
            tap.tell(muted, self.voice.is_some());
        }
    }

    /// Whether the user begins, in the last block, to speak over the agent, who is as loud as this; a negative number says that it is silent.
    pub(crate) fn notices(&self, agent_rms: f32) -> bool {
        let (Some(voice), Some(tap)) = (&self.voice, &self.tap) else { return false };
        tap.speech[..tap.written]
            .iter()
            .fold(false, |noticed, sample| noticed | voice.hear(*sample, agent_rms))
    }

    /// Stops or starts the tap. What was said before is emitted as a last, shorter chunk.
    pub(crate) fn mute(&mut self, muted: bool, on_chunk: impl FnMut(&[i16])) {
        if muted {
            self.chunker.flush(on_chunk);
            self.meter = LevelMeter::new();
        }
        if let Some(tap) = &mut self.tap {
            // What was heard before the pause must not ring into what comes after it.
            tap.resampler.reset();
            tap.zeros = 0;
            tap.tell(muted, self.voice.is_some());
        }
    }

    /// No more samples. What was said is emitted as a last, shorter chunk.
    pub(crate) fn close(&mut self, on_chunk: impl FnMut(&[i16])) {
        self.tap = None;
        self.chunker.flush(on_chunk);
    }

    /// How much of the sound since the last call was cut off, being too loud.
    pub(crate) fn clipped_ms(&mut self) -> u32 {
        self.tap.as_mut().map_or(0, |tap| std::mem::take(&mut tap.clipped) * 1_000 / tap.rate.max(1))
    }

    /// The level since the last call.
    pub(crate) fn level(&mut self) -> Level {
        self.meter.take()
    }
}

impl Tap {
    /// Tells the worklet whether to be still, and otherwise whether somebody waits for each sample.
    fn tell(&self, muted: bool, is_awaited: bool) {
        let most = if is_awaited { self.rate * AWAITED_MS / 1_000 } else { 0 };
        let message = if muted { JsValue::TRUE } else { JsValue::from(most) };
        // Fails only for values that cannot be cloned.
        let _ = self.port.post_message(&message);
    }

    /// Counts zeros; `Some` at the moment when there were too many.
    fn hear_silence(&mut self, len: u32) -> Option<ErrorInfo> {
        if self.block.iter().any(|sample| *sample != 0.0) {
            self.zeros = 0;
            return None;
        }
        let limit = SILENT_AFTER_S * self.rate;
        let was_below = self.zeros < limit;
        self.zeros = self.zeros.saturating_add(len);
        (was_below && self.zeros >= limit).then_some(SILENT)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.port.close();
    }
}
