//! How a call ends, and what it waits for before that.

use std::time::Duration;

use protocol::{CloseCode, ErrorCode};

use super::{Call, Output};
use crate::NanoUsd;
use crate::agent::AgentInput;

/// After the user has hung up, the last of what they said is understood within this time, or not at all.
const UNDERSTOOD_WITHIN: Duration = Duration::from_secs(3);

impl Call {
    /// Tells the agent that no audio comes for now.
    pub(super) fn pause(&mut self) {
        self.tell_agent(AgentInput::Pause);
    }

    /// The user has hung up: nothing is answered any more, but the last of what they said is wanted in the record.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = Some(self.now + UNDERSTOOD_WITHIN);
        self.pause();
    }

    /// Ends a call whose user has hung up, once all that they said is understood, or nobody understands it in time.
    pub(super) fn leave_when_understood(&mut self) {
        let Some(due) = self.hung_up.filter(|_| self.ending.is_none()) else { return };
        if !self.is_understood() {
            if !self.wanted.is_empty() {
                // A recogniser waits for money, which is not its fault. Should none be there in time, the session ends in another way.
                self.hung_up = Some(self.now + UNDERSTOOD_WITHIN);
                return;
            }
            if self.now < due {
                return;
            }
            self.outputs.push_back(Output::Trouble(ErrorCode::AgentUnavailable));
        }
        self.raise_committable(self.expected.position);
        self.stop(CloseCode::Normal);
    }

    /// Whether the agent has nothing left to understand.
    fn is_understood(&self) -> bool {
        self.committable.position >= self.expected.position
    }

    /// Gives up all requests of providers, and puts what they cost on the tab.
    pub(super) fn give_up_requests(&mut self) {
        self.tell_agent(AgentInput::Leave);
        self.wanted.clear();
        self.soon = NanoUsd::ZERO;
        self.tab.settle_rest();
    }

    /// Finishes the answer, settles everything, and ends the call as soon as that is written.
    pub(super) fn stop(&mut self, code: CloseCode) {
        self.ending = Some(code);
        self.pause();
        self.finish_answer();
        self.give_up_requests();
        self.settle_and_release();
    }
}
