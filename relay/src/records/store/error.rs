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
    /// The folder or file cannot be made.
    #[error("cannot create {path}: {source}")]
    Create {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another process has the data folder.
    #[error(
        "{dir} is in use by {holder}: a data folder is for one relay at a time; stop that one, or give this one a data_dir of its own"
    )]
    InUse {
        /// The folder.
        dir: String,
        /// What is known of that process.
        holder: String,
    },
    /// There is no such database, or it is not one.
    #[error("cannot open {database}: {}{}", advice::said(source), advice::advice(source))]
    Open {
        /// The file or server, without a password.
        database: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot migrate {database}: {source}{}", advice::on_migrating(source))]
    Migrate {
        /// The file or server, without a password.
        database: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// The schema is older than this relay.
    #[error("{database} lacks {missing} migrations of this relay: run `voxrelay migrate` first")]
    Outdated {
        /// The server, without a password.
        database: String,
        /// How many.
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
        /// The migration that is not known.
        version: i64,
        /// The newest one that is.
        known: i64,
    },
    /// The role may not do what a relay does.
    #[error(
        "{database}: the role {role} lacks {lacking}; as the owner: GRANT USAGE ON SCHEMA voxrelay TO {role}; GRANT SELECT, INSERT, \
        UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO {role};"
    )]
    Rights {
        /// The server, without a password.
        database: String,
        /// Who.
        role: String,
        /// What is not granted.
        lacking: String,
    },
    /// The server only reads.
    #[error(
        "{database} takes no writes from this role: it is a copy that follows another server, or default_transaction_read_only is on; \
        give the address of the server that writes, or ALTER ROLE or DATABASE … SET default_transaction_read_only = off"
    )]
    ReadOnly {
        /// The server, without a password.
        database: String,
    },
    /// Tables of the schema are not there, although it is up to date.
    #[error(
        "{database} lacks {tables} in the schema voxrelay, although its migrations are noted: go back to a copy"
    )]
    Lacking {
        /// The server, without a password.
        database: String,
        /// Which ones.
        tables: String,
    },
    /// The file is a database and not whole.
    #[error("{database} is damaged ({found}); go back to a copy")]
    Damaged {
        /// The file.
        database: String,
        /// What SQLite says.
        found: String,
    },
    /// A pooler that gives each transaction to another server forgets what is set for a connection.
    #[error(
        "{database} is a pooler in transaction mode, which a relay cannot use: give it the address of the database itself, or of a \
        pooler in session mode (Supabase: port 5432 instead of 6543)"
    )]
    Pooled {
        /// The server, without a password.
        database: String,
    },
    /// No such session, or none that is live.
    #[error("no live session {id}")]
    NoSession {
        /// The id.
        id: String,
    },
    /// The session was deleted. What was spent is on its account's bill, without a name, and nothing else of it is written.
    #[error("session {id} was deleted")]
    Erased {
        /// The id.
        id: String,
    },
    /// Another relay goes on with the session.
    #[error("session {id} is another relay's by now")]
    Fenced {
        /// The id.
        id: String,
    },
    /// A row holds what this version never writes.
    #[error("{row}: {column} is not as it should be")]
    Corrupt {
        /// The row.
        row: String,
        /// The column.
        column: &'static str,
    },
    /// Anything else.
    #[error("database: {}", advice::said(.0))]
    Database(#[from] sqlx::Error),
    /// There is no connection to be had.
    #[error("no connection to the database: {}", advice::said(.0))]
    Unreachable(sqlx::Error),
    /// The answer did not come in time. Whether it was done is not known.
    #[error("database: no answer within {} s", within.as_secs())]
    NoAnswer {
        /// How long it was waited for.
        within: Duration,
    },
    /// The transaction failed that it shared with others: none of them is done.
    #[error("{0}")]
    Shared(Arc<StoreError>),
    /// The transaction's task ended without an answer.
    #[error("database: the transaction was not finished")]
    Unfinished,
}

impl StoreError {
    /// Whether the same may work in a while: the database cannot be reached, is busy or full. Otherwise it said no.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            StoreError::Unfinished | StoreError::Unreachable(_) | StoreError::NoAnswer { .. } => true,
            StoreError::Open { source: error, .. } | StoreError::Database(error) => is_away(error),
            StoreError::Shared(error) => error.is_away(),
            StoreError::Create { .. }
            | StoreError::InUse { .. }
            | StoreError::Migrate { .. }
            | StoreError::Outdated { .. }
            | StoreError::Newer { .. }
            | StoreError::Rights { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Lacking { .. }
            | StoreError::Damaged { .. }
            | StoreError::Pooled { .. }
            | StoreError::NoSession { .. }
            | StoreError::Erased { .. }
            | StoreError::Fenced { .. }
            | StoreError::Corrupt { .. } => false,
        }
    }

    /// Whether the database itself said no to something that is as it should be: that is for an operator to mend, a missing permission for example.
    #[must_use]
    pub fn is_mendable(&self) -> bool {
        match self {
            StoreError::Database(_) => true,
            StoreError::Shared(error) => error.is_mendable(),
            _ => false,
        }
    }

    /// Whether a database that cannot be opened may only not be there yet: its server is started together with the relay. Anything
    /// else is said at once.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        matches!(self, StoreError::Open { source, .. } if advice::is_starting(source))
    }

    /// The same, with the file's name where it lacks one.
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

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // Of SQLSTATE: connection, resources, operator, system; deadlock and serialization; lock timeout; read-only, idle for too long.
        // Of SQLite: busy, locked, out of memory, read-only, I/O, full, cannot open, log in use.
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
