//! What a server that takes no writes teaches about the connections to it. Whether a connection may write is settled when it is opened
//! (`default_transaction_read_only` of a database or role): the same server may take writes over one connection and none over another, and
//! goes on like that when it is writable again. So a connection that was refused a write is thrown away, and so is every one that is older
//! than that refusal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::error::DatabaseError;
use tokio::time::Instant;

use super::StoreError;

/// SQLSTATE `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// When a write was refused last. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Mutex<Option<Instant>>>);

impl Refusals {
    /// Whether this is such a refusal, which is noted.
    pub(super) fn note(&self, error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let refused = code.is_some_and(|code| code == READ_ONLY);
        if refused {
            *self.last() = Some(Instant::now());
        }
        refused
    }

    /// The same of what the store says.
    pub(super) fn note_failure(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Database(error) => self.note(error),
            StoreError::ReadOnly { .. } => {
                *self.last() = Some(Instant::now());
                true
            }
            _ => false,
        }
    }

    /// Whether a connection of this age may be used.
    pub(super) fn trust(&self, age: Duration) -> bool {
        self.last().is_none_or(|last| age < last.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
