//! Reserve, spend, settle.

use std::collections::BTreeMap;

use relay::NanoUsd;
use relay::money::budget::{
    Balance, Caps, Grant, Overrides, Reserved, Scope, Shortage, Standing, THRESHOLDS, TokenCaps,
};
use relay::money::ledger::{ItemSum, LedgerRow};
use relay::money::meter::SAMPLE;
use relay::records::store::{Alert, Payer, Reserve, Settle, Settled, StoreError};

use super::periods::Periods;
use super::{Model, MoveCommitted, Session};

/// One part in so many of what is left is set aside beyond what is needed.
const SHARE: u64 = 4;

/// A budget of a user's day or an account's month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// What was spent of it.
    pub spent: NanoUsd,
    /// What is set aside.
    pub reserved: NanoUsd,
    /// So much of both, at most, nobody could refuse: it was spent, or free to be spent, before it came to count here.
    pub unasked: NanoUsd,
}

/// What a session was given back with one credit.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenBack {
    /// For which days, the newest first, and how much for each.
    days: Vec<(i64, NanoUsd)>,
    /// The session was deleted since.
    pub(super) is_erased: bool,
}

/// What rows add up to.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    cost: NanoUsd,
    samples: u64,
    tokens: u64,
    characters: u64,
}

impl Session {
    fn reserved(&self) -> NanoUsd {
        self.row.authorised.saturating_sub(self.row.cost)
    }
}

impl Model {
    /// See [`relay::records::store::Store::reserve`].
    ///
    /// # Errors
    /// As the store's.
    pub fn reserve(&mut self, ask: &Reserve<'_>) -> Result<Reserved, StoreError> {
        let id = ask.session_id;
        let live = self.sessions.get(id).filter(|session| session.is_live());
        let Some(session) = live else { return Err(StoreError::NoSession { id: id.to_owned() }) };
        if session.row.epoch != ask.epoch {
            return Err(StoreError::Fenced { id: id.to_owned() });
        }
        let periods = Periods::at(ask.at_ms);
        let exposed = session.exposed.min(session.reserved());
        let (moves, set_aside) = (session.periods != periods, session.reserved());
        if moves {
            self.release(id);
        }
        if let Some(session) = self.sessions.get_mut(id) {
            if moves {
                session.row.authorised = session.row.cost;
                session.periods = periods;
            }
            session.exposed = exposed;
            let (user, account) = (session.row.user_sub.clone(), session.row.account.clone());
            self.note_caps(&user, &account, periods, ask.caps);
        }
        let reserved = self.grant(ask);
        if moves && matches!(reserved, Reserved::Short(_)) {
            // What was set aside on the day before and is used up or under way counts on the new one, whether there is room for it or not. Its
            // relay may use all of it until it knows that there is none.
            self.note_unasked(id, set_aside);
        }
        Ok(reserved)
    }

    /// Sets aside what fits.
    pub(super) fn grant(&mut self, ask: &Reserve<'_>) -> Reserved {
        let id = ask.session_id;
        let standing = self.standing(id, ask.caps);
        let mut budgets = standing.each();
        budgets.sort_by_key(|(_, balance)| balance.room());
        let [(scope, tightest), ..] = budgets;
        let Some(session) = self.sessions.get_mut(id) else {
            unreachable!("the session was looked up before")
        };
        let before = session.row.authorised;
        let least = ask.through.at_least.saturating_sub(before);
        let most = ask.through.at_most.max(ask.through.at_least).saturating_sub(before);
        if tightest.room() < least {
            let contended =
                tightest.left().saturating_sub(session.reserved()) >= least && scope != Scope::Session;
            let spent = ask.spent.max(session.row.cost + session.exposed);
            let authorised = if contended { spent } else { before.max(spent) };
            session.row.authorised = authorised;
            self.reserved_changed(id, before);
            return Reserved::Short(Shortage { scope, balance: tightest, contended, authorised });
        }
        let share = |budget: Balance| least.max(NanoUsd::new(budget.room().get() / SHARE));
        let more = most.min(standing.session.room()).min(share(standing.user)).min(share(standing.account));
        session.row.authorised += more;
        session.exposed = ask.exposed;
        let authorised = session.row.authorised;
        self.reserved_changed(id, before);
        Reserved::Granted(Grant { authorised, standing: self.standing(id, ask.caps) })
    }

    /// What a session has set aside was `before` and is another amount now.
    fn reserved_changed(&mut self, id: &str, before: NanoUsd) {
        let Some(session) = self.sessions.get(id) else { return };
        let change = signed(session.row.authorised) - signed(before);
        let (user, account, periods) =
            (session.row.user_sub.clone(), session.row.account.clone(), session.periods);
        self.change_budgets(&user, &account, periods, NanoUsd::ZERO, change);
    }

    /// See [`relay::records::store::Store::settle`].
    ///
    /// # Errors
    /// As the store's.
    pub fn settle(&mut self, settle: &Settle) -> Result<Settled, StoreError> {
        let id = &*settle.session_id;
        let Some(session) = self.sessions.get(id) else {
            self.settle_erased(settle)?;
            return Err(StoreError::Erased { id: id.to_owned() });
        };
        if session.row.epoch != settle.epoch && !is_still_owed(session, settle) {
            return Err(StoreError::Fenced { id: id.to_owned() });
        }
        let (is_live, settlements, held) = (session.is_live(), session.row.settlements, session.exposed);
        let sums = self.append(id, &settle.rows, settle.at_ms);
        let is_copy = settle.number > 0 && settle.number <= settlements;
        let exposed = if is_copy { held } else { settle.exposed };
        let exposed = if is_live { exposed } else { NanoUsd::ZERO };
        self.book(id, sums, exposed, settle.release && !is_copy || !is_live, Some(settle));
        if !is_live {
            // What was set aside for it was given back when it ended, and others may have it by now.
            self.note_unasked(id, sums.cost);
        }
        self.give_back(settle);
        let standing = self.standing(id, settle.caps);
        let alerts = self.reached(id, &standing, settle.at_ms);
        let cost = self.sessions.get(id).map(|session| session.row.cost).unwrap_or_default();
        Ok(Settled { cost, standing, alerts })
    }

    /// Gives back what a settlement says, on the days on which its session was charged for the item, the newest first, and not more than that.
    fn give_back(&mut self, settle: &Settle) {
        for late in &settle.credits {
            let Some(session) = self.sessions.get(&settle.session_id) else { return };
            let key = format!("{}/{}", settle.session_id, late.key);
            if self.credits.contains_key(&key) {
                continue;
            }
            let (user, account) = (session.row.user_sub.clone(), session.row.account.clone());
            let mut charged: BTreeMap<i64, NanoUsd> = BTreeMap::new();
            for (row, at_ms) in session.ledger.values().filter(|(row, _)| row.item == late.item()) {
                *charged.entry(Periods::at(*at_ms).day).or_default() += row.cost;
            }
            let begins = format!("{}/{}@", settle.session_id, late.item());
            let (mut due, mut given) = (late.amount, GivenBack::default());
            for (day, charged) in charged.into_iter().rev() {
                let own = self.credits.iter().filter(|(key, own)| key.starts_with(&begins) && !own.is_erased);
                let own = own.flat_map(|(_, own)| &own.days).filter(|(of, _)| *of == day);
                let own = own.fold(NanoUsd::ZERO, |sum, (_, amount)| sum + *amount);
                let amount = due.min(charged.saturating_sub(own));
                if amount == NanoUsd::ZERO {
                    continue;
                }
                for (is_account, owner, period) in
                    [(true, &account, Periods::of_day(day).month), (false, &user, day)]
                {
                    let counters = self.budgets.entry((is_account, owner.clone(), period)).or_default();
                    let before = counters.spent;
                    counters.spent = before.saturating_sub(amount);
                    *self.lowered.entry(is_account).or_default() += before.saturating_sub(counters.spent);
                }
                due = due.saturating_sub(amount);
                given.days.push((day, amount));
            }
            if !given.days.is_empty() {
                self.credits.insert(key, given);
            }
        }
    }

    /// What was given back: the key and the amount of each credit, whatever the days for which it was given.
    pub fn credits(&self) -> impl Iterator<Item = (&str, NanoUsd)> {
        let sum = |days: &[(i64, NanoUsd)]| days.iter().fold(NanoUsd::ZERO, |sum, (_, amount)| sum + *amount);
        self.credits.iter().map(move |(key, given)| (key.as_str(), sum(&given.days)))
    }

    /// The same as the store has it, in which each day has a credit: the first one under the key, and each other one under the key and the day.
    #[must_use]
    pub fn credits_by_day(&self) -> Vec<(String, NanoUsd)> {
        let mut credits = Vec::new();
        for (key, given) in &self.credits {
            for (place, (day, amount)) in given.days.iter().enumerate() {
                let key = match place {
                    0 => key.clone(),
                    _ => format!("{key}/{}", Periods::of_day(*day).day_name()),
                };
                credits.push((key, *amount));
            }
        }
        credits.sort_unstable();
        credits
    }

    /// By how much credits have lowered what is spent of the budgets of accounts, or of users.
    #[must_use]
    pub fn lowered(&self, of_accounts: bool) -> NanoUsd {
        self.lowered.get(&of_accounts).copied().unwrap_or_default()
    }

    /// See [`relay::records::store::Store::exhausted`].
    ///
    /// # Errors
    /// As the store's.
    pub fn exhausted(
        &mut self,
        id: &str,
        scope: Scope,
        balance: Balance,
        at_ms: i64,
    ) -> Result<Option<Alert>, StoreError> {
        let Some(session) = self.sessions.get(id) else {
            return Err(StoreError::NoSession { id: id.to_owned() });
        };
        let spent = match scope {
            Scope::Session => session.row.cost,
            Scope::User | Scope::Account => self.counters_of(session, scope).spent,
        };
        let balance = Balance { spent: spent.max(balance.spent), ..balance };
        let mut told = self.through(id, scope, balance, 100, at_ms);
        Ok(told.pop_if(|alert| alert.percent == 100))
    }

    /// Gives back everything a session has reserved and not spent.
    pub(super) fn release(&mut self, id: &str) {
        let Some(session) = self.sessions.get(id) else { return };
        if session.reserved() > NanoUsd::ZERO || session.exposed > NanoUsd::ZERO {
            self.book(id, Sums::default(), NanoUsd::ZERO, true, None);
        }
    }

    /// Charges what a lost session had exposed, and gives back the rest.
    pub(super) fn write_off(&mut self, now: i64, id: &str) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let charge = session.exposed.min(session.reserved());
        if charge == NanoUsd::ZERO {
            return self.release(id);
        }
        let row = LedgerRow::lost(session.row.epoch, charge);
        session.row.epoch += 1;
        let sums = self.append(id, &[row], now);
        self.book(id, sums, NanoUsd::ZERO, true, None);
        let standing = self.standing(id, self.last_caps(id));
        self.reached(id, &standing, now);
    }

    /// Notes what a user and an account may spend, as the call says that sets money aside.
    pub(super) fn note_caps(&mut self, user: &str, account: &str, periods: Periods, caps: Caps) {
        let of_account = (caps.account_month, caps.token.account_month);
        self.caps.insert((true, account.to_owned(), periods.month), of_account);
        self.caps.insert((false, user.to_owned(), periods.day), (caps.user_day, caps.token.user_day));
    }

    /// What a session's user and account may spend, as their last call had it. What the session may spend only its relay knows.
    fn last_caps(&self, id: &str) -> Caps {
        let zero = NanoUsd::ZERO;
        let none = Caps { session: zero, user_day: zero, account_month: zero, token: TokenCaps::NONE };
        let Some(Session { row, periods, .. }) = self.sessions.get(id) else { return none };
        let of = |key: (bool, String, i64)| self.caps.get(&key).copied().unwrap_or_default();
        let (user_day, user_token) = of((false, row.user_sub.clone(), periods.day));
        let (account_month, account_token) = of((true, row.account.clone(), periods.month));
        let token = TokenCaps { user_day: user_token, account_month: account_token };
        Caps { session: zero, user_day, account_month, token }
    }

    fn append(&mut self, id: &str, rows: &[LedgerRow], at_ms: i64) -> Sums {
        let mut sums = Sums::default();
        let Some(session) = self.sessions.get_mut(id) else { return sums };
        for row in rows {
            if !session.ledger.contains_key(&row.key) {
                session.ledger.insert(row.key.clone(), (row.clone(), at_ms));
                sums.cost += row.cost;
                match row.unit.as_str() {
                    SAMPLE => sums.samples += row.quantity,
                    "character" => sums.characters += row.quantity,
                    // What goes beyond what was set aside is no part of what the session has used.
                    unit if unit.ends_with("token") && !unit.starts_with(LedgerRow::EXCESS) => {
                        sums.tokens += row.quantity;
                    }
                    _ => {}
                }
            }
        }
        sums
    }

    /// Adds to a session's cost and takes it out of what is reserved, there and in the budgets.
    fn book(&mut self, id: &str, sums: Sums, exposed: NanoUsd, release: bool, settle: Option<&Settle>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let reserved = session.reserved();
        let row = &mut session.row;
        row.cost += sums.cost;
        row.authorised = if release { row.cost } else { row.authorised.max(row.cost) };
        row.audio_samples += sums.samples;
        row.tokens += sums.tokens;
        row.characters += sums.characters;
        if let Some(settle) = settle {
            // An older one that is written late, or twice, knows nothing of what was committed since.
            let is_newest = (settle.number == 0 || settle.number > row.settlements)
                && row.metered_position <= settle.metered_position
                && row.committed.position <= settle.committed.position;
            if is_newest {
                row.replayable_samples = settle.replayable_samples;
            }
            row.settlements = row.settlements.max(settle.number);
            row.metered_position = row.metered_position.max(settle.metered_position);
            row.move_committed(settle.committed);
        }
        session.exposed = exposed;
        let change = signed(session.reserved()) - signed(reserved);
        let (user, account, periods) =
            (session.row.user_sub.clone(), session.row.account.clone(), session.periods);
        self.change_budgets(&user, &account, periods, sums.cost, change);
    }

    /// So much of a session counts in its budgets that was not asked for there.
    fn note_unasked(&mut self, id: &str, amount: NanoUsd) {
        let Some(session) = self.sessions.get(id) else { return };
        let (user, account, periods) =
            (session.row.user_sub.clone(), session.row.account.clone(), session.periods);
        self.add_unasked(&user, &account, periods, amount);
    }

    pub(super) fn add_unasked(&mut self, user: &str, account: &str, periods: Periods, amount: NanoUsd) {
        for (is_account, owner, period) in [(true, account, periods.month), (false, user, periods.day)] {
            let counters = self.budgets.entry((is_account, owner.to_owned(), period)).or_default();
            counters.unasked += amount;
        }
    }

    pub(super) fn change_budgets(
        &mut self,
        user: &str,
        account: &str,
        periods: Periods,
        spent: NanoUsd,
        reserved: i64,
    ) {
        for (is_account, owner, period) in [(true, account, periods.month), (false, user, periods.day)] {
            let counters = self.budgets.entry((is_account, owner.to_owned(), period)).or_default();
            counters.spent += spent;
            let after = signed(counters.reserved) + reserved;
            assert!(after >= 0, "a budget has less than nothing set aside");
            counters.reserved = NanoUsd::new(after.unsigned_abs());
        }
    }

    fn counters_of(&self, session: &Session, scope: Scope) -> Counters {
        let key = match scope {
            Scope::Account => (true, session.row.account.clone(), session.periods.month),
            Scope::User | Scope::Session => (false, session.row.user_sub.clone(), session.periods.day),
        };
        self.budgets.get(&key).copied().unwrap_or_default()
    }

    /// The budgets of a session.
    #[must_use]
    pub fn standing(&self, id: &str, caps: Caps) -> Standing {
        let Some(session) = self.sessions.get(id) else { return Standing::unused(caps) };
        let with =
            |counters: Counters, limit| Balance { limit, spent: counters.spent, reserved: counters.reserved };
        let own = Counters { spent: session.row.cost, reserved: session.reserved(), unasked: NanoUsd::ZERO };
        // Nobody sets a cap here.
        let (user_day, account_month) = caps.with(&Overrides::default());
        Standing {
            session: with(own, caps.session),
            user: with(self.counters_of(session, Scope::User), user_day),
            account: with(self.counters_of(session, Scope::Account), account_month),
        }
    }

    /// Every budget: whether it is an account's, whose, and how it stands.
    pub fn budgets(&self) -> impl Iterator<Item = (bool, &str, Counters)> {
        self.budgets.iter().map(|((is_account, owner, _), counters)| (*is_account, owner.as_str(), *counters))
    }

    /// Notes the thresholds that are reached by now and were not told in their periods, whatever has reached them.
    fn reached(&mut self, id: &str, standing: &Standing, at_ms: i64) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for (scope, balance) in standing.each() {
            let reached = |percent: &u32| balance.has_reached(*percent);
            if let Some(highest) = THRESHOLDS.into_iter().rfind(reached) {
                alerts.extend(self.through(id, scope, balance, highest, at_ms));
            }
        }
        alerts
    }

    /// Notes what is reached by then of the budgets of whoever pays for a session that is erased. It is not named, and neither is a user who has no
    /// session left.
    pub(super) fn reached_by_erased(&mut self, payer: &Payer, periods: Periods, caps: Caps, at_ms: i64) {
        let (user_day, account_month) = caps.with(&Overrides::default());
        let Payer { user_sub, account } = payer;
        let is_there = self.sessions.values().any(|session| session.row.user_sub == *user_sub);
        let named = if is_there { user_sub.as_str() } else { "" };
        for (scope, owner, named, limit) in
            [(Scope::User, user_sub, named, user_day), (Scope::Account, account, "", account_month)]
        {
            let (key, period) = match scope {
                Scope::Account => ((true, owner.clone(), periods.month), periods.month_name()),
                Scope::User | Scope::Session => ((false, owner.clone(), periods.day), periods.day_name()),
            };
            let Counters { spent, reserved, .. } = self.budgets.get(&key).copied().unwrap_or_default();
            let balance = Balance { limit, spent, reserved };
            if let Some(highest) = THRESHOLDS.into_iter().rfind(|percent| balance.has_reached(*percent)) {
                let about = Alert {
                    id: String::new(),
                    scope,
                    period,
                    percent: highest,
                    session_id: String::new(),
                    user_sub: named.to_owned(),
                    account: account.clone(),
                    limit,
                    spent,
                    created_at_ms: at_ms,
                    due_since_ms: at_ms,
                    attempts: 0,
                };
                self.tell(owner, &about);
            }
        }
    }

    fn through(&mut self, id: &str, scope: Scope, balance: Balance, highest: u32, at_ms: i64) -> Vec<Alert> {
        let Some(session) = self.sessions.get(id) else { return Vec::new() };
        let row = &session.row;
        let (owner, period) = match scope {
            Scope::Session => (row.id.clone(), String::new()),
            Scope::User => (row.user_sub.clone(), session.periods.day_name()),
            Scope::Account => (row.account.clone(), session.periods.month_name()),
        };
        let about = Alert {
            id: String::new(),
            scope,
            period,
            percent: highest,
            session_id: row.id.clone(),
            user_sub: row.user_sub.clone(),
            account: row.account.clone(),
            limit: balance.limit,
            spent: balance.spent,
            created_at_ms: at_ms,
            due_since_ms: at_ms,
            attempts: 0,
        };
        self.tell(&owner, &about)
    }

    /// Tells a threshold and those below it, the lowest first, as far as they were not told of the budget of this owner.
    fn tell(&mut self, owner: &str, about: &Alert) -> Vec<Alert> {
        let key = (about.scope.name(), owner.to_owned(), about.period.clone());
        let told = self.told.entry(key).or_default();
        let is_new = |percent: &u32| *told < *percent && *percent <= about.percent;
        let new = THRESHOLDS.into_iter().filter(is_new).zip(self.alerts.len()..);
        let alert = |(percent, number)| Alert { id: format!("alert-{number}"), percent, ..about.clone() };
        let alerts: Vec<Alert> = new.map(alert).collect();
        *told = about.percent.max(*told);
        self.alerts.extend(alerts.iter().cloned());
        alerts
    }
}

/// Whether what an earlier epoch spent is owed nevertheless.
fn is_still_owed(session: &Session, settle: &Settle) -> bool {
    if session.is_live() || session.row.epoch <= settle.epoch {
        return false;
    }
    let charged = session.ledger.contains_key(&format!("lost@{}", settle.epoch));
    let Some(first) = decisive(&settle.rows) else {
        return !settle.credits.is_empty() && !charged;
    };
    let of_item = session.ledger.values().filter(|(row, _)| row.item == first.item && row.unit == SAMPLE);
    let samples: u64 = of_item.map(|(row, _)| row.quantity).sum();
    let written = session.ledger.get(&first.key).is_some_and(|(row, _)| row.quantity == first.quantity);
    (goes_on(first, samples) || written) && !charged
}

/// The row by which it is told whether others went on with the same audio.
pub(super) fn decisive(rows: &[LedgerRow]) -> Option<&LedgerRow> {
    rows.iter().find(|row| row.unit == SAMPLE).or(rows.first())
}

/// Whether a row goes on where the audio of its item ends.
pub(super) fn goes_on(row: &LedgerRow, samples: u64) -> bool {
    let begins_at = || row.key.rsplit_once('@').and_then(|(_, at)| at.parse().ok());
    row.unit != SAMPLE || begins_at() == Some(samples)
}

/// What a session's rows add up to, by item and unit.
pub(super) fn by_item(session: &Session) -> Vec<ItemSum> {
    let mut sums: Vec<ItemSum> = Vec::new();
    for (row, _) in session.ledger.values() {
        match sums.iter_mut().find(|sum| sum.item == row.item && sum.unit == row.unit) {
            Some(sum) => {
                sum.quantity += row.quantity;
                sum.cost += row.cost;
            }
            None => sums.push(ItemSum {
                item: row.item.clone(),
                unit: row.unit.clone(),
                quantity: row.quantity,
                cost: row.cost,
            }),
        }
    }
    sums.sort_by(|one, other| (&one.item, &one.unit).cmp(&(&other.item, &other.unit)));
    sums
}

fn signed(money: NanoUsd) -> i64 {
    money.get() as i64
}
