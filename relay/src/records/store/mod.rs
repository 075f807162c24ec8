//! What is stored for good: sessions, turns, the ledger, budgets, alerts.
//!
//! [`Store`] is what the relay asks of a database. [`SqlStore`] does it with SQLite or PostgreSQL, and one suite of tests runs on both.
//! `docs/records.md` says what each table is for and what a crash leaves at each step.

mod advice;
mod api_key;
mod audit;
mod budgets;
mod command;
#[expect(
    clippy::disallowed_methods,
    reason = "whoever asks the store waits for the answer where it is asked"
)]
mod contract;
mod credit;
mod delivery;
mod error;
mod folder_lock;
mod idempotency;
mod incident;
mod pools;
mod query;
mod rollup;
#[cfg(test)]
pub(crate) mod sample;
#[expect(
    clippy::disallowed_methods,
    reason = "a transaction's work is polled by the task that the transaction is"
)]
mod sql;
mod tables;
mod types;

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub use api_key::{API_KEYS_MAX, ApiKey, ApiKeyFilter, MadeKey, NewApiKey};
pub use audit::{Deed, DeedFilter, DeedKind};
pub use budgets::{BudgetCursor, BudgetFilter, BudgetRow, BudgetUse, BudgetsOf, NewCap};
pub use command::{COMMANDS_MAX, CommandOutcome, Given, NewCommand};
pub(crate) use contract::OPERATIONS;
pub use contract::Store;
pub use credit::{CREDIT_ITEM, CREDITED_BY_RELAY, Credit, CreditFilter, Credited};
pub use delivery::{
    ALERTS_WEBHOOK, Delivery, DeliveryFilter, DeliveryState, HookEvent, MessageKind, Replayed, Subscription,
};
pub use error::StoreError;
pub use folder_lock::{FolderLock, LOCK_FILE, RELAY_FILE};
pub use idempotency::{
    KEYED_FOR, KEYED_LEASE, KEYED_MAX, KEYED_RENEWAL, KeptAnswer, Keyed, KeyedEnd, KeyedRequest, KeyedWork,
};
pub use incident::{Incident, IncidentKind, IncidentPace, IncidentState, NewIncident};
pub use pools::PoolUse;
pub use query::*;
pub use rollup::*;
pub use sql::{MovedRow, MovedTable, Snapshot, SqlStore, check_sqlite_file, migrate, migrate_until};
pub(crate) use sql::{READ_TABLES, fault_in_url};
pub use tables::{LedgerEntry, LedgerFilter, SumBy, SumCursor, SumFilter, SumPer, SumRow};
pub use types::*;

pub use crate::session::lease::Lost;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "voxrelay.db";

/// Which leases to end.
#[derive(Clone, Copy, Debug)]
pub enum Leases<'a> {
    /// The lease of this relay, and those of its sessions.
    Of(&'a str),
    /// The leases of all sessions that this relay does not have.
    OfAllBut(&'a str),
    /// The lease of one session, if this relay has it.
    Session {
        /// The session.
        id: &'a str,
        /// The relay.
        relay: &'a str,
    },
}

/// Makes the data folder and the folders above it, for their owner only, because transcripts are stored there.
///
/// # Errors
/// When the file system refuses.
pub fn create_data_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// The time by the wall clock, in milliseconds since 1970, as rows have it.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
