//! Where speech starts and ends.

mod floor;
mod gate;
mod listener;
mod speech;

use self::gate::{Gate, Sound};
use self::listener::Listener;
use self::speech::Speech;
use crate::pcm::f32_to_i16;

/// What [`VoiceActivity`] hears. Positions are samples at 16 kHz since the start of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceEvent {
    /// Somebody speaks.
    SpeechStarted {
        /// Where the speech starts, less the pre-roll; never before the end of the speech before.
        at: u64,
    },
    /// Nobody has spoken for the whole of [`VoiceConfig::end_silence_ms`].
    SpeechEnded {
        /// Where that silence began.
        at: u64,
    },
}

/// When [`VoiceActivity`] takes sound for speech. The defaults suit a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceConfig {
    /// What is taken for a voice for less than this is none. Default 80 ms: the shortest "yes" lasts about 150, and the network needs 30 to be sure.
    pub min_speech_ms: u32,
    /// A silence this long ends speech. Default 600 ms: pauses inside a sentence seldom last half a second.
    pub end_silence_ms: u32,
    /// How much before the detected onset speech is reported to start. Default 200 ms: an unvoiced first consonant may not
    /// be taken for a voice.
    pub pre_roll_ms: u32,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self { min_speech_ms: 80, end_silence_ms: 600, pre_roll_ms: 200 }
    }
}

/// How closely [`VoiceActivity`] listens, and so what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attention {
    /// It learns how loud the room is and finds no speech.
    Away,
    /// It listens to what stands out from the noise of the room.
    #[default]
    Awake,
    /// It listens to everything but silence.
    Close,
}

/// Finds speech in a 16 kHz stream: a neural network says of each 16 ms how likely it is that somebody speaks.
///
/// The network is that of the crate `earshot`. It costs a hundred times as much as a measurement of loudness, so it listens only to what stands
/// out from the noise of the room; unless somebody wants it to listen to all ([`Attention`]), a quiet stream costs two sums of squares. And while
/// somebody speaks of whom it is sure, it listens now and then, the more seldom the less the room is heard beside the voice.
/// Its 10 KB are allocated when it listens first; nothing else allocates. How the stream is cut into pieces changes nothing.
#[derive(Debug)]
pub struct VoiceActivity {
    attention: Attention,
    gate: Gate,
    listener: Option<Box<Listener>>,
    speech: Speech,
    /// Frames in a row in which the network was sure of a voice, and those since it was last asked that were taken for more of it.
    sure: u32,
    taken: u32,
    /// The frame that is being heard, and how much of it is.
    frame: [i16; FRAME],
    heard: usize,
    position: u64,
}

impl VoiceActivity {
    /// A detector for a 16 kHz mono stream.
    #[must_use]
    pub fn new(config: VoiceConfig) -> Self {
        Self {
            attention: Attention::default(),
            gate: Gate::default(),
            listener: None,
            speech: Speech::new(config),
            sure: 0,
            taken: 0,
            frame: [0; FRAME],
            heard: 0,
            position: 0,
        }
    }

    /// Hears samples; calls `on_event` for what they tell. Samples beyond full scale are clamped, NaN is silence.
    pub fn push(&mut self, samples: &[f32], mut on_event: impl FnMut(VoiceEvent)) {
        self.push_as(samples, f32_to_i16, &mut on_event);
    }

    /// Hears samples in `i16`.
    pub fn push_i16(&mut self, samples: &[i16], mut on_event: impl FnMut(VoiceEvent)) {
        self.push_as(samples, |sample| sample, &mut on_event);
    }

    /// The stream ends here: so does speech, if there is any.
    pub fn flush(&mut self, mut on_event: impl FnMut(VoiceEvent)) {
        if let Some(event) = self.speech.end() {
            on_event(event);
        }
    }

    /// Listens like this from here on. Whoever is away hears no speech end either: what was being said is over, without an event.
    pub fn attend(&mut self, attention: Attention) {
        self.attention = attention;
        if attention == Attention::Away {
            self.speech.end();
        }
    }

    /// A stream begins anew: another room, another microphone. Positions count from here.
    pub fn reset(&mut self) {
        self.gate = Gate::default();
        self.listener = None;
        self.speech.reset();
        (self.sure, self.taken) = (0, 0);
        (self.heard, self.position) = (0, 0);
    }

    /// Whether speech has started and not ended.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        self.speech.is_under_way()
    }

    /// Samples heard so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the next [`VoiceEvent::SpeechStarted`] may be at the earliest. It only rises, until [`reset`](Self::reset): while nothing is
    /// taken for a voice it is the pre-roll and two frames behind what was heard, and while a voice is in doubt it stays where that began.
    #[must_use]
    pub fn earliest_start(&self) -> u64 {
        self.speech.earliest_start(self.position - self.heard as u64)
    }

    fn push_as<T: Copy>(
        &mut self,
        mut samples: &[T],
        to_i16: impl Fn(T) -> i16,
        on_event: &mut impl FnMut(VoiceEvent),
    ) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(FRAME - self.heard));
            for (place, sample) in self.frame[self.heard..].iter_mut().zip(now) {
                *place = to_i16(*sample);
            }
            self.heard += now.len();
            self.position += now.len() as u64;
            samples = later;
            if self.heard == FRAME {
                self.heard = 0;
                if let Some(event) = self.end_frame() {
                    on_event(event);
                }
            }
        }
    }

    fn end_frame(&mut self) -> Option<VoiceEvent> {
        let sound = self.gate.hear(&self.frame);
        let is_heard = match (sound, self.attention) {
            (Sound::Silence, _) | (Sound::Room, Attention::Awake) | (_, Attention::Away) => false,
            (Sound::Fades | Sound::StandsOut | Sound::Drowns, _) | (Sound::Room, Attention::Close) => true,
        };
        let is_taken = is_heard && self.goes_on(sound);
        let likely = if is_heard && !is_taken {
            self.listener.get_or_insert_default().listen(&self.frame)
        } else {
            if let Some(listener) = &mut self.listener {
                listener.pass(&self.frame);
            }
            if is_taken { 1.0 } else { 0.0 }
        };
        self.sure = if likely >= SURE { self.sure.saturating_add(1) } else { 0 };
        match self.attention {
            Attention::Away => None,
            Attention::Awake | Attention::Close => self.speech.judge(self.position, likely),
        }
    }

    /// Whether a voice that the network was sure of still stands out from the room: then it is not asked again for a while.
    fn goes_on(&mut self, sound: Sound) -> bool {
        let while_sure = match sound {
            Sound::Drowns => TAKEN_ALONE,
            Sound::StandsOut => TAKEN,
            Sound::Silence | Sound::Room | Sound::Fades => 0,
        };
        let goes_on = self.sure >= SURE_AFTER && self.speech.is_under_way() && self.taken < while_sure;
        self.taken = if goes_on { self.taken + 1 } else { 0 };
        goes_on
    }
}

impl Default for VoiceActivity {
    fn default() -> Self {
        Self::new(VoiceConfig::default())
    }
}

/// The network is sure of a voice that is at least this likely.
const SURE: f32 = 0.9;

/// 48 ms: for so long it has to be sure before it is asked more seldom.
const SURE_AFTER: u32 = 3;

/// 160 ms: for so long what stands out from the room is then taken for more of the same voice before it is asked again. It costs 4 frames to
/// catch up on, so fewer spare little; and what is no voice any more is noticed so much later.
const TAKEN: u32 = 10;

/// 480 ms: the same of what drowns the room. When such a voice falls silent, the gate tells.
const TAKEN_ALONE: u32 = 30;

/// 16 ms at 16 kHz: what the network hears at a time.
const FRAME: usize = 256;

#[cfg(test)]
mod tests;
