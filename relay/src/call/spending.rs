//! How a call deals with money: audio and requests wait for it, more is asked for in time, what was used is settled, the page is told.

use protocol::relay::Saying;
use protocol::{Budget, CloseCode};

use super::{AHEAD, Call, Delayed, Output, RECORD_EVERY, RECORD_SAMPLES, USAGE_EVERY, Wanted, What};
use crate::NanoUsd;
use crate::money::budget::{Scope, Shortage, Standing, THRESHOLDS};
use crate::money::ledger::{LateCredit, LedgerRow};
use crate::money::purse::Wish;

/// How many bytes of audio and texts may wait for money: a little more than a replay brings at once.
const DELAYED_BYTES: usize = 3 << 20;
/// What the user reads when there is no more money.
const BUDGET_NOTICE: &str = "This call has reached its budget and ends here.";

impl Call {
    /// How many samples of a chunk are to be metered: all but those that were metered before a relay was lost. They are counted, and not
    /// recognised by their positions, since the client chooses positions.
    pub(super) fn fresh(&self, bytes: usize) -> u32 {
        ((bytes / 2) as u32).saturating_sub(self.replayable)
    }

    /// How many samples of a chunk are metered: the fresh ones, if anybody hears them.
    pub(super) fn to_meter(&self, bytes: usize) -> u32 {
        if self.is_deaf { 0 } else { self.fresh(bytes) }
    }

    /// Keeps something until there is money for the audio before it.
    pub(super) fn delay(&mut self, delayed: Delayed) {
        self.delayed_bytes += delayed.bytes();
        self.delayed.push_back(delayed);
        if self.delayed_bytes > DELAYED_BYTES {
            // Nothing of this is committed, so the client has it still and sends it again in its next session.
            self.stop(CloseCode::TryLater);
        }
    }

    /// The total that has to be authorised for the oldest audio and the oldest request that wait for money, if any do.
    pub(super) fn needed(&self) -> NanoUsd {
        let audio = match self.delayed.front() {
            Some(Delayed::Audio { payload, .. }) => self.tab.reach_with(self.to_meter(payload.len())),
            _ => self.tab.reach(),
        };
        audio + self.kept() + self.wanted_cost()
    }

    /// What the oldest thing that waits for a provider may cost.
    fn wanted_cost(&self) -> NanoUsd {
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

    /// Whether nothing can be asked for before a settlement that is on its way is answered. It says what was exposed before, and may not come
    /// after what is asked for now.
    pub(super) fn waits_for_settlement(&self) -> bool {
        let exposed = self.to_expose();
        self.settling.iter().any(|(_, before)| *before != exposed)
    }

    /// What the store is to know of as exposed: the requests under way, the oldest that waits, and those that will be made soon.
    fn to_expose(&self) -> NanoUsd {
        self.tab.held() + self.wanted_cost() + self.soon
    }

    /// Gives providers what is paid for, and what the store knows of.
    fn open_requests(&mut self) {
        while let Some(wanted) = self.wanted.front() {
            let more = self.more(wanted);
            let exposed = self.tab.held() + more;
            // A settlement that is on its way sets what is exposed to its own figure. If that is lower, the request waits for another.
            if !self.purse.allows(self.tab.reach() + self.kept() + more)
                || !self.purse.exposes(exposed)
                || self.settling.iter().any(|(_, said)| *said < exposed)
            {
                return;
            }
            let Some(Wanted { request, what }) = self.wanted.pop_front() else { return };
            self.outputs.push_back(match what {
                What::Open { provider, ask, at_most, purpose } => {
                    self.tab.hold(request, provider, at_most, purpose);
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

    /// Goes on with what waited for money, asks for more money in time, and ends the call when there is none.
    pub(super) fn spend(&mut self) {
        while self.ending.is_none()
            && let Some(delayed) = self.delayed.pop_front()
        {
            self.delayed_bytes -= delayed.bytes();
            match delayed {
                Delayed::Audio { mark, payload } => {
                    if !self.handle_audio(mark, &payload) {
                        self.delayed_bytes += payload.len();
                        self.delayed.push_front(Delayed::Audio { mark, payload });
                        break;
                    }
                }
                Delayed::Gap(gap) => self.handle_gap(gap),
                Delayed::Message { mark, message } => self.handle_message(mark, &message),
                Delayed::Muted => self.pause(),
                Delayed::Bye => self.hang_up(),
            }
        }
        if self.ending.is_some() {
            return;
        }
        let needed = loop {
            self.keep_last_words();
            self.open_requests();
            let needed = self.needed();
            // Last words wait for nobody.
            let patience = if self.is_penniless() { None } else { Some(self.now) };
            let shortage = self.purse.shortage(patience, needed);
            // What is set aside for requests under way is mostly more than they use: an answer is not broken off for want of that.
            let Some(shortage) =
                shortage.filter(|_| !self.purse.allows(needed.saturating_sub(self.tab.held())))
            else {
                break needed;
            };
            if !self.want_less(shortage) {
                return;
            }
        };
        let (spent, reach) = (self.tab.reach(), self.tab.reach() + self.kept());
        let ahead = self.tab.price_of(AHEAD).max(NanoUsd::new(1));
        if self.waits_for_settlement() {
            return;
        }
        let (expected, exposed) = (self.soon, self.to_expose());
        if let Some(through) = self.purse.ask(self.now, &Wish { reach, needed, ahead, expected, exposed }) {
            self.outputs.push_back(Output::Reserve { through, spent, exposed });
        }
    }

    /// Ends the call because there is no more money, and tells the user so in words, unless the agent has said so.
    pub(super) fn run_out(&mut self, shortage: Shortage, is_said: bool) {
        self.outputs.push_back(Output::Exhausted(shortage));
        // The user's last words, and whatever else is left to be said, come before the notice.
        self.wind_up(CloseCode::Budget);
        if !is_said {
            self.write(BUDGET_NOTICE.to_owned());
        }
        for percent in THRESHOLDS {
            self.tell_budget(shortage.scope, percent);
        }
        self.stop(CloseCode::Budget);
    }

    /// Settles what was used, if the store does not know everything yet.
    pub(super) fn settle_up(&mut self) {
        self.recorded = self.now;
        if self.tab.is_unrowed()
            || self.committable.seq > self.told_committable.seq
            || self.replayable != self.told_replayable
        {
            self.push_settle(false);
        }
    }

    /// Settles what was used and gives back what is set aside.
    pub(super) fn settle_and_release(&mut self) {
        self.recorded = self.now;
        self.push_settle(true);
    }

    /// A call that ends, and has settled for that, goes on elsewhere after all, since its client is sent away: what was played again here may
    /// be played again there. What recognisers have said since the call settled is not in it: that is for [`Call::settle_late`], behind all
    /// that is still to be written, since nothing is given back of rows that are not in the ledger.
    pub(super) fn let_play_again(&mut self) {
        self.is_sent_away = true;
        if self.uncommitted_paid > self.uncommitted_metered {
            self.push_rows(Vec::new(), Vec::new(), true);
        }
    }

    /// What came while nobody listened is given up, but for so many samples of it that came last. It was not paid for: should it be played again
    /// and heard, that is metered.
    pub(super) fn give_up_unheard(&mut self, but: u32) {
        let mut given_up = self.tab.give_up_unheard(but);
        if given_up == 0 {
            return;
        }
        let mut kept = self.tab.unheard();
        for frame in self.uncommitted.iter_mut().rev() {
            let stays = frame.counted.min(kept);
            let unheard = (frame.counted - stays).min(given_up);
            kept -= stays;
            given_up -= unheard;
            let held = frame.give_up(unheard);
            self.uncommitted_counted -= unheard;
            self.uncommitted_metered -= held;
            self.uncommitted_paid -= held;
        }
    }

    /// Settles what has to be in the ledger before everything before `position` that can be is committed with a turn: that is heard by nobody any
    /// more who was not there by now.
    pub(super) fn settle_before(&mut self, position: u32) {
        if self.tab.unheard() > 0 {
            self.give_up_unheard(self.metered_behind(position));
        }
        self.settle_up();
    }

    fn push_settle(&mut self, release: bool) {
        // What is committed is in a row, and so is everything in the end.
        self.give_up_unheard(if release { 0 } else { self.uncommitted_counted });
        let (rows, credits) = (self.tab.take_rows(), self.tab.take_credits());
        self.push_rows(rows, credits, release);
    }

    fn push_rows(&mut self, rows: Vec<LedgerRow>, credits: Vec<LateCredit>, release: bool) {
        // With its last settlement, a call has no request under way any more.
        let exposed = if release { NanoUsd::ZERO } else { self.exposed() };
        self.storing += 1;
        self.settling.push_back((self.committable, exposed));
        self.told_committable = self.committable;
        self.told_replayable = self.replayable;
        // After a loss, what may be played again is the end of what was paid for: audio behind that, which nobody heard, is no part of it. A relay
        // that lets go in order says where all ends that came, and with that where its recording does.
        let through = if release { self.metered_through } else { self.paid_through };
        self.outputs.push_back(Output::Settle {
            rows,
            credits,
            through,
            committed: self.committable,
            replayable: self.replayable_after_loss(),
            exposed,
            release,
        });
    }

    /// How many samples may be played again without being metered again, if this relay is lost or sends the client away after what is
    /// metered and committed by now was written. They are counted, and not told by positions: audio that nobody heard has positions, too. What
    /// nobody has listened to so far is in no row, and is the last that came: it is metered where it is played again.
    pub(super) fn replayable_after_loss(&self) -> u32 {
        let paid = if self.is_sent_away { self.uncommitted_paid } else { self.uncommitted_metered };
        self.replayable + paid - self.tab.unheard().min(self.uncommitted_metered)
    }

    /// Tells the store that the replayable samples are being played again here, so that a relay that takes the call over meanwhile does not
    /// grant them a second time. The next settlement tells how many are left.
    pub(super) fn claim(&mut self) {
        self.has_claimed = true;
        self.told_replayable = 0;
        self.storing += 1;
        let exposed = self.exposed();
        self.settling.push_back((self.committable, exposed));
        self.outputs.push_back(Output::Settle {
            rows: Vec::new(),
            credits: Vec::new(),
            through: self.paid_through,
            committed: self.committable,
            replayable: 0,
            exposed,
            release: false,
        });
    }

    /// What a settlement says is exposed: the holds and what is expected. While an [`Output::Reserve`] is not answered, it is what that one
    /// asks to be exposed: either may be written first, and the last one counts.
    fn exposed(&self) -> NanoUsd {
        let held = self.tab.held();
        self.purse.asked().map_or(held + self.soon, |asked| held.max(asked))
    }

    /// Tells the page its usage and the thresholds that budgets have reached, and settles what was used if it is time.
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
        // At a threshold everything is settled at once, because the operator is told when the ledger reaches it, and is to hear the same sum
        // as the page. A call that ends has settled all: what is said of it since is for [`Call::settle_late`], behind the session's end.
        let is_time = self.told_percent != told
            || self.now >= self.recorded + RECORD_EVERY
            || self.tab.unrowed_samples() > RECORD_SAMPLES;
        if is_time && self.ending.is_none() {
            self.settle_up();
        }
    }

    /// Takes the thresholds that the budgets have reached for told, the first time that their standing is known after the call was taken
    /// over: the relay before told them.
    pub(super) fn learn_standing(&mut self) {
        if !std::mem::take(&mut self.is_standing_unknown) {
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
