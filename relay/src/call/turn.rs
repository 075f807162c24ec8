//! What somebody said, and how long the answer took.

use protocol::Role;

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Counts the turns of the session.
    pub turn: u32,
    /// Who spoke.
    pub role: Role,
    /// The words.
    pub text: String,
    /// Where its audio begins, in samples of the speaker's timeline.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Up to where the user heard it, if it is the agent's and known. `None` leaves what is stored.
    pub heard: Option<u32>,
    /// How long each stage took. What is `None` leaves what is stored.
    pub latency: Latency,
}

/// How long the stages of a turn took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// From the end of what was said to its final text.
    pub stt_ms: Option<u32>,
    /// From the text to the first words of the answer.
    pub llm_ms: Option<u32>,
    /// From those to their first sound.
    pub tts_ms: Option<u32>,
    /// From the end of what was said to the first sound of the answer.
    pub total_ms: Option<u32>,
}

impl Turn {
    /// What somebody has said, as far as is known.
    #[must_use]
    pub fn new(turn: u32, role: Role, text: String, start: u32, end: u32) -> Turn {
        Turn { turn, role, text, start, end, heard: None, latency: Latency::default() }
    }

    /// How long it took, as the page is told.
    pub(super) fn told_latency(&self) -> protocol::Latency {
        let Latency { stt_ms, llm_ms, tts_ms, total_ms } = self.latency;
        protocol::Latency { seq: 0, turn: self.turn, stt_ms, llm_ms, tts_ms, total_ms }
    }
}
