//! The store in SQL: the same statements for SQLite and PostgreSQL.
//!
//! SQLite has one connection that writes and a few that read. It lets one connection write at a time anyway, and waiting in a queue is better
//! than failing as busy. What calls write while a transaction runs shares the next one. Every transaction runs in a task to its end.
//!
//! Row locks are taken in the same order everywhere, so that no two transactions wait for each other:
//! 1. sessions, in the order of their ids, or what is noted of a session that was erased;
//! 2. the budgets of accounts, in the order of their keys, then those of users, in the order of their keys;
//! 3. the number of the rollups, then the rollups, table by table, in the order of their keys;
//! 4. the usage of erased sessions, in the order of its key;
//! 5. the rates of user and address;
//! 6. requests with a key, which no transaction locks together with any of the others;
//! 7. the entries of the deny-list, its number, then API keys.

mod alerts;
mod api_keys;
mod audit;
mod billing;
mod budget_rows;
mod budgets;
mod check;
mod commands;
mod connections;
mod credits;
mod damage;
mod deliveries;
mod denials;
mod erase;
mod erased;
mod feedback;
mod group;
mod idempotency;
mod incidents;
mod leases;
mod migrations;
mod money;
mod moving;
mod page;
mod rates;
mod read;
mod records;
mod retention;
mod rollups;
mod sessions;
mod sqlite_file;
mod statement;
mod tables;
mod tool_calls;
mod transcript;
mod write_refusals;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use sqlx::AnyConnection;
use sqlx::any::AnyConnectOptions;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connections::{Connections, Prompt};
use self::group::Group;
use self::statement::Statement;
use self::write_refusals::WriteRefusals;
use super::{PoolUse, StoreError, create_data_dir};
use crate::config::Secret;
pub(crate) use damage::READ_TABLES;
pub use moving::{MovedRow, MovedTable, Snapshot};
pub use sqlite_file::check_sqlite_file;

/// The settings of SQLite's writing connection. `busy_timeout` is for other processes that write: a backup, an operator's shell.
const SQLITE_SETTINGS: &str = "
PRAGMA busy_timeout = 5000;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;";
/// The settings of each PostgreSQL connection. The locks of a relay that vanishes in a transaction are freed, and a relay that waits for too
/// long is told.
const POSTGRES_SETTINGS: &str = "
SET search_path TO voxrelay;
SET statement_timeout = '10s';
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '15s';";
/// The settings of the connection that migrates. A migration that waits for somebody else's lock on a table holds up every statement of the
/// relays that comes behind it, so it does not wait for long; it may take as long as it needs.
const MIGRATION_SETTINGS: &str = "
SET search_path TO voxrelay;
SET lock_timeout = '5s';";
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;
/// How many more connections to PostgreSQL are kept for prompt work, such as reading what administrators decided, and whether the database
/// answers. One more besides these is for the renewal of leases alone.
const POSTGRES_PROMPT: u32 = 2;

/// Sessions, turns, ledger and budgets in SQLite or PostgreSQL. Clones share the connections.
#[derive(Clone, Debug)]
pub struct SqlStore {
    dialect: Dialect,
    writer: Connections,
    readers: Connections,
    /// The queue in which the writes of calls wait, to share a transaction in SQLite. With PostgreSQL each write has a transaction of its
    /// own: the server commits many at once by itself, and a shared transaction would wait for the locks of all its writes.
    group: Option<Group>,
    /// The connection that renews the relay's lease, and with PostgreSQL does nothing else.
    renewals: Connections,
    /// Transactions under way.
    tasks: TaskTracker,
    /// Which API keys were used lately.
    uses: api_keys::Uses,
}

/// Which database the store uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement in both dialects.
#[derive(Clone, Copy, Debug)]
struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
}

/// Writes a [`Sql`] out of texts and these words:
/// - `NOW`: the database's clock, in milliseconds since 1970.
/// - `LOCK`: locks the rows that are read.
/// - `LOCK_FREE_ONES`: locks the rows that are read, and leaves out those that somebody else has locked.
/// - `SHARE`: keeps the rows that are read as they are until the transaction ends. Others may read them in the same way.
/// - `DAY`: the day (UTC) of `created_at`.
/// - `LEASE`: until when a row of `sessions` is its relay's own, by the relay's lease or its own, whichever ends first.
/// - `SEEN`: when the relay of a row of `sessions` last said that it is there; 0 if it never did.
/// - `FENCED`: raises the epoch of a row of `sessions` although nobody takes the session over, and keeps which one its relay had.
/// - `RELAY_EPOCH`: the epoch in which a relay last had a row of `sessions`. It is the row's own, unless that was `FENCED` since.
/// - `THESE`: is one of the texts in the parameter `$1`, a list in JSON. Indexes find them, however many there are.
/// - `BUCKET`: the bucket of a stage that took `ms`, counted from 0.
/// - `SESSION`, `TURN`, `LEDGER`, `DELIVERY`, `ALERT`, `API_KEY`: the columns that are read of a row of such a table. They are named, and not `*`: a statement that
///   stays prepared would be refused by PostgreSQL ("cached plan must not change result type") as soon as a migration adds a column.
/// - `HELD`: the `lease_until` of a session whose own lease was not ended: a time so late (in the year 9999) that the relay's lease ends first.
macro_rules! sql {
    ($($part:tt)+) => {
        $crate::records::store::sql::Sql {
            sqlite: concat!($($crate::records::store::sql::part!(sqlite $part)),+),
            postgres: concat!($($crate::records::store::sql::part!(postgres $part)),+),
        }
    };
}

macro_rules! part {
    (sqlite THESE) => {
        " IN (SELECT value FROM json_each($1))"
    };
    (postgres THESE) => {
        " = ANY(ARRAY(SELECT json_array_elements_text(CAST($1 AS JSON))))"
    };
    ($dialect:ident BUCKET) => {
        "CASE WHEN ms <= 25 THEN 0 WHEN ms <= 50 THEN 1 WHEN ms <= 100 THEN 2 WHEN ms <= 200 THEN 3
            WHEN ms <= 300 THEN 4 WHEN ms <= 500 THEN 5 WHEN ms <= 750 THEN 6 WHEN ms <= 1000 THEN 7
            WHEN ms <= 1250 THEN 8 WHEN ms <= 1500 THEN 9 WHEN ms <= 2000 THEN 10 WHEN ms <= 3000 THEN 11
            WHEN ms <= 5000 THEN 12 WHEN ms <= 10000 THEN 13 ELSE 14 END"
    };
    ($dialect:ident SESSION) => {
        "id, conversation_id, user_sub, account, plan, login, client, agent, state, started_at, ended_at, end_reason, relay,
            detached_at, epoch, uplink_seq_committed, uplink_position_committed, resume_hash, resume_hash_previous, reconnects,
            strikes, rtt_avg_us, rtt_max_us, lost_samples, rating, comment, recording, audio_samples, tokens, characters,
            cost_nano_usd, authorised_nano_usd, metered_position, replayable_samples, settlements"
    };
    ($dialect:ident TURN) => {
        "turns.session_id AS session_id, turns.turn AS turn, turns.role AS role, turns.text AS text,
            turns.start_position AS start_position, turns.end_position AS end_position, turns.heard_position AS heard_position,
            turns.created_at AS created_at, turns.stt_ms AS stt_ms, turns.llm_ms AS llm_ms, turns.tts_ms AS tts_ms,
            turns.send_ms AS send_ms, turns.heard_ms AS heard_ms, turns.total_ms AS total_ms, turns.epoch AS epoch,
            turns.revision AS revision"
    };
    ($dialect:ident LEDGER) => {
        "ledger.session_id AS session_id, ledger.key AS key, ledger.account AS account,
            ledger.user_sub AS user_sub, ledger.provider AS provider, ledger.item AS item, ledger.unit AS unit,
            ledger.quantity AS quantity, ledger.price_nano_usd AS price_nano_usd, ledger.per AS per,
            ledger.price_version AS price_version, ledger.cost_nano_usd AS cost_nano_usd,
            ledger.estimated AS estimated, ledger.turn AS turn, ledger.request_id AS request_id,
            ledger.created_at AS created_at"
    };
    ($dialect:ident DELIVERY) => {
        "id, webhook, event, CAST(NULL AS TEXT) AS about, session_id, user_sub, created_at, due_since, attempts, next_attempt_at, delivered_at,
            answer"
    };
    ($dialect:ident ALERT) => {
        "id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd, created_at,
            COALESCE(due_since, created_at) AS due_since, attempts, next_attempt_at, delivered_at"
    };
    ($dialect:ident API_KEY) => {
        "id, name, is_admin, is_reader, created_by, created_at, expires_at, last_used_at, revoked_at"
    };
    ($dialect:ident HELD) => {
        "253370764800000"
    };
    ($dialect:ident LEASE) => {
        "COALESCE((SELECT CASE WHEN relays.lease_until < sessions.lease_until THEN relays.lease_until
            ELSE sessions.lease_until END FROM relays WHERE relays.id = sessions.relay),
            CASE WHEN sessions.lease_until < 253370764800000 THEN sessions.lease_until ELSE 0 END)"
    };
    ($dialect:ident SEEN) => {
        "COALESCE((SELECT relays.seen_at FROM relays WHERE relays.id = sessions.relay), 0)"
    };
    ($dialect:ident FENCED) => {
        "relay_epoch = CASE WHEN fenced_epoch = epoch THEN relay_epoch ELSE epoch END, fenced_epoch = epoch + 1, epoch = epoch + 1"
    };
    ($dialect:ident RELAY_EPOCH) => {
        "CASE WHEN fenced_epoch = epoch THEN relay_epoch ELSE epoch END"
    };
    (sqlite NOW) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
    (postgres NOW) => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
    (sqlite LOCK) => {
        ""
    };
    (postgres LOCK) => {
        " FOR UPDATE"
    };
    (sqlite LOCK_FREE_ONES) => {
        ""
    };
    (postgres LOCK_FREE_ONES) => {
        " FOR NO KEY UPDATE SKIP LOCKED"
    };
    (sqlite SHARE) => {
        ""
    };
    (postgres SHARE) => {
        " FOR SHARE"
    };
    (sqlite DAY) => {
        "strftime('%Y-%m-%d', created_at / 1000, 'unixepoch')"
    };
    (postgres DAY) => {
        "to_char(to_timestamp(created_at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    };
    ($dialect:ident $text:literal) => {
        $text
    };
}

use {part, sql};

/// What a committed transaction outlives. With SQLite it decides the setting `synchronous`. PostgreSQL always waits for its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Durability {
    /// The transaction outlives the end of the process.
    Process,
    /// The transaction outlives a power cut as well, by one more wait for the disk. Whatever is about money needs this.
    PowerCut,
}

/// An open transaction.
struct Tx<'c> {
    connection: &'c mut AnyConnection,
    dialect: Dialect,
}

/// What is done in a transaction. The outer error means that it failed. With the inner one it is an answer, but everything that was done is
/// undone.
trait Work<T>: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<Result<T, T>, StoreError>> {}

impl<T, W: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<Result<T, T>, StoreError>>> Work<T> for W {}

impl Tx<'_> {
    fn query(&self, sql: Sql) -> Statement {
        Statement::new(self.dialect.pick(sql))
    }
}

impl Dialect {
    fn pick(self, sql: Sql) -> &'static str {
        match self {
            Dialect::Sqlite => sql.sqlite,
            Dialect::Postgres => sql.postgres,
        }
    }
}

impl SqlStore {
    /// Opens a SQLite file, creates it (and its folder, for its owner only) if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be created, opened or migrated.
    pub async fn sqlite(path: &Path) -> Result<SqlStore, StoreError> {
        SqlStore::open_sqlite(path, None).await
    }

    /// Does the same as [`SqlStore::sqlite`], unless it is told to `stop` before a migration.
    ///
    /// # Errors
    /// When it is told to stop, or the file cannot be created, opened or migrated.
    pub async fn sqlite_until(path: &Path, stop: &CancellationToken) -> Result<SqlStore, StoreError> {
        SqlStore::open_sqlite(path, Some(stop)).await
    }

    async fn open_sqlite(path: &Path, stop: Option<&CancellationToken>) -> Result<SqlStore, StoreError> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            create_data_dir(dir)
                .map_err(|source| StoreError::Create { path: dir.display().to_string(), source })?;
        }
        let database = path.display().to_string();
        let open = |source| StoreError::Open { database: database.clone(), source };
        let refusals = WriteRefusals::default();
        let writer = sqlite_options(path, "rwc").map_err(open)?;
        check::opens(&writer, SQLITE_SETTINGS).await.map_err(open)?;
        let writer =
            Connections::open(writer, 1, Prompt::Next, SQLITE_SETTINGS, &refusals).await.map_err(open)?;
        migrations::run(&writer, Dialect::Sqlite, &database, stop).await?;
        let readers = sqlite_options(path, "ro").map_err(open)?;
        let settings = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;";
        let readers = Connections::open(readers, SQLITE_READERS, Prompt::Own(1), settings, &refusals)
            .await
            .map_err(open)?;
        let renewals = writer.clone();
        let group = Some(Group::default());
        let (tasks, uses) = (TaskTracker::new(), api_keys::Uses::default());
        Ok(SqlStore { dialect: Dialect::Sqlite, writer, readers, group, renewals, tasks, uses })
    }

    /// Opens a SQLite file to read it, also while a relay uses it. Whatever would be written is refused.
    ///
    /// # Errors
    /// When there is no such file, or its schema is not that of this relay: then the relay has to be updated, or this program.
    pub async fn sqlite_to_read(path: &Path) -> Result<SqlStore, StoreError> {
        let database = path.display().to_string();
        let open = |source| StoreError::Open { database: database.clone(), source };
        let settings = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;";
        let options = sqlite_options(path, "ro").map_err(open)?;
        check::opens(&options, settings).await.map_err(open)?;
        let refusals = WriteRefusals::default();
        let readers = Connections::open(options, 1, Prompt::Next, settings, &refusals).await.map_err(open)?;
        let (writer, renewals, tasks) = (readers.clone(), readers.clone(), TaskTracker::new());
        let uses = api_keys::Uses::default();
        let store =
            SqlStore { dialect: Dialect::Sqlite, writer, readers, group: None, renewals, tasks, uses };
        let mut snapshot = store.snapshot().await?;
        let (version, newest) = (snapshot.schema().await?, migrations::newest(Dialect::Sqlite));
        snapshot.end().await?;
        match newest - version {
            0 => Ok(store),
            missing => Err(StoreError::Outdated { database, missing: missing.unsigned_abs() as usize }),
        }
    }

    /// Connects to a PostgreSQL database, whose schema `voxrelay migrate` has brought up to date.
    ///
    /// # Errors
    /// When it cannot be reached, or is not as this relay needs it: its schema, the rights of the role, a pooler in between. Nothing is
    /// changed: a role that may read and write the rows is enough.
    pub async fn postgres(url: &Secret) -> Result<SqlStore, StoreError> {
        let database = shown(url);
        let open = |source| StoreError::Open { database: database.clone(), source };
        let options = options(url.expose()).map_err(open)?;
        check::serves(&options, &database).await?;
        let (refusals, settings) = (WriteRefusals::default(), POSTGRES_SETTINGS);
        let renewals =
            Connections::open(options.clone(), 1, Prompt::Next, settings, &refusals).await.map_err(open)?;
        let prompt = Prompt::Own(POSTGRES_PROMPT);
        let connections = Connections::open(options, POSTGRES_CONNECTIONS, prompt, settings, &refusals)
            .await
            .map_err(open)?;
        Ok(SqlStore {
            dialect: Dialect::Postgres,
            writer: connections.clone(),
            readers: connections,
            group: None,
            renewals,
            tasks: TaskTracker::new(),
            uses: api_keys::Uses::default(),
        })
    }

    /// Runs a short `work` of a call in a transaction that it may share with the work of other calls, to its end even if the caller is
    /// dropped.
    async fn shared<T, W>(&self, durability: Durability, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.shared_or_undo(durability, |tx| work(tx).map_ok(Ok).boxed()).await
    }

    /// Does the same as [`SqlStore::shared`]. If the work's answer is the inner `Err`, the work is undone, and that is the answer.
    async fn shared_or_undo<T, W>(&self, durability: Durability, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<Result<T, T>, StoreError>> + Send + 'static,
    {
        let Some(group) = self.group.clone() else {
            return self.transaction_or_undo(durability, work).await;
        };
        let writer = self.writer.clone();
        let task = self.tasks.spawn(async move { group.run(&writer, durability, work).await });
        task.await.map_err(|_| StoreError::Unfinished)?
    }

    /// Runs `work` in a transaction of its own, to its end even if the caller is dropped.
    async fn transaction<T, W>(&self, durability: Durability, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.transaction_or_undo(durability, |tx| work(tx).map_ok(Ok).boxed()).await
    }

    /// Does the same as [`SqlStore::transaction`]. If the work's answer is the inner `Err`, the work is undone, and that is the answer.
    async fn transaction_or_undo<T, W>(&self, durability: Durability, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(Tx<'c>) -> BoxFuture<'c, Result<Result<T, T>, StoreError>> + Send + 'static,
    {
        let (writer, dialect) = (self.writer.clone(), self.dialect);
        let task = self.tasks.spawn(async move { writer.transaction(dialect, durability, work).await });
        task.await.map_err(|_| StoreError::Unfinished)?
    }

    /// A statement in the dialect of this database.
    fn statement(&self, sql: Sql) -> Statement {
        Statement::new(self.dialect.pick(sql))
    }

    pub(in crate::records::store) async fn ping(&self) -> Result<(), StoreError> {
        match self.dialect {
            Dialect::Sqlite => self.writer.promptly().ping().await,
            Dialect::Postgres => {
                let answer = check::takes_writes(self.writer.promptly()).await;
                self.writer.learn(&answer);
                answer?;
                check::is_up_to_date(&self.writer).await
            }
        }
    }

    pub(in crate::records::store) fn pools(&self) -> Vec<PoolUse> {
        match self.dialect {
            Dialect::Sqlite => {
                let (writes, reads) = (self.writer.pool_use("writes"), self.readers.pool_use("reads"));
                vec![writes, reads, self.readers.prompt_use()]
            }
            Dialect::Postgres => {
                let (shared, lease) = (self.writer.pool_use("shared"), self.renewals.pool_use("lease"));
                vec![shared, self.writer.prompt_use(), lease]
            }
        }
    }

    pub(in crate::records::store) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.readers.close().await;
        // The readers are closed before the writer: the last connection to a SQLite file folds the log in, which a reader cannot.
        self.writer.close().await;
        self.renewals.close().await;
    }
}

/// Brings a PostgreSQL schema up to date, and says how many migrations that took.
///
/// # Errors
/// When the database cannot be reached, or a migration fails, which is undone then.
pub async fn migrate(url: &Secret) -> Result<usize, StoreError> {
    bring_up_to_date(url, None).await
}

/// Does the same as [`migrate`], unless it is told to `stop` before a migration.
///
/// # Errors
/// When it is told to stop, or for the reasons that [`migrate`] has.
pub async fn migrate_until(url: &Secret, stop: &CancellationToken) -> Result<usize, StoreError> {
    bring_up_to_date(url, Some(stop)).await
}

async fn bring_up_to_date(url: &Secret, stop: Option<&CancellationToken>) -> Result<usize, StoreError> {
    let database = shown(url);
    let open = |source| StoreError::Open { database: database.clone(), source };
    let options = options(url.expose()).map_err(open)?;
    check::prepares(&options, &database).await?;
    let refusals = WriteRefusals::default();
    let connections =
        Connections::open(options, 1, Prompt::Next, MIGRATION_SETTINGS, &refusals).await.map_err(open)?;
    let applied = migrations::run(&connections, Dialect::Postgres, &database, stop).await;
    // Also when it has failed: then it may hold the lock that keeps other migrations away.
    connections.close().await;
    applied
}

/// What is wrong with the address of a PostgreSQL database, as far as its text shows.
pub(crate) fn fault_in_url(url: &str) -> Option<String> {
    sqlx::postgres::PgConnectOptions::from_str(url).err().map(|error| error.to_string())
}

/// The database's address without what is secret in it.
fn shown(url: &Secret) -> String {
    match reqwest::Url::parse(url.expose()) {
        Ok(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        }
        Err(_) => "the database".to_owned(),
    }
}

fn sqlite_options(path: &Path, mode: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    let path = std::path::absolute(path)?;
    let path = reqwest::Url::from_file_path(path)
        .map_err(|()| sqlx::Error::InvalidArgument("the path of the database".into()))?;
    options(&format!("sqlite://{}?mode={mode}", path.path()))
}

fn options(url: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    sqlx::any::install_default_drivers();
    AnyConnectOptions::from_str(url)
}

/// The error for a write that found no row of a live session.
fn found(id: &str, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NoSession { id: id.to_owned() }) } else { Ok(()) }
}

/// A figure as databases store it. Quantities and money stay far below 2⁶³, and a larger figure is stored as the largest possible one.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
