//! The schema's history, one list for each database. `sqlx::migrate!` would read the folders by itself, but compiles SQLite a
//! second time for the host.

use std::borrow::Cow;

use sqlx::AnyPool;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::Dialect;

/// Version, description, file, SQL.
type Listed = (i64, &'static str, &'static str, &'static str);

macro_rules! migrations {
    ($folder:literal: $($version:literal $description:literal $file:literal;)*) => {
        &[$(($version, $description, $file, include_str!(concat!("../../../migrations/", $folder, "/", $file))),)*]
    };
}

const SQLITE: &[Listed] = migrations! { "sqlite":
    1 "sessions" "0001_sessions.sql";
    2 "records" "0002_records.sql";
};

const POSTGRES: &[Listed] = migrations! { "postgres":
    1 "records" "0001_records.sql";
};

/// Brings the schema up to date. Says how many migrations were applied.
pub(super) async fn run(pool: &AnyPool, dialect: Dialect) -> Result<usize, MigrateError> {
    let before = applied(pool).await?;
    migrator(dialect).run(pool).await?;
    Ok(listed(dialect).len() - before)
}

/// How many migrations of this version of the relay a PostgreSQL database still lacks. Changes nothing.
pub(super) async fn missing(pool: &AnyPool) -> Result<usize, MigrateError> {
    let begun = "SELECT CASE WHEN to_regclass('_sqlx_migrations') IS NULL THEN 0 ELSE 1 END";
    let begun: i32 = sqlx::query_scalar(begun).fetch_one(pool).await?;
    let applied = if begun == 1 { applied(pool).await? } else { 0 };
    Ok(listed(Dialect::Postgres).len().saturating_sub(applied))
}

async fn applied(pool: &AnyPool) -> Result<usize, MigrateError> {
    let mut connection = pool.acquire().await?;
    let table = &Migrator::DEFAULT.table_name;
    connection.ensure_migrations_table(table).await?;
    Ok(connection.list_applied_migrations(table).await?.len())
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
            assert!(listed.iter().zip(1..).all(|(migration, version)| migration.0 == version));
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
