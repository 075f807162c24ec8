//! Rollups: what ended sessions come to by the hour, and by user and day.
//!
//! They are a function of the rows of ended sessions, their ledger and their turns. Whoever changes such rows takes the session out before,
//! and puts it in again afterwards, all in one transaction. A session that is in has the number of the revision `rollups` in its `rolled_up`,
//! so that a new number takes all of them out at once. A transaction names the sessions that it is about: one statement for each table then does
//! all of them, in the order of the table's key, so that no two transactions wait for each other, and none looks for its sessions by
//! `rolled_up`, whose index keeps every number that a session ever had for as long as somebody reads an older state of the database.
//!
//! While the number is negative, the rollups are being emptied, step by step: no session is in then, and none is put in. When they are empty,
//! the number is positive again, and [`SqlStore::roll_up`] puts all sessions in.
//!
//! Turns that retention deletes stay in: they say no names.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::rollup::{
    CallsSum, MoneySum, Overview, OverviewFilter, RolledUp, Spend, SpendBy, SpendFilter, SpendSum, TurnsSum,
};
use super::budget_rows::Periods;
use super::page::Select;
use super::read::Reading;
use super::statement::Value;
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, sql};
use crate::money::NanoUsd;

/// How many rows of a table are deleted at a time at least, if there are as many. The last hour among them, or the last day, is deleted whole.
const EMPTY_AT_ONCE: i64 = 10_000;

/// How often one step looks for sessions that are not in. Behind so many whose ids cannot be read the others wait.
const LOOKS: u32 = 20;

const NUMBER: Sql = sql!("SELECT number FROM revisions WHERE name = 'rollups'");
const KEEP_NUMBER: Sql = sql!("SELECT number FROM revisions WHERE name = 'rollups'" SHARE);
const LOCK_NUMBER: Sql = sql!("SELECT number FROM revisions WHERE name = 'rollups'" LOCK);

/// Takes all sessions out. What is being emptied already goes on being emptied.
const BEGIN_TO_EMPTY: Sql = sql!(
    "UPDATE revisions SET number = CASE WHEN number < 0 THEN number ELSE -1 - number END WHERE name = 'rollups'"
);

const END_TO_EMPTY: Sql = sql!("UPDATE revisions SET number = -number WHERE name = 'rollups' AND number < 0");

/// Deletes the oldest rows.
const EMPTY: [Sql; 4] = [
    sql!(
        "DELETE FROM rollup_calls WHERE hour <= COALESCE(
            (SELECT hour FROM rollup_calls ORDER BY hour LIMIT 1 OFFSET $1), (SELECT MAX(hour) FROM rollup_calls))"
    ),
    sql!(
        "DELETE FROM rollup_money WHERE hour <= COALESCE(
            (SELECT hour FROM rollup_money ORDER BY hour LIMIT 1 OFFSET $1), (SELECT MAX(hour) FROM rollup_money))"
    ),
    sql!(
        "DELETE FROM rollup_turns WHERE hour <= COALESCE(
            (SELECT hour FROM rollup_turns ORDER BY hour LIMIT 1 OFFSET $1), (SELECT MAX(hour) FROM rollup_turns))"
    ),
    sql!(
        "DELETE FROM rollup_users WHERE day <= COALESCE(
            (SELECT day FROM rollup_users ORDER BY day LIMIT 1 OFFSET $1), (SELECT MAX(day) FROM rollup_users))"
    ),
];

/// Deletes the rows of users whose sessions are changed or deleted while the rollups are being emptied, so that no name stays in them.
const FORGET: Sql = sql!(
    "DELETE FROM rollup_users WHERE (day, account, user_sub) IN (
        SELECT started_at - started_at % 86400000, account, user_sub FROM sessions WHERE id" THESE "
        UNION
        SELECT created_at - created_at % 86400000, account, user_sub FROM ledger WHERE session_id" THESE ")"
);

/// Takes out a session that is in.
const TAKE_OUT: Sql =
    sql!("UPDATE sessions SET rolled_up = 0 WHERE id = $1 AND state = 'ended' AND rolled_up = $2");

/// Finds ended sessions that are not in, without those that others have locked.
const SOME: Sql = sql!(
    "SELECT id FROM sessions WHERE state = 'ended' AND rolled_up < $1 ORDER BY rolled_up LIMIT $2 OFFSET $3" LOCK_FREE_ONES
);

/// Ended sessions that are not in.
const LEFT: Sql =
    sql!("SELECT id FROM sessions WHERE state = 'ended' AND rolled_up < $1 ORDER BY rolled_up LIMIT $2");
/// How many of them are looked at.
const LEFT_MAX: i64 = 4_000;

const PUT_IN: Sql = sql!("UPDATE sessions SET rolled_up = $2 WHERE id" THESE);

const DELETE_EMPTY: Sql = sql!("DELETE FROM rollup_users WHERE calls = 0 AND cost_nano_usd = 0");

/// Adds what these sessions come to, so many times: once, or once less than nothing. Of names that an operator gives the beginning counts: an
/// entry of PostgreSQL's indexes has 2,704 bytes at most.
const ADD: [Sql; 4] = [
    sql!(
        "INSERT INTO rollup_calls (hour, account, agent, reason, calls, milliseconds, reconnects)
        SELECT started_at - started_at % 3600000, account, substr(agent, 1, 64), substr(COALESCE(end_reason, ''), 1, 64),
            CAST(SUM(CAST($2 AS BIGINT)) AS BIGINT),
            CAST(SUM($2 * CASE WHEN ended_at > started_at THEN ended_at - started_at ELSE 0 END) AS BIGINT),
            CAST(SUM($2 * reconnects) AS BIGINT)
        FROM sessions WHERE id" THESE "
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT (hour, account, agent, reason) DO UPDATE SET calls = rollup_calls.calls + excluded.calls,
            milliseconds = rollup_calls.milliseconds + excluded.milliseconds,
            reconnects = rollup_calls.reconnects + excluded.reconnects"
    ),
    sql!(
        "INSERT INTO rollup_money (hour, account, agent, provider, item, unit, quantity, cost_nano_usd)
        SELECT ledger.created_at - ledger.created_at % 3600000, ledger.account, substr(sessions.agent, 1, 64),
            substr(ledger.provider, 1, 64), substr(ledger.item, 1, 128), substr(ledger.unit, 1, 64), CAST(SUM($2 * ledger.quantity) AS BIGINT),
            CAST(SUM($2 * ledger.cost_nano_usd) AS BIGINT)
        FROM sessions CROSS JOIN ledger
        WHERE sessions.id" THESE " AND ledger.session_id = sessions.id
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (hour, account, agent, provider, item, unit) DO UPDATE SET
            quantity = rollup_money.quantity + excluded.quantity,
            cost_nano_usd = rollup_money.cost_nano_usd + excluded.cost_nano_usd"
    ),
    sql!(
        "INSERT INTO rollup_turns (hour, account, agent, stage, bucket, turns)
        SELECT hour, account, agent, stage, " BUCKET ", CAST(SUM(CAST($2 AS BIGINT)) AS BIGINT)
        FROM (
            SELECT turns.created_at - turns.created_at % 3600000 AS hour, sessions.account AS account,
                substr(sessions.agent, 1, 64) AS agent, stages.stage AS stage,
                CASE stages.stage WHEN 'stt' THEN turns.stt_ms WHEN 'llm' THEN turns.llm_ms
                    WHEN 'tts' THEN turns.tts_ms WHEN 'send' THEN turns.send_ms WHEN 'heard' THEN turns.heard_ms
                    WHEN 'total' THEN turns.total_ms
                    WHEN 'answer' THEN CASE WHEN turns.role = 'agent' THEN 0 END
                    WHEN 'interrupted' THEN
                        CASE WHEN turns.role = 'agent' AND turns.heard_position < turns.end_position THEN 0 END
                END AS ms
            FROM sessions CROSS JOIN turns CROSS JOIN (
                SELECT 'answer' AS stage UNION ALL SELECT 'heard' UNION ALL SELECT 'interrupted' UNION ALL SELECT 'llm'
                UNION ALL SELECT 'send' UNION ALL SELECT 'stt' UNION ALL SELECT 'total' UNION ALL SELECT 'tts'
            ) AS stages
            WHERE sessions.id" THESE " AND turns.session_id = sessions.id
        ) AS took
        WHERE ms IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (hour, account, agent, stage, bucket) DO UPDATE SET turns = rollup_turns.turns + excluded.turns"
    ),
    sql!(
        "INSERT INTO rollup_users (day, account, user_sub, calls, milliseconds, cost_nano_usd)
        SELECT day, account, user_sub, CAST(SUM($2 * calls) AS BIGINT), CAST(SUM($2 * milliseconds) AS BIGINT),
            CAST(SUM($2 * cost_nano_usd) AS BIGINT)
        FROM (
            SELECT started_at - started_at % 86400000 AS day, account, user_sub, 1 AS calls,
                CASE WHEN ended_at > started_at THEN ended_at - started_at ELSE 0 END AS milliseconds,
                0 AS cost_nano_usd
            FROM sessions WHERE id" THESE "
            UNION ALL
            SELECT ledger.created_at - ledger.created_at % 86400000, ledger.account, ledger.user_sub, 0, 0,
                ledger.cost_nano_usd
            FROM sessions CROSS JOIN ledger
            WHERE sessions.id" THESE " AND ledger.session_id = sessions.id
        ) AS used
        WHERE 1 = 1
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (day, account, user_sub) DO UPDATE SET calls = rollup_users.calls + excluded.calls,
            milliseconds = rollup_users.milliseconds + excluded.milliseconds,
            cost_nano_usd = rollup_users.cost_nano_usd + excluded.cost_nano_usd"
    ),
];

const CALLS: &str = "SELECT hour - hour % ? AS at_ms, reason, CAST(SUM(calls) AS BIGINT) AS calls,
    CAST(SUM(milliseconds) AS BIGINT) AS milliseconds, CAST(SUM(reconnects) AS BIGINT) AS reconnects
    FROM rollup_calls";

const MONEY: &str =
    "SELECT hour - hour % ? AS at_ms, CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd FROM rollup_money";

const TURNS: &str =
    "SELECT hour - hour % ? AS at_ms, stage, bucket, CAST(SUM(turns) AS BIGINT) AS turns FROM rollup_turns";

impl SqlStore {
    pub(in crate::records::store) async fn roll_up(&self, limit: u32) -> Result<RolledUp, StoreError> {
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let row = tx.query(NUMBER).fetch_one(&mut *tx.connection).await?;
                if row.try_get::<i64, _>("number")? < 0 {
                    return Ok(RolledUp::Emptied(empty(&mut tx).await?));
                }
                let number = number(&mut tx).await?;
                if number == 0 {
                    // Somebody has begun to empty them in between.
                    return Ok(RolledUp::Emptied(0));
                }
                let ids = some(&mut tx, number, limit).await?;
                if !ids.is_empty() {
                    add(&mut tx, 1, &ids).await?;
                    tx.query(PUT_IN).bind(listed(&ids)).bind(number).execute(&mut *tx.connection).await?;
                }
                Ok(RolledUp::Added(ids.len() as u64))
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn roll_up_anew(&self) -> Result<(), StoreError> {
        // Whoever is about to change the rollups has ended by then, and nobody else begins.
        self.statement(BEGIN_TO_EMPTY).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn is_rolled_up(&self) -> Result<bool, StoreError> {
        let number: i64 = self.statement(NUMBER).fetch_one(&self.readers).await?.try_get("number")?;
        if number < 0 {
            // They are being emptied.
            return Ok(false);
        }
        let left = self.statement(LEFT).bind(number).bind(LEFT_MAX).fetch_each(&self.readers).await?;
        let are_all = left.len() < usize::try_from(LEFT_MAX).unwrap_or(usize::MAX);
        // Nothing can be added up for a session whose id cannot be read.
        let whole = damage::SESSIONS.readable("a session that has ended", left, |row| {
            Reading::new(row, "a session that has ended").text("id")
        })?;
        Ok(are_all && whole.is_empty())
    }

    pub(in crate::records::store) async fn overview(
        &self,
        filter: &OverviewFilter,
    ) -> Result<Overview, StoreError> {
        let select = |sql: &str, by: &str| {
            let mut select = Select::new("");
            select.push(sql, [filter.step_ms.into()]);
            select.push(" WHERE hour >= ? AND hour < ?", [filter.from_ms.into(), filter.to_ms.into()]);
            select.push_if(" AND account = ?", filter.account.as_ref());
            select.push_if(" AND agent = ?", filter.agent.as_ref());
            select.push(by, []);
            select
        };
        let calls = select(CALLS, " GROUP BY 1, 2 ORDER BY 1, 2").all(&self.readers, calls).await?;
        let money = select(MONEY, " GROUP BY 1 ORDER BY 1").all(&self.readers, money).await?;
        let turns = select(TURNS, " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3").all(&self.readers, turns).await?;
        Ok(Overview { calls, money, turns })
    }

    pub(in crate::records::store) async fn spend(&self, filter: &SpendFilter) -> Result<Spend, StoreError> {
        let range = || [filter.from_ms, filter.to_ms].map(Value::from);
        let (name, table, time) = match filter.by {
            SpendBy::Day => ("hour - hour % 86400000", "rollup_money", "hour"),
            SpendBy::Account => ("account", "rollup_money", "hour"),
            SpendBy::User => ("user_sub", "rollup_users", "day"),
            SpendBy::Agent => ("agent", "rollup_money", "hour"),
            SpendBy::Provider => ("provider", "rollup_money", "hour"),
            SpendBy::Item => ("item", "rollup_money", "hour"),
        };
        let order = if filter.by == SpendBy::Day { "1" } else { "2 DESC, 1" };
        let mut select = Select::new(&format!(
            "SELECT {name} AS name, CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd FROM {table}"
        ));
        select.push(&format!(" WHERE {time} >= ? AND {time} < ?"), range());
        select.push_if(" AND account = ?", filter.account.as_ref());
        select.push(&format!(" GROUP BY 1 ORDER BY {order} LIMIT ?"), [i64::from(filter.limit).into()]);
        let by = filter.by;
        let rows = select.all(&self.readers, |row| spend(row, by)).await?;

        let days = || [filter.from_ms, filter.to_ms].map(|ms| Value::from(Periods::at(ms).user));
        let account = filter.account.as_ref();
        Ok(Spend {
            rows,
            total: self.sum(TOTAL, range(), account).await?,
            erased: self.sum(ERASED, days(), account).await?,
            credited: self.sum(CREDITED, days(), account).await?,
        })
    }

    async fn sum(
        &self,
        sql: &str,
        between: [Value; 2],
        account: Option<&String>,
    ) -> Result<NanoUsd, StoreError> {
        let mut select = Select::new("");
        select.push(sql, between);
        select.push_if(" AND account = ?", account);
        let read = |row: &AnyRow| {
            at_least_nothing(&Reading::new(row, "a sum of money"), "nano_usd").map(NanoUsd::new)
        };
        Ok(select.all(&self.readers, read).await?.into_iter().next().unwrap_or_default())
    }
}

const TOTAL: &str = "SELECT CAST(COALESCE(SUM(cost_nano_usd), 0) AS BIGINT) AS nano_usd FROM rollup_money
    WHERE hour >= ? AND hour < ?";

const ERASED: &str = "SELECT CAST(COALESCE(SUM(cost_nano_usd), 0) AS BIGINT) AS nano_usd FROM erased_usage
    WHERE day >= ? AND day < ?";

const CREDITED: &str = "SELECT CAST(COALESCE(SUM(amount_nano_usd), 0) AS BIGINT) AS nano_usd FROM credits
    WHERE day >= ? AND day < ?";

/// The `rolled_up` of the sessions that are in; 0 while the rollups are being emptied, when none is. It stays the same until this transaction
/// ends.
pub(super) async fn number(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let number: i64 = tx.query(KEEP_NUMBER).fetch_one(&mut *tx.connection).await?.try_get("number")?;
    Ok(number.max(0))
}

/// Adds up a session that this transaction has ended, with this [`number`] in its `rolled_up`.
pub(super) async fn put_in(tx: &mut Tx<'_>, number: i64, id: &str) -> Result<(), StoreError> {
    if number == 0 {
        return Ok(());
    }
    add(tx, 1, &[id.to_owned()]).await
}

/// Takes out those of the sessions that are in, before something of theirs is changed or deleted. Says whether there were any.
pub(super) async fn take_out(tx: &mut Tx<'_>, ids: &[String]) -> Result<bool, StoreError> {
    let number = number(tx).await?;
    if number == 0 {
        tx.query(FORGET).bind(listed(ids)).execute(&mut *tx.connection).await?;
        return Ok(false);
    }
    let mut taken = Vec::new();
    for id in ids {
        let take = tx.query(TAKE_OUT).bind(id).bind(number);
        if take.execute(&mut *tx.connection).await?.rows_affected() > 0 {
            taken.push(id.clone());
        }
    }
    if taken.is_empty() {
        return Ok(false);
    }
    add(tx, -1, &taken).await?;
    tx.query(DELETE_EMPTY).execute(&mut *tx.connection).await?;
    Ok(true)
}

/// Finds sessions that are not in, so many if there are as many. Those whose ids cannot be read are gone over: nothing can be added up for them.
async fn some(tx: &mut Tx<'_>, number: i64, limit: u32) -> Result<Vec<String>, StoreError> {
    let (mut ids, mut seen) = (Vec::new(), 0_i64);
    for _ in 0..LOOKS {
        let left = limit as usize - ids.len();
        let query = tx.query(SOME).bind(number).bind(left as i64).bind(seen);
        let rows = query.fetch_each(&mut *tx.connection).await?;
        let found = rows.len();
        let read = |row: &AnyRow| Reading::new(row, "a session").text("id");
        ids.extend(damage::SESSIONS.readable("a session that has ended", rows, read)?);
        if found < left || ids.len() == limit as usize {
            break;
        }
        seen += found as i64;
    }
    Ok(ids)
}

/// Puts a session in that was taken out in this transaction.
pub(super) async fn put_back(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    let (number, ids) = (number(tx).await?, [id.to_owned()]);
    add(tx, 1, &ids).await?;
    tx.query(PUT_IN).bind(listed(&ids)).bind(number).execute(&mut *tx.connection).await?;
    Ok(())
}

/// Deletes some rows of rollups that are being emptied, and says how many. When there are none, sessions are put in again.
async fn empty(tx: &mut Tx<'_>) -> Result<u64, StoreError> {
    // One at a time: two that delete the same rows could wait for each other.
    let row = tx.query(LOCK_NUMBER).fetch_one(&mut *tx.connection).await?;
    if row.try_get::<i64, _>("number")? >= 0 {
        return Ok(0);
    }
    for sql in EMPTY {
        let emptied = tx.query(sql).bind(EMPTY_AT_ONCE).execute(&mut *tx.connection).await?.rows_affected();
        if emptied > 0 {
            return Ok(emptied);
        }
    }
    tx.query(END_TO_EMPTY).execute(&mut *tx.connection).await?;
    Ok(0)
}

async fn add(tx: &mut Tx<'_>, times: i64, ids: &[String]) -> Result<(), StoreError> {
    for sql in ADD {
        tx.query(sql).bind(listed(ids)).bind(times).execute(&mut *tx.connection).await?;
    }
    Ok(())
}

/// The ids as `THESE` reads them.
pub(super) fn listed(ids: &[String]) -> String {
    serde_json::Value::from(ids).to_string()
}

fn calls(row: &AnyRow) -> Result<CallsSum, StoreError> {
    let row = Reading::new(row, "a sum of calls");
    Ok(CallsSum {
        at_ms: row.signed("at_ms")?,
        reason: row.text("reason")?,
        calls: at_least_nothing(&row, "calls")?,
        milliseconds: at_least_nothing(&row, "milliseconds")?,
        reconnects: at_least_nothing(&row, "reconnects")?,
    })
}

fn money(row: &AnyRow) -> Result<MoneySum, StoreError> {
    let row = Reading::new(row, "a sum of money");
    Ok(MoneySum { at_ms: row.signed("at_ms")?, cost: NanoUsd::new(at_least_nothing(&row, "cost_nano_usd")?) })
}

fn turns(row: &AnyRow) -> Result<TurnsSum, StoreError> {
    let row = Reading::new(row, "a sum of turns");
    Ok(TurnsSum {
        at_ms: row.signed("at_ms")?,
        stage: row.text("stage")?,
        bucket: row.small("bucket")?,
        turns: at_least_nothing(&row, "turns")?,
    })
}

fn spend(row: &AnyRow, by: SpendBy) -> Result<SpendSum, StoreError> {
    let row = Reading::new(row, "a sum of money");
    let name = match by {
        SpendBy::Day => Periods::at(row.signed("name")?).user,
        SpendBy::Account | SpendBy::User | SpendBy::Agent | SpendBy::Provider | SpendBy::Item => {
            row.text("name")?
        }
    };
    Ok(SpendSum { name, cost: NanoUsd::new(at_least_nothing(&row, "cost_nano_usd")?) })
}

/// A sum. Beside a relay of a version before, which takes nothing out of the sums and puts nothing in, one may come to less than nothing until the
/// sums are made anew.
fn at_least_nothing(row: &Reading<'_>, column: &'static str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.signed(column)?).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::super::rollup::{STAGE_BUCKETS_MS, SUMMED_AGENT_MAX_CHARS};
    use super::*;

    #[test]
    fn a_stage_is_counted_in_the_bucket_that_readers_take_it_for() {
        for sql in [ADD[2].sqlite, ADD[2].postgres] {
            for (bucket, end_ms) in STAGE_BUCKETS_MS.iter().enumerate() {
                assert!(sql.contains(&format!("WHEN ms <= {end_ms} THEN {bucket}")), "{end_ms} ms: {sql}");
            }
            assert!(sql.contains(&format!("ELSE {} END", STAGE_BUCKETS_MS.len())), "{sql}");
        }
    }

    #[test]
    fn the_name_of_an_agent_is_kept_as_long_as_one_may_ask_for_it() {
        for sql in &ADD[..3] {
            let kept = format!("agent, 1, {SUMMED_AGENT_MAX_CHARS})");
            assert!(sql.sqlite.contains(&kept) && sql.postgres.contains(&kept), "{}", sql.sqlite);
        }
    }
}
