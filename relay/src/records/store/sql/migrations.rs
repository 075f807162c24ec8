//! The migrations of the schema, one list for each database. `sqlx::migrate!` would read the folders by itself, but would compile SQLite a
//! second time, for the host.

use std::borrow::Cow;

use sqlx::AnyPool;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::connections::Connections;
use super::statement::in_time;
use super::{Dialect, StoreError};

/// A migration: its version, its description, its file, its SQL.
type Listed = (i64, &'static str, &'static str, &'static str);

macro_rules! migrations {
    ($folder:literal: $($version:literal $description:literal $file:literal;)*) => {
        &[$(($version, $description, $file, include_str!(concat!("../../../../migrations/", $folder, "/", $file))),)*]
    };
}

const SQLITE: &[Listed] = migrations! { "sqlite":
    1 "sessions" "0001_sessions.sql";
    2 "records" "0002_records.sql";
    3 "replayable" "0003_replayable.sql";
    4 "erased sessions" "0004_erased_sessions.sql";
    5 "ledger requests" "0005_ledger_requests.sql";
    6 "relays" "0006_relays.sql";
    7 "strikes" "0007_strikes.sql";
    8 "feedback" "0008_feedback.sql";
    9 "tool calls" "0009_tool_calls.sql";
    10 "credits" "0010_credits.sql";
    11 "stages" "0011_stages.sql";
    12 "excess alerts" "0012_excess_alerts.sql";
};

const POSTGRES: &[Listed] = migrations! { "postgres":
    1 "records" "0001_records.sql";
    2 "relay role" "0002_relay_role.sql";
    3 "replayable" "0003_replayable.sql";
    4 "erased sessions" "0004_erased_sessions.sql";
    5 "ledger requests" "0005_ledger_requests.sql";
    6 "relays" "0006_relays.sql";
    7 "strikes" "0007_strikes.sql";
    8 "feedback" "0008_feedback.sql";
    9 "tool calls" "0009_tool_calls.sql";
    10 "credits" "0010_credits.sql";
    11 "stages" "0011_stages.sql";
    12 "excess alerts" "0012_excess_alerts.sql";
};

/// How a database's schema compares to the one of this relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaVersion {
    UpToDate,
    Older { missing: usize },
    Newer { version: i64 },
}

/// Brings the schema up to date. Says how many migrations were applied.
pub(super) async fn run(
    connections: &Connections,
    dialect: Dialect,
    database: &str,
) -> Result<usize, StoreError> {
    let migrate = |source| StoreError::Migrate { database: database.to_owned(), source };
    let before = in_time(applied(connections.pool())).await?.map_err(migrate)?;
    if let SchemaVersion::Newer { version } = compare(dialect, &before) {
        return Err(newer(dialect, database, version));
    }
    // Only migrations have no time limit: how long one takes depends on how many rows there are.
    migrator(dialect).run(connections.pool()).await.map_err(migrate)?;
    Ok(known(dialect) - before.len())
}

/// How a database in which these migrations were applied compares to this relay.
pub(super) fn compare(dialect: Dialect, applied: &[i64]) -> SchemaVersion {
    let listed = listed(dialect);
    if let Some(version) =
        applied.iter().find(|version| !listed.iter().any(|migration| migration.0 == **version))
    {
        return SchemaVersion::Newer { version: *version };
    }
    match listed.len().saturating_sub(applied.len()) {
        0 => SchemaVersion::UpToDate,
        missing => SchemaVersion::Older { missing },
    }
}

/// How many migrations this relay knows.
pub(super) fn known(dialect: Dialect) -> usize {
    listed(dialect).len()
}

/// The tables that the migrations make.
pub(super) fn tables(dialect: Dialect) -> impl Iterator<Item = &'static str> {
    listed(dialect).iter().flat_map(|(_, _, _, sql)| {
        sql.split("CREATE TABLE ").skip(1).filter_map(|table| table.split_whitespace().next())
    })
}

/// The error for a database with a migration that this relay does not know.
pub(super) fn newer(dialect: Dialect, database: &str, version: i64) -> StoreError {
    let known = listed(dialect).last().map_or(0, |migration| migration.0);
    StoreError::Newer { database: database.to_owned(), version, known }
}

/// The versions of the migrations that were applied to a database.
async fn applied(pool: &AnyPool) -> Result<Vec<i64>, MigrateError> {
    let mut connection = pool.acquire().await?;
    let table = &Migrator::DEFAULT.table_name;
    connection.ensure_migrations_table(table).await?;
    let applied = connection.list_applied_migrations(table).await?;
    Ok(applied.iter().map(|migration| migration.version).collect())
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = listed(dialect).iter().map(|(version, description, _, sql)| {
        let description = Cow::Borrowed(*description);
        Migration::new(*version, description, MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator { migrations: migrations.collect(), ..Migrator::DEFAULT }
}

fn listed(dialect: Dialect) -> &'static [Listed] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folders_is_in_its_list() {
        for (folder, listed) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .expect("the folder")
                .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
                .collect();
            files.sort();
            assert_eq!(files, listed.iter().map(|(_, _, file, _)| *file).collect::<Vec<_>>());
            assert!(listed.windows(2).all(|pair| pair[0].0 < pair[1].0), "they are applied in order");
            assert!(listed.iter().all(|(version, _, file, _)| file.starts_with(&format!("{version:04}_"))));
        }
    }

    #[test]
    fn both_schemas_have_the_same_tables_and_columns() {
        let columns = |sql: &str| -> Vec<String> {
            let tables = sql.split("CREATE TABLE ").skip(1);
            let mut found = Vec::new();
            for table in tables {
                let (name, rest) = table.split_once(" (\n").expect("a table");
                for line in rest.lines().take_while(|line| !line.starts_with(')')) {
                    let word = line.split_whitespace().next().unwrap_or_default();
                    if word.chars().next().is_some_and(char::is_lowercase) {
                        let rest = line.trim_start().trim_start_matches(word);
                        let rest = rest.replace("INTEGER", "BIGINT").replace("BLOB", "BYTEA");
                        found.push(format!(
                            "{name}.{word} {}",
                            rest.split_whitespace().collect::<Vec<_>>().join(" ")
                        ));
                    }
                }
            }
            found
        };
        assert_eq!(columns(SQLITE[1].3), columns(POSTGRES[0].3));
        assert!(columns(POSTGRES[0].3).len() > 60);
    }
}
