//! A check of a SQLite file that neither changes it nor holds up a relay that has it open.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{AnyConnection, Connection, Row};
use tokio::time::timeout;

use super::migrations::{self, Applied, SchemaVersion};
use super::statement::in_time;
use super::{Dialect, StoreError, sqlite_options};

/// How long the pages of the file are checked. A large file is checked in part, and not refused because checking takes long.
const PAGES_TIMEOUT: Duration = Duration::from_secs(4);

const HAS_MIGRATIONS: &str = "SELECT COUNT(*) AS found FROM sqlite_master WHERE name = '_sqlx_migrations'";
const MIGRATIONS: &str = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
const HAS_REVISIONS: &str = "SELECT COUNT(*) AS found FROM sqlite_master WHERE name = 'revisions'";
const IS_IMPORTED: &str = "SELECT COUNT(*) AS found FROM revisions WHERE name = 'import'";

/// Checks that a relay can use a SQLite file, if there is one.
///
/// # Errors
/// When it cannot be read or written, is no database, is damaged, is filled only in part, or was used by a newer relay.
pub async fn check_sqlite_file(path: &Path) -> Result<(), StoreError> {
    let database = path.display().to_string();
    let open = |source| StoreError::Open { database: database.clone(), source };
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        if file.exists() {
            OpenOptions::new().append(true).open(&file).map_err(|error| open(error.into()))?;
        }
    }
    if !path.exists() {
        return Ok(());
    }
    // If there is a log beside the file, only both together are whole, and a relay may be writing. Without a log no relay has the file open,
    // and reading it as immutable makes no log.
    let mode = if beside(path, "-wal").exists() { "ro" } else { "ro&immutable=1" };
    let mut connection = in_time(AnyConnection::connect_with(&sqlite_options(path, mode).map_err(open)?))
        .await?
        .map_err(open)?;
    if in_time(number(&mut connection, HAS_MIGRATIONS, "found")).await?.map_err(open)? > 0 {
        let applied = in_time(sqlx::raw_sql(MIGRATIONS).fetch_all(&mut connection)).await?.map_err(open)?;
        let versions: Vec<i64> =
            applied.iter().map(|row| row.try_get("version")).collect::<Result<_, _>>().map_err(open)?;
        let oldest_relay = migrations::oldest_relay(&mut connection, Dialect::Sqlite, &versions);
        let oldest_relay = in_time(oldest_relay).await?.map_err(open)?;
        let applied = Applied { versions, oldest_relay };
        if let SchemaVersion::Newer { version } = migrations::compare(Dialect::Sqlite, &applied) {
            return Err(migrations::newer(Dialect::Sqlite, &database, version));
        }
    }
    let has_revisions = in_time(number(&mut connection, HAS_REVISIONS, "found")).await?.map_err(open)? > 0;
    if has_revisions && in_time(number(&mut connection, IS_IMPORTED, "found")).await?.map_err(open)? > 0 {
        return Err(StoreError::HalfImported);
    }
    let pages = timeout(PAGES_TIMEOUT, sqlx::raw_sql("PRAGMA quick_check(1)").fetch_one(&mut connection));
    if let Ok(found) = pages.await {
        let found: String = found.and_then(|row| row.try_get(0)).map_err(open)?;
        if found != "ok" {
            return Err(StoreError::Damaged { database, found: found.replace('\n', " ") });
        }
    }
    Ok(())
}

async fn number(connection: &mut AnyConnection, sql: &'static str, column: &str) -> Result<i64, sqlx::Error> {
    sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(column)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
