//! How a conversation begins: with its greeting, with an answer that was not given before, or with words that nobody heard.

use std::time::Duration;

use protocol::{ErrorCode, Time};

use super::{Author, Conversation, Persona, TO_SAY_MAX};
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
    /// With what another relay had said and nobody heard, which waits to be said.
    WithWords,
}

impl<E: Ears> Conversation<E> {
    /// The same after another relay has said these words, of which nobody heard anything: a greeting, or what the agent was told to say. They are
    /// said again, unless the user is to be answered: then a model is asked anew. What breaks a silence or ends a call is said when that is due.
    #[must_use]
    pub fn with_unheard(mut self, unheard: &[String]) -> Conversation<E> {
        if self.begins == Begins::WithAnswer {
            return self;
        }
        let Persona { patience, limit_goodbye, .. } = &self.persona;
        let when_due = [&patience.question, &patience.goodbye, limit_goodbye];
        let position = self.final_through;
        let again = unheard.iter().filter(|words| !when_due.contains(words)).take(TO_SAY_MAX);
        self.to_say.extend(again.map(|words| (Some(position), words.clone())));
        if !self.to_say.is_empty() {
            if self.begins == Begins::WithGreeting {
                self.floor.greet();
            }
            self.begins = Begins::WithWords;
        }
        self
    }

    pub(super) fn begin(&mut self, now: Time) {
        match self.begins {
            Begins::Not => {}
            // It is made when something has come of the calls that it waits for.
            Begins::WithAnswer => {
                self.begins = Begins::Not;
                self.wants_to_think = !self.tools.is_awaited();
            }
            Begins::WithWords => {
                self.begins = Begins::Not;
                self.go_on();
            }
            Begins::WithGreeting if self.variables.awaits(&self.persona.greeting) => {
                self.begins = Begins::WhenGreetingIsWhole(now + GREETING_WAITS);
            }
            Begins::WhenGreetingIsWhole(due) if now < due => {}
            // What is being said meanwhile is heard to its end.
            Begins::WithGreeting | Begins::WhenGreetingIsWhole(_) if !self.may_speak() => {}
            Begins::WithGreeting | Begins::WhenGreetingIsWhole(_) => self.greet(),
        }
    }

    /// When it begins. A greeting that waits for what is being said begins when that is over, and not by time.
    pub(super) fn due_to_begin(&self) -> Option<Time> {
        match self.begins {
            Begins::Not => None,
            Begins::WithAnswer | Begins::WithWords => Some(Time::ZERO),
            Begins::WithGreeting => self.may_speak().then_some(Time::ZERO),
            Begins::WhenGreetingIsWhole(due) => self.may_speak().then_some(due),
        }
    }

    /// Whether it is to begin with its greeting.
    pub(super) fn is_to_greet(&self) -> bool {
        matches!(self.begins, Begins::WithGreeting | Begins::WhenGreetingIsWhole(_))
    }

    /// Whether a greeting is to come that is to be heard, whatever the user says or types.
    pub(super) fn owes_greeting(&self) -> bool {
        self.is_to_greet() && self.floor.keeps_greeting()
    }

    /// Whether such a greeting is given, even if it does not sound yet.
    pub(super) fn is_greeting_kept(&self) -> bool {
        self.floor.is_greeting() && self.floor.keeps_greeting() && self.is_speaking()
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
            self.begins = Begins::WithGreeting;
            self.begin(self.now);
        }
    }
}
