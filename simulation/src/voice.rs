//! What the user says: when, and how it sounds; and ears that know.

use std::sync::OnceLock;

use audio::{Attention, VoiceActivity, VoiceConfig, VoiceEvent, synthetic};
use relay::agent::Ears;

use crate::random::Random;
use crate::watched::Shared;

/// One second of a voiced sound at 16 kHz.
const SECOND: usize = 16_000;
/// Ears know of speech after so much of it: 100 ms.
const ONSET: u32 = 1_600;
/// Ears that know the script look back no further than this: 600 ms.
const LOOK_BACK: u64 = 9_600;

/// When the user speaks, in samples of the user's timeline: beginnings and ends, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) spans: Vec<(u32, u32)>,
    /// A pause this long ends what is said.
    pub(crate) pause: u32,
    /// Where those begin that are coughs: they sound, and have no words.
    coughs: Vec<u32>,
}

impl Script {
    /// Utterances of a fifth of a second to three, with pauses, up to this many samples.
    pub(crate) fn new(length: u32, random: &mut Random) -> Script {
        let pause = 16 * random.between(200, 600) as u32;
        let (mut spans, mut at) = (Vec::new(), 160 * random.between(0, 100) as u32);
        loop {
            let long = if random.percent(70) { 12_000 } else { 48_000 };
            let end = at + random.between(4_000, long) as u32;
            if end > length {
                return Script { spans, pause, coughs: Vec::new() };
            }
            spans.push((at, end));
            let silence = if random.percent(60) { 12_000 } else { 40_000 };
            at = end + pause + random.between(1_600, silence) as u32;
        }
    }

    /// The same with so many coughs in a hundred utterances, which are as short as a cough then.
    pub(crate) fn with_coughs(mut self, percent: u64, random: &mut Random) -> Script {
        for (start, end) in &mut self.spans {
            let length = random.between(3_200, 9_600) as u32;
            if random.percent(percent) {
                *end = (*start + length).min(*end);
                self.coughs.push(*start);
            }
        }
        self
    }

    pub(crate) fn coughs(&self) -> usize {
        self.coughs.len()
    }

    /// The samples from a place in the timeline on.
    pub(crate) fn samples(&self, from: u32, count: u32) -> Vec<i16> {
        let voice = voice();
        let mut samples = vec![0; count as usize];
        for (start, end) in &self.spans {
            let is_cough = self.coughs.contains(start);
            for at in (*start).max(from)..(*end).min(from + count) {
                samples[(at - from) as usize] = sound(voice[at as usize % SECOND], is_cough);
            }
        }
        samples
    }

    /// What stands at this place.
    pub(crate) fn sample(&self, at: u32) -> i16 {
        let span = self.spans.iter().find(|(start, end)| (*start..*end).contains(&at));
        span.map_or(0, |(start, _)| sound(voice()[at as usize % SECOND], self.coughs.contains(start)))
    }
}

/// A sample of a word is odd, and one of a cough is even and not silent: whoever computes voice activity hears no difference, and a simulated
/// recogniser knows what has words.
fn sound(sample: i16, is_cough: bool) -> i16 {
    if is_cough { (sample & !1) | 2 } else { sample }
}

/// Whether a sample is one of a word.
pub(crate) fn is_word(sample: i16) -> bool {
    sample & 1 == 1
}

/// The synthetic voice, never silent.
fn voice() -> &'static [i16] {
    static VOICE: OnceLock<Vec<i16>> = OnceLock::new();
    VOICE.get_or_init(|| (0..SECOND as u32).map(|at| synthetic::voice(at) | 1).collect())
}

/// Ears of a simulated agent.
#[derive(Debug)]
pub(crate) enum SimulatedEars {
    /// They know the script.
    Scripted(Scripted),
    /// They listen, and what they find is noted.
    Computed(Box<VoiceActivity>, Shared),
}

/// Ears that know the script and count samples.
#[derive(Debug)]
pub(crate) struct Scripted {
    script: Script,
    origin: u32,
    at: u32,
    /// Where the speech began that is being heard.
    speaking: Option<u32>,
    /// Speech before this place is done with.
    done: u32,
    attention: Attention,
}

impl SimulatedEars {
    pub(crate) fn scripted(script: Script) -> SimulatedEars {
        let attention = Attention::default();
        SimulatedEars::Scripted(Scripted { script, origin: 0, at: 0, speaking: None, done: 0, attention })
    }

    pub(crate) fn computed(log: Shared) -> SimulatedEars {
        SimulatedEars::Computed(Box::new(VoiceActivity::new(VoiceConfig::default())), log)
    }
}

impl Ears for SimulatedEars {
    fn push(&mut self, samples: &[i16], mut on_event: impl FnMut(VoiceEvent)) {
        match self {
            SimulatedEars::Scripted(scripted) => scripted.push(samples.len() as u32, on_event),
            SimulatedEars::Computed(voice, log) => voice.push_i16(samples, |event| {
                log.lock().found += u64::from(matches!(event, VoiceEvent::SpeechStarted { .. }));
                on_event(event);
            }),
        }
    }

    fn attend(&mut self, attention: Attention) {
        match self {
            SimulatedEars::Scripted(scripted) => {
                scripted.attention = attention;
                if attention == Attention::Away {
                    scripted.speaking = None;
                }
            }
            SimulatedEars::Computed(voice, _) => voice.attend(attention),
        }
    }

    fn flush(&mut self) {
        match self {
            SimulatedEars::Scripted(scripted) => {
                scripted.speaking = None;
                scripted.done = scripted.at;
            }
            SimulatedEars::Computed(voice, _) => voice.flush(|_| {}),
        }
    }

    fn begin_at(&mut self, position: u32) {
        match self {
            SimulatedEars::Scripted(scripted) => {
                scripted.origin = position;
                scripted.at = position;
                scripted.speaking = None;
                scripted.done = position;
            }
            SimulatedEars::Computed(voice, _) => voice.reset(),
        }
    }

    fn earliest_start(&self) -> u64 {
        match self {
            SimulatedEars::Scripted(scripted) => {
                u64::from(scripted.at - scripted.origin).saturating_sub(LOOK_BACK)
            }
            SimulatedEars::Computed(voice, _) => voice.earliest_start(),
        }
    }
}

impl Scripted {
    fn push(&mut self, samples: u32, mut on_event: impl FnMut(VoiceEvent)) {
        self.at += samples;
        let (origin, at) = (self.origin, self.at);
        if self.attention == Attention::Away {
            return;
        }
        let place = |position: u32| u64::from(position.saturating_sub(origin));
        if let Some(start) = self.speaking {
            let end = self.script.spans.iter().find(|(_, end)| *end > start).map_or(start, |(_, end)| *end);
            if at >= end + self.script.pause {
                self.speaking = None;
                self.done = end;
                on_event(VoiceEvent::SpeechEnded { at: place(end) });
            }
            return;
        }
        let begun =
            self.script.spans.iter().find(|(_, end)| *end > self.done && at < end + self.script.pause);
        if let Some((start, end)) = begun {
            let start = (*start).max(self.done);
            if at >= start + ONSET.min(end - start) {
                self.speaking = Some(start);
                on_event(VoiceEvent::SpeechStarted { at: place(start) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cough_sounds_and_has_no_words() {
        let script = Script::new(160_000, &mut Random::new(3)).with_coughs(50, &mut Random::new(4));
        assert!(script.coughs() > 0 && script.coughs() < script.spans.len());
        let samples = script.samples(0, 160_000);
        for (start, end) in &script.spans {
            let is_cough = script.coughs.contains(start);
            let span = &samples[*start as usize..*end as usize];
            assert!(span.iter().all(|sample| *sample != 0 && is_word(*sample) != is_cough), "{start}");
            assert_eq!(script.sample(*start), span[0]);
        }
    }
}
