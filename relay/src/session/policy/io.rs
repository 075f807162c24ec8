//! What goes into a session's policy, and what comes out.

use std::time::Duration;

use protocol::{CloseCode, Hello, Mark, Time};

use crate::admission::auth::Identity;
use crate::money::NanoUsd;
use crate::money::budget::{Range, Reserved, Standing};
use crate::session::journal::{Failure, NextToken};

/// A connection that wants to go on with the session.
#[derive(Clone, Debug, PartialEq)]
pub struct Visitor {
    /// The driver's number for the connection.
    pub number: u64,
    /// The first message of the connection.
    pub hello: Hello,
    /// What the access token says that the connection came with.
    pub identity: Identity,
    /// How long the access token is good.
    pub left: Duration,
    /// The resume token that the client is given if it is let in.
    pub token: String,
    /// The hash of `token`.
    pub hash: [u8; 32],
    /// The hash of the resume token that the connection came with.
    pub replaced: [u8; 32],
}

/// What the link knows of the resume token that a connection comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum ResumeToken {
    /// It was given out last.
    Newest,
    /// A newer one was given out, and its client may not have got that.
    Older,
    /// It is not good.
    Unknown,
}

/// A wish to set money aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// What the session may spend in all, since its beginning.
    pub through: Range,
    /// What the session has spent, and what its requests under way may cost.
    pub spent: NanoUsd,
    /// What the store counts as spent if this relay is lost.
    pub exposed: NanoUsd,
}

/// What was found out about a fresh access token.
#[derive(Debug)]
pub enum Checked {
    /// The token is good.
    Good {
        /// What the token says.
        identity: Identity,
        /// How long the token is good.
        left: Duration,
        /// Whether the deny-list names the token's user or login.
        is_denied: bool,
    },
    /// The token is not good, or cannot be judged now.
    Bad {
        /// The cause as a word for the metrics.
        cause: &'static str,
        /// The cause in words, for the log.
        why: String,
        /// After how long to check the same token again, if it cannot be judged now.
        retry_after: Option<Duration>,
    },
}

/// What was written to the store, as far as something follows from it.
#[derive(Clone, Debug)]
pub(in crate::session) enum Written {
    /// Turns. Everything before the mark is in the stored transcript.
    Turns(Mark),
    /// A settlement, with the sum of the session's rows, and the budgets after it.
    Settled { cost: NanoUsd, standing: Standing },
    /// A resume token, with how often the session was resumed.
    Resumed(u32),
    /// The call of a tool with this name.
    Called(String),
    /// The session's end.
    End,
    /// Anything else.
    Other,
}

/// What happens to a session, besides what is said in it.
#[derive(Debug)]
pub(in crate::session) enum Input {
    /// The relay stops.
    Shutdown,
    /// The relay is told to stop, and sends its sessions elsewhere within this time. The session has a connection, or none.
    Drain { within: Duration, is_attached: bool },
    /// The call is between two turns. Told when [`Policy::wants_to_move`](super::Policy::wants_to_move).
    BetweenTurns,
    /// The connection is gone.
    Detached,
    /// An administrator ends the session, or the same client began another one instead.
    End(CloseCode),
    /// Another relay has taken the session over, or the store has its end.
    TakenOver,
    /// The client wants to go on with the session at another relay, which waits for this one to let go of it.
    HandOff,
    /// No command can reach the session any more.
    Forgotten,
    /// A connection wants to go on with the session.
    Resume { visitor: Box<Visitor>, token: ResumeToken },
    /// The client that resumed has the resume token with this hash, the newest.
    Greeted([u8; 32]),
    /// The lease was renewed: the session need not stop before this time.
    Lease(Time),
    /// The database has been away since this time, or is back (`None`).
    Away(Option<Time>),
    /// Something was written to the store.
    Written(Written),
    /// The store refused something, and will refuse it again.
    Refused {
        failure: Failure,
        /// Whether the session's end was refused.
        is_end: bool,
    },
    /// The call wants money to be set aside.
    Reserve(Reservation),
    /// The answer to [`Output::Reserve`].
    Reserved(Result<Reserved, Failure>),
    /// The client sent a fresh access token.
    Token(String),
    /// The answer to [`Output::Check`].
    Checked(Box<Checked>),
    /// The link has ended the session.
    LinkEnded(CloseCode),
    /// The call is over, and everything about it is written.
    CallEnded(CloseCode),
    /// How the journal stands while the session leaves: whether it is empty, and whether the relay's own disk has taken or refused all of it.
    Owed { is_empty: bool, is_kept: bool },
    /// The time of [`Policy::poll_timeout`](super::Policy::poll_timeout) has come.
    Timeout,
}

/// What a policy wants done.
#[derive(Debug, PartialEq)]
pub(in crate::session) enum Output {
    /// Tell the call to stop.
    Stop(CloseCode),
    /// Tell the call that turns are stored.
    Stored(Mark),
    /// Tell the call that this call of a tool is stored.
    ToolStored(String),
    /// Tell the call that a settlement is in the ledger.
    Settled { cost: NanoUsd, standing: Standing },
    /// Tell the call whether money was set aside.
    Reserved(Reserved),
    /// Tell the call to write everything that the store does not know yet.
    Checkpoint { sent_away: bool },
    /// Tell the link that a fresh token is in use, and how long it is good.
    TokenAccepted { left: Duration },
    /// Tell the link to ask for another token, and how long the call goes on without one.
    TokenExpiring { left: Duration },
    /// Tell the link that a fresh token was refused, and how long the one in use is good.
    TokenRefused { left: Duration },
    /// Tell the link that the session is over.
    TellEnd(CloseCode),
    /// Tell the link that the client is to go on elsewhere, at once.
    Move,
    /// Write the next resume token.
    WriteResumed(NextToken),
    /// Write the session's end.
    WriteEnd(CloseCode),
    /// Write that the session has no connection.
    WriteDetached,
    /// Keep everything that is owed on the relay's own disk.
    KeepAll,
    /// Hold in memory what is owed and not on the relay's own disk.
    HoldRest,
    /// End the recording.
    EndRecording,
    /// Use the waiting connection with this number from now on. The token is the resume token that its client is given.
    Attach { number: u64, hello: Box<Hello>, token: String },
    /// Give the waiting connection with this number back to the task that brought it: the session does not take it.
    HandBack(u64),
    /// Close the waiting connection with this number.
    TurnAway(u64, CloseCode),
    /// Ask the link about this connection, which has waited for another one to be attached, and give [`Input::Resume`].
    Revisit(Box<Visitor>),
    /// Set money aside after the wait, then give [`Input::Reserved`].
    Reserve { reservation: Reservation, wait: Duration },
    /// Check a fresh access token after the wait, then give [`Input::Checked`]. A check that is still under way is given up.
    Check { token: String, wait: Duration },
    /// Note that the token in use comes from this login at the identity provider.
    Login(Option<String>),
    /// Let go of the session: it is over at this relay.
    Over(Departure),
    /// Log something.
    Note(Note),
}

/// How a session is over at this relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The session has ended.
    Ended(CloseCode),
    /// Another relay has taken the session over, and nothing more may be written here.
    TakenOver,
    /// The session is handed off to the relay that takes it over.
    HandedOff {
        /// The code that its connections are closed with.
        code: CloseCode,
        /// Whether to end the session's lease, so that another relay takes it over at once: one may wait for that, or the client goes there.
        let_go: bool,
    },
}

/// At what moment a session is sent elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Between two turns.
    BetweenTurns,
    /// At the end of the time, whatever is said.
    Deadline,
}

impl Moment {
    /// All there are.
    pub const ALL: [Moment; 2] = [Moment::BetweenTurns, Moment::Deadline];

    /// The word for the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Moment::BetweenTurns => "pause",
            Moment::Deadline => "deadline",
        }
    }
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The relay is told to stop, and the client is sent elsewhere.
    Moved(Moment),
    /// A connection goes on with the session.
    Resumed {
        /// How often the session was resumed, this time included.
        reconnects: u32,
    },
    /// A resume token was not stored in time, and its connection goes on without waiting for it.
    ResumeTokenLate,
    /// The session was deleted, and ends.
    Erased,
    /// A record was not stored, and the session ends.
    NotStored {
        /// Why it was not stored.
        why: String,
    },
    /// A record was not stored while the session leaves.
    NotStoredOnLeaving {
        /// Why it was not stored.
        why: String,
    },
    /// The session's end was not stored.
    EndNotStored {
        /// Why it was not stored.
        why: String,
    },
    /// No money could be set aside, and the session ends.
    NotSetAside {
        /// Why it could not be set aside.
        why: String,
    },
    /// Records were not stored in time while the session leaves, and are kept on the relay's own disk.
    KeptHere,
    /// A fresh token was refused.
    TokenRefused {
        /// The cause as a word for the metrics.
        cause: &'static str,
        /// The cause in words.
        why: String,
    },
}
