use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::stopping::Stop;
use super::{answered, failed};
use crate::config::Config;
use crate::records::store::{DATABASE_FILE, FolderLock, SqlStore, Store, StoreError, migrate_until};

/// Options of `voxrelay migrate`.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// Brings the schema of the configured database up to date.
pub(super) async fn run(args: MigrateArgs) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let stop = Stop::listen();
    let done = match &config.database_url {
        Some(url) => migrate_until(url, stop.token()).await.map(|applied| match applied {
            0 => "the schema is up to date".to_owned(),
            1 => "applied 1 migration".to_owned(),
            more => format!("applied {more} migrations"),
        }),
        None => migrate_file(&config.data_dir, &stop).await.map(|()| "the schema is up to date".to_owned()),
    };
    match done {
        Ok(line) => answered(&line),
        Err(error) => failed(1, &error),
    }
}

/// Opening it is what migrates it. Not under a relay that runs.
async fn migrate_file(data_dir: &Path, stop: &Stop) -> Result<(), StoreError> {
    let mut lock = FolderLock::take(data_dir)?;
    lock.note_doing("migrating");
    let store = SqlStore::sqlite_until(&data_dir.join(DATABASE_FILE), stop.token()).await?;
    Store::close(&store).await;
    drop(lock);
    Ok(())
}
