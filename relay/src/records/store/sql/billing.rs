//! What statements and comparisons with a provider's bill are made of: rows of the ledger in the order of time, what erased users had used, what relays
//! gave back, and calls by account.

use sqlx::any::AnyRow;

use super::super::credit::CREDITED_BY_RELAY;
use super::super::query::{Billed, BilledCursor, CallsOfAccount, Page};
use super::page::Select;
use super::read::{self, Reading};
use super::{Sql, SqlStore, StoreError, damage, sql};
use crate::money::reconcile::{ErasedUse, GivenBack};

const BILLED: Sql = sql!("SELECT " LEDGER ", " DAY " AS day FROM ledger");

const ERASED: Sql = sql!(
    "SELECT day, item, unit, CAST(SUM(quantity) AS BIGINT) AS quantity, CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd
    FROM erased_usage"
);

const GIVEN_BACK: Sql = sql!("SELECT key, day, amount_nano_usd FROM credits");

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
        select.whole_page(&self.readers, damage::LEDGER, limit, billed, cursor).await
    }

    /// Adds up what users had used who are erased: what is of this provider and of the days from this one to that one, such as `2026-12-31`, by day,
    /// item and unit. Those after this one, if it is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn billed_to_erased(
        &self,
        provider: &str,
        (first_day, last_day): (&str, &str),
        after: Option<&ErasedUse>,
        limit: u32,
    ) -> Result<Page<ErasedUse, ErasedUse>, StoreError> {
        let mut select = Select::new(self.dialect.pick(ERASED));
        // Their rows name no provider: it is the word before the `/` of the item, as it is in the ledger.
        let of = format!("{provider}/");
        let values = [(&of).into(), (&of).into(), first_day.into(), last_day.into()];
        select.push(" WHERE SUBSTR(item, 1, LENGTH(?)) = ? AND day >= ? AND day <= ?", values);
        if let Some(ErasedUse { day, item, unit, .. }) = after {
            select.push(" AND (day, item, unit) > (?, ?, ?)", [day.into(), item.into(), unit.into()]);
        }
        select.push(" GROUP BY day, item, unit ORDER BY day, item, unit", []);
        select.whole_page(&self.readers, damage::USAGE, limit, erased, ErasedUse::clone).await
    }

    /// Reads what relays have given back of the days from this one to that one, such as `2026-12-31`, whatever provider it is about. Those after this
    /// one, if it is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn given_back(
        &self,
        (first_day, last_day): (&str, &str),
        after: Option<&GivenBack>,
        limit: u32,
    ) -> Result<Page<GivenBack, GivenBack>, StoreError> {
        let mut select = Select::new(self.dialect.pick(GIVEN_BACK));
        let values = [CREDITED_BY_RELAY.into(), first_day.into(), last_day.into()];
        select.push(" WHERE created_by = ? AND day >= ? AND day <= ?", values);
        select.push_if(" AND key > ?", after.map(|after| &after.key));
        select.push(" ORDER BY key", []);
        select.whole_page(&self.readers, damage::CREDITS, limit, given_back, GivenBack::clone).await
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
        select.whole_page(&self.readers, damage::SESSIONS, limit, calls, |calls| calls.account.clone()).await
    }
}

pub(super) fn cursor(billed: &Billed) -> BilledCursor {
    BilledCursor { at_ms: billed.at_ms, session_id: billed.session_id.clone(), key: billed.row.key.clone() }
}

pub(super) fn billed(row: &AnyRow) -> Result<Billed, StoreError> {
    let billed = read::ledger(row)?;
    let row = Reading::new(row, "a row of the ledger");
    Ok(Billed {
        day: row.text("day")?,
        at_ms: row.signed("created_at")?,
        session_id: row.text("session_id")?,
        row: billed,
    })
}

fn erased(row: &AnyRow) -> Result<ErasedUse, StoreError> {
    let row = Reading::new(row, "what erased users had used");
    Ok(ErasedUse {
        day: row.text("day")?,
        item: row.text("item")?,
        unit: row.text("unit")?,
        quantity: row.unsigned("quantity")?,
        cost: row.money("cost_nano_usd")?,
    })
}

fn given_back(row: &AnyRow) -> Result<GivenBack, StoreError> {
    let row = Reading::new(row, "what was given back");
    let key = row.text("key")?;
    // The session, the item and where in the session: `019ab2c4-…/deepgram/nova-3@0.4.late`.
    let item = key.split_once('/').and_then(|(_, of_session)| of_session.split_once('@'));
    let item = item.map_or_else(String::new, |(item, _)| item.to_owned());
    Ok(GivenBack { key, day: row.text("day")?, item, amount: row.money("amount_nano_usd")? })
}

fn calls(row: &AnyRow) -> Result<CallsOfAccount, StoreError> {
    let row = Reading::new(row, "the calls of an account");
    let (account, calls) = (row.text("account")?, row.unsigned("calls")?);
    Ok(CallsOfAccount { account, calls, milliseconds: row.unsigned("milliseconds")? })
}
