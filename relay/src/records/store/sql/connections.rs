//! Connections to the database. Only here they are taken, and only here transactions begin and end.
//!
//! A connection is handed back only when nothing is under way on it. If a statement got no answer, a transaction could not be undone, a
//! caller went away or panicked, the connection is thrown away.
//!
//! Work that must not wait, because calls end if it comes late, is done by [`Connections::promptly`]: it passes everybody who waits for a
//! connection.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyQueryResult, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Database, Sqlite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::statement::{FoundRow, Place, Ready, each, in_time};
use super::write_refusals::WriteRefusals;
use super::{Dialect, Durability, PoolUse, StoreError, Tx, Work};

/// How long it may take to get a connection from the pool, opening a new one if need be.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to show that it is alive before it is used.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a whole transaction may take until its connection is taken for dead.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long undoing a failed transaction may take. If it takes longer, the connection is thrown away, which undoes it as well.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pool: AnyPool,
    /// As many places as the pool has connections. Ordinary work waits here for a place, and not in the pool's own queue, so that prompt
    /// work, which needs no place, is first in that queue.
    places: Arc<Semaphore>,
    /// The pool for prompt work: the same one, or one that nothing else takes connections from.
    prompt: AnyPool,
    /// When a server that takes no writes refused one.
    refusals: WriteRefusals,
}

/// Which connections prompt work has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prompt {
    /// Prompt work gets the next connection that is free. This is for SQLite, where one connection writes, and each use of it is short.
    Next,
    /// Prompt work has this many connections of its own. This is for a server, where all others may wait for locks at once.
    Own(u32),
}

/// Connections as prompt work uses them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promptly<'a>(&'a Connections);

/// A connection that is in use. Dropping it throws the connection away, unless it was handed back.
pub(super) struct Taken {
    connection: Option<PoolConnection<Any>>,
    /// The place of ordinary work, freed after the connection: fields are dropped in their order. Prompt work has none.
    _place: Option<OwnedSemaphorePermit>,
    refusals: WriteRefusals,
}

impl Connections {
    /// Opens this many connections, and those for prompt work, and prepares each by these settings. A refused write is known to all that
    /// share `refusals`.
    pub(super) async fn open(
        options: AnyConnectOptions,
        connections: u32,
        prompt: Prompt,
        settings: &'static str,
        refusals: &WriteRefusals,
    ) -> Result<Connections, sqlx::Error> {
        let pool = pool(options.clone(), connections, settings, refusals.clone()).await?;
        let prompt = match prompt {
            Prompt::Next => pool.clone(),
            Prompt::Own(connections) => self::pool(options, connections, settings, refusals.clone()).await?,
        };
        let places = Arc::new(Semaphore::new(connections as usize));
        Ok(Connections { pool, places, prompt, refusals: refusals.clone() })
    }

    /// Notes if an answer says that the server takes no writes, and says whether it does. Connections from before are not used any more then.
    pub(super) fn learn<T>(&self, answer: &Result<T, StoreError>) -> bool {
        answer.as_ref().is_err_and(|error| self.refusals.note_failure(error))
    }

    /// The connections for work that must not wait: short statements that need no row that others may have locked.
    pub(super) fn promptly(&self) -> Promptly<'_> {
        Promptly(self)
    }

    /// Runs `work` in a transaction. If its answer is the inner `Err`, the transaction is undone, and that is the answer.
    pub(super) async fn transaction<T, W: Work<T>>(
        &self,
        dialect: Dialect,
        durability: Durability,
        work: W,
    ) -> Result<T, StoreError> {
        let mut taken = self.take().await?;
        let done = timeout(TRANSACTION_TIMEOUT, run(taken.connection(), dialect, durability, work)).await;
        // After a time-out the connection may be in the middle of anything. It is dropped, and so thrown away.
        let (done, clean) =
            done.map_err(|_| StoreError::NoAnswer { within: TRANSACTION_TIMEOUT, at_work: false })?;
        let is_refused = self.learn(&done);
        if clean && !is_refused {
            taken.hand_back();
        }
        done
    }

    pub(super) async fn close(&self) {
        self.prompt.close().await;
        self.pool.close().await;
    }

    /// How many connections ordinary work has, under this name.
    pub(super) fn pool_use(&self, name: &'static str) -> PoolUse {
        pool_use(name, &self.pool)
    }

    /// How many connections prompt work has of its own.
    pub(super) fn prompt_use(&self) -> PoolUse {
        pool_use("prompt", &self.prompt)
    }

    /// The pool itself, for the migrations, which take connections by themselves.
    pub(super) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Takes a connection for ordinary work.
    pub(super) async fn take(&self) -> Result<Taken, StoreError> {
        let taken = timeout(ACQUIRE_TIMEOUT, async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
            let connection = Some(self.pool.acquire().await?);
            Ok(Taken { connection, _place: Some(place), refusals: self.refusals.clone() })
        });
        taken.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(StoreError::Unreachable)
    }
}

impl Promptly<'_> {
    /// Checks that the database answers.
    pub(super) async fn ping(self) -> Result<(), StoreError> {
        self.take().await?.use_once(async |connection| connection.ping().await).await
    }

    async fn take(self) -> Result<Taken, StoreError> {
        let connection = self.0.prompt.acquire().await.map_err(StoreError::Unreachable)?;
        Ok(Taken { connection: Some(connection), _place: None, refusals: self.0.refusals.clone() })
    }
}

impl Taken {
    /// Runs one statement, and hands the connection back if it is as it was before.
    async fn use_once<T>(
        mut self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let is_file = self.connection().backend_name() == <Sqlite as Database>::NAME;
        let done = in_time(work(self.connection())).await.map_err(|error| match error {
            StoreError::NoAnswer { within, .. } => StoreError::NoAnswer { within, at_work: is_file },
            error => error,
        })?;
        let is_clean = match &done {
            Ok(_) | Err(sqlx::Error::RowNotFound) => true,
            // A database that refuses a statement has undone it, and the connection can be used again.
            Err(error @ sqlx::Error::Database(_)) => !self.refusals.note(error),
            Err(_) => false,
        };
        if is_clean {
            self.hand_back();
        }
        Ok(done?)
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        self.connection.as_mut().expect("it is here until it is handed back")
    }

    pub(super) fn hand_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// Makes a [`Place`] of something that connections are taken from.
macro_rules! place {
    ($($from:ty),*) => {$(
        impl Place for $from {
            async fn execute(self, query: Ready) -> Result<AnyQueryResult, StoreError> {
                self.take().await?.use_once(async |connection| query.execute(connection).await).await
            }

            async fn all(self, query: Ready) -> Result<Vec<AnyRow>, StoreError> {
                self.take().await?.use_once(async |connection| query.fetch_all(connection).await).await
            }

            async fn each(self, query: Ready) -> Result<Vec<FoundRow>, StoreError> {
                self.take().await?.use_once(async |connection| each(query, connection).await).await
            }

            async fn optional(self, query: Ready) -> Result<Option<AnyRow>, StoreError> {
                self.take().await?.use_once(async |connection| query.fetch_optional(connection).await).await
            }
        }
    )*};
}

place!(&Connections, Promptly<'_>);

fn pool_use(name: &'static str, pool: &AnyPool) -> PoolUse {
    let open = pool.size();
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX).min(open);
    PoolUse { name, in_use: open - idle, idle }
}

async fn pool(
    options: AnyConnectOptions,
    connections: u32,
    settings: &'static str,
    refusals: WriteRefusals,
) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            let is_trusted = refusals.trust(about.age);
            Box::pin(async move {
                if !is_trusted {
                    return Ok(false);
                }
                let alive = timeout(ALIVE_TIMEOUT, connection.ping()).await;
                alive.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
        })
        .connect_with(options)
        .await
}

/// Runs a transaction from its beginning to its end, and says whether the connection is as it was before. It does not use sqlx's
/// transactions, which are counted: SQLite may end a transaction by itself, when the disk is full, and the count would stay wrong for ever.
async fn run<T, W: Work<T>>(
    connection: &mut AnyConnection,
    dialect: Dialect,
    durability: Durability,
    work: W,
) -> (Result<T, StoreError>, bool) {
    if let Err(error) = begin(connection, dialect, durability).await {
        return (Err(error), false);
    }
    let worked = work(Tx { connection: &mut *connection, dialect }).await;
    let failed = match worked {
        Ok(Ok(done)) => match sqlx::raw_sql("COMMIT").execute(&mut *connection).await {
            Ok(_) => return (Ok(done), true),
            Err(error) => Err(error.into()),
        },
        Ok(Err(undone)) => Ok(undone),
        Err(error) => Err(error),
    };
    let clean = undo(connection, "ROLLBACK").await;
    // Even if it could not be undone here, nothing of it stays: its connection is thrown away.
    (failed, clean)
}

/// Begins a transaction. SQLite's `synchronous` is set first, since it cannot change inside a transaction.
pub(super) async fn begin(
    connection: &mut AnyConnection,
    dialect: Dialect,
    durability: Durability,
) -> Result<(), StoreError> {
    let begin = match (dialect, durability) {
        (Dialect::Postgres, _) => "BEGIN",
        (Dialect::Sqlite, Durability::Process) => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
        (Dialect::Sqlite, Durability::PowerCut) => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
    };
    sqlx::raw_sql(begin).execute(connection).await?;
    Ok(())
}

/// Undoes a transaction, or a part of it. Says whether that succeeded.
pub(super) async fn undo(connection: &mut AnyConnection, rollback: &'static str) -> bool {
    matches!(timeout(ROLLBACK_TIMEOUT, sqlx::raw_sql(rollback).execute(connection)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use futures_util::FutureExt;

    use super::super::SqlStore;
    use super::super::statement::Statement;
    use super::*;
    use crate::records::store::Store;

    const MAKE: &str = "CREATE TABLE kept (number BIGINT NOT NULL, bytes BLOB)";
    const KEEP: &str = "INSERT INTO kept VALUES ($1, randomblob(20000))";

    async fn store() -> (SqlStore, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("opened");
        Statement::new(MAKE).execute(&store.writer).await.expect("made");
        (store, dir)
    }

    async fn keep(store: &SqlStore, number: i64) -> Result<(), StoreError> {
        store
            .transaction(Durability::PowerCut, move |tx| {
                async move {
                    for _ in 0..20 {
                        Statement::new(KEEP).bind(number).execute(&mut *tx.connection).await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn count(store: &SqlStore) -> i64 {
        let rows = Statement::new("SELECT number FROM kept").fetch_all(&store.readers).await;
        i64::try_from(rows.expect("read").len()).expect("few")
    }

    async fn set_room(store: &SqlStore, pages: u32) {
        Statement::new(format!("PRAGMA max_page_count = {pages}"))
            .fetch_one(&store.writer)
            .await
            .expect("set");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_was_full_takes_writes_again_as_soon_as_there_is_room() {
        let (store, _dir) = store().await;
        let mut kept = 0;
        for round in 0..3 {
            set_room(&store, 300 + 300 * round).await;
            let full = loop {
                match keep(&store, kept).await {
                    Ok(()) => kept += 1,
                    Err(error) => break error,
                }
            };
            assert!(full.is_away(), "{full}");
            for _ in 0..5 {
                // A connection that was thrown away has taken its limit along.
                set_room(&store, 1).await;
                let single = Statement::new(KEEP).bind(-1).execute(&store.writer).await.map(drop);
                set_room(&store, 1).await;
                let again = keep(&store, kept).await;
                for full in [single, again] {
                    let error = full.expect_err("there is no room");
                    assert!(error.is_away() && error.to_string().contains("full"), "{error}");
                }
            }
            set_room(&store, 1_000_000).await;
            keep(&store, kept).await.expect("there is room");
            kept += 1;
            assert_eq!(count(&store).await, kept * 20, "each whole, or not at all");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_transaction_that_panics_or_that_the_database_ends_leaves_no_connection_in_it() {
        let (store, _dir) = store().await;
        for way in 0..4 {
            let ended = store
                .transaction(Durability::Process, move |tx| {
                    async move {
                        Statement::new(KEEP).bind(way).execute(&mut *tx.connection).await?;
                        match way {
                            // Nobody is to look for this one in the log.
                            0 => resume_unwind(Box::new("in the middle of a transaction")),
                            // As SQLite does by itself when it has to.
                            1 => Statement::new("ROLLBACK").execute(&mut *tx.connection).await?,
                            2 => Statement::new("COMMIT").execute(&mut *tx.connection).await?,
                            _ => Statement::new("no SQL").execute(&mut *tx.connection).await?,
                        };
                        Ok(())
                    }
                    .boxed()
                })
                .await;
            assert!(ended.is_err(), "{way}");
            keep(&store, 9).await.expect("the next one finds a connection that is free");
        }
        assert_eq!(count(&store).await, 4 * 20 + 1, "what it committed itself is there");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_caller_who_goes_away_in_a_statement_takes_the_connection_along() {
        let (store, _dir) = store().await;
        let slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
            INSERT INTO kept SELECT MAX(i), NULL FROM n";
        let left = timeout(Duration::from_millis(50), Statement::new(slow).execute(&store.writer)).await;
        assert!(left.is_err(), "it takes longer than that");
        Store::ping(&store).await.expect("there is another connection");
        let written = async {
            // The first one is still at work, for as long as this machine needs.
            while let Err(error) = keep(&store, 1).await {
                assert!(error.is_away(), "{error}");
            }
        };
        timeout(Duration::from_secs(60), written)
            .await
            .expect("which writes as soon as the first one is done");
    }
}
