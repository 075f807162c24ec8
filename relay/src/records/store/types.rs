//! What is stored, as the rest of the relay knows it.

use std::time::Duration;

use protocol::Mark;

use crate::call::Turn;
use crate::money::NanoUsd;
use crate::money::budget::{Caps, Grant, Range, Scope, Shortage, Standing};
use crate::money::ledger::{ItemSum, LedgerRow};

/// A session that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// UUID v7.
    pub id: String,
    /// The conversation it goes on with; its own id begins one.
    pub conversation_id: String,
    /// Whose it is.
    pub user_sub: String,
    /// Who pays.
    pub account: String,
    /// The plan of its limits.
    pub plan: Option<String>,
    /// The session at the identity provider.
    pub login: Option<String>,
    /// Name and version of the client.
    pub client: String,
    /// The agent it talks to.
    pub agent: String,
    /// Milliseconds since 1970.
    pub started_at_ms: i64,
    /// Which memory of the relay this is.
    pub epoch: u32,
    /// Where the uplink begins.
    pub committed: Mark,
    /// SHA-256 of the resume token.
    pub resume_hash: [u8; 32],
    /// The key of its recording.
    pub recording: Option<String>,
}

/// What a session that begins has to find room in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Live sessions of the user.
    pub sessions_per_user: u32,
    /// Live sessions of the account.
    pub sessions_per_account: u32,
    /// Budgets.
    pub caps: Caps,
    /// What is reserved at once.
    pub reserve: Range,
    /// The relay that has it.
    pub relay: String,
    /// How long nobody else may take that relay for lost, if it has no lease yet.
    pub lease: Duration,
}

/// What became of a session that wanted to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is stored.
    Yes {
        /// It may spend this.
        grant: Grant,
        /// A session of the user's without a connection, which was ended to make room.
        replaced: Option<String>,
    },
    /// The user has as many as may be.
    UserFull {
        /// How many there are.
        live: u32,
    },
    /// The account has as many as may be.
    AccountFull {
        /// How many there are.
        live: u32,
    },
    /// There is no money for it.
    NoMoney(Shortage),
    /// The conversation is somebody else's, or there is none of that id.
    NoConversation,
}

/// A session's wish to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve<'a> {
    /// The session.
    pub session_id: &'a str,
    /// The memory that asks.
    pub epoch: u32,
    /// What the session may then spend in all, since its beginning. Asked again, it changes nothing.
    pub through: Range,
    /// What it has spent already, settled or not. While it waits for what others have set aside it keeps no more than this, so that
    /// those who wait do not wait for each other.
    pub spent: NanoUsd,
    /// How much of it counts as spent if the relay is lost before it says.
    pub exposed: NanoUsd,
    /// The budgets.
    pub caps: Caps,
    /// Says which day and month it is: milliseconds since 1970.
    pub at_ms: i64,
}

/// What was really spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The session.
    pub session_id: String,
    /// Who pays, should the session be deleted by then.
    pub payer: Option<Payer>,
    /// The memory that spent it. When another has taken over, the audio is played again there: then nothing of this is written.
    pub epoch: u32,
    /// The rows. One that is there already changes nothing.
    pub rows: Vec<LedgerRow>,
    /// With them, the audio before this position is metered.
    pub metered_position: u32,
    /// With them, everything before this frame is committed.
    pub committed: Mark,
    /// Samples that are metered and not committed, and that were not played again yet.
    pub replayable_samples: u32,
    /// What still counts as spent if the relay is lost.
    pub exposed: NanoUsd,
    /// Give back what is set aside and not spent.
    pub release: bool,
    /// The budgets: their thresholds are told.
    pub caps: Caps,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

/// Who pays for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The user, whose day's budget it comes out of.
    pub user_sub: String,
    /// The account, whose bill it is on.
    pub account: String,
}

/// What became of a [`Settle`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Sum of the session's rows.
    pub cost: NanoUsd,
    /// The budgets after it.
    pub standing: Standing,
    /// Thresholds that were reached by it, for the first time in their period.
    pub alerts: Vec<Alert>,
}

/// A budget reached one of its thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// UUID v7.
    pub id: String,
    /// Whose budget.
    pub scope: Scope,
    /// The day or month; empty for a session.
    pub period: String,
    /// 50, 80 or 100.
    pub percent: u32,
    /// The session that reached it.
    pub session_id: String,
    /// Its user.
    pub user_sub: String,
    /// Its account.
    pub account: String,
    /// The budget.
    pub limit: NanoUsd,
    /// What was spent of it by then.
    pub spent: NanoUsd,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// How often the webhook was tried.
    pub attempts: u32,
}

/// What became of a try to deliver an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The receiver has it.
    Delivered,
    /// It is tried again after this time.
    Again(Duration),
    /// It is not tried again.
    GivenUp,
}

/// What is kept for a while only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiring<'a> {
    /// Turns that were written before this time, in milliseconds since 1970.
    Turns {
        /// The time.
        before_ms: i64,
    },
    /// Alerts from before this time that do not wait for the webhook any more.
    Alerts {
        /// The time.
        before_ms: i64,
    },
    /// What is known of sessions that were erased before this time.
    Erased {
        /// The time.
        before_ms: i64,
    },
    /// Leases of relays that have had no session since this time.
    Relays {
        /// The time.
        before_ms: i64,
    },
    /// Budgets of periods before these.
    Budgets {
        /// As `2026-11-22`.
        day: &'a str,
        /// As `2026-11`.
        month: &'a str,
    },
}

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// UUID v7.
    pub id: String,
    /// What it belongs to, with what was said before and after.
    pub conversation_id: String,
    /// Whose it is.
    pub user_sub: String,
    /// Who pays.
    pub account: String,
    /// The plan of its limits.
    pub plan: Option<String>,
    /// The session at the identity provider.
    pub login: Option<String>,
    /// Name and version of the client.
    pub client: String,
    /// The agent it talks to.
    pub agent: String,
    /// Whether it goes on.
    pub state: SessionState,
    /// Milliseconds since 1970.
    pub started_at_ms: i64,
    /// Milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// Name of a close code.
    pub end_reason: Option<String>,
    /// The relay that has it.
    pub relay: String,
    /// Whether it had a connection when that was last noted: of a relay that stopped as it should, never.
    pub attached: bool,
    /// Which memory of the relay the client knows.
    pub epoch: u32,
    /// The first uplink frame that is not in the transcript.
    pub committed: Mark,
    /// SHA-256 of the resume token.
    pub resume_hash: [u8; 32],
    /// SHA-256 of the one before, while it is still good.
    pub resume_hash_previous: Option<[u8; 32]>,
    /// How often the client came back.
    pub reconnects: u32,
    /// Its frames and texts that were refused.
    pub strikes: u32,
    /// How well it went.
    pub quality: Quality,
    /// The keys of its recordings, one for each relay that had it, with a space between them.
    pub recording: Option<String>,
    /// Audio in ledger rows, in samples.
    pub audio_samples: u64,
    /// Tokens in ledger rows.
    pub tokens: u64,
    /// Characters in ledger rows.
    pub characters: u64,
    /// Cost in ledger rows.
    pub cost: NanoUsd,
    /// Up to here it may spend in all.
    pub authorised: NanoUsd,
    /// Audio before this position is in ledger rows.
    pub metered_position: u32,
    /// Samples in ledger rows that are not committed, and that nobody has played again yet: whoever takes the session over gets so many
    /// again without metering them.
    pub replayable_samples: u32,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It goes on, maybe without a connection.
    Live,
    /// It is over.
    Ended,
}

/// How well a session went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Average round trip of its heartbeats, in microseconds; 0 if there was none.
    pub rtt_avg_us: u32,
    /// The longest.
    pub rtt_max_us: u32,
    /// Audio of the user that never came, in samples.
    pub lost_samples: u64,
}

/// A turn as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRow {
    /// The turn.
    pub turn: Turn,
    /// When it was first written, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// A relay that goes on with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The epoch that was read: if it is another by now, somebody else was faster.
    pub epoch: u32,
    /// Hash of the next resume token.
    pub resume_hash: [u8; 32],
    /// Hash of the one that was used, good for a while longer.
    pub previous: [u8; 32],
    /// The relay that has it from now on.
    pub relay: String,
    /// How long nobody else may take that relay for lost, if it has no lease yet.
    pub lease: Duration,
}

/// A session that another relay goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The session, with its new epoch.
    pub session: SessionRow,
    /// What its ledger rows add up to, by item and unit, in that order. With what was charged for a relay that was lost.
    pub by_item: Vec<ItemSum>,
    /// The number of its next turn.
    pub next_turn: u32,
    /// When something was last metered, in milliseconds since 1970; `None` if nothing was.
    pub metered_at_ms: Option<i64>,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sessions whose reserved money was given back.
    pub released: u32,
    /// Sessions that were ended.
    pub ended: u32,
}
