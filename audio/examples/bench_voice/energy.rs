//! A detector that knows nothing of voices: speech is energy that stands out from the noise. It is what a network is measured against.

mod band;
mod floor;

use self::band::SpeechBand;
use self::floor::NoiseFloor;
use audio::{SPEECH_RATE, VoiceConfig, VoiceEvent, i16_to_f32};

/// Finds speech in a 16 kHz stream by its energy above an adaptive noise floor.
///
/// Power between 200 and 4,000 Hz in windows of 20 ms, one every 5 ms, is compared with the lowest power of the last 3 seconds
/// (minimum statistics, after R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum
/// statistics", 2001), with one threshold to start and a lower one to go on.
///
/// Sound that is softer than the softest floor is not looked at any closer: it cannot be speech to anybody, so most of what a microphone
/// brings costs a sum of squares and no filter. How the stream is cut into pieces changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Energy {
    min_speech: u64,
    end_silence: u64,
    pre_roll: u64,
    band: SpeechBand,
    floor: NoiseFloor,
    /// Energy of the last hops, which together make the window.
    hops: [f32; WINDOW_HOPS],
    /// The hop that is being heard, and how much of it is.
    hop: [f32; HOP],
    heard: usize,
    position: u64,
    state: State,
    /// End of the last speech: no later speech may begin before it.
    last_end: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Silent,
    /// Loud since `onset`, but not yet for long enough. `loud` and `quiet` are counted in samples.
    Rising {
        onset: u64,
        loud: u64,
        quiet: u64,
    },
    Speaking {
        last_loud: u64,
    },
}

impl Energy {
    /// A detector for a 16 kHz mono stream.
    pub(crate) fn new(config: VoiceConfig) -> Self {
        let samples = |ms| SPEECH_RATE.samples_in_ms(ms) as u64;
        Self {
            min_speech: samples(config.min_speech_ms),
            end_silence: samples(config.end_silence_ms),
            pre_roll: samples(config.pre_roll_ms),
            band: SpeechBand::default(),
            floor: NoiseFloor::default(),
            hops: [0.0; WINDOW_HOPS],
            hop: [0.0; HOP],
            heard: 0,
            position: 0,
            state: State::Silent,
            last_end: 0,
        }
    }

    /// Hears samples in `i16`.
    pub(crate) fn push_i16(&mut self, mut samples: &[i16], mut on_event: impl FnMut(VoiceEvent)) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(HOP - self.heard));
            for (place, sample) in self.hop[self.heard..].iter_mut().zip(now) {
                *place = i16_to_f32(*sample);
            }
            self.heard += now.len();
            self.position += now.len() as u64;
            samples = later;
            if self.heard == HOP
                && let Some(event) = self.end_hop()
            {
                on_event(event);
            }
        }
    }

    /// The stream ends here: so does speech, if there is any.
    pub(crate) fn flush(&mut self, mut on_event: impl FnMut(VoiceEvent)) {
        if let State::Speaking { last_loud } = self.state {
            self.last_end = last_loud;
            on_event(VoiceEvent::SpeechEnded { at: last_loud });
        }
        self.state = State::Silent;
    }

    fn end_hop(&mut self) -> Option<VoiceEvent> {
        let energy = self.band.energy(&self.hop);
        self.hops.rotate_left(1);
        self.hops[WINDOW_HOPS - 1] = energy;
        self.heard = 0;
        if self.position < WINDOW {
            return None;
        }
        let power = self.hops.iter().sum::<f32>() / WINDOW as f32;
        let floor = self.floor.track(power);
        self.judge(power > floor * START_RATIO, power > floor * GO_ON_RATIO)
    }

    /// Takes the verdict on the window that ends at `position`: loud enough to start speech, or at least to go on.
    fn judge(&mut self, loud: bool, audible: bool) -> Option<VoiceEvent> {
        const HOP: u64 = self::HOP as u64;
        match &mut self.state {
            State::Silent if loud => {
                self.state = State::Rising { onset: self.position - HOP, loud: HOP, quiet: 0 };
                None
            }
            State::Silent => None,
            State::Rising { onset, loud: total, .. } if loud => {
                *total += HOP;
                // A sound is in the window for as long as it lasts and a window more.
                if *total <= self.min_speech + WINDOW + HOP {
                    return None;
                }
                let at = onset.saturating_sub(self.pre_roll).max(self.last_end);
                self.state = State::Speaking { last_loud: self.position };
                Some(VoiceEvent::SpeechStarted { at })
            }
            State::Rising { .. } if audible => None,
            State::Rising { quiet, .. } => {
                *quiet += HOP;
                if *quiet > MAX_DIP {
                    self.state = State::Silent;
                }
                None
            }
            State::Speaking { last_loud } if audible => {
                *last_loud = self.position;
                None
            }
            State::Speaking { last_loud } if self.position - *last_loud >= self.end_silence => {
                let at = *last_loud;
                self.last_end = at;
                self.state = State::Silent;
                Some(VoiceEvent::SpeechEnded { at })
            }
            State::Speaking { .. } => None,
        }
    }
}

/// 5 ms at 16 kHz: how finely onset and duration are measured.
const HOP: usize = 80;

/// Hops a window.
const WINDOW_HOPS: usize = 4;

/// 20 ms at 16 kHz: longer than the pitch period of the lowest voice, so that power does not flutter with it.
const WINDOW: u64 = HOP as u64 * WINDOW_HOPS as u64;

/// 20 ms at 16 kHz: dips of a rising sound that are forgiven, in sum. Less than the gap between two clicks.
const MAX_DIP: u64 = 320;

/// 8 dB over the floor starts speech. The minimum of steady noise lies 1 to 2 dB under its mean, and its windows
/// scatter by 0.5 dB, so noise alone is ten of its standard deviations short of this.
const START_RATIO: f32 = 6.3;

/// 5 dB over the floor goes on with it.
const GO_ON_RATIO: f32 = 3.2;
