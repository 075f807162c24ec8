//! Credits: rows beside the ledger, which take out of what is spent what was charged by mistake.
//!
//! A credit lowers what is spent of the account's month, and of the user's day if it names a user, never below nothing. It is never more than
//! was charged for that day and not given back yet, so that a slip of the pen cannot give away what nobody has paid. What a provider says
//! afterwards that it bills less is given back with the settlement that says so, by the same rules.

use futures_util::FutureExt;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::any::AnyRow;

use super::super::audit::DeedKind;
use super::super::credit::{CREDITED_BY_RELAY, Credit, CreditFilter, Credited};
use super::super::query::{Cursor, Page};
use super::super::types::Settle;
use super::audit::{self, Done};
use super::money::{self, Locked, Owners, Periods};
use super::page::Select;
use super::read::Reading;
use super::{Durability, Sql, SqlStore, StoreError, Tx, signed, sql};
use crate::money::NanoUsd;
use crate::money::budget::Scope;

const DAY_MS: i64 = 86_400_000;

const GIVE: Sql = sql!(
    "INSERT INTO credits (key, account, user_sub, day, amount_nano_usd, reason, created_by, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (key) DO NOTHING"
);

const CREDITS: Sql = sql!(
    "SELECT key, account, user_sub, day, amount_nano_usd, reason, created_by, created_at FROM credits WHERE 1 = 1"
);

const OF_KEY: Sql = sql!(
    "SELECT key, account, user_sub, day, amount_nano_usd, reason, created_by, created_at FROM credits WHERE key = $1"
);

/// What an account was charged for a day, and what it has back without the credit of the last argument, which is being given: so no sum is
/// ever larger than what was charged, however large a credit is asked for.
const OF_ACCOUNT: Sql = sql!(
    "SELECT CAST(COALESCE((SELECT SUM(cost_nano_usd) FROM ledger
                WHERE account = $1 AND created_at >= $2 AND created_at < $3), 0)
            + COALESCE((SELECT SUM(cost_nano_usd) FROM erased_usage WHERE account = $1 AND day = $4), 0) AS BIGINT) AS charged,
        CAST(COALESCE((SELECT SUM(amount_nano_usd) FROM credits WHERE account = $1 AND day = $4 AND key <> $5), 0) AS BIGINT) AS credited"
);

/// The same of one user of the account.
const OF_USER: Sql = sql!(
    "SELECT CAST(COALESCE((SELECT SUM(cost_nano_usd) FROM ledger
                WHERE account = $1 AND created_at >= $2 AND created_at < $3 AND user_sub = $6), 0) AS BIGINT) AS charged,
        CAST(COALESCE((SELECT SUM(amount_nano_usd) FROM credits
                WHERE account = $1 AND day = $4 AND key <> $5 AND user_sub = $6), 0) AS BIGINT) AS credited"
);

const LOWER: Sql = sql!(
    "UPDATE budgets SET spent_nano_usd = CASE WHEN spent_nano_usd < $1 THEN 0 ELSE spent_nano_usd - $1 END
    WHERE scope = $2 AND owner = $3 AND period = $4
    RETURNING spent_nano_usd"
);

impl SqlStore {
    pub(in crate::records::store) async fn give_credit(
        &self,
        credit: &Credit,
    ) -> Result<Credited, StoreError> {
        let credit = credit.clone();
        self.transaction_or_undo(Durability::PowerCut, move |mut tx| {
            async move { give(&mut tx, credit).await }.boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn list_credits(
        &self,
        filter: &CreditFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Credit, Cursor>, StoreError> {
        let mut select = Select::new(self.dialect.pick(CREDITS));
        select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND account = ?", filter.account.as_ref());
        if let Some(Cursor { at_ms, id }) = after {
            select.push(" AND (created_at, key) < (?, ?)", [(*at_ms).into(), id.into()]);
        }
        select.push(" ORDER BY created_at DESC, key DESC", []);
        let cursor = |credit: &Credit| Cursor { at_ms: credit.created_at_ms, id: credit.key.clone() };
        select.page(&self.readers, limit, read, cursor).await
    }
}

async fn give(tx: &mut Tx<'_>, credit: Credit) -> Result<Result<Credited, Credited>, StoreError> {
    let owners = Owners::new(credit.user_sub.as_deref().unwrap_or_default(), &credit.account);
    let periods =
        Periods { account: credit.day.chars().take("2026-12".len()).collect(), user: credit.day.clone() };
    // Taking nothing locks the budget, so that two credits of one account are given one after the other and both count.
    let account_spent = lower(tx, Scope::Account, &owners, &periods, NanoUsd::ZERO).await?;
    let is_new = insert(tx, &credit).await?;
    if !is_new {
        let row = tx.query(OF_KEY).bind(&*credit.key).fetch_one(&mut *tx.connection).await?;
        let there = read(&row)?;
        if !is_same(&there, &credit) {
            return Ok(Err(Credited::KeyInUse));
        }
        let user_spent = match there.user_sub {
            Some(_) => Some(lower(tx, Scope::User, &owners, &periods, NanoUsd::ZERO).await?),
            None => None,
        };
        return Ok(Ok(Credited::Yes { credit: there, new: false, account_spent, user_spent }));
    }
    if let Some(left) = exceeded(tx, &credit).await? {
        return Ok(Err(Credited::TooMuch { left }));
    }
    let account_spent = lower(tx, Scope::Account, &owners, &periods, credit.amount).await?;
    let user_spent = match credit.user_sub {
        Some(_) => Some(lower(tx, Scope::User, &owners, &periods, credit.amount).await?),
        None => None,
    };
    let done = Done {
        by: &credit.created_by,
        what: DeedKind::GiveCredit,
        user_sub: credit.user_sub.as_deref(),
        subject: &credit.key,
        reason: &credit.reason,
    };
    audit::write(tx, done).await?;
    Ok(Ok(Credited::Yes { credit, new: true, account_spent, user_spent }))
}

/// Gives back what a settlement says, of what was charged for the day of its session's budgets and not more than that. Says what is spent then of
/// the account's budget and the user's; `None` if the settlement gives nothing back. A credit that is there already is not given again. No
/// administrator has done it, so it is not in the audit.
pub(super) async fn give_late(
    tx: &mut Tx<'_>,
    locked: &Locked,
    settle: &Settle,
) -> Result<Option<(NanoUsd, NanoUsd)>, StoreError> {
    let Locked { id, owners, periods, .. } = locked;
    let mut spent = None;
    for late in &settle.credits {
        let mut credit = Credit {
            key: format!("{id}/{}", late.key),
            account: owners.account_name.clone(),
            user_sub: Some(owners.user_name.clone()),
            day: periods.user.clone(),
            amount: late.amount,
            reason: late.reason(),
            created_by: CREDITED_BY_RELAY.to_owned(),
            created_at_ms: settle.at_ms,
        };
        // Taking nothing locks the budgets, the account's first.
        lower(tx, Scope::Account, owners, periods, NanoUsd::ZERO).await?;
        if let Some(left) = exceeded(tx, &credit).await? {
            credit.amount = left;
        }
        let is_given = credit.amount > NanoUsd::ZERO && insert(tx, &credit).await?;
        let amount = if is_given { credit.amount } else { NanoUsd::ZERO };
        let account = lower(tx, Scope::Account, owners, periods, amount).await?;
        spent = Some((account, lower(tx, Scope::User, owners, periods, amount).await?));
    }
    Ok(spent)
}

/// Writes a credit. Says whether its key was free.
async fn insert(tx: &mut Tx<'_>, credit: &Credit) -> Result<bool, StoreError> {
    let done = tx
        .query(GIVE)
        .bind(&*credit.key)
        .bind(&*credit.account)
        .bind(credit.user_sub.as_deref())
        .bind(&*credit.day)
        .bind(signed(credit.amount.get()))
        .bind(&*credit.reason)
        .bind(&*credit.created_by)
        .bind(credit.created_at_ms)
        .execute(&mut *tx.connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// How much may be given back of that day without this credit, if this credit is more than that.
async fn exceeded(tx: &mut Tx<'_>, credit: &Credit) -> Result<Option<NanoUsd>, StoreError> {
    let begin_ms = midnight(&credit.day);
    let mut left = Vec::new();
    for (sql, user_sub) in [(OF_ACCOUNT, None), (OF_USER, credit.user_sub.as_deref())] {
        if user_sub.is_none() && !left.is_empty() {
            break;
        }
        let query = tx.query(sql).bind(&*credit.account).bind(begin_ms).bind(begin_ms.saturating_add(DAY_MS));
        let mut query = query.bind(&*credit.day).bind(&*credit.key);
        if let Some(user_sub) = user_sub {
            query = query.bind(user_sub);
        }
        let row = query.fetch_one(&mut *tx.connection).await?;
        let row = Reading::new(&row, "what was charged for a day");
        let (charged, credited) = (row.signed("charged")?, row.signed("credited")?);
        left.push(charged.saturating_sub(credited));
    }
    let left = left.into_iter().min().unwrap_or_default();
    let left = NanoUsd::new(u64::try_from(left).unwrap_or_default());
    Ok((left < credit.amount).then_some(left))
}

/// Takes an amount out of what is spent of a budget, and says what is spent then.
async fn lower(
    tx: &mut Tx<'_>,
    scope: Scope,
    owners: &Owners,
    periods: &Periods,
    amount: NanoUsd,
) -> Result<NanoUsd, StoreError> {
    let (owner, period) = money::key(scope, owners, periods);
    let lock = tx.query(money::LOCK_BUDGET).bind(scope.name()).bind(owner).bind(period);
    lock.fetch_one(&mut *tx.connection).await?;
    let query = tx.query(LOWER).bind(signed(amount.get())).bind(scope.name()).bind(owner).bind(period);
    let row = query.fetch_one(&mut *tx.connection).await?;
    Reading::new(&row, "a budget").money("spent_nano_usd")
}

/// Whether two credits of one key are one that was given twice. Of an erased user's credit, only what is left of it is compared.
fn is_same(there: &Credit, given: &Credit) -> bool {
    let is_erased = there.user_sub.is_none() && there.reason.is_empty();
    (&there.account, &there.day, there.amount) == (&given.account, &given.day, given.amount)
        && (is_erased || (&there.user_sub, &there.reason) == (&given.user_sub, &given.reason))
}

/// When a day begins, in milliseconds since 1970.
fn midnight(day: &str) -> i64 {
    let date: Result<Date, _> = day.parse();
    let midnight = date.and_then(|date| date.to_zoned(TimeZone::UTC));
    midnight.map_or(0, |midnight| midnight.timestamp().as_millisecond())
}

fn read(row: &AnyRow) -> Result<Credit, StoreError> {
    let row = Reading::new(row, "a credit");
    Ok(Credit {
        key: row.text("key")?,
        account: row.text("account")?,
        user_sub: row.maybe_text("user_sub")?,
        day: row.text("day")?,
        amount: row.money("amount_nano_usd")?,
        reason: row.text("reason")?,
        created_by: row.text("created_by")?,
        created_at_ms: row.signed("created_at")?,
    })
}
