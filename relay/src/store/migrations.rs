//! The schema's history. `sqlx::migrate!` would read the folder by itself, but compiles SQLite a second time for the host.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;

macro_rules! migrations {
    ($($version:literal $description:literal $file:literal;)*) => {
        &[$(($version, $description, $file, include_str!(concat!("../../migrations/sqlite/", $file))),)*]
    };
}

/// Version, description, file, SQL.
const MIGRATIONS: &[(i64, &str, &str, &str)] = migrations! {
    1 "sessions" "0001_sessions.sql";
};

pub(super) async fn run(pool: &SqlitePool) -> Result<(), MigrateError> {
    let migrations = MIGRATIONS.iter().map(|(version, description, _, sql)| {
        let description = Cow::Borrowed(*description);
        Migration::new(*version, description, MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator { migrations: migrations.collect(), ..Migrator::DEFAULT }.run(pool).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folder_is_in_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
            .collect();
        files.sort();
        let listed: Vec<&str> = MIGRATIONS.iter().map(|(_, _, file, _)| *file).collect();
        assert_eq!(files, listed);
        assert!(MIGRATIONS.iter().zip(1..).all(|(migration, version)| migration.0 == version));
    }
}
