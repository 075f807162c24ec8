//! Rows that cannot be read: a text that was cut in the middle of a character, a word or a number that a relay never writes.
//!
//! What is told or shown goes on without such a row, and says so. What is about money does not go on without it: the error names the row.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sqlx::any::AnyRow;

use super::StoreError;
use super::statement::FoundRow;
use crate::operations::telemetry;

/// How many damaged rows are remembered, so that each is logged once.
const TOLD_MAX: usize = 1_000;

/// The damaged rows that the log has.
static TOLD: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// A table that is read row by row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// The name of the table.
    name: &'static str,
    /// What tells its rows apart, in SQL.
    key: &'static str,
}

macro_rules! tables {
    ($($table:ident = $name:literal, $key:literal;)*) => {
        $(pub(super) const $table: &Table = &Table { name: $name, key: $key };)*

        /// The names of all of these tables.
        pub(crate) const READ_TABLES: &[&str] = &[$($name),*];
    };
}

tables! {
    ALERTS = "alerts", "id";
    API_KEYS = "api_keys", "id";
    AUDIT = "audit", "id";
    BUDGETS = "budgets", "scope || ' ' || name";
    COMMANDS = "commands", "id";
    CREDITS = "credits", "key";
    DELIVERIES = "deliveries", "id";
    DENIALS = "denials", "kind || ' ' || subject";
    ERASED_RECORDINGS = "erased_recordings", "recording";
    INCIDENTS = "incidents", "id";
    LEDGER = "ledger", "session_id || ' ' || key";
    SESSIONS = "sessions", "id";
    TOOL_CALLS = "tool_calls", "session_id || ' ' || call_id";
    TURNS = "turns", "session_id || ' ' || turn";
    USAGE = "usage", "day || ' ' || account || ' ' || item || ' ' || unit";
}

/// What the log says of a damaged row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tell {
    /// Nothing: it has said it, or has said enough.
    Nothing,
    /// Which one it is.
    Row,
    /// Which one it is, and that it says nothing of others.
    Last,
}

impl Tell {
    fn of(told: &mut HashSet<String>, row: String) -> Tell {
        if told.len() >= TOLD_MAX || !told.insert(row) {
            Tell::Nothing
        } else if told.len() == TOLD_MAX {
            Tell::Last
        } else {
            Tell::Row
        }
    }
}

impl Table {
    /// The name of the table.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// What tells the rows apart, in SQL.
    pub(super) fn key(&self) -> &'static str {
        self.key
    }

    /// Counts a damaged row, and says once in the log which one it is, but nothing that stands in it.
    pub(super) fn note(&self, error: &StoreError) {
        telemetry::row_damaged(self.name);
        let what = match error {
            StoreError::Corrupt { .. } => error.to_string(),
            // What a database driver says of a value may hold the value.
            _ => format!("a row of {}: a value is not as it should be", self.name),
        };
        let tell = {
            let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
            Tell::of(told.get_or_insert_default(), format!("{} {what}", self.name))
        };
        if tell != Tell::Nothing {
            tracing::error!(table = self.name, error = %what, "a row cannot be read");
        }
        if tell == Tell::Last {
            tracing::error!(
                rows = TOLD_MAX,
                "of other rows that cannot be read the log says nothing: they are counted"
            );
        }
    }

    /// Reads rows, and leaves out those that are damaged. `of` says in the log whose rows they are, where a row does not say so itself.
    pub(super) fn readable<T>(
        &self,
        of: &str,
        rows: Vec<FoundRow>,
        read: impl Fn(&AnyRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            match row.and_then(|row| read(&row)) {
                Ok(row) => found.push(row),
                Err(error) if error.is_damage() => self.note(&error.about_row(|| of.to_owned())),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_each_row_once_and_says_when_it_stops_naming_them() {
        let mut told = HashSet::new();
        let first = "sessions a".to_owned();
        assert_eq!(Tell::of(&mut told, first.clone()), Tell::Row);
        assert_eq!(Tell::of(&mut told, first), Tell::Nothing);
        let tells: Vec<Tell> =
            (1..TOLD_MAX + 2).map(|row| Tell::of(&mut told, format!("sessions {row}"))).collect();
        let last = TOLD_MAX - 2;
        assert!(tells[..last].iter().all(|tell| *tell == Tell::Row));
        assert_eq!(tells[last..], [Tell::Last, Tell::Nothing, Tell::Nothing]);
    }
}
