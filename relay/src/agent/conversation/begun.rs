//! Turns of the user from where they begin: the call is told of each at once, so that it has its place in the order of speaking.
//!
//! Where a recogniser hears everything, its sign begins a turn, and without one the first words do. Where utterances are recognised one at a time,
//! each of them is a turn from its first sound on, and several may wait to be understood. A turn is over with what was understood, or with nothing:
//! a cough, silence, the agent's own voice.

use std::collections::VecDeque;

use super::Conversation;
use super::hearing::Hearing;
use crate::agent::AgentOutput;
use crate::agent::utterances::Ears;

/// Where the turns began of which nothing whole was understood yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Begun(VecDeque<u32>);

impl<E: Ears> Conversation<E> {
    /// Somebody is heard from here on.
    pub(super) fn somebody_begins(&mut self, at: u32) {
        if !matches!(self.hearing, Some(Hearing::Spoken(_))) {
            // A recogniser gives a sign after each pause. In the midst of words that is no other turn; and where no words have come since the last
            // sign, none will.
            if self.is_user_speaking {
                return;
            }
            self.drop_turns_before(u32::MAX);
        }
        self.begin_turn(at);
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self, at: u32) {
        self.begun.0.push_back(at);
        self.outbox.push(AgentOutput::TurnBegan { at });
    }

    /// There are words, which begin here. A turn of which there was no sign begins with them.
    pub(super) fn begin_with_words(&mut self, start: u32) {
        if self.begun.0.is_empty() {
            self.begun.0.push_back(start);
        }
    }

    /// The oldest turn is whole.
    pub(super) fn end_oldest_turn(&mut self) {
        self.begun.0.pop_front();
    }

    /// Nothing has come of the oldest turn.
    pub(super) fn drop_oldest_turn(&mut self) {
        if let Some(at) = self.begun.0.pop_front() {
            self.outbox.push(AgentOutput::TurnDropped { at });
        }
    }

    /// Nothing has come of the turn that began here.
    pub(super) fn drop_turn(&mut self, at: u32) {
        if let Some(place) = self.begun.0.iter().position(|begun| *begun == at) {
            self.begun.0.remove(place);
            self.outbox.push(AgentOutput::TurnDropped { at });
        }
    }

    /// Nothing comes any more of turns that began before this position.
    pub(super) fn drop_turns_before(&mut self, through: u32) {
        while self.begun.0.front().is_some_and(|at| *at < through) {
            self.drop_oldest_turn();
        }
    }
}
