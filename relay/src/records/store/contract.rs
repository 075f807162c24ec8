//! What the relay asks of a database, each operation once: its name, what goes in, what comes out. How it is done stands under the same name in
//! `store/sql`, in the file of what it is about.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use protocol::Mark;

use super::{
    Alert, AlertFilter, AlertRow, Attempted, Cursor, Denial, DenialCursor, DenialKind, EndRequest, Expiring,
    Leases, LiveRow, NewSession, Opened, Page, Quality, Quota, Reserve, SaidRow, SessionFilter, SessionRow,
    Settle, Settled, SqlStore, StoreError, Swept, TakeOver, TakenOver, Transcript, TurnCursor, TurnRow,
    UsageCursor, UsageFilter, UsageRow, Whom,
};
use crate::call::Turn;
use crate::money::budget::{Balance, Reserved, Scope};
use crate::money::ledger::LedgerRow;

/// Makes the trait of these operations, and lets [`SqlStore`] answer each by its own method of that name. So every operation is measured under
/// its name, and none is written a third time.
macro_rules! operations {
    ($(
        $(#[$doc:meta])*
        fn $name:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $answer:ty;
    )*) => {
        /// A database, as the relay needs one.
        ///
        /// Everything that changes more than one row is a transaction that ends, one way or the other, even if the caller is dropped.
        /// Every call may be repeated: what was written already is not written, reserved or counted again. No statement is waited for
        /// without end.
        #[async_trait]
        pub trait Store: fmt::Debug + Send + Sync {
            /// Whether it answers, and would take writes as far as it says so itself: a server that only reads and a role without rights do not.
            /// Waits for nobody who has the connections in use.
            async fn ping(&self) -> Result<(), StoreError>;

            /// Waits for what is being written, then lets go of the database.
            async fn close(&self);

            $($(#[$doc])* async fn $name(&self $(, $argument: $type)*) -> Result<$answer, StoreError>;)*
        }

        #[async_trait]
        impl Store for SqlStore {
            async fn ping(&self) -> Result<(), StoreError> {
                SqlStore::ping(self).await
            }

            async fn close(&self) {
                SqlStore::close(self).await;
            }

            $(async fn $name(&self $(, $argument: $type)*) -> Result<$answer, StoreError> {
                crate::operations::telemetry::store(stringify!($name), SqlStore::$name(self $(, $argument)*)).await
            })*
        }

        /// The names of the operations, as metrics have them.
        pub(crate) const OPERATIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

operations! {
    /// Writes a session that begins now, counts it against the limits on live sessions and reserves its first money, all or nothing.
    /// Where the user has too many, one without a connection is ended to make room.
    fn open_session(&self, session: &NewSession, quota: &Quota) -> Opened;

    /// Reads a session, live or ended.
    fn session(&self, id: &str) -> Option<SessionRow>;

    /// Asks the relay that has a live session to hand it over to this one, once however often it is called. Says whether one has it that has
    /// renewed its lease so lately that as much as this is left of it; from any other there is nothing to wait for.
    fn ask_for(&self, id: &str, by: &str, renewed: Duration) -> bool;

    /// Makes a live session this relay's, with the next epoch. What the lost relay had exposed is charged, the rest it had reserved is
    /// given back. `None` if the session has ended or somebody else was faster.
    fn take_over(&self, id: &str, by: &TakeOver) -> Option<TakenOver>;

    /// Notes the next resume token of a live session, and the one it replaces if that stays good for a while.
    fn rotate_resume(
        &self,
        id: &str,
        epoch: u32,
        resume_hash: &[u8; 32],
        previous: Option<&[u8; 32]>,
        reconnects: u32,
    ) -> ();

    /// Notes whether a live session has a connection.
    fn set_attached(&self, id: &str, epoch: u32, attached: bool) -> ();

    /// Notes how many frames and texts of a live session were refused.
    fn note_strikes(&self, id: &str, epoch: u32, strikes: u32) -> ();

    /// Ends a live session and gives back what it had reserved. `reason` is the name of a close code.
    fn end_session(
        &self,
        id: &str,
        epoch: u32,
        reason: &str,
        quality: Quality,
        at_ms: i64,
    ) -> ();

    /// Keeps the live sessions of a relay its own for this long from now, but for those that were let go. One statement however many there are.
    /// It waits for nobody: neither for whoever has the connections in use, nor for whoever has locked a session.
    fn renew_lease(&self, relay: &str, lease: Duration) -> ();

    /// The live sessions of a relay that were not let go, by id in any order. Waits for nobody, likewise.
    fn sessions_held(&self, relay: &str) -> Vec<String>;

    /// Ends leases: the sessions wait to be taken over, and keep their places.
    fn end_leases(&self, leases: Leases<'_>) -> ();

    /// Gives back what lost sessions had reserved, charges what they had exposed, and ends those that nobody took over within the
    /// window: some of them, those that have waited longest, and none that somebody else has locked. It is called again until it finds none.
    fn sweep(&self, resume_window: Duration) -> Swept;

    /// Writes turns, each over an earlier version of itself, and moves what is committed forward (never back), together.
    fn save_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
    ) -> ();

    /// Reads the transcript of a session in order.
    fn turns(&self, id: &str) -> Vec<TurnRow>;

    /// Sets money aside in every budget that applies, or in none.
    fn reserve(&self, ask: &Reserve<'_>) -> Reserved;

    /// Appends to the ledger, takes what it cost out of what was set aside, and tells which thresholds were reached.
    /// Works for ended sessions, too: what was used is owed. Of one that was deleted it goes on the account's bill, with the error
    /// [`StoreError::Erased`] as the answer.
    fn settle(&self, settle: &Settle) -> Settled;

    /// Reads the ledger of a session, by key.
    fn ledger(&self, id: &str) -> Vec<LedgerRow>;

    /// Notes that a budget is used up, and tells if that is new in its period.
    fn exhausted(
        &self,
        id: &str,
        scope: Scope,
        balance: Balance,
        at_ms: i64,
    ) -> Option<Alert>;

    /// Takes alerts that are due, with one more attempt each: nobody else gets them before `claim` is over.
    fn claim_alerts(&self, claim: Duration, limit: u32) -> Vec<Alert>;

    /// Notes what became of the given attempt. What was claimed again since is delivered at most.
    fn finish_alert(&self, id: &str, attempts: u32, attempted: Attempted) -> ();

    /// Lets go of the alerts that are due: there is nowhere to send them.
    fn dismiss_alerts(&self) -> ();

    /// Deletes what is too old, so many rows at most. Says how many there were.
    fn expire(&self, what: Expiring<'_>, limit: u32) -> u64;

    /// Adds the key of another recording to a live session.
    fn add_recording(&self, id: &str, epoch: u32, key: &str) -> ();

    /// Ended sessions with a recording that began before this time, by id: the id and what [`SessionRow::recording`] says.
    fn expired_recordings(
        &self,
        before_ms: i64,
        after: &str,
        limit: u32,
    ) -> Vec<(String, String)>;

    /// Notes that a session's recording is gone, if it is still this one.
    fn forget_recording(&self, id: &str, recording: &str) -> ();

    /// Recordings whose session was deleted, in order.
    fn erased_recordings(&self, after: &str, limit: u32) -> Vec<String>;

    /// Notes that such a recording is gone.
    fn forget_erased(&self, recording: &str) -> ();

    /// Leaves no byte of what was deleted in the database's files. `false` if somebody was reading, and it has to be tried again.
    fn scrub(&self) -> bool;

    /// Lists sessions, the newest first.
    fn list_sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<SessionRow, Cursor>;

    /// Lists the sessions that go on, here or on another relay, the newest first.
    fn live_sessions(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<LiveRow, Cursor>;

    /// Reads what was said, in order.
    fn transcript(
        &self,
        of: Transcript<'_>,
        after: Option<&TurnCursor>,
        limit: u32,
    ) -> Page<SaidRow, TurnCursor>;

    /// Adds up what was used, by day, account, user, item and unit, in that order.
    fn usage(
        &self,
        filter: &UsageFilter,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Page<UsageRow, UsageCursor>;

    /// Lists alerts, the newest first.
    fn list_alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<AlertRow, Cursor>;

    /// Erases a session with all that was said and recorded in it, live or not; its usage stays, without a name. A relay that
    /// still has it can write nothing more. Says whether it was there.
    fn delete_session(&self, id: &str) -> bool;

    /// Erases every session of a user, as [`Store::delete_session`] does. Says how many there were. Where it fails half-way, what
    /// is left is whole, and may be erased by asking again.
    fn delete_user(&self, sub: &str) -> u64;

    /// Asks the relays that have these live sessions to end them. `reason` is the name of a close code. Says how many relays
    /// are there to hear it: sessions whose lease is over do not count.
    fn request_end(&self, whom: Whom<'_>, reason: &str) -> u64;

    /// The sessions of a relay that somebody wants to end.
    fn ends_requested(&self, relay: &str) -> Vec<EndRequest>;

    /// Ends a live session whichever relay has it: that one can write nothing more. Says whether it was live.
    fn end_elsewhere(&self, id: &str, reason: &str) -> bool;

    /// Adds to the deny-list, over an earlier entry of the same subject.
    fn deny(&self, denial: &Denial) -> ();

    /// Takes off the deny-list. Says whether it was on it.
    fn allow(&self, kind: DenialKind, subject: &str) -> bool;

    /// Reads the deny-list, by kind and subject, without what has expired.
    fn denials(
        &self,
        after: Option<&DenialCursor>,
        limit: u32,
    ) -> Page<Denial, DenialCursor>;

    /// Another number after each change to the deny-list, so that others notice it cheaply.
    fn denials_revision(&self) -> i64;
}
