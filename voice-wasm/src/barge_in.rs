//! Whether the user begins to speak over the agent.

use audio::{Attention, Loudness, VoiceActivity, VoiceConfig, f32_to_i16};

/// Notices that the user begins to speak over the agent, as the relay does: the same detector finds a voice, and the same rule tells it from
/// the agent's own voice that comes back.
///
/// Time is counted in samples of the microphone, 16 kHz mono. One voice is noticed once: it has to pause, for as long as speech that ends,
/// before another is. What becomes of the agent is not decided here, but by the relay.
#[derive(Debug)]
pub struct BargeIn {
    voice: VoiceActivity,
    loudness: Loudness,
    step: [i16; STEP],
    filled: usize,
    /// Where the audio ends that both have heard.
    position: u32,
    /// The agent sounded when it was last looked at.
    sounded: bool,
    /// The voice that goes on was noticed.
    noticed: bool,
}

impl BargeIn {
    /// Somebody who has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        BargeIn {
            voice: VoiceActivity::new(VoiceConfig { min_speech_ms: MIN_SPEECH_MS, ..VoiceConfig::default() }),
            loudness: Loudness::with_loud_ms(MIN_SPEECH_MS),
            step: [0; STEP],
            filled: 0,
            position: 0,
            sounded: false,
            noticed: false,
        }
    }

    /// Hears one sample of the microphone while the agent is as loud as this: the root of the mean square of what its loudspeaker plays, where
    /// 1.0 is full scale, or a negative number while it says nothing. Whether the user has begun to speak over the agent.
    pub fn hear(&mut self, sample: f32, agent_rms: f32) -> bool {
        self.step[self.filled] = f32_to_i16(sample);
        self.filled += 1;
        if self.filled < STEP {
            return false;
        }
        self.filled = 0;
        self.hear_step(agent_rms)
    }

    fn hear_step(&mut self, agent_rms: f32) -> bool {
        let at = self.position;
        self.position = at.wrapping_add(STEP as u32);
        let sounds = agent_rms >= 0.0;
        if sounds && at.is_multiple_of(BLOCK) {
            // It is measured over 20 ms, of which half may be 3 dB louder: of the 16 dB that the rule leaves for an echo, 13 are sure.
            self.loudness.agent_sounded(agent_rms);
        }
        if self.sounded && !sounds {
            self.loudness.agent_is_silent(at.saturating_add(ECHO_MAX));
        }
        self.sounded = sounds;
        self.voice.attend(if sounds { Attention::Close } else { Attention::Away });
        self.voice.push_i16(&self.step, |_| {});
        let is_voiced = self.voice.is_speaking();
        let is_loud = self.loudness.hear(at, &self.step, is_voiced);
        let has_begun = is_loud && sounds && !self.noticed;
        self.noticed = is_voiced && (self.noticed || has_begun);
        has_begun
    }
}

impl Default for BargeIn {
    fn default() -> Self {
        Self::new()
    }
}

/// 2 ms: both the detector's 16 ms and the 10 ms in which loudness is measured are whole numbers of it.
const STEP: usize = 32;

/// 10 ms: for each, it is noted how loud the agent is.
const BLOCK: u32 = 160;

/// The relay waits for 80 ms of a voice, and for 60 ms in which it is loud. A hold that lasts only until the relay has decided may begin sooner.
const MIN_SPEECH_MS: u32 = 32;

/// The agent's own voice may come back as late as this after its end: 0.5 s.
const ECHO_MAX: u32 = 8_000;

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const SECOND: usize = 16_000;
    /// How loud the agent of these tests is, as the engine measures it: its voice peaks at a third of the full scale.
    const LOUD: f32 = 0.12;
    const SILENT: f32 = -1.0;

    /// Something like a voice, so many dB softer than the synthetic one is.
    fn voice(samples: usize, softer_db: f32) -> Vec<f32> {
        let gain = 10f32.powf(-softer_db / 20.0);
        (0..samples as u32).map(|at| f32::from(audio::synthetic::voice(at)) / 32_768.0 * gain).collect()
    }

    /// A room in which a click of so many samples falls every 400 ms.
    fn clicks(samples: usize, click: usize) -> Vec<f32> {
        let mut state = 7_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..samples).map(|at| noise() * if at % 6_400 < click { 0.5 } else { 0.001 }).collect()
    }

    /// At which samples somebody was noticed.
    fn noticed(barge_in: &mut BargeIn, samples: &[f32], agent_rms: f32) -> Vec<usize> {
        (0..samples.len()).filter(|at| barge_in.hear(samples[*at], agent_rms)).collect()
    }

    /// The agent has spoken for a second, and the user has been silent.
    fn spoken_to() -> BargeIn {
        let mut barge_in = BargeIn::new();
        assert!(noticed(&mut barge_in, &vec![0.0; SECOND], LOUD).is_empty());
        barge_in
    }

    #[test]
    fn a_voice_over_the_agent_is_noticed_within_an_eighth_of_a_second_and_once() {
        let found = noticed(&mut spoken_to(), &voice(3 * SECOND, 0.0), LOUD);
        let [at] = found[..] else { panic!("{found:?}") };
        assert!((960..=2_000).contains(&at), "after {at} samples");
    }

    #[test]
    fn a_voice_while_the_agent_is_silent_is_no_interruption() {
        let mut barge_in = BargeIn::new();
        assert!(noticed(&mut barge_in, &voice(3 * SECOND, 0.0), SILENT).is_empty());
    }

    #[test]
    fn the_next_voice_is_noticed_once_the_first_one_has_paused() {
        let mut barge_in = spoken_to();
        let mut times = 0;
        for pause in [SECOND / 10, SECOND, SECOND] {
            times += noticed(&mut barge_in, &voice(SECOND, 0.0), LOUD).len();
            times += noticed(&mut barge_in, &vec![0.0; pause], LOUD).len();
        }
        assert_eq!(times, 2, "a tenth of a second is no pause");
    }

    #[test]
    fn the_agents_own_voice_that_comes_back_is_nobody() {
        // Softer by 20 dB, and 150 ms late.
        let mut barge_in = BargeIn::new();
        let spoken = voice(6 * SECOND, 0.0);
        let echo = [vec![0.0; 2_400], voice(6 * SECOND - 2_400, 20.0)].concat();
        let mut found = Vec::new();
        for (said, heard) in spoken.chunks(320).zip(echo.chunks(320)) {
            let rms = (said.iter().map(|sample| sample * sample).sum::<f32>() / said.len() as f32).sqrt();
            found.extend(noticed(&mut barge_in, heard, rms));
        }
        found.extend(noticed(&mut barge_in, &voice(2_400, 20.0), SILENT));
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(noticed(&mut barge_in, &voice(SECOND, 3.0), LOUD).len(), 1, "and somebody is somebody");
    }

    #[test]
    fn clicks_are_no_voice() {
        for click in [16, 160, 640, 1_200] {
            assert!(
                noticed(&mut spoken_to(), &clicks(6 * SECOND, click), LOUD).is_empty(),
                "{click} samples"
            );
        }
    }

    #[test]
    fn pauses_between_the_agents_words_end_nothing() {
        let mut barge_in = spoken_to();
        let said = voice(SECOND, 0.0);
        let mut times = 0;
        for (index, piece) in said.chunks(320).enumerate() {
            times += noticed(&mut barge_in, piece, if index % 2 == 0 { LOUD } else { 0.0 }).len();
        }
        assert_eq!(times, 1);
    }

    #[test]
    fn what_is_no_number_is_silence() {
        let mut barge_in = spoken_to();
        assert!(noticed(&mut barge_in, &vec![f32::NAN; SECOND], LOUD).is_empty());
        assert_eq!(noticed(&mut barge_in, &voice(SECOND, 0.0), LOUD).len(), 1);
    }
}
