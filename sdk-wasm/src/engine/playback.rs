//! From the agent's chunks to the playback worklet, and back from what was rendered to what was heard.
//!
//! The worklet is a plain queue that holds [`AHEAD_MS`]: enough to bridge the longest pause a Worker was seen to make while its
//! page is busy (142 ms). Everything before that waits here, where it can be dropped at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Weak;

use audio::{Hz, Lateness, Level, LevelMeter, PlayoutBuffer, Resampler, Unevenness, decode_s16le};
use js_sys::Float32Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Event, MessagePort};

use super::link::now_ms;
use super::{Inner, parts};
use crate::listener::Listener;
use crate::timer::Timer;

/// How much the worklet is given ahead of what it plays.
const AHEAD_MS: u32 = 200;
/// Playing begins with this much, so that a late chunk is not heard, and with more after an answer that ran out.
const PREBUFFER_MS: u32 = 100;
/// A reply that comes faster than it is spoken waits here.
const CAPACITY_MS: u32 = 60_000;
/// What the worklet is given at a time.
const BLOCK_MS: u32 = 20;
/// What the page holds by itself goes on after this, unless the relay has said what becomes of it.
const HELD_MS: u32 = 1_000;

// What `post` posts and `Inner::rendered` reads, as the worklet has it.
#[wasm_bindgen(typescript_custom_section)]
const PLAYBACK_TOLD: &str = "/** What the loudspeaker is told: samples, whether to wait, for how many samples to wait at most, or to drop the rest. */
export type PlaybackTold = Float32Array | boolean | number | null;
/** What it tells the engine: how many samples it has rendered, or that it has dropped what it had. */
export type PlaybackTells = number | null;";

/// The way of the agent's samples.
pub(crate) struct Playback {
    agent: Option<Agent>,
    speaker: Option<Speaker>,
    /// What the worklet has, in order.
    sent: VecDeque<Sent>,
    /// Samples in `sent`, at the device's rate.
    ahead: u32,
    /// Where in the agent's timeline the loudspeaker is.
    heard: u32,
    level: Level,
    /// The loudspeaker is silent, and keeps what it has.
    held: bool,
    /// The user has put the call on hold: nothing sounds until they are back, whatever the relay says.
    on_hold: bool,
    lateness: Lateness,
    /// Rings when what waits has waited for long enough: the worklet says nothing while it has nothing to play.
    timer: Option<Timer>,
    engine: Weak<RefCell<Inner>>,
}

/// The agent's side: its rate, and what waits.
struct Agent {
    rate: u32,
    buffer: PlayoutBuffer,
    /// The end of the reply is in `buffer`.
    reply_over: bool,
    /// Something of this reply was dropped, and that was told.
    overflowed: bool,
    decoded: Vec<f32>,
}

/// The loudspeaker's side.
struct Speaker {
    port: MessagePort,
    _listener: Listener,
    rate: u32,
    /// From the agent's rate to the device's; made when both are known.
    resampler: Option<(u32, Resampler)>,
    block: Vec<f32>,
    device: Vec<f32>,
    meter: LevelMeter,
}

/// What the worklet was told.
enum Sent {
    Block {
        /// At the device's rate.
        samples: u32,
        /// Where in the agent's timeline it ends.
        end: u32,
        agent_rate: u32,
        level: Level,
    },
    Flush,
}

impl Playback {
    pub(crate) fn new(engine: Weak<RefCell<Inner>>) -> Self {
        Playback {
            agent: None,
            speaker: None,
            sent: VecDeque::new(),
            ahead: 0,
            heard: 0,
            level: Level::default(),
            held: false,
            on_hold: false,
            lateness: Lateness::default(),
            timer: None,
            engine,
        }
    }

    /// Plays through this port from now on. What the one before had not played is gone with it.
    pub(crate) fn open(&mut self, port: MessagePort, rate: u32, handle: impl FnMut(Event) + 'static) {
        let listener = Listener::new(&port, "message", handle);
        port.start();
        self.sent.clear();
        self.ahead = 0;
        self.speaker = Some(Speaker {
            port,
            _listener: listener,
            rate,
            resampler: None,
            block: Vec::new(),
            device: Vec::new(),
            meter: LevelMeter::new(),
        });
        self.tell_held();
        self.top_up();
    }

    /// Queues samples (s16le at `rate`, the first at `position`). Returns whether some of a reply did not fit, once a reply.
    pub(crate) fn push(&mut self, rate: u32, position: u32, payload: &[u8]) -> bool {
        self.lateness.arrived(now_ms(), f64::from(position) * 1_000.0 / f64::from(rate.max(1)));
        let agent = match &mut self.agent {
            Some(agent) if agent.rate == rate => agent,
            agent => agent.insert(Agent::new(rate)),
        };
        let full = agent.push(position, payload);
        self.top_up();
        full
    }

    pub(crate) fn end_of_reply(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.buffer.end_of_reply();
            agent.reply_over = true;
        }
        self.lateness.restart();
        self.top_up();
    }

    /// Falls silent where it is, or goes on from there.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
        self.tell_held();
    }

    /// The same for the user who puts the call on hold.
    pub(crate) fn put_on_hold(&mut self, on_hold: bool) {
        self.on_hold = on_hold;
        self.tell_held();
    }

    fn tell_held(&mut self) {
        self.lateness.restart();
        if let Some(speaker) = &self.speaker {
            post(&speaker.port, &JsValue::from_bool(self.held || self.on_hold));
        }
    }

    /// Falls silent where it is until the relay says what becomes of that, but for no longer than [`HELD_MS`]: the worklet counts. Whether it does:
    /// what the relay holds already is the relay's.
    pub(crate) fn hold_for_relay(&mut self) -> bool {
        let (Some(speaker), false) = (&self.speaker, self.held || self.on_hold) else { return false };
        self.lateness.restart();
        post(&speaker.port, &JsValue::from(Hz(speaker.rate).samples_in_ms(HELD_MS) as u32));
        true
    }

    /// Interrupted: nothing that was queued is played, and nothing is held.
    pub(crate) fn flush(&mut self) {
        self.held = false;
        self.timer = None;
        self.lateness.restart();
        if let Some(agent) = &mut self.agent {
            agent.flush();
        }
        if let Some(speaker) = &mut self.speaker {
            if let Some((_, resampler)) = &mut speaker.resampler {
                resampler.reset();
            }
            post(&speaker.port, &JsValue::NULL);
            self.sent.push_back(Sent::Flush);
            self.tell_held();
        }
    }

    /// The loudspeaker played so many more samples. Returns where it is in the agent's timeline, if it moved.
    pub(crate) fn rendered(&mut self, mut samples: u32) -> Option<u32> {
        let before = self.heard;
        while samples > 0
            && let Some(Sent::Block { samples: rest, end, agent_rate, level }) = self.sent.front_mut()
        {
            let now = samples.min(*rest);
            samples -= now;
            *rest -= now;
            self.ahead -= now;
            self.level = *level;
            let rate = self.speaker.as_ref().map_or(*agent_rate, |speaker| speaker.rate);
            let left = u64::from(*rest) * u64::from(*agent_rate) / u64::from(rate.max(1));
            self.heard = end.saturating_sub(left as u32);
            if *rest == 0 {
                self.sent.pop_front();
            }
        }
        if let Some(agent) = &mut self.agent {
            agent.buffer.heard_until(self.heard.into());
        }
        self.top_up();
        (self.heard != before).then_some(self.heard)
    }

    /// The worklet has dropped what it had when it was told to.
    pub(crate) fn flushed(&mut self) {
        while let Some(sent) = self.sent.pop_front() {
            match sent {
                Sent::Block { samples, .. } => self.ahead -= samples,
                Sent::Flush => break,
            }
        }
        self.top_up();
    }

    /// The level of what is being heard.
    pub(crate) fn level(&self) -> Level {
        if self.is_silent() { Level::default() } else { self.level }
    }

    /// Whether nothing sounds: there is nothing to play, or it waits.
    pub(crate) fn is_silent(&self) -> bool {
        self.sent.is_empty() || self.held || self.on_hold
    }

    /// How loud the agent is that is being heard, or held: the root of the mean square, or a negative number while it is silent.
    pub(crate) fn agent_rms(&self) -> f32 {
        if self.sent.is_empty() { -1.0 } else { self.level.rms }
    }

    /// How unevenly the agent's sound came since the last call, how often it ran out within a reply, and how many milliseconds of it were dropped.
    pub(crate) fn quality(&mut self) -> (Option<Unevenness>, u32, u32) {
        let stats = self.agent.as_ref().map(|agent| (agent.buffer.stats(), agent.rate));
        let (underruns, dropped_ms) = stats.map_or((0, 0), |(stats, rate)| {
            (stats.underruns as u32, (stats.dropped * 1_000 / u64::from(rate.max(1))) as u32)
        });
        (self.lateness.take(), underruns, dropped_ms)
    }

    /// Whether there is nothing left to play, or nothing to play it with.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = self.agent.as_ref().map_or(0, |agent| agent.buffer.queued());
        self.speaker.is_none() || (self.ahead == 0 && waiting == 0)
    }

    /// Gives the worklet what it may have.
    fn top_up(&mut self) {
        let (Some(agent), Some(speaker)) = (&mut self.agent, &mut self.speaker) else { return };
        let enough = Hz(speaker.rate).samples_in_ms(AHEAD_MS) as u32;
        while self.ahead < enough {
            let Some((samples, end, level)) = speaker.feed(agent, self.ahead == 0) else { break };
            self.ahead += samples;
            self.sent.push_back(Sent::Block { samples, end, agent_rate: agent.rate, level });
        }
        // What is due waits for nothing but room in the worklet, which says itself when it has some.
        let Some(left) = agent.buffer.due_in() else {
            self.timer = None;
            return;
        };
        if self.timer.is_none() {
            let engine = self.engine.clone();
            let ms = left * 1_000 / u64::from(agent.rate.max(1)) + 1;
            self.timer = Some(Timer::new(ms as i32, move || {
                if let Some(engine) = engine.upgrade() {
                    parts(&engine).playback.waited(left);
                }
            }));
        }
    }

    /// What waits has waited for so many samples more.
    fn waited(&mut self, samples: u64) {
        self.timer = None;
        if let Some(agent) = &mut self.agent {
            agent.buffer.wait(samples);
        }
        self.top_up();
    }
}

impl Agent {
    fn new(rate: u32) -> Self {
        Agent {
            rate,
            buffer: PlayoutBuffer::new(Hz(rate), PREBUFFER_MS, CAPACITY_MS),
            reply_over: false,
            overflowed: false,
            decoded: Vec::new(),
        }
    }

    /// Returns whether samples of this reply were dropped for the first time.
    fn push(&mut self, position: u32, payload: &[u8]) -> bool {
        self.decoded.resize(payload.len() / 2, 0.0);
        let samples = decode_s16le(payload, &mut self.decoded);
        let dropped = self.buffer.push(position.into(), &self.decoded[..samples]) < samples;
        let first = dropped && !self.overflowed;
        self.overflowed = dropped;
        self.reply_over = false;
        first
    }

    fn flush(&mut self) {
        self.buffer.flush();
        // The worklet fades what is being heard; the buffer's own faded tail would come after a hole.
        while self.buffer.pull(&mut [0.0; 64]) > 0 {}
        self.reply_over = false;
    }
}

impl Speaker {
    /// Sends one block; `None` if nothing is to be sent now. Otherwise its length at the device's rate, where it ends in the agent's
    /// timeline, and how loud it is.
    fn feed(&mut self, agent: &mut Agent, ran_dry: bool) -> Option<(u32, u32, Level)> {
        if self.resampler.as_ref().is_none_or(|(from, _)| *from != agent.rate) {
            let resampler = Resampler::new(Hz(agent.rate), Hz(self.rate)).ok()?;
            self.resampler = Some((agent.rate, resampler));
        }
        let (_, resampler) = self.resampler.as_mut()?;
        // Taking no more than there is keeps the buffer from seeing an underrun where the worklet still has something to play.
        let take = Hz(agent.rate).samples_in_ms(BLOCK_MS).min(agent.buffer.queued());
        self.block.resize(take.max(1), 0.0);
        let most = resampler.max_output(take.max(resampler.delay_samples()) + 1);
        if self.device.len() < most {
            self.device.resize(most, 0.0);
        }
        let written = if take > 0 {
            let taken = agent.buffer.pull(&mut self.block);
            resampler.process(&self.block[..taken], &mut self.device)
        } else if std::mem::take(&mut agent.reply_over) {
            agent.buffer.pull(&mut self.block);
            resampler.flush(&mut self.device)
        } else {
            if ran_dry {
                agent.buffer.pull(&mut self.block);
            }
            0
        };
        if written == 0 {
            return None;
        }
        self.meter.push(&self.device[..written]);
        post(&self.port, &Float32Array::from(&self.device[..written]));
        let end = agent.buffer.played_until().unwrap_or(0) as u32;
        Some((written as u32, end, self.meter.take()))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.port.close();
    }
}

fn post(port: &MessagePort, message: &JsValue) {
    // Fails only for values that cannot be cloned.
    let _ = port.post_message(message);
}
