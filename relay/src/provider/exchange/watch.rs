//! Whether a recogniser that says nothing is broken.
//!
//! Some tell of silence as well, and some say nothing as long as nobody speaks: that is no fault. So it is one only from where a voice begins. To
//! look for voices all the time would cost as much as what recognisers are there to spare, so it is done only in audio of which nothing has been
//! said for as long as that may be.

use std::time::Duration;

use audio::{VoiceActivity, VoiceConfig, VoiceEvent, decode_s16le_to_i16};
use bytes::Bytes;
use protocol::Time;

/// Audio comes ten times a second. A longer pause than this is one in which none came.
const AUDIO_GAP: Duration = Duration::from_secs(1);

/// Watches one recogniser.
pub(super) struct Watch {
    /// How long it may be given audio behind the beginning of a voice without saying anything.
    most: Duration,
    given_at: Option<Time>,
    /// How long it has been given audio since it last said anything; where a voice was found behind that, since the voice began.
    silent: Duration,
    /// What it was given meanwhile, and how long it had been silent before each piece; nothing where a voice was found.
    given: Vec<(Duration, Bytes)>,
    has_voice: bool,
}

impl Watch {
    pub(super) fn new(most: Duration) -> Watch {
        Watch { most, given_at: None, silent: Duration::ZERO, given: Vec::new(), has_voice: false }
    }

    /// It is given this. Whether it has been silent for too long.
    pub(super) fn give(&mut self, now: Time, audio: &Bytes) -> bool {
        if !self.has_voice {
            self.given.push((self.silent, audio.clone()));
        }
        let since = self.given_at.replace(now).map_or(Duration::ZERO, |before| now.since(before));
        self.silent += since.min(AUDIO_GAP);
        if self.silent > self.most && !self.has_voice {
            self.look_for_a_voice();
        }
        self.silent > self.most
    }

    /// It has said something.
    pub(super) fn answered(&mut self) {
        self.silent = Duration::ZERO;
        self.given.clear();
        self.has_voice = false;
    }

    /// From here on it has been silent since the voice began, or not at all if there is none.
    fn look_for_a_voice(&mut self) {
        let began = self.voice().map(|at| {
            let mut end = 0;
            let piece = self.given.iter().find(|(_, audio)| {
                end += audio.len() as u64 / 2;
                at < end
            });
            piece.map_or(Duration::ZERO, |(before, _)| *before)
        });
        self.given.clear();
        self.has_voice = began.is_some();
        let before = began.unwrap_or(self.silent);
        self.silent -= before;
    }

    /// Where the first voice begins in what it was given, in samples.
    fn voice(&self) -> Option<u64> {
        let mut ears = VoiceActivity::new(VoiceConfig::default());
        let mut samples = Vec::new();
        self.given.iter().find_map(|(_, audio)| {
            samples.resize(audio.len() / 2, 0);
            decode_s16le_to_i16(audio, &mut samples);
            let mut began = None;
            ears.push_i16(&samples, |event| {
                if let VoiceEvent::SpeechStarted { at } = event {
                    began.get_or_insert(at);
                }
            });
            began
        })
    }
}
