//! What an administrator has the agent told, from outside of the call.

use protocol::TEXT_MAX_CHARS;

use super::{Call, Output};
use crate::agent::AgentInput;

/// Something that an administrator has the agent told. It has no place among the frames of the user, and comes behind what the agent has been
/// told by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it is known by.
    pub id: String,
    /// What the agent is to do with the words.
    pub kind: CommandKind,
    /// The words.
    pub text: String,
}

/// What the agent is to do with what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// It says the words as they are.
    Say {
        /// At once, whatever it is saying.
        interrupt: bool,
    },
    /// It knows them, and need not answer.
    Context,
}

/// Why the agent is not told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTold {
    /// The call ends, or has ended.
    CallEnded,
    /// The call leaves its relay, and nobody knows yet where it goes on.
    CallMoved,
    /// The agent says nothing that it is told to, and need know nothing.
    AgentCannot,
    /// As much waits to be said as there is room for.
    QueueFull,
    /// The text is longer than an agent is told.
    TooLong,
}

impl CommandKind {
    /// The word in tables and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CommandKind::Say { .. } => "say",
            CommandKind::Context => "context",
        }
    }
}

impl NotTold {
    /// The word in tables and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NotTold::CallEnded => "call_ended",
            NotTold::CallMoved => "call_moved",
            NotTold::AgentCannot => "agent_cannot",
            NotTold::QueueFull => "queue_full",
            NotTold::TooLong => "too_long",
        }
    }
}

impl Call {
    /// Tells the agent what an administrator wants it to be told, as it would be told the same by the page, and says what has become of that.
    pub(super) fn handle_command(&mut self, command: &Command) {
        let told = match self.why_not_told(command) {
            Some(why) => Err(why),
            None => {
                let text = &command.text;
                self.tell_agent(match command.kind {
                    // The page does not send it again.
                    CommandKind::Say { interrupt } => AgentInput::Say { position: None, text, interrupt },
                    CommandKind::Context => AgentInput::Context { position: self.expected.position, text },
                });
                Ok(())
            }
        };
        self.outputs.push_back(Output::NoteCommand { id: command.id.clone(), told });
    }

    /// Why the agent is not told this now, if it is not.
    fn why_not_told(&self, command: &Command) -> Option<NotTold> {
        let ends = self.ending.is_some() || self.hung_up.is_some() || self.farewell.is_some();
        if ends {
            return Some(NotTold::CallEnded);
        }
        if command.text.chars().count() > TEXT_MAX_CHARS {
            return Some(NotTold::TooLong);
        }
        match (self.agent.room_to_say(), command.kind) {
            (None, _) => Some(NotTold::AgentCannot),
            (Some(0), CommandKind::Say { .. }) => Some(NotTold::QueueFull),
            (Some(_), CommandKind::Say { .. } | CommandKind::Context) => None,
        }
    }
}
