//! What is measured when somebody asks for it, since it stands elsewhere.

use std::path::Path;

use metrics::{counter, gauge};
use tokio::task::spawn_blocking;

use super::names::{
    DATA_FREE, LEASE_MARGIN, LOG_LINES_DROPPED, READY, SCHEMA_OUTDATED, SESSIONS_LIVE, SPILL_BYTES,
    STORE_CONNECTIONS,
};
use super::process;
use crate::App;
use crate::operations::log;
use crate::records::spill::SPILL_FILE;
use crate::server;

/// Sets the gauges. Returns what is told of the process, as text.
pub(super) async fn measure(app: &App) -> String {
    let live = &app.live;
    gauge!(SESSIONS_LIVE).set(live.sessions.len() as f64);
    gauge!(READY).set(u8::from(server::is_ready(app)));
    gauge!(SCHEMA_OUTDATED).set(u8::from(live.is_outdated()));
    gauge!(LEASE_MARGIN).set(live.lease.margin(live.now()).as_secs_f64());
    for pool in app.records.store.pools() {
        for (state, connections) in [("in_use", pool.in_use), ("idle", pool.idle)] {
            gauge!(STORE_CONNECTIONS, "pool" => pool.name, "state" => state).set(connections);
        }
    }
    counter!(LOG_LINES_DROPPED).absolute(log::dropped());
    let data_dir = app.config.data_dir.clone();
    // Where a relay has thousands of connections, counting its files takes a while.
    let of_process = spawn_blocking(move || {
        measure_folder(&data_dir);
        process::text()
    });
    of_process.await.unwrap_or_default()
}

fn measure_folder(data_dir: &Path) {
    let files = [SPILL_FILE.to_owned(), format!("{SPILL_FILE}-wal")];
    let sizes = files.iter().filter_map(|file| std::fs::metadata(data_dir.join(file)).ok());
    gauge!(SPILL_BYTES).set(sizes.map(|file| file.len()).sum::<u64>() as f64);
    if let Ok(free) = fs4::available_space(data_dir) {
        gauge!(DATA_FREE).set(free as f64);
    }
}
