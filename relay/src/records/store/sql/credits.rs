//! Credits: rows beside the ledger, which take out of what is spent what was charged by mistake.
//!
//! A credit lowers what is spent of the account's month, and of the user's day if it names a user, never below nothing. It is never more than
//! was charged for that day and not given back yet, so that a slip of the pen cannot give away what nobody has paid. What a provider says
//! afterwards that it bills less is given back with the settlement that says so, and is never more than its session was charged for that item.

use futures_util::FutureExt;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::any::AnyRow;

use super::super::audit::DeedKind;
use super::super::credit::{CREDITED_BY_RELAY, Credit, CreditFilter, Credited};
use super::super::query::{Cursor, Page};
use super::super::types::Settle;
use super::audit::{self, Done};
use super::budget_rows::{self, Owners, Periods};
use super::money::Locked;
use super::page::Select;
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, signed, sql};
use crate::money::NanoUsd;
use crate::money::budget::Scope;
use crate::money::ledger::LateCredit;
use crate::operations::telemetry;

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

/// The days (UTC) on which a session was charged for anything.
const CHARGED_DAYS: Sql =
    sql!("SELECT DISTINCT " DAY " AS day FROM ledger WHERE session_id = $1 AND cost_nano_usd > 0");

/// What a session was charged for an item on each day, the newest first.
const CHARGED_FOR: Sql = sql!(
    "SELECT day, CAST(SUM(cost_nano_usd) AS BIGINT) AS charged
    FROM (SELECT " DAY " AS day, cost_nano_usd FROM ledger
        WHERE session_id = $1 AND item = $2 AND cost_nano_usd > 0) AS charged_for
    GROUP BY day
    ORDER BY day DESC"
);

/// What a session has back of a day by relays, and how many credits others have given there to its user, or to its account as a whole. The account
/// stands beside what is counted, so that the index of users finds the rows, of which there are few: an account's day may have thousands.
const GIVEN_FOR: Sql = sql!(
    "SELECT CAST(COALESCE(SUM(own), 0) AS BIGINT) AS own, CAST(COALESCE(SUM(by_others), 0) AS BIGINT) AS by_others
    FROM (SELECT CASE WHEN created_by = $5 AND SUBSTR(key, 1, LENGTH($4)) = $4 THEN amount_nano_usd ELSE 0 END AS own,
            CASE WHEN created_by <> $5 AND account = $1 THEN 1 ELSE 0 END AS by_others
        FROM credits WHERE user_sub = $3 AND day = $2
        UNION ALL
        SELECT 0 AS own, CASE WHEN created_by <> $5 AND account = $1 THEN 1 ELSE 0 END AS by_others
        FROM credits WHERE user_sub IS NULL AND day = $2) AS given"
);

const LOWER: Sql = sql!(
    "UPDATE budgets SET spent_nano_usd = CASE WHEN spent_nano_usd < $1 THEN 0 ELSE spent_nano_usd - $1 END
    WHERE scope = $2 AND owner = $3 AND period = $4
    RETURNING spent_nano_usd"
);

/// What has become of the credits of a settlement.
#[derive(Debug, Default)]
pub(super) struct GivenLate {
    /// What is spent then of the account's budget of the session's month, if that was lowered.
    pub(super) account_spent: Option<NanoUsd>,
    /// What is spent then of the user's budget of the session's day, if that was lowered.
    pub(super) user_spent: Option<NanoUsd>,
    /// Those of which not all could be given.
    pub(super) cut: Vec<Cut>,
}

/// A credit of which not all could be given, since the user has most of it back already.
#[derive(Debug)]
pub(super) struct Cut {
    key: String,
    due: NanoUsd,
    given: NanoUsd,
}

impl Cut {
    /// Tells the operator, who may give the rest.
    pub(super) fn tell_operator(&self) {
        let Cut { key, due, given } = self;
        tracing::warn!(%key, %due, %given, "a credit is cut: more would be more than was charged");
        telemetry::credit_cut(due.saturating_sub(*given));
    }
}

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
        select.page(&self.readers, damage::CREDITS, limit, read, cursor).await
    }
}

async fn give(tx: &mut Tx<'_>, credit: Credit) -> Result<Result<Credited, Credited>, StoreError> {
    let owners = Owners::new(credit.user_sub.as_deref().unwrap_or_default(), &credit.account);
    let periods = of_day(&credit.day);
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

/// Locks the budgets of all days on which a session was charged, if its settlement gives something back: first those of its account, then those of
/// its user, as whoever locks budgets does.
pub(super) async fn lock_late(tx: &mut Tx<'_>, locked: &Locked, settle: &Settle) -> Result<(), StoreError> {
    if settle.credits.is_empty() {
        return Ok(());
    }
    let mut periods = vec![locked.periods.clone()];
    if settle.rows.iter().any(|row| row.cost > NanoUsd::ZERO) {
        periods.push(Periods::at(settle.at_ms));
    }
    for row in tx.query(CHARGED_DAYS).bind(&*locked.id).fetch_all(&mut *tx.connection).await? {
        periods.push(of_day(&Reading::new(&row, &locked.id).text("day")?));
    }
    let at = |periods| {
        let mut at = locked.clone();
        at.periods = periods;
        at
    };
    let days: Vec<Locked> = periods.into_iter().map(at).collect();
    budget_rows::lock_budgets_of(tx, &days).await
}

/// Gives back what a settlement says, on the days on which its session was charged for the item, the newest first, and not more than what it was
/// charged on each of them and has not back yet. A credit that is there already is not given again. No administrator has done it, so it is not in
/// the audit. The budgets of all those days are locked.
pub(super) async fn give_late(
    tx: &mut Tx<'_>,
    locked: &Locked,
    settle: &Settle,
) -> Result<GivenLate, StoreError> {
    let mut done = GivenLate::default();
    for late in &settle.credits {
        let key = format!("{}/{}", locked.id, late.key);
        if tx.query(OF_KEY).bind(&*key).fetch_optional(&mut *tx.connection).await?.is_some() {
            continue;
        }
        let left = give_on_each_day(tx, locked, settle, late, &mut done).await?;
        if left > NanoUsd::ZERO {
            done.cut.push(Cut { key, due: late.amount, given: late.amount.saturating_sub(left) });
        }
    }
    Ok(done)
}

/// Gives back one of the credits of a settlement. Says how much of it is left for which there was no room.
async fn give_on_each_day(
    tx: &mut Tx<'_>,
    locked: &Locked,
    settle: &Settle,
    late: &LateCredit,
    done: &mut GivenLate,
) -> Result<NanoUsd, StoreError> {
    let Locked { id, owners, .. } = locked;
    let (key, mut due, mut is_first) = (format!("{id}/{}", late.key), late.amount, true);
    let rows = tx.query(CHARGED_FOR).bind(&**id).bind(late.item()).fetch_all(&mut *tx.connection).await?;
    for row in rows {
        let row = Reading::new(&row, id);
        let (day, charged) = (row.text("day")?, row.money("charged")?);
        let mut credit = Credit {
            // The first one has the credit's own key, by which it is known to be given.
            key: if is_first { key.clone() } else { format!("{key}/{day}") },
            account: owners.account_name.clone(),
            user_sub: Some(owners.user_name.clone()),
            day,
            amount: due,
            reason: late.reason(),
            created_by: CREDITED_BY_RELAY.to_owned(),
            created_at_ms: settle.at_ms,
        };
        credit.amount = left_for(tx, &credit, &format!("{id}/{}@", late.item()), charged).await?;
        if credit.amount == NanoUsd::ZERO || !insert(tx, &credit).await? {
            continue;
        }
        let periods = of_day(&credit.day);
        let account = lower(tx, Scope::Account, owners, &periods, credit.amount).await?;
        let user = lower(tx, Scope::User, owners, &periods, credit.amount).await?;
        if periods.account == locked.periods.account {
            done.account_spent = Some(account);
        }
        if periods.user == locked.periods.user {
            done.user_spent = Some(user);
        }
        due = due.saturating_sub(credit.amount);
        is_first = false;
    }
    Ok(due)
}

/// How much of a credit its session may have back of what it was `charged` for an item on that day, after the credits whose keys begin like this.
/// Sessions never have more back than they were charged, so the whole day is only added up where an administrator has given some of it back.
async fn left_for(
    tx: &mut Tx<'_>,
    credit: &Credit,
    key_begins: &str,
    charged: NanoUsd,
) -> Result<NanoUsd, StoreError> {
    if credit.amount == NanoUsd::ZERO {
        return Ok(credit.amount);
    }
    let query = tx.query(GIVEN_FOR).bind(&*credit.account).bind(&*credit.day);
    let query = query.bind(credit.user_sub.as_deref());
    let row = query.bind(key_begins).bind(CREDITED_BY_RELAY).fetch_one(&mut *tx.connection).await?;
    let row = Reading::new(&row, "what was given back for a day");
    let (own, by_others) = (row.money("own")?, row.unsigned("by_others")?);
    let amount = credit.amount.min(charged.saturating_sub(own));
    if by_others == 0 {
        return Ok(amount);
    }
    Ok(exceeded(tx, &Credit { amount, ..credit.clone() }).await?.unwrap_or(amount))
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
    let (owner, period) = budget_rows::key(scope, owners, periods);
    let lock = tx.query(budget_rows::LOCK_BUDGET).bind(scope.name()).bind(owner).bind(period);
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

/// The periods of the budgets of a day.
fn of_day(day: &str) -> Periods {
    Periods { account: day.chars().take("2026-12".len()).collect(), user: day.to_owned() }
}

/// When a day begins, in milliseconds since 1970.
pub(super) fn midnight(day: &str) -> i64 {
    let date: Result<Date, _> = day.parse();
    let midnight = date.and_then(|date| date.to_zoned(TimeZone::UTC));
    midnight.map_or(0, |midnight| midnight.timestamp().as_millisecond())
}

fn read(row: &AnyRow) -> Result<Credit, StoreError> {
    let name = named(row, "credit", "key");
    let row = Reading::new(row, &name);
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
