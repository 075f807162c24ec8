//! What goes into a session's machine, and what comes out.

use std::time::Duration;

use bytes::Bytes;
use protocol::relay::Attachment;
use protocol::{CloseCode, Gap, Hello, Latency, Mark, Time};

use crate::agent::tool::{Called, ToolNote, ToolOutput};
use crate::call::{Command, NotTold, Turn};
use crate::money::budget::Reserved;
use crate::money::ledger::LedgerRow;
use crate::money::tab::{Billed, RequestId};
use crate::provider;
use crate::session::journal::{Entry, Failure, Receipt};
use crate::session::policy::{Checked, Departure, Note, Reservation, Visitor};
use crate::session::wire::{Incoming, Outgoing};

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// The session begins at this relay, with its first connection.
    Begin {
        /// The first message of the connection.
        hello: Box<Hello>,
        /// How the connection comes to the session.
        attachment: Attachment,
        /// The resume token that the client is given.
        token: String,
    },
    /// Something came over the connection.
    Incoming(Incoming),
    /// A provider says something about a request.
    Provider(RequestId, provider::Event),
    /// A recogniser says what it bills of a request that was given up. See [`Output::Cancel`]. What comes of it later is for
    /// [`Machine::settle_late`](super::Machine::settle_late).
    Billed(Billed),
    /// Something has come of a call. See [`Output::RunTool`].
    ToolResult {
        /// The call.
        call_id: String,
        /// What has come of it.
        output: ToolOutput,
    },
    /// A connection wants to go on with the session.
    Resume(Box<Visitor>),
    /// The relay stops.
    Shutdown,
    /// The relay is told to stop, and sends its sessions elsewhere.
    Drain {
        /// Within this time.
        within: Duration,
    },
    /// An administrator ends the session, or the same client began another one instead.
    End(CloseCode),
    /// Another relay has taken the session over, or the store has its end.
    TakenOver,
    /// The client wants to go on with the session at another relay, which waits for this one to let go of it.
    HandOff,
    /// Commands of administrators wait in the store.
    LookForCommands,
    /// The answer to [`Output::ClaimCommands`], oldest first.
    Commands(Vec<Command>),
    /// One more listens in. Who listens is told what a recording is told: [`Output::Record`].
    Listens {
        /// Whether the page is to know of this one.
        tell_page: bool,
    },
    /// Nobody listens in any more.
    ListensNoMore,
    /// Nothing can reach the session from outside any more.
    Forgotten,
    /// The lease was renewed: the session need not stop before this time.
    Lease(Time),
    /// The answer to [`Output::Write`].
    Written(Result<Receipt, Failure>),
    /// The answer to [`Output::Keep`]: the number of each entry on the relay's own disk, or `None` where there was no room.
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
    /// Drop the connection, if there is one, without a word.
    Drop,
    /// Use the waiting connection with this number from now on, and close the one before it.
    Attach(u64),
    /// Give the waiting connection with this number back to the task that brought it: the session does not take it.
    HandBack(u64),
    /// Close the waiting connection with this number.
    TurnAway(u64, CloseCode),
    /// Tell the recording, if there is one, and whoever listens in something.
    Record(Recorded),
    /// Tell the traces what is recorded.
    Trace(Traced),
    /// Make a request of a provider.
    Open {
        /// The request.
        request: RequestId,
        /// The provider, as a place among the agent's providers.
        provider: usize,
        /// What the provider is asked.
        ask: provider::Ask,
    },
    /// Add to a request that is under way.
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
    /// Give up a request. A recogniser that listens is told so, and says what it bills: [`Input::Billed`].
    Cancel(RequestId),
    /// Have the operator's backend run a tool, then give [`Input::ToolResult`].
    RunTool(Box<Called>),
    /// What comes of this call is not wanted any more.
    CancelTool(String),
    /// Take the commands of administrators that wait for the session, then give [`Input::Commands`].
    ClaimCommands,
    /// Note what has become of a command.
    NoteCommand {
        /// The command.
        id: String,
        /// Whether the agent was told.
        told: Result<(), NotTold>,
    },
    /// Write this entry to the store after the wait, then give [`Input::Written`].
    Write {
        /// The entry.
        entry: Entry,
        /// How long to wait first.
        wait: Duration,
    },
    /// Keep these entries on the relay's own disk, then give [`Input::Kept`].
    Keep(Vec<Entry>),
    /// Remove the entries with these numbers from the relay's own disk: they are written, or refused for good.
    Forget(Vec<i64>),
    /// Hold these entries in memory until they are written.
    Hold(Vec<Entry>),
    /// Set money aside after the wait, then give [`Input::Reserved`].
    Reserve {
        /// How much to set aside.
        reservation: Reservation,
        /// How long to wait first.
        wait: Duration,
    },
    /// Check a fresh access token after the wait, then give [`Input::Checked`]. A check that is still under way is given up.
    Check {
        /// The token.
        token: String,
        /// How long to wait first.
        wait: Duration,
    },
    /// Note that the token in use comes from this login at the identity provider.
    Login(Option<String>),
    /// Let go of the session: it is over at this relay. Nothing follows.
    Over(Departure),
    /// Log something.
    Log(Log),
}

/// Something for the recording.
#[derive(Debug)]
pub enum Recorded {
    /// Audio of the user, with the mark of its frame.
    User(Mark, Bytes),
    /// Audio of the user that will never come.
    Gap(Gap),
    /// The user muted or unmuted.
    Muted(bool),
    /// The client is connected, or its connection is gone.
    Connected(bool),
    /// Audio of the agent.
    Agent(Vec<i16>),
    /// All audio of an answer was given, or all before a pause of the agent's.
    ReplyEnd,
    /// The user has heard the agent up to this position.
    Played(u32),
    /// The agent's audio that was not heard is dropped.
    Flush,
    /// The agent's audio that was not heard sounds later, or goes on.
    Held(bool),
    /// Nothing more comes.
    End,
}

/// How it stands with the sound of a call, for whoever begins to listen in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sounding {
    /// The user has a connection.
    pub is_connected: bool,
    /// The user is muted.
    pub is_muted: bool,
    /// The rest of what the agent has said sounds later: it is held.
    pub is_held: bool,
    /// How far the agent has come in its timeline.
    pub spoken: u32,
    /// How far the user has heard it, or will hear nothing more of it.
    pub heard: u32,
}

/// What is recorded of a session, as the traces take it.
#[derive(Clone, Debug, PartialEq)]
pub enum Traced {
    /// Turns, as they are stored.
    Turns(Vec<Turn>),
    /// Rows of the ledger.
    Rows(Vec<LedgerRow>),
    /// A call of a tool, or what has come of one.
    Tool(ToolNote),
}

/// Something for the log.
#[derive(Debug)]
pub enum Log {
    /// A note of the session's policy.
    Policy(Note),
    /// The connection is gone.
    ConnectionLost,
    /// The client broke the rules of its transport.
    Violation(CloseCode),
    /// The client dropped this many samples.
    Dropped(u32),
    /// The database is away, for this reason, and what is to be written waits.
    Away(String),
    /// The database is back.
    Back,
    /// How long an answer took.
    Answered(Latency),
    /// An answer was cut off before it was heard to its end.
    Interrupted,
    /// Nobody wanted to interrupt the answer that was held and now goes on.
    FalseInterruption,
}
