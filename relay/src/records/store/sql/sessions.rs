//! How sessions begin, are taken over, and end.

use futures_util::FutureExt;
use protocol::Mark;
use sqlx::Row;

use super::super::query::HAND_OFF;
use super::super::types::{
    Inherited, InsteadOf, NewSession, Opened, Quality, Quota, Reserve, TakeOver, TakenOver,
};
use super::budget_rows::{self, Owners, Periods};
use super::money::{self, Locked, WrittenOff};
use super::read::Reading;
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, found, leases, rates, read, rollups, sql};
use crate::money::budget::Reserved;

/// A session of this conversation that this user has in this account.
const CONVERSATION: Sql =
    sql!("SELECT id FROM sessions WHERE conversation_id = $1 AND user_sub = $2 AND account = $3 LIMIT 1");

/// Finds the user's session that has been without a connection for longest, preferably one of this account. A session of a lost relay has no
/// connection.
const DETACHED: Sql = sql!(
    "SELECT id, account FROM sessions WHERE user_sub = $1 AND state = 'live'
        AND (detached_at IS NOT NULL OR " LEASE " <= " NOW ")
    ORDER BY CASE WHEN account = $2 THEN 0 ELSE 1 END, COALESCE(detached_at, " LEASE "), id LIMIT 1" LOCK
);

/// Counts live sessions. Those that wait to be resumed are counted, so that nobody can have more sessions by changing relays.
const LIVE: Sql = sql!(
    "SELECT (SELECT COUNT(*) FROM sessions WHERE user_sub = $1 AND state = 'live') AS of_user,
        (SELECT COUNT(*) FROM sessions WHERE account = $2 AND state = 'live') AS of_account"
);

const INSERT: Sql = sql!(
    "INSERT INTO sessions (id, conversation_id, user_sub, account, plan, login, client, agent, state, started_at, relay,
        lease_until, epoch, uplink_seq_committed, uplink_position_committed, metered_position, resume_hash, recording,
        user_period, account_period, replayable_samples)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'live', $9, $10, " HELD ", $11, $12, $13, $14, $15, $16, $17, $18, $19)"
);

/// How far a session has come, if it has ended and this is its user's client.
const ENDED: Sql = sql!(
    "SELECT uplink_seq_committed, uplink_position_committed, replayable_samples, metered_position FROM sessions
    WHERE id = $1 AND user_sub = $2 AND account = $3 AND resume_hash = $4 AND state = 'ended'" LOCK
);

const CLAIM_PAID: Sql = sql!("UPDATE sessions SET replayable_samples = 0, succeeded = 1 WHERE id = $1");

/// Takes a session over. An order to hand it off is done with, but an administrator's order to end it stays. `metered_at` leaves out what was
/// charged for a lost relay, which says nothing about when that relay last heard audio.
const TAKE_OVER: Sql = sql!(
    "UPDATE sessions SET epoch = epoch + 1, reconnects = reconnects + 1, resume_hash = $1, resume_hash_previous = $2,
        relay = $3, lease_until = " HELD ", detached_at = NULL,
        end_requested = CASE WHEN end_requested = $4 THEN NULL ELSE end_requested END
    WHERE id = $5
    RETURNING " SESSION ",
        (SELECT MAX(created_at) FROM ledger WHERE session_id = sessions.id AND item <> 'unknown/lost') AS metered_at,
        (SELECT CAST(COALESCE(MAX(turn) + 1, 0) AS BIGINT) FROM turns WHERE session_id = sessions.id) AS next_turn"
);

/// The newest answers with sound of which nobody has said how far they were heard: the one that was being given, and as many before it as a call
/// waits for (`UNCONFIRMED_MAX`).
const UNHEARD: Sql = sql!(
    "SELECT " TURN " FROM turns
    WHERE session_id = $1 AND epoch IS NOT NULL AND role = 'agent' AND heard_position IS NULL AND end_position > start_position
    ORDER BY turn DESC LIMIT 9"
);

const ROTATE_RESUME: Sql = sql!(
    "UPDATE sessions SET resume_hash = $1, resume_hash_previous = $2, reconnects = $3
    WHERE id = $4 AND epoch = $5 AND state = 'live'"
);

const ATTACH: Sql =
    sql!("UPDATE sessions SET detached_at = NULL WHERE id = $1 AND epoch = $2 AND state = 'live'");

const DETACH: Sql = sql!(
    "UPDATE sessions SET detached_at = " NOW " WHERE id = $1 AND epoch = $2 AND state = 'live'"
);

const STRIKES: Sql = sql!("UPDATE sessions SET strikes = $1 WHERE id = $2 AND epoch = $3 AND state = 'live'");

const END: Sql = sql!(
    "UPDATE sessions SET state = 'ended', ended_at = $1, end_reason = $2, resume_hash_previous = NULL,
        rtt_avg_us = $3, rtt_max_us = $4, lost_samples = $5, rolled_up = $6
    WHERE id = $7 AND state = 'live'"
);

const END_LOST: Sql = sql!(
    "UPDATE sessions SET state = 'ended', ended_at = CASE WHEN " LEASE " <= 0 THEN started_at
            WHEN " LEASE " > " NOW " THEN " NOW " ELSE " LEASE " END,
        end_reason = $1, resume_hash_previous = NULL, rolled_up = $2
    WHERE id = $3 AND state = 'live'"
);

impl SqlStore {
    pub(in crate::records::store) async fn open_session(
        &self,
        session: &NewSession,
        quota: &Quota,
    ) -> Result<Opened, StoreError> {
        let (store, session, quota) = (self.clone(), session.clone(), quota.clone());
        self.finish(async move {
            let opened = store.shared_or_undo(Durability::PowerCut, move |mut tx| {
                async move {
                    let mut lost = WrittenOff::default();
                    Ok(match open(&mut tx, &session, &quota, &mut lost).await? {
                        Ok(opened) => Ok((opened, lost)),
                        // All of it is undone.
                        Err(refused) => Err((refused, WrittenOff::default())),
                    })
                }
                .boxed()
            });
            let (opened, lost) = opened.await?;
            lost.tell_operators();
            Ok(opened)
        })
        .await
    }

    pub(in crate::records::store) async fn may_open_session(
        &self,
        session: &NewSession,
        quota: &Quota,
    ) -> Result<Opened, StoreError> {
        let (session, quota) = (session.clone(), quota.clone());
        // All of it is undone, so nothing has to survive anything.
        self.shared_or_undo(Durability::Process, move |mut tx| {
            async move {
                let mut lost = WrittenOff::default();
                let opened = open(&mut tx, &session, &quota, &mut lost).await?;
                let (Ok(answer) | Err(answer)) = opened;
                Ok(Err(answer))
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn take_over(
        &self,
        id: &str,
        by: &TakeOver,
    ) -> Result<Option<TakenOver>, StoreError> {
        let (store, id, by) = (self.clone(), id.to_owned(), by.clone());
        self.finish(async move {
            let taken = store.shared(Durability::PowerCut, move |mut tx| {
                async move {
                    let Some(locked) = Locked::read(&mut tx, &id).await? else { return Ok(None) };
                    if !locked.is_live || locked.epoch != by.epoch {
                        return Ok(None);
                    }
                    let lost = money::write_off(&mut tx, locked).await?;
                    leases::begin(&mut tx, &by.relay, by.lease).await?;
                    let row = tx
                        .query(TAKE_OVER)
                        .bind(by.resume_hash.to_vec())
                        .bind(by.previous.to_vec())
                        .bind(&*by.relay)
                        .bind(HAND_OFF)
                        .bind(&*id)
                        .fetch_one(&mut *tx.connection)
                        .await;
                    let found = row.and_then(|row| Ok((read::session(&row)?, row)));
                    let (session, row) = found
                        .map_err(|error| read::needed(damage::SESSIONS, error, || format!("session {id}")))?;
                    let next_turn = Reading::new(&row, &id).small("next_turn")?;
                    let metered_at_ms = Reading::new(&row, &id).maybe_signed("metered_at")?;
                    let by_item = money::by_item(&mut tx, &id).await?;
                    let rows = tx.query(UNHEARD).bind(&*id).fetch_each(&mut *tx.connection).await?;
                    let of = format!("a turn of session {id}");
                    let mut unheard = damage::TURNS.readable(&of, rows, |row| {
                        let epoch = Reading::new(row, &of).small("epoch")?;
                        Ok((epoch, read::turn(&id, row)?.turn))
                    })?;
                    unheard.reverse();
                    Ok(Some((TakenOver { session, by_item, next_turn, metered_at_ms, unheard }, lost)))
                }
                .boxed()
            });
            let Some((taken, lost)) = taken.await? else { return Ok(None) };
            lost.tell_operators();
            Ok(Some(taken))
        })
        .await
    }

    pub(in crate::records::store) async fn rotate_resume(
        &self,
        id: &str,
        epoch: u32,
        resume_hash: &[u8; 32],
        previous: Option<&[u8; 32]>,
        reconnects: u32,
    ) -> Result<(), StoreError> {
        let done = self
            .statement(ROTATE_RESUME)
            .bind(resume_hash.to_vec())
            .bind(previous.map(|hash| hash.to_vec()))
            .bind(i64::from(reconnects))
            .bind(id)
            .bind(i64::from(epoch))
            .execute(&self.writer)
            .await?;
        found(id, done.rows_affected())
    }

    pub(in crate::records::store) async fn set_attached(
        &self,
        id: &str,
        epoch: u32,
        attached: bool,
    ) -> Result<(), StoreError> {
        let sql = if attached { ATTACH } else { DETACH };
        let done = self.statement(sql).bind(id).bind(i64::from(epoch)).execute(&self.writer).await?;
        found(id, done.rows_affected())
    }

    pub(in crate::records::store) async fn note_strikes(
        &self,
        id: &str,
        epoch: u32,
        strikes: u32,
    ) -> Result<(), StoreError> {
        let noted = self.statement(STRIKES).bind(i64::from(strikes)).bind(id).bind(i64::from(epoch));
        found(id, noted.execute(&self.writer).await?.rows_affected())
    }

    pub(in crate::records::store) async fn end_session(
        &self,
        id: &str,
        epoch: u32,
        reason: &str,
        quality: Quality,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        let (id, reason) = (id.to_owned(), reason.to_owned());
        self.shared(Durability::PowerCut, move |mut tx| {
            async move {
                let locked = Locked::read(&mut tx, &id).await?.filter(|locked| locked.is_live);
                let Some(locked) = locked else { return Err(StoreError::NoSession { id }) };
                if locked.epoch != epoch {
                    return Err(StoreError::Fenced { id });
                }
                money::release(&mut tx, locked).await?;
                let number = rollups::number(&mut tx).await?;
                tx.query(END)
                    .bind(at_ms)
                    .bind(reason)
                    .bind(i64::from(quality.rtt_avg_us))
                    .bind(i64::from(quality.rtt_max_us))
                    .bind(super::signed(quality.lost_samples))
                    .bind(number)
                    .bind(&*id)
                    .execute(&mut *tx.connection)
                    .await?;
                rollups::put_in(&mut tx, number, &id).await
            }
            .boxed()
        })
        .await
    }
}

/// Opens a session. What was `lost` with one that is ended to make room for it is for operators.
async fn open(
    tx: &mut Tx<'_>,
    session: &NewSession,
    quota: &Quota,
    lost: &mut WrittenOff,
) -> Result<Result<Opened, Opened>, StoreError> {
    if session.conversation_id != session.id {
        let own = tx
            .query(CONVERSATION)
            .bind(&*session.conversation_id)
            .bind(&*session.user_sub)
            .bind(&*session.account)
            .fetch_optional(&mut *tx.connection)
            .await?;
        if own.is_none() {
            return Ok(Err(Opened::NoConversation));
        }
    }
    let detached = tx
        .query(DETACHED)
        .bind(&*session.user_sub)
        .bind(&*session.account)
        .fetch_optional(&mut *tx.connection)
        .await?;
    let detached = detached.map(|row| Ok::<_, sqlx::Error>((row.try_get("id")?, row.try_get("account")?)));
    let detached: Option<(String, String)> = detached.transpose()?;
    let mut inherited = inherit(tx, session).await?;
    let owners = Owners::new(&session.user_sub, &session.account);
    let periods = Periods::at(session.started_at_ms);
    // The locks on the budgets keep everybody else from opening a session of this account until this transaction ends.
    let (account, user) = budget_rows::lock_and_name_budgets(tx, &owners, &periods, &quota.caps).await?;
    let live = tx
        .query(LIVE)
        .bind(&*session.user_sub)
        .bind(&*session.account)
        .fetch_one(&mut *tx.connection)
        .await?;
    let count = |column| -> Result<u32, StoreError> {
        let count: i64 = live.try_get(column)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    };
    let (of_user, of_account) = (count("of_user")?, count("of_account")?);
    let mut replaced = None;
    let account_is_full = of_account >= quota.sessions_per_account;
    if of_user >= quota.sessions_per_user || account_is_full {
        // Ending a session of another account would make no room in this one.
        let makes_room = |account: &str| !account_is_full || account == session.account;
        replaced = detached.filter(|(_, account)| makes_room(account)).map(|(id, _)| id);
        if replaced.is_none() || of_user > quota.sessions_per_user || of_account > quota.sessions_per_account
        {
            return Ok(Err(if of_user >= quota.sessions_per_user {
                Opened::UserFull { live: of_user }
            } else {
                Opened::AccountFull { live: of_account }
            }));
        }
    }
    if let Some(id) = &replaced {
        *lost = end_lost(tx, id, protocol::CloseCode::Replaced).await?;
        if session.instead_of.as_ref().is_some_and(|before| before.session_id == *id) {
            inherited = inherit(tx, session).await?;
        }
    }
    leases::begin(tx, &quota.relay, quota.lease).await?;
    tx.query(INSERT)
        .bind(&*session.id)
        .bind(&*session.conversation_id)
        .bind(&*session.user_sub)
        .bind(&*session.account)
        .bind(session.plan.as_deref())
        .bind(session.login.as_deref())
        .bind(&*session.client)
        .bind(&*session.agent)
        .bind(session.started_at_ms)
        .bind(&*quota.relay)
        .bind(i64::from(session.epoch))
        .bind(i64::from(inherited.committed.seq))
        .bind(i64::from(inherited.committed.position))
        .bind(i64::from(inherited.metered_through))
        .bind(session.resume_hash.to_vec())
        .bind(session.recording.as_deref())
        .bind(&*periods.user)
        .bind(&*periods.account)
        .bind(i64::from(inherited.paid))
        .execute(&mut *tx.connection)
        .await?;
    let locked = Locked::new(session.id.clone(), session.epoch, owners, periods);
    let ask = Reserve {
        session_id: &session.id,
        epoch: session.epoch,
        through: quota.reserve,
        spent: crate::NanoUsd::ZERO,
        exposed: crate::NanoUsd::ZERO,
        caps: quota.caps,
        at_ms: session.started_at_ms,
    };
    // Ending a session has changed the budgets: what it gave back is there for the new one.
    let (account, user) = match replaced {
        None => (account, user),
        Some(_) => budget_rows::lock_budgets(tx, &locked.owners, &locked.periods).await?,
    };
    let grant = match money::grant(tx, locked, &ask, account, user).await? {
        Reserved::Granted(grant) => grant,
        Reserved::Short(shortage) => return Ok(Err(Opened::NoMoney(shortage))),
    };
    // It is the last statement, because everybody behind an address waits for the same row until this transaction ends.
    Ok(match rates::take(tx, &session.user_sub, quota).await? {
        None => Ok(Opened::Yes { grant, replaced, inherited }),
        Some(excess) => Err(Opened::TooOften(excess)),
    })
}

/// What the session takes over from the one that it is instead of. What that one has paid for is claimed by the first that asks.
async fn inherit(tx: &mut Tx<'_>, session: &NewSession) -> Result<Inherited, StoreError> {
    let start = session.committed;
    let Some(InsteadOf { session_id, resume_hash }) = &session.instead_of else {
        return Ok(Inherited::nothing(start));
    };
    let row = tx
        .query(ENDED)
        .bind(&**session_id)
        .bind(&*session.user_sub)
        .bind(&*session.account)
        .bind(resume_hash.to_vec())
        .fetch_optional(&mut *tx.connection)
        .await?;
    let Some(row) = row else { return Ok(Inherited::nothing(start)) };
    let row = Reading::new(&row, "how far a session has come");
    let committed =
        Mark { seq: row.small("uplink_seq_committed")?, position: row.small("uplink_position_committed")? };
    let (paid, metered_through) = (row.small("replayable_samples")?, row.small("metered_position")?);
    tx.query(CLAIM_PAID).bind(&**session_id).execute(&mut *tx.connection).await?;
    Ok(Inherited { committed, paid, metered_through }.from(start))
}

/// Ends a live session from outside: what it had exposed is charged, and the rest that it had reserved is given back.
pub(super) async fn end_lost(
    tx: &mut Tx<'_>,
    id: &str,
    reason: protocol::CloseCode,
) -> Result<WrittenOff, StoreError> {
    let lost = match Locked::read(tx, id).await? {
        Some(locked) => money::write_off(tx, locked).await?,
        None => WrittenOff::default(),
    };
    let number = rollups::number(tx).await?;
    let end = tx.query(END_LOST).bind(reason.name()).bind(number).bind(id);
    if end.execute(&mut *tx.connection).await?.rows_affected() > 0 {
        rollups::put_in(tx, number, id).await?;
    }
    Ok(lost)
}

/// Why a write found no live session of this epoch.
pub(super) async fn not_ours(tx: &mut Tx<'_>, id: &str, epoch: u32) -> StoreError {
    match Locked::read(tx, id).await {
        Ok(Some(locked)) if locked.is_live && locked.epoch != epoch => {
            StoreError::Fenced { id: id.to_owned() }
        }
        Ok(_) => StoreError::NoSession { id: id.to_owned() },
        Err(error) => error,
    }
}
