//! Lists of what is stored, a page at a time.

use sqlx::any::AnyRow;

use super::super::query::{
    AlertFilter, AlertRow, Cursor, LiveRow, Page, SaidRow, SessionFilter, Transcript, TurnCursor, UsageBy,
    UsageCursor, UsageFilter, UsageRow,
};
use super::super::types::{SessionRow, SessionState};
use super::budget_rows::Periods;
use super::page::Select;
use super::read::{self, Reading};
use super::statement::Value;
use super::{Dialect, Sql, SqlStore, StoreError, alerts, credits, damage, sql};

const SESSIONS: Sql = sql!("SELECT " SESSION " FROM sessions WHERE 1 = 1");

const TURNS: Sql = sql!(
    "SELECT " TURN ", sessions.started_at AS session_started_at
    FROM turns JOIN sessions ON sessions.id = turns.session_id
    WHERE 1 = 1"
);

const ALERTS: Sql = sql!("SELECT " ALERT " FROM alerts WHERE 1 = 1");

const OF_CONVERSATION: &str = " AND sessions.conversation_id = ? AND sessions.user_sub = ?";

/// Beside [`OF_CONVERSATION`], for whoever speaks with the user: two accounts may have the same user, and an agent of the one is to know nothing of
/// the other.
const IN_ACCOUNT: &str = " AND sessions.account = ?";

const LIVE: Sql = sql!("SELECT " SESSION ", " LEASE " AS held_until FROM sessions WHERE state = 'live'");

/// What is in the ledger. `damaged` names a row that would make a sum smaller than it is.
const USED_BY_USER: Sql = sql!(
    "SELECT " DAY " AS day, account, user_sub, item, unit, quantity, cost_nano_usd,
        CASE WHEN quantity < 0 OR cost_nano_usd < 0 THEN 'ledger row ' || key || ' of session ' || session_id END AS damaged
    FROM ledger"
);

const USED_BY_ACCOUNT: Sql = sql!(
    "SELECT " DAY " AS day, account, '' AS user_sub, item, unit, quantity, cost_nano_usd,
        CASE WHEN quantity < 0 OR cost_nano_usd < 0 THEN 'ledger row ' || key || ' of session ' || session_id END AS damaged
    FROM ledger"
);

const USED_BY_ERASED: &str = " UNION ALL
    SELECT day, account, '' AS user_sub, item, unit, quantity, cost_nano_usd, CASE WHEN quantity < 0 OR cost_nano_usd < 0
        THEN 'row ' || account || ' ' || day || ' ' || item || ' ' || unit || ' of erased_usage' END AS damaged
    FROM erased_usage";

/// Credits, as usage that costs less than nothing. Those without a user are an account's.
const CREDITED_TO_USERS: &str = " UNION ALL
    SELECT day, account, user_sub, 'operator/credit' AS item, 'nano_usd' AS unit, amount_nano_usd AS quantity,
        -amount_nano_usd AS cost_nano_usd, CASE WHEN amount_nano_usd < 0 THEN 'credit ' || key END AS damaged
    FROM credits WHERE user_sub IS NOT NULL";

const CREDITED_TO_ACCOUNTS: &str = " UNION ALL
    SELECT day, account, '' AS user_sub, 'operator/credit' AS item, 'nano_usd' AS unit, amount_nano_usd AS quantity,
        -amount_nano_usd AS cost_nano_usd, CASE WHEN amount_nano_usd < 0 THEN 'credit ' || key END AS damaged
    FROM credits WHERE 1 = 1";

impl SqlStore {
    pub(in crate::records::store) async fn list_sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<SessionRow, Cursor>, StoreError> {
        let select = sessions(self.dialect, filter, after);
        select.page(&self.readers, damage::SESSIONS, limit, read::session, of_session).await
    }

    pub(in crate::records::store) async fn live_sessions(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<LiveRow, Cursor>, StoreError> {
        let mut select = Select::new(self.dialect.pick(LIVE));
        newest_first(&mut select, "started_at", after);
        select.page(&self.readers, damage::SESSIONS, limit, live, |row| of_session(&row.session)).await
    }

    pub(in crate::records::store) async fn transcript(
        &self,
        of: Transcript<'_>,
        after: Option<&TurnCursor>,
        limit: u32,
    ) -> Result<Page<SaidRow, TurnCursor>, StoreError> {
        let mut select = Select::new(self.dialect.pick(TURNS));
        match of {
            Transcript::Session(id) => select.push(" AND sessions.id = ?", [id.into()]),
            Transcript::Conversation { id, user_sub } => {
                select.push(OF_CONVERSATION, [id.into(), user_sub.into()]);
            }
        }
        if let Some(TurnCursor { started_at_ms, session_id, turn }) = after {
            let after = [(*started_at_ms).into(), session_id.into(), i64::from(*turn).into()];
            select.push(" AND (sessions.started_at, sessions.id, turns.turn) > (?, ?, ?)", after);
        }
        select.push(" ORDER BY sessions.started_at, sessions.id, turns.turn", []);
        select
            .page(&self.readers, damage::TURNS, limit, said, |said| TurnCursor {
                started_at_ms: said.session_started_at_ms,
                session_id: said.session_id.clone(),
                turn: said.row.turn.turn,
            })
            .await
    }

    pub(in crate::records::store) async fn newest_turns(
        &self,
        conversation: &str,
        user_sub: &str,
        account: &str,
        limit: u32,
    ) -> Result<Vec<SaidRow>, StoreError> {
        let mut select = Select::awaited(self.dialect.pick(TURNS));
        select.push(OF_CONVERSATION, [conversation.into(), user_sub.into()]);
        select.push(IN_ACCOUNT, [account.into()]);
        select.push(" ORDER BY sessions.started_at DESC, sessions.id DESC, turns.turn DESC", []);
        let newest = select.page(&self.readers, damage::TURNS, limit, said, |_| ()).await?;
        Ok(newest.rows.into_iter().rev().collect())
    }

    pub(in crate::records::store) async fn usage(
        &self,
        filter: &UsageFilter,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Page<UsageRow, UsageCursor>, StoreError> {
        let used = match filter.by {
            UsageBy::User => USED_BY_USER,
            UsageBy::Account => USED_BY_ACCOUNT,
        };
        let mut select = Select::new(
            "SELECT day, account, user_sub, item, unit, CAST(SUM(quantity) AS BIGINT) AS quantity,
                CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd, MIN(damaged) AS damaged FROM (",
        );
        select.push(self.dialect.pick(used), []);
        // From the last row's day on: all of these are added up anew for each page.
        let from_ms = after.map_or(filter.from_ms, |after| filter.from_ms.max(credits::midnight(&after.day)));
        let range = [from_ms.into(), filter.to_ms.into()];
        select.push(" WHERE created_at >= ? AND created_at < ?", range);
        select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND account = ?", filter.account.as_ref());
        let days = || [filter.from_ms, filter.to_ms].map(|ms| Value::from(Periods::at(ms).user));
        if filter.by == UsageBy::Account && filter.user_sub.is_none() {
            select.push(USED_BY_ERASED, []);
            select.push(" WHERE day >= ? AND day < ?", days());
            select.push_if(" AND account = ?", filter.account.as_ref());
        }
        let credited = match filter.by {
            UsageBy::User => CREDITED_TO_USERS,
            UsageBy::Account => CREDITED_TO_ACCOUNTS,
        };
        select.push(credited, []);
        select.push(" AND day >= ? AND day < ?", days());
        select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND account = ?", filter.account.as_ref());
        select.push(") AS used", []);
        if let Some(UsageCursor { day, account, user_sub, item, unit }) = after {
            let after = [day, account, user_sub, item, unit].map(Value::from);
            select.push(" WHERE (day, account, user_sub, item, unit) > (?, ?, ?, ?, ?)", after);
        }
        select.push(" GROUP BY day, account, user_sub, item, unit", []);
        select.push(" ORDER BY day, account, user_sub, item, unit", []);
        let by = filter.by;
        select
            .page(
                &self.readers,
                damage::USAGE,
                limit,
                |row| usage(row, by),
                |row| UsageCursor {
                    day: row.day.clone(),
                    account: row.account.clone(),
                    user_sub: row.user_sub.clone().unwrap_or_default(),
                    item: row.item.clone(),
                    unit: row.unit.clone(),
                },
            )
            .await
    }

    pub(in crate::records::store) async fn list_alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<AlertRow, Cursor>, StoreError> {
        let mut select = Select::new(self.dialect.pick(ALERTS));
        select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND account = ?", filter.account.as_ref());
        newest_first(&mut select, "created_at", after);
        let cursor =
            |row: &AlertRow| Cursor { at_ms: row.alert.created_at_ms(), id: row.alert.id().to_owned() };
        select.page(&self.readers, damage::ALERTS, limit, alert, cursor).await
    }
}

/// Sessions for which all of it holds, the newest first.
pub(super) fn sessions(dialect: Dialect, filter: &SessionFilter, after: Option<&Cursor>) -> Select {
    let mut select = Select::new(dialect.pick(SESSIONS));
    select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
    select.push_if(" AND account = ?", filter.account.as_ref());
    select.push_if(" AND conversation_id = ?", filter.conversation_id.as_ref());
    match filter.state {
        // There are few among all, with indexes of their own, which only a statement can use that says so itself.
        Some(SessionState::Live) => select.push(" AND state = 'live'", []),
        state => select.push_if(" AND state = ?", state.map(SessionState::name)),
    }
    select.push_if(" AND started_at >= ?", filter.from_ms);
    select.push_if(" AND started_at < ?", filter.to_ms);
    newest_first(&mut select, "started_at", after);
    select
}

fn newest_first(select: &mut Select, time: &str, after: Option<&Cursor>) {
    if let Some(Cursor { at_ms, id }) = after {
        select.push(&format!(" AND ({time}, id) < (?, ?)"), [(*at_ms).into(), id.into()]);
    }
    select.push(&format!(" ORDER BY {time} DESC, id DESC"), []);
}

fn of_session(row: &SessionRow) -> Cursor {
    Cursor { at_ms: row.started_at_ms, id: row.id.clone() }
}

fn live(row: &AnyRow) -> Result<LiveRow, StoreError> {
    let session = read::session(row)?;
    let name = format!("session {}", session.id);
    let row = Reading::new(row, &name);
    Ok(LiveRow {
        lease_until_ms: row.signed("held_until")?,
        detached_at_ms: row.maybe_signed("detached_at")?,
        session,
    })
}

fn said(row: &AnyRow) -> Result<SaidRow, StoreError> {
    let of_session = Reading::new(row, "a turn");
    let session_id = of_session.text("session_id")?;
    Ok(SaidRow {
        row: read::turn(&session_id, row)?,
        session_started_at_ms: of_session.signed("session_started_at")?,
        session_id,
    })
}

fn usage(row: &AnyRow, by: UsageBy) -> Result<UsageRow, StoreError> {
    let row = Reading::new(row, "usage");
    read::whole_sum(&row)?;
    Ok(UsageRow {
        day: row.text("day")?,
        account: row.text("account")?,
        user_sub: match by {
            UsageBy::User => Some(row.text("user_sub")?),
            UsageBy::Account => None,
        },
        item: row.text("item")?,
        unit: row.text("unit")?,
        quantity: row.unsigned("quantity")?,
        cost_nano_usd: row.signed("cost_nano_usd")?,
    })
}

fn alert(row: &AnyRow) -> Result<AlertRow, StoreError> {
    let delivered_at_ms = Reading::new(row, "an alert").maybe_signed("delivered_at")?;
    Ok(AlertRow { alert: alerts::read(row)?, delivered_at_ms })
}
