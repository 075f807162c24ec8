//! `voxrelay export` and `voxrelay import`: all that a database keeps, into a file and out of it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::stopping::Stop;
use super::{answered, failed, tell};
use crate::NanoUsd;
use crate::config::Config;
use crate::records::moving::{self, Tallies, Tally};
use crate::records::spill::{SPILL_FILE, Spill};
use crate::records::store::{DATABASE_FILE, FolderLock, Leases, SqlStore, Store, StoreError, unix_ms};

/// Stands for standard output, and for standard input.
const STANDARD: &str = "-";
/// What the lock of the data folder says of these commands.
const EXPORTING: &str = "exporting";
const IMPORTING: &str = "importing";
/// What an export says that is told to stop.
const EXPORT_STOPPED: &str =
    "told to stop: what is written is not whole, and its file is removed; run `voxrelay export` again";
/// What an import says that is told to stop.
const IMPORT_STOPPED: &str = "told to stop: what is imported stays, and no relay starts with it; run `voxrelay import` with the same file again, \
    which goes on, until it says that all is compared";

/// Options of `voxrelay export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file to write, which must not be there yet; - for standard output.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// End the sessions that are still live, as those of a relay that is lost. Without it they are a reason not to export.
    #[arg(long)]
    end_live: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// Options of `voxrelay import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file that `voxrelay export` has written; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// A database that no relay uses. A SQLite file is held by its folder's lock until this is dropped.
struct Idle {
    store: SqlStore,
    _lock: Option<FolderLock>,
}

/// Writes all that the configured database keeps, while no relay uses it.
pub(super) async fn export(args: ExportArgs) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let stop = Stop::listen();
    let idle = match open(&config, EXPORTING).await {
        Ok(idle) => idle,
        Err(error) => return failed(1, &error),
    };
    let settled = stop.or(EXPORT_STOPPED, settle(&idle.store, &config, args.end_live)).await;
    let done = match settled {
        Ok(()) => write(&idle.store, &args.file, &stop).await,
        Err(error) => Err(error),
    };
    Store::close(&idle.store).await;
    match done {
        Ok(tallies) if args.file == Path::new(STANDARD) => {
            tell(&shown(&tallies, "exported"));
            ExitCode::SUCCESS
        }
        Ok(tallies) => answered(&shown(&tallies, "exported")),
        Err(error) => failed(1, &error),
    }
}

/// Fills the configured database, which is empty and which no relay uses.
pub(super) async fn import(args: ImportArgs) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let stop = Stop::listen();
    let idle = match open(&config, IMPORTING).await {
        Ok(idle) => idle,
        Err(error) => return failed(1, &error),
    };
    let done = read(&idle.store, &args.file, &stop).await;
    Store::close(&idle.store).await;
    match done {
        Ok(tallies) => answered(&shown(&tallies, "imported, read again and compared")),
        Err(error) => failed(1, &error),
    }
}

/// Opens the configured database, if no relay uses it. With PostgreSQL, relays show by their leases that they are there; the data folder is then
/// only locked by an export, which writes what is owed in it.
async fn open(config: &Config, doing: &str) -> Result<Idle, String> {
    let file = config.data_dir.join(DATABASE_FILE);
    if doing == EXPORTING && config.database_url.is_none() && !file.exists() {
        return Err(format!(
            "there is no {}: name the configuration of the relay whose data it is",
            file.display()
        ));
    }
    let takes_folder = doing == EXPORTING || config.database_url.is_none();
    let lock = if takes_folder {
        let mut lock = FolderLock::take(&config.data_dir).map_err(|error| error.to_string())?;
        lock.note_doing(doing);
        Some(lock)
    } else {
        None
    };
    let opened = match &config.database_url {
        Some(url) => SqlStore::postgres(url).await,
        None => SqlStore::sqlite(&file).await,
    };
    let store = opened.map_err(|error| error.to_string())?;
    if config.database_url.is_some() {
        match store.count_leased().await {
            Ok(0) => {}
            Ok(relays) => {
                return Err(format!(
                    "{relays} relays use this database: stop them all; one that was killed counts for 15 s more"
                ));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(Idle { store, _lock: lock })
}

/// Writes what the relay of this data folder still owed, and sees that no session is live.
async fn settle(store: &SqlStore, config: &Config, ends_live: bool) -> Result<(), String> {
    let say = |error: StoreError| error.to_string();
    if config.data_dir.join(SPILL_FILE).exists() {
        let spill = Spill::open(&config.data_dir).await.map_err(say)?;
        spill.replay(store, |_| false).await.map_err(say)?;
    }
    if ends_live {
        Store::end_leases(store, Leases::OfAllBut("")).await.map_err(say)?;
        loop {
            let swept = Store::sweep(store, Duration::ZERO).await.map_err(say)?;
            if swept.ended == 0 && swept.released == 0 {
                break;
            }
        }
    }
    match store.count_live().await.map_err(say)? {
        0 => Ok(()),
        live => Err(format!(
            "{live} sessions are live, which wait for their clients: stop the relay when its calls are over, or end them with --end-live"
        )),
    }
}

async fn write(store: &SqlStore, file: &Path, stop: &Stop) -> Result<Tallies, String> {
    if file == Path::new(STANDARD) {
        let out = BufWriter::new(io::stdout());
        return stop.or(EXPORT_STOPPED, moving::export(store, unix_ms(), out, |line| tell(&line))).await;
    }
    let wrong = |error: io::Error| format!("{}: {error}", file.display());
    let to = create(file).map_err(wrong)?;
    let mut out = BufWriter::new(to);
    let exporting = moving::export(store, unix_ms(), &mut out, |line| tell(&line));
    let exported = stop.or(EXPORT_STOPPED, exporting).await;
    let kept = out.flush().and_then(|()| out.get_ref().sync_all()).map_err(wrong);
    let done = exported.and_then(|tallies| kept.map(|()| tallies));
    if done.is_err() {
        // It is of no use, and it is said already why it was not written.
        let _ = std::fs::remove_file(file);
    }
    done
}

async fn read(store: &SqlStore, file: &Path, stop: &Stop) -> Result<Tallies, String> {
    if file == Path::new(STANDARD) {
        let importing = moving::import(store, BufReader::new(io::stdin()), |line| tell(&line));
        return stop.or(IMPORT_STOPPED, importing).await;
    }
    let from = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    stop.or(IMPORT_STOPPED, moving::import(store, BufReader::new(from), |line| tell(&line))).await
}

/// Makes a file for its owner only: transcripts are in it.
fn create(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// A line for each table, and one for the whole.
fn shown(tallies: &[(String, Tally)], done: &str) -> String {
    let mut lines: Vec<String> = tallies
        .iter()
        .map(|(table, tally)| {
            let money = NanoUsd::new(u64::try_from(tally.nano_usd).unwrap_or_default()).to_string();
            format!("{table:<18} {:>12} rows  {money:>20}  {:016x}", tally.rows, tally.digest)
        })
        .collect();
    let rows: u64 = tallies.iter().map(|(_, tally)| tally.rows).sum();
    lines.push(format!("{rows} rows {done}"));
    lines.join("\n")
}
