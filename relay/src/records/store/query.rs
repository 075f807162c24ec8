//! What lists are asked for by, and what they are made of. Every list comes in pages, and a page is never longer than
//! [`PAGE_MAX`].

use serde::{Deserialize, Serialize};

use super::types::{Alert, SessionRow, SessionState, TurnRow};
use crate::money::NanoUsd;

/// Rows of the longest page.
pub const PAGE_MAX: u32 = 1_000;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// Its rows.
    pub rows: Vec<T>,
    /// Where the next page begins; there is none after the last one.
    pub next: Option<C>,
}

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this user.
    pub user_sub: Option<String>,
    /// Of this account.
    pub account: Option<String>,
    /// Of this conversation.
    pub conversation_id: Option<String>,
    /// Going on, or over.
    pub state: Option<SessionState>,
    /// Begun then or later, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Begun before, in milliseconds since 1970.
    pub to_ms: Option<i64>,
}

/// The last row of a page in a list by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Its time, in milliseconds since 1970.
    pub at_ms: i64,
    /// Its id.
    pub id: String,
}

/// A session that goes on, with what is known of its relay and its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRow {
    /// The session.
    pub session: SessionRow,
    /// Until when nobody else may take it for lost, in milliseconds since 1970.
    pub lease_until_ms: i64,
    /// Since when it has no connection, in milliseconds since 1970.
    pub detached_at_ms: Option<i64>,
}

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transcript<'a> {
    /// Those of a session.
    Session(&'a str),
    /// Those of a conversation, in all its sessions of this user.
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

/// The last turn of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnCursor {
    /// When its session began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// Its session.
    pub session_id: String,
    /// Its number there.
    pub turn: u32,
}

/// Which usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageFilter {
    /// Of this user. What was erased belongs to nobody any more, and is left out.
    pub user_sub: Option<String>,
    /// Of this account.
    pub account: Option<String>,
    /// From this time on, a midnight (UTC) in milliseconds since 1970.
    pub from_ms: i64,
    /// Before this time, likewise.
    pub to_ms: i64,
    /// Added up for whom.
    pub by: UsageBy,
}

/// Whom usage is added up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// Each user of each account.
    User,
    /// Each account, with what its erased users used.
    Account,
}

/// What was used of one thing in a day (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The day, `2026-12-31`.
    pub day: String,
    /// Who paid.
    pub account: String,
    /// Who used it; nothing where it is added up for accounts.
    pub user_sub: Option<String>,
    /// What.
    pub item: String,
    /// In what it is counted.
    pub unit: String,
    /// How much.
    pub quantity: u64,
    /// What it cost.
    pub cost: NanoUsd,
}

/// The last row of a page of usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageCursor {
    /// Its day.
    pub day: String,
    /// Its account.
    pub account: String,
    /// Its user; empty where it is added up for accounts.
    pub user_sub: String,
    /// Its item.
    pub item: String,
    /// Its unit.
    pub unit: String,
}

/// Which alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Raised by a session of this user.
    pub user_sub: Option<String>,
    /// Raised by a session of this account.
    pub account: Option<String>,
}

/// An alert, with what became of its webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// The alert.
    pub alert: Alert,
    /// When the webhook took it, in milliseconds since 1970.
    pub delivered_at_ms: Option<i64>,
}

/// Who may not call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialKind {
    /// A user, by the `sub` of their tokens.
    Sub,
    /// A login, by the `session_id` of its tokens.
    Login,
}

/// Somebody who may not call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What the subject is.
    pub kind: DenialKind,
    /// The user or the login.
    pub subject: String,
    /// Why, for administrators.
    pub reason: String,
    /// Who decided it; nothing once that user is erased.
    pub created_by: String,
    /// When, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Until when, in milliseconds since 1970; for ever without it.
    pub expires_at_ms: Option<i64>,
}

/// The last row of a page of denials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialCursor {
    /// Its kind.
    pub kind: DenialKind,
    /// Its subject.
    pub subject: String,
}

/// Live sessions that are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// This one.
    Session(&'a str),
    /// Those of this user.
    User(&'a str),
}

/// Instead of the name of a close code: another relay wants to go on with the session, which does not end.
pub const HAND_OVER: &str = "hand_over";

/// A session that somebody wants to end, or to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndRequest {
    /// The session.
    pub id: String,
    /// The name of a close code, or [`HAND_OVER`].
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
