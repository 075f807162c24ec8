//! Writes turns, and the mark up to which the transcript is committed.

use futures_util::FutureExt;
use protocol::{Mark, Role};

use super::super::unix_ms;
use super::{Durability, Sql, SqlStore, StoreError, sessions, sql};
use crate::call::Turn;

/// Moves the committed mark of a session that is in such a state.
macro_rules! move_committed {
    ($state:literal) => {
        sql!(
            "UPDATE sessions SET
                uplink_seq_committed = CASE WHEN uplink_seq_committed < $1 THEN $1 ELSE uplink_seq_committed END,
                uplink_position_committed =
                    CASE WHEN uplink_position_committed < $2 THEN $2 ELSE uplink_position_committed END,
                replayable_samples = CASE WHEN uplink_position_committed < $2 AND replayable_samples > $3 THEN $3
                    ELSE replayable_samples END
            WHERE id = $4 AND epoch = $5 AND " $state
        )
    };
}

const MOVE_COMMITTED: Sql = move_committed!("state = 'live'");
const MOVE_COMMITTED_OF_ENDED: Sql = move_committed!("succeeded = 0");

const SAVE_TURN: Sql = sql!(
    "INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, heard_position, created_at,
        stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms)
    SELECT $1, $2, user_sub, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM sessions WHERE id = $1
    ON CONFLICT (session_id, turn) DO UPDATE SET
        role = excluded.role, text = excluded.text, start_position = excluded.start_position,
        end_position = excluded.end_position,
        heard_position = COALESCE(excluded.heard_position, turns.heard_position),
        stt_ms = COALESCE(excluded.stt_ms, turns.stt_ms), llm_ms = COALESCE(excluded.llm_ms, turns.llm_ms),
        tts_ms = COALESCE(excluded.tts_ms, turns.tts_ms), send_ms = COALESCE(excluded.send_ms, turns.send_ms),
        heard_ms = COALESCE(excluded.heard_ms, turns.heard_ms), total_ms = COALESCE(excluded.total_ms, turns.total_ms)"
);

impl SqlStore {
    pub(in crate::records::store) async fn save_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        self.write_turns(MOVE_COMMITTED, id, epoch, turns, committed, replayable).await
    }

    pub(in crate::records::store) async fn save_kept_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        self.write_turns(MOVE_COMMITTED_OF_ENDED, id, epoch, turns, committed, replayable).await
    }

    async fn write_turns(
        &self,
        move_committed: Sql,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        let (id, turns, now) = (id.to_owned(), turns.to_owned(), unix_ms());
        self.shared(Durability::Process, move |mut tx| {
            async move {
                let moved = tx
                    .query(move_committed)
                    .bind(i64::from(committed.seq))
                    .bind(i64::from(committed.position))
                    .bind(i64::from(replayable))
                    .bind(&*id)
                    .bind(i64::from(epoch))
                    .execute(&mut *tx.connection)
                    .await?;
                if moved.rows_affected() == 0 {
                    return Err(sessions::not_ours(&mut tx, &id, epoch).await);
                }
                for turn in &turns {
                    let optional = |number: Option<u32>| number.map(i64::from);
                    tx.query(SAVE_TURN)
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
                        .execute(&mut *tx.connection)
                        .await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Agent | Role::Unknown => "agent",
    }
}
