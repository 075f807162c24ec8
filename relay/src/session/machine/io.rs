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
pub(in crate::session) enum Input {
    /// The session begins, or goes on here: the link has its first connection.
    Begin { hello: Box<Hello>, attachment: Attachment, token: String },
    /// Something came over the connection.
    Incoming(Incoming),
    /// A provider says something about a request.
    Provider(RequestId, provider::Event),
    /// A connection wants to go on with the session.
    Resume(Box<Visitor>),
    /// See [`crate::session::policy::Input::Shutdown`].
    Shutdown,
    /// See [`crate::session::policy::Input::End`].
    End(CloseCode),
    /// See [`crate::session::policy::Input::TakenOver`].
    TakenOver,
    /// See [`crate::session::policy::Input::HandOff`].
    HandOff,
    /// See [`crate::session::policy::Input::Forgotten`].
    Forgotten,
    /// See [`crate::session::policy::Input::Lease`].
    Lease(Time),
    /// The answer to [`Output::Write`].
    Written(Result<Answer, Failure>),
    /// The answer to [`Output::Keep`].
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
pub(in crate::session) enum Output {
    /// Send a message over the connection.
    Send(Outgoing),
    /// Close the connection with this code, if there is one.
    Close(CloseCode),
    /// Let go of the connection, if there is one.
    Drop,
    /// Use this connection instead of the one there may be, which is closed.
    Attach(u64),
    /// See [`crate::session::policy::Output::HandBack`].
    HandBack(u64),
    /// See [`crate::session::policy::Output::TurnAway`].
    TurnAway(u64, CloseCode),
    /// Tell the recording.
    Record(Recorded),
    /// Make a request of a provider.
    Open { request: RequestId, provider: usize, ask: provider::Ask },
    /// Add to a request.
    Feed { request: RequestId, feed: provider::Feed },
    /// Give up a request.
    Cancel(RequestId),
    /// See [`crate::session::journal::Output::Write`].
    Write { entry: Entry, wait: Duration },
    /// See [`crate::session::journal::Output::Keep`].
    Keep(Vec<Entry>),
    /// See [`crate::session::journal::Output::Forget`].
    Forget(Vec<i64>),
    /// See [`crate::session::journal::Output::Rescue`].
    Rescue(Entry),
    /// See [`crate::session::journal::Output::Hold`].
    Hold(Vec<Entry>),
    /// See [`crate::session::policy::Output::Reserve`].
    Reserve { ask: Ask, wait: Duration },
    /// See [`crate::session::policy::Output::Check`].
    Check { token: String, wait: Duration },
    /// See [`crate::session::policy::Output::Login`].
    Login(Option<String>),
    /// The session is over here. Nothing follows.
    Over(Departure),
    /// Something for the log.
    Log(Log),
}

/// Something for the recording.
#[derive(Debug)]
pub(in crate::session) enum Recorded {
    /// Audio of the user, and where it begins.
    User(Mark, Bytes),
    /// Audio of the user that will never come.
    Gap(Gap),
    Muted(bool),
    Connected(bool),
    /// Audio of the agent.
    Agent(Vec<i16>),
    ReplyEnd,
    Played(u32),
    Flush,
    End,
}

/// Something for the log.
#[derive(Debug)]
pub(in crate::session) enum Log {
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
