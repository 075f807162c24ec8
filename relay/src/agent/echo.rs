//! The agent that needs no key: it says back what it heard.

use std::collections::VecDeque;

use audio::{Hz, Resampler, SPEECH_RATE, VoiceActivity, VoiceConfig};
use protocol::Time;

use super::utterances::{Ears, Noticed, Utterances};
use super::{Agent, AgentInput, AgentOutput};

mod playback;

use playback::Playback;

/// Says back what it heard, with a caption of how long it was.
pub struct Echo<E = VoiceActivity> {
    rate: Hz,
    utterances: Utterances<E>,
    /// The answer that is being given.
    playback: Option<Playback>,
    /// What it gives is heard.
    sounds: bool,
    outputs: VecDeque<AgentOutput>,
}

impl Echo {
    /// An echo at 16 or 24 kHz for audio that begins at `position`.
    ///
    /// # Errors
    /// For a rate the resampler cannot do.
    pub fn new(rate: Hz, position: u32) -> Result<Echo, audio::Error> {
        Echo::with_ears(VoiceActivity::new(VoiceConfig::default()), rate, position)
    }
}

impl<E: Ears> Echo<E> {
    /// The same with other ears.
    ///
    /// # Errors
    /// For a rate the resampler cannot do.
    pub fn with_ears(ears: E, rate: Hz, position: u32) -> Result<Self, audio::Error> {
        Resampler::new(SPEECH_RATE, rate)?;
        let utterances = Utterances::new(ears, position);
        Ok(Echo { rate, utterances, playback: None, sounds: false, outputs: VecDeque::new() })
    }

    /// Says what was noticed, and answers what was said.
    fn notice(&mut self) {
        while let Some(noticed) = self.utterances.poll() {
            match noticed {
                Noticed::Began { at } => {
                    self.outputs.push_back(AgentOutput::TurnBegan { at });
                    self.cut();
                    self.outputs.push_back(AgentOutput::SpeechStarted { at });
                }
                Noticed::Over { start, end, loud_end, speech } => {
                    let seconds = f64::from(loud_end - start) / f64::from(SPEECH_RATE.0);
                    let text = format!("({seconds:.1} s of speech)");
                    self.outputs.push_back(AgentOutput::Said { text, start, end, words_end: loud_end });
                    let playback = Playback::new(speech, self.rate);
                    let (text, end) = (format!("You spoke for {seconds:.1} s"), playback.length());
                    self.outputs.push_back(AgentOutput::Words { text, start: 0, end, last: true });
                    self.playback = Some(playback);
                }
                Noticed::Final { through } => self.outputs.push_back(AgentOutput::Final { through }),
            }
        }
    }

    fn cut(&mut self) {
        if self.playback.take().is_some() {
            self.outputs.push_back(AgentOutput::Cut);
        }
    }

    /// Says back what was typed, and no more than that in text.
    fn read(&mut self, position: u32, text: &str) {
        self.utterances.pause();
        self.notice();
        self.cut();
        self.outputs.push_back(AgentOutput::Typed { text: text.to_owned(), position });
        self.outputs.push_back(AgentOutput::Words { text: text.to_owned(), start: 0, end: 0, last: true });
        self.outputs.push_back(AgentOutput::AnswerEnd);
    }

    /// Gives more of the answer's sound.
    fn play(&mut self, samples: u32) {
        let Some(playback) = &mut self.playback else { return };
        let sound = playback.next(samples);
        if !sound.is_empty() {
            self.sounds = true;
            self.outputs.push_back(AgentOutput::Sound(sound));
        }
        if playback.is_over() {
            self.playback = None;
            self.outputs.push_back(AgentOutput::AnswerEnd);
        }
    }
}

impl<E: Ears> Agent for Echo<E> {
    fn rate(&self) -> u32 {
        self.rate.0
    }

    fn handle_input(&mut self, _now: Time, input: AgentInput<'_>) {
        match input {
            AgentInput::Audio { samples, .. } => {
                self.utterances.agent_sounds(self.sounds);
                self.utterances.hear(samples);
            }
            AgentInput::Gap { position, end } => self.utterances.skip(position, end),
            AgentInput::Pause => self.utterances.pause(),
            AgentInput::Typed { position, text } => self.read(position, text),
            AgentInput::Room { samples } => self.play(samples),
            AgentInput::AnswerOver { .. } => self.sounds = false,
            // It ends its answers itself, asks nobody, forgets what it understood, and says nothing but what it heard.
            AgentInput::BargeIn
            | AgentInput::OnHold(_)
            | AgentInput::TakenBack { .. }
            | AgentInput::Say { .. }
            | AgentInput::Context { .. }
            | AgentInput::Variables { .. }
            | AgentInput::Corrected { .. }
            | AgentInput::ToolResult { .. }
            | AgentInput::Event { .. }
            | AgentInput::Means { .. }
            | AgentInput::Farewell
            | AgentInput::HandOver
            | AgentInput::Leave
            | AgentInput::Timeout => {}
        }
        self.notice();
    }

    fn poll_output(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    fn is_between_turns(&self) -> bool {
        !self.utterances.is_speaking() && self.playback.is_none() && !self.sounds
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use audio::{Attention, VoiceEvent};

    use super::*;

    fn voice(samples: u32) -> Vec<i16> {
        (0..samples).map(audio::synthetic::voice).collect()
    }

    fn feed<E: Ears>(echo: &mut Echo<E>, samples: &[i16]) -> Vec<AgentOutput> {
        let mut outputs = Vec::new();
        for chunk in samples.chunks(1_600) {
            echo.handle_input(
                Time::ZERO,
                AgentInput::Audio { position: echo.utterances.end(), samples: chunk },
            );
            outputs.extend(std::iter::from_fn(|| echo.poll_output()));
        }
        outputs
    }

    /// The whole sound of its answer, asked for in pieces of this size.
    fn sound(echo: &mut Echo, piece: u32) -> Vec<i16> {
        let mut sound = Vec::new();
        loop {
            echo.handle_input(Time::ZERO, AgentInput::Room { samples: piece });
            let outputs: Vec<_> = std::iter::from_fn(|| echo.poll_output()).collect();
            for output in &outputs {
                if let AgentOutput::Sound(samples) = output {
                    assert!(!samples.is_empty() && samples.len() <= piece as usize);
                    sound.extend(samples);
                }
            }
            if outputs.is_empty() || outputs.contains(&AgentOutput::AnswerEnd) {
                return sound;
            }
        }
    }

    fn said(outputs: &[AgentOutput]) -> Option<(u32, u32)> {
        outputs.iter().find_map(|output| match output {
            AgentOutput::Said { start, end, .. } => Some((*start, *end)),
            _ => None,
        })
    }

    fn scene() -> Vec<i16> {
        [vec![0; 24_000], voice(32_000), vec![0; 24_000]].concat()
    }

    #[test]
    fn what_was_said_comes_back_whole_and_only_that() {
        let mut echo = Echo::new(Hz(16_000), 0).expect("a rate we do");
        let scene = scene();
        let outputs = feed(&mut echo, &scene);
        let (start, end) = said(&outputs).expect("the voice is heard");
        assert!((16_000..=24_000).contains(&start), "{start}");
        assert!((56_000..=62_000).contains(&end), "{end}");
        let words = outputs.iter().find_map(|output| match output {
            AgentOutput::Words { text, start, end, last } => Some((text, *start, *end, *last)),
            _ => None,
        });
        let (text, first, last, is_all) = words.expect("an answer");
        assert!(text.starts_with("You spoke for 2."), "{text}");
        assert_eq!((first, last, is_all), (0, end - start, true), "the words last as long as the sound");
        assert_eq!(sound(&mut echo, 1_600), &scene[start as usize..end as usize]);
    }

    #[test]
    fn the_echo_at_24_khz_lasts_as_long_as_what_was_said_however_it_is_asked_for() {
        let mut whole = Vec::new();
        for piece in [1, 7, 2_400, 48_000, u32::MAX] {
            let mut echo = Echo::new(Hz(24_000), 0).expect("a rate we do");
            let outputs = feed(&mut echo, &scene());
            let (start, end) = said(&outputs).expect("heard");
            let sound = sound(&mut echo, piece);
            assert_eq!(sound.len() as u32, ((end - start) * 3).div_ceil(2));
            if whole.is_empty() {
                whole = sound;
            } else {
                assert!(sound == whole, "pieces of {piece}");
            }
        }
    }

    #[test]
    fn the_echo_at_24_khz_sounds_as_what_was_said() {
        let mut echo = Echo::new(Hz(24_000), 0).expect("a rate we do");
        // Louder from one tenth of a second to the next, so that each of them is known by its level.
        let mut scene = scene();
        for (at, sample) in scene.iter_mut().enumerate() {
            *sample = (i32::from(*sample) * (at / 1_600 + 1) as i32 / 60) as i16;
        }
        let outputs = feed(&mut echo, &scene);
        let (start, end) = said(&outputs).expect("heard");
        let sound = sound(&mut echo, 2_400);
        let level = |samples: &[i16]| {
            let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
            (sum / samples.len() as f64).sqrt()
        };
        for (said, heard) in scene[start as usize..end as usize].chunks(1_600).zip(sound.chunks(2_400)) {
            assert!((level(heard) / (level(said) + 1.0) - 1.0).abs() < 0.1 || level(said) < 20.0);
        }
    }

    #[test]
    fn who_speaks_into_the_answer_ends_it() {
        let mut echo = Echo::new(Hz(24_000), 0).expect("a rate we do");
        feed(&mut echo, &scene());
        echo.handle_input(Time::ZERO, AgentInput::Room { samples: 2_400 });
        while echo.poll_output().is_some() {}
        let outputs = feed(&mut echo, &voice(16_000));
        let cut = outputs.iter().position(|output| *output == AgentOutput::Cut).expect("cut off");
        assert!(matches!(outputs[cut + 1], AgentOutput::SpeechStarted { .. }), "{outputs:?}");
        assert!(sound(&mut echo, 2_400).is_empty(), "nothing more of it comes");
    }

    /// Ears that tell how closely they listen.
    struct Observed(VoiceActivity, Arc<Mutex<Attention>>);

    impl Ears for Observed {
        fn push(&mut self, samples: &[i16], on_event: impl FnMut(VoiceEvent)) {
            self.0.push_i16(samples, on_event);
        }

        fn attend(&mut self, attention: Attention) {
            *self.1.lock().expect("nobody panics") = attention;
            self.0.attend(attention);
        }

        fn flush(&mut self) {
            Ears::flush(&mut self.0);
        }

        fn begin_at(&mut self, position: u32) {
            self.0.begin_at(position);
        }

        fn earliest_start(&self) -> u64 {
            self.0.earliest_start()
        }
    }

    #[test]
    fn it_listens_closely_for_as_long_as_it_is_heard() {
        let attention = Arc::default();
        let ears = Observed(VoiceActivity::default(), Arc::clone(&attention));
        let mut echo = Echo::with_ears(ears, Hz(16_000), 0).expect("a rate we do");
        let listens = || *attention.lock().expect("nobody panics");
        feed(&mut echo, &scene());
        assert_eq!(listens(), Attention::Awake);
        echo.handle_input(Time::ZERO, AgentInput::Room { samples: u32::MAX });
        feed(&mut echo, &[0; 1_600]);
        assert_eq!(listens(), Attention::Close, "all of the answer was given, and not yet heard");
        echo.handle_input(Time::ZERO, AgentInput::AnswerOver { answer: 0, heard: 0 });
        feed(&mut echo, &[0; 1_600]);
        assert_eq!(listens(), Attention::Awake);
    }

    #[test]
    fn it_is_between_two_turns_when_nobody_speaks_and_nothing_of_it_is_to_be_heard() {
        let mut echo = Echo::new(Hz(16_000), 0).expect("a rate we do");
        let scene = scene();
        feed(&mut echo, &scene[..16_000]);
        assert!(echo.is_between_turns(), "nobody has said anything");
        feed(&mut echo, &scene[16_000..40_000]);
        assert!(!echo.is_between_turns(), "somebody speaks");
        feed(&mut echo, &scene[40_000..]);
        assert!(!echo.is_between_turns(), "they are not answered yet");
        sound(&mut echo, 1_600);
        assert!(!echo.is_between_turns(), "all of the answer was given, and not yet heard");
        echo.handle_input(Time::ZERO, AgentInput::AnswerOver { answer: 0, heard: 0 });
        assert!(echo.is_between_turns());
    }

    #[test]
    fn what_is_typed_comes_back_in_text_and_ends_what_was_being_said() {
        let mut echo = Echo::new(Hz(24_000), 0).expect("a rate we do");
        let scene = scene();
        feed(&mut echo, &scene[..40_000]);
        echo.handle_input(Time::ZERO, AgentInput::Typed { position: 40_000, text: "Hello" });
        let outputs: Vec<_> = std::iter::from_fn(|| echo.poll_output()).collect();
        let said: Vec<_> = outputs
            .iter()
            .filter_map(|output| match output {
                AgentOutput::Said { text, end, .. } => Some((text.as_str(), *end)),
                AgentOutput::Typed { text, position } => Some((text.as_str(), *position)),
                _ => None,
            })
            .collect();
        assert!(matches!(said.as_slice(), [(_, 40_000), ("Hello", 40_000)]), "{outputs:?}");
        assert_eq!(outputs.last(), Some(&AgentOutput::AnswerEnd));
    }

    #[test]
    fn nothing_is_final_while_somebody_speaks() {
        let mut echo = Echo::new(Hz(16_000), 0).expect("a rate we do");
        let (mut speaking, mut last) = (None, 0);
        for output in feed(&mut echo, &scene()) {
            match output {
                AgentOutput::SpeechStarted { at } => speaking = Some(at),
                AgentOutput::Said { .. } => speaking = None,
                AgentOutput::Final { through } => {
                    assert!(speaking.is_none_or(|start| through <= start));
                    assert!(through > last);
                    last = through;
                }
                _ => {}
            }
        }
        assert!(last >= 56_000, "{last}");
    }

    #[test]
    fn hanging_up_in_mid_word_loses_nothing_that_was_said() {
        let mut echo = Echo::new(Hz(16_000), 0).expect("a rate we do");
        let scene = scene();
        let mut outputs = feed(&mut echo, &scene[..40_000]);
        assert_eq!(said(&outputs), None);
        echo.handle_input(Time::ZERO, AgentInput::Pause);
        outputs.extend(std::iter::from_fn(|| echo.poll_output()));
        assert_eq!(said(&outputs).map(|(_, end)| end), Some(40_000));
        // Who goes on after that is heard again.
        let outputs = feed(&mut echo, &scene[40_000..]);
        let (start, end) = said(&outputs).expect("heard");
        assert!(start >= 40_000 && (56_000..=62_000).contains(&end), "{start} to {end}");
    }

    #[test]
    fn a_monologue_is_stored_before_a_replay_buffer_is_full() {
        let mut echo = Echo::new(Hz(16_000), 0).expect("a rate we do");
        let outputs = feed(&mut echo, &[vec![0; 16_000], voice(30 * 16_000)].concat());
        assert!(said(&outputs).is_some());
    }

    #[test]
    fn positions_go_on_after_a_long_gap_and_after_a_recovery() {
        let mut echo = Echo::new(Hz(16_000), 1_000_000).expect("a rate we do");
        feed(&mut echo, &vec![0; 32_000]);
        echo.handle_input(Time::ZERO, AgentInput::Gap { position: 1_032_000, end: 1_200_000 });
        let outputs = feed(&mut echo, &scene());
        let (start, _) = said(&outputs).expect("heard");
        assert!((1_216_000..=1_224_000).contains(&start), "{start}");
    }
}
