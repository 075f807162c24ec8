//! What stays: sessions, turns and usage, in SQLite.
//!
//! One connection writes, a few read (SQLite has one writer anyway, and waiting in a queue beats failing as busy). Every
//! transaction is `BEGIN IMMEDIATE` and runs in its own task to its end: a caller who is dropped cannot leave one half done.

mod migrations;
mod rows;
mod statements;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::Mark;
use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use tokio_util::task::TaskTracker;

use crate::meter::{SAMPLE, UsageRow};
pub use rows::{NewSession, SessionRow, SessionState, Turn, TurnRow};

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "voxrelay.db";

/// How long a statement waits for another process that writes (a backup, an operator's shell).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// The database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Transactions under way.
    tasks: TaskTracker,
}

/// Why the database did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder or file cannot be made.
    #[error("cannot create {path}: {source}")]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a database, or not one of this version.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot migrate {path}: {source}")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// No live session of this id.
    #[error("no live session {id}")]
    NoSession {
        /// The id.
        id: String,
    },
    /// A row holds what this version never writes.
    #[error("session {id}: {column} is not as it should be")]
    Corrupt {
        /// The session.
        id: String,
        /// The column.
        column: &'static str,
    },
    /// Anything else.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The transaction's task ended without an answer.
    #[error("database: the transaction was not finished")]
    Unfinished,
}

impl Store {
    /// Opens the database file, creates it (and its folder, for its owner only) if it is not there, and brings its schema up
    /// to date.
    ///
    /// # Errors
    /// When the file cannot be created, opened or migrated.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            create_data_dir(dir).map_err(|source| StoreError::Create { path: dir.to_owned(), source })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .create_if_missing(true);
        let open = |source| StoreError::Open { path: path.to_owned(), source };
        let writer = pool(1).connect_with(options.clone()).await.map_err(open)?;
        migrations::run(&writer)
            .await
            .map_err(|source| StoreError::Migrate { path: path.to_owned(), source })?;
        let reader = options.create_if_missing(false).read_only(true);
        let readers = pool(READERS).connect_with(reader).await.map_err(open)?;
        Ok(Store { writer, readers, tasks: TaskTracker::new() })
    }

    /// Writes a session that begins now.
    ///
    /// # Errors
    /// When the id is taken or the database is away.
    pub async fn begin_session(&self, session: &NewSession) -> Result<(), StoreError> {
        sqlx::query(statements::BEGIN_SESSION)
            .bind(&session.id)
            .bind(&session.user_sub)
            .bind(&session.client)
            .bind(&session.agent)
            .bind(session.started_at_ms)
            .bind(session.epoch)
            .bind(session.committed.seq)
            .bind(session.committed.position)
            .bind(session.committed.position)
            .bind(session.resume_hash.as_slice())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Reads a session, live or ended.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM sessions WHERE id = ?").bind(id).fetch_optional(&self.readers).await?;
        row.map(|row| SessionRow::read(&row)).transpose()
    }

    /// Reads the transcript of a session in order.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn turns(&self, id: &str) -> Result<Vec<TurnRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM turns WHERE session_id = ? ORDER BY turn")
            .bind(id)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| TurnRow::read(id, row)).collect()
    }

    /// Reads the usage rows of a session, in the order in which they were used.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn usage(&self, id: &str) -> Result<Vec<UsageRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM usage WHERE session_id = ? ORDER BY item, from_quantity")
            .bind(id)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(rows::read_usage).collect()
    }

    /// Notes the next resume token of a live session, and the one it replaces if that stays good for a while.
    ///
    /// # Errors
    /// When there is no such live session or the database is away.
    pub async fn rotate_resume(
        &self,
        id: &str,
        resume_hash: &[u8; 32],
        previous: Option<&[u8; 32]>,
        epoch: u32,
        reconnects: u32,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(statements::ROTATE_RESUME)
            .bind(resume_hash.as_slice())
            .bind(previous.map(<[u8; 32]>::as_slice))
            .bind(epoch)
            .bind(reconnects)
            .bind(id)
            .execute(&self.writer)
            .await?;
        found(id, done.rows_affected())
    }

    /// Writes turns, each over an earlier version of itself, and moves what is committed forward (never back), together.
    ///
    /// # Errors
    /// When there is no such live session or the database is away; nothing is written then.
    pub async fn save_turns(&self, id: &str, turns: &[Turn], committed: Mark) -> Result<(), StoreError> {
        let (id, turns, now) = (id.to_owned(), turns.to_owned(), unix_ms());
        self.transaction(Durability::Process, move |connection| {
            async move {
                let done = sqlx::query(statements::MOVE_COMMITTED)
                    .bind(committed.seq)
                    .bind(committed.position)
                    .bind(&id)
                    .execute(&mut *connection)
                    .await?;
                found(&id, done.rows_affected())?;
                for turn in &turns {
                    sqlx::query(statements::SAVE_TURN)
                        .bind(&id)
                        .bind(turn.turn)
                        .bind(rows::role_name(turn.role))
                        .bind(&turn.text)
                        .bind(turn.start)
                        .bind(turn.end)
                        .bind(turn.heard)
                        .bind(now)
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Appends usage rows and sets the session's sums to those of its rows. A row that is there already is left as it is, so a
    /// repeated call changes nothing. Works for ended sessions, too: what was used is owed. With these rows all audio before the
    /// position `through` is recorded.
    ///
    /// # Errors
    /// When there is no such session or the database is away; nothing is written then.
    pub async fn record_usage(&self, id: &str, rows: &[UsageRow], through: u32) -> Result<(), StoreError> {
        let (id, rows, now) = (id.to_owned(), rows.to_owned(), unix_ms());
        self.transaction(Durability::PowerCut, move |connection| {
            async move {
                for row in &rows {
                    sqlx::query(statements::RECORD_USAGE)
                        .bind(&row.item)
                        .bind(signed(row.from_quantity))
                        .bind(signed(row.quantity))
                        .bind(&row.unit)
                        .bind(signed(row.price.get()))
                        .bind(signed(row.per))
                        .bind(&row.price_version)
                        .bind(signed(row.cost.get()))
                        .bind(now)
                        .bind(&id)
                        .execute(&mut *connection)
                        .await?;
                }
                let done = sqlx::query(statements::SUM_USAGE)
                    .bind(SAMPLE)
                    .bind(through)
                    .bind(&id)
                    .execute(&mut *connection)
                    .await?;
                found(&id, done.rows_affected())
            }
            .boxed()
        })
        .await
    }

    /// Ends a live session. `reason` is the name of a close code, `at_ms` the time in milliseconds since 1970.
    ///
    /// # Errors
    /// When there is no such live session or the database is away.
    pub async fn end_session(&self, id: &str, reason: &str, at_ms: i64) -> Result<(), StoreError> {
        let done = sqlx::query(statements::END_SESSION)
            .bind(at_ms)
            .bind(reason)
            .bind(id)
            .execute(&self.writer)
            .await?;
        found(id, done.rows_affected())
    }

    /// Waits for what is being written, then closes the file.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Runs `work` in a transaction that ends, one way or the other, even if the caller is dropped.
    async fn transaction<W>(&self, durability: Durability, work: W) -> Result<(), StoreError>
    where
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), StoreError>> + Send + 'static,
    {
        let writer = self.writer.clone();
        let task = self.tasks.spawn(async move {
            let mut connection = writer.acquire().await?;
            durability.apply(&mut connection).await?;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            // Dropped without a commit, it rolls back before the connection's next statement.
            work(&mut tx).await?;
            Ok(tx.commit().await?)
        });
        task.await.map_err(|_| StoreError::Unfinished)?
    }
}

/// What a committed transaction outlives. (`synchronous` of the writer, which cannot change inside a transaction.)
#[derive(Clone, Copy, Debug)]
enum Durability {
    /// The end of the process.
    Process,
    /// The end of the machine as well: one more wait for the disk, for money.
    PowerCut,
}

impl Durability {
    async fn apply(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let pragma = match self {
            Durability::Process => "PRAGMA synchronous = NORMAL",
            Durability::PowerCut => "PRAGMA synchronous = FULL",
        };
        sqlx::query(pragma).execute(connection).await.map(drop)
    }
}

/// Makes the folder and those above it, for their owner only: transcripts are going to live there.
///
/// # Errors
/// When the file system refuses.
pub fn create_data_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// The wall clock, in milliseconds since 1970, as rows have it.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(10))
}

fn found(id: &str, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NoSession { id: id.to_owned() }) } else { Ok(()) }
}

/// Quantities and money stay far below 2⁶³; a figure beyond is stored as the largest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
