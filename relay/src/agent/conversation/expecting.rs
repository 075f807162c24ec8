//! Which requests a conversation is likely to make soon, so that there is money for them by then: a turn waits for no database.
//!
//! While the user speaks, that is the question to the model and the first sentence of its answer; while an answer is being found, another
//! sentence. Nothing is expected while nobody says anything.

use super::Conversation;
use super::speaking::Speaking;
use crate::agent::AgentOutput;
use crate::agent::utterances::Ears;

/// Bytes that a user says in a turn, as is expected: two minutes of it. A longer one may have to wait.
const TURN_BYTES: u64 = 2_000;

/// What is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expecting {
    /// No request.
    #[default]
    Nothing,
    /// A question, and the first sentence of its answer.
    Answer,
    /// A sentence.
    Sentence,
}

impl<E: Ears> Conversation<E> {
    /// Says what is expected now, if that is something else than before.
    pub(super) fn expect(&mut self) {
        let expecting = if self.is_parting {
            Expecting::Nothing
        } else if self.is_user_heard || self.wants_to_think {
            Expecting::Answer
        } else if self.is_finding() && self.speaking.is_some() {
            Expecting::Sentence
        } else {
            Expecting::Nothing
        };
        if expecting == std::mem::replace(&mut self.expecting, expecting) {
            return;
        }
        let mut requests = Vec::new();
        if expecting == Expecting::Answer {
            let messages = self.memory.messages(&self.variables.fill(&self.persona.instructions));
            requests.extend(self.thinking.expects(self.means, &messages, &self.tools.offers(), TURN_BYTES));
        }
        if expecting != Expecting::Nothing {
            requests.extend(self.speaking.as_ref().and_then(Speaking::expects));
        }
        self.outbox.push(AgentOutput::Expect(requests));
    }
}
