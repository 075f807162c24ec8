//! The outbox: alerts that wait for the webhook.

use std::time::Duration;

use super::super::types::{Alert, Attempted};
use super::money::read_alert;
use super::{Sql, SqlStore, StoreError, millis, sql};

/// Pushes the time of the next try into the future before anything is sent: nobody else sends the same meanwhile.
const CLAIM: Sql = sql!(
    "UPDATE alerts SET attempts = attempts + 1, next_attempt_at = " NOW " + $1
    WHERE id IN (
        SELECT id FROM alerts WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW "
        ORDER BY next_attempt_at LIMIT $2" LOCK_FREE_ONES ")
    RETURNING *"
);

const DELIVERED: Sql = sql!(
    "UPDATE alerts SET delivered_at = " NOW ", next_attempt_at = NULL WHERE id = $1 AND delivered_at IS NULL"
);

/// Not if it was claimed again since, or delivered.
const AGAIN: Sql = sql!(
    "UPDATE alerts SET next_attempt_at = " NOW " + $1 WHERE id = $2 AND attempts = $3 AND delivered_at IS NULL"
);

const GIVE_UP: Sql =
    sql!("UPDATE alerts SET next_attempt_at = NULL WHERE id = $1 AND attempts = $2 AND delivered_at IS NULL");

const DISMISS: Sql = sql!(
    "UPDATE alerts SET next_attempt_at = NULL WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW
);

impl SqlStore {
    pub(super) async fn claim_alerts(&self, claim: Duration, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let claimed = self.write(CLAIM).bind(millis(claim)).bind(i64::from(limit));
        let rows = claimed.fetch_all(&self.writer).await?;
        rows.iter().map(read_alert).collect()
    }

    pub(super) async fn finish_alert(
        &self,
        id: &str,
        attempts: u32,
        attempted: Attempted,
    ) -> Result<(), StoreError> {
        let query = match attempted {
            Attempted::Delivered => self.write(DELIVERED).bind(id),
            Attempted::Again(wait) => self.write(AGAIN).bind(millis(wait)).bind(id).bind(i64::from(attempts)),
            Attempted::GivenUp => self.write(GIVE_UP).bind(id).bind(i64::from(attempts)),
        };
        query.execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn dismiss_alerts(&self) -> Result<(), StoreError> {
        self.write(DISMISS).execute(&self.writer).await?;
        Ok(())
    }
}
