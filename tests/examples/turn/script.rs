//! What happens when: the turns of a call, how long providers take, and what was stamped of each turn.
//!
//! Each chunk says in its first two samples whose it is and which, so that the recogniser knows where the speech ends that it hears, and
//! no clock has to agree with another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two chunks.
pub(crate) const CHUNK: Duration = Duration::from_millis(100);
/// Chunks from the beginning of one turn to the beginning of the next.
pub(crate) const CYCLE: u32 = 60;
/// The first chunk of a cycle in which somebody speaks, and the first in which nobody does any more.
pub(crate) const SPEAKS: (u32, u32) = (10, 18);
/// The longest delay that is drawn, in medians.
const DRAWN_MAX: f64 = 6.0;
/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326;

/// How providers take their time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scene {
    /// Not at all: what is left is the relay's.
    Bare,
    /// As providers do.
    Real,
    /// As long as providers mostly do, and the same each time: callers are measured by how many they are, and turns are all alike.
    Fixed,
}

/// A delay by its median and its 99th percentile, in milliseconds, distributed log-normally.
#[derive(Clone, Copy, Debug)]
struct Delay {
    median: f64,
    p99: f64,
}

/// Which delay is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// From the end of speech, as the recogniser finds it, to its text.
    FinalText,
    /// From the question to the first token of the answer.
    FirstToken,
    /// From a sentence to the first of its sound.
    FirstSound,
}

impl Scene {
    /// Chunks of silence that end speech.
    pub(crate) fn endpoint(self) -> u32 {
        match self {
            Scene::Bare => 0,
            Scene::Real | Scene::Fixed => 3,
        }
    }

    /// Pieces of sound, each of 40 ms, in a sentence. An answer has two sentences.
    pub(crate) fn pieces(self) -> usize {
        match self {
            Scene::Bare | Scene::Real => 25,
            // The agent speaks for 2.4 of the six seconds of a cycle: 40 %.
            Scene::Fixed => 30,
        }
    }

    fn delay(self, stage: Stage) -> Delay {
        let (median, p99) = match (self, stage) {
            (Scene::Bare, _) => (0.0, 0.0),
            (Scene::Real, Stage::FinalText) => (150.0, 350.0),
            (Scene::Real, Stage::FirstToken) => (350.0, 900.0),
            (Scene::Real, Stage::FirstSound) => (150.0, 400.0),
            (Scene::Fixed, Stage::FinalText | Stage::FirstSound) => (150.0, 150.0),
            (Scene::Fixed, Stage::FirstToken) => (350.0, 350.0),
        };
        Delay { median, p99 }
    }

    /// The delay of a turn, the same each time that it is asked for.
    pub(crate) fn draw(self, turn: Id, stage: Stage) -> Duration {
        let Delay { median, p99 } = self.delay(stage);
        if median == 0.0 {
            return Duration::ZERO;
        }
        let mut state = (u64::from(turn.call) << 40)
            ^ (u64::from(turn.turn) << 8)
            ^ (stage as u64)
            ^ 0x9E37_79B9_7F4A_7C15;
        let normal =
            (-2.0 * uniform(&mut state).ln()).sqrt() * (std::f64::consts::TAU * uniform(&mut state)).cos();
        let drawn = median * (normal * (p99 / median).ln() / Z99).exp();
        Duration::from_secs_f64(drawn.min(median * DRAWN_MAX) / 1_000.0)
    }
}

/// At which moment of the cycle a call is, in chunks. Callers know nothing of each other: it is drawn, and the same each time.
fn moment(call: u32) -> f64 {
    uniform(&mut (u64::from(call) << 40)) * f64::from(CYCLE)
}

/// How long after the others' chunks this call's are due: its part of the time between two.
pub(crate) fn after(call: u32) -> Duration {
    CHUNK.mul_f64(moment(call).fract())
}

/// Above 0 and up to 1 (SplitMix64).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11).saturating_add(1) as f64 / (1_u64 << 53) as f64
}

/// A turn of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Id {
    pub(crate) call: u32,
    pub(crate) turn: u32,
}

impl Id {
    /// The turn that a chunk belongs to, and its place in the cycle.
    pub(crate) fn of_chunk(call: u32, tick: u32) -> (Id, u32) {
        let place = tick + moment(call) as u32;
        (Id { call, turn: place / CYCLE }, place % CYCLE)
    }

    /// How the user and the agent name it.
    pub(crate) fn words(self) -> String {
        format!("turn {} of call {}", self.turn, self.call)
    }

    /// The turn that is named in a text.
    pub(crate) fn in_words(text: &str) -> Option<Id> {
        let (_, rest) = text.rsplit_once("turn ")?;
        let (turn, rest) = rest.split_once(" of call ")?;
        let call = rest.split(|char: char| !char.is_ascii_digit()).next()?;
        Some(Id { call: call.parse().ok()?, turn: turn.parse().ok()? })
    }
}

/// When each thing of a turn happened. What is sent is stamped before it is written, what comes when it is read whole.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Turn {
    /// The caller sent the last chunk of their speech.
    pub(crate) ended: Option<Instant>,
    /// The recogniser got the last chunk that it needs.
    pub(crate) endpoint_heard: Option<Instant>,
    /// The caller sent that chunk.
    pub(crate) endpoint_sent: Option<Instant>,
    /// The recogniser sent its text.
    pub(crate) final_sent: Option<Instant>,
    /// The model was asked.
    pub(crate) asked: Option<Instant>,
    /// The model sent the token that shows the first sentence to be whole.
    pub(crate) sentence_sent: Option<Instant>,
    /// The voice was told to speak that sentence.
    pub(crate) text_heard: Option<Instant>,
    /// The voice sent its first sound.
    pub(crate) sound_sent: Option<Instant>,
    /// The caller got the first sound.
    pub(crate) heard: Option<Instant>,
}

/// The stages of a turn that are the relay's, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// From the caller's audio to the recogniser.
    pub(crate) audio: f64,
    /// From the text to the question.
    pub(crate) question: f64,
    /// From the sentence to the voice.
    pub(crate) sentence: f64,
    /// From the first sound to the caller.
    pub(crate) sound: f64,
    /// From the end of speech to the first sound at the caller, whoever took it.
    pub(crate) whole: f64,
}

impl Share {
    /// From the text on: what the relay adds to a turn.
    pub(crate) fn sum(&self) -> f64 {
        self.question + self.sentence + self.sound
    }
}

impl Turn {
    /// The relay's share, of a turn that was whole.
    pub(crate) fn share(&self) -> Option<Share> {
        let between = |from: Option<Instant>, to: Option<Instant>| {
            Some(to?.saturating_duration_since(from?).as_secs_f64() * 1_000.0)
        };
        Some(Share {
            audio: between(self.endpoint_sent, self.endpoint_heard)?,
            question: between(self.final_sent, self.asked)?,
            sentence: between(self.sentence_sent, self.text_heard)?,
            sound: between(self.sound_sent, self.heard)?,
            whole: between(self.ended, self.heard)?,
        })
    }
}

/// The turns of all calls, and how late this process was.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) scene: Scene,
    turns: Vec<Mutex<BTreeMap<u32, Turn>>>,
    late: Mutex<Vec<f64>>,
}

impl Book {
    pub(crate) fn new(scene: Scene, calls: u32) -> Arc<Book> {
        let turns = (0..calls).map(|_| Mutex::default()).collect();
        Arc::new(Book { scene, turns, late: Mutex::default() })
    }

    /// Stamps a turn.
    pub(crate) fn stamp(&self, id: Id, stamp: impl FnOnce(&mut Turn)) {
        if let Some(turns) = self.turns.get(id.call as usize) {
            stamp(lock(turns).entry(id.turn).or_default());
        }
    }

    /// A caller has got sound: of the newest turn whose voice has sent some.
    pub(crate) fn heard(&self, call: u32, now: Instant) {
        let Some(turns) = self.turns.get(call as usize) else { return };
        let mut turns = lock(turns);
        let newest = turns.values_mut().rev().find(|turn| turn.sound_sent.is_some());
        if let Some(turn) = newest {
            turn.heard.get_or_insert(now);
        }
    }

    /// Something was due then, and is done only now.
    pub(crate) fn was_due(&self, due: Instant) {
        lock(&self.late).push(due.elapsed().as_secs_f64() * 1_000.0);
    }

    /// How late this process was with what was due, in milliseconds, sorted; and what comes from now on is counted anew.
    pub(crate) fn take_lateness(&self) -> Vec<f64> {
        let mut late = std::mem::take(&mut *lock(&self.late));
        late.sort_by(f64::total_cmp);
        late
    }

    /// The turns whose speech ended in this time.
    pub(crate) fn between(&self, from: Instant, until: Instant) -> Vec<Turn> {
        let is_within = |turn: &Turn| turn.ended.is_some_and(|ended| from <= ended && ended < until);
        let of_call = |turns: &Mutex<BTreeMap<u32, Turn>>| {
            lock(turns).values().filter(|turn| is_within(turn)).copied().collect::<Vec<_>>()
        };
        self.turns.iter().flat_map(of_call).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
