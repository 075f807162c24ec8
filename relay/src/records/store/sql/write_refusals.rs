//! Refused writes, and which connections are not used any more because of them. Whether a connection may write is decided when it is opened,
//! by `default_transaction_read_only` of its database or role. So a server may take writes over one connection and refuse them over another,
//! even after it has become writable again. When a write is refused, its connection is thrown away, and so is every older one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::error::DatabaseError;
use tokio::time::Instant;

use super::StoreError;

/// SQLSTATE `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

/// When a write was last refused. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteRefusals(Arc<Mutex<Option<Instant>>>);

impl WriteRefusals {
    /// Notes an error if it says that the server takes no writes. Says whether it does.
    pub(super) fn note(&self, error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let refused = code.is_some_and(|code| code == READ_ONLY);
        if refused {
            *self.last() = Some(Instant::now());
        }
        refused
    }

    /// Notes an error of the store if it says that the server takes no writes. Says whether it does.
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

    /// Whether a connection of this age may be used: it is younger than the last refusal.
    pub(super) fn trust(&self, age: Duration) -> bool {
        self.last().is_none_or(|last| age < last.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
