//! What statements and comparisons with a provider's bill are made of: rows of the ledger in the order of time, and calls by account.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::query::{Billed, BilledCursor, CallsOfAccount, Page};
use super::page::Select;
use super::read::{self, Reading};
use super::{Sql, SqlStore, StoreError, sql};

const BILLED: Sql = sql!("SELECT " LEDGER ", " DAY " AS day FROM ledger");

/// A call that is live counts until now.
const CALLS: Sql = sql!(
    "SELECT account, COUNT(*) AS calls,
        CAST(COALESCE(SUM(COALESCE(ended_at, " NOW ") - started_at), 0) AS BIGINT) AS milliseconds
    FROM sessions"
);

impl SqlStore {
    /// Reads the rows of the ledger that are of this provider and from this time to that, in milliseconds since 1970, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn billed(
        &self,
        provider: &str,
        (from_ms, to_ms): (i64, i64),
        after: Option<&BilledCursor>,
        limit: u32,
    ) -> Result<Page<Billed, BilledCursor>, StoreError> {
        let mut select = Select::new(self.dialect.pick(BILLED));
        // From the last row on: SQLite looks up the first condition, and would read what comes before it again for each page.
        let from_ms = after.map_or(from_ms, |after| from_ms.max(after.at_ms));
        let values = [provider.into(), from_ms.into(), to_ms.into()];
        select.push(" WHERE provider = ? AND created_at >= ? AND created_at < ?", values);
        if let Some(BilledCursor { at_ms, session_id, key }) = after {
            let after = [(*at_ms).into(), session_id.into(), key.into()];
            select.push(" AND (created_at, session_id, key) > (?, ?, ?)", after);
        }
        select.push(" ORDER BY created_at, session_id, key", []);
        select.page(&self.readers, limit, billed, cursor).await
    }

    /// Counts the calls that began from this time to that, in milliseconds since 1970, by account: those of accounts after this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn calls_by_account(
        &self,
        (from_ms, to_ms): (i64, i64),
        account: Option<&str>,
        after: Option<&String>,
        limit: u32,
    ) -> Result<Page<CallsOfAccount, String>, StoreError> {
        let mut select = Select::new(self.dialect.pick(CALLS));
        select.push(" WHERE started_at >= ? AND started_at < ?", [from_ms.into(), to_ms.into()]);
        select.push_if(" AND account = ?", account);
        select.push_if(" AND account > ?", after);
        select.push(" GROUP BY account ORDER BY account", []);
        select.page(&self.readers, limit, calls, |calls| calls.account.clone()).await
    }
}

pub(super) fn cursor(billed: &Billed) -> BilledCursor {
    BilledCursor { at_ms: billed.at_ms, session_id: billed.session_id.clone(), key: billed.row.key.clone() }
}

pub(super) fn billed(row: &AnyRow) -> Result<Billed, StoreError> {
    Ok(Billed {
        day: row.try_get("day")?,
        at_ms: row.try_get("created_at")?,
        session_id: row.try_get("session_id")?,
        row: read::ledger(row)?,
    })
}

fn calls(row: &AnyRow) -> Result<CallsOfAccount, StoreError> {
    let row = Reading::new(row, "the calls of an account");
    let (account, calls) = (row.text("account")?, row.unsigned("calls")?);
    Ok(CallsOfAccount { account, calls, milliseconds: row.unsigned("milliseconds")? })
}
