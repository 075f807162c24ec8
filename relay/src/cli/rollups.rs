//! `voxrelay rollups --rebuild`: makes the sums anew that the dashboard reads.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{answered, failed};
use crate::config::Config;
use crate::records::store::{DATABASE_FILE, FolderLock, SqlStore, Store, StoreError};

/// How many sessions one transaction adds. Relays that run write in between.
const BATCH: u32 = 200;

/// Options of `voxrelay rollups`.
#[derive(Debug, Args)]
pub(super) struct RollupsArgs {
    /// Empty the sums of ended sessions, and make them anew from the sessions, ledger rows and turns that are there.
    #[arg(long, required = true)]
    rebuild: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// Makes the sums anew. With PostgreSQL relays may run meanwhile; a SQLite file has one program at a time.
pub(super) async fn run(args: RollupsArgs) -> ExitCode {
    debug_assert!(args.rebuild, "the command line does not go without it");
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    match rebuild(&config).await {
        Ok(1) => answered(&"added up 1 session"),
        Ok(added) => answered(&format!("added up {added} sessions")),
        Err(error) => failed(1, &error),
    }
}

async fn rebuild(config: &Config) -> Result<u64, StoreError> {
    let mut lock = None;
    let store = match &config.database_url {
        Some(url) => SqlStore::postgres(url).await?,
        None => {
            let lock = lock.insert(FolderLock::take(&config.data_dir)?);
            lock.note_doing("adding up sessions");
            SqlStore::sqlite(&config.data_dir.join(DATABASE_FILE)).await?
        }
    };
    let store: &dyn Store = &store;
    let added = add_all(store).await;
    store.close().await;
    drop(lock);
    added
}

async fn add_all(store: &dyn Store) -> Result<u64, StoreError> {
    store.roll_up_anew().await?;
    let mut all = 0;
    loop {
        let added = store.roll_up(BATCH).await?;
        all += added;
        if added == 0 {
            return Ok(all);
        }
    }
}
