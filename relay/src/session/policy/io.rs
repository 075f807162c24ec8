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
    /// The driver's number for it.
    pub number: u64,
    /// Its first message.
    pub hello: Hello,
    /// What its access token says.
    pub identity: Identity,
    /// How long that one is good.
    pub left: Duration,
    /// The next resume token, should it be let in.
    pub token: String,
    /// The hash of that.
    pub hash: [u8; 32],
    /// The hash of the resume token that it came with.
    pub replaced: [u8; 32],
}

/// A wish to set money aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What the session may spend in all, since its beginning.
    pub through: Range,
    /// What it has spent of that, or may have.
    pub spent: NanoUsd,
    /// What counts as spent if the relay is lost.
    pub exposed: NanoUsd,
}

/// What was found out about a fresh access token.
#[derive(Debug)]
pub enum Checked {
    /// It is good, for this long, and whose it is.
    Good {
        /// Whose it is.
        identity: Identity,
        /// How long it is good.
        left: Duration,
        /// Whether the deny-list names its user or its login.
        is_denied: bool,
    },
    /// It is not good, or nobody can know now.
    Bad {
        /// The word for the metrics.
        cause: &'static str,
        /// In words, for the log.
        why: String,
        /// When the same token may be good, if it may be.
        retry_after: Option<Duration>,
    },
}

/// What was written, as far as something follows from it.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) enum Written {
    /// Turns: everything before the mark is in the stored transcript.
    Turns(Mark),
    /// What was spent: the sum of the session's rows, and the budgets after it.
    Settled { cost: NanoUsd, standing: Standing },
    /// A resume token, with the number of resumes.
    Resumed(u32),
    /// The session's end.
    End,
    /// Anything else.
    Other,
}

/// What happens to a session besides what is said in it.
#[derive(Debug)]
pub(in crate::session) enum Input {
    /// The relay stops.
    Shutdown,
    /// Somebody ends the session.
    End(CloseCode),
    /// Another relay has the session, or it was ended there.
    TakenOver,
    /// The client wants to go on with it at another relay, which waits for this one to let go.
    HandOff,
    /// Nobody can tell the session anything any more.
    Forgotten,
    /// A connection wants to go on with the session.
    Resume {
        visitor: Box<Visitor>,
        /// Whether the link knows its resume token.
        is_good: bool,
    },
    /// Nobody else takes the session for lost before this time.
    Lease(Time),
    /// The database has been away since then; `None` when it is back.
    Away(Option<Time>),
    /// Something was written.
    Written(Written),
    /// Something was refused, which a later try does not help.
    Refused {
        failure: Failure,
        /// Whether it was the session's end.
        is_end: bool,
    },
    /// The call wants money to be set aside.
    Reserve(Ask),
    /// The answer to [`Output::Reserve`].
    Reserved(Result<Reserved, Failure>),
    /// The client sent a fresh access token.
    Token(String),
    /// The answer to [`Output::Check`].
    Checked(Checked),
    /// The link has ended the session.
    LinkEnded(CloseCode),
    /// The call is over, and everything about it is written.
    CallEnded(CloseCode),
    /// The session leaves, and the journal is empty, or as well kept on the relay's own disk as it can be.
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
    /// Tell the call what is in the ledger.
    Settled { cost: NanoUsd, standing: Standing },
    /// Tell the call what was set aside.
    Reserved(Reserved),
    /// Tell the call to write what is owed.
    Checkpoint { sent_away: bool },
    /// Tell the link that the token in use is good for so long.
    TokenAccepted { left: Duration },
    /// Tell the link to ask for another token.
    TokenExpiring { left: Duration },
    /// Tell the link that a fresh token was refused, and that the one in use is good for so long.
    TokenRefused { left: Duration },
    /// Tell the link that the session is over.
    TellEnd(CloseCode),
    /// Write the next resume token.
    WriteResumed(NextToken),
    /// Write the session's end, unless that is written already.
    WriteEnd(CloseCode),
    /// Write that the session has no connection.
    WriteDetached,
    /// Keep everything that is owed on the relay's own disk.
    KeepAll,
    /// Hold in memory what is kept nowhere.
    HoldRest,
    /// End the recording.
    EndRecording,
    /// Go on over this connection instead of the one there may be. The token is its next resume token.
    Attach { number: u64, hello: Box<Hello>, token: String },
    /// Give a connection back to whoever brought it: the session does not take it.
    HandBack(u64),
    /// Close a connection that waits.
    TurnAway(u64, CloseCode),
    /// A connection that has waited for another one: whether its resume token is good is to be asked now. See [`Input::Resume`].
    Revisit(Box<Visitor>),
    /// Set money aside after so long, then [`Input::Reserved`].
    Reserve { ask: Ask, wait: Duration },
    /// Look at a fresh access token after so long, then [`Input::Checked`]. What was looked at before does not count any more.
    Check { token: String, wait: Duration },
    /// The token in use comes from this login.
    Login(Option<String>),
    /// The session is over here.
    Over(Departure),
    /// Something for the log.
    Note(Note),
}

/// How a session is over at this relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It has ended.
    Ended(CloseCode),
    /// Another relay has it: nothing more may be written.
    TakenOver,
    /// It is left to whoever takes it over.
    HandedOff {
        /// What its connections are closed with.
        code: CloseCode,
        /// End its lease, since somebody waits for that.
        let_go: bool,
    },
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A connection goes on with the session.
    Resumed {
        /// How often the session was resumed, with this time.
        reconnects: u32,
    },
    /// A resume token was not stored in time.
    ResumeTokenLate,
    /// The session was deleted.
    Erased,
    /// A record was not stored: the session ends.
    NotStored {
        /// In words.
        why: String,
    },
    /// The session leaves, and a record was not stored.
    NotStoredOnLeaving {
        /// In words.
        why: String,
    },
    /// The session's end was not stored.
    EndNotStored {
        /// In words.
        why: String,
    },
    /// No money could be set aside: the session ends.
    NotSetAside {
        /// In words.
        why: String,
    },
    /// Records were not stored in time: they are kept here.
    KeptHere,
    /// A fresh token was refused.
    TokenRefused {
        /// The word for the metrics.
        cause: &'static str,
        /// In words.
        why: String,
    },
}
