//! What an agent is: it hears the user and answers.

mod echo;

use protocol::Time;

pub use echo::Echo;

/// What an agent is told.
#[derive(Clone, Copy, Debug)]
pub enum AgentInput<'a> {
    /// Audio of the user: 16 kHz, each sample once, in order.
    Audio {
        /// Place of the first sample in the user's timeline.
        position: u32,
        /// The samples.
        samples: &'a [i16],
    },
    /// Audio of the user that is lost for good.
    Gap {
        /// Where it began.
        position: u32,
        /// Where the audio goes on.
        end: u32,
    },
    /// Nothing more comes for now (muted, hung up): what was being said is complete.
    Pause,
}

/// What an agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentOutput {
    /// The user speaks, since this position. Nothing from here on is settled until [`AgentOutput::Said`].
    SpeechStarted {
        /// Where the speech began.
        at: u32,
    },
    /// The user has said something, whole.
    Said {
        /// The words, or a description of them.
        text: String,
        /// Where they begin.
        start: u32,
        /// Where they end.
        end: u32,
    },
    /// Nothing before this position will be part of any later [`AgentOutput::Said`].
    Settled {
        /// The position.
        through: u32,
    },
    /// The answer, whole, at the agent's rate.
    Reply {
        /// Its words.
        text: String,
        /// Its sound.
        audio: Vec<i16>,
    },
}

/// Hears the user and answers. A machine like any other: one input, then [`Agent::poll_output`] until it is empty.
pub trait Agent: Send {
    /// The name in the session record.
    fn name(&self) -> &'static str;

    /// Samples a second of [`AgentOutput::Reply`].
    fn rate(&self) -> u32;

    /// One thing happened.
    fn handle_input(&mut self, now: Time, input: AgentInput<'_>);

    /// The next thing it does.
    fn poll_output(&mut self) -> Option<AgentOutput>;
}
