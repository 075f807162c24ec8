//! What can go wrong with a database, and whether it is worth trying again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::advice;

/// Why the database did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data folder or a file in it cannot be made.
    #[error("cannot create {path}: {source}")]
    Create {
        /// The folder or file.
        path: String,
        /// Why it cannot be made.
        source: io::Error,
    },
    /// Another process has locked the data folder.
    #[error(
        "{dir} is in use by {holder}: a data folder is for one relay at a time; stop that one, or give this one a data_dir of its own"
    )]
    InUse {
        /// The folder.
        dir: String,
        /// What is known of that process.
        holder: String,
    },
    /// The database cannot be opened.
    #[error("cannot open {database}: {}{}", advice::said(source), advice::advice(source))]
    Open {
        /// The file or server, without a password.
        database: String,
        /// Why it cannot be opened.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot migrate {database}: {source}{}", advice::on_migrating(source))]
    Migrate {
        /// The file or server, without a password.
        database: String,
        /// Why it could not.
        source: sqlx::migrate::MigrateError,
    },
    /// The program was told to stop between two migrations.
    #[error(
        "told to stop: {applied} migrations are applied to {database}, and {left} are left; run `voxrelay migrate` again, which goes on with them"
    )]
    Stopped {
        /// The file or server, without a password.
        database: String,
        /// How many migrations were applied.
        applied: usize,
        /// How many migrations are missing.
        left: usize,
    },
    /// The schema is older than this relay.
    #[error("{database} lacks {missing} migrations of this relay: run `voxrelay migrate` first")]
    Outdated {
        /// The server, without a password.
        database: String,
        /// How many migrations are missing.
        missing: usize,
    },
    /// The schema is newer than this relay.
    #[error(
        "{database} was used by a newer relay: it has migration {version}, and this one knows {known}; run the newer version, or go \
        back to a copy from before the update"
    )]
    Newer {
        /// The file or server, without a password.
        database: String,
        /// The migration that this relay does not know.
        version: i64,
        /// The newest migration that this relay knows.
        known: i64,
    },
    /// The database role lacks rights that a relay needs.
    #[error(
        "{database}: the role {role} lacks {lacking}; as the owner: GRANT USAGE ON SCHEMA voxrelay TO {role}; GRANT SELECT, INSERT, \
        UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO {role};"
    )]
    Rights {
        /// The server, without a password.
        database: String,
        /// The role.
        role: String,
        /// The rights that are not granted.
        lacking: String,
    },
    /// The server takes no writes.
    #[error(
        "{database} takes no writes from this role: it is a copy that follows another server, or default_transaction_read_only is on; \
        give the address of the server that writes, or ALTER ROLE or DATABASE … SET default_transaction_read_only = off"
    )]
    ReadOnly {
        /// The server, without a password.
        database: String,
    },
    /// Tables are missing, although the schema's migrations are all noted.
    #[error(
        "{database} lacks {tables} in the schema voxrelay, although its migrations are noted: go back to a copy"
    )]
    Lacking {
        /// The server, without a password.
        database: String,
        /// The missing tables.
        tables: String,
    },
    /// The SQLite file is damaged.
    #[error("{database} is damaged ({found}); go back to a copy")]
    Damaged {
        /// The file.
        database: String,
        /// What SQLite says.
        found: String,
    },
    /// An import into the database was begun and not finished.
    #[error(
        "this database is only partly imported: run `voxrelay import` with the same file again, which goes on, until it says that all is \
        compared; or use another database"
    )]
    HalfImported,
    /// There is a pooler in transaction mode in between. It may give each transaction another connection, so that settings of a connection
    /// are lost.
    #[error(
        "{database} is a pooler in transaction mode, which a relay cannot use: give it the address of the database itself, or of a \
        pooler in session mode (Supabase: port 5432 instead of 6543)"
    )]
    Pooled {
        /// The server, without a password.
        database: String,
    },
    /// There is no such session, or it is not live.
    #[error("no live session {id}")]
    NoSession {
        /// The id.
        id: String,
    },
    /// The session was deleted. What it spent is on its account's bill, without the user's name, and nothing else of it is written.
    #[error("session {id} was deleted")]
    Erased {
        /// The id.
        id: String,
    },
    /// Another relay has taken the session over.
    #[error("session {id} is another relay's by now")]
    Fenced {
        /// The id.
        id: String,
    },
    /// A row holds something that a relay never writes.
    #[error(
        "{row}: {column} is not as it should be; docs/runbook.md says under VoxrelayRowsDamaged what to do"
    )]
    Corrupt {
        /// The row.
        row: String,
        /// The column.
        column: &'static str,
    },
    /// The database refused a statement, or failed in another way.
    #[error("database: {}", advice::said(.0))]
    Database(#[from] sqlx::Error),
    /// No connection to the database could be opened or was free in time.
    #[error("no connection to the database: {}", advice::said(.0))]
    Unreachable(sqlx::Error),
    /// The database did not answer in time. Whether it has done what it was told is not known.
    #[error("database: no answer within {} s", within.as_secs())]
    NoAnswer {
        /// How long the answer was waited for.
        within: Duration,
        /// Whether it was at work on the statement all the time: a file has no line that may be broken.
        at_work: bool,
    },
    /// Reading a list took longer than a statement may. The database is there, and answers others.
    #[error("reading the list took the database too long: ask for less of it")]
    ListTooLong,
    /// The transaction that this shared with others failed, and nothing of it was done.
    #[error("{0}")]
    Shared(Arc<StoreError>),
    /// The transaction's task ended without an answer.
    #[error("database: the transaction was not finished")]
    Unfinished,
}

impl StoreError {
    /// Whether a later try may succeed, because the database cannot be reached, is busy or is full. Any other error is a refusal.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            StoreError::Unfinished | StoreError::Unreachable(_) | StoreError::NoAnswer { .. } => true,
            StoreError::Open { source: error, .. } | StoreError::Database(error) => is_away(error),
            StoreError::Shared(error) => error.is_away(),
            StoreError::Create { .. }
            | StoreError::InUse { .. }
            | StoreError::Migrate { .. }
            | StoreError::Stopped { .. }
            | StoreError::Outdated { .. }
            | StoreError::Newer { .. }
            | StoreError::Rights { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Lacking { .. }
            | StoreError::Damaged { .. }
            | StoreError::HalfImported
            | StoreError::Pooled { .. }
            | StoreError::NoSession { .. }
            | StoreError::Erased { .. }
            | StoreError::Fenced { .. }
            | StoreError::Corrupt { .. }
            | StoreError::ListTooLong => false,
        }
    }

    /// Whether the database itself refused a statement, and not for what is in it, or a row that the statement needs is damaged. An operator may
    /// mend that: a missing right for example.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        match self {
            StoreError::Corrupt { .. } => true,
            StoreError::Database(error) => !is_about_values(error),
            // What another one wanted to write is no fault of this one.
            StoreError::Shared(error) => matches!(**error, StoreError::Database(_)),
            _ => false,
        }
    }

    /// Whether this is about what stands in one row: the database is there, and answers for other rows.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            StoreError::Corrupt { .. } => true,
            StoreError::Database(error) => is_about_a_row(error),
            _ => false,
        }
    }

    /// The error of a list. That it takes long to read depends on how much was asked for: a database that gives it up for that, or that is at work on it
    /// until nobody waits any more, is not away.
    pub(super) fn of_list(self) -> StoreError {
        match self {
            StoreError::NoAnswer { at_work: true, .. } => StoreError::ListTooLong,
            StoreError::Database(error) if is_given_up(&error) => StoreError::ListTooLong,
            other => other,
        }
    }

    /// The same error; where a value cannot be read and the error does not say of which row, with the name of the row.
    pub(super) fn about_row(self, row: impl FnOnce() -> String) -> StoreError {
        match self {
            StoreError::Database(error) if is_about_a_row(&error) => {
                StoreError::Corrupt { row: row(), column: "a value" }
            }
            other => other,
        }
    }

    /// Whether a database that cannot be opened may just not be there yet, because its server is started together with the relay. A relay
    /// that starts waits for such a database, and reports any other error at once.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        matches!(self, StoreError::Open { source, .. } if advice::is_starting(source))
    }

    /// The same error, with the name of the SQLite file if it names no database.
    #[must_use]
    pub fn of(self, file: &Path) -> StoreError {
        match self {
            StoreError::Database(source) | StoreError::Unreachable(source) => {
                StoreError::Open { database: file.display().to_string(), source }
            }
            named => named,
        }
    }
}

/// Whether a row came, and a value in it cannot be read.
pub(super) fn is_about_a_row(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

/// Whether PostgreSQL has given a statement up, since it took longer than `statement_timeout` or somebody has cancelled it.
fn is_given_up(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("57014"))
}

/// Whether the database refused the values of a statement, so that the same statement will never be taken.
fn is_about_values(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // PostgreSQL's classes: data exception, integrity constraint. SQLite's primary codes: too big, constraint, mismatch, range.
    error.code().is_some_and(|code| match code.len() {
        5 => code.starts_with("22") || code.starts_with("23"),
        _ => code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 18 | 19 | 20 | 25)),
    })
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // PostgreSQL's classes: connection, resources, operator, system; deadlock and serialization; lock timeout; read-only; idle for too
        // long. SQLite's primary codes: busy, locked, out of memory, read-only, I/O, full, cannot open, log in use.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            let class = ["08", "53", "57", "58", "40", "55", "25006", "25P03", "25P04"];
            let primary = code.parse::<u32>().map(|code| code & 0xff);
            match code.len() {
                5 => class.iter().any(|class| code.starts_with(class)),
                _ => primary.is_ok_and(|code| matches!(code, 5 | 6 | 7 | 8 | 10 | 13 | 14 | 15)),
            }
        }),
        _ => false,
    }
}
