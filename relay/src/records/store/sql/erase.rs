//! Erasing: what somebody said is deleted to the last byte. What it cost stays, without their name.

use futures_util::FutureExt;
use sqlx::Row;

use super::super::audit::DeedKind;
use super::super::credit::CREDITED_BY_RELAY;
use super::audit::{self, Done};
use super::money::{self, Locked, WrittenOff};
use super::{
    Durability, Sql, SqlStore, StoreError, Tx, api_keys, budget_rows, budgets, deliveries, erased, rollups,
    sql,
};

/// How many sessions one transaction erases. Other relays then do not wait for long, and a long history does not run into a time limit.
const BATCH: i64 = 100;
/// How often SQLite is asked to empty its log while somebody still reads in it. Each try takes as long as its busy timeout.
const CHECKPOINTS: usize = 3;
/// A name that nobody has, since no name has a line break in it. An erased administrator's is empty.
const NOBODY: &str = "\n";

const KEEP_USAGE: Sql = sql!(
    "INSERT INTO erased_usage (account, day, item, unit, quantity, cost_nano_usd)
    SELECT account, day, item, unit, CAST(SUM(quantity) AS BIGINT), CAST(SUM(cost_nano_usd) AS BIGINT)
    FROM (SELECT account, " DAY " AS day, item, unit, quantity, cost_nano_usd FROM ledger WHERE session_id" THESE ") AS used
    WHERE 1 = 1
    GROUP BY account, day, item, unit
    ORDER BY account, day, item, unit
    ON CONFLICT (account, day, item, unit) DO UPDATE SET
        quantity = erased_usage.quantity + excluded.quantity,
        cost_nano_usd = erased_usage.cost_nano_usd + excluded.cost_nano_usd"
);

const KEEP_RECORDING: Sql = sql!(
    "INSERT INTO erased_recordings (recording)
    SELECT recording FROM sessions WHERE id = $1 AND recording IS NOT NULL
    ON CONFLICT (recording) DO NOTHING"
);

/// Deletes a session. The schema deletes its turns, its ledger, the alerts about its own budget and what webhooks are to be told of it with it, and takes
/// it out of other alerts, as well as a user who has no session left.
const DELETE: Sql = sql!("DELETE FROM sessions WHERE id = $1");

const OWNER: Sql = sql!("SELECT user_sub FROM sessions WHERE id = $1" LOCK);

const OF_USER: Sql = sql!("SELECT id FROM sessions WHERE user_sub = $1 ORDER BY id LIMIT $2" LOCK);

const FORGET_WHO_DENIED: Sql = sql!("UPDATE denials SET created_by = '' WHERE created_by = $1");

/// Takes a user out of the credits that they were given, and the words about them, but for those that `$2` has given. What the account got back
/// stays.
const FORGET_WHO_WAS_CREDITED: Sql =
    sql!("UPDATE credits SET user_sub = NULL, reason = '' WHERE user_sub = $1 AND created_by <> $2");

/// Takes the user out of what relays gave back of a session: what it has cost does not name them any more either, and is no part of what is
/// compared with what they have back.
const FORGET_WHO_WAS_CREDITED_LATE: Sql = sql!(
    "UPDATE credits SET user_sub = NULL, reason = ''
    WHERE user_sub = (SELECT user_sub FROM sessions WHERE id = $1) AND created_by = $2
        AND SUBSTR(key, 1, LENGTH($1) + 1) = $1 || '/'"
);

/// Takes a user out of alerts.
const FORGET_WHO_REACHED: Sql = sql!("UPDATE alerts SET user_sub = '' WHERE user_sub = $1");

/// Takes a user of whom no session is left out of alerts.
const FORGET_WHO_IS_GONE: Sql = sql!(
    "UPDATE alerts SET user_sub = ''
    WHERE user_sub = $1 AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.user_sub = $1)"
);

const FORGET_WHO_CREDITED: Sql = sql!("UPDATE credits SET created_by = '' WHERE created_by = $1");

/// Takes a user out of what administrators did to them, and the words about it, but for what `$2` did.
const FORGET_TO_WHOM: Sql =
    sql!("UPDATE audit SET user_sub = NULL, reason = '' WHERE user_sub = $1 AND done_by <> $2");

const FORGET_WHO_MADE_KEYS: Sql = sql!("UPDATE api_keys SET created_by = '' WHERE created_by = $1");

const FORGET_BY_WHOM: Sql = sql!("UPDATE audit SET done_by = '' WHERE done_by = $1");

const END_ELSEWHERE: Sql = sql!(
    "UPDATE sessions SET state = 'ended', ended_at = " NOW ", end_reason = $1, resume_hash_previous = NULL,
        " FENCED ", rolled_up = $2
    WHERE id = $3 AND state = 'live'"
);

impl SqlStore {
    pub(in crate::records::store) async fn delete_session(
        &self,
        id: &str,
        by: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (store, id, by) = (self.clone(), id.to_owned(), by.map(str::to_owned));
        self.finish(async move {
            let owner = store.session(&id).await?.map(|session| session.user_sub);
            let (erased, lost) = store
                .transaction(Durability::PowerCut, move |mut tx| {
                    async move {
                        if let Some(by) = by {
                            note_session(&mut tx, &id, &by).await?;
                        }
                        erase(&mut tx, &[id]).await
                    }
                    .boxed()
                })
                .await?;
            lost.iter().for_each(WrittenOff::tell_operators);
            if let Some(owner) = owner {
                store.forget_name(&owner).await?;
                store.forget_who_is_gone(&owner).await?;
            }
            store.empty_log().await?;
            Ok(erased > 0)
        })
        .await
    }

    pub(in crate::records::store) async fn delete_user(
        &self,
        sub: &str,
        by: Option<&str>,
        act: &str,
    ) -> Result<u64, StoreError> {
        let (store, sub, by, act) = (self.clone(), sub.to_owned(), by.map(str::to_owned), act.to_owned());
        let is_own = by.is_none();
        self.finish(async move {
            let mut erased = 0;
            // With the first batch the deed is done, whatever becomes of the others.
            let mut is_first = true;
            loop {
                let (of, by) = (sub.clone(), by.clone());
                let is_first = std::mem::take(&mut is_first);
                let (batch, lost) = store
                    .transaction(Durability::PowerCut, move |mut tx| {
                        async move {
                            if let (true, Some(by)) = (is_first, &by) {
                                // Whom it was done to is what is being forgotten.
                                let what = DeedKind::DeleteUser;
                                let done = Done { by, what, user_sub: None, subject: "", reason: "" };
                                audit::write(&mut tx, done).await?;
                            }
                            erase_batch(&mut tx, &of, by.as_deref()).await
                        }
                        .boxed()
                    })
                    .await?;
                lost.iter().for_each(WrittenOff::tell_operators);
                erased += batch;
                if batch < BATCH.unsigned_abs() {
                    break;
                }
            }
            store.forget_name(&sub).await?;
            store.forget_keyed(&sub, &act).await?;
            // Nobody is told before the name is nowhere: an erasure that was broken off is asked for again, and is told then.
            store
                .transaction(Durability::PowerCut, move |mut tx| {
                    async move {
                        // Nobody has more money than an administrator lets them have by erasing themselves.
                        if !is_own {
                            budgets::forget_cap(&mut tx, &sub).await?;
                        }
                        deliveries::user_erased(&mut tx, &sub, &act).await
                    }
                    .boxed()
                })
                .await?;
            store.empty_log().await?;
            Ok(erased)
        })
        .await
    }

    pub(in crate::records::store) async fn end_elsewhere(
        &self,
        id: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let (store, id, reason) = (self.clone(), id.to_owned(), reason.to_owned());
        self.finish(async move {
            let ended = store.transaction(Durability::PowerCut, move |mut tx| {
                async move {
                    let locked = Locked::read(&mut tx, &id).await?.filter(|locked| locked.is_live);
                    let Some(locked) = locked else { return Ok(None) };
                    let lost = money::write_off(&mut tx, locked).await?;
                    let number = rollups::number(&mut tx).await?;
                    let end = tx.query(END_ELSEWHERE).bind(reason).bind(number).bind(&*id);
                    end.execute(&mut *tx.connection).await?;
                    rollups::put_in(&mut tx, number, &id).await?;
                    Ok(Some(lost))
                }
                .boxed()
            });
            let lost = ended.await?;
            lost.iter().for_each(WrittenOff::tell_operators);
            Ok(lost.is_some())
        })
        .await
    }

    /// Takes a user of whom no session is left out of alerts. The schema does so with their last session. But of two that are deleted at the same
    /// moment neither is the last, and what is written late for an erased session may be written while another one is deleted. So whoever has done
    /// either looks once more when it is committed: the last of them sees what the others have done.
    pub(super) async fn forget_who_is_gone(&self, sub: &str) -> Result<(), StoreError> {
        self.statement(FORGET_WHO_IS_GONE).bind(sub).execute(&self.writer).await?;
        Ok(())
    }

    /// Runs `work` to its end, even if the caller is dropped. What comes of a transaction is told in it, so that nothing that is written is told to
    /// nobody.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.tasks.spawn(work).await.map_err(|_| StoreError::Unfinished)?
    }

    /// Empties SQLite's log, which still has the pages as they were before. PostgreSQL's log is in the operator's hands, as `docs/records.md`
    /// says.
    async fn empty_log(&self) -> Result<(), StoreError> {
        for _ in 0..CHECKPOINTS {
            if self.scrub().await? {
                return Ok(());
            }
        }
        tracing::error!("the database's log still holds what was erased: somebody reads in it for too long");
        Err(StoreError::Unfinished)
    }
}

/// Puts into the audit that an administrator erases a session, if there is such a session. It is locked, so that nobody else erases it first.
async fn note_session(tx: &mut Tx<'_>, id: &str, by: &str) -> Result<(), StoreError> {
    let row = tx.query(OWNER).bind(id).fetch_optional(&mut *tx.connection).await?;
    let Some(row) = row else { return Ok(()) };
    let owner: String = row.try_get("user_sub")?;
    let what = DeedKind::DeleteSession;
    audit::write(tx, Done { by, what, user_sub: Some(&owner), subject: id, reason: "" }).await
}

/// Erases some of a user's sessions for the administrator `by`, or for the user, and says how many. If users erase themselves, what they did as
/// administrators stays, to themselves as well: nobody takes their own name, or what it was for, out of the audit and the credits.
async fn erase_batch(
    tx: &mut Tx<'_>,
    sub: &str,
    by: Option<&str>,
) -> Result<(u64, Vec<WrittenOff>), StoreError> {
    // This locks all sessions before the first budget is locked, as the order of locks wants it.
    let rows = tx.query(OF_USER).bind(sub).bind(BATCH).fetch_all(&mut *tx.connection).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let (_, lost) = erase(tx, &ids).await?;
    tx.query(FORGET_WHO_REACHED).bind(sub).execute(&mut *tx.connection).await?;
    if let Some(by) = by {
        tx.query(FORGET_WHO_DENIED).bind(sub).execute(&mut *tx.connection).await?;
        // Nobody could find them by their maker any more.
        api_keys::revoke_all_of(tx, sub, by).await?;
    }
    let but_by = if by.is_some() { NOBODY } else { sub };
    for sql in [FORGET_WHO_WAS_CREDITED, FORGET_TO_WHOM] {
        tx.query(sql).bind(sub).bind(but_by).execute(&mut *tx.connection).await?;
    }
    if by.is_some() {
        for sql in [FORGET_WHO_CREDITED, FORGET_WHO_MADE_KEYS, FORGET_BY_WHOM] {
            tx.query(sql).bind(sub).execute(&mut *tx.connection).await?;
        }
    }
    Ok((rows.len() as u64, lost))
}

/// Erases sessions, and says how many of them there were, and what has come of charging those that were live. Each step is done for all of them before
/// the next one, as the order of locks wants it.
async fn erase(tx: &mut Tx<'_>, ids: &[String]) -> Result<(usize, Vec<WrittenOff>), StoreError> {
    let (mut there, mut live, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let Some(locked) = Locked::read(tx, id).await? else { continue };
        if locked.is_live {
            live.push(locked);
        }
        there.push(id.clone());
    }
    budget_rows::lock_budgets_of(tx, &live).await?;
    for locked in live {
        lost.push(money::write_off(tx, locked).await?);
    }
    rollups::take_out(tx, &there).await?;
    for id in &there {
        erased::remember(tx, id).await?;
    }
    tx.query(KEEP_USAGE).bind(rollups::listed(&there)).execute(&mut *tx.connection).await?;
    for id in &there {
        let forget = tx.query(FORGET_WHO_WAS_CREDITED_LATE).bind(id).bind(CREDITED_BY_RELAY);
        forget.execute(&mut *tx.connection).await?;
        for sql in [KEEP_RECORDING, DELETE] {
            tx.query(sql).bind(id).execute(&mut *tx.connection).await?;
        }
    }
    Ok((there.len(), lost))
}
