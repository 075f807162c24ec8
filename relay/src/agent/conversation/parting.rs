//! How a conversation ends whose money or time is used up: with its last words, and nothing after them.

use super::{Begins, Conversation};
use crate::agent::AgentOutput;
use crate::agent::utterances::Ears;

impl<E: Ears> Conversation<E> {
    /// Says the last words: when the sentence that sounds is over, or at once. What the user says from now on is understood, and not answered.
    pub(super) fn say_farewell(&mut self) {
        if std::mem::replace(&mut self.is_parting, true) {
            return;
        }
        self.quiet.pause();
        self.begins = Begins::Not;
        self.wants_to_think = false;
        self.discard_draft();
        self.thinking.give_up(&mut self.outbox);
        self.tools.leave();
        if self.floor.let_go() {
            self.outbox.push(AgentOutput::Hold(false));
        }
        match &mut self.speaking {
            Some(speaking) => speaking.end_soon(&mut self.outbox, &mut self.memory),
            None => self.outbox.end_answer(),
        }
        self.leave_unsaid();
        self.to_say.push_back((Some(self.final_through), self.persona.limit_goodbye.clone()));
        self.go_on();
    }

    /// Nothing is said any more of what waits to be said.
    pub(super) fn leave_unsaid(&mut self) {
        for (position, text) in self.to_say.drain(..) {
            self.outbox.push(AgentOutput::Unsaid { text, position });
        }
    }

    /// An answer is over. If that was the last one, the call is.
    pub(super) fn part(&mut self) {
        let is_said = self.to_say.is_empty() && !self.outbox.is_answering();
        if is_said && self.speaking.as_ref().is_none_or(|speaking| !speaking.is_busy()) {
            self.outbox.push(AgentOutput::HangUp);
        }
    }
}
