//! What somebody said, and how long the answer took.

use protocol::Role;

/// What the user or the agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The number of the turn, counted from 0 in each session in the order in which turns began, with gaps.
    pub turn: u32,
    /// Who spoke.
    pub role: Role,
    /// The words.
    pub text: String,
    /// Where the turn's audio begins, in samples of the speaker's timeline.
    pub start: u32,
    /// Where the turn's audio ends, in samples of the speaker's timeline.
    pub end: u32,
    /// The position up to which the user heard a turn of the agent, once that is known. Storing `None` leaves what is stored.
    pub heard: Option<u32>,
    /// How long each stage took. Storing a stage as `None` leaves what is stored.
    pub latency: Latency,
    /// Counts what a call has stored of its turns: a version of a turn that was stored later has a higher one, and is not replaced by an earlier one
    /// that comes late.
    pub revision: u32,
}

/// How long the stages of a turn took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// From the end of what the user said to its complete text.
    pub stt_ms: Option<u32>,
    /// From the text to the first words of the answer.
    pub llm_ms: Option<u32>,
    /// From the first words of the answer to its first sound, as the voice gives it.
    pub tts_ms: Option<u32>,
    /// From the voice's first sound until that was sent to the page.
    pub send_ms: Option<u32>,
    /// From then until the page had played something of it, as far as the relay knows.
    pub heard_ms: Option<u32>,
    /// From the end of what the user said until the first sound of the answer was sent.
    pub total_ms: Option<u32>,
}

impl Turn {
    /// A turn without what is known only later: how far it was heard, and how long its stages took.
    #[must_use]
    pub fn new(turn: u32, role: Role, text: String, start: u32, end: u32) -> Turn {
        Turn { turn, role, text, start, end, heard: None, latency: Latency::default(), revision: 0 }
    }

    /// Takes what a later version says. As in the store, what that leaves open stays.
    pub(super) fn replace_with(&mut self, later: Turn) {
        let (heard, earlier) = (self.heard, self.latency);
        *self = later;
        self.heard = self.heard.or(heard);
        self.latency = Latency {
            stt_ms: self.latency.stt_ms.or(earlier.stt_ms),
            llm_ms: self.latency.llm_ms.or(earlier.llm_ms),
            tts_ms: self.latency.tts_ms.or(earlier.tts_ms),
            send_ms: self.latency.send_ms.or(earlier.send_ms),
            heard_ms: self.latency.heard_ms.or(earlier.heard_ms),
            total_ms: self.latency.total_ms.or(earlier.total_ms),
        };
    }

    /// How long the stages took, as the message for the page.
    pub(super) fn told_latency(&self) -> protocol::Latency {
        let Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms } = self.latency;
        protocol::Latency { seq: 0, turn: self.turn, stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms }
    }
}
