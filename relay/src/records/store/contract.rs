//! What the relay asks of a database: each operation with its name, arguments and answer. A method of the same name in `store/sql` does it,
//! in the file of its subject.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use protocol::Mark;

use super::{
    Alert, AlertFilter, AlertRow, ApiKey, ApiKeyFilter, Attempted, BilledCursor, BudgetCursor, BudgetFilter,
    BudgetRow, BudgetsOf, Claimed, CommandOutcome, Credit, CreditFilter, Credited, Cursor, Deed, DeedFilter,
    DeedKind, Delivery, DeliveryFilter, Denial, DenialCursor, DenialKind, EndRequest, Expiring, Feedback,
    Given, Incident, IncidentPace, Keyed, KeyedEnd, KeyedRequest, KeyedWork, Leases, LedgerEntry,
    LedgerFilter, LiveRow, Lost, MadeKey, NewApiKey, NewCap, NewCommand, NewIncident, NewSession, Notice,
    Opened, Overview, OverviewFilter, Page, PoolUse, Quality, Quota, Replayed, Reserve, RolledUp, SaidRow,
    SessionFilter, SessionRow, Settle, Settled, Spend, SpendFilter, SqlStore, StoreError, Subscription,
    SumCursor, SumFilter, SumRow, Swept, TakeOver, TakenOver, Transcript, TurnCursor, TurnRow, UsageCursor,
    UsageFilter, UsageRow, Whom,
};
use crate::agent::tool::{StoredCall, ToolNote};
use crate::call::{Command, NotTold, Turn};
use crate::money::budget::{Balance, Reserved, Scope};
use crate::money::ledger::LedgerRow;

/// Makes the trait of these operations, and implements it for [`SqlStore`] by its own methods of the same names, each measured under its
/// name. So an operation is written in two places only: here, and where it is done.
macro_rules! operations {
    ($(
        $(#[$doc:meta])*
        fn $name:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $answer:ty;
    )*) => {
        /// A database, as the relay needs one.
        ///
        /// Everything that changes more than one row is a transaction, which is carried to its end even if the caller is dropped. Every call
        /// may be repeated: what was written already is not written, reserved or counted again. Every statement has a time limit.
        #[async_trait]
        pub trait Store: fmt::Debug + Send + Sync {
            /// Checks that the database answers, and that it would take writes as far as it says so itself: a server that only reads would
            /// not, nor for a role without rights. It does not wait for the connections that others use.
            async fn ping(&self) -> Result<(), StoreError>;

            /// Waits until everything under way is written, then closes the connections.
            async fn close(&self);

            /// How many connections are open and in use now.
            fn pools(&self) -> Vec<PoolUse>;

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

            fn pools(&self) -> Vec<PoolUse> {
                SqlStore::pools(self)
            }

            $(async fn $name(&self $(, $argument: $type)*) -> Result<$answer, StoreError> {
                crate::operations::telemetry::store(stringify!($name), SqlStore::$name(self $(, $argument)*)).await
            })*
        }

        /// The names of the operations, which metrics use as labels.
        pub(crate) const OPERATIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

operations! {
    /// Stores a session that begins now, counts it against the limits on live sessions and on sessions in a minute, and reserves its first
    /// money, all or nothing: one that is refused counts nowhere. If the user or the account has too many, a session of the user's without a
    /// connection is ended to make room.
    fn open_session(&self, session: &NewSession, quota: &Quota) -> Opened;

    /// Says what [`Store::open_session`] would answer, and changes nothing.
    fn may_open_session(&self, session: &NewSession, quota: &Quota) -> Opened;

    /// Reads a session, live or ended.
    fn session(&self, id: &str) -> Option<SessionRow>;

    /// Asks the relay that has a live session to hand it off, so that the relay `by` can go on with it. Asking again changes nothing. Says
    /// whether another relay has the session that is not `lost`, and so is worth waiting for.
    fn ask_for(&self, id: &str, by: &str, lost: Lost) -> bool;

    /// Makes a live session the session of another relay, with the next epoch. What the relay before had exposed is charged, and the rest
    /// that it had reserved is given back. `None` means that the session has ended or that another take-over came first.
    fn take_over(&self, id: &str, by: &TakeOver) -> Option<TakenOver>;

    /// Notes the next resume token of a live session, and the token that it replaces if that stays good for a while.
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

    /// Stores that a tool is about to be called, or what has come of a call. What is stored of either stays as it is.
    fn note_tool(&self, id: &str, epoch: u32, note: &ToolNote) -> ();

    /// The calls of tools that were made in a live session, oldest first. With the session's end they are forgotten.
    fn tool_calls(&self, id: &str) -> Vec<StoredCall>;

    /// Ends a live session and gives back what it had reserved. `reason` is the name of a close code.
    fn end_session(
        &self,
        id: &str,
        epoch: u32,
        reason: &str,
        quality: Quality,
        at_ms: i64,
    ) -> ();

    /// Renews a relay's lease, for this long from now, and notes that it was heard of. Its live sessions stay its own, but for those whose leases were ended. It is one
    /// statement however many sessions there are, and waits neither for the connections that others use nor for sessions that others have
    /// locked.
    fn renew_lease(&self, relay: &str, lease: Duration) -> ();

    /// Notes beside a relay's lease where other relays reach it. Without a lease there is nothing to note. It does not wait for the connections
    /// that others use.
    fn advertise(&self, relay: &str, address: &str) -> ();

    /// Where the relay is reached that has a live session, if another one than `but` has it that is not `lost`, and has said so. Somebody else may
    /// have the address of one that is.
    fn address_of(&self, id: &str, but: &str, lost: Lost) -> Option<String>;

    /// The ids of the live sessions of a relay whose leases were not ended, in any order. It does not wait for the connections that others
    /// use.
    fn sessions_held(&self, relay: &str) -> Vec<String>;

    /// Ends leases, so that the sessions wait to be taken over. They still count against the limits on live sessions.
    fn end_leases(&self, leases: Leases<'_>) -> ();

    /// What the database's clock shows, by which leases are kept: milliseconds since 1970. It does not wait for the connections that others use.
    fn clock_ms(&self) -> i64;

    /// Gives back what sessions of lost relays had reserved, charges what they had exposed, and ends those that nobody took over within the
    /// window. One call handles a batch: those that have waited longest, without those that others have locked. It is called again until it
    /// finds none.
    fn sweep(&self, resume_window: Duration) -> Swept;

    /// Writes turns, each over an earlier version of itself, and moves the committed mark forward (never back), all or nothing. Of what was
    /// metered, at most `replayable` samples may be played again after that without being metered again.
    fn save_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> ();

    /// The same for turns that a relay has kept while the database was away. The session may have ended meanwhile, or its epoch may have risen because
    /// what that relay had exposed was charged, as long as no relay has taken the session over since, and no other session how far it had come:
    /// there the client has said everything again that was not committed. Of a session that has ended a turn
    /// that is there stays as it is unless more is committed by this one.
    fn save_kept_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> ();

    /// Reads the transcript of a session in order.
    fn turns(&self, id: &str) -> Vec<TurnRow>;

    /// Sets money aside in all three budgets, or in none.
    fn reserve(&self, ask: &Reserve<'_>) -> Reserved;

    /// Appends rows to the ledger, takes their cost out of what was set aside, and tells which thresholds are reached that were not told before. What a provider
    /// has reported too much of goes to the outbox of alerts, once an hour for each item. Credits lower what is spent of the session's day and month,
    /// as those of [`Store::give_credit`] do, and are cut to what was charged for that day and not given back yet. It works for
    /// ended sessions as well, since what was used is owed. The cost of a deleted session goes on the account's bill, the thresholds of its
    /// user and its account are noted as ever, and the answer is [`StoreError::Erased`].
    fn settle(&self, settle: &Settle) -> Settled;

    /// Reads the ledger of a session, by key.
    fn ledger(&self, id: &str) -> Vec<LedgerRow>;

    /// Notes that a budget is used up. The alert is there if that was not noted in this period before.
    fn exhausted(
        &self,
        id: &str,
        scope: Scope,
        balance: Balance,
        at_ms: i64,
    ) -> Option<Alert>;

    /// Gives an account back what it was charged by mistake, all or nothing. What is spent of the account's month, and of the user's day if
    /// the credit names one, is lowered, never below nothing. Giving it again changes nothing.
    fn give_credit(&self, credit: &Credit) -> Credited;

    /// Lists credits, the newest first.
    fn list_credits(
        &self,
        filter: &CreditFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<Credit, Cursor>;

    /// Reads the budgets of a user and an account, of the day and the month of this time, in milliseconds since 1970.
    fn budgets_of(&self, user_sub: &str, account: &str, at_ms: i64) -> BudgetsOf;

    /// Lists budgets of which calls have set money aside in the day or the month that is, by scope and name.
    fn list_budgets(
        &self,
        filter: &BudgetFilter,
        after: Option<&BudgetCursor>,
        limit: u32,
    ) -> Page<BudgetRow, BudgetCursor>;

    /// Sets what a user or an account may spend, in the place of configuration and plan, from now on and in every later period. Whatever any
    /// relay sets aside afterwards is set aside by it; what is set aside or spent stays.
    fn set_cap(&self, new: &NewCap) -> ();

    /// Takes back what was set, for the administrator `by`. Says whether anything was.
    fn take_back_cap(&self, scope: Scope, subject: &str, by: &str) -> bool;

    /// Takes alerts that are due, and counts one more attempt for each. Nobody else gets them until `claim` is over.
    fn claim_alerts(&self, claim: Duration, limit: u32) -> Vec<Notice>;

    /// Notes what became of an attempt to deliver an alert, and what was answered. If the alert was claimed again since, only a delivery is noted, and if
    /// it was repeated since, nothing is.
    fn finish_alert(&self, claimed: Claimed<'_>, attempted: Attempted, answer: &str) -> ();

    /// Drops the alerts that have been due for so long from the outbox, because no relay has taken them to send them to a webhook.
    fn dismiss_alerts(&self, due_for: Duration) -> ();

    /// Notes that something is wrong with the service, or that this relay does not find it to be so, for the webhook of alerts. Whichever relays
    /// note it, a beginning is written when it was not so before or when it was last told `again` ago, and an end when it was so and no relay has
    /// noted that for `calm`. What waits and says nothing more beside it is given up. Says whether it was written.
    fn note_incident(&self, incident: &NewIncident, pace: IncidentPace) -> bool;

    /// Takes incidents that are due, and counts one more attempt for each. Nobody else gets them until `claim` is over. Of each kind and subject
    /// the next one is taken when the one before was delivered or given up. One that an administrator has repeated is waited for only until it is tried
    /// a second time.
    fn claim_incidents(&self, claim: Duration, limit: u32) -> Vec<Incident>;

    /// Notes what became of an attempt to deliver an incident, and what was answered. If the incident was claimed again since, only a delivery is
    /// noted, and if it was repeated since, nothing is.
    fn finish_incident(&self, claimed: Claimed<'_>, attempted: Attempted, answer: &str) -> ();

    /// Drops the incidents that have been due for so long from the outbox, because no relay has taken them to send them to a webhook, and ends
    /// of whose beginning nobody has heard for that reason. What waits for an older one of its kind and subject stays.
    fn dismiss_incidents(&self, due_for: Duration) -> ();

    /// Names the addresses of webhooks that this relay has, and what each is told. Of what happens from then on there is a delivery for each
    /// of them, whichever relay it happens at, until no relay has named it for two hours.
    fn keep_webhooks(&self, webhooks: &[Subscription]) -> ();

    /// Takes deliveries to an address that are due, the oldest first, and counts one more attempt for each. Nobody else gets them until
    /// `claim` is over.
    fn claim_deliveries(&self, webhook: &str, claim: Duration, limit: u32) -> Vec<Delivery>;

    /// Notes what became of an attempt to deliver an event, and what was answered. If the delivery was claimed again since, only a success
    /// is noted, and if it was repeated since, nothing is.
    fn finish_delivery(&self, claimed: Claimed<'_>, attempted: Attempted, answer: &str) -> ();

    /// Notes that a part of a session's recording is in its place, for the webhooks that want to hear of it. Noting it again changes nothing.
    fn recording_ready(&self, id: &str, part: &str) -> ();

    /// Lists what webhooks are told or were told, the newest first: deliveries, and alerts and incidents among them.
    fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<Delivery, Cursor>;

    /// Has a delivery, an alert or an incident sent once more, whether or not the receiver has it, for the administrator `by`: it is put into the
    /// audit.
    fn replay_delivery(&self, id: &str, by: &str) -> Replayed;

    /// Deletes rows that are too old, at most `limit` of them. Says how many there were.
    fn expire(&self, what: Expiring<'_>, limit: u32) -> u64;

    /// Adds the key of another recording to a live session.
    fn add_recording(&self, id: &str, epoch: u32, key: &str) -> ();

    /// Ended sessions with a recording that began before this time, ordered by id: each id with its [`SessionRow::recording`].
    fn expired_recordings(
        &self,
        before_ms: i64,
        after: &str,
        limit: u32,
    ) -> Vec<(String, String)>;

    /// Notes that a session's recording is deleted, if the session still has this recording.
    fn forget_recording(&self, id: &str, recording: &str) -> ();

    /// Recordings that have to be deleted because their sessions were, in the order of their keys.
    fn erased_recordings(&self, after: &str, limit: u32) -> Vec<String>;

    /// Notes that the recording of a deleted session is deleted.
    fn forget_erased(&self, recording: &str) -> ();

    /// Removes every byte of deleted rows from the database's files. `false` means that somebody was reading, and it has to be tried again.
    fn scrub(&self) -> bool;

    /// Lists sessions, the newest first.
    fn list_sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<SessionRow, Cursor>;

    /// Lists the live sessions of all relays, the newest first.
    fn live_sessions(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<LiveRow, Cursor>;

    /// Reads the newest turns of a conversation that a user has in an account, at most `limit` of them and 500, in order. Of whoever else has
    /// sessions of that conversation there are none among them.
    fn newest_turns(&self, conversation: &str, user_sub: &str, account: &str, limit: u32) -> Vec<SaidRow>;

    /// Reads the turns of a session or of a conversation, in order.
    fn transcript(
        &self,
        of: Transcript<'_>,
        after: Option<&TurnCursor>,
        limit: u32,
    ) -> Page<SaidRow, TurnCursor>;

    /// Adds up what was used, by day, account, user, item and unit, in that order. Credits stand in it with their own item.
    fn usage(
        &self,
        filter: &UsageFilter,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Page<UsageRow, UsageCursor>;

    /// Adds up what was used, by period, by what the filter says, and by item and unit, in that order. Credits stand in it with their own item.
    /// What deleted sessions have used stands in it without a name, so that the sum of all rows is what is to be paid, whatever they are added up
    /// for.
    fn sum_usage(
        &self,
        filter: &SumFilter,
        after: Option<&SumCursor>,
        limit: u32,
    ) -> Page<SumRow, SumCursor>;

    /// Lists rows of the ledger, the oldest first.
    fn list_ledger(
        &self,
        filter: &LedgerFilter,
        after: Option<&BilledCursor>,
        limit: u32,
    ) -> Page<LedgerEntry, BilledCursor>;

    /// Adds up what ended sessions come to, by time.
    fn overview(&self, filter: &OverviewFilter) -> Overview;

    /// Whether all ended sessions are in what [`Store::overview`] and [`Store::spend`] read.
    fn is_rolled_up(&self) -> bool;

    /// Adds up what ended sessions have cost.
    fn spend(&self, filter: &SpendFilter) -> Spend;

    /// Adds ended sessions to what [`Store::overview`] and [`Store::spend`] read, at most `limit` of those that are not in there: a relay of a
    /// version before there was any of that has ended them, or [`Store::roll_up_anew`] was called. Then what was there is deleted first, in as
    /// many steps as it takes. Anybody may go on where another has stopped.
    fn roll_up(&self, limit: u32) -> RolledUp;

    /// Has [`Store::roll_up`] empty what [`Store::overview`] and [`Store::spend`] read, and make it anew. What was said and has been deleted
    /// since, because it was too old, is not in there any more then.
    fn roll_up_anew(&self) -> ();

    /// Lists alerts, the newest first.
    fn list_alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<AlertRow, Cursor>;

    /// Notes what a user thinks of their session, live or ended, in place of what they said before. Says whether they have such a session.
    fn give_feedback(&self, id: &str, user_sub: &str, feedback: &Feedback) -> bool;

    /// Erases a session, live or not, with everything that was said and recorded in it. Its usage stays, without the user's name. A relay
    /// that still has the session can write nothing more of it. Says whether there was such a session. `by` is the administrator who does
    /// it, if it is not the user: then it is put into the audit.
    fn delete_session(&self, id: &str, by: Option<&str>) -> bool;

    /// Erases every session of a user, as [`Store::delete_session`] does, and takes their name out of whatever stays. Says how many there were. If
    /// it fails half-way, each session is erased or untouched, and asking again erases the rest. Webhooks hear of it with the last of them, once for
    /// each `act`, which is the same if the same request is made again. `by` is the administrator who does it, if it is not the user: then it is
    /// put into the audit, and the API keys that the user has made are revoked. What administrators have set for a user who erases themselves stays,
    /// and what such a user did as an administrator, with their name and the words about it also where they did it for themselves.
    fn delete_user(&self, sub: &str, by: Option<&str>, act: &str) -> u64;

    /// Asks the relays that have these live sessions to end them. `reason` is the name of a close code. Says how many sessions have a relay
    /// that can hear it: those whose lease is over do not count. `by` is the administrator whose order it is: then it is put into the
    /// audit, the order to end one live session also if no relay can hear it.
    fn request_end(&self, whom: Whom<'_>, reason: &str, by: Option<&str>) -> u64;

    /// The live sessions of a relay that it is asked to end or to hand off, and those for which commands wait.
    fn ends_requested(&self, relay: &str) -> Vec<EndRequest>;

    /// Has the agent of a live session told something, by the relay that has the session. It is put into the audit.
    fn give_command(&self, id: &str, command: &NewCommand) -> Given;

    /// Takes all commands that wait for a session, oldest first, for the relay that has it in this epoch. Nobody gets them again: whoever has
    /// taken one tells the agent, or nobody does.
    fn claim_commands(&self, id: &str, relay: &str, epoch: u32) -> Vec<Command>;

    /// Notes what has become of a command that was taken.
    fn finish_command(&self, id: &str, told: Result<(), NotTold>) -> ();

    /// What has become of a command of a session, if there is one.
    fn command(&self, session: &str, id: &str) -> Option<CommandOutcome>;

    /// Begins a request that has a key, and says whether it is to be made: it is not while another one of the same key is under way, or once
    /// that is answered. Of many at once, at whichever relays, one is made. A key is kept for [`KEYED_FOR`](super::KEYED_FOR).
    fn begin_keyed(&self, request: &KeyedRequest) -> Keyed;

    /// Says that a relay is still at work on a request, which counts as lost after [`KEYED_LEASE`](super::KEYED_LEASE) otherwise. Nothing changes
    /// if somebody else is at work on it by now.
    fn hold_keyed(&self, work: &KeyedWork) -> ();

    /// Notes what has come of a request that was made, unless somebody else is at work on it by now.
    fn end_keyed(&self, work: &KeyedWork, end: &KeyedEnd) -> ();

    /// Ends a live session whichever relay has it. That relay can write nothing more of it. Says whether the session was live.
    fn end_elsewhere(&self, id: &str, reason: &str) -> bool;

    /// Puts a user or a login on the deny-list, in place of an earlier entry of the same subject. If a person denies a user, the API keys that
    /// the user has made are revoked.
    fn deny(&self, denial: &Denial) -> ();

    /// Takes a user or a login off the deny-list, for the administrator `by`. Says whether it was on it.
    fn allow(&self, kind: DenialKind, subject: &str, by: &str) -> bool;

    /// Reads the deny-list without expired entries, ordered by kind and subject.
    fn denials(
        &self,
        after: Option<&DenialCursor>,
        limit: u32,
    ) -> Page<Denial, DenialCursor>;

    /// Makes an API key. It is put into the audit.
    fn make_api_key(&self, new: &NewApiKey) -> MadeKey;

    /// The API key with this hash, if it is neither revoked nor expired. That it is used is noted once an hour, a little later.
    fn api_key(&self, hash: &str) -> Option<ApiKey>;

    /// Whether the API key with this id is neither revoked nor expired.
    fn is_api_key_good(&self, id: &str) -> bool;

    /// Whether one of the API keys that this user has made is neither revoked nor expired.
    fn has_good_api_keys(&self, maker: &str) -> bool;

    /// Lists API keys, whether they are good or not, the newest first.
    fn api_keys(
        &self,
        filter: &ApiKeyFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<ApiKey, Cursor>;

    /// Revokes an API key, for the administrator `by`: it is put into the audit. Says whether there was one that was not revoked.
    fn revoke_api_key(&self, id: &str, by: &str) -> bool;

    /// Lists what administrators did, the newest first. What [`Store::give_credit`], [`Store::set_cap`], [`Store::take_back_cap`],
    /// [`Store::deny`], [`Store::allow`], [`Store::request_end`], [`Store::give_command`], [`Store::delete_session`], [`Store::delete_user`],
    /// [`Store::replay_delivery`], [`Store::make_api_key`] and [`Store::revoke_api_key`] do is written there in the transaction that does it.
    fn list_audit(
        &self,
        filter: &DeedFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Page<Deed, Cursor>;

    /// Puts into the audit that `by` reads what was said in a session. Says whether there is such a session.
    fn note_reading(&self, id: &str, what: DeedKind, by: &str) -> bool;

    /// A number that rises with each change to the deny-list, so that relays notice a change cheaply.
    fn denials_revision(&self) -> i64;
}
