//! What administrators have the agents of live sessions told: rows that the relay which has the session reads.

use crate::call::{CommandKind, NotTold};

/// How many commands may wait for one session.
pub const COMMANDS_MAX: u32 = 8;

/// Something that an agent is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// What it is known by. A command that is there is not given again.
    pub id: String,
    /// What it is to do with the words.
    pub kind: CommandKind,
    /// The words.
    pub text: String,
    /// The administrator.
    pub by: String,
}

/// What comes of giving a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It waits for the relay that has the session, under this id.
    Waits(String),
    /// As many wait as may ([`COMMANDS_MAX`]).
    Full,
    /// The session has ended.
    Ended,
    /// There is no such session.
    NoSession,
}

/// What has become of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Nothing yet: it waits for the relay that has the session, or for that relay's word.
    Waiting,
    /// The agent was told.
    Done,
    /// The agent was not told: [`NotTold::name`], or a word of a newer version.
    Refused(String),
    /// A relay has taken it and said nothing of it since: the agent may have been told. Nobody tells it again.
    Unknown,
}

impl CommandOutcome {
    /// The outcome of a command whose session has ended before a relay took it.
    #[must_use]
    pub fn of_ended() -> CommandOutcome {
        CommandOutcome::Refused(NotTold::CallEnded.name().to_owned())
    }
}
