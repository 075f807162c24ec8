//! How a call ends, and what it waits for before that.

use std::time::Duration;

use protocol::{CloseCode, ErrorCode, Reaction, Role};

use super::{Call, Output, Turn};
use crate::NanoUsd;
use crate::agent::AgentInput;
use crate::money::tab::Billed;

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
            self.outputs.push_back(Output::Trouble(ErrorCode::NotHeard));
        }
        self.raise_committable(self.expected.position);
        self.stop(CloseCode::Normal);
    }

    /// Whether the call can go on elsewhere without anybody noticing: nobody speaks, everything that was said is answered and was heard, nothing
    /// waits, and the call does not end anyway.
    #[must_use]
    pub fn is_between_turns(&self) -> bool {
        let waits = !self.delayed.is_empty()
            || !self.wanted.is_empty()
            || !self.calls.is_empty()
            || !self.typed.is_empty();
        let ends = self.hung_up.is_some() || self.ending.is_some() || self.farewell.is_some();
        self.answer.is_none() && self.over.is_empty() && !waits && !ends && self.agent.is_between_turns()
    }

    /// Whether the agent has nothing left to understand.
    fn is_understood(&self) -> bool {
        self.committable.position >= self.expected.position
    }

    /// Gives up all requests of providers, and puts what they cost on the tab.
    pub(super) fn give_up_requests(&mut self) {
        self.tell_agent(AgentInput::Leave);
        self.puts_off = false;
        self.wanted.clear();
        self.soon = NanoUsd::ZERO;
        self.tab.settle_rest();
    }

    /// The call is over at this relay, with everything settled, and recognisers have said since what they bill: settles what follows from that, if
    /// anything does. Nothing else of the call goes on.
    pub fn settle_late(&mut self, billed: &[Billed]) {
        for billed in billed {
            self.tab.correct(billed);
        }
        if self.tab.is_unrowed() {
            self.settle_and_release();
        }
    }

    /// Whether something was said of requests that no settlement has yet.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.tab.is_unrowed()
    }

    /// Ends the call as soon as everything is written.
    pub(super) fn stop(&mut self, code: CloseCode) {
        self.wind_up(code);
        self.settle_and_release();
    }

    /// The call ends: the answer is finished, and nothing is answered any more. What waits behind audio that was not paid for is not
    /// committed: the client tells it back.
    pub(super) fn wind_up(&mut self, code: CloseCode) {
        // Set first, so that the agent does not answer the user's last words.
        self.ending = Some(code);
        self.puts_off = self.is_sent_again();
        self.pause();
        self.take_back_unconfirmed();
        self.shorten_answer();
        self.finish_answer();
        self.give_up_requests();
        let typed = self.typed.back().map(|(mark, _)| mark.position);
        if let Some(position) = typed.filter(|_| !self.is_sent_again()) {
            self.raise_committable(position);
        }
        // Its client was away for too long. Should it come back for a session of its own, it still has what was said before the texts; if it
        // does not, they are not lost.
        if code == CloseCode::Abnormal {
            let turns = self.typed.drain(..).map(|(_, turn)| turn).collect();
            self.push_turns(turns);
        }
    }

    /// Whether the client sends what is not committed once more: to the relay that goes on with the call, or in its next session.
    pub(super) fn is_sent_again(&self) -> bool {
        match self.ending {
            Some(code) => code.reaction() != Reaction::Stop,
            None => self.farewell.is_none(),
        }
    }

    /// The agent does not get to what it was told to say: the user reads it. What the client sends again is said then, unless a later turn has
    /// taken its place in the audio along. What an administrator wanted said has no place, and nobody sends it again. Who has hung up waits for
    /// nothing.
    pub(super) fn handle_unsaid(&mut self, text: String, position: Option<u32>) {
        if self.hung_up.is_some() {
            return;
        }
        let Some(position) = position else { return self.write(text) };
        let is_taken_along = self.uncommitted.front().is_none_or(|oldest| position < oldest.mark.position);
        if is_taken_along || !self.is_sent_again() {
            self.raise_committable(position);
            self.write(text);
        }
    }

    /// The agent says this in writing, beside the answer that it may be giving.
    pub(super) fn write(&mut self, text: String) {
        let turn = Turn::new(self.take_turn(), Role::Agent, text, self.spoken, self.spoken);
        self.tell_turn(&turn, true);
        self.store_turn(turn);
    }
}
