//! What goes into a session's machine, and what comes out.

use std::time::Duration;

use bytes::Bytes;
use protocol::relay::Attachment;
use protocol::{CloseCode, Gap, Hello, Mark, Time};

use crate::money::budget::Reserved;
use crate::money::tab::RequestId;
use crate::provider;
use crate::session::journal::{Answer, Entry, Failure};
use crate::session::policy::{Ask, Checked, Departure, Note, Visitor};
use crate::session::wire::{Incoming, Outgoing};

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// The session begins, or goes on here: the link has its first connection.
    Begin {
        /// Its first message.
        hello: Box<Hello>,
        /// How it comes to the session.
        attachment: Attachment,
        /// Its next resume token.
        token: String,
    },
    /// Something came over the connection.
    Incoming(Incoming),
    /// A provider says something about a request.
    Provider(RequestId, provider::Event),
    /// A connection wants to go on with the session.
    Resume(Box<Visitor>),
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
    /// Nobody else takes the session for lost before this time.
    Lease(Time),
    /// The answer to [`Output::Write`].
    Written(Result<Answer, Failure>),
    /// The answer to [`Output::Keep`]: the number of each entry on the relay's own disk; `None` where there was no room.
    Kept(Vec<Option<i64>>),
    /// The answer to [`Output::Reserve`].
    Reserved(Result<Reserved, Failure>),
    /// The answer to [`Output::Check`].
    Checked(Checked),
    /// The time of [`Machine::poll_timeout`](super::Machine::poll_timeout) has come.
    Timeout,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a message over the connection.
    Send(Outgoing),
    /// Close the connection with this code, if there is one.
    Close(CloseCode),
    /// Let go of the connection, if there is one.
    Drop,
    /// Use this connection instead of the one there may be, which is closed.
    Attach(u64),
    /// Give a connection back to whoever brought it: the session does not take it.
    HandBack(u64),
    /// Close a connection that waits.
    TurnAway(u64, CloseCode),
    /// Tell the recording.
    Record(Recorded),
    /// Make a request of a provider.
    Open {
        /// The request.
        request: RequestId,
        /// Whom, as a place among the agent's providers.
        provider: usize,
        /// What.
        ask: provider::Ask,
    },
    /// Add to a request.
    Feed {
        /// The request.
        request: RequestId,
        /// What is added.
        feed: provider::Feed,
    },
    /// Tell nothing more of a request until it is not held back any more.
    HoldBack {
        /// The request.
        request: RequestId,
        /// Whether it is held back from now on.
        held_back: bool,
    },
    /// Give up a request.
    Cancel(RequestId),
    /// Write this to the store after so long, then [`Input::Written`].
    Write {
        /// What.
        entry: Entry,
        /// After so long.
        wait: Duration,
    },
    /// Keep these on the relay's own disk, then [`Input::Kept`].
    Keep(Vec<Entry>),
    /// What has these numbers on the relay's own disk is written elsewhere.
    Forget(Vec<i64>),
    /// Keep this until it is written, whatever becomes of the session.
    Rescue(Entry),
    /// Hold these in memory until they are written.
    Hold(Vec<Entry>),
    /// Set money aside after so long, then [`Input::Reserved`].
    Reserve {
        /// How much.
        ask: Ask,
        /// After so long.
        wait: Duration,
    },
    /// Look at a fresh access token after so long, then [`Input::Checked`]. What was looked at before does not count any more.
    Check {
        /// The token.
        token: String,
        /// After so long.
        wait: Duration,
    },
    /// The token in use comes from this login.
    Login(Option<String>),
    /// The session is over here. Nothing follows.
    Over(Departure),
    /// Something for the log.
    Log(Log),
}

/// Something for the recording.
#[derive(Debug)]
pub enum Recorded {
    /// Audio of the user, and where it begins.
    User(Mark, Bytes),
    /// Audio of the user that will never come.
    Gap(Gap),
    /// The user muted or unmuted.
    Muted(bool),
    /// The connection is there, or is gone.
    Connected(bool),
    /// Audio of the agent.
    Agent(Vec<i16>),
    /// An answer is complete.
    ReplyEnd,
    /// The user has heard the agent up to this position.
    Played(u32),
    /// The agent's audio that was not heard is dropped.
    Flush,
    /// Nothing more comes.
    End,
}

/// Something for the log.
#[derive(Debug)]
pub enum Log {
    /// What the session's policy has to say.
    Policy(Note),
    /// The connection is gone.
    ConnectionLost,
    /// The client broke the rules of its transport.
    Violation(CloseCode),
    /// The client dropped so many samples.
    Dropped(u32),
    /// The database is away; what is to be written waits.
    Away(String),
    /// The database is back.
    Back,
}
