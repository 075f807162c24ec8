//! Alerts: each is written in the transaction that reaches its threshold, or that books what a provider reported too much, and waits in an outbox for the webhook.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::any::AnyRow;

use super::super::types::{Alert, Attempted, Claimed, ExcessAlert, Notice};
use super::budget_rows::key;
use super::money::{self, Locked};
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, millis, signed, sql};
use crate::money::NanoUsd;
use crate::money::budget::{Balance, Scope, Standing, THRESHOLDS};
use crate::money::ledger::LedgerRow;

const ALERT: Sql = sql!(
    "INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd,
        created_at, next_attempt_at)
    SELECT $1, $2, $3, $4, $5, id, user_sub, account, $6, $7, $8, $8 FROM sessions WHERE id = $9
    ON CONFLICT (scope, owner, period, percent) DO NOTHING
    RETURNING " ALERT
);

/// The same for a session that is erased. It is not named, and its user is where the budget is theirs and another session of theirs is there.
const ALERT_OF_ERASED: Sql = sql!(
    "INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd,
        created_at, next_attempt_at)
    VALUES ($1, $2, $3, $4, $5, '', COALESCE((SELECT MIN(user_sub) FROM sessions WHERE user_sub = $9), ''), $10, $6, $7, $8, $8)
    ON CONFLICT (scope, owner, period, percent) DO NOTHING
    RETURNING " ALERT
);

/// The highest threshold of each of a session's budgets that is noted in the budget's period. Those below it are noted, too. Each part is found by the
/// index that keeps alerts apart, however many there are.
const NOTED: Sql = sql!(
    "SELECT scope, CAST(MAX(percent) AS BIGINT) AS percent FROM alerts
    WHERE scope = 'session' AND owner = $1 AND period = '' GROUP BY scope
    UNION ALL SELECT scope, CAST(MAX(percent) AS BIGINT) AS percent FROM alerts
    WHERE scope = 'user' AND owner = $2 AND period = $3 GROUP BY scope
    UNION ALL SELECT scope, CAST(MAX(percent) AS BIGINT) AS percent FROM alerts
    WHERE scope = 'account' AND owner = $4 AND period = $5 GROUP BY scope"
);

/// About a provider, and about no user. The session may be erased by now, and is not named then.
const EXCESS: Sql = sql!(
    "INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd,
        created_at, next_attempt_at)
    VALUES ($1, $2, $3, $4, 0, $5, '', $6, 0, $7, $8, $8)
    ON CONFLICT (scope, owner, period, percent) DO NOTHING"
);

/// The scope of an alert that is about a provider.
const PROVIDER: &str = "provider";

/// Claims alerts by moving the time of their next attempt into the future before anything is sent, so that nobody else sends them meanwhile.
const CLAIM: Sql = sql!(
    "UPDATE alerts SET attempts = attempts + 1, next_attempt_at = " NOW " + $1
    WHERE id IN (
        SELECT id FROM alerts WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW "
        ORDER BY next_attempt_at, percent, id LIMIT $2" LOCK_FREE_ONES ")
    RETURNING " ALERT
);

/// Notes that the receiver has it. If it was repeated meanwhile, it is sent once more, and this says nothing of that.
const DELIVERED: Sql = sql!(
    "UPDATE alerts SET delivered_at = " NOW ", next_attempt_at = NULL, answer = $1
    WHERE id = $2 AND COALESCE(due_since, created_at) = $3 AND delivered_at IS NULL"
);

/// Sets the time of the next attempt, unless the alert was claimed again since, repeated or delivered.
const AGAIN: Sql = sql!(
    "UPDATE alerts SET next_attempt_at = " NOW " + $1, answer = $2
    WHERE id = $3 AND attempts = $4 AND COALESCE(due_since, created_at) = $5 AND delivered_at IS NULL"
);

const GIVE_UP: Sql = sql!(
    "UPDATE alerts SET next_attempt_at = NULL, answer = $1
    WHERE id = $2 AND attempts = $3 AND COALESCE(due_since, created_at) = $4 AND delivered_at IS NULL"
);

const DISMISS: Sql = sql!(
    "UPDATE alerts SET next_attempt_at = NULL WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW " - $1"
);

impl SqlStore {
    pub(in crate::records::store) async fn exhausted(
        &self,
        id: &str,
        scope: Scope,
        balance: Balance,
        at_ms: i64,
    ) -> Result<Option<Alert>, StoreError> {
        let id = id.to_owned();
        let mut told = self
            .shared(Durability::Process, move |mut tx| {
                async move {
                    let Some(locked) = Locked::read(&mut tx, &id).await? else {
                        return Err(StoreError::NoSession { id });
                    };
                    // The caller's figure may be older than what is in the ledger by now.
                    let spent = money::spent(&mut tx, &locked, scope).await?.max(balance.spent);
                    through(&mut tx, &locked, scope, Balance { spent, ..balance }, 100, at_ms).await
                }
                .boxed()
            })
            .await?;
        let used_up = told.pop_if(|alert| alert.percent == 100);
        told.iter().for_each(crate::operations::alerts::raised);
        Ok(used_up)
    }

    pub(in crate::records::store) async fn claim_alerts(
        &self,
        claim: Duration,
        limit: u32,
    ) -> Result<Vec<Notice>, StoreError> {
        let claimed = self.statement(CLAIM).bind(millis(claim)).bind(i64::from(limit));
        let rows = claimed.fetch_each(&self.writer).await?;
        let mut alerts = damage::ALERTS.readable("an alert that is due", rows, read)?;
        // A database returns the rows of an UPDATE in any order.
        alerts.sort_by(|a, b| (a.created_at_ms(), a.id()).cmp(&(b.created_at_ms(), b.id())));
        Ok(alerts)
    }

    pub(in crate::records::store) async fn finish_alert(
        &self,
        Claimed { id, attempts, due_since_ms }: Claimed<'_>,
        attempted: Attempted,
        answer: &str,
    ) -> Result<(), StoreError> {
        let attempts = i64::from(attempts);
        let query = match attempted {
            Attempted::Delivered => self.statement(DELIVERED).bind(answer).bind(id),
            Attempted::Again(wait) => {
                self.statement(AGAIN).bind(millis(wait)).bind(answer).bind(id).bind(attempts)
            }
            Attempted::GivenUp => self.statement(GIVE_UP).bind(answer).bind(id).bind(attempts),
        };
        query.bind(due_since_ms).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn dismiss_alerts(
        &self,
        due_for: Duration,
    ) -> Result<(), StoreError> {
        self.statement(DISMISS).bind(millis(due_for)).execute(&self.writer).await?;
        Ok(())
    }
}

/// Notes the thresholds that are reached by now and not noted in their periods. Not only what was spent just now reaches one: a limit may have been
/// lowered since, or money was spent on behalf of a call that nobody has settled for.
pub(super) async fn reached(
    tx: &mut Tx<'_>,
    locked: &Locked,
    standing: &Standing,
    at_ms: i64,
) -> Result<Vec<Alert>, StoreError> {
    let highest = |balance: Balance| THRESHOLDS.into_iter().rfind(|percent| balance.has_reached(*percent));
    let reached = standing.each().map(|(scope, balance)| (scope, balance, highest(balance)));
    let mut alerts = Vec::new();
    // While half of each budget is left, no settlement asks for what is noted.
    if reached.iter().all(|(_, _, highest)| highest.is_none()) {
        return Ok(alerts);
    }
    let noted = noted(tx, locked).await?;
    for (scope, balance, highest) in reached {
        let told = noted.iter().find(|(of, _)| of == scope.name()).map(|(_, percent)| *percent);
        if let Some(highest) = highest.filter(|highest| told.is_none_or(|told| told < *highest)) {
            alerts.extend(through(tx, locked, scope, balance, highest, at_ms).await?);
        }
    }
    Ok(alerts)
}

/// The highest threshold that is noted of each of a session's budgets, by the name of its scope.
async fn noted(tx: &mut Tx<'_>, locked: &Locked) -> Result<Vec<(String, u32)>, StoreError> {
    let mut query = tx.query(NOTED).bind(&*locked.id);
    for scope in [Scope::User, Scope::Account] {
        let (owner, period) = key(scope, &locked.owners, &locked.periods);
        query = query.bind(owner).bind(period);
    }
    let rows = query.fetch_all(&mut *tx.connection).await?;
    let read = |row: &AnyRow| -> Result<(String, u32), StoreError> {
        let row = Reading::new(row, "the thresholds that are noted");
        // No money depends on it: a damaged alert keeps nobody from paying, and is told once more at worst.
        Ok((row.text("scope")?, u32::try_from(row.signed("percent")?).unwrap_or_default()))
    };
    rows.iter().map(read).collect()
}

/// Notes for each item of which a provider has reported more than was set aside that it has, unless that is noted in this hour already. `session_id` is
/// empty where the session is erased. It comes before budgets are locked, so that nobody who holds one waits here.
pub(super) async fn exceeded(
    tx: &mut Tx<'_>,
    session_id: &str,
    account: &str,
    rows: &[LedgerRow],
    at_ms: i64,
) -> Result<(), StoreError> {
    let mut items: BTreeMap<&str, NanoUsd> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.excess() > NanoUsd::ZERO) {
        *items.entry(&row.item).or_default() += row.excess();
    }
    for (item, excess) in items {
        tx.query(EXCESS)
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(PROVIDER)
            .bind(item)
            .bind(hour(at_ms))
            .bind(session_id)
            .bind(account)
            .bind(signed(excess.get()))
            .bind(at_ms)
            .execute(&mut *tx.connection)
            .await?;
    }
    Ok(())
}

/// The hour (UTC) of a time.
fn hour(unix_ms: i64) -> String {
    let time = Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_zoned(TimeZone::UTC);
    format!("{}T{:02}", time.date(), time.hour())
}

/// Notes a threshold and those below it, the lowest first, as far as they are not noted in this period. So the lower thresholds are always
/// told before the higher ones, even where sessions of one user have different limits.
async fn through(
    tx: &mut Tx<'_>,
    locked: &Locked,
    scope: Scope,
    balance: Balance,
    highest: u32,
    at_ms: i64,
) -> Result<Vec<Alert>, StoreError> {
    let mut alerts = Vec::new();
    for percent in THRESHOLDS.into_iter().filter(|percent| *percent <= highest) {
        alerts.extend(insert(tx, locked, scope, balance, percent, at_ms).await?);
    }
    Ok(alerts)
}

/// Notes one threshold, unless it is noted in this period already.
async fn insert(
    tx: &mut Tx<'_>,
    locked: &Locked,
    scope: Scope,
    balance: Balance,
    percent: u32,
    at_ms: i64,
) -> Result<Option<Alert>, StoreError> {
    let (owner, period) = match scope {
        Scope::Session => (&*locked.id, ""),
        scope => key(scope, &locked.owners, &locked.periods),
    };
    let insert = tx
        .query(if locked.is_erased { ALERT_OF_ERASED } else { ALERT })
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(scope.name())
        .bind(owner)
        .bind(period)
        .bind(i64::from(percent))
        .bind(signed(balance.limit.get()))
        .bind(signed(balance.spent.get()))
        .bind(at_ms);
    let insert = if locked.is_erased {
        let user = if scope == Scope::User { &*locked.owners.user_name } else { "" };
        insert.bind(user).bind(&*locked.owners.account_name)
    } else {
        insert.bind(&*locked.id)
    };
    let row = insert.fetch_optional(&mut *tx.connection).await?;
    row.map(|row| {
        let name = named(&row, "alert", "id");
        read_budget(&Reading::new(&row, &name))
    })
    .transpose()
}

pub(super) fn read(row: &AnyRow) -> Result<Notice, StoreError> {
    let name = named(row, "alert", "id");
    let row = Reading::new(row, &name);
    if row.text("scope")? != PROVIDER {
        return read_budget(&row).map(Notice::Budget);
    }
    Ok(Notice::Excess(ExcessAlert {
        item: row.text("owner")?,
        hour: row.text("period")?,
        excess: row.money("spent_nano_usd")?,
        session_id: row.text("session_id")?,
        account: row.text("account")?,
        created_at_ms: row.signed("created_at")?,
        due_since_ms: row.signed("due_since")?,
        attempts: row.small("attempts")?,
        id: row.text("id")?,
    }))
}

fn read_budget(row: &Reading<'_>) -> Result<Alert, StoreError> {
    Ok(Alert {
        scope: match row.text("scope")?.as_str() {
            "session" => Scope::Session,
            "user" => Scope::User,
            "account" => Scope::Account,
            _ => return Err(row.corrupt("scope")),
        },
        period: row.text("period")?,
        percent: row.small("percent")?,
        session_id: row.text("session_id")?,
        user_sub: row.text("user_sub")?,
        account: row.text("account")?,
        limit: row.money("limit_nano_usd")?,
        spent: row.money("spent_nano_usd")?,
        created_at_ms: row.signed("created_at")?,
        due_since_ms: row.signed("due_since")?,
        attempts: row.small("attempts")?,
        id: row.text("id")?,
    })
}
