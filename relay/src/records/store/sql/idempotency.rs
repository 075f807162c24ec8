//! Requests with an `Idempotency-Key`: each is written before it is made, and its answer when it is there, so that the same key does nothing
//! twice, whichever relays it comes to.

use futures_util::FutureExt;
use sqlx::any::AnyRow;

use super::super::idempotency::{
    KEYED_FOR, KEYED_LEASE, KEYED_MAX, KeptAnswer, Keyed, KeyedEnd, KeyedRequest, owner_of,
};
use super::read::Reading;
use super::{Durability, Sql, SqlStore, StoreError, Tx, millis, sql};

/// Forgets this key if its time is over, though it was not deleted so far.
const FORGET_OLD: Sql = sql!("DELETE FROM idempotency_keys WHERE key = $1 AND created_at <= " NOW " - $2");

const WRITE: Sql = sql!(
    "INSERT INTO idempotency_keys (key, owner, request, act, lease_until, created_at)
    VALUES ($1, $2, $3, $4, " NOW " + $5, " NOW ")
    ON CONFLICT (key) DO NOTHING"
);

/// Deletes the oldest keys of who asks that are more than there may be. Each new key comes with it, so that a few at a time are enough.
const BOUND: Sql = sql!(
    "DELETE FROM idempotency_keys WHERE key IN (
        SELECT key FROM idempotency_keys WHERE owner = $1 ORDER BY created_at DESC LIMIT 10 OFFSET $2)"
);

const READ: Sql = sql!(
    "SELECT request, act, status, body, CAST(CASE WHEN lease_until > " NOW " THEN 1 ELSE 0 END AS BIGINT) AS held
    FROM idempotency_keys WHERE key = $1" LOCK
);

const GO_ON: Sql = sql!("UPDATE idempotency_keys SET lease_until = " NOW " + $1 WHERE key = $2");

/// Of two relays that were at work on the same request, the first answer stands.
const ANSWER: Sql =
    sql!("UPDATE idempotency_keys SET status = $1, body = $2 WHERE key = $3 AND status IS NULL");

const FREE: Sql = sql!("DELETE FROM idempotency_keys WHERE key = $1 AND status IS NULL");

const LET_GO: Sql = sql!("UPDATE idempotency_keys SET lease_until = 0 WHERE key = $1 AND status IS NULL");

/// Deletes what somebody has asked, and answers that have their name.
const FORGET_NAME: Sql = Sql {
    sqlite: "DELETE FROM idempotency_keys WHERE owner = $1 OR instr(COALESCE(body, ''), $2) > 0",
    postgres: "DELETE FROM idempotency_keys WHERE owner = $1 OR strpos(COALESCE(body, ''), $2) > 0",
};

impl SqlStore {
    pub(in crate::records::store) async fn begin_keyed(
        &self,
        request: &KeyedRequest,
    ) -> Result<Keyed, StoreError> {
        let request = request.clone();
        self.transaction(Durability::PowerCut, move |tx| {
            async move {
                let life = millis(KEYED_FOR);
                tx.query(FORGET_OLD).bind(&request.key).bind(life).execute(&mut *tx.connection).await?;
                let act = uuid::Uuid::now_v7().to_string();
                let write = tx
                    .query(WRITE)
                    .bind(&request.key)
                    .bind(&request.owner)
                    .bind(&request.request)
                    .bind(&act)
                    .bind(millis(KEYED_LEASE));
                if write.execute(&mut *tx.connection).await?.rows_affected() > 0 {
                    let bound = tx.query(BOUND).bind(&request.owner).bind(i64::from(KEYED_MAX));
                    bound.execute(&mut *tx.connection).await?;
                    return Ok(Keyed::Act(act));
                }
                let row = tx.query(READ).bind(&request.key).fetch_optional(&mut *tx.connection).await?;
                // Whoever was at work on it has just freed it: it is asked again.
                let Some(row) = row else { return Ok(Keyed::UnderWay) };
                let found = found(&row, &request.request)?;
                if matches!(found, Keyed::Act(_)) {
                    let go_on = tx.query(GO_ON).bind(millis(KEYED_LEASE)).bind(&request.key);
                    go_on.execute(&mut *tx.connection).await?;
                }
                Ok(found)
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn end_keyed(
        &self,
        key: &str,
        end: &KeyedEnd,
    ) -> Result<(), StoreError> {
        let statement = match end {
            KeyedEnd::Answered(answer) => {
                self.statement(ANSWER).bind(i64::from(answer.status)).bind(&answer.body).bind(key)
            }
            KeyedEnd::Nothing => self.statement(FREE).bind(key),
            KeyedEnd::Unsure => self.statement(LET_GO).bind(key),
        };
        statement.execute(&self.writer).await?;
        Ok(())
    }
}

/// Forgets what a user has asked, and what was answered about them.
pub(super) async fn forget_name(tx: &mut Tx<'_>, sub: &str) -> Result<(), StoreError> {
    let name = serde_json::Value::from(sub);
    let query = tx.query(FORGET_NAME).bind(owner_of(sub)).bind(format!(":{name}"));
    query.execute(&mut *tx.connection).await?;
    Ok(())
}

/// What is to be done with a request whose key is there.
fn found(row: &AnyRow, request: &str) -> Result<Keyed, StoreError> {
    let row = Reading::new(row, "a request with a key");
    if row.text("request")? != request {
        return Ok(Keyed::OtherRequest);
    }
    if let Some(status) = row.maybe_signed("status")? {
        let status = u16::try_from(status).map_err(|_| row.corrupt("status"))?;
        let body = row.maybe_text("body")?.unwrap_or_default();
        return Ok(Keyed::Answered(KeptAnswer { status, body }));
    }
    match row.signed("held")? {
        0 => Ok(Keyed::Act(row.text("act")?)),
        _ => Ok(Keyed::UnderWay),
    }
}
