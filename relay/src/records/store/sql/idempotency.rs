//! Requests with an `Idempotency-Key`: each is written before it is made, and its answer when it is there, so that the same key does nothing
//! twice, whichever relays it comes to.

use futures_util::FutureExt;
use sqlx::any::AnyRow;

use super::super::idempotency::{
    KEYED_FOR, KEYED_LEASE, KEYED_MAX, KeptAnswer, Keyed, KeyedEnd, KeyedRequest, KeyedWork, owner_of,
};
use super::read::Reading;
use super::{Durability, Sql, SqlStore, StoreError, millis, sql};

/// Forgets this key if its time is over, though it was not deleted so far.
const FORGET_OLD: Sql = sql!("DELETE FROM idempotency_keys WHERE key = $1 AND created_at <= " NOW " - $2");

/// Whoever makes a request for the first time is known by the id of what it makes.
const WRITE: Sql = sql!(
    "INSERT INTO idempotency_keys (key, owner, request, about, act, holder, lease_until, created_at)
    VALUES ($1, $2, $3, $4, $5, $5, " NOW " + $6, " NOW ")
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

const GO_ON: Sql = sql!("UPDATE idempotency_keys SET lease_until = " NOW " + $1, holder = $2 WHERE key = $3");

const HOLD: Sql = sql!(
    "UPDATE idempotency_keys SET lease_until = " NOW " + $1 WHERE key = $2 AND holder = $3 AND status IS NULL"
);

const ANSWER: Sql = sql!(
    "UPDATE idempotency_keys SET status = $1, body = $2 WHERE key = $3 AND holder = $4 AND status IS NULL"
);

/// Forgets a request that nobody has begun before: whoever did may have done what it asks for, and then it keeps the id of what it makes.
const FREE: Sql =
    sql!("DELETE FROM idempotency_keys WHERE key = $1 AND holder = $2 AND holder = act AND status IS NULL");

/// Nobody is at work on it from then on, not even who says so a little later.
const LET_GO: Sql = sql!(
    "UPDATE idempotency_keys SET lease_until = 0, holder = '' WHERE key = $1 AND holder = $2 AND status IS NULL"
);

/// Deletes what somebody has asked, but for the request that has it deleted: that one is under way, and is not made again if it is sent again.
const FORGET_OF: Sql = sql!("DELETE FROM idempotency_keys WHERE owner = $1 AND act <> $2");

/// Deletes whatever is answered, or about to be answered, about somebody, but for the same request. Its answer names nobody.
const FORGET_ABOUT: Sql = sql!("DELETE FROM idempotency_keys WHERE about = $1 AND act <> $2");

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
                    .bind(request.about.as_deref())
                    .bind(&act)
                    .bind(millis(KEYED_LEASE));
                if write.execute(&mut *tx.connection).await?.rows_affected() > 0 {
                    let bound = tx.query(BOUND).bind(&request.owner).bind(i64::from(KEYED_MAX));
                    bound.execute(&mut *tx.connection).await?;
                    let (key, holder) = (request.key.clone(), act.clone());
                    return Ok(Keyed::Act(KeyedWork { key, act, holder }));
                }
                let row = tx.query(READ).bind(&request.key).fetch_optional(&mut *tx.connection).await?;
                // Whoever was at work on it has just freed it: it is asked again.
                let Some(row) = row else { return Ok(Keyed::UnderWay) };
                let found = found(&row, &request)?;
                if let Keyed::Act(work) = &found {
                    let go_on = tx.query(GO_ON).bind(millis(KEYED_LEASE)).bind(&work.holder).bind(&work.key);
                    go_on.execute(&mut *tx.connection).await?;
                }
                Ok(found)
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn hold_keyed(&self, work: &KeyedWork) -> Result<(), StoreError> {
        let work = work.clone();
        self.transaction(Durability::Process, move |tx| {
            async move {
                let hold = tx.query(HOLD).bind(millis(KEYED_LEASE)).bind(&work.key).bind(&work.holder);
                hold.execute(&mut *tx.connection).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn end_keyed(
        &self,
        work: &KeyedWork,
        end: &KeyedEnd,
    ) -> Result<(), StoreError> {
        let of = |sql| self.statement(sql).bind(&work.key).bind(&work.holder);
        match end {
            KeyedEnd::Answered(answer) => {
                let written = self.statement(ANSWER).bind(i64::from(answer.status)).bind(&answer.body);
                written.bind(&work.key).bind(&work.holder).execute(&self.writer).await?;
                return Ok(());
            }
            KeyedEnd::Nothing => {
                if of(FREE).execute(&self.writer).await?.rows_affected() > 0 {
                    return Ok(());
                }
            }
            KeyedEnd::Unsure => {}
        }
        of(LET_GO).execute(&self.writer).await?;
        Ok(())
    }

    /// Forgets what a user has asked, and what was answered about them. The request that asks for this makes `act`, and stays.
    pub(super) async fn forget_keyed(&self, sub: &str, act: &str) -> Result<(), StoreError> {
        let who = owner_of(sub);
        for sql in [FORGET_OF, FORGET_ABOUT] {
            self.statement(sql).bind(&who).bind(act).execute(&self.writer).await?;
        }
        Ok(())
    }
}

/// What is to be done with a request whose key is there.
fn found(row: &AnyRow, request: &KeyedRequest) -> Result<Keyed, StoreError> {
    let row = Reading::new(row, "a request with a key");
    if row.text("request")? != request.request {
        return Ok(Keyed::OtherRequest);
    }
    if let Some(status) = row.maybe_signed("status")? {
        let status = u16::try_from(status).map_err(|_| row.corrupt("status"))?;
        let body = row.maybe_text("body")?.unwrap_or_default();
        return Ok(Keyed::Answered(KeptAnswer { status, body }));
    }
    match row.signed("held")? {
        0 => {
            let (key, holder) = (request.key.clone(), uuid::Uuid::now_v7().to_string());
            Ok(Keyed::Act(KeyedWork { key, act: row.text("act")?, holder }))
        }
        _ => Ok(Keyed::UnderWay),
    }
}
