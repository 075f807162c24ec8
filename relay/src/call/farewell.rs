//! How a call comes to the end of its money or its time: the agent is told in steps that the money goes less far, and says its last words
//! with what was kept for them.

use std::time::Duration;

use protocol::{CloseCode, ErrorCode, Mark, Time};

use super::committing::Uncommitted;
use super::{Call, Delayed, Output, Wanted, What};
use crate::NanoUsd;
use crate::agent::AgentInput;
use crate::money::budget::Shortage;
use crate::money::tab::RequestId;
use crate::provider::Ask;

/// Last words begin so long before the session's longest time is over.
const BEFORE_THE_END: Duration = Duration::from_secs(20);
/// Last words that are not heard within this time after the money was used up are not waited for.
const HEARD_WITHIN: Duration = Duration::from_secs(40);
/// Last words that cost more than one part in so many of what is left are not kept money for.
const SHARE: u64 = 4;

/// What the agent's last words cost at most, and whether so much is kept for them.
#[derive(Debug)]
pub(super) struct LastWords {
    cost: NanoUsd,
    is_kept: bool,
}

/// The agent says its last words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Farewell {
    /// There is no more money, and the agent is waited for until then.
    OfMoney { shortage: Shortage, until: Time },
    /// The session's longest time is over soon.
    OfTime,
}

impl LastWords {
    /// Those of an agent that has some to say, with what they cost at most.
    pub(super) fn new(cost: NanoUsd) -> LastWords {
        LastWords { cost, is_kept: false }
    }
}

impl Call {
    /// What is kept for the agent's last words.
    pub(super) fn kept(&self) -> NanoUsd {
        let words = self.last_words.as_ref().filter(|words| words.is_kept && self.farewell.is_none());
        words.map_or(NanoUsd::ZERO, |words| words.cost)
    }

    /// Keeps what the last words cost as soon as there is enough for that, and it is little beside what is left. It is given back only to
    /// others who wait for it.
    pub(super) fn keep_last_words(&mut self) {
        let (left, reach) = (self.purse.left(self.tab.cost()), self.tab.reach());
        let Some(words) = &mut self.last_words else { return };
        let is_there = self.purse.allows(reach + words.cost);
        let is_little = words.cost.get().saturating_mul(SHARE) <= left.get();
        words.is_kept = is_there && (words.is_kept || is_little && !self.is_standing_unknown);
    }

    /// Whether there is no money but for the agent's last words.
    pub(super) fn is_penniless(&self) -> bool {
        matches!(self.farewell, Some(Farewell::OfMoney { .. }))
    }

    /// Tells the agent how far the money goes, if that is news.
    pub(super) fn tell_means(&mut self) {
        if self.ending.is_some() || self.farewell.is_some() || self.is_standing_unknown {
            return;
        }
        self.pace.note(self.tab.requests_cost(), self.tab.held());
        if let Some(means) = self.pace.judge(self.left()) {
            self.tell_agent(AgentInput::Means { means, refused: None });
        }
    }

    /// What is left for answers: all that may be spent yet, but what is kept for last words.
    fn left(&self) -> NanoUsd {
        self.purse.left(self.tab.cost()).saturating_sub(self.kept())
    }

    /// There is too little for what is wanted next, for good: the agent is to want less, or to say its last words, or the call ends. Says
    /// whether the call goes on, and something else is wanted now.
    pub(super) fn want_less(&mut self, shortage: Shortage) -> bool {
        while let Some(request) = self.wanted_answer()
            && let Some(means) = self.pace.lower(self.left())
        {
            self.tell_agent(AgentInput::Means { means, refused: Some(request) });
            if self.wanted_answer() != Some(request) {
                self.purse.forget_shortage();
                return true;
            }
        }
        if self.is_penniless() || self.last_words.is_none() {
            self.run_out(shortage, false);
            return false;
        }
        self.purse.forget_shortage();
        self.part(Farewell::OfMoney { shortage, until: self.now + HEARD_WITHIN });
        self.pass_over();
        self.ending.is_none()
    }

    /// Nothing that waits for money is heard any more. What came behind it and needs none is taken.
    fn pass_over(&mut self) {
        while let Some(delayed) = self.delayed.pop_front() {
            self.delayed_bytes -= delayed.bytes();
            match delayed {
                Delayed::Audio { mark, payload } => self.skip_audio(mark, payload.len()),
                Delayed::Gap(gap) => self.handle_gap(gap),
                Delayed::Message { mark, message } => self.handle_message(mark, &message),
                Delayed::Muted => self.pause(),
                Delayed::Bye => return self.end_farewell(false),
            }
        }
    }

    /// There is no money for this audio: to the agent it is lost.
    pub(super) fn skip_audio(&mut self, mark: Mark, bytes: usize) {
        let end = mark.position + (bytes / 2) as u32;
        self.add_uncommitted(Uncommitted::empty(mark));
        self.expected = Mark { seq: mark.seq + 1, position: end };
        self.tell_agent(AgentInput::Gap { position: mark.position, end });
    }

    /// The question to a model that waits for money before everything else.
    fn wanted_answer(&self) -> Option<RequestId> {
        match self.wanted.front() {
            Some(Wanted { request, what: What::Open { ask: Ask::Chat(_), .. } }) => Some(*request),
            _ => None,
        }
    }

    /// When the agent is to say its last words because the session's time is over soon.
    pub(super) fn parts_at(&self) -> Option<Time> {
        let can_part = self.last_words.is_some() && self.farewell.is_none() && self.hung_up.is_none();
        self.ends.filter(|_| can_part).map(|ends| ends - BEFORE_THE_END)
    }

    /// When last words are not waited for any more.
    pub(super) fn parted_by(&self) -> Option<Time> {
        match self.farewell {
            Some(Farewell::OfMoney { until, .. }) => Some(until),
            // The link ends the session in time.
            Some(Farewell::OfTime) | None => None,
        }
    }

    /// Time has passed.
    pub(super) fn part_in_time(&mut self) {
        if self.parts_at().is_some_and(|due| due <= self.now) {
            self.part(Farewell::OfTime);
        }
        if self.parted_by().is_some_and(|due| due <= self.now) {
            self.end_farewell(false);
        }
    }

    /// The agent wants the call to end: it has said its last words, or nobody is there any more.
    pub(super) fn hang_up_by_agent(&mut self) {
        if self.farewell.is_some() {
            return self.end_farewell(true);
        }
        self.outputs.push_back(Output::Trouble(ErrorCode::Idle));
        self.stop(CloseCode::Idle);
    }

    /// Ends the call whose agent has said its last words, or is not waited for any more.
    pub(super) fn end_farewell(&mut self, is_said: bool) {
        match self.farewell {
            // Words that nobody is known to have heard are not all that is said.
            Some(Farewell::OfMoney { shortage, .. }) => {
                self.run_out(shortage, is_said && self.unconfirmed.is_empty());
            }
            Some(Farewell::OfTime) => {
                self.outputs.push_back(Output::Trouble(ErrorCode::TooLong));
                self.stop(CloseCode::TooLong);
            }
            None => {}
        }
    }

    fn part(&mut self, farewell: Farewell) {
        self.farewell = Some(farewell);
        self.tell_agent(AgentInput::Farewell);
    }
}
