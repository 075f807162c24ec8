//! Usage and the ledger as tables.

use sqlx::any::AnyRow;

use super::super::query::{BilledCursor, Page};
use super::super::tables::{LedgerEntry, LedgerFilter, SumBy, SumCursor, SumFilter, SumPer, SumRow};
use super::billing;
use super::budget_rows::Periods;
use super::page::Select;
use super::read::{self, Reading};
use super::statement::Value;
use super::{Sql, SqlStore, StoreError, damage, sql};

/// What is in the ledger, whether or not the row of its session is found. `damaged` names a row that would make a sum smaller than it is.
const USED: Sql = sql!(
    "SELECT " DAY " AS day, ledger.account AS account, ledger.user_sub AS user_sub, COALESCE(sessions.plan, '') AS plan,
        COALESCE(sessions.agent, '') AS agent, ledger.session_id AS session_id, ledger.item AS item, ledger.unit AS unit,
        ledger.quantity AS quantity, ledger.cost_nano_usd AS cost_nano_usd, ledger.estimated AS estimated,
        CASE WHEN ledger.quantity < 0 OR ledger.cost_nano_usd < 0 OR ledger.estimated NOT IN (0, 1)
            THEN 'ledger row ' || ledger.key || ' of session ' || ledger.session_id END AS damaged
    FROM ledger LEFT JOIN sessions ON sessions.id = ledger.session_id"
);

const ERASED: &str = " UNION ALL
    SELECT day, account, '' AS user_sub, '' AS plan, '' AS agent, '' AS session_id, item, unit, quantity, cost_nano_usd,
        0 AS estimated, CASE WHEN quantity < 0 OR cost_nano_usd < 0
            THEN 'row ' || account || ' ' || day || ' ' || item || ' ' || unit || ' of erased_usage' END AS damaged
    FROM erased_usage";

/// Credits, as usage that costs less than nothing.
const CREDITED: &str = " UNION ALL
    SELECT day, account, COALESCE(user_sub, '') AS user_sub, '' AS plan, '' AS agent, '' AS session_id,
        'operator/credit' AS item, 'nano_usd' AS unit, amount_nano_usd AS quantity, -amount_nano_usd AS cost_nano_usd,
        0 AS estimated, CASE WHEN amount_nano_usd < 0 THEN 'credit ' || key END AS damaged
    FROM credits";

/// What rows are added up by, and what they are ordered by.
const COLUMNS: &str = "period, account, user_sub, plan, agent, session_id, item, unit";

const ENTRIES: Sql = sql!(
    "SELECT " LEDGER ", sessions.plan AS plan, COALESCE(sessions.agent, '') AS agent, " DAY " AS day
    FROM ledger LEFT JOIN sessions ON sessions.id = ledger.session_id"
);

impl SqlStore {
    pub(in crate::records::store) async fn sum_usage(
        &self,
        filter: &SumFilter,
        after: Option<&SumCursor>,
        limit: u32,
    ) -> Result<Page<SumRow, SumCursor>, StoreError> {
        let period = match filter.per {
            SumPer::Day => "day",
            SumPer::Month => "substr(day, 1, 7)",
        };
        let mut select = Select::new(&format!(
            "SELECT {COLUMNS}, CAST(SUM(quantity) AS BIGINT) AS quantity,
                CAST(SUM(estimated * quantity) AS BIGINT) AS estimated,
                CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd,
                CAST(SUM(estimated * cost_nano_usd) AS BIGINT) AS estimated_nano_usd, MIN(damaged) AS damaged
            FROM (SELECT {period} AS period, account, {}, item, unit, quantity, cost_nano_usd, estimated, damaged FROM (",
            names(filter.by)
        ));
        select.push(self.dialect.pick(USED), []);
        let range = [filter.from_ms.into(), filter.to_ms.into()];
        select.push(" WHERE ledger.created_at >= ? AND ledger.created_at < ?", range);
        select.push_if(" AND ledger.user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND ledger.account = ?", filter.account.as_ref());
        let days = || [filter.from_ms, filter.to_ms].map(|ms| Value::from(Periods::at(ms).user));
        if filter.user_sub.is_none() {
            select.push(ERASED, []);
            select.push(" WHERE day >= ? AND day < ?", days());
            select.push_if(" AND account = ?", filter.account.as_ref());
        }
        select.push(CREDITED, []);
        select.push(" WHERE day >= ? AND day < ?", days());
        select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND account = ?", filter.account.as_ref());
        select.push(") AS used) AS named", []);
        if let Some(SumCursor { period, account, user_sub, plan, agent, session_id, item, unit }) = after {
            let after = [period, account, user_sub, plan, agent, session_id, item, unit].map(Value::from);
            select.push(&format!(" WHERE ({COLUMNS}) > (?, ?, ?, ?, ?, ?, ?, ?)"), after);
        }
        select.push(&format!(" GROUP BY {COLUMNS} ORDER BY {COLUMNS}"), []);
        select.whole_page(&self.readers, damage::USAGE, limit, sum, |row| row.of.clone()).await
    }

    pub(in crate::records::store) async fn list_ledger(
        &self,
        filter: &LedgerFilter,
        after: Option<&BilledCursor>,
        limit: u32,
    ) -> Result<Page<LedgerEntry, BilledCursor>, StoreError> {
        let mut select = Select::new(self.dialect.pick(ENTRIES));
        // From the last row on: SQLite looks up the first condition, and would read what comes before it again for each page.
        let from_ms = after.map_or(filter.from_ms, |after| filter.from_ms.max(after.at_ms));
        let range = [from_ms.into(), filter.to_ms.into()];
        select.push(" WHERE ledger.created_at >= ? AND ledger.created_at < ?", range);
        select.push_if(" AND ledger.user_sub = ?", filter.user_sub.as_ref());
        select.push_if(" AND ledger.account = ?", filter.account.as_ref());
        select.push_if(" AND ledger.session_id = ?", filter.session_id.as_ref());
        if let Some(BilledCursor { at_ms, session_id, key }) = after {
            let after = [(*at_ms).into(), session_id.into(), key.into()];
            select.push(" AND (ledger.created_at, ledger.session_id, ledger.key) > (?, ?, ?)", after);
        }
        select.push(" ORDER BY ledger.created_at, ledger.session_id, ledger.key", []);
        select.page(&self.readers, damage::LEDGER, limit, entry, |entry| billing::cursor(&entry.billed)).await
    }
}

/// The columns of names, each of them empty that usage is not added up for.
fn names(by: SumBy) -> &'static str {
    match by {
        SumBy::Account => "'' AS user_sub, '' AS plan, '' AS agent, '' AS session_id",
        SumBy::User => "user_sub, '' AS plan, '' AS agent, '' AS session_id",
        SumBy::Plan => "'' AS user_sub, plan, '' AS agent, '' AS session_id",
        SumBy::Agent => "'' AS user_sub, '' AS plan, agent, '' AS session_id",
        SumBy::Session => "user_sub, plan, agent, session_id",
    }
}

fn sum(row: &AnyRow) -> Result<SumRow, StoreError> {
    let row = Reading::new(row, "usage");
    read::whole_sum(&row)?;
    Ok(SumRow {
        of: SumCursor {
            period: row.text("period")?,
            account: row.text("account")?,
            user_sub: row.text("user_sub")?,
            plan: row.text("plan")?,
            agent: row.text("agent")?,
            session_id: row.text("session_id")?,
            item: row.text("item")?,
            unit: row.text("unit")?,
        },
        quantity: row.unsigned("quantity")?,
        estimated: row.unsigned("estimated")?,
        cost_nano_usd: row.signed("cost_nano_usd")?,
        estimated_nano_usd: row.signed("estimated_nano_usd")?,
    })
}

fn entry(row: &AnyRow) -> Result<LedgerEntry, StoreError> {
    let billed = billing::billed(row)?;
    let row = Reading::new(row, "a row of the ledger");
    Ok(LedgerEntry {
        billed,
        account: row.text("account")?,
        user_sub: row.text("user_sub")?,
        plan: row.maybe_text("plan")?,
        agent: row.text("agent")?,
    })
}
