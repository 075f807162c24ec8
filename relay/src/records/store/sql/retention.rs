//! What is kept for a while only: rows that are too old, and recordings.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::types::Expiring;
use super::read::Reading;
use super::statement::Statement;
use super::{Dialect, Sql, SqlStore, StoreError, damage, sql};

const EXPIRE_TURNS: Sql = sql!(
    "DELETE FROM turns WHERE (session_id, turn) IN (
        SELECT session_id, turn FROM turns WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);

const EXPIRE_COMMENTS: Sql = sql!(
    "UPDATE sessions SET comment = NULL WHERE id IN (
        SELECT id FROM sessions WHERE comment IS NOT NULL AND started_at < $1 ORDER BY started_at LIMIT $2)"
);

/// Recordings of ended sessions only: those of live ones are still being written.
const EXPIRED_RECORDINGS: Sql = sql!(
    "SELECT id, recording FROM sessions
    WHERE recording IS NOT NULL AND state = 'ended' AND started_at < $1 AND id > $2
    ORDER BY id LIMIT $3"
);

const FORGET_RECORDING: Sql = sql!("UPDATE sessions SET recording = NULL WHERE id = $1 AND recording = $2");

const ADD_RECORDING: Sql = sql!(
    "UPDATE sessions SET recording = CASE WHEN recording IS NULL THEN $1 ELSE recording || ' ' || $1 END
    WHERE id = $2 AND epoch = $3 AND state = 'live'"
);

const ERASED_RECORDINGS: Sql =
    sql!("SELECT recording FROM erased_recordings WHERE recording > $1 ORDER BY recording LIMIT $2");

const FORGET_ERASED: Sql = sql!("DELETE FROM erased_recordings WHERE recording = $1");

const EXPIRE_BUDGETS: Sql = sql!(
    "DELETE FROM budgets WHERE (scope, owner, period) IN (
        SELECT scope, owner, period FROM budgets
        WHERE (scope = 'user' AND period < $1) OR (scope = 'account' AND period < $2) LIMIT $3)"
);

/// Deletes old alerts. Those that still wait for the webhook stay.
const EXPIRE_ALERTS: Sql = sql!(
    "DELETE FROM alerts WHERE id IN (
        SELECT id FROM alerts WHERE created_at < $1 AND next_attempt_at IS NULL LIMIT $2)"
);

/// Deletes old deliveries, also of an address that nobody sends to any more.
const EXPIRE_DELIVERIES: Sql = sql!(
    "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);

/// Deletes old incidents. One that waited for so long tells nobody anything any more.
const EXPIRE_INCIDENTS: Sql = sql!(
    "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);

/// Deletes old commands. One that waited for so long waits no more.
const EXPIRE_COMMANDS: Sql = sql!(
    "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);

/// Deletes old requests with a key, and what they were answered.
const EXPIRE_KEYED: Sql = sql!(
    "DELETE FROM idempotency_keys WHERE key IN (
        SELECT key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2)"
);

/// Deletes the leases of relays that have no live session.
const EXPIRE_RELAYS: Sql = sql!(
    "DELETE FROM relays WHERE lease_until < $1 AND id IN (
        SELECT id FROM relays WHERE lease_until < $1
            AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.relay = relays.id AND state = 'live') LIMIT $2)"
);

/// Deletes what is known of erased sessions. The schema deletes the keys of their rows with it.
const EXPIRE_ERASED: Sql = sql!(
    "DELETE FROM erased_sessions WHERE id IN (SELECT id FROM erased_sessions WHERE erased_at < $1 LIMIT $2)"
);

/// Deletes rates that are whole again, and those that say nothing because the clock was set back. A row that somebody is counting by is left
/// out: whoever begins a session locks two of them in an order of their own. The times are asked for once, so that an index finds the rows.
const EXPIRE_RATES: Sql = sql!(
    "WITH done AS (
        SELECT key FROM rates
        WHERE tat_us < (SELECT " NOW " * 1000) OR tat_us > (SELECT " NOW " * 1000 + 60000000)
        LIMIT $1" LOCK_FREE_ONES ")
    DELETE FROM rates WHERE key IN (SELECT key FROM done)"
);

impl SqlStore {
    pub(in crate::records::store) async fn expire(
        &self,
        what: Expiring<'_>,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        let query = match what {
            Expiring::Turns { before_ms } => self.statement(EXPIRE_TURNS).bind(before_ms).bind(limit),
            Expiring::Comments { before_ms } => self.statement(EXPIRE_COMMENTS).bind(before_ms).bind(limit),
            Expiring::Alerts { before_ms } => self.statement(EXPIRE_ALERTS).bind(before_ms).bind(limit),
            Expiring::Deliveries { before_ms } => {
                self.statement(EXPIRE_DELIVERIES).bind(before_ms).bind(limit)
            }
            Expiring::Incidents { before_ms } => self.statement(EXPIRE_INCIDENTS).bind(before_ms).bind(limit),
            Expiring::Commands { before_ms } => self.statement(EXPIRE_COMMANDS).bind(before_ms).bind(limit),
            Expiring::Keyed { before_ms } => self.statement(EXPIRE_KEYED).bind(before_ms).bind(limit),
            Expiring::Relays { before_ms } => self.statement(EXPIRE_RELAYS).bind(before_ms).bind(limit),
            Expiring::Erased { before_ms } => self.statement(EXPIRE_ERASED).bind(before_ms).bind(limit),
            Expiring::Budgets { day, month } => {
                self.statement(EXPIRE_BUDGETS).bind(day.to_owned()).bind(month.to_owned()).bind(limit)
            }
            Expiring::Rates => self.statement(EXPIRE_RATES).bind(limit),
        };
        Ok(query.execute(&self.writer).await?.rows_affected())
    }

    pub(in crate::records::store) async fn expired_recordings(
        &self,
        before_ms: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let query = self.statement(EXPIRED_RECORDINGS).bind(before_ms).bind(after).bind(i64::from(limit));
        let rows = query.fetch_each(&self.readers).await?;
        damage::SESSIONS.readable("a session that was recorded", rows, |row| {
            let row = Reading::new(row, "a session");
            Ok((row.text("id")?, row.text("recording")?))
        })
    }

    pub(in crate::records::store) async fn forget_recording(
        &self,
        id: &str,
        recording: &str,
    ) -> Result<(), StoreError> {
        self.statement(FORGET_RECORDING).bind(id).bind(recording).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn add_recording(
        &self,
        id: &str,
        epoch: u32,
        key: &str,
    ) -> Result<(), StoreError> {
        let query = self.statement(ADD_RECORDING).bind(key).bind(id).bind(i64::from(epoch));
        super::found(id, query.execute(&self.writer).await?.rows_affected())
    }

    pub(in crate::records::store) async fn erased_recordings(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let query = self.statement(ERASED_RECORDINGS).bind(after).bind(i64::from(limit));
        let rows = query.fetch_each(&self.readers).await?;
        let read = |row: &AnyRow| Reading::new(row, "an erased recording").text("recording");
        damage::ERASED_RECORDINGS.readable("an erased recording", rows, read)
    }

    pub(in crate::records::store) async fn forget_erased(&self, recording: &str) -> Result<(), StoreError> {
        self.statement(FORGET_ERASED).bind(recording).execute(&self.writer).await?;
        Ok(())
    }

    /// SQLite overwrites deleted rows in the file itself (`secure_delete`). Its log still has them until it is emptied.
    pub(in crate::records::store) async fn scrub(&self) -> Result<bool, StoreError> {
        if self.dialect == Dialect::Postgres {
            return Ok(true);
        }
        let row = Statement::new("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer).await?;
        let busy: i64 = row.try_get(0)?;
        Ok(busy == 0)
    }
}
