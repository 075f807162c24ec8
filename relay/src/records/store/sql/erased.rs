//! Settlements of sessions that were deleted meanwhile. Their cost goes on the account's bill, without the user's name.

use super::super::types::{Alert, Settle};
use super::budget_rows::{self, Owners, Periods};
use super::money::{self, Locked, Sums};
use super::read::Reading;
use super::{Sql, StoreError, Tx, alerts, budgets, signed, sql};
use crate::money::NanoUsd;
use crate::money::budget::Caps;

/// Notes what is needed of a session and its ledger rows to tell later what was charged already.
const REMEMBER: [Sql; 2] = [
    sql!(
        "INSERT INTO erased_sessions (id, epoch, audio_samples, erased_at)
        SELECT id, epoch, audio_samples, " NOW " FROM sessions WHERE id = $1
        ON CONFLICT (id) DO NOTHING"
    ),
    sql!(
        "INSERT INTO erased_rows (session_id, key, item, quantity)
        SELECT session_id, key, item, quantity FROM ledger WHERE session_id = $1
        ON CONFLICT (session_id, key) DO NOTHING"
    ),
];

/// Notes a session that nothing was noted of when it was deleted, so that what is written for it is charged once.
const REMEMBER_UNKNOWN: Sql = sql!(
    "INSERT INTO erased_sessions (id, epoch, audio_samples, erased_at) VALUES ($1, $2, 0, " NOW ")
    ON CONFLICT (id) DO NOTHING"
);

/// Reads what was charged for a deleted session. If its rows do not name their items, all its audio was of one item.
const READ: Sql = sql!(
    "SELECT epoch, (SELECT COUNT(*) FROM erased_rows WHERE session_id = $1 AND key = $2) AS charged,
        (SELECT COUNT(*) FROM erased_rows WHERE session_id = $1 AND key = $3) AS written,
        CASE WHEN EXISTS (SELECT 1 FROM erased_rows WHERE session_id = $1 AND item IS NULL) THEN audio_samples
            ELSE (SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) FROM erased_rows
                WHERE session_id = $1 AND item = $4) END AS samples
    FROM erased_sessions WHERE id = $1" LOCK
);

const WRITE_ROW: Sql = sql!(
    "INSERT INTO erased_rows (session_id, key, item, quantity) VALUES ($1, $2, $3, $4)
    ON CONFLICT (session_id, key) DO NOTHING"
);

const ADD_USAGE: Sql = sql!(
    "INSERT INTO erased_usage (account, day, item, unit, quantity, cost_nano_usd) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account, day, item, unit) DO UPDATE SET
        quantity = erased_usage.quantity + excluded.quantity,
        cost_nano_usd = erased_usage.cost_nano_usd + excluded.cost_nano_usd"
);

const ADD_SAMPLES: Sql = sql!("UPDATE erased_sessions SET audio_samples = audio_samples + $1 WHERE id = $2");

/// Notes what is needed of a session that is about to be deleted. What it had exposed has to be charged before.
pub(super) async fn remember(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    for sql in REMEMBER {
        tx.query(sql).bind(id).execute(&mut *tx.connection).await?;
    }
    Ok(())
}

/// Charges for a session that was deleted. The rules are those for a session that was ended from outside: each row counts once, and nothing
/// is charged that another relay has metered again, or that was charged as lost. It tells which thresholds of its user and its account are reached by
/// then.
pub(super) async fn settle(tx: &mut Tx<'_>, settle: &Settle) -> Result<Vec<Alert>, StoreError> {
    let id = &*settle.session_id;
    let (Some(payer), Some(first)) = (&settle.payer, money::decisive(&settle.rows)) else {
        return Err(StoreError::NoSession { id: id.to_owned() });
    };
    let epoch = i64::from(settle.epoch);
    tx.query(REMEMBER_UNKNOWN).bind(id).bind(epoch).execute(&mut *tx.connection).await?;
    let query =
        tx.query(READ).bind(id).bind(format!("lost@{}", settle.epoch)).bind(&*first.key).bind(&*first.item);
    let row = query.fetch_one(&mut *tx.connection).await?;
    let row = Reading::new(&row, id);
    let goes_on = money::goes_on(first, row.unsigned("samples")?) || row.unsigned("written")? > 0;
    if row.signed("epoch")? > epoch && (!goes_on || row.unsigned("charged")? > 0) {
        return Err(StoreError::Fenced { id: id.to_owned() });
    }
    alerts::exceeded(tx, "", &payer.account, &settle.rows, settle.at_ms).await?;
    let (owners, periods) = (Owners::new(&payer.user_sub, &payer.account), Periods::at(settle.at_ms));
    let mut locked = Locked::erased(id.to_owned(), settle.epoch, owners, periods);
    locked.overrides = budgets::read_overrides(tx, &locked.owners).await?;
    // The order of locks: budgets come before the usage of erased sessions, and that in the order of its key.
    budget_rows::lock_budgets(tx, &locked.owners, &locked.periods).await?;
    let mut rows: Vec<_> = settle.rows.iter().collect();
    rows.sort_by(|one, other| (&one.item, &one.unit).cmp(&(&other.item, &other.unit)));
    let mut sums = Sums::default();
    for row in rows {
        let write = tx.query(WRITE_ROW).bind(id).bind(&*row.key).bind(&*row.item).bind(signed(row.quantity));
        let new = write.execute(&mut *tx.connection).await?;
        if new.rows_affected() == 0 {
            continue;
        }
        tx.query(ADD_USAGE)
            .bind(&*payer.account)
            .bind(&*locked.periods.user)
            .bind(&*row.item)
            .bind(&*row.unit)
            .bind(signed(row.quantity))
            .bind(signed(row.cost.get()))
            .execute(&mut *tx.connection)
            .await?;
        sums.add(row);
    }
    tx.query(ADD_SAMPLES).bind(signed(sums.samples)).bind(id).execute(&mut *tx.connection).await?;
    let (account, user) = budget_rows::change_budgets(tx, &locked, signed(sums.cost.get()), 0).await?;
    // Nothing is told of the session's own budget, which is erased with it.
    let caps = Caps { session: NanoUsd::ZERO, ..settle.caps };
    let standing = locked.standing(caps, account, user);
    alerts::reached(tx, &locked, &standing, settle.at_ms).await
}
