//! Advice in words about a database that cannot be opened.

use std::io::ErrorKind;

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// What the error says. Of PostgreSQL's errors only the message: sqlx adds a line of PostgreSQL's source code, which is of no use to an
/// operator.
pub(super) fn said(error: &Error) -> String {
    match error {
        Error::Database(answer) if is_postgres(&**answer) => {
            format!("error returned from database: {}", answer.message())
        }
        error => error.to_string(),
    }
}

/// Whether an error comes from PostgreSQL, whose codes have five characters. SQLite's have four digits at most.
fn is_postgres(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.len() == 5)
}

/// What the error means and what to do about it, to be put behind its text. Empty if nothing is known.
pub(super) fn advice(error: &Error) -> &'static str {
    match error {
        Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => {
                ": nothing listens there; is the server running, and are host and port right?"
            }
            ErrorKind::NotFound => ": there is no such socket or file; is the server running?",
            ErrorKind::PermissionDenied => ": give the relay's user the right to it",
            ErrorKind::IsADirectory => ": there is a folder where the file has to be; move it away",
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                ": the server hung up; is it a PostgreSQL server, and does it run?"
            }
            _ => ": is the name of the server right, and can it be reached from here?",
        },
        Error::Protocol(_) => {
            ": what answers there does not speak PostgreSQL; are host and port right, and does the port want no TLS of its own?"
        }
        Error::PoolTimedOut => {
            ": the server does not answer; are host and port right, and does a firewall let it through?"
        }
        Error::Tls(_) => {
            ": the server has no TLS to offer, or its certificate is not one to trust; set it up there, or change sslmode and sslrootcert in the URL"
        }
        Error::Configuration(_) => {
            ": the address of the database is not right; it is postgres://user:password@host/database"
        }
        Error::Database(error) => match error.code().as_deref() {
            Some("08P01") if error.message().contains("startup parameter") => {
                ": that is a pooler's word; in PgBouncer set ignore_startup_parameters = extra_float_digits, and pool_mode = session"
            }
            Some("28P01") => ": the password is wrong, or there is no such user",
            Some("28000") => ": the server does not let this user in from here; see its pg_hba.conf",
            Some("3D000") => ": create that database first, or correct the URL",
            Some("42501") => ": the role lacks a right; grant it, or use the role that owns the schema",
            Some("55000") => {
                ": the server lets nobody into this database; ALTER DATABASE … ALLOW_CONNECTIONS true, or name another one"
            }
            Some("53300") => ": the server has no connection left; raise its max_connections",
            Some("55P03") => {
                ": somebody else holds a lock for too long, such as pg_dump or another migration; run it again when that is over"
            }
            Some("57P03") => ": the server is starting up or shutting down",
            // These are SQLite's primary codes, in the lowest byte. The folder's rights count as well, because the log is made beside the
            // file.
            Some(code) if code.len() < 5 => match code.parse::<u32>().map(|code| code & 0xff) {
                Ok(5 | 6) => ": another program has it locked",
                Ok(8 | 14) => ": give the relay's user the right to read and write the file and its folder",
                Ok(11) => ": the file is damaged; go back to a copy",
                Ok(13) => ": the disk is full; make room",
                Ok(26) => ": the file is not a SQLite database; move it away, or correct data_dir",
                _ => "",
            },
            _ => "",
        },
        _ => "",
    }
}

/// The advice for a migration that failed. See [`advice`].
pub(super) fn on_migrating(error: &MigrateError) -> &'static str {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => advice(error),
        _ => "",
    }
}

/// Whether the error may only mean that the server is not there yet. No other error gets better by waiting.
pub(super) fn is_starting(error: &Error) -> bool {
    match error {
        // Host names and sockets may appear together with the server.
        Error::Io(error) => error.kind() != ErrorKind::PermissionDenied,
        Error::PoolTimedOut => true,
        Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "57P01" | "53300")),
        _ => false,
    }
}
