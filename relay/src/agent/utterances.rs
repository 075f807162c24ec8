//! Where the user speaks: audio in, utterances out.

use std::collections::VecDeque;

use audio::{Attention, VoiceActivity, VoiceEvent};

use super::tape::Tape;

/// Finds where somebody speaks. The real one is [`VoiceActivity`]; a simulation has one that knows beforehand.
pub trait Ears: Send {
    /// Hears audio. A block of 10 ms holds one event at most.
    fn push(&mut self, samples: &[i16], on_event: impl FnMut(VoiceEvent));

    /// They listen like this from here on. Who is away hears nothing, and what was being said is over without an event.
    fn attend(&mut self, attention: Attention);

    /// What was being said ends here, as its listener knows.
    fn flush(&mut self);

    /// Begins anew at this place of the user's timeline: events count from it.
    fn begin_at(&mut self, position: u32);

    /// Where the next [`VoiceEvent::SpeechStarted`] may be at the earliest.
    fn earliest_start(&self) -> u64;
}

impl Ears for VoiceActivity {
    fn push(&mut self, samples: &[i16], on_event: impl FnMut(VoiceEvent)) {
        self.push_i16(samples, on_event);
    }

    fn attend(&mut self, attention: Attention) {
        VoiceActivity::attend(self, attention);
    }

    fn flush(&mut self) {
        VoiceActivity::flush(self, |_| {});
    }

    fn begin_at(&mut self, _position: u32) {
        self.reset();
    }

    fn earliest_start(&self) -> u64 {
        VoiceActivity::earliest_start(self)
    }
}

/// Speech without a pause ends after this time, so that it is stored before the client's replay buffer (30 s) is full.
pub(super) const LONGEST_UTTERANCE: u32 = 25 * 16_000;
/// Kept after the last loud moment, so that a soft ending is not cut off: 200 ms.
const TAIL: u32 = 3_200;
/// The voice activity detector never looks back further than this, 600 ms: its pre-roll (200 ms), and the time in which it is in doubt (320 ms).
const LOOK_BACK: u32 = 9_600;
/// `Final` is not said more often than every quarter of a second.
const FINAL_STEP: u32 = 4_000;
/// Audio is heard in pieces that end at multiples of this, however it was cut into frames: 10 ms.
const BLOCK: u32 = 160;
/// A gap up to this long is filled with silence; a longer one ends the utterance.
const LONGEST_FILL: u32 = 16_000;

/// What was noticed. Positions are those of the user's timeline.
#[derive(Debug)]
pub(super) enum Noticed {
    /// The user speaks, since here.
    Began {
        /// Where.
        at: u32,
    },
    /// The user has spoken.
    Over {
        /// Where the speech began.
        start: u32,
        /// Where it ends, with a little of the silence after it.
        end: u32,
        /// Where its last loud moment is.
        loud_end: u32,
        /// Its samples, from `start` to `end`.
        speech: Tape,
    },
    /// Nothing before this position will be part of any later utterance.
    Final {
        /// The position.
        through: u32,
    },
}

/// Finds utterances. The same audio, listened to as closely, gives the same ones, however it comes.
pub(super) struct Utterances<E> {
    voice: E,
    /// Position in the user's timeline at which `voice` began to count.
    voice_origin: u32,
    /// What may still become part of an utterance; it begins at `history_start`. While nobody speaks it is all that a quiet call keeps of its
    /// audio, so it is no longer than the ears look back at that moment.
    history: Tape,
    history_start: u32,
    /// Where the utterance that is being spoken began.
    speech_start: Option<u32>,
    /// What was last said to be final.
    final_through: u32,
    noticed: VecDeque<Noticed>,
}

impl<E: Ears> Utterances<E> {
    /// Listens with these ears to audio that begins at `position`.
    pub(super) fn new(mut ears: E, position: u32) -> Self {
        ears.begin_at(position);
        Utterances {
            voice: ears,
            voice_origin: position,
            history: Tape::default(),
            history_start: position,
            speech_start: None,
            final_through: position,
            noticed: VecDeque::new(),
        }
    }

    /// Where the audio ends that was heard.
    pub(super) fn end(&self) -> u32 {
        self.history_start + self.history.len() as u32
    }

    /// Whether the user speaks.
    pub(super) fn is_speaking(&self) -> bool {
        self.speech_start.is_some()
    }

    /// What was noticed next.
    pub(super) fn poll(&mut self) -> Option<Noticed> {
        self.noticed.pop_front()
    }

    /// Whether the agent sounds: then everything is listened to, and otherwise what stands out from the noise of the room.
    pub(super) fn agent_sounds(&mut self, sounds: bool) {
        self.voice.attend(if sounds { Attention::Close } else { Attention::Awake });
    }

    /// Hears audio in the same pieces however it comes.
    pub(super) fn hear(&mut self, mut samples: &[i16]) {
        while !samples.is_empty() {
            let to_boundary = BLOCK - (self.end() - self.voice_origin) % BLOCK;
            let (block, rest) = samples.split_at(samples.len().min(to_boundary as usize));
            self.hear_block(block);
            if (self.end() - self.voice_origin).is_multiple_of(BLOCK) {
                if self.speech_start.is_some_and(|start| self.end() - start >= LONGEST_UTTERANCE) {
                    self.finish();
                }
                self.finalise();
            }
            samples = rest;
        }
    }

    /// Audio that is lost for good.
    pub(super) fn skip(&mut self, position: u32, end: u32) {
        let length = end.saturating_sub(position);
        if length <= LONGEST_FILL {
            return self.hear(&vec![0; length as usize]);
        }
        self.finish();
        self.voice.begin_at(end);
        self.voice_origin = end;
        self.history = Tape::default();
        self.history_start = end;
        self.forget(end);
    }

    /// No audio comes for now: what was being said is over, and nothing of it is needed any more.
    pub(super) fn pause(&mut self) {
        self.finish();
        self.forget(self.end());
    }

    /// Ends the utterance where the audio ends, and listens anew.
    fn finish(&mut self) {
        self.voice.flush();
        self.speech_ended(self.end());
    }

    fn hear_block(&mut self, samples: &[i16]) {
        self.history.push(samples);
        // A block is shorter than the shortest speech and the shortest pause, so it holds one event at most.
        let (mut heard, origin) = (None, self.voice_origin);
        self.voice.push(samples, |event| heard = Some(event));
        match heard {
            Some(VoiceEvent::SpeechStarted { at }) => {
                let start = place(origin, at).max(self.history_start);
                self.speech_start = Some(start);
                self.noticed.push_back(Noticed::Began { at: start });
            }
            Some(VoiceEvent::SpeechEnded { at }) => self.speech_ended(place(origin, at)),
            None => {}
        }
    }

    fn speech_ended(&mut self, at: u32) {
        let Some(start) = self.speech_start.take() else { return };
        let end = at.saturating_add(TAIL).clamp(start, self.end());
        self.cut(start);
        let speech = self.history.take((end - start) as usize);
        self.history_start = end;
        self.noticed.push_back(Noticed::Over { start, end, loud_end: at.clamp(start, end), speech });
        self.forget(end);
    }

    /// While nobody speaks, what is before the earliest place where somebody may begin to is done with. It is said to be final when the
    /// ears can look back to it in no case.
    fn finalise(&mut self) {
        if self.speech_start.is_some() {
            return;
        }
        let through = self.end().saturating_sub(LOOK_BACK);
        if through >= self.final_through.saturating_add(FINAL_STEP) {
            self.forget(through);
        }
        self.cut(through.max(place(self.voice_origin, self.voice.earliest_start())));
    }

    fn forget(&mut self, through: u32) {
        if through > self.final_through {
            self.final_through = through;
            self.noticed.push_back(Noticed::Final { through });
        }
        self.cut(through);
    }

    /// What is before this place becomes part of no utterance any more.
    fn cut(&mut self, before: u32) {
        let cut = before.saturating_sub(self.history_start).min(self.history.len() as u32);
        self.history.forget(cut as usize);
        self.history_start += cut;
    }
}

fn place(origin: u32, at: u64) -> u32 {
    origin.saturating_add(u32::try_from(at).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use audio::synthetic;

    use super::*;

    /// Ears that look back as far as any do, all the time.
    struct Careful(VoiceActivity);

    impl Ears for Careful {
        fn push(&mut self, samples: &[i16], on_event: impl FnMut(VoiceEvent)) {
            self.0.push_i16(samples, on_event);
        }

        fn attend(&mut self, attention: Attention) {
            self.0.attend(attention);
        }

        fn flush(&mut self) {
            Ears::flush(&mut self.0);
        }

        fn begin_at(&mut self, position: u32) {
            self.0.begin_at(position);
        }

        fn earliest_start(&self) -> u64 {
            self.0.position().saturating_sub(LOOK_BACK.into())
        }
    }

    /// A room with noise of this many steps, in which somebody speaks now and then, each time louder than before: at first hardly to be heard.
    fn scene(noise: u32) -> Vec<i16> {
        let mut state = 1_u32;
        let spoken = |at: u32| match (at / 8_000 % 6, at % 8_000) {
            (1, _) => true,
            (2, within) => within < 2_000,
            (3, within) => (3_000..4_300).contains(&within),
            _ => false,
        };
        (0..20 * 48_000)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let room = ((state >> 16) % (2 * noise + 1)) as i32 - noise as i32;
                let loud = (at / 48_000 + 1) as i32;
                let voice = i32::from(synthetic::voice(at)) * loud * loud / 400;
                (room + if spoken(at) { voice } else { 0 }) as i16
            })
            .collect()
    }

    /// What is noticed of a scene: that, with the samples of what was said.
    fn noticed(mut utterances: Utterances<impl Ears>, scene: &[i16]) -> Vec<(String, Vec<i16>)> {
        let mut all = Vec::new();
        for (number, chunk) in scene.chunks(1_600).enumerate() {
            utterances.agent_sounds(number % 30 >= 20);
            match number % 97 {
                96 => utterances.pause(),
                48 => utterances.skip(utterances.end(), utterances.end() + 3_333),
                _ => {}
            }
            utterances.hear(chunk);
            all.extend(std::iter::from_fn(|| utterances.poll()).map(|noticed| match noticed {
                Noticed::Over { start, end, loud_end, speech } => {
                    (format!("{start} to {end}, loud to {loud_end}"), speech.into_samples())
                }
                other => (format!("{other:?}"), Vec::new()),
            }));
        }
        all
    }

    #[test]
    fn nothing_that_is_forgotten_would_have_become_part_of_an_utterance() {
        for noise in [8, 60, 300, 1_000] {
            let scene = scene(noise);
            let heard = noticed(Utterances::new(VoiceActivity::default(), 5), &scene);
            let spoken = heard.iter().filter(|(_, speech)| !speech.is_empty()).count();
            assert!(spoken >= 5, "{spoken} utterances in {noise} steps of noise");
            let careful = noticed(Utterances::new(Careful(VoiceActivity::default()), 5), &scene);
            assert!(heard == careful, "{noise} steps of noise");
        }
    }

    /// Ears that hear somebody from this sample on, without a pause.
    struct Sure {
        from: u64,
        heard: u64,
        hears: bool,
    }

    impl Ears for Sure {
        fn push(&mut self, samples: &[i16], mut on_event: impl FnMut(VoiceEvent)) {
            if self.heard >= self.from && !std::mem::replace(&mut self.hears, true) {
                on_event(VoiceEvent::SpeechStarted { at: self.heard });
            }
            self.heard += samples.len() as u64;
        }

        fn attend(&mut self, _attention: Attention) {}

        fn flush(&mut self) {
            self.hears = false;
        }

        fn begin_at(&mut self, _position: u32) {
            (self.heard, self.hears) = (0, false);
        }

        fn earliest_start(&self) -> u64 {
            self.heard
        }
    }

    /// One whose ears hear somebody from this sample on, in audio that begins in the midst of a block.
    fn sure(from: u64) -> Utterances<Sure> {
        Utterances::new(Sure { from, heard: 0, hears: false }, 5)
    }

    /// From where to where somebody has spoken, with the samples of that.
    fn spoken(utterances: &mut Utterances<Sure>) -> Vec<(u32, u32, Vec<i16>)> {
        std::iter::from_fn(|| utterances.poll())
            .filter_map(|noticed| match noticed {
                Noticed::Over { start, end, speech, .. } => Some((start, end, speech.into_samples())),
                Noticed::Began { .. } | Noticed::Final { .. } => None,
            })
            .collect()
    }

    fn finals(utterances: &mut Utterances<Sure>) -> Vec<u32> {
        std::iter::from_fn(|| utterances.poll())
            .filter_map(|noticed| if let Noticed::Final { through } = noticed { Some(through) } else { None })
            .collect()
    }

    #[test]
    fn a_gap_of_a_second_is_silence_in_what_is_being_said_and_a_longer_one_ends_it() {
        let loud = |samples: usize| vec![7_i16; samples];
        for (gap, is_filled) in [(0, true), (LONGEST_FILL, true), (LONGEST_FILL + 1, false)] {
            let mut utterances = sure(1_600);
            utterances.hear(&loud(16_000));
            let behind = 16_005 + gap;
            utterances.skip(16_005, behind);
            assert_eq!((utterances.end(), utterances.is_speaking()), (behind, is_filled), "{gap}");
            utterances.hear(&loud(4_800));
            utterances.pause();
            let expected = if is_filled {
                let speech = [loud(14_400), vec![0; gap as usize], loud(4_800)].concat();
                vec![(1_605, behind + 4_800, speech)]
            } else {
                vec![(1_605, 16_005, loud(14_400)), (behind + 1_600, behind + 4_800, loud(3_200))]
            };
            assert!(spoken(&mut utterances) == expected, "{gap}");
        }
    }

    #[test]
    fn who_does_not_pause_is_heard_in_pieces_of_the_greatest_length() {
        let mut utterances = sure(1_600);
        utterances.hear(&vec![7; 900_000]);
        utterances.pause();
        let places: Vec<(u32, u32)> =
            spoken(&mut utterances).into_iter().map(|(start, end, _)| (start, end)).collect();
        let second = 1_605 + LONGEST_UTTERANCE;
        let third = second + LONGEST_UTTERANCE;
        assert_eq!(places, [(1_605, second), (second, third), (third, 900_005)]);
    }

    #[test]
    fn while_nobody_speaks_all_is_final_that_ears_cannot_look_back_to_every_quarter_of_a_second() {
        for piece in [1_600, 777] {
            let mut utterances = sure(u64::MAX);
            for samples in vec![7; 24_000].chunks(piece) {
                utterances.hear(samples);
            }
            assert_eq!(finals(&mut utterances), [4_005, 8_005, 12_005], "in pieces of {piece}");
            utterances.pause();
            utterances.pause();
            assert_eq!(finals(&mut utterances), [24_005], "of a pause all is, and it is said once");
        }
    }

    #[test]
    fn a_quiet_call_keeps_a_quarter_of_a_second() {
        let mut utterances = Utterances::new(VoiceActivity::default(), 0);
        let mut most = 0;
        for at in 0..1_000_u32 {
            utterances.hear(&[7; 160]);
            most = most.max(utterances.history.len());
            assert!(utterances.end() == (at + 1) * 160);
        }
        assert!(most <= 4_000, "{most} samples");
    }
}
