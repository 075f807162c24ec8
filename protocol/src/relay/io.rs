//! What goes into the relay's machine and what comes out.

use core::time::Duration;

use bytes::Bytes;

use crate::{CloseCode, Codec, ErrorMessage, Gap, Hello, Limits, Mark, Prices, Upward, Usage};

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The session's id.
    pub session_id: String,
    /// The conversation it belongs to; told to the client.
    pub conversation_id: String,
    /// What it may do; told to the client.
    pub limits: Limits,
    /// Control messages, that is text messages, a second; 0 is taken for 1.
    pub control_per_second: u32,
    /// What it costs; told to the client.
    pub prices: Prices,
    /// Codec of the agent's audio.
    pub agent_codec: Codec,
    /// Whether the call is recorded; told to the client.
    pub recording: bool,
    /// How often the client is to send `ping`.
    pub heartbeat: Duration,
    /// How long a session without a connection is kept.
    pub resume_window: Duration,
    /// The agent that the session is with; told to the client.
    pub agent: Option<String>,
    /// What this relay speaks beyond the first version, of [`Features::RELAY`](crate::Features::RELAY); told to the client. A message whose
    /// word is not here is of an unknown type.
    pub features: &'static [&'static str],
}

/// What a session has used of its limits on the relays before this one, so that no limit grows with a change of relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Since it began.
    pub age: Duration,
    /// Since audio of it was last heard.
    pub quiet: Duration,
    /// Samples of the user that were heard.
    pub heard: u64,
    /// Those of them that are played again: they may come at once.
    pub again: u32,
    /// How often it was resumed.
    pub resumes: u32,
    /// Its frames and texts that were refused, as [`Output::Strikes`] said it last.
    pub strikes: u32,
}

/// How a connection comes to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// It is the session's first.
    New,
    /// It is the session's first, after a resume that failed: the client is told so before its `welcome`.
    Instead,
    /// It resumes the session.
    Resume,
}

/// What happens to a session. One input, then [`poll_output`](super::Link::poll_output) until it is empty.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// An authenticated connection; whichever was attached before is to be closed with [`CloseCode::Replaced`] by the driver.
    Attach {
        /// Its first message.
        hello: &'a Hello,
        /// How it comes.
        attachment: Attachment,
        /// The next resume token: 128 random bits or more.
        resume_token: &'a str,
    },
    /// A text message came.
    Text(&'a str),
    /// A binary message came. Its audio comes out as a part of the same bytes.
    Binary(Bytes),
    /// A frame of the WebSocket came that carries no message: a ping or a pong.
    Control,
    /// The connection is gone.
    Closed,
    /// Everything before this frame is in the stored transcript.
    Commit(Mark),
    /// Send audio of the agent; its length in samples advances the agent's timeline.
    Audio(&'a [i16]),
    /// Send a numbered message.
    Say(&'a Saying),
    /// Tell the usage so far.
    Usage(Usage),
    /// The token in use is good for this long; tell the client if it had to be asked for.
    TokenAccepted {
        /// Time until it expires.
        expires_in: Duration,
    },
    /// The token expires after this time: ask for another.
    TokenExpiring {
        /// Time left.
        left: Duration,
    },
    /// The fresh token is not good; the one in use is, for so long.
    TokenRefused {
        /// Time left.
        left: Duration,
    },
    /// The relay is about to go: the client is to come back, to whichever relay answers, within this time. Nothing if there is no connection.
    Move {
        /// How long the client may wait with that; zero for at once. The connection is closed soon after.
        within: Duration,
    },
    /// Report an error; the session goes on.
    Error(&'a ErrorMessage),
    /// End the session: tell the client why and with what usage, and close.
    End {
        /// Why.
        code: CloseCode,
        /// The final usage.
        usage: Usage,
    },
    /// The time of [`poll_timeout`](super::Link::poll_timeout) has come.
    Timeout,
}

/// A numbered message without its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// See [`AgentStateMessage`](crate::AgentStateMessage).
    Agent(crate::AgentState),
    /// See [`Transcript`](crate::Transcript); its `seq` is filled in.
    Transcript(crate::Transcript),
    /// See [`ReplyEnd`](crate::ReplyEnd).
    ReplyEnd,
    /// See [`Flush`](crate::Flush).
    Flush,
    /// See [`Hold`](crate::Hold), and [`Release`](crate::Release) for `false`.
    Hold(bool),
    /// See [`Budget`](crate::Budget); its `seq` is filled in.
    Budget(crate::Budget),
    /// See [`ToolCall`](crate::ToolCall); its `seq` is filled in.
    ToolCall(crate::ToolCall),
    /// See [`ToolCancel`](crate::ToolCancel); its `seq` is filled in.
    ToolCancel(crate::ToolCancel),
    /// See [`Degraded`](crate::Degraded); its `seq` is filled in.
    Degraded(crate::Degraded),
    /// See [`Latency`](crate::Latency); its `seq` is filled in.
    Latency(crate::Latency),
    /// See [`Listened`](crate::Listened); its `seq` is filled in.
    Listened(crate::Listened),
}

/// What a driver has to do. It owns what it carries: audio shares its bytes with the buffer that keeps it, or with the message that it came in.
#[derive(Debug)]
pub enum Output {
    /// Send a text message on the attached connection.
    Text(String),
    /// Send a binary message on the attached connection.
    Binary(Bytes),
    /// Audio of the user, in order, each sample once. Meter it and hand it to the call.
    Audio {
        /// Its place.
        mark: Mark,
        /// 16-bit little-endian samples at 16 kHz.
        payload: Bytes,
    },
    /// What the user's page says among the audio, in order with it, once.
    Message {
        /// Its place: a number of its own, and the position of the audio that comes after it.
        mark: Mark,
        /// What it says.
        message: Upward,
    },
    /// Audio of the user that will never come.
    Gap(Gap),
    /// The user muted or unmuted.
    Muted(bool),
    /// The user has heard the agent up to this position in its timeline.
    Played(u32),
    /// The user speaks while the agent does, says the page, where the agent was heard up to this position. It may be said again.
    BargeIn(u32),
    /// The page holds the agent's sound back, or lets it go on. It may be said again; a new connection holds nothing.
    Held(bool),
    /// So many frames and texts of the session were refused so far: another relay that goes on with it is to know.
    Strikes(u32),
    /// The client that resumed has this resume token, the newest. No other one is good any more: a connection that still comes with one was
    /// given up by the client.
    Greeted(String),
    /// The client measured this round-trip time.
    RoundTrip(Duration),
    /// The client sent a fresh access token; answer with [`Input::TokenAccepted`], [`Input::TokenRefused`] or [`Input::End`].
    Token(String),
    /// The user hung up and all audio is here: finish, then [`Input::End`].
    Bye,
    /// Close the attached connection, with this code if it still takes one.
    Close(CloseCode),
    /// The session has no connection: hold the agent until [`Output::Attached`].
    Detached,
    /// The session has a connection (again).
    Attached,
    /// The session is over without a word to the client, which did not come back in time, or misbehaved. Store its end.
    Ended(CloseCode),
}
