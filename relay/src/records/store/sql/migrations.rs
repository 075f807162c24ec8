//! The migrations of the schema, one list for each database. `sqlx::migrate!` would read the folders by itself, but would compile SQLite a
//! second time, for the host.

use std::borrow::Cow;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Row, SqlSafeStr};
use tokio_util::sync::CancellationToken;

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
    13 "oldest relay" "0013_oldest_relay.sql";
    14 "settlements" "0014_settlements.sql";
    15 "relays seen" "0015_relays_seen.sql";
    16 "succeeded" "0016_succeeded.sql";
    17 "rates" "0017_rates.sql";
    18 "turn revisions" "0018_turn_revisions.sql";
    19 "rollups" "0019_rollups.sql";
    20 "audit" "0020_audit.sql";
    21 "webhooks" "0021_webhooks.sql";
    22 "budget caps" "0022_budget_caps.sql";
    23 "commands" "0023_commands.sql";
    24 "idempotency keys" "0024_idempotency_keys.sql";
    25 "api keys" "0025_api_keys.sql";
    26 "incidents" "0026_incidents.sql";
    27 "relay addresses" "0027_relay_addresses.sql";
    28 "held keys" "0028_held_keys.sql";
    29 "relay epochs" "0029_relay_epochs.sql";
    30 "session lists" "0030_session_lists.sql";
    31 "delivery lists" "0031_delivery_lists.sql";
    32 "audit lists" "0032_audit_lists.sql";
    33 "alert answers" "0033_alert_answers.sql";
    34 "alert lists" "0034_alert_lists.sql";
    35 "alerts outlive sessions" "0035_alerts_outlive_sessions.sql";
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
    13 "oldest relay" "0013_oldest_relay.sql";
    14 "settlements" "0014_settlements.sql";
    15 "relays seen" "0015_relays_seen.sql";
    16 "succeeded" "0016_succeeded.sql";
    17 "rates" "0017_rates.sql";
    18 "turn revisions" "0018_turn_revisions.sql";
    19 "rollups" "0019_rollups.sql";
    20 "audit" "0020_audit.sql";
    21 "webhooks" "0021_webhooks.sql";
    22 "budget caps" "0022_budget_caps.sql";
    23 "commands" "0023_commands.sql";
    24 "idempotency keys" "0024_idempotency_keys.sql";
    25 "api keys" "0025_api_keys.sql";
    26 "incidents" "0026_incidents.sql";
    27 "relay addresses" "0027_relay_addresses.sql";
    28 "held keys" "0028_held_keys.sql";
    29 "relay epochs" "0029_relay_epochs.sql";
    30 "session lists" "0030_session_lists.sql";
    31 "delivery lists" "0031_delivery_lists.sql";
    32 "audit lists" "0032_audit_lists.sql";
    33 "alert answers" "0033_alert_answers.sql";
    34 "alert lists" "0034_alert_lists.sql";
    35 "alerts outlive sessions" "0035_alerts_outlive_sessions.sql";
};

/// The migration since which a schema says which relays it serves.
const OLDEST_RELAY_SINCE: i64 = 13;

/// How a database's schema compares to the one of this relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaVersion {
    UpToDate,
    Older {
        missing: usize,
    },
    /// It has migrations that this relay does not know, and serves this relay as well.
    NewerAndFits {
        version: i64,
    },
    Newer {
        version: i64,
    },
}

/// What a database says of its schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Applied {
    /// The migrations that were applied to it.
    pub(super) versions: Vec<i64>,
    /// The newest migration that a relay has to know to serve it, if that is known.
    pub(super) oldest_relay: Option<i64>,
}

/// Brings the schema up to date. Says how many migrations were applied. Whoever may tell it to `stop` is heard before each migration, which is done
/// whole or not at all.
pub(super) async fn run(
    connections: &Connections,
    dialect: Dialect,
    database: &str,
    stop: Option<&CancellationToken>,
) -> Result<usize, StoreError> {
    let migrate = |source| StoreError::Migrate { database: database.to_owned(), source };
    let before = in_time(applied(connections.pool(), dialect)).await?.map_err(migrate)?;
    match compare(dialect, &before) {
        SchemaVersion::Newer { version } => return Err(newer(dialect, database, version)),
        SchemaVersion::NewerAndFits { version } => {
            tell_newer(database, version);
            return Ok(0);
        }
        SchemaVersion::UpToDate | SchemaVersion::Older { .. } => {}
    }
    let migrator = migrator(dialect);
    if let Some(stop) = stop {
        let listed = listed(dialect).iter().map(|migration| migration.0);
        let missing: Vec<i64> = listed.filter(|version| !before.versions.contains(version)).collect();
        for (applied, version) in missing.iter().enumerate() {
            if stop.is_cancelled() {
                let (database, left) = (database.to_owned(), missing.len() - applied);
                return Err(StoreError::Stopped { database, applied, left });
            }
            migrator.run_to(*version, connections.pool()).await.map_err(migrate)?;
        }
    }
    // Only migrations have no time limit: how long one takes depends on how many rows there are.
    migrator.run(connections.pool()).await.map_err(migrate)?;
    Ok(known(dialect) - before.versions.len())
}

/// How a database that says this of its schema compares to this relay.
pub(super) fn compare(dialect: Dialect, applied: &Applied) -> SchemaVersion {
    let (listed, there) = (listed(dialect), &applied.versions);
    let missing = missing(dialect, there);
    let unknown =
        there.iter().filter(|version| !listed.iter().any(|migration| migration.0 == **version)).max();
    match (unknown, missing) {
        (None, 0) => SchemaVersion::UpToDate,
        (None, missing) => SchemaVersion::Older { missing },
        (Some(&version), 0) if applied.oldest_relay.is_some_and(|oldest| oldest <= newest(dialect)) => {
            SchemaVersion::NewerAndFits { version }
        }
        (Some(&version), _) => SchemaVersion::Newer { version },
    }
}

/// How many migrations that this relay knows are not among these.
pub(super) fn missing(dialect: Dialect, versions: &[i64]) -> usize {
    listed(dialect).iter().filter(|migration| !versions.contains(&migration.0)).count()
}

/// Says in the log that the database is of a newer version, and that the relay goes on.
pub(super) fn tell_newer(database: &str, version: i64) {
    tracing::warn!(database, version, "the schema is of a newer version, which serves this relay as well");
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
    StoreError::Newer { database: database.to_owned(), version, known: newest(dialect) }
}

/// The newest migration that this relay knows.
pub(super) fn newest(dialect: Dialect) -> i64 {
    listed(dialect).last().map_or(0, |migration| migration.0)
}

/// What a database says of its schema.
async fn applied(pool: &AnyPool, dialect: Dialect) -> Result<Applied, MigrateError> {
    let mut connection = pool.acquire().await?;
    let table = &Migrator::DEFAULT.table_name;
    connection.ensure_migrations_table(table).await?;
    let applied = connection.list_applied_migrations(table).await?;
    let versions: Vec<i64> = applied.iter().map(|migration| migration.version).collect();
    let oldest_relay = oldest_relay(&mut connection, dialect, &versions).await?;
    Ok(Applied { versions, oldest_relay })
}

/// The newest migration that a relay has to know to serve the schema. A schema from before [`OLDEST_RELAY_SINCE`] does not say it.
pub(super) async fn oldest_relay(
    connection: &mut AnyConnection,
    dialect: Dialect,
    versions: &[i64],
) -> Result<Option<i64>, sqlx::Error> {
    if !versions.contains(&OLDEST_RELAY_SINCE) {
        return Ok(None);
    }
    let oldest = match dialect {
        Dialect::Sqlite => "SELECT number FROM revisions WHERE name = 'oldest_relay'",
        Dialect::Postgres => "SELECT number FROM voxrelay.revisions WHERE name = 'oldest_relay'",
    };
    let row = sqlx::raw_sql(oldest).fetch_optional(connection).await?;
    row.map(|row| row.try_get("number")).transpose()
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
    use sha2::{Digest, Sha256};

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

    /// The migrations up to this one are in databases. A database knows each by its checksum, and with a changed one it is not migrated any more:
    /// what is to be different comes in a new migration. The number is raised with a release, with the checksums of all files up to it.
    const RELEASED: i64 = 25;

    #[test]
    fn what_databases_have_is_changed_by_new_migrations_alone() {
        for (listed, checksum) in [
            (SQLITE, "626cecbc024722a30cbcc26d322163835ec96bd70d5082c72d1ad88db4f57f67"),
            (POSTGRES, "1e2dbaba3967c18ca2258f14567edbe54db36a6dadba8da33f6d59821ecf78b2"),
        ] {
            let released = listed.iter().take_while(|migration| migration.0 <= RELEASED);
            let released: String = released.map(|migration| migration.3).collect();
            let digest: String = Sha256::digest(released).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, checksum, "a migration up to {RELEASED} was changed");
        }
    }

    /// A migration that changes what is there raises `oldest_relay`, or says why it stays: since nothing that earlier relays rely on is gone.
    #[test]
    fn migrations_from_13_on_only_add_or_say_that_they_do_not() {
        for (_, _, file, sql) in
            SQLITE.iter().chain(POSTGRES).filter(|migration| migration.0 >= OLDEST_RELAY_SINCE)
        {
            let text: String = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
            for statement in text.split(';').map(str::to_uppercase) {
                let changes = ["DROP ", "RENAME ", "ALTER COLUMN", "ADD CONSTRAINT", "SET NOT NULL"];
                let column = statement.contains("ADD COLUMN") && statement.contains("NOT NULL");
                let breaks = changes.iter().any(|change| statement.contains(change))
                    || column && !statement.contains("DEFAULT");
                assert!(!breaks || sql.contains("'oldest_relay'"), "{file}: {statement}");
            }
        }
    }

    #[test]
    fn a_schema_serves_whoever_knows_enough_of_it() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let ours: Vec<i64> = listed(dialect).iter().map(|migration| migration.0).collect();
            let newest = newest(dialect);
            let with = |more: &[i64], oldest_relay| {
                let versions = ours.iter().chain(more).copied().collect();
                compare(dialect, &Applied { versions, oldest_relay })
            };
            assert_eq!(with(&[], Some(newest)), SchemaVersion::UpToDate);
            assert_eq!(with(&[98, 99], Some(newest)), SchemaVersion::NewerAndFits { version: 99 });
            assert_eq!(with(&[99], Some(99)), SchemaVersion::Newer { version: 99 });
            assert_eq!(with(&[99], None), SchemaVersion::Newer { version: 99 });
            let versions = ours[1..].iter().chain(&[99]).copied().collect();
            let lacks = compare(dialect, &Applied { versions, oldest_relay: Some(newest) });
            assert_eq!(lacks, SchemaVersion::Newer { version: 99 }, "it lacks one of ours");
            let older = Applied { versions: ours[2..].to_vec(), oldest_relay: None };
            assert_eq!(compare(dialect, &older), SchemaVersion::Older { missing: 2 });
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
