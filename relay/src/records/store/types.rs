//! What is stored, in the types that the rest of the relay uses.

use std::net::IpAddr;
use std::time::Duration;

use protocol::{Mark, Role};

use crate::admission::throttle::Excess;
use crate::call::Turn;
use crate::money::NanoUsd;
use crate::money::budget::{Caps, Grant, Range, Scope, Shortage, Standing};
use crate::money::ledger::{ItemSum, LateCredit, LedgerRow};

/// A session that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The session's id, a UUID v7.
    pub id: String,
    /// The conversation that the session belongs to. The session's own id begins a new one.
    pub conversation_id: String,
    /// The user whose session it is.
    pub user_sub: String,
    /// The account that pays.
    pub account: String,
    /// The plan that the session's limits come from.
    pub plan: Option<String>,
    /// The login at the identity provider that the session begins with.
    pub login: Option<String>,
    /// The name and version of the client.
    pub client: String,
    /// The agent that the user talks to.
    pub agent: String,
    /// When the session began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// The session's epoch, which rises with each relay that takes the session over.
    pub epoch: u32,
    /// The mark of the first frame of the user.
    pub committed: Mark,
    /// The SHA-256 of the resume token.
    pub resume_hash: [u8; 32],
    /// The key of the recording, if the call is recorded.
    pub recording: Option<String>,
    /// The session that the client could not resume, if the new one goes on with its audio.
    pub instead_of: Option<InsteadOf>,
}

/// A session that a client could not resume, and the token that shows that it was the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsteadOf {
    /// The session's id.
    pub session_id: String,
    /// The SHA-256 of its resume token.
    pub resume_hash: [u8; 32],
}

/// What a session takes over from the one that it is instead of, whose client sends once more what it does not know to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Before this everything is committed: it is heard no second time.
    pub committed: Mark,
    /// How many samples behind that were paid for: they are not metered a second time.
    pub paid: u32,
    /// The position up to which audio was metered.
    pub metered_through: u32,
}

impl Inherited {
    /// Nothing, for a session whose client begins here.
    #[must_use]
    pub fn nothing(start: Mark) -> Inherited {
        Inherited { committed: start, paid: 0, metered_through: start.position }
    }

    /// The part of it that concerns a session whose client begins here.
    #[must_use]
    pub fn from(self, start: Mark) -> Inherited {
        let Mark { seq, position } = self.committed;
        let committed = if seq >= start.seq && position >= start.position { self.committed } else { start };
        let metered_through = self.metered_through.max(committed.position);
        Inherited { committed, paid: self.paid.min(metered_through - committed.position), metered_through }
    }
}

/// What a new session is counted against, and the relay that is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many live sessions the user may have.
    pub sessions_per_user: u32,
    /// How many live sessions the account may have.
    pub sessions_per_account: u32,
    /// How many sessions the user may begin in a minute, over all relays.
    pub sessions_per_minute: u32,
    /// Where the session begins from.
    pub address: IpAddr,
    /// How many sessions may begin from there in a minute, over all relays.
    pub sessions_per_minute_per_address: u32,
    /// What the session, its user and its account may spend.
    pub caps: Caps,
    /// How much money is set aside at once.
    pub reserve: Range,
    /// The relay that is to have the session.
    pub relay: String,
    /// How long that relay's lease is, if it has none yet.
    pub lease: Duration,
}

/// What became of a session that was to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The session is stored.
    Yes {
        /// The money that is set aside for the session.
        grant: Grant,
        /// A session of the same user without a connection, which was ended to make room.
        replaced: Option<String>,
        /// What it takes over from the session that it is instead of.
        inherited: Inherited,
    },
    /// The user has as many live sessions as are allowed.
    UserFull {
        /// How many live sessions the user has.
        live: u32,
    },
    /// The account has as many live sessions as are allowed.
    AccountFull {
        /// How many live sessions the account has.
        live: u32,
    },
    /// A budget has too little room for the session.
    NoMoney(Shortage),
    /// The user, or else somebody from the address, has begun as many sessions in a minute as are allowed.
    TooOften(Excess),
    /// The conversation belongs to another user or account, or does not exist.
    NoConversation,
}

/// A session's wish to set money aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve<'a> {
    /// The session's id.
    pub session_id: &'a str,
    /// The epoch in which the relay has the session.
    pub epoch: u32,
    /// What the session may then spend in all, since its beginning. Asking for the same again changes nothing.
    pub through: Range,
    /// What the session has spent already, settled or not. While it waits for money that others have set aside, it keeps no more than this,
    /// so that two sessions never wait for each other.
    pub spent: NanoUsd,
    /// How much counts as spent if the relay is lost before it settles.
    pub exposed: NanoUsd,
    /// What the session, its user and its account may spend.
    pub caps: Caps,
    /// The time, in milliseconds since 1970. Its day and month (UTC) say which budgets apply.
    pub at_ms: i64,
}

/// What a session has spent, and how far its audio is metered and committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The session's id.
    pub session_id: String,
    /// Who pays if the session was deleted meanwhile.
    pub payer: Option<Payer>,
    /// The epoch in which the relay had the session. If another relay has taken it over, the audio is played again there, and nothing of this
    /// is written.
    pub epoch: u32,
    /// The number of the settlement in its session, from 1 over all relays. Of one whose number is not above the newest that was written, only
    /// rows and positions count that are not there yet: it is a copy from a relay's disk. 0 if it is not known.
    pub number: u32,
    /// The rows. A row that is there already changes nothing.
    pub rows: Vec<LedgerRow>,
    /// What the user gets back of what the session's rows have charged, these included. A credit that is given already changes nothing.
    pub credits: Vec<LateCredit>,
    /// The position up to which audio is metered, with these rows.
    pub metered_position: u32,
    /// The mark before which everything is committed, with these rows.
    pub committed: Mark,
    /// How many samples are metered and not committed, and may be played again without being metered again.
    pub replayable_samples: u32,
    /// How much still counts as spent if the relay is lost.
    pub exposed: NanoUsd,
    /// Whether what is set aside and not spent is given back.
    pub release: bool,
    /// What the session, its user and its account may spend. Thresholds are shares of these.
    pub caps: Caps,
    /// When this was settled, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Who pays for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The user whose day's budget the cost comes out of.
    pub user_sub: String,
    /// The account whose bill the cost is on.
    pub account: String,
}

/// What became of a [`Settle`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The sum of the session's rows.
    pub cost: NanoUsd,
    /// The budgets after the settlement.
    pub standing: Standing,
    /// The thresholds that are reached by then and were not told before, each once in its period.
    pub alerts: Vec<Alert>,
}

/// The notice for operators that a budget has reached one of its thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The alert's id, a UUID v7.
    pub id: String,
    /// Whose budget it is.
    pub scope: Scope,
    /// The day or month of the budget. Empty for a session's budget.
    pub period: String,
    /// The threshold: 50, 80 or 100.
    pub percent: u32,
    /// The session that reached the threshold. Empty once it is erased.
    pub session_id: String,
    /// The user of that session. Empty once the user is erased, and in an alert about an account's budget once the session is.
    pub user_sub: String,
    /// The account of that session.
    pub account: String,
    /// How much the budget is.
    pub limit: NanoUsd,
    /// What was spent of the budget by then.
    pub spent: NanoUsd,
    /// When the alert was written, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Since when the alert is to be sent, in milliseconds since 1970: since it was written, or since it was last repeated by an administrator.
    pub due_since_ms: i64,
    /// How often the alert was sent to the webhook since then.
    pub attempts: u32,
}

/// The notice for operators that a provider has reported more than was set aside for its request: they pay what is beyond, and nobody is
/// charged for it. Of each item there is one an hour, of the first such request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcessAlert {
    /// The alert's id, a UUID v7.
    pub id: String,
    /// What it reported too much of, as [`LedgerRow::item`] has it.
    pub item: String,
    /// The hour (UTC), such as `2026-11-22T19`.
    pub hour: String,
    /// What is beyond costs this.
    pub excess: NanoUsd,
    /// The session that the request was made for. Empty once it is erased.
    pub session_id: String,
    /// The account of that session.
    pub account: String,
    /// When the alert was written, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Since when the alert is to be sent, in milliseconds since 1970: since it was written, or since it was last repeated by an administrator.
    pub due_since_ms: i64,
    /// How often the alert was sent to the webhook since then.
    pub attempts: u32,
}

/// What the outbox for operators holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A budget has reached a threshold.
    Budget(Alert),
    /// A provider has reported too much.
    Excess(ExcessAlert),
}

impl Notice {
    /// The alert's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Notice::Budget(Alert { id, .. }) | Notice::Excess(ExcessAlert { id, .. }) => id,
        }
    }

    /// When the alert was written, in milliseconds since 1970.
    #[must_use]
    pub fn created_at_ms(&self) -> i64 {
        match self {
            Notice::Budget(Alert { created_at_ms, .. })
            | Notice::Excess(ExcessAlert { created_at_ms, .. }) => *created_at_ms,
        }
    }

    /// Since when the alert is to be sent, in milliseconds since 1970.
    #[must_use]
    pub fn due_since_ms(&self) -> i64 {
        match self {
            Notice::Budget(Alert { due_since_ms, .. }) | Notice::Excess(ExcessAlert { due_since_ms, .. }) => {
                *due_since_ms
            }
        }
    }

    /// How often the alert was sent to the webhook since then.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            Notice::Budget(Alert { attempts, .. }) | Notice::Excess(ExcessAlert { attempts, .. }) => {
                *attempts
            }
        }
    }

    /// The attempt to deliver it that it was claimed for.
    #[must_use]
    pub fn claimed(&self) -> Claimed<'_> {
        Claimed { id: self.id(), attempts: self.attempts(), due_since_ms: self.due_since_ms() }
    }

    /// The alert, if it is about a budget.
    #[must_use]
    pub fn budget(&self) -> Option<&Alert> {
        match self {
            Notice::Budget(alert) => Some(alert),
            Notice::Excess(_) => None,
        }
    }
}

/// One attempt to deliver a message, as whoever has claimed the message knows it: no two attempts have the same id, number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed<'a> {
    /// The message's id.
    pub id: &'a str,
    /// The number of the attempt, counted from 1.
    pub attempts: u32,
    /// Since when it is to be sent, in milliseconds since 1970: since it was written, or since it was last repeated by an administrator.
    pub due_since_ms: i64,
}

/// What became of an attempt to deliver an alert or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The receiver has it.
    Delivered,
    /// It is to be sent again after this time.
    Again(Duration),
    /// It is not to be sent again.
    GivenUp,
}

/// Rows that are kept for a while only, and from when on they are too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiring<'a> {
    /// Turns that were written before a time.
    Turns {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Comments on sessions that began before a time. Their ratings stay.
    Comments {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Alerts that were written before a time and do not wait for the webhook any more.
    Alerts {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Events that happened before a time, and whom they were told to.
    Deliveries {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// What was wrong with the service before a time, and whether the webhook has heard of it.
    Incidents {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Commands that were given before a time, and what has become of them.
    Commands {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Requests with a key that came before a time, and what they were answered.
    Keyed {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// What is known of sessions that were deleted before a time.
    Erased {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Leases that ended before a time, of relays without a live session.
    Relays {
        /// The time, in milliseconds since 1970.
        before_ms: i64,
    },
    /// Budgets of users before a day, and of accounts before a month.
    Budgets {
        /// The day, as `2026-11-22`.
        day: &'a str,
        /// The month, as `2026-11`.
        month: &'a str,
    },
    /// Rates of those who have their whole minute again, by the database's clock.
    Rates,
}

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The session's id, a UUID v7.
    pub id: String,
    /// The conversation that the session belongs to.
    pub conversation_id: String,
    /// The user whose session it is.
    pub user_sub: String,
    /// The account that pays.
    pub account: String,
    /// The plan that the session's limits come from.
    pub plan: Option<String>,
    /// The login at the identity provider that the session began with.
    pub login: Option<String>,
    /// The name and version of the client.
    pub client: String,
    /// The agent that the user talks to.
    pub agent: String,
    /// Whether the session is live or has ended.
    pub state: SessionState,
    /// When the session began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// When the session ended, in milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// Why the session ended: the name of a close code.
    pub end_reason: Option<String>,
    /// The relay that has the session, or had it last.
    pub relay: String,
    /// Whether the session had a connection when that was last noted. A relay that stops in order notes that it has none.
    pub attached: bool,
    /// The session's epoch, which rises with each relay that takes the session over.
    pub epoch: u32,
    /// The mark of the first frame of the user that is not committed.
    pub committed: Mark,
    /// The SHA-256 of the resume token.
    pub resume_hash: [u8; 32],
    /// The SHA-256 of the resume token before, while that is still good.
    pub resume_hash_previous: Option<[u8; 32]>,
    /// How often the session was resumed.
    pub reconnects: u32,
    /// How many frames and texts of the client were refused.
    pub strikes: u32,
    /// Round trips and lost audio.
    pub quality: Quality,
    /// What the user thinks of the session.
    pub feedback: Feedback,
    /// The keys of the recordings, one for each relay that had the session, with spaces between them.
    pub recording: Option<String>,
    /// How many samples of audio are in ledger rows.
    pub audio_samples: u64,
    /// How many tokens are in ledger rows.
    pub tokens: u64,
    /// How many characters are in ledger rows.
    pub characters: u64,
    /// The sum of the ledger rows.
    pub cost: NanoUsd,
    /// What the session may spend in all, since its beginning.
    pub authorised: NanoUsd,
    /// The position up to which audio is in ledger rows.
    pub metered_position: u32,
    /// How many samples in ledger rows are not committed and were not played again yet. A relay that takes the session over does not meter so
    /// many again.
    pub replayable_samples: u32,
    /// The number of the newest settlement that was written.
    pub settlements: u32,
}

/// Whether a session is live or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The session goes on, maybe without a connection.
    Live,
    /// The session has ended.
    Ended,
}

/// What the user of a session thinks of it, as far as they said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// A rating from 1 (bad) to 5 (good).
    pub rating: Option<u32>,
    /// A comment in words.
    pub comment: Option<String>,
}

/// Round trips and lost audio of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// The average round trip of the heartbeats, in microseconds. 0 without heartbeats.
    pub rtt_avg_us: u32,
    /// The longest round trip of a heartbeat, in microseconds.
    pub rtt_max_us: u32,
    /// How many samples of the user never came.
    pub lost_samples: u64,
}

/// A turn as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRow {
    /// The turn.
    pub turn: Turn,
    /// When the turn was first written, in milliseconds since 1970.
    pub created_at_ms: i64,
}

impl TurnRow {
    /// Turns in the order of their numbers, as an agent has them that goes on behind them. Numbers are in the order in which turns began. What was
    /// written last of all is not answered: if the user has said that, it stands behind whatever was said while they did.
    #[must_use]
    pub fn as_said(mut rows: Vec<TurnRow>) -> Vec<Turn> {
        let newest = rows.iter().enumerate().max_by_key(|(_, row)| row.created_at_ms);
        let users = newest.filter(|(_, row)| row.turn.role == Role::User).map(|(place, _)| place);
        if let Some(place) = users {
            let row = rows.remove(place);
            rows.push(row);
        }
        rows.into_iter().map(|row| row.turn).collect()
    }
}

/// A relay that takes a session over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The session's epoch as this relay has read it. If it is higher by now, another take-over came first.
    pub epoch: u32,
    /// The hash of the next resume token.
    pub resume_hash: [u8; 32],
    /// The hash of the resume token that was used, which stays good for a while.
    pub previous: [u8; 32],
    /// The relay that has the session from now on.
    pub relay: String,
    /// How long that relay's lease is, if it has none yet.
    pub lease: Duration,
}

/// A session that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The session, with its new epoch.
    pub session: SessionRow,
    /// The sums of the session's ledger rows, by item and unit, in that order. What was charged for a lost relay is among them.
    pub by_item: Vec<ItemSum>,
    /// The number of the next turn.
    pub next_turn: u32,
    /// When something was last metered, in milliseconds since 1970. `None` if nothing was.
    pub metered_at_ms: Option<i64>,
    /// The newest answers with sound of which nobody has said how far they were heard, oldest first, as far as their words are stored; each with
    /// the epoch of the relay that stored it last.
    pub unheard: Vec<(u32, Turn)>,
}

/// What a sweep has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many sessions had their reserved money given back.
    pub released: u32,
    /// How many sessions were ended.
    pub ended: u32,
}
