//! `voxrelay rollups --rebuild`: makes the sums anew that the dashboard reads.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::stopping::Stop;
use super::{answered, failed, tell};
use crate::config::Config;
use crate::records::store::{DATABASE_FILE, FolderLock, RolledUp, SqlStore, Store, StoreError};

/// How many sessions one transaction adds. Relays that run write in between.
const BATCH: u32 = 200;
/// After how many sums or sessions it is said how far it is.
const TOLD_EVERY: u64 = 10_000;

/// What a rebuild says that is told to stop.
const STOPPED: &str = "told to stop: what is added up stays, and the rest is not in the sums yet; `voxrelay rollups --resume` goes on, as a relay \
    that runs does by itself";

/// Options of `voxrelay rollups`.
#[derive(Debug, Args)]
pub(super) struct RollupsArgs {
    /// Empty the sums of ended sessions, and make them anew from the sessions, ledger rows and turns that are there.
    #[arg(long, required_unless_present = "resume")]
    rebuild: bool,
    /// Go on with a rebuild that was broken off. A relay that runs does so by itself.
    #[arg(long, conflicts_with = "rebuild")]
    resume: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// Makes the sums anew. With PostgreSQL relays may run meanwhile; a SQLite file has one program at a time.
pub(super) async fn run(args: RollupsArgs) -> ExitCode {
    debug_assert!(args.rebuild != args.resume, "the command line has one of them");
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let stop = Stop::listen();
    match rebuild(&config, args.rebuild, &stop).await {
        Ok(1) => answered(&"added up 1 session"),
        Ok(added) => answered(&format!("added up {added} sessions")),
        Err(error) => failed(1, &error),
    }
}

async fn rebuild(config: &Config, anew: bool, stop: &Stop) -> Result<u64, String> {
    let say = |error: StoreError| error.to_string();
    let mut lock = None;
    let store = match &config.database_url {
        Some(url) => SqlStore::postgres(url).await.map_err(say)?,
        None => {
            let lock = lock.insert(FolderLock::take(&config.data_dir).map_err(say)?);
            lock.note_doing("adding up sessions");
            SqlStore::sqlite(&config.data_dir.join(DATABASE_FILE)).await.map_err(say)?
        }
    };
    store.check_whole().await.map_err(say)?;
    let store: &dyn Store = &store;
    let added = stop.or(STOPPED, add_all(store, anew)).await;
    store.close().await;
    drop(lock);
    added
}

/// Makes the sums anew, or goes on with that, in steps that are short however much there is. Says how many sessions were added.
async fn add_all(store: &dyn Store, anew: bool) -> Result<u64, StoreError> {
    if anew {
        store.roll_up_anew().await?;
    }
    let (mut emptied, mut added) = (0, 0);
    loop {
        match store.roll_up(BATCH).await? {
            RolledUp::Emptied(more) => count(&mut emptied, more, "sums deleted"),
            RolledUp::Added(0) => return Ok(added),
            RolledUp::Added(more) => count(&mut added, more, "sessions added up"),
        }
    }
}

/// Counts what was done, and now and then says how much that is.
fn count(all: &mut u64, more: u64, what: &str) {
    let told = *all / TOLD_EVERY;
    *all += more;
    if *all / TOLD_EVERY > told {
        tell(&format!("{all} {what} so far"));
    }
}
