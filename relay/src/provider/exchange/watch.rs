//! Whether a recogniser that says nothing is broken.
//!
//! Some tell of silence as well, and some say nothing as long as nobody speaks: that is no fault. So it is one only from where a voice begins, and
//! only if that is more than a cough or a key that is pressed. To look for voices all the time would cost as much as what recognisers are there to
//! spare, so it is done only in audio of which nothing has been said for as long as that may be, and behind a voice that was found there.

use std::time::Duration;

use audio::{VoiceActivity, VoiceConfig, VoiceEvent, decode_s16le_to_i16};
use bytes::Bytes;
use protocol::Time;

/// Audio comes ten times a second. A longer pause than this is one in which none came.
const AUDIO_GAP: Duration = Duration::from_secs(1);
/// Voices that last so long together, 0.8 s, are somebody who speaks. A cough is shorter, and so is most of what is taken for a voice and is none.
const SOMEBODY: u64 = 12_800;

/// Watches one recogniser.
pub(super) struct Watch {
    /// How long it may be given audio behind the beginning of a voice without saying anything.
    most: Duration,
    given_at: Option<Time>,
    /// How long it has been given audio since it last said anything; where a voice was found behind that, since the voice began.
    silent: Duration,
    /// What it was given meanwhile, and how long it had been silent before each piece; nothing where a voice was found.
    given: Vec<(Duration, Bytes)>,
    /// They have found a voice, and hear how long it lasts.
    ears: Option<Ears>,
    /// For how long it has said nothing while nobody spoke.
    nobody_for: Duration,
    /// Right before that it was given a voice that was too short to be somebody for certain.
    has_coughed: bool,
}

/// What a recogniser's silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing yet.
    Short,
    /// There was nothing to say: nobody has spoken for as long as it may be silent. In all it has said nothing for so long.
    Nobody(Duration),
    /// Somebody has spoken, and it has said nothing of that for too long.
    Fault,
}

/// They hear how long somebody speaks.
#[derive(Default)]
struct Ears {
    activity: VoiceActivity,
    samples: Vec<i16>,
    /// Where the first voice begins, in samples.
    first: Option<u64>,
    /// Where the voice began that has not ended.
    began: Option<u64>,
    /// How long those before it lasted together, in samples.
    lasted: u64,
}

impl Watch {
    pub(super) fn new(most: Duration) -> Watch {
        Watch {
            most,
            given_at: None,
            silent: Duration::ZERO,
            given: Vec::new(),
            ears: None,
            nobody_for: Duration::ZERO,
            has_coughed: false,
        }
    }

    /// It is given this.
    pub(super) fn give(&mut self, now: Time, audio: &Bytes) -> Silence {
        match &mut self.ears {
            Some(ears) => ears.hear(audio),
            None => self.given.push((self.silent, audio.clone())),
        }
        let since = self.given_at.replace(now).map_or(Duration::ZERO, |before| now.since(before));
        self.silent += since.min(AUDIO_GAP);
        if self.silent > self.most && self.ears.is_none() {
            self.look_for_a_voice();
            if self.ears.is_none() {
                self.has_coughed = false;
                self.nobody_for += self.most;
                return Silence::Nobody(self.nobody_for);
            }
        }
        if self.silent <= self.most {
            return Silence::Short;
        }
        if let Some(since) =
            self.ears.as_ref().and_then(Ears::behind_a_cough).filter(|since| *since <= self.most)
        {
            self.silent = since;
            return Silence::Short;
        }
        // Whoever speaks is heard in what comes behind a cough as well, however little of it that is.
        let is_somebody = self.ears.take().is_some_and(|ears| ears.lasted() >= SOMEBODY) || self.has_coughed;
        self.silent = Duration::ZERO;
        self.has_coughed = true;
        if is_somebody { Silence::Fault } else { Silence::Short }
    }

    /// It has said something.
    pub(super) fn answered(&mut self) {
        self.silent = Duration::ZERO;
        self.given.clear();
        self.ears = None;
        self.nobody_for = Duration::ZERO;
        self.has_coughed = false;
    }

    /// From here on it has been silent since the voice began, or not at all if there is none.
    fn look_for_a_voice(&mut self) {
        let mut ears = Ears::default();
        self.given.iter().for_each(|(_, audio)| ears.hear(audio));
        let began = ears.first.map(|at| {
            let mut end = 0;
            let piece = self.given.iter().find(|(_, audio)| {
                end += audio.len() as u64 / 2;
                at < end
            });
            piece.map_or(Duration::ZERO, |(before, _)| *before)
        });
        self.given.clear();
        self.ears = began.is_some().then_some(ears);
        let before = began.unwrap_or(self.silent);
        self.silent -= before;
    }
}

impl Ears {
    fn hear(&mut self, audio: &[u8]) {
        self.samples.resize(audio.len() / 2, 0);
        decode_s16le_to_i16(audio, &mut self.samples);
        let Ears { activity, samples, first, began, lasted } = self;
        activity.push_i16(samples, |event| match event {
            VoiceEvent::SpeechStarted { at } => {
                first.get_or_insert(at);
                *began = Some(at);
            }
            VoiceEvent::SpeechEnded { at } => *lasted += began.take().map_or(0, |began| spoken(began, at)),
        });
    }

    /// For how long a voice has lasted that goes on, if those before it were too short to be somebody.
    fn behind_a_cough(&self) -> Option<Duration> {
        let began = self.began.filter(|began| self.first != Some(*began) && self.lasted < SOMEBODY)?;
        let samples = self.activity.position().saturating_sub(began);
        Some(Duration::from_micros(samples * 125 / 2))
    }

    /// How long voices have lasted together, in samples, as far as that is certain.
    fn lasted(&self) -> u64 {
        // That a voice has ended is known only so much later.
        let late = samples(VoiceConfig::default().end_silence_ms);
        let certain = self.activity.position().saturating_sub(late);
        self.lasted + self.began.map_or(0, |began| spoken(began, certain))
    }
}

/// How long a voice lasts that is said to begin and to end there: it is said to begin a while before it is heard.
fn spoken(began: u64, end: u64) -> u64 {
    end.saturating_sub(began).saturating_sub(samples(VoiceConfig::default().pre_roll_ms))
}

/// At 16 kHz.
fn samples(ms: u32) -> u64 {
    u64::from(ms) * 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What its silence means in each tenth of a second in which that is more than nothing, up to the first fault. Each voice begins in this tenth
    /// and lasts so many.
    fn silences(voices: &[(u64, u64)]) -> Vec<(u64, Silence)> {
        let mut watch = Watch::new(Duration::from_secs(15));
        let mut silences = Vec::new();
        for tenth in 0..700 {
            let is_voice = voices.iter().any(|(began, length)| (*began..began + length).contains(&tenth));
            let from = tenth as u32 * 1_600;
            let sample = |at| if is_voice { audio::synthetic::voice(at) } else { 0 };
            let bytes: Vec<u8> = (from..from + 1_600).map(sample).flat_map(i16::to_le_bytes).collect();
            match watch.give(Time::from_millis(tenth * 100), &bytes.into()) {
                Silence::Short => {}
                nobody @ Silence::Nobody(_) => silences.push((tenth, nobody)),
                Silence::Fault => {
                    silences.push((tenth, Silence::Fault));
                    break;
                }
            }
        }
        silences
    }

    fn fails_at(voices: &[(u64, u64)]) -> Option<u64> {
        silences(voices).into_iter().find(|(_, silence)| *silence == Silence::Fault).map(|(tenth, _)| tenth)
    }

    #[test]
    fn where_nobody_speaks_that_is_told_of_each_time_for_which_it_may_be_silent() {
        let nobody = [(151, 15), (302, 30), (453, 45), (604, 60)]
            .map(|(tenth, seconds)| (tenth, Silence::Nobody(Duration::from_secs(seconds))));
        assert_eq!(silences(&[]), nobody);
    }

    #[test]
    fn one_cough_is_nobody_of_whom_something_had_to_be_said_and_a_voice_right_behind_it_is_somebody() {
        for cough in [0, 20, 100, 148] {
            assert_eq!(fails_at(&[(cough, 4)]), None, "a cough at {cough}");
            // Silence lies between them, of which nothing had to be said either.
            assert_eq!(fails_at(&[(cough, 4), (cough + 400, 4)]), None, "a cough at {cough}");
        }
        let fails = fails_at(&[(20, 4), (190, 4)]).expect("somebody has spoken twice");
        assert!((335..=345).contains(&fails), "{fails}");
        let fails = fails_at(&[(20, 4), (40, 4), (60, 4), (80, 4)]).expect("somebody speaks in single words");
        assert!((165..=175).contains(&fails), "{fails}");
    }

    #[test]
    fn somebody_who_begins_to_speak_at_the_end_of_what_it_may_be_silent_of_is_heard_out() {
        let fails = fails_at(&[(148, 22)]).expect("somebody has spoken");
        assert!((293..=303).contains(&fails), "{fails}");
        // Behind a cough as well.
        let fails = fails_at(&[(20, 4), (150, 40)]).expect("somebody has spoken");
        assert!((293..=308).contains(&fails), "{fails}");
    }
}
