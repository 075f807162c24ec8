//! What a call may spend: how much is set aside, when to ask for more, when there is no more.

use std::time::Duration;

use protocol::Time;

use crate::NanoUsd;
use crate::money::budget::{Balance, Caps, Grant, Range, Reserved, Shortage, Standing};

/// What is set aside for others may come back: asked for again this often,
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// for this long.
const RETRY_FOR: Duration = Duration::from_secs(10);

/// The money of one call. A running total may rise to what is authorised; before that is used up, more is asked for.
#[derive(Debug)]
pub struct Purse {
    caps: Caps,
    authorised: NanoUsd,
    /// The budgets when the cost was `told_cost`.
    standing: Standing,
    told_cost: NanoUsd,
    /// What the last answer added: little, where little is left.
    piece: NanoUsd,
    /// What the store takes for spent should the relay be lost now.
    exposed: NanoUsd,
    /// What was asked for and not answered yet.
    asking: Option<Asking>,
    /// The last answer gave less than was asked for at most: more for what is only expected is not to be had.
    is_little: bool,
    short: Option<Short>,
}

/// What a call wants to be able to spend.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What it costs at most as things are: what it has cost, and what is held for requests under way.
    pub reach: NanoUsd,
    /// What that has to rise to now.
    pub needed: NanoUsd,
    /// How much more than that there should be.
    pub ahead: NanoUsd,
    /// What requests may cost that are likely to be made soon: there should be so much in any case, if it is to be had.
    pub expected: NanoUsd,
    /// What is to be exposed: what is held, with what is wanted and expected.
    pub exposed: NanoUsd,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
struct Asking {
    /// With it, so much is exposed.
    exposed: NanoUsd,
    at_most: NanoUsd,
}

/// There was too little.
#[derive(Clone, Copy, Debug)]
struct Short {
    shortage: Shortage,
    since: Time,
    retry: Time,
}

impl Purse {
    /// The purse of a call that has cost so much and may spend what the grant says.
    #[must_use]
    pub fn new(caps: Caps, grant: Grant, cost: NanoUsd) -> Purse {
        Purse {
            caps,
            authorised: grant.authorised,
            standing: grant.standing,
            told_cost: cost,
            piece: grant.authorised.saturating_sub(cost),
            exposed: NanoUsd::ZERO,
            asking: None,
            is_little: false,
            short: None,
        }
    }

    /// Whether the total may rise to this.
    pub fn allows(&self, cost: NanoUsd) -> bool {
        cost <= self.authorised
    }

    /// What is left of the tightest budget when the total is `cost`.
    pub fn left(&self, cost: NanoUsd) -> NanoUsd {
        self.standing_at(cost).left()
    }

    /// The budgets as they were last told, with what this call has spent since.
    pub fn standing_at(&self, cost: NanoUsd) -> Standing {
        let since = cost.saturating_sub(self.told_cost);
        let spend = |balance: Balance| Balance { spent: balance.spent + since, ..balance };
        let Standing { session, user, account } = self.standing;
        Standing { session: spend(session), user: spend(user), account: spend(account) }
    }

    /// What was asked to be exposed and was not answered yet.
    #[must_use]
    pub fn asked(&self) -> Option<NanoUsd> {
        self.asking.map(|asking| asking.exposed)
    }

    /// Whether so much may be under way: the store knows of it, and nothing that it was asked takes that back.
    #[must_use]
    pub fn exposes(&self, held: NanoUsd) -> bool {
        held <= self.exposed && self.asking.is_none_or(|asking| held <= asking.exposed)
    }

    /// What to ask for, if it is time.
    pub fn ask(&mut self, now: Time, wish: &Wish) -> Option<Range> {
        let Wish { reach, needed, ahead, expected, exposed } = *wish;
        let half = NanoUsd::new(ahead.min(self.piece).get() / 2);
        let is_covered = self.is_little || needed + expected <= self.authorised;
        let enough = needed <= self.authorised && reach + half <= self.authorised && is_covered;
        let waits = self.short.is_some_and(|short| now < short.retry);
        let capped = self.authorised >= self.caps.session && needed <= self.authorised;
        if self.asking.is_some() || waits || (enough || capped) && self.exposes(exposed) {
            return None;
        }
        if needed > self.authorised {
            // Should it have to wait for others, what it has beyond its cost goes back.
            self.authorised = reach;
        }
        let at_most = needed + ahead + expected;
        let at_most = at_most.min(self.caps.session).max(needed).max(self.authorised);
        self.asking = Some(Asking { exposed, at_most });
        Some(Range { at_least: needed.max(self.authorised), at_most })
    }

    /// The answer to what was asked for. `cost` is the total that was settled by then.
    pub fn handle_reserved(&mut self, now: Time, reserved: &Reserved, cost: NanoUsd) {
        let asking = self.asking.take();
        match reserved {
            Reserved::Granted(grant) => {
                self.exposed = asking.map_or(self.exposed, |asking| asking.exposed);
                self.is_little = asking.is_some_and(|asking| grant.authorised < asking.at_most);
                self.piece = grant.authorised.saturating_sub(self.authorised);
                self.authorised = grant.authorised;
                self.handle_standing(&grant.standing, cost);
                self.short = None;
            }
            Reserved::Short(shortage) => {
                self.authorised = shortage.authorised;
                let since = self.short.map_or(now, |short| short.since);
                self.short = Some(Short { shortage: *shortage, since, retry: now + RETRY_EVERY });
            }
        }
    }

    /// A settlement was written, and with it that so much is exposed.
    pub fn handle_exposed(&mut self, exposed: NanoUsd) {
        self.exposed = exposed;
    }

    /// The budgets, as they were when the total that was settled was `cost`.
    pub fn handle_standing(&mut self, standing: &Standing, cost: NanoUsd) {
        self.standing = *standing;
        self.told_cost = cost;
    }

    /// Why the total may not rise to `needed`, if that is for good. Without a time, what others have set aside is not waited for.
    pub fn shortage(&self, now: Option<Time>, needed: NanoUsd) -> Option<Shortage> {
        let Short { shortage, since, .. } =
            self.short.filter(|_| !self.allows(needed) && self.asking.is_none())?;
        let waits = shortage.contended && now.is_some_and(|now| now < since + RETRY_FOR);
        (!waits).then_some(shortage)
    }

    /// Something else is wanted than what there was too little for: it is asked for at once.
    pub fn forget_shortage(&mut self) {
        self.short = None;
    }

    /// When [`Purse::ask`] is to be called again, if the total has to rise to `needed`.
    pub fn due(&self, needed: NanoUsd) -> Option<Time> {
        self.short.filter(|_| self.asking.is_none() && !self.allows(needed)).map(|short| short.retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::budget::{Scope, TokenCaps};

    fn usd(nano: u64) -> NanoUsd {
        NanoUsd::new(nano)
    }

    fn purse(authorised: u64) -> Purse {
        let caps = Caps {
            session: usd(1_000),
            user_day: usd(5_000),
            account_month: usd(9_000),
            token: TokenCaps::NONE,
        };
        let standing = Standing {
            session: Balance { limit: caps.session, spent: usd(0), reserved: usd(authorised) },
            user: Balance { limit: caps.user_day, spent: usd(4_500), reserved: usd(authorised) },
            account: Balance { limit: caps.account_month, spent: usd(0), reserved: usd(authorised) },
        };
        Purse::new(caps, Grant { authorised: usd(authorised), standing }, usd(0))
    }

    fn wish(reach: u64, needed: u64, ahead: u64) -> Wish {
        Wish { reach: usd(reach), needed: usd(needed), ahead: usd(ahead), expected: usd(0), exposed: usd(0) }
    }

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1_000)
    }

    fn short(contended: bool) -> Reserved {
        let balance = Balance { limit: usd(5_000), spent: usd(4_800), reserved: usd(200) };
        Reserved::Short(Shortage { scope: Scope::User, balance, contended, authorised: usd(100) })
    }

    #[test]
    fn more_is_asked_for_when_half_of_what_was_ahead_is_used_and_only_once() {
        let mut purse = purse(100);
        assert_eq!(purse.ask(at(0), &wish(40, 40, 100)), None);
        assert_eq!(
            purse.ask(at(0), &wish(60, 60, 100)),
            Some(Range { at_least: usd(100), at_most: usd(160) })
        );
        assert_eq!(purse.ask(at(0), &wish(70, 70, 100)), None, "an answer is on its way");
    }

    #[test]
    fn money_for_what_is_expected_is_there_before_it_is_needed_and_is_asked_for_once_where_there_is_less() {
        let expects = |reach: u64| Wish { expected: usd(150), ..wish(reach, reach, 20) };
        let mut purse = purse(100);
        let asked = Some(Range { at_least: usd(100), at_most: usd(180) });
        assert_eq!(purse.ask(at(0), &expects(10)), asked);
        let standing = purse.standing;
        let grant = |authorised| Reserved::Granted(Grant { authorised: usd(authorised), standing });
        purse.handle_reserved(at(0), &grant(180), usd(10));
        assert_eq!(purse.ask(at(0), &expects(30)), None);
        assert_eq!(purse.ask(at(0), &expects(31)), Some(Range { at_least: usd(180), at_most: usd(201) }));
        purse.handle_reserved(at(0), &grant(190), usd(31));
        assert_eq!(purse.ask(at(0), &expects(100)), None, "there is no more");
        assert!(purse.allows(usd(31 + 150)));
    }

    #[test]
    fn nothing_begins_while_the_store_is_being_asked_to_know_of_less() {
        let mut purse = purse(100);
        purse.handle_exposed(usd(50));
        assert!(purse.exposes(usd(40)));
        let asked = purse.ask(at(0), &Wish { exposed: usd(10), ..wish(60, 60, 100) });
        assert!(asked.is_some() && !purse.exposes(usd(40)) && purse.exposes(usd(10)));
        let standing = purse.standing;
        purse.handle_reserved(at(0), &Reserved::Granted(Grant { authorised: usd(160), standing }), usd(60));
        assert!(!purse.exposes(usd(40)) && purse.exposes(usd(10)));
    }

    #[test]
    fn a_small_piece_is_followed_by_another_when_half_of_it_is_used() {
        let mut purse = purse(100);
        assert!(purse.ask(at(0), &wish(60, 60, 100)).is_some());
        let standing = purse.standing;
        purse.handle_reserved(at(0), &Reserved::Granted(Grant { authorised: usd(108), standing }), usd(60));
        assert_eq!(purse.ask(at(0), &wish(104, 104, 100)), None);
        assert!(purse.ask(at(0), &wish(105, 105, 100)).is_some());
        purse.handle_reserved(at(0), &Reserved::Granted(Grant { authorised: usd(108), standing }), usd(60));
        assert_eq!(purse.ask(at(0), &wish(108, 108, 100)), None, "asked when it is needed");
        assert!(purse.ask(at(0), &wish(108, 109, 100)).is_some());
    }

    #[test]
    fn no_more_than_the_sessions_cap_is_asked_for_unless_more_is_needed() {
        let mut purse = purse(1_000);
        assert_eq!(purse.ask(at(0), &wish(990, 1_000, 100)), None);
        assert_eq!(
            purse.ask(at(0), &wish(990, 1_001, 100)),
            Some(Range { at_least: usd(1_001), at_most: usd(1_001) })
        );
    }

    #[test]
    fn what_others_have_set_aside_is_waited_for_and_then_given_up() {
        let mut purse = purse(100);
        assert!(purse.ask(at(0), &wish(100, 110, 50)).is_some());
        purse.handle_reserved(at(10), &short(true), usd(100));
        assert_eq!(purse.shortage(Some(at(10)), usd(110)), None);
        assert_eq!(purse.due(usd(110)), Some(at(510)));
        assert_eq!(purse.ask(at(500), &wish(100, 110, 50)), None);
        assert!(purse.ask(at(510), &wish(100, 110, 50)).is_some());
        assert_eq!(purse.due(usd(110)), None, "an answer is on its way");
        purse.handle_reserved(at(9_000), &short(true), usd(100));
        assert_eq!(purse.shortage(Some(at(9_000)), usd(110)), None);
        assert_eq!(purse.due(usd(100)), None, "so much is there");
        assert!(purse.ask(at(9_500), &wish(100, 110, 50)).is_some());
        assert_eq!(purse.shortage(Some(at(20_000)), usd(110)), None, "an answer is on its way");
        purse.handle_reserved(at(10_010), &short(true), usd(100));
        assert!(purse.shortage(Some(at(10_010)), usd(110)).is_some());
    }

    #[test]
    fn a_call_that_may_have_to_wait_gives_back_what_it_has_not_reached() {
        let mut purse = purse(100);
        assert!(purse.ask(at(0), &wish(90, 100, 50)).is_some());
        assert!(purse.allows(usd(100)), "it has what it needs, and asks for later");
        purse.handle_reserved(at(10), &short(true), usd(90));
        assert_eq!(
            purse.ask(at(510), &wish(60, 110, 50)),
            Some(Range { at_least: usd(110), at_most: usd(160) })
        );
        assert!(purse.allows(usd(60)) && !purse.allows(usd(61)));
    }

    #[test]
    fn what_is_spent_is_not_waited_for() {
        let mut purse = purse(100);
        assert!(purse.ask(at(0), &wish(100, 110, 50)).is_some());
        purse.handle_reserved(at(10), &short(false), usd(100));
        assert!(purse.shortage(Some(at(10)), usd(110)).is_some());
        assert!(purse.shortage(Some(at(10)), usd(100)).is_none(), "what is set aside may still be spent");
    }

    #[test]
    fn what_is_left_is_of_the_tightest_budget_and_shrinks_with_the_cost() {
        let purse = purse(100);
        assert_eq!(purse.left(usd(0)), usd(500));
        assert_eq!(purse.left(usd(120)), usd(380));
    }

    #[test]
    fn what_is_exposed_is_written_before_it_is_under_way_even_where_the_money_is_there() {
        let mut purse = purse(1_000);
        let wish = Wish { exposed: usd(60), ..wish(100, 160, 100) };
        assert!(!purse.exposes(usd(60)));
        assert_eq!(purse.ask(at(0), &wish), Some(Range { at_least: usd(1_000), at_most: usd(1_000) }));
        assert_eq!((purse.asked(), purse.exposes(usd(60))), (Some(usd(60)), false), "it is not written yet");
        let standing = purse.standing;
        let grant = Grant { authorised: usd(1_000), standing };
        purse.handle_reserved(at(1), &Reserved::Granted(grant), usd(100));
        assert!(purse.exposes(usd(60)));
        assert_eq!(purse.ask(at(2), &wish), None);
        purse.handle_exposed(usd(0));
        assert!(!purse.exposes(usd(60)), "it is over");
    }
}
