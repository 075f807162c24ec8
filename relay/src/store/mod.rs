//! What stays: sessions, turns, the ledger, budgets, alerts.
//!
//! [`Store`] is what the relay asks of a database, [`SqlStore`] does it with SQLite or PostgreSQL, and one suite of tests holds
//! both to it. `docs/records.md` says what each table is for and what a crash leaves at each step.

mod advice;
mod error;
mod hold;
mod query;
#[expect(
    clippy::disallowed_methods,
    reason = "a transaction's work is polled by the task that the transaction is"
)]
mod sql;
mod types;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use protocol::Mark;

use crate::call::Turn;
use crate::money::budget::{Balance, Reserved, Scope};
use crate::money::ledger::LedgerRow;
pub use error::StoreError;
pub use hold::{HOLD_FILE, Hold, RELAY_FILE};
pub use query::*;
pub(crate) use sql::fault_in_url;
pub use sql::{SqlStore, look, migrate};
pub use types::*;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "voxrelay.db";

/// A database, as the relay needs one.
///
/// Everything that changes more than one row is a transaction that ends, one way or the other, even if the caller is dropped.
/// Every call may be repeated: what was written already is not written, reserved or counted again.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Whether it answers. Waits for nobody who has the connections in use.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Waits for what is being written, then lets go of the database.
    async fn close(&self);

    /// Writes a session that begins now, counts it against the limits on live sessions and reserves its first money, all or nothing.
    /// Where the user has too many, one without a connection is ended to make room.
    async fn open_session(&self, session: &NewSession, quota: &Quota) -> Result<Opened, StoreError>;

    /// Reads a session, live or ended.
    async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError>;

    /// Asks the relay that has a live session to hand it over to this one, once however often it is called. Says whether one has it that has
    /// renewed its lease so lately that as much as this is left of it; from any other there is nothing to wait for.
    async fn ask_for(&self, id: &str, by: &str, renewed: Duration) -> Result<bool, StoreError>;

    /// Makes a live session this relay's, with the next epoch. What the lost relay had exposed is charged, the rest it had reserved is
    /// given back. `None` if the session has ended or somebody else was faster.
    async fn take_over(&self, id: &str, by: &TakeOver) -> Result<Option<TakenOver>, StoreError>;

    /// Notes the next resume token of a live session, and the one it replaces if that stays good for a while.
    async fn rotate_resume(
        &self,
        id: &str,
        epoch: u32,
        resume_hash: &[u8; 32],
        previous: Option<&[u8; 32]>,
        reconnects: u32,
    ) -> Result<(), StoreError>;

    /// Notes whether a live session has a connection.
    async fn set_attached(&self, id: &str, epoch: u32, attached: bool) -> Result<(), StoreError>;

    /// Ends a live session and gives back what it had reserved. `reason` is the name of a close code.
    async fn end_session(
        &self,
        id: &str,
        epoch: u32,
        reason: &str,
        quality: Quality,
        at_ms: i64,
    ) -> Result<(), StoreError>;

    /// Keeps the live sessions of a relay its own for this long from now. Says which ones they are. Waits for nobody: neither for whoever
    /// has the connections in use, nor for whoever has locked a session.
    async fn renew_leases(&self, relay: &str, lease: Duration) -> Result<Renewed, StoreError>;

    /// Ends leases: the sessions wait to be taken over, and keep their places.
    async fn end_leases(&self, leases: Leases<'_>) -> Result<(), StoreError>;

    /// Gives back what lost sessions had reserved, charges what they had exposed, and ends those that nobody took over within the
    /// window.
    async fn sweep(&self, resume_window: Duration) -> Result<Swept, StoreError>;

    /// Writes turns, each over an earlier version of itself, and moves what is committed forward (never back), together.
    async fn save_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
    ) -> Result<(), StoreError>;

    /// Reads the transcript of a session in order.
    async fn turns(&self, id: &str) -> Result<Vec<TurnRow>, StoreError>;

    /// Sets money aside in every budget that applies, or in none.
    async fn reserve(&self, ask: &Reserve<'_>) -> Result<Reserved, StoreError>;

    /// Appends to the ledger, takes what it cost out of what was set aside, and tells which thresholds were reached.
    /// Works for ended sessions, too: what was used is owed. Of one that was deleted it goes on the account's bill, with the error
    /// [`StoreError::Erased`] as the answer.
    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError>;

    /// Reads the ledger of a session, by key.
    async fn ledger(&self, id: &str) -> Result<Vec<LedgerRow>, StoreError>;

    /// Notes that a budget is used up, and tells if that is new in its period.
    async fn exhausted(
        &self,
        id: &str,
        scope: Scope,
        balance: Balance,
        at_ms: i64,
    ) -> Result<Option<Alert>, StoreError>;

    /// Takes alerts that are due, with one more attempt each: nobody else gets them before `claim` is over.
    async fn claim_alerts(&self, claim: Duration, limit: u32) -> Result<Vec<Alert>, StoreError>;

    /// Notes what became of the given attempt. What was claimed again since is delivered at most.
    async fn finish_alert(&self, id: &str, attempts: u32, attempted: Attempted) -> Result<(), StoreError>;

    /// Lets go of the alerts that are due: there is nowhere to send them.
    async fn dismiss_alerts(&self) -> Result<(), StoreError>;

    /// Deletes what is too old, so many rows at most. Says how many there were.
    async fn expire(&self, what: Expiring<'_>, limit: u32) -> Result<u64, StoreError>;

    /// Adds the key of another recording to a live session.
    async fn add_recording(&self, id: &str, epoch: u32, key: &str) -> Result<(), StoreError>;

    /// Ended sessions with a recording that began before this time, by id: the id and what [`SessionRow::recording`] says.
    async fn expired_recordings(
        &self,
        before_ms: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError>;

    /// Notes that a session's recording is gone, if it is still this one.
    async fn forget_recording(&self, id: &str, recording: &str) -> Result<(), StoreError>;

    /// Recordings whose session was deleted, in order.
    async fn erased_recordings(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError>;

    /// Notes that such a recording is gone.
    async fn forget_erased(&self, recording: &str) -> Result<(), StoreError>;

    /// Leaves no byte of what was deleted in the database's files. `false` if somebody was reading, and it has to be tried again.
    async fn scrub(&self) -> Result<bool, StoreError>;

    /// Lists sessions, the newest first.
    async fn list_sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<SessionRow, Cursor>, StoreError>;

    /// Lists the sessions that go on, here or on another relay, the newest first.
    async fn live_sessions(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<LiveRow, Cursor>, StoreError>;

    /// Reads what was said, in order.
    async fn transcript(
        &self,
        of: Transcript<'_>,
        after: Option<&TurnCursor>,
        limit: u32,
    ) -> Result<Page<SaidRow, TurnCursor>, StoreError>;

    /// Adds up what was used, by day, account, user, item and unit, in that order.
    async fn usage(
        &self,
        filter: &UsageFilter,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Page<UsageRow, UsageCursor>, StoreError>;

    /// Lists alerts, the newest first.
    async fn list_alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<AlertRow, Cursor>, StoreError>;

    /// Erases a session with all that was said and recorded in it, live or not; its usage stays, without a name. A relay that
    /// still has it can write nothing more. Says whether it was there.
    async fn delete_session(&self, id: &str) -> Result<bool, StoreError>;

    /// Erases every session of a user, as [`Store::delete_session`] does. Says how many there were. Where it fails half-way, what
    /// is left is whole, and may be erased by asking again.
    async fn delete_user(&self, sub: &str) -> Result<u64, StoreError>;

    /// Asks the relays that have these live sessions to end them. `reason` is the name of a close code. Says how many relays
    /// are there to hear it: sessions whose lease is over do not count.
    async fn request_end(&self, whom: Whom<'_>, reason: &str) -> Result<u64, StoreError>;

    /// The sessions of a relay that somebody wants to end.
    async fn ends_requested(&self, relay: &str) -> Result<Vec<EndRequest>, StoreError>;

    /// Ends a live session whichever relay has it: that one can write nothing more. Says whether it was live.
    async fn end_elsewhere(&self, id: &str, reason: &str) -> Result<bool, StoreError>;

    /// Adds to the deny-list, over an earlier entry of the same subject.
    async fn deny(&self, denial: &Denial) -> Result<(), StoreError>;

    /// Takes off the deny-list. Says whether it was on it.
    async fn allow(&self, kind: DenialKind, subject: &str) -> Result<bool, StoreError>;

    /// Reads the deny-list, by kind and subject, without what has expired.
    async fn denials(
        &self,
        after: Option<&DenialCursor>,
        limit: u32,
    ) -> Result<Page<Denial, DenialCursor>, StoreError>;

    /// Another number after each change to the deny-list, so that others notice it cheaply.
    async fn denials_revision(&self) -> Result<i64, StoreError>;
}

/// Which leases.
#[derive(Clone, Copy, Debug)]
pub enum Leases<'a> {
    /// Those of this relay.
    Of(&'a str),
    /// Those of every relay but this one.
    OfAllBut(&'a str),
    /// That of one session, if this relay has it.
    Session {
        /// The session.
        id: &'a str,
        /// The relay.
        relay: &'a str,
    },
}

/// Makes the folder and those above it, for their owner only: transcripts are going to live there.
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

/// The wall clock, in milliseconds since 1970, as rows have it.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
