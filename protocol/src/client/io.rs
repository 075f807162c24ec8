//! What goes into the client machine and what comes out.

use core::time::Duration;
use std::sync::Arc;

use crate::{
    AgentState, Budget, CloseCode, Codec, Degraded, ErrorCode, Features, Latency, Limits, Prices, TooLong,
    ToolCall, Transcript, Upward, Usage,
};

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name and version, for the relay's session record, such as `voxrelay-js/0.1.0`.
    pub client: String,
    /// Audio kept until it is committed: 1 to 60 s.
    pub buffer: Duration,
    /// How long to try to reach the relay before the call is given up.
    pub give_up_after: Duration,
    /// The conversation to go on with; a new one begins if there is none.
    pub conversation: Option<String>,
    /// The agent to speak with, by its name; the relay's default if there is none.
    pub agent: Option<String>,
    /// What the connections may go over.
    pub transports: Transports,
    /// Seed of the backoff's jitter: any number that differs between clients.
    pub seed: u64,
}

/// What a connection goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Plain requests, and a stream of events.
    Http,
}

/// What the connections of a client may go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    /// A WebSocket or, where none gets through, HTTP.
    Both,
    /// This one alone.
    Only(Transport),
}

impl Default for Config {
    fn default() -> Self {
        Config {
            client: concat!("voxrelay/", env!("CARGO_PKG_VERSION")).into(),
            buffer: Duration::from_secs(30),
            give_up_after: Duration::from_secs(600),
            conversation: None,
            agent: None,
            transports: Transports::Only(Transport::WebSocket),
            seed: 0,
        }
    }
}

/// What happens to a client. One input, then [`poll_output`](super::Client::poll_output) until it is empty.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Begin: leads to [`Output::RequestToken`] and then [`Output::Connect`].
    Start,
    /// The application's answer to [`Output::RequestToken`]; `Err` with its message.
    Token(Result<&'a str, &'a str>),
    /// The application's answer to [`Output::RequestToken`], too: it will give no token, and has its reasons. A call without a connection ends
    /// ([`CloseCode::Unauthorized`]). One that has it goes on with the token that is in use.
    NoToken,
    /// The socket is open.
    Opened,
    /// A text message came.
    Text(&'a str),
    /// A binary message came.
    Binary(&'a [u8]),
    /// The socket closed, or could not be opened (1006).
    Closed {
        /// The WebSocket close code.
        code: u16,
    },
    /// What [`Output::AskWhy`] was answered with; nothing if there was no answer.
    Why(Option<Answer<'a>>),
    /// Bytes the socket has taken but not sent (`bufferedAmount`). To be told before every [`Input::Chunk`] and
    /// [`Input::Timeout`] while a socket is open.
    Buffered(usize),
    /// A chunk of the microphone: mono, 16 kHz. While muted, chunks are not to be handed in.
    Chunk(&'a [i16]),
    /// The agent's audio was really played up to this position in its timeline (samples at the agent's rate). What came is played to its end
    /// unless [`Output::FlushPlayout`] says otherwise, also when the connection is lost and when another epoch begins, whose audio comes behind it.
    Played(u32),
    /// The user muted or unmuted.
    Mute(bool),
    /// The page noticed that the user speaks while the agent does.
    BargeIn,
    /// The page holds the agent's sound back, or lets it go on.
    Hold(bool),
    /// The network is back (`online`).
    Online,
    /// The network is gone (`offline`).
    Offline,
    /// The machine may have slept, or the page was hidden: find out whether the link still lives.
    Woke,
    /// The user hangs up, and what was not played of the agent's audio is not played any more: the driver drops what it has, and no
    /// [`Output::Play`] follows. One that does not finish may follow one that does, and shortens it.
    Close {
        /// Send what was said, then end. Otherwise what was not sent yet is given up, and the call ends with the connection that it has.
        finish: bool,
    },
    /// The time of [`poll_timeout`](super::Client::poll_timeout) has come.
    Timeout,
}

/// The answer to a plain HTTP request, or to one that was to open a WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status. A browser says no more of a redirection than that it is one: any of them stands for all.
    pub status: u16,
    /// Its body, or as much of it as fits [`Answer::BODY_MAX_BYTES`].
    pub body: &'a str,
}

impl Answer<'_> {
    /// Of a body, no more than this is worth reading.
    pub const BODY_MAX_BYTES: usize = 4_096;
}

/// What a driver has to do. It owns what it carries: a frame of audio shares its bytes with the buffer that keeps it.
#[derive(Debug)]
pub enum Output {
    /// Ask the application for an access token; answer with [`Input::Token`] or [`Input::NoToken`].
    RequestToken,
    /// Open a socket, over what [`Client::transport`](super::Client::transport) says; answer with [`Input::Opened`] or [`Input::Closed`].
    Connect,
    /// A socket could not be opened, and a browser keeps the reason to itself: make one plain `GET` of the same address over HTTP, without
    /// credentials and past every cache, and follow it nowhere. Answer with [`Input::Why`] within 5 s, whatever comes of it. A driver that
    /// knows what the request for the socket was answered with answers with that.
    AskWhy,
    /// Close the socket, whatever its state, and forget it: nothing of it may come in any more.
    Disconnect {
        /// The close code to send: 1000, or 3000 to 4999 as browsers allow no others.
        code: u16,
    },
    /// Send a text message.
    Text(String),
    /// Send a binary message.
    Binary(Arc<[u8]>),
    /// Queue this audio of the agent for playing.
    Play {
        /// How `payload` is encoded.
        codec: Codec,
        /// Position of its first sample in the agent's timeline.
        position: u32,
        /// The encoded samples.
        payload: Vec<u8>,
    },
    /// The reply is complete, or pauses: play the rest without waiting for more.
    EndOfReply,
    /// The agent was interrupted: drop what is queued for playing, and hold nothing back any more.
    FlushPlayout,
    /// Stop playing within 20 ms and keep what is queued, or go on where playing stopped, if it did: each sample is heard once.
    HoldPlayout(bool),
    /// Tell the application.
    Event(Event),
}

/// The connection as the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not begun.
    Idle,
    /// The first connection is being made.
    Connecting,
    /// The relay answered; audio flows.
    Connected,
    /// The connection was lost and is being made again; what is said meanwhile is kept.
    Reconnecting {
        /// Failed attempts since the connection was lost.
        attempt: u32,
        /// Time until the next attempt.
        retry_in: Duration,
    },
    /// The user hung up; the last words are on their way.
    Closing,
    /// It is over.
    Closed,
}

/// What the application is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The connection changed.
    State(State),
    /// A session began or goes on.
    Session(SessionInfo),
    /// The agent changed its state.
    Agent(AgentState),
    /// What was said.
    Transcript(Transcript),
    /// What the session has used.
    Usage(Usage),
    /// A budget has reached a threshold.
    Budget(Budget),
    /// The page is to run a tool, and to answer with [`Upward::ToolResult`].
    ToolCall(ToolCall),
    /// The result of the tool call with this id is not waited for any more.
    ToolCancel(String),
    /// The agent can do something less well, or again as well as ever.
    Degraded(Degraded),
    /// How long an answer took.
    Latency(Latency),
    /// Whether an operator listens in, from now on.
    Listened(bool),
    /// The relay never had this message, and will not get it: it takes no such messages, or the call ended first.
    Undelivered(Upward),
    /// A heartbeat was answered after this time.
    RoundTrip(Duration),
    /// Audio of the microphone was dropped from the full replay buffer and will not be heard.
    Gap(GapInfo),
    /// Something went wrong; the call goes on unless [`Event::Ended`] follows.
    Error(ErrorInfo),
    /// The call is over; nothing follows.
    Ended {
        /// Why.
        code: CloseCode,
        /// The usage last told.
        usage: Usage,
    },
}

/// A session as the relay described it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionInfo {
    /// Its id.
    pub session_id: String,
    /// The conversation it belongs to.
    pub conversation_id: String,
    /// Which memory of the relay this is.
    pub epoch: u32,
    /// Whether the call is recorded.
    pub recording: bool,
    /// What it may do.
    pub limits: Limits,
    /// What it costs.
    pub prices: Prices,
    /// The agent that it is with, if the relay says so.
    pub agent: Option<String>,
    /// What the relay speaks beyond the first version of the protocol: the messages it takes, among others.
    pub features: Features,
}

/// Why a message of the application was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotTaken {
    /// Messages alone fill the buffer.
    Full,
    /// It has more text than an agent takes.
    TooLong(TooLong),
    /// The relay of the current connection takes no such messages.
    NotSupported,
    /// The call is over, or hung up.
    Over,
}

impl From<NotTaken> for ErrorInfo {
    fn from(cause: NotTaken) -> Self {
        match cause {
            NotTaken::Full => const { ErrorCode::MessagesFull.info() }.into(),
            NotTaken::TooLong(TooLong { limit, .. }) => {
                ErrorInfo { limit: Some(limit as u64), ..const { ErrorCode::TextTooLong.info() }.into() }
            }
            NotTaken::NotSupported => const { ErrorCode::NotSupported.info() }.into(),
            NotTaken::Over => const { ErrorCode::CallOver.info() }.into(),
        }
    }
}

/// Audio of the microphone that the relay will never get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapInfo {
    /// Where it begins in the microphone's timeline, in samples.
    pub position: u32,
    /// How long it is, in samples.
    pub samples: u32,
}

/// Something went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorInfo {
    /// A word of `docs/errors.md`; a newer relay may send words that [`ErrorCode`](crate::ErrorCode) does not have.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
    /// Whether the same may work later.
    pub retryable: bool,
    /// The limit that was exceeded, if it was one.
    pub limit: Option<u64>,
    /// Not before this time.
    pub retry_after_ms: Option<u64>,
}

/// From what is known of a code at compile time, so that a page downloads the words of those errors only that can happen to it.
impl From<crate::ErrorInfo> for ErrorInfo {
    fn from(info: crate::ErrorInfo) -> Self {
        ErrorInfo {
            code: info.name.into(),
            message: info.message.into(),
            retryable: info.retryable,
            limit: None,
            retry_after_ms: None,
        }
    }
}

/// What the relay says, but for what was asked of a limit.
impl From<crate::ErrorMessage> for ErrorInfo {
    fn from(error: crate::ErrorMessage) -> Self {
        ErrorInfo {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            limit: error.limit,
            retry_after_ms: error.retry_after_ms,
        }
    }
}
