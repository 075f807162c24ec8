//! How a conversation begins: with its greeting, or with an answer that was not given before.

use std::time::Duration;

use protocol::{ErrorCode, Time};

use super::{Author, Conversation};
use crate::agent::AgentOutput;
use crate::agent::utterances::Ears;

/// How long a greeting waits for what the page may have to say to it: a page says it as soon as it is connected.
const GREETING_WAITS: Duration = Duration::from_secs(2);

/// How it is to begin, as long as it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    Not,
    WithGreeting,
    /// With its greeting, once the page has given the values that are missing in it, and at this time in any case.
    WhenGreetingIsWhole(Time),
    WithAnswer,
}

impl<E: Ears> Conversation<E> {
    pub(super) fn begin(&mut self, now: Time) {
        match self.begins {
            Begins::Not => {}
            // It is made when something has come of the calls that it waits for.
            Begins::WithAnswer => {
                self.begins = Begins::Not;
                self.wants_to_think = !self.tools.is_awaited();
            }
            Begins::WithGreeting if self.variables.awaits(&self.persona.greeting) => {
                self.begins = Begins::WhenGreetingIsWhole(now + GREETING_WAITS);
            }
            Begins::WhenGreetingIsWhole(due) if now < due => {}
            Begins::WithGreeting | Begins::WhenGreetingIsWhole(_) => self.greet(),
        }
    }

    fn greet(&mut self) {
        self.begins = Begins::Not;
        let greeting = self.variables.fill(&self.persona.greeting);
        if !greeting.is_empty() {
            self.floor.greet();
            self.give(&greeting, Author::Others);
            self.end_answer();
        }
    }

    /// The page sets values. It is told if there is one that it may not set; the others are set.
    pub(super) fn set(&mut self, values: &[(String, String)]) {
        let mut is_good = true;
        for (name, value) in values {
            is_good &= self.variables.set(name, value);
        }
        if !is_good {
            self.outbox.push(AgentOutput::Trouble(ErrorCode::VariableUnknown));
        }
        if matches!(self.begins, Begins::WhenGreetingIsWhole(_))
            && !self.variables.awaits(&self.persona.greeting)
        {
            self.greet();
        }
    }
}
