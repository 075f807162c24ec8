//! What a call does about money: audio waits for it, more is asked for in time, what was used is settled, the page is told.

use protocol::relay::Saying;
use protocol::{Budget, CloseCode, Role};

use super::{AHEAD, Call, Held, Output, RECORD_EVERY, RECORD_SAMPLES, Turn, USAGE_EVERY, Wanted, What};
use crate::NanoUsd;
use crate::money::budget::{Scope, Shortage, Standing, THRESHOLDS};
use crate::money::purse::Wish;

/// Audio and texts that can be waiting for money, in bytes: what a replay brings at once, and a little.
const HELD_BYTES: usize = 3 << 20;
/// What the user reads when there is no more money.
const BUDGET_NOTICE: &str = "This call has reached its budget and ends here.";

impl Call {
    /// The samples of a chunk that are to be metered: all but those that were before a relay was lost. What counts is how many there are
    /// and not where they stand, since positions are the client's to say.
    pub(super) fn fresh(&self, bytes: usize) -> u32 {
        ((bytes / 2) as u32).saturating_sub(self.replayable)
    }

    pub(super) fn hold(&mut self, held: Held) {
        self.held_bytes += held.bytes();
        self.held.push_back(held);
        if self.held_bytes > HELD_BYTES {
            // The client has it still, since it is not committed: it comes again in the session that follows.
            self.stop(CloseCode::TryLater);
        }
    }

    /// What the total has to rise to for the oldest audio and the oldest request that wait, or for nothing.
    pub(super) fn needed(&self) -> NanoUsd {
        let audio = match self.held.front() {
            Some(Held::Audio { payload, .. }) => self.tab.reach_with(self.fresh(payload.len())),
            _ => self.tab.reach(),
        };
        audio + self.wanted()
    }

    /// What the oldest thing that waits for a provider may cost.
    fn wanted(&self) -> NanoUsd {
        self.wanted.front().map_or(NanoUsd::ZERO, |wanted| self.more(wanted))
    }

    /// What this may cost beyond what is held.
    fn more(&self, wanted: &Wanted) -> NanoUsd {
        match &wanted.what {
            What::Open { provider, at_most, .. } => self.tab.worst_case(*provider, at_most),
            What::Feed { at_most, .. } => {
                at_most.map_or(NanoUsd::ZERO, |at_most| self.tab.more(wanted.request, &at_most))
            }
        }
    }

    /// Gives providers what is paid for, and what the store knows of.
    fn open_requests(&mut self) {
        while let Some(wanted) = self.wanted.front() {
            let more = self.more(wanted);
            let exposed = self.tab.held() + more;
            // A settlement that is on its way takes back whatever it does not say to be exposed.
            if !self.purse.allows(self.tab.reach() + more)
                || !self.purse.exposes(exposed)
                || self.settling.iter().any(|(_, said)| *said < exposed)
            {
                return;
            }
            let Some(Wanted { request, what }) = self.wanted.pop_front() else { return };
            self.outputs.push_back(match what {
                What::Open { provider, ask, at_most } => {
                    self.tab.hold(request, provider, at_most);
                    Output::Open { request, provider, ask }
                }
                What::Feed { feed, at_most } => {
                    if let Some(at_most) = at_most {
                        self.tab.raise(request, at_most);
                    }
                    Output::Feed { request, feed }
                }
            });
        }
    }

    /// Goes on with what waits for money, asks for more of it, and ends the call when there is none.
    pub(super) fn spend(&mut self) {
        while self.ending.is_none()
            && let Some(held) = self.held.pop_front()
        {
            self.held_bytes -= held.bytes();
            match held {
                Held::Audio { mark, payload } => {
                    if !self.handle_audio(mark, &payload) {
                        self.held_bytes += payload.len();
                        self.held.push_front(Held::Audio { mark, payload });
                        break;
                    }
                }
                Held::Gap(gap) => self.handle_gap(gap),
                Held::Message { mark, message } => self.handle_message(mark, &message),
                Held::Muted => self.pause(),
                Held::Bye => self.hang_up(),
            }
        }
        if self.ending.is_some() {
            return;
        }
        self.open_requests();
        let (reach, needed) = (self.tab.reach(), self.needed());
        if let Some(shortage) = self.purse.shortage(self.now, needed) {
            return self.run_out(shortage);
        }
        let ahead = self.tab.price_of(AHEAD).max(NanoUsd::new(1));
        let exposed = self.tab.held() + self.wanted();
        // A settlement that is on its way says what was exposed before: it may not come after what is asked for now.
        if self.settling.iter().any(|(_, before)| *before != exposed) {
            return;
        }
        if let Some(through) = self.purse.ask(self.now, &Wish { reach, needed, ahead, exposed }) {
            self.outputs.push_back(Output::Reserve { through, spent: reach, exposed });
        }
    }

    /// There is no more money: the user is told in words, and the call ends with its own code.
    pub(super) fn run_out(&mut self, shortage: Shortage) {
        self.outputs.push_back(Output::Exhausted(shortage));
        // What was said comes before the notice, and nothing is answered any more.
        self.ending = Some(CloseCode::Budget);
        self.pause();
        self.finish_answer();
        let notice = BUDGET_NOTICE.to_owned();
        let turn = Turn::new(self.take_turn(), Role::Agent, notice, self.spoken, self.spoken);
        self.tell_turn(&turn, true);
        self.store_turn(turn);
        for percent in THRESHOLDS {
            self.tell_budget(shortage.scope, percent);
        }
        self.stop(CloseCode::Budget);
    }

    /// Settles what was metered, if there is anything to tell.
    pub(super) fn settle_up(&mut self) {
        self.recorded = self.now;
        if self.tab.is_unrowed()
            || self.committable.seq > self.told_committable.seq
            || self.replayable != self.told_replayable
        {
            self.push_settle(self.metered_open, false);
        }
    }

    /// Settles what was metered and gives back what is set aside; so many samples of what is not committed may be played again.
    pub(super) fn settle_all(&mut self, open: u32) {
        self.recorded = self.now;
        self.push_settle(open, true);
    }

    fn push_settle(&mut self, open: u32, release: bool) {
        let rows = self.tab.take_rows();
        // Who goes on elsewhere, or ends, has nothing under way.
        let exposed = if release { NanoUsd::ZERO } else { self.exposed() };
        self.storing += 1;
        self.settling.push_back((self.committable, exposed));
        self.told_committable = self.committable;
        self.told_replayable = self.replayable;
        self.outputs.push_back(Output::Settle {
            rows,
            through: self.metered_through,
            committed: self.committable,
            replayable: self.replayable + open,
            exposed,
            release,
        });
    }

    /// Says in the store that what may be played again is being played again here: whoever takes the call over meanwhile does not get it a
    /// second time. What is left of it is written with the next settlement.
    pub(super) fn claim(&mut self) {
        self.has_claimed = true;
        self.told_replayable = 0;
        self.storing += 1;
        let exposed = self.exposed();
        self.settling.push_back((self.committable, exposed));
        self.outputs.push_back(Output::Settle {
            rows: Vec::new(),
            through: self.metered_through,
            committed: self.committable,
            replayable: 0,
            exposed,
            release: false,
        });
    }

    /// What a settlement says to be exposed: what is held, and what was asked for and may be held before it is written.
    fn exposed(&self) -> NanoUsd {
        self.tab.held().max(self.purse.asked())
    }

    pub(super) fn tell_usage(&mut self) {
        let usage = self.usage();
        if usage != self.told_usage.1 && self.now >= self.told_usage.0 + USAGE_EVERY {
            self.told_usage = (self.now, usage);
            self.outputs.push_back(Output::Usage(usage));
        }
        let told = self.told_percent;
        if self.ending.is_none() {
            for (scope, balance) in self.purse.standing_at(self.tab.cost()).each() {
                for percent in THRESHOLDS.into_iter().filter(|percent| balance.has_reached(*percent)) {
                    self.tell_budget(scope, percent);
                }
            }
        }
        // What has reached a threshold is settled at once: the operator hears of the sum that the page was told.
        if self.told_percent != told
            || self.now >= self.recorded + RECORD_EVERY
            || self.tab.unrowed_samples() > RECORD_SAMPLES
        {
            self.settle_up();
        }
    }

    /// How the budgets stand is known. What they had reached when another relay had the call was told there.
    pub(super) fn learn_standing(&mut self) {
        if !std::mem::take(&mut self.is_unsure) {
            return;
        }
        let standing = self.purse.standing_at(self.tab.rowed_cost());
        for (told, (_, balance)) in self.told_percent.iter_mut().zip(standing.each()) {
            let reached = THRESHOLDS.into_iter().filter(|percent| balance.has_reached(*percent));
            *told = reached.max().unwrap_or(0);
        }
    }

    /// Tells the page once that a budget has reached a threshold.
    pub(super) fn tell_budget(&mut self, scope: Scope, percent: u32) {
        let Standing { session, user, account } = self.purse.standing_at(self.tab.cost());
        let (told, balance) = match scope {
            Scope::Session => (&mut self.told_percent[0], session),
            Scope::User => (&mut self.told_percent[1], user),
            Scope::Account => (&mut self.told_percent[2], account),
        };
        if *told >= percent {
            return;
        }
        *told = percent;
        self.outputs.push_back(Output::Say(Saying::Budget(Budget {
            seq: 0,
            scope: scope.to_message(),
            percent,
            limit_nano_usd: balance.limit.get(),
            spent_nano_usd: balance.spent.get(),
        })));
    }
}
