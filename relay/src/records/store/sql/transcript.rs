//! Writes turns, and the mark up to which the transcript is committed.

use futures_util::FutureExt;
use protocol::{Mark, Role};

use super::super::unix_ms;
use super::{Durability, Sql, SqlStore, StoreError, Tx, rollups, sessions, sql};
use crate::call::Turn;

/// Moves the committed mark of a session for which this holds.
macro_rules! move_committed {
    ($($condition:tt)+) => {
        sql!(
            "UPDATE sessions SET
                uplink_seq_committed = CASE WHEN uplink_seq_committed < $1 THEN $1 ELSE uplink_seq_committed END,
                uplink_position_committed =
                    CASE WHEN uplink_position_committed < $2 THEN $2 ELSE uplink_position_committed END,
                replayable_samples = CASE WHEN uplink_position_committed < $2 AND replayable_samples > $3 THEN $3
                    ELSE replayable_samples END
            WHERE id = $4 AND " $($condition)+
        )
    };
}

/// Writes a turn, in place of what is stored of it if that is so.
macro_rules! write_turn {
    ($replaces:literal) => {
        sql!(
            "INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, heard_position, created_at,
                stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms, epoch, revision)
            SELECT $1, $2, user_sub, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 FROM sessions WHERE id = $1
            ON CONFLICT (session_id, turn) DO UPDATE SET
                role = excluded.role, text = excluded.text, start_position = excluded.start_position,
                end_position = excluded.end_position,
                heard_position = COALESCE(excluded.heard_position, turns.heard_position),
                stt_ms = COALESCE(excluded.stt_ms, turns.stt_ms), llm_ms = COALESCE(excluded.llm_ms, turns.llm_ms),
                tts_ms = COALESCE(excluded.tts_ms, turns.tts_ms), send_ms = COALESCE(excluded.send_ms, turns.send_ms),
                heard_ms = COALESCE(excluded.heard_ms, turns.heard_ms), total_ms = COALESCE(excluded.total_ms, turns.total_ms),
                epoch = excluded.epoch, revision = excluded.revision
            WHERE " $replaces
        )
    };
}

/// A write that was given up may come behind the one that took its place, with an earlier version of a turn.
const SAVE_TURN: Sql =
    write_turn!("turns.epoch IS NULL OR turns.epoch < excluded.epoch OR turns.revision <= excluded.revision");

/// It replaces only what is known to be an earlier version, such as an answer before it was cut short.
const ADD_TURN: Sql = write_turn!("turns.epoch < excluded.epoch OR turns.revision < excluded.revision");

/// How turns of a live session are written: by the relay that has it.
const LIVE: (Sql, Sql) = (move_committed!("epoch = $5 AND state = 'live'"), SAVE_TURN);

/// How turns that a relay has kept are written: in which states of a session its committed mark is moved, and what is written of a turn then. What a
/// relay has kept of a session that has ended may be older than what stands there, unless it commits more or is known to be later. An epoch that
/// rose because the session was given up, or ended from outside, refuses nothing: only whoever takes the session over hears the same again.
const KEPT: [(Sql, Sql); 3] = [
    (move_committed!(RELAY_EPOCH " = $5 AND state = 'live'"), SAVE_TURN),
    (
        move_committed!(RELAY_EPOCH " = $5 AND state = 'ended' AND succeeded = 0 AND uplink_seq_committed < $1"),
        SAVE_TURN,
    ),
    (move_committed!(RELAY_EPOCH " = $5 AND state = 'ended' AND succeeded = 0"), ADD_TURN),
];

impl SqlStore {
    pub(in crate::records::store) async fn save_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        self.write_turns(false, id, epoch, turns, committed, replayable).await
    }

    pub(in crate::records::store) async fn save_kept_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        self.write_turns(true, id, epoch, turns, committed, replayable).await
    }

    /// Writes turns of a live session, or of one that may have ended.
    async fn write_turns(
        &self,
        may_have_ended: bool,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        let (id, turns, now) = (id.to_owned(), turns.to_owned(), unix_ms());
        self.shared(Durability::Process, move |mut tx| {
            async move {
                let ways = if may_have_ended { &KEPT[..] } else { std::slice::from_ref(&LIVE) };
                let mut save = None;
                for (place, (statement, way)) in ways.iter().enumerate() {
                    if move_committed(&mut tx, *statement, &id, epoch, (committed, replayable)).await? {
                        save = Some((*way, place > 0));
                        break;
                    }
                }
                let Some((save, has_ended)) = save else {
                    return Err(sessions::not_ours(&mut tx, &id, epoch).await);
                };
                let is_rolled_up = has_ended && rollups::take_out(&mut tx, std::slice::from_ref(&id)).await?;
                for turn in &turns {
                    let optional = |number: Option<u32>| number.map(i64::from);
                    tx.query(save)
                        .bind(&*id)
                        .bind(i64::from(turn.turn))
                        .bind(role_name(turn.role))
                        .bind(&*turn.text)
                        .bind(i64::from(turn.start))
                        .bind(i64::from(turn.end))
                        .bind(optional(turn.heard))
                        .bind(now)
                        .bind(optional(turn.latency.stt_ms))
                        .bind(optional(turn.latency.llm_ms))
                        .bind(optional(turn.latency.tts_ms))
                        .bind(optional(turn.latency.send_ms))
                        .bind(optional(turn.latency.heard_ms))
                        .bind(optional(turn.latency.total_ms))
                        .bind(i64::from(epoch))
                        .bind(i64::from(turn.revision))
                        .execute(&mut *tx.connection)
                        .await?;
                }
                if is_rolled_up {
                    rollups::put_back(&mut tx, &id).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }
}

/// Moves the committed mark of a session of this epoch forward, if it is in the state that the statement asks for. Says whether it is.
async fn move_committed(
    tx: &mut Tx<'_>,
    statement: Sql,
    id: &str,
    epoch: u32,
    (committed, replayable): (Mark, u32),
) -> Result<bool, StoreError> {
    let moved = tx
        .query(statement)
        .bind(i64::from(committed.seq))
        .bind(i64::from(committed.position))
        .bind(i64::from(replayable))
        .bind(id)
        .bind(i64::from(epoch))
        .execute(&mut *tx.connection)
        .await?;
    Ok(moved.rows_affected() > 0)
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Agent | Role::Unknown => "agent",
    }
}
