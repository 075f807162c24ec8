//! What is written: how the database answers, and what becomes of recordings.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

use super::names::{
    RECORDING_DROPPED, RECORDINGS, ROWS_DAMAGED, SPILL_ENTRIES, STORE_AWAY, STORE_ERRORS, STORE_SECONDS,
};
use crate::records::store::{OPERATIONS, READ_TABLES, StoreError};

/// How long the database counts as away after an answer that said so.
const AWAY_LASTS: Duration = Duration::from_secs(10);

/// When the database was last away.
static LAST_AWAY: Mutex<Option<Instant>> = Mutex::new(None);

/// Kinds of the errors of a database.
const ERROR_KINDS: &[&str] = &["away", "fenced", "other"];
/// What becomes of a recording.
const RECORDED: &[&str] = &["stored", "discarded", "kept"];

/// Where an entry is that the database is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file on the relay's own disk.
    Disk,
    /// In memory, because the file does not take it.
    Memory,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Disk => "disk",
            Place::Memory => "memory",
        }
    }
}

/// See [`begin`](super::begin).
pub(super) fn begin() {
    counter!(RECORDING_DROPPED).increment(0);
    for operation in OPERATIONS {
        for kind in ERROR_KINDS {
            counter!(STORE_ERRORS, "operation" => *operation, "kind" => *kind).increment(0);
        }
    }
    for table in READ_TABLES {
        counter!(ROWS_DAMAGED, "table" => *table).increment(0);
    }
    for outcome in RECORDED {
        counter!(RECORDINGS, "outcome" => *outcome).increment(0);
    }
    for place in [Place::Disk, Place::Memory] {
        spill_entries(place, 0);
    }
    gauge!(STORE_AWAY).set(0.0);
}

/// So many entries are there now that the database is owed.
pub(crate) fn spill_entries(place: Place, entries: u64) {
    gauge!(SPILL_ENTRIES, "place" => place.name()).set(entries as f64);
}

/// A row of this table was asked for and cannot be read.
pub(crate) fn row_damaged(table: &'static str) {
    counter!(ROWS_DAMAGED, "table" => table).increment(1);
}

pub(crate) fn recording_dropped(samples: u64) {
    counter!(RECORDING_DROPPED).increment(samples);
}

pub(crate) fn recording(outcome: &'static str) {
    counter!(RECORDINGS, "outcome" => outcome).increment(1);
}

/// Measures what the database takes for an operation, and counts its errors.
pub(crate) async fn store<T>(
    operation: &'static str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let asked = Instant::now();
    let answer = answer.await;
    histogram!(STORE_SECONDS, "operation" => operation).record(asked.elapsed().as_secs_f64());
    let away = answer.as_ref().is_err_and(StoreError::is_away);
    gauge!(STORE_AWAY).set(u8::from(is_store_away(away)));
    if let Err(error) = &answer {
        let kind = match error {
            _ if away => "away",
            StoreError::Fenced { .. } => "fenced",
            _ => "other",
        };
        counter!(STORE_ERRORS, "operation" => operation, "kind" => kind).increment(1);
    }
    answer
}

/// Whether the database counts as away after this answer. On a full disk what is read is answered as ever: one good answer proves nothing.
fn is_store_away(now: bool) -> bool {
    let mut last = LAST_AWAY.lock().unwrap_or_else(PoisonError::into_inner);
    if now {
        *last = Some(Instant::now());
    }
    last.is_some_and(|last| last.elapsed() < AWAY_LASTS)
}
