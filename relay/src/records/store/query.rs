//! Filters, rows and cursors of lists. Every list comes in pages, and a page is never longer than [`PAGE_MAX`], one of sums than
//! [`SUMS_MAX`].

use serde::{Deserialize, Serialize};

use super::types::{Notice, SessionRow, SessionState, TurnRow};
use crate::money::ledger::LedgerRow;

/// How many rows the longest page has.
pub const PAGE_MAX: u32 = 1_000;
/// How many rows the longest page of sums has. All of them are added up anew for each page, so that longer pages are less work.
pub const SUMS_MAX: u32 = 5_000;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows of the page.
    pub rows: Vec<T>,
    /// Where the next page begins, unless this is the last one.
    pub next: Option<C>,
    /// How many rows are left out, because what is stored of them cannot be read.
    pub damaged: u32,
}

/// Which sessions to list: those for which everything holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Sessions of this user.
    pub user_sub: Option<String>,
    /// Sessions of this account.
    pub account: Option<String>,
    /// Sessions of this conversation.
    pub conversation_id: Option<String>,
    /// Live or ended sessions.
    pub state: Option<SessionState>,
    /// Sessions that began at this time or later, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Sessions that began before this time, in milliseconds since 1970.
    pub to_ms: Option<i64>,
}

/// Where a page ends in a list by time: at its last row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The time of the row, in milliseconds since 1970.
    pub at_ms: i64,
    /// The id of the row.
    pub id: String,
}

/// A live session, with what is known of its relay and its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRow {
    /// The session.
    pub session: SessionRow,
    /// Until when the session is its relay's own, in milliseconds since 1970.
    pub lease_until_ms: i64,
    /// Since when the session has had no connection, in milliseconds since 1970. `None` while it has one.
    pub detached_at_ms: Option<i64>,
}

/// Whose turns to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transcript<'a> {
    /// The turns of the session with this id.
    Session(&'a str),
    /// The turns of a conversation, in all its sessions of one user.
    Conversation {
        /// The conversation.
        id: &'a str,
        /// The user.
        user_sub: &'a str,
    },
}

/// A turn, with the session it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidRow {
    /// The session.
    pub session_id: String,
    /// When the session began, in milliseconds since 1970.
    pub session_started_at_ms: i64,
    /// The turn.
    pub row: TurnRow,
}

/// Where a page of turns ends: at its last turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnCursor {
    /// When the turn's session began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// The turn's session.
    pub session_id: String,
    /// The number of the turn in its session.
    pub turn: u32,
}

/// Which usage to add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageFilter {
    /// Usage of this user. The usage of deleted sessions belongs to no user, and is left out then.
    pub user_sub: Option<String>,
    /// Usage of this account.
    pub account: Option<String>,
    /// Usage from this time on, a midnight (UTC) in milliseconds since 1970.
    pub from_ms: i64,
    /// Usage before this time, a midnight (UTC) in milliseconds since 1970.
    pub to_ms: i64,
    /// Whether usage is added up for users or for accounts.
    pub by: UsageBy,
}

/// Whom usage is added up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// Each user of each account.
    User,
    /// Each account, with the usage of deleted sessions.
    Account,
}

/// The usage of one item in one day (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The day, as `2026-12-31`.
    pub day: String,
    /// The account that paid.
    pub account: String,
    /// The user, unless usage is added up for accounts.
    pub user_sub: Option<String>,
    /// The item, as `provider/model`.
    pub item: String,
    /// The unit in which the item is counted.
    pub unit: String,
    /// How many units were used.
    pub quantity: u64,
    /// What they cost, in nano-dollars. Credits cost less than nothing: the sum of all rows is what is to be paid.
    pub cost_nano_usd: i64,
}

/// Where a page of usage ends: at its last row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageCursor {
    /// The day of the row.
    pub day: String,
    /// The account of the row.
    pub account: String,
    /// The user of the row. Empty where usage is added up for accounts.
    pub user_sub: String,
    /// The item of the row.
    pub item: String,
    /// The unit of the row.
    pub unit: String,
}

/// A row of the ledger, with when and for which session it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// The day (UTC), as `2026-12-31`.
    pub day: String,
    /// When it was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// The session.
    pub session_id: String,
    /// The row.
    pub row: LedgerRow,
}

/// Where a page of the ledger ends: at its last row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledCursor {
    /// When the row was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// The row's session.
    pub session_id: String,
    /// The row's key.
    pub key: String,
}

/// The calls of an account in a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsOfAccount {
    /// The account.
    pub account: String,
    /// How many calls there were, without those that are erased.
    pub calls: u64,
    /// How long all of them took, in milliseconds.
    pub milliseconds: u64,
}

/// Which alerts to list: those for which everything holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Alerts about budgets that a session of this user raised.
    pub user_sub: Option<String>,
    /// Alerts that a session of this account raised.
    pub account: Option<String>,
}

/// An alert, with whether it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// The alert.
    pub alert: Notice,
    /// When the webhook took it, in milliseconds since 1970, if it did since the alert was last repeated.
    pub delivered_at_ms: Option<i64>,
}

/// What kind of subject an entry of the deny-list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialKind {
    /// A user, by the `sub` of their tokens.
    Sub,
    /// A login at the identity provider, by the `session_id` of its tokens.
    Login,
}

/// An entry of the deny-list: a user or a login that may not call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whether the subject is a user or a login.
    pub kind: DenialKind,
    /// The user or the login.
    pub subject: String,
    /// Why it is denied, for administrators.
    pub reason: String,
    /// The administrator who denied it. Empty once that user is erased.
    pub created_by: String,
    /// Whether that is an API key, and no person: then it keeps no administrator out of the HTTP API.
    pub by_key: bool,
    /// When it was denied, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Until when it is denied, in milliseconds since 1970. `None` is for ever.
    pub expires_at_ms: Option<i64>,
}

/// Where a page of the deny-list ends: at its last entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialCursor {
    /// The kind of the entry.
    pub kind: DenialKind,
    /// The subject of the entry.
    pub subject: String,
}

/// Which live sessions are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The session with this id.
    Session(&'a str),
    /// All sessions of this user.
    User(&'a str),
}

/// What stands in place of a close code's name in an [`EndRequest`] if the session is not to end, but to be handed off to another relay. Relays of
/// other versions read the same word, so it stays as it is.
pub const HAND_OFF: &str = "hand_over";

/// What stands there if the session is to go on, and commands wait for it.
pub const HAS_COMMANDS: &str = "commands";

/// A session that its relay is asked to end, to hand off, or to look for commands of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndRequest {
    /// The session's id.
    pub id: String,
    /// The name of a close code, [`HAND_OFF`] or [`HAS_COMMANDS`].
    pub reason: String,
}

impl DenialKind {
    /// The word in tables and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DenialKind::Sub => "sub",
            DenialKind::Login => "login",
        }
    }
}

impl SessionState {
    /// The word in tables and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SessionState::Live => "live",
            SessionState::Ended => "ended",
        }
    }
}
