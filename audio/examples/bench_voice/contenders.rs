//! Detectors, side by side.

use std::hint::black_box;
use std::time::Instant;

use audio::{VoiceActivity, VoiceConfig, VoiceEvent};

/// An utterance that a detector found, in samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where the sound stood when it said so.
    pub(crate) told: usize,
}

/// What hears samples and says what it finds.
pub(crate) trait Hear {
    fn hear(&mut self, samples: &[i16], on_event: &mut dyn FnMut(VoiceEvent));
    fn finish(&mut self, on_event: &mut dyn FnMut(VoiceEvent));
}

pub(crate) type Make = fn() -> Box<dyn Hear>;

pub(crate) const CONTENDERS: [(&str, Make); 1] =
    [("energy", || Box::new(VoiceActivity::new(WITHOUT_PRE_ROLL)))];

/// What is found is to begin where the detector thinks that it does.
const WITHOUT_PRE_ROLL: VoiceConfig = VoiceConfig { min_speech_ms: 120, end_silence_ms: 600, pre_roll_ms: 0 };

impl Hear for VoiceActivity {
    fn hear(&mut self, samples: &[i16], on_event: &mut dyn FnMut(VoiceEvent)) {
        self.push_i16(samples, on_event);
    }

    fn finish(&mut self, on_event: &mut dyn FnMut(VoiceEvent)) {
        self.flush(on_event);
    }
}

/// What a detector finds in a sound that comes in pieces of 10 ms.
pub(crate) fn found(detector: &mut Box<dyn Hear>, sound: &[i16]) -> Vec<Found> {
    let (mut found, mut begun, mut told) = (Vec::new(), None, 0);
    let mut note = |event, told| match event {
        VoiceEvent::SpeechStarted { at } => begun = Some((at as usize, told)),
        VoiceEvent::SpeechEnded { at } => {
            if let Some((start, told)) = begun.take() {
                found.push(Found { start, end: at as usize, told });
            }
        }
    };
    for piece in sound.chunks(160) {
        told += piece.len();
        detector.hear(piece, &mut |event| note(event, told));
    }
    detector.finish(&mut |event| note(event, told));
    found
}

/// What a sound costs in chunks of 100 ms, in nanoseconds for each 16 ms. The best of several runs: other programs can only slow it down.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub(crate) fn nanoseconds(make: Make, sound: &[i16]) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let mut detector = make();
        let start = Instant::now();
        for chunk in sound.chunks(1_600) {
            detector.hear(black_box(chunk), &mut |event| {
                black_box(event);
            });
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e9 / (sound.len() as f64 / 256.0)
}
