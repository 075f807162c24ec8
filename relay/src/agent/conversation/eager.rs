//! Answers that are prepared: a recogniser that finds turns itself says that one may be over before it is sure, and the model is asked then.
//!
//! Nothing of such a draft is told, spoken or remembered until the turn is over with the same words. If the user goes on, or has said
//! something else in the end, it is thrown away, and what it has used is on the bill as used for nothing.

use super::Conversation;
use super::thinking::Thought;
use crate::agent::Means;
use crate::agent::utterances::Ears;

/// So often in one turn of the user an answer is prepared.
const TRIES_MAX: u32 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Eager {
    draft: Option<Draft>,
    /// Drafts that were begun in this turn of the user.
    tries: u32,
}

/// An answer that may not be wanted.
#[derive(Debug)]
struct Draft {
    /// What the user has said, if the turn is over.
    said: String,
    /// The answer so far.
    text: String,
    /// The model says that it stops.
    has_stopped: bool,
    /// What has come of it in the end.
    outcome: Option<Thought>,
}

impl Eager {
    /// The user's turn is over.
    pub(super) fn next_turn(&mut self) {
        self.tries = 0;
    }
}

impl<E: Ears> Conversation<E> {
    /// The user's turn may be over, and be this.
    pub(super) fn prepare(&mut self, said: String) {
        let is_turn = self.is_user_speaking && !self.is_turn_longer();
        let is_wise = self.means == Means::Ample && self.eager.tries < TRIES_MAX;
        if !is_turn || !is_wise || self.has_draft() || !self.may_answer() {
            return;
        }
        self.tools.begin_turn();
        let messages = self.memory.messages_with(&self.variables.fill(&self.persona.instructions), &said);
        if self.thinking.prepare(messages, self.tools.offers(), &mut self.outbox) {
            self.eager.tries += 1;
            self.eager.draft = Some(Draft { said, text: String::new(), has_stopped: false, outcome: None });
        }
    }

    pub(super) fn has_draft(&self) -> bool {
        self.eager.draft.is_some()
    }

    /// Whether a draft answers these words.
    pub(super) fn is_drafted(&self, said: &str) -> bool {
        self.eager.draft.as_ref().is_some_and(|draft| draft.said == said)
    }

    /// Keeps what comes of a draft, and gives back what comes of any other answer.
    pub(super) fn keep_in_draft(&mut self, thought: Thought) -> Option<Thought> {
        let Some(draft) = &mut self.eager.draft else { return Some(thought) };
        match thought {
            Thought::Words(text) => {
                draft.text.push_str(&text);
                if self.thinking.is_too_long() {
                    // It does not keep to what it was asked for.
                    self.discard_draft();
                }
            }
            Thought::Stopped => draft.has_stopped = true,
            outcome => draft.outcome = Some(outcome),
        }
        None
    }

    /// Whether there is a draft for a turn that is over and was this. Of any other nothing is left.
    pub(super) fn use_draft(&mut self, said: &str) -> bool {
        let fits = self.is_drafted(said) && self.may_answer();
        // A model that has failed is asked again, and another one after it.
        let has_failed = |draft: &Draft| matches!(draft.outcome, Some(Thought::Failed(_)));
        let fits = fits && !self.eager.draft.as_ref().is_some_and(has_failed);
        if !fits {
            self.discard_draft();
        }
        fits
    }

    /// The user has taken this turn, and its answer is there, as far as it has come.
    pub(super) fn take_turn_with_draft(&mut self, text: String, start: u32, end: u32, words_end: u32) {
        let Some(Draft { text: answer, has_stopped, outcome, .. }) = self.eager.draft.take() else { return };
        self.take_turn(text, start, end, words_end);
        self.wants_to_think = false;
        self.has_answered = false;
        self.quiet.pause();
        self.thinking.confirm(&mut self.outbox);
        if !answer.is_empty() {
            self.take_thought(Thought::Words(answer));
        }
        if has_stopped {
            self.take_thought(Thought::Stopped);
        }
        if let Some(outcome) = outcome {
            self.take_thought(outcome);
        }
    }

    /// The draft is not wanted, if there is one.
    pub(super) fn discard_draft(&mut self) {
        if self.eager.draft.take().is_some() {
            self.thinking.discard(&mut self.outbox);
        }
    }

    /// Whether an answer could be given now: nothing else is being said, found or waited for.
    fn may_answer(&self) -> bool {
        let finds = !self.has_draft() && self.thinking.is_busy();
        let waits = self.tools.is_awaited() || self.tools.is_late() || self.wants_to_think;
        let says = self.is_speaking() || !self.to_say.is_empty() || self.owes_greeting();
        !says && !finds && !waits && !self.is_parting
    }
}
