//! What a call does about money: audio waits for it, more is asked for in time, what was used is settled, the page is told.

use protocol::relay::Saying;
use protocol::{Budget, CloseCode, Role};

use super::{AHEAD, Call, Held, Pending, RECORD_EVERY, RECORD_SAMPLES, USAGE_EVERY};
use crate::NanoUsd;
use crate::money::budget::{Scope, Shortage, Standing, THRESHOLDS};
use crate::money::ledger::LedgerRow;

/// Audio that can be waiting for money, in bytes: what a replay brings at once, and a little.
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
        if let Held::Audio { payload, .. } = &held {
            self.held_bytes += payload.len();
        }
        self.held.push_back(held);
        if self.held_bytes > HELD_BYTES {
            // The client has it still, since it is not committed: it comes again in the session that follows.
            self.stop(CloseCode::TryLater);
        }
    }

    /// What the total has to rise to for the oldest audio that waits, or for nothing.
    pub(super) fn needed(&self) -> NanoUsd {
        match self.held.front() {
            Some(Held::Audio { payload, .. }) => self.meter.cost_with(self.fresh(payload.len())),
            _ => self.meter.cost(),
        }
    }

    /// Goes on with what waits for money, asks for more of it, and ends the call when there is none.
    pub(super) fn spend(&mut self) {
        while self.ending.is_none()
            && let Some(held) = self.held.pop_front()
        {
            match held {
                Held::Audio { mark, payload } => {
                    if !self.handle_audio(mark, &payload) {
                        self.held.push_front(Held::Audio { mark, payload });
                        break;
                    }
                    self.held_bytes -= payload.len();
                }
                Held::Gap(gap) => self.handle_gap(gap),
                Held::Muted => self.pause(),
                Held::Bye => self.stop(CloseCode::Normal),
            }
        }
        if self.ending.is_some() {
            return;
        }
        let (cost, needed) = (self.meter.cost(), self.needed());
        if let Some(shortage) = self.purse.shortage(self.now, needed) {
            return self.run_out(shortage);
        }
        let ahead = self.meter.price_of(AHEAD).max(NanoUsd::new(1));
        if let Some(through) = self.purse.ask(self.now, cost, needed, ahead) {
            self.outputs.push_back(Pending::Reserve { through, spent: cost });
        }
    }

    /// There is no more money: the user is told in words, and the call ends with its own code.
    pub(super) fn run_out(&mut self, shortage: Shortage) {
        self.outputs.push_back(Pending::Exhausted(shortage));
        // What was said comes before the notice, and nothing is answered any more.
        self.ending = Some(CloseCode::Budget);
        self.pause();
        self.finish_reply();
        let turn = self.say_turn(Role::Agent, BUDGET_NOTICE.to_owned(), self.spoken, self.spoken);
        self.store_turn(turn);
        for percent in THRESHOLDS {
            self.tell_budget(shortage.scope, percent);
        }
        self.stop(CloseCode::Budget);
    }

    /// Settles what was metered, if there is anything to tell.
    pub(super) fn settle_up(&mut self) {
        self.recorded = self.now;
        let row = self.meter.take_row();
        if row.is_some()
            || self.settled.seq > self.told_settled.seq
            || self.replayable != self.told_replayable
        {
            self.push_settle(row, self.metered_open, false);
        }
    }

    /// Settles what was metered and gives back what is set aside; so many samples of what is not committed may be played again.
    pub(super) fn settle_all(&mut self, open: u32) {
        self.recorded = self.now;
        let row = self.meter.take_row();
        self.push_settle(row, open, true);
    }

    fn push_settle(&mut self, row: Option<LedgerRow>, open: u32, release: bool) {
        self.storing += 1;
        self.settling.push_back(self.settled);
        self.told_settled = self.settled;
        self.told_replayable = self.replayable;
        self.outputs.push_back(Pending::Settle {
            row,
            through: self.metered_through,
            committed: self.settled,
            replayable: self.replayable + open,
            release,
        });
    }

    /// Says in the store that what may be played again is being played again here: whoever takes the call over meanwhile does not get it a
    /// second time. What is left of it is written with the next settlement.
    pub(super) fn claim(&mut self) {
        self.told_replayable = 0;
        self.storing += 1;
        self.settling.push_back(self.settled);
        self.outputs.push_back(Pending::Settle {
            row: None,
            through: self.metered_through,
            committed: self.settled,
            replayable: 0,
            release: false,
        });
    }

    pub(super) fn tell_usage(&mut self) {
        let usage = self.usage();
        if usage != self.told_usage.1 && self.now >= self.told_usage.0 + USAGE_EVERY {
            self.told_usage = (self.now, usage);
            self.outputs.push_back(Pending::Usage(usage));
        }
        let told = self.told_percent;
        if self.ending.is_none() {
            for (scope, balance) in self.purse.standing_at(self.meter.cost()).each() {
                for percent in THRESHOLDS.into_iter().filter(|percent| balance.has_reached(*percent)) {
                    self.tell_budget(scope, percent);
                }
            }
        }
        // What has reached a threshold is settled at once: the operator hears of the sum that the page was told.
        if self.told_percent != told
            || self.now >= self.recorded + RECORD_EVERY
            || self.meter.unrowed_samples() > RECORD_SAMPLES
        {
            self.settle_up();
        }
    }

    /// Tells the page once that a budget has reached a threshold.
    pub(super) fn tell_budget(&mut self, scope: Scope, percent: u32) {
        let Standing { session, user, account } = self.purse.standing_at(self.meter.cost());
        let (told, balance) = match scope {
            Scope::Session => (&mut self.told_percent[0], session),
            Scope::User => (&mut self.told_percent[1], user),
            Scope::Account => (&mut self.told_percent[2], account),
        };
        if *told >= percent {
            return;
        }
        *told = percent;
        self.outputs.push_back(Pending::Say(Saying::Budget(Budget {
            seq: 0,
            scope: scope.to_message(),
            percent,
            limit_nano_usd: balance.limit.get(),
            spent_nano_usd: balance.spent.get(),
        })));
    }
}
