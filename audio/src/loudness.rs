//! Voices and echoes, told apart by how loud they are.

use std::collections::VecDeque;

/// A block of the user, and its samples.
const BLOCK_MS: u32 = 10;
const BLOCK: usize = 160;
/// Blocks in which a voice has to be found: 200 ms.
const WINDOW: u32 = 20;
/// For so long of those it has to be loud.
const LOUD_MS: u32 = 60;
/// An echo that is softer than the agent by more than this is none: 16 dB, as a ratio of powers.
const ECHO: f32 = 0.025;
/// The softest block that can be a voice, whatever the agent does: -50 dB of full scale, as power of 16-bit samples.
const SOFTEST: f32 = 10_737.0;
/// What is louder than this is somebody close by, whatever a room is like: -36 dB of full scale, as power of 16-bit samples.
const CLOSE: f32 = 269_704.0;
/// A sound that is known may vary so much: 3 dB, as a ratio of powers.
const VARIES: f32 = 2.0;
/// How much of what the agent has sounded is looked at, in hundredths of a second. A relay sends it up to 2 s before it is heard.
const LOOKED_AT: usize = 300;
/// A voice that pauses for longer than this, 300 ms, does not go on.
const PAUSE: u32 = 4_800;
/// What a detector of voice looks back, 250 ms: what was loud before that is part of no voice that it finds.
const LOOK_BACK: u32 = 4_000;

/// Whether the user is louder than an echo of the agent would be.
///
/// What comes back of the agent through the user's loudspeaker, microphone and echo canceller is a softer copy of what was played. So while the
/// agent sounds, only blocks of 10 ms count that are louder than 16 dB below the loudest block of the agent's last 3 s, and of those 60 ms
/// within 200 unless it is [made](Self::with_loud_ms) with fewer. Positions are samples at 16 kHz in the user's timeline; all that it allocates is 300 numbers.
#[derive(Debug)]
pub struct Loudness {
    /// How many blocks have to be loud.
    run: u32,
    /// Power of the agent's last blocks of 10 ms.
    agent: VecDeque<f32>,
    /// Of the agent's block that is not whole yet: the sum of squares, and samples.
    agent_block: (f32, u32),
    /// The agent is silent, and its echo has faded here.
    faded: Option<u32>,
    /// The user's block that is not whole yet: the sum of squares, and samples.
    block: (f32, usize),
    /// Which of the user's last blocks were loud, the newest in the lowest bit.
    loud: u32,
    /// Where the last loud block ends.
    last_loud: Option<u32>,
    /// From where to where the last voice was heard.
    voice: Option<(u32, u32)>,
    /// From where to where the user has been loud without a pause.
    burst: Option<(u32, u32)>,
    /// The loudest block of that.
    loudest: f32,
    /// What is no louder than this is a sound that has had no words, until there is none.
    known: f32,
}

impl Loudness {
    /// One for which a voice has to be loud for so long within 200 ms, in whole hundredths of a second; 60 ms by default.
    #[must_use]
    pub fn with_loud_ms(ms: u32) -> Self {
        Loudness {
            run: ms / BLOCK_MS,
            agent: VecDeque::new(),
            agent_block: (0.0, 0),
            faded: None,
            block: (0.0, 0),
            loud: 0,
            last_loud: None,
            voice: None,
            burst: None,
            loudest: 0.0,
            known: 0.0,
        }
    }

    /// The agent is to sound like this, at so many samples a second.
    pub fn agent_sounds(&mut self, samples: &[i16], rate: u32) {
        self.faded = None;
        for sample in samples {
            self.agent_block.0 += f32::from(*sample) * f32::from(*sample);
            self.agent_block.1 += 1;
            if self.agent_block.1 >= rate / 100 {
                let (sum, count) = std::mem::take(&mut self.agent_block);
                self.note_agent(sum / count as f32);
            }
        }
    }

    /// The same for whoever does not have the samples: the agent has sounded like this for another 10 ms, with this root of the mean square,
    /// where 1.0 is full scale.
    pub fn agent_sounded(&mut self, rms: f32) {
        self.faded = None;
        let rms = rms * 32_768.0;
        self.note_agent(rms * rms);
    }

    /// The agent is silent, and nothing of it comes back from this position on.
    pub fn agent_is_silent(&mut self, faded: u32) {
        self.faded = Some(faded);
    }

    /// Audio of the user, in which a detector finds a voice or not. Whether it has one that is louder than an echo would be.
    pub fn hear(&mut self, position: u32, samples: &[i16], is_voiced: bool) -> bool {
        let end = position.saturating_add(samples.len() as u32);
        if self.faded.is_some_and(|faded| faded <= position) {
            self.agent.clear();
            self.faded = None;
        }
        let softest = self.agent.iter().fold(0.0, |loudest: f32, power| loudest.max(*power)) * ECHO;
        if !is_voiced {
            self.known = 0.0;
        }
        let softest = softest.max(SOFTEST).max(self.known);
        let mut has_loud = false;
        for (index, sample) in samples.iter().enumerate() {
            self.block.0 += f32::from(*sample) * f32::from(*sample);
            self.block.1 += 1;
            if self.block.1 == BLOCK {
                let (sum, _) = std::mem::take(&mut self.block);
                let power = sum / BLOCK as f32;
                let is_loud = power > softest;
                self.loud = self.loud << 1 | u32::from(is_loud);
                if is_loud {
                    has_loud = true;
                    self.note_loud(position.saturating_add(index as u32 + 1), power);
                }
            }
        }
        if !is_voiced {
            let earliest = end.saturating_sub(LOOK_BACK);
            self.burst = self.burst.map(|(from, to)| (from.max(earliest).min(to), to));
        }
        let run = (self.loud & ((1 << WINDOW) - 1)).count_ones();
        let has_voice = is_voiced && has_loud && run >= self.run;
        if has_voice {
            let goes_on = self.voice.filter(|(_, to)| to.saturating_add(PAUSE) >= position);
            self.voice = goes_on.or(self.burst).map(|(from, _)| (from, end));
        }
        if self.burst.is_some_and(|(_, to)| to.saturating_add(PAUSE) < end) {
            self.burst = None;
        }
        has_voice
    }

    /// The sound that goes on is no voice, however long it goes on.
    pub fn get_used_to_it(&mut self) {
        self.known = self.known.max(self.loudest * VARIES);
        self.burst = None;
    }

    /// For how many samples the user has been loud without a pause.
    #[must_use]
    pub fn goes_on(&self) -> u32 {
        self.burst.map_or(0, |(from, to)| to - from)
    }

    /// Whether somebody close by is loud, or was no longer ago than a voice pauses. No detector has to look for a voice for that.
    #[must_use]
    pub fn is_close(&self) -> bool {
        self.loudest > CLOSE && self.goes_on() >= LOUD_MS * 16
    }

    /// Whether anything loud was heard after this position.
    #[must_use]
    pub fn was_loud_since(&self, position: u32) -> bool {
        self.last_loud.is_some_and(|last| last > position)
    }

    /// Whether the last voice was heard between these positions.
    #[must_use]
    pub fn had_voice_between(&self, start: u32, end: u32) -> bool {
        self.voice.is_some_and(|(from, to)| to > start && from < end)
    }

    fn note_agent(&mut self, power: f32) {
        if self.agent.len() == LOOKED_AT {
            self.agent.pop_front();
        }
        self.agent.push_back(power);
    }

    fn note_loud(&mut self, end: u32, power: f32) {
        self.last_loud = Some(end);
        let begins = end.saturating_sub(BLOCK as u32);
        self.burst = Some(match self.burst {
            Some((from, to)) if to.saturating_add(PAUSE) >= begins => {
                self.loudest = self.loudest.max(power);
                (from, end)
            }
            _ => {
                self.loudest = power;
                (begins, end)
            }
        });
    }
}

impl Default for Loudness {
    fn default() -> Self {
        Self::with_loud_ms(LOUD_MS)
    }
}
