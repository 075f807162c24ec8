//! From how likely a voice is in each frame to where speech starts and ends.

use super::{FRAME, VoiceConfig, VoiceEvent};
use crate::rate::SPEECH_RATE;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    min_frames: u32,
    end_silence: u64,
    pre_roll: u64,
    state: State,
    /// End of the last speech: no later speech may begin before it.
    last_end: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Silent,
    /// There may be a voice since `onset`: in so many frames, and in so many since then not.
    Rising {
        onset: u64,
        voiced: u32,
        dips: u32,
    },
    Speaking {
        last_voiced: u64,
    },
}

impl Speech {
    pub(super) fn new(config: VoiceConfig) -> Self {
        let samples = |ms| SPEECH_RATE.samples_in_ms(ms) as u64;
        Self {
            min_frames: samples(config.min_speech_ms).div_ceil(FRAME as u64) as u32,
            end_silence: samples(config.end_silence_ms),
            pre_roll: samples(config.pre_roll_ms),
            state: State::Silent,
            last_end: 0,
        }
    }

    /// Takes how likely it is that somebody speaks in the frame that ends at `position`.
    pub(super) fn judge(&mut self, position: u64, likely: f32) -> Option<VoiceEvent> {
        match &mut self.state {
            State::Speaking { last_voiced } if likely >= GO_ON => {
                *last_voiced = position;
                None
            }
            State::Speaking { last_voiced } if position - *last_voiced >= self.end_silence => self.end(),
            State::Speaking { .. } => None,
            State::Silent if likely >= RISE => {
                let onset = position.saturating_sub(FRAME as u64 + LAG);
                self.state = State::Rising { onset, voiced: 0, dips: 0 };
                self.rise(position, likely)
            }
            State::Silent => None,
            State::Rising { .. } if likely >= RISE => self.rise(position, likely),
            State::Rising { dips, .. } => {
                *dips += 1;
                if *dips > MAX_DIPS {
                    self.state = State::Silent;
                }
                None
            }
        }
    }

    /// A frame that may be a voice is one more.
    fn rise(&mut self, position: u64, likely: f32) -> Option<VoiceEvent> {
        let State::Rising { onset, voiced, .. } = &mut self.state else { return None };
        *voiced += 1;
        *onset = (*onset).max(position.saturating_sub(LONGEST_RISE));
        if *voiced < self.min_frames || likely < START {
            return None;
        }
        let onset = *onset;
        self.state = State::Speaking { last_voiced: position };
        Some(VoiceEvent::SpeechStarted { at: self.start(onset) })
    }

    /// Where speech with this onset is reported to start.
    fn start(&self, onset: u64) -> u64 {
        onset.saturating_sub(self.pre_roll).max(self.last_end)
    }

    /// Where the next speech that is reported may start at the earliest, if the next frame begins at `position`.
    pub(super) fn earliest_start(&self, position: u64) -> u64 {
        match self.state {
            State::Rising { onset, .. } => self.start(onset),
            State::Silent | State::Speaking { .. } => self.start(position.saturating_sub(LAG)),
        }
    }

    /// What is being said ends where it was heard last.
    pub(super) fn end(&mut self) -> Option<VoiceEvent> {
        match std::mem::replace(&mut self.state, State::Silent) {
            State::Speaking { last_voiced } => {
                self.last_end = last_voiced;
                Some(VoiceEvent::SpeechEnded { at: last_voiced })
            }
            State::Silent | State::Rising { .. } => None,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Positions count from 0 again.
    pub(super) fn reset(&mut self) {
        (self.state, self.last_end) = (State::Silent, 0);
    }
}

/// What may become speech is at least this likely; chosen, like the two below, by `cargo xtask bench voice`.
const RISE: f32 = 0.6;

/// Speech is once as likely as this.
const START: f32 = 0.8;

/// It goes on while it is this likely.
const GO_ON: f32 = 0.7;

/// 32 ms: frames of a voice that rises in which it is not heard, in sum.
const MAX_DIPS: u32 = 2;

/// 16 ms: the network is a frame behind.
const LAG: u64 = FRAME as u64;

/// 320 ms: what was doubtful for longer begins later.
const LONGEST_RISE: u64 = 5_120;
