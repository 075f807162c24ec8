//! Checks of a database before it is used, so that whoever starts a relay reads what is wrong and what to do about it. They use single
//! connections, which say what went wrong. A pool would only say that it timed out.

use std::sync::LazyLock;

use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, Connection, Row};
use tokio::time::timeout;

use super::connections::{ACQUIRE_TIMEOUT, Connections};
use super::migrations::{self, Applied, SchemaVersion};
use super::statement::{Place, Statement};
use super::{Dialect, StoreError};

/// How often two connections are asked which server process they have. A pooler in transaction mode gives each transaction the process that
/// was freed last, or the next one in turn, and either shows within a few rounds.
const ROUNDS: usize = 4;

const HAS_SCHEMA: &str = "SELECT to_regnamespace('voxrelay') IS NOT NULL AS yes";
const MAY_USE_SCHEMA: &str = "SELECT has_schema_privilege('voxrelay', 'USAGE') AS yes";
const HAS_MIGRATIONS: &str = "SELECT to_regclass('voxrelay._sqlx_migrations') IS NOT NULL AS yes";
const MAY_READ_MIGRATIONS: &str = "SELECT has_table_privilege('voxrelay._sqlx_migrations', 'SELECT') AS yes";
const MIGRATIONS: &str = "SELECT version FROM voxrelay._sqlx_migrations WHERE success ORDER BY version";
/// Asks whether this connection takes no writes, as on a server that only follows another one, and which of the rights that a relay needs on
/// its tables this role lacks. Tables that only a newer relay knows are none of its own.
static LACKING: LazyLock<String> = LazyLock::new(|| {
    let tables: Vec<String> =
        migrations::tables(Dialect::Postgres).map(|table| format!("'{table}'")).collect();
    format!(
        "SELECT current_setting('transaction_read_only') = 'on' AS reads_only,
        COALESCE(string_agg(DISTINCT privilege, ', '), '') AS lacking, CAST(current_user AS text) AS name
        FROM pg_tables, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE schemaname = 'voxrelay' AND tablename IN ({})
            AND NOT has_table_privilege(format('voxrelay.%I', tablename), privilege)",
        tables.join(", ")
    )
});
const TABLES: &str = "SELECT CAST(tablename AS text) AS name FROM pg_tables WHERE schemaname = 'voxrelay'";
const WHO: &str = "SELECT CAST(current_user AS text) AS name";

/// Checks that a connection can be opened and prepared.
pub(super) async fn opens(options: &AnyConnectOptions, settings: &'static str) -> Result<(), sqlx::Error> {
    let opened = async {
        let mut connection = AnyConnection::connect_with(options).await?;
        sqlx::raw_sql(settings).execute(&mut connection).await?;
        connection.close().await
    };
    timeout(ACQUIRE_TIMEOUT, opened).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Checks that a relay can do its work in a PostgreSQL database, with the rights that its role has.
pub(super) async fn serves(options: &AnyConnectOptions, database: &str) -> Result<(), StoreError> {
    let mut connection = connect(options, database).await?;
    let ready = within(database, ready(&mut connection, database)).await;
    drop(connection);
    ready
}

/// Checks that the schema of a PostgreSQL database can be brought up to date over this address, and makes it if it is not there.
pub(super) async fn prepares(options: &AnyConnectOptions, database: &str) -> Result<(), StoreError> {
    let mut connection = connect(options, database).await?;
    let opening = |source| StoreError::Open { database: database.to_owned(), source };
    within(database, async {
        // `CREATE SCHEMA IF NOT EXISTS` needs the right to make one even if it is there already, so it is only run if it is not.
        if !yes(&mut connection, HAS_SCHEMA).await.map_err(opening)? {
            sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS voxrelay")
                .execute(&mut connection)
                .await
                .map_err(opening)?;
        }
        Ok(())
    })
    .await
}

/// Checks schema, migrations, tables and rights over one connection.
async fn ready(connection: &mut AnyConnection, database: &str) -> Result<(), StoreError> {
    let opening = |source| StoreError::Open { database: database.to_owned(), source };
    let outdated =
        StoreError::Outdated { database: database.to_owned(), missing: migrations::known(Dialect::Postgres) };
    if !yes(connection, HAS_SCHEMA).await.map_err(opening)? {
        return Err(outdated);
    }
    let who = row(connection, WHO).await.and_then(|row| row.try_get("name")).map_err(opening)?;
    let lacking = |lacking: String| StoreError::Rights { database: database.to_owned(), role: who, lacking };
    if !yes(connection, MAY_USE_SCHEMA).await.map_err(opening)? {
        return Err(lacking("USAGE of the schema".into()));
    }
    if !yes(connection, HAS_MIGRATIONS).await.map_err(opening)? {
        return Err(outdated);
    }
    if !yes(connection, MAY_READ_MIGRATIONS).await.map_err(opening)? {
        return Err(lacking("SELECT".into()));
    }
    let applied = sqlx::raw_sql(MIGRATIONS).fetch_all(&mut *connection).await.map_err(opening)?;
    let versions: Vec<i64> =
        applied.iter().map(|row| row.try_get("version")).collect::<Result<_, _>>().map_err(opening)?;
    let oldest_relay =
        migrations::oldest_relay(&mut *connection, Dialect::Postgres, &versions).await.map_err(opening)?;
    match migrations::compare(Dialect::Postgres, &Applied { versions, oldest_relay }) {
        SchemaVersion::UpToDate => {}
        SchemaVersion::NewerAndFits { version } => migrations::tell_newer(database, version),
        SchemaVersion::Older { missing } => {
            return Err(StoreError::Outdated { database: database.to_owned(), missing });
        }
        SchemaVersion::Newer { version } => {
            return Err(migrations::newer(Dialect::Postgres, database, version));
        }
    }
    let tables = sqlx::raw_sql(TABLES).fetch_all(&mut *connection).await.map_err(opening)?;
    let tables: Vec<String> =
        tables.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>().map_err(opening)?;
    let gone: Vec<&str> = migrations::tables(Dialect::Postgres)
        .filter(|table| !tables.iter().any(|there| there == table))
        .collect();
    if !gone.is_empty() {
        return Err(StoreError::Lacking { database: database.to_owned(), tables: gone.join(", ") });
    }
    let row = row(connection, &LACKING).await.map_err(opening)?;
    writable(&row, database).map_err(opening)?
}

/// Checks that a PostgreSQL database that is in use still takes what a relay writes.
pub(super) async fn takes_writes(on: impl Place) -> Result<(), StoreError> {
    let row = Statement::new(&**LACKING).fetch_one(on).await?;
    writable(&row, "the database")?
}

/// Checks that a PostgreSQL database that is in use has the schema that this relay needs: it may have been put back to a copy from before.
pub(super) async fn is_up_to_date(connections: &Connections) -> Result<(), StoreError> {
    let has_migrations = Statement::new(HAS_MIGRATIONS).fetch_one(connections.promptly()).await?;
    let mut versions: Vec<i64> = Vec::new();
    if has_migrations.try_get("yes")? {
        for row in Statement::new(MIGRATIONS).fetch_all(connections.promptly()).await? {
            versions.push(row.try_get("version")?);
        }
    }
    match migrations::missing(Dialect::Postgres, &versions) {
        0 => Ok(()),
        missing => Err(StoreError::Outdated { database: "the database".to_owned(), missing }),
    }
}

/// Reads the answer to [`LACKING`].
fn writable(row: &AnyRow, database: &str) -> Result<Result<(), StoreError>, sqlx::Error> {
    let database = database.to_owned();
    if row.try_get("reads_only")? {
        return Ok(Err(StoreError::ReadOnly { database }));
    }
    let (lacking, role): (String, String) = (row.try_get("lacking")?, row.try_get("name")?);
    Ok(if lacking.is_empty() { Ok(()) } else { Err(StoreError::Rights { database, role, lacking }) })
}

/// Opens a connection that keeps its server process, and refuses one of a pooler that shares processes between transactions.
async fn connect(options: &AnyConnectOptions, database: &str) -> Result<AnyConnection, StoreError> {
    let opening = |source| StoreError::Open { database: database.to_owned(), source };
    within(database, async {
        let mut one = AnyConnection::connect_with(options).await.map_err(opening)?;
        let mut other = AnyConnection::connect_with(options).await.map_err(opening)?;
        let mut served = [0; 2];
        for round in 0..ROUNDS {
            let now = [pid(&mut one).await.map_err(opening)?, pid(&mut other).await.map_err(opening)?];
            if now[0] == now[1] || (round > 0 && now != served) {
                return Err(StoreError::Pooled { database: database.to_owned() });
            }
            served = now;
        }
        // If closing fails, the connection is gone as well.
        let _ = other.close().await;
        Ok(one)
    })
    .await
}

async fn within<T>(
    database: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(ACQUIRE_TIMEOUT, work).await.unwrap_or_else(|_| {
        Err(StoreError::Open { database: database.to_owned(), source: sqlx::Error::PoolTimedOut })
    })
}

async fn pid(connection: &mut AnyConnection) -> Result<i32, sqlx::Error> {
    row(connection, "SELECT pg_backend_pid() AS pid").await?.try_get("pid")
}

async fn yes(connection: &mut AnyConnection, question: &'static str) -> Result<bool, sqlx::Error> {
    row(connection, question).await?.try_get("yes")
}

async fn row(connection: &mut AnyConnection, sql: &'static str) -> Result<AnyRow, sqlx::Error> {
    sqlx::raw_sql(sql).fetch_one(connection).await
}
