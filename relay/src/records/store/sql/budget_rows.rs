//! The rows of budgets: whose each is and of which period, and how it is locked, read and changed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;

use super::money::Locked;
use super::read::{self, Reading};
use super::{Dialect, Sql, StoreError, Tx, damage, signed, sql};
use crate::money::NanoUsd;
use crate::money::budget::{Balance, Caps, Scope, TokenCaps};

/// The digits of a hash. Two hashes are written for each settlement, so not digit by digit into a text of its own.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Makes the row of a budget if need be, locks it and reads it.
pub(super) const LOCK_BUDGET: Sql = sql!(
    "INSERT INTO budgets (scope, owner, period) VALUES ($1, $2, $3)
    ON CONFLICT (scope, owner, period) DO UPDATE SET spent_nano_usd = budgets.spent_nano_usd
    RETURNING spent_nano_usd, reserved_nano_usd"
);

/// The same, and says whose it is, and what they may spend by configuration and plan and by their token.
const LOCK_AND_NAME_BUDGET: Sql = sql!(
    "INSERT INTO budgets (scope, owner, period, name, plan_nano_usd, token_nano_usd) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (scope, owner, period) DO UPDATE SET name = excluded.name, plan_nano_usd = excluded.plan_nano_usd,
        token_nano_usd = excluded.token_nano_usd
    RETURNING spent_nano_usd, reserved_nano_usd"
);

pub(super) const READ_BUDGET: Sql = sql!(
    "SELECT spent_nano_usd, reserved_nano_usd FROM budgets WHERE scope = $1 AND owner = $2 AND period = $3"
);

/// What the owner of a budget may spend by configuration and plan, and by their token, as their last call had it.
const READ_CAPS: Sql =
    sql!("SELECT plan_nano_usd, token_nano_usd FROM budgets WHERE scope = $1 AND owner = $2 AND period = $3");

const CHANGE_BUDGET: Sql = sql!(
    "UPDATE budgets SET spent_nano_usd = spent_nano_usd + $1, reserved_nano_usd = reserved_nano_usd + $2
    WHERE scope = $3 AND owner = $4 AND period = $5
    RETURNING spent_nano_usd, reserved_nano_usd"
);

/// Both in one way to SQLite's thread and back. PostgreSQL is to lock them one after the other, in the same order for everybody.
const CHANGE_BUDGETS: Sql = sql!(
    "UPDATE budgets SET spent_nano_usd = spent_nano_usd + $1, reserved_nano_usd = reserved_nano_usd + $2
    WHERE (scope = $3 AND owner = $4 AND period = $5) OR (scope = $6 AND owner = $7 AND period = $8)
    RETURNING scope, spent_nano_usd, reserved_nano_usd"
);

/// The owners of a session's budgets. A budget is known by the hash of its owner's name, so that it is found again when the name is erased.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    user: String,
    account: String,
    pub(super) user_name: String,
    pub(super) account_name: String,
}

/// The periods of a session's budgets: a day for the user's and a month for the account's (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Periods {
    pub(super) user: String,
    pub(super) account: String,
}

/// What a budget's row says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) spent: NanoUsd,
    pub(super) reserved: NanoUsd,
}

impl Owners {
    pub(super) fn new(user_sub: &str, account: &str) -> Owners {
        Owners {
            user: hashed("user", user_sub),
            account: hashed("account", account),
            user_name: user_sub.to_owned(),
            account_name: account.to_owned(),
        }
    }
}

impl Periods {
    pub(super) fn at(unix_ms: i64) -> Periods {
        let date = Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
        Periods { user: date.to_string(), account: format!("{:04}-{:02}", date.year(), date.month()) }
    }
}

impl Counters {
    /// Reads the row of a budget with this [`key`].
    pub(super) fn read(
        row: &AnyRow,
        scope: Scope,
        (owner, period): (&str, &str),
    ) -> Result<Counters, StoreError> {
        let name = format!("budget {} {owner} {period}", scope.name());
        let row = Reading::new(row, &name);
        let money =
            |column| row.money(column).map_err(|error| read::needed(damage::BUDGETS, error, || name.clone()));
        Ok(Counters { spent: money("spent_nano_usd")?, reserved: money("reserved_nano_usd")? })
    }

    pub(super) fn with(self, limit: NanoUsd) -> Balance {
        Balance { limit, spent: self.spent, reserved: self.reserved }
    }
}

/// The hash under which something is kept of whoever has this name in this scope.
pub(super) fn hashed(scope: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{scope}\n{name}").as_bytes());
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Locks and reads the rows of the budgets: first the account's, then the user's.
pub(super) async fn lock_budgets(
    tx: &mut Tx<'_>,
    owners: &Owners,
    periods: &Periods,
) -> Result<(Counters, Counters), StoreError> {
    let account = budget(tx, LOCK_BUDGET, Scope::Account, owners, periods).await?;
    let user = budget(tx, LOCK_BUDGET, Scope::User, owners, periods).await?;
    Ok((account, user))
}

/// Locks the budgets of several sessions: first those of all accounts, then those of all users.
pub(super) async fn lock_budgets_of(tx: &mut Tx<'_>, sessions: &[Locked]) -> Result<(), StoreError> {
    for scope in [Scope::Account, Scope::User] {
        let keys = sessions.iter().map(|locked| key(scope, &locked.owners, &locked.periods));
        let keys: BTreeSet<(&str, &str)> = keys.collect();
        for (owner, period) in keys {
            let lock = tx.query(LOCK_BUDGET).bind(scope.name()).bind(owner).bind(period);
            lock.fetch_one(&mut *tx.connection).await?;
        }
    }
    Ok(())
}

/// Locks and reads the rows of the budgets in the same order, and says whose they are and what they may spend.
pub(super) async fn lock_and_name_budgets(
    tx: &mut Tx<'_>,
    owners: &Owners,
    periods: &Periods,
    caps: &Caps,
) -> Result<(Counters, Counters), StoreError> {
    let mut locked = [Counters::default(); 2];
    for (scope, counters) in [Scope::Account, Scope::User].into_iter().zip(&mut locked) {
        let (owner, period) = key(scope, owners, periods);
        let (name, plan, token) = match scope {
            Scope::Account => (&owners.account_name, caps.account_month, caps.token.account_month),
            Scope::User | Scope::Session => (&owners.user_name, caps.user_day, caps.token.user_day),
        };
        let query = tx.query(LOCK_AND_NAME_BUDGET).bind(scope.name()).bind(owner).bind(period).bind(name);
        let query = query.bind(signed(plan.get())).bind(token.map(|token| signed(token.get())));
        *counters = Counters::read(&query.fetch_one(&mut *tx.connection).await?, scope, (owner, period))?;
    }
    let [account, user] = locked;
    Ok((account, user))
}

/// What a user and an account may spend by configuration, plan and token, as their last call had it: nothing where no call has said so. What a session
/// may spend only its relay knows.
pub(super) async fn last_caps(
    tx: &mut Tx<'_>,
    owners: &Owners,
    periods: &Periods,
) -> Result<Caps, StoreError> {
    let zero = NanoUsd::ZERO;
    let mut caps = Caps { session: zero, user_day: zero, account_month: zero, token: TokenCaps::NONE };
    for scope in [Scope::Account, Scope::User] {
        let (owner, period) = key(scope, owners, periods);
        let query = tx.query(READ_CAPS).bind(scope.name()).bind(owner).bind(period);
        let Some(row) = query.fetch_optional(&mut *tx.connection).await? else { continue };
        let row = Reading::new(&row, "the caps of a budget");
        // Alerts alone depend on them: a figure that cannot be one is none.
        let cap = |column| -> Result<Option<NanoUsd>, StoreError> {
            let cap = row.maybe_signed(column)?.and_then(|cap| u64::try_from(cap).ok());
            Ok(cap.map(NanoUsd::new))
        };
        let (plan, token) = (cap("plan_nano_usd")?.unwrap_or_default(), cap("token_nano_usd")?);
        match scope {
            Scope::Account => (caps.account_month, caps.token.account_month) = (plan, token),
            Scope::User | Scope::Session => (caps.user_day, caps.token.user_day) = (plan, token),
        }
    }
    Ok(caps)
}

pub(super) async fn budget(
    tx: &mut Tx<'_>,
    sql: Sql,
    scope: Scope,
    owners: &Owners,
    periods: &Periods,
) -> Result<Counters, StoreError> {
    let (owner, period) = key(scope, owners, periods);
    let row =
        tx.query(sql).bind(scope.name()).bind(owner).bind(period).fetch_optional(&mut *tx.connection).await?;
    row.map_or(Ok(Counters::default()), |row| Counters::read(&row, scope, (owner, period)))
}

/// The owner and the period of a budget. A session's own budget has no row, and no key of its own.
pub(super) fn key<'a>(scope: Scope, owners: &'a Owners, periods: &'a Periods) -> (&'a str, &'a str) {
    match scope {
        Scope::Account => (&owners.account, &periods.account),
        Scope::User | Scope::Session => (&owners.user, &periods.user),
    }
}

/// Adds to what is spent and to what is reserved in both budgets, and returns the account's and the user's as they are then.
pub(super) async fn change_budgets(
    tx: &mut Tx<'_>,
    locked: &Locked,
    spent: i64,
    reserved: i64,
) -> Result<(Counters, Counters), StoreError> {
    let scopes = [Scope::Account, Scope::User];
    let mut after = [None; 2];
    if tx.dialect == Dialect::Sqlite {
        let mut query = tx.query(CHANGE_BUDGETS).bind(spent).bind(reserved);
        for scope in scopes {
            let (owner, period) = key(scope, &locked.owners, &locked.periods);
            query = query.bind(scope.name()).bind(owner).bind(period);
        }
        for row in query.fetch_all(&mut *tx.connection).await? {
            let changed = Reading::new(&row, "a budget").text("scope")?;
            for (scope, after) in scopes.into_iter().zip(&mut after).filter(|(of, _)| of.name() == changed) {
                let of = key(scope, &locked.owners, &locked.periods);
                *after = Some(Counters::read(&row, scope, of)?);
            }
        }
    }
    for (scope, after) in scopes.into_iter().zip(&mut after) {
        if after.is_some() {
            continue;
        }
        let (owner, period) = key(scope, &locked.owners, &locked.periods);
        let mut changed = None;
        // If the budget has no row, this makes it and tries again.
        for _ in 0..2 {
            let query = tx.query(CHANGE_BUDGET).bind(spent).bind(reserved);
            let query = query.bind(scope.name()).bind(owner).bind(period);
            changed = query.fetch_optional(&mut *tx.connection).await?;
            if changed.is_some() {
                break;
            }
            budget(tx, LOCK_BUDGET, scope, &locked.owners, &locked.periods).await?;
        }
        *after = Some(Counters::read(&changed.ok_or(sqlx::Error::RowNotFound)?, scope, (owner, period))?);
    }
    let [account, user] = after.map(Option::unwrap_or_default);
    Ok((account, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_a_month_are_those_of_utc() {
        let periods = |ms| {
            let Periods { user, account } = Periods::at(ms);
            (user, account)
        };
        assert_eq!(periods(0), ("1970-01-01".into(), "1970-01".into()));
        assert_eq!(periods(1_798_761_599_999), ("2026-12-31".into(), "2026-12".into()));
        assert_eq!(periods(1_798_761_600_000), ("2027-01-01".into(), "2027-01".into()));
    }

    #[test]
    fn a_user_and_an_account_of_one_name_are_two_owners() {
        let owners = Owners::new("ada", "ada");
        assert_ne!(owners.user, owners.account);
        assert_eq!(owners.user.len(), 64);
        // What `printf 'user\nada' | sha256sum` prints.
        assert_eq!(owners.user, "e690cb6f2007dd9d52439eaff4e84ce93f9a1a691c8a0946d17308723839b242");
    }
}
