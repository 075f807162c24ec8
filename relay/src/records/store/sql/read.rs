//! Turns rows into types, and reads single sessions with their turns and their ledger.

use protocol::{Mark, Role};
use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row, Type};

use super::super::types::{Feedback, Quality, SessionRow, SessionState, TurnRow};
use super::damage::Table;
use super::{SqlStore, StoreError, damage, sql};
use crate::call::{Latency, Turn};
use crate::money::NanoUsd;
use crate::money::ledger::{ItemSum, LedgerRow};

/// A row that is being read, with a name for errors.
pub(super) struct Reading<'r> {
    row: &'r AnyRow,
    name: &'r str,
}

impl<'r> Reading<'r> {
    pub(super) fn new(row: &'r AnyRow, name: &'r str) -> Self {
        Reading { row, name }
    }

    pub(super) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { row: self.name.to_owned(), column }
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.value(column)
    }

    pub(super) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.value(column)
    }

    pub(super) fn signed(&self, column: &'static str) -> Result<i64, StoreError> {
        self.value(column)
    }

    pub(super) fn maybe_signed(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.value(column)
    }

    pub(super) fn unsigned(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.signed(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn small(&self, column: &'static str) -> Result<u32, StoreError> {
        u32::try_from(self.signed(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn maybe_small(&self, column: &'static str) -> Result<Option<u32>, StoreError> {
        let number = self.maybe_signed(column)?;
        number.map(|number| u32::try_from(number).map_err(|_| self.corrupt(column))).transpose()
    }

    pub(super) fn maybe_unsigned(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        let number = self.maybe_signed(column)?;
        number.map(|number| u64::try_from(number).map_err(|_| self.corrupt(column))).transpose()
    }

    pub(super) fn money(&self, column: &'static str) -> Result<NanoUsd, StoreError> {
        self.unsigned(column).map(NanoUsd::new)
    }

    /// A value of the row. What sqlx says of one that is of another type holds the value itself, which is nothing for a log.
    fn value<'a, T>(&'a self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'a, Any> + Type<Any>,
    {
        self.row.try_get(column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { .. } => self.corrupt(column),
            error => StoreError::Database(error),
        })
    }

    fn hash(&self, column: &'static str) -> Result<[u8; 32], StoreError> {
        let bytes: Vec<u8> = self.value(column)?;
        bytes.try_into().map_err(|_| self.corrupt(column))
    }

    fn maybe_hash(&self, column: &'static str) -> Result<Option<[u8; 32]>, StoreError> {
        let bytes: Option<Vec<u8>> = self.value(column)?;
        bytes.map(|bytes| bytes.try_into().map_err(|_| self.corrupt(column))).transpose()
    }
}

impl SqlStore {
    pub(in crate::records::store) async fn session(
        &self,
        id: &str,
    ) -> Result<Option<SessionRow>, StoreError> {
        let sql = sql!("SELECT " SESSION " FROM sessions WHERE id = $1");
        let row = self.statement(sql).bind(id).fetch_optional(&self.readers).await;
        let read = row.and_then(|row| row.map(|row| session(&row)).transpose());
        read.map_err(|error| needed(damage::SESSIONS, error, || format!("session {id}")))
    }

    pub(in crate::records::store) async fn turns(&self, id: &str) -> Result<Vec<TurnRow>, StoreError> {
        let sql = sql!("SELECT " TURN " FROM turns WHERE session_id = $1 ORDER BY turn");
        let rows = self.statement(sql).bind(id).fetch_each(&self.readers).await?;
        damage::TURNS.readable(&format!("a turn of session {id}"), rows, |row| turn(id, row))
    }

    pub(in crate::records::store) async fn ledger(&self, id: &str) -> Result<Vec<LedgerRow>, StoreError> {
        let sql = sql!("SELECT " LEDGER " FROM ledger WHERE session_id = $1 ORDER BY created_at, key");
        let rows = self.statement(sql).bind(id).fetch_all(&self.readers).await;
        let read = rows.and_then(|rows| rows.iter().map(ledger).collect());
        read.map_err(|error| needed(damage::LEDGER, error, || format!("a ledger row of session {id}")))
    }
}

/// The error of what cannot be done without a row: where the row is damaged, the error names it and is noted.
pub(super) fn needed(table: &Table, error: StoreError, row: impl FnOnce() -> String) -> StoreError {
    let error = error.about_row(row);
    if error.is_damage() {
        table.note(&error);
    }
    error
}

/// The name of a row by what tells it apart, for errors.
pub(super) fn named(row: &AnyRow, what: &str, column: &str) -> String {
    let id: Option<String> = row.try_get(column).ok();
    id.map_or_else(|| what.to_owned(), |id| format!("{what} {id}"))
}

pub(super) fn session(row: &AnyRow) -> Result<SessionRow, StoreError> {
    let id = Reading::new(row, "a session").text("id")?;
    let name = format!("session {id}");
    let row = Reading::new(row, &name);
    let state = match row.text("state")?.as_str() {
        "live" => SessionState::Live,
        "ended" => SessionState::Ended,
        _ => return Err(row.corrupt("state")),
    };
    Ok(SessionRow {
        id,
        conversation_id: row.text("conversation_id")?,
        user_sub: row.text("user_sub")?,
        account: row.text("account")?,
        plan: row.maybe_text("plan")?,
        login: row.maybe_text("login")?,
        client: row.text("client")?,
        agent: row.text("agent")?,
        state,
        started_at_ms: row.signed("started_at")?,
        ended_at_ms: row.maybe_signed("ended_at")?,
        end_reason: row.maybe_text("end_reason")?,
        relay: row.text("relay")?,
        attached: row.maybe_signed("detached_at")?.is_none(),
        epoch: row.small("epoch")?,
        committed: Mark {
            seq: row.small("uplink_seq_committed")?,
            position: row.small("uplink_position_committed")?,
        },
        resume_hash: row.hash("resume_hash")?,
        resume_hash_previous: row.maybe_hash("resume_hash_previous")?,
        reconnects: row.small("reconnects")?,
        strikes: row.small("strikes")?,
        quality: Quality {
            rtt_avg_us: row.small("rtt_avg_us")?,
            rtt_max_us: row.small("rtt_max_us")?,
            lost_samples: row.unsigned("lost_samples")?,
        },
        feedback: Feedback { rating: row.maybe_small("rating")?, comment: row.maybe_text("comment")? },
        recording: row.maybe_text("recording")?,
        audio_samples: row.unsigned("audio_samples")?,
        tokens: row.unsigned("tokens")?,
        characters: row.unsigned("characters")?,
        cost: row.money("cost_nano_usd")?,
        authorised: row.money("authorised_nano_usd")?,
        metered_position: row.small("metered_position")?,
        replayable_samples: row.small("replayable_samples")?,
        settlements: row.small("settlements")?,
    })
}

pub(super) fn turn(session_id: &str, row: &AnyRow) -> Result<TurnRow, StoreError> {
    let number: Option<i64> = row.try_get("turn").ok();
    let name = match number {
        Some(number) => format!("turn {number} of session {session_id}"),
        None => format!("a turn of session {session_id}"),
    };
    let row = Reading::new(row, &name);
    let role = match row.text("role")?.as_str() {
        "user" => Role::User,
        "agent" => Role::Agent,
        _ => return Err(row.corrupt("role")),
    };
    let turn = Turn {
        turn: row.small("turn")?,
        role,
        text: row.text("text")?,
        start: row.small("start_position")?,
        end: row.small("end_position")?,
        heard: row.maybe_small("heard_position")?,
        latency: Latency {
            stt_ms: row.maybe_small("stt_ms")?,
            llm_ms: row.maybe_small("llm_ms")?,
            tts_ms: row.maybe_small("tts_ms")?,
            send_ms: row.maybe_small("send_ms")?,
            heard_ms: row.maybe_small("heard_ms")?,
            total_ms: row.maybe_small("total_ms")?,
        },
        revision: row.maybe_small("revision")?.unwrap_or(0),
    };
    Ok(TurnRow { turn, created_at_ms: row.signed("created_at")? })
}

pub(super) fn ledger(row: &AnyRow) -> Result<LedgerRow, StoreError> {
    let key = Reading::new(row, "a ledger row").text("key")?;
    let session: Option<String> = row.try_get("session_id").ok();
    let name = match session {
        Some(session) => format!("ledger row {key} of session {session}"),
        None => format!("ledger row {key}"),
    };
    let row = Reading::new(row, &name);
    Ok(LedgerRow {
        provider: row.text("provider")?,
        item: row.text("item")?,
        unit: row.text("unit")?,
        quantity: row.unsigned("quantity")?,
        price: row.money("price_nano_usd")?,
        per: row.unsigned("per")?,
        price_version: row.text("price_version")?,
        cost: row.money("cost_nano_usd")?,
        estimated: row.signed("estimated")? == 1,
        turn: row.maybe_small("turn")?,
        request_id: row.maybe_text("request_id")?,
        key,
    })
}

/// Refuses a sum with a row that would make it smaller than it is, and that is none that a relay writes. The column `damaged` names such a row.
pub(super) fn whole_sum(sum: &Reading<'_>) -> Result<(), StoreError> {
    match sum.maybe_text("damaged")? {
        Some(row) => Err(StoreError::Corrupt { row, column: "a figure" }),
        None => Ok(()),
    }
}

/// The sum of an item in a session's ledger.
pub(super) fn item_sum(session_id: &str, row: &AnyRow) -> Result<ItemSum, StoreError> {
    let name = format!("the sum of an item of session {session_id}");
    let row = Reading::new(row, &name);
    whole_sum(&row)?;
    Ok(ItemSum {
        item: row.text("item")?,
        unit: row.text("unit")?,
        quantity: row.unsigned("quantity")?,
        cost: row.money("cost_nano_usd")?,
    })
}
