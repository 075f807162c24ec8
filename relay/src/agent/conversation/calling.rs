//! What a conversation does with the tools that its model calls: it waits, says something meanwhile, and goes on.

use super::{Author, Begins, Conversation, Tools};
use crate::agent::tool::{StoredCall, Toolbox};
use crate::agent::utterances::Ears;
use crate::provider::ToolCall;

impl<E: Ears> Conversation<E> {
    /// The same with tools, and with what was called earlier in its session, oldest first.
    #[must_use]
    pub fn with_tools(mut self, toolbox: Toolbox, stored: &[StoredCall]) -> Conversation<E> {
        stored.iter().for_each(|call| self.memory.restore(call));
        self.tools = Tools::new(toolbox, stored);
        if self.memory.is_unanswered(self.persona.language()) {
            self.begins = Begins::WithAnswer;
        }
        self
    }

    /// The model has called these: its answer goes on when something has come of all of them.
    pub(super) fn call_tools(&mut self, calls: Vec<ToolCall>) {
        // Half a sentence before a call is not left unsaid until the call is over.
        if let Some(speaking) = &mut self.speaking {
            speaking.end_part(&mut self.outbox, &mut self.memory);
        }
        if !self.tools.call(self.now, calls, &mut self.outbox, &mut self.memory) {
            // It may not call anything any more, and was not offered anything.
            if self.has_answered { self.end_answer() } else { self.apologise() }
        }
    }

    /// Asks the model for what comes next when something has come of every call that its answer waits for; and for an answer of its own
    /// when something has come that none has waited for, and it is quiet.
    pub(super) fn go_on_after_calls(&mut self) {
        if self.tools.take_ready() {
            if !self.wants_to_think {
                return self.ask_model();
            }
            // What was said since, over an answer that could not be interrupted, is answered together with this, after it and once it is whole.
            self.tools.is_heard();
            self.end_answer();
            return;
        }
        if self.has_late_results() && !self.question_waits() {
            self.memory.has_come();
            self.wants_to_think = true;
        }
    }

    /// Whether something has come that no answer has waited for, and the agent does nothing else.
    pub(super) fn has_late_results(&self) -> bool {
        let is_idle =
            !self.is_speaking() && !self.is_finding() && !self.wants_to_think && self.to_say.is_empty();
        is_idle && self.tools.is_late()
    }

    /// Goes on with the calls that were under way at another relay, before anything else.
    pub(super) fn go_on_with_calls(&mut self) {
        if self.tools.has_stored() {
            let is_awaited = self.memory.ends_in_calls();
            self.tools.resume(self.now, is_awaited, &mut self.outbox, &mut self.memory);
            if self.tools.is_awaited() {
                // As at the relay that made them, nobody is asked whether they are there before they are answered.
                self.quiet.pause();
            }
        }
    }

    /// Ends calls that take too long, and says something where nothing is heard.
    pub(super) fn handle_tools_timeout(&mut self) {
        self.tools.handle_timeout(self.now, &mut self.outbox, &mut self.memory);
        let Some(speaking) = &self.speaking else { return self.tools.is_heard() };
        // Nobody is talked over, either.
        let is_coming = self.is_user_heard || !speaking.is_still();
        if let Some(filler) = self.tools.fill(self.now, is_coming).map(str::to_owned) {
            self.give(&filler, Author::Aside);
            if let Some(speaking) = &mut self.speaking {
                speaking.end_part(&mut self.outbox, &mut self.memory);
            }
        }
    }

    /// Whether an answer is being found.
    pub(super) fn is_finding(&self) -> bool {
        self.thinking.is_busy() || self.tools.is_awaited()
    }
}
