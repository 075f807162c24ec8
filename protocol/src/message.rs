//! The JSON control messages: every shape that is written in `docs/protocol.md`, and no other.
//!
//! Numbers are integers: samples, milliseconds, nano-dollars. Unknown fields are ignored.

use crate::json::{self, Read, object, words};

/// The WebSocket subprotocol that both sides must name.
pub const SUBPROTOCOL: &str = "voxrelay.v1";

/// Why a text message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, no `type`, or a field missing or of the wrong type.
    #[error("not a message of this protocol")]
    Malformed,
    /// A `type` this version does not know, or a numbered message with a word in it that it does not know. Carries the message's `seq`, since a
    /// numbered message counts all the same.
    #[error("unknown message type or word")]
    Unknown {
        /// The message's number, if it has one.
        seq: Option<u32>,
    },
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($word:literal => $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`, see [`struct@", stringify!($variant), "`].")]
            $variant($variant),)*
        }

        impl $name {
            /// Reads one text message.
            ///
            /// # Errors
            /// When it is not a message of this kind; nothing else about it can be told.
            pub fn parse(text: &str) -> Result<Self, ParseError> {
                let json = json::parse(text).ok_or(ParseError::Malformed)?;
                let message = match json.member("type").text().ok_or(ParseError::Malformed)? {
                    $($word => $variant::read(&json).map($name::$variant),)*
                    _ => return Err(ParseError::Unknown { seq: json.field("seq") }),
                };
                message.ok_or_else(|| match json.field("seq") {
                    Some(seq) => ParseError::Unknown { seq: Some(seq) },
                    None => ParseError::Malformed,
                })
            }

            /// Writes the message as JSON text.
            #[must_use]
            pub fn to_json(&self) -> String {
                let mut json = String::new();
                match self {
                    $($name::$variant(message) => message.write_with_type(Some($word), &mut json),)*
                }
                json
            }
        }

        $(impl From<$variant> for $name {
            fn from(message: $variant) -> Self {
                $name::$variant(message)
            }
        })*
    };
}

messages! {
    /// What a client says.
    ClientMessage {
        "hello" => Hello,
        "ack" => ClientAck,
        "gap" => Gap,
        "mute" => Mute,
        "token" => Token,
        "ping" => Ping,
        "bye" => Bye,
    }
}

messages! {
    /// What the relay says.
    RelayMessage {
        "welcome" => Welcome,
        "resumed" => Resumed,
        "resume_failed" => ResumeFailed,
        "ack" => RelayAck,
        "resend" => Resend,
        "pong" => Pong,
        "usage" => Usage,
        "error" => ErrorMessage,
        "token_expiring" => TokenExpiring,
        "token_accepted" => TokenAccepted,
        "ended" => Ended,
        "agent" => AgentStateMessage,
        "transcript" => Transcript,
        "reply_end" => ReplyEnd,
        "flush" => Flush,
        "budget" => Budget,
    }
}

/// A place in a direction's timeline: the number of a frame and the position of its first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Number of the frame.
    pub seq: u32,
    /// Samples before the frame, at the rate of the direction's codec.
    pub position: u32,
}

/// The first message on every connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The access token (JWT).
    pub token: String,
    /// Name and version of the client, for the session record; at most 64 characters are kept.
    pub client: String,
    /// Codec of the audio the client will send.
    pub codec: String,
    /// The first frame that is not committed: where a new session begins.
    pub start: Mark,
    /// The session to go on with, if there is one.
    pub resume: Option<Resume>,
    /// The conversation that a new session goes on with, from an earlier `welcome`; a new one begins if there is none.
    pub conversation: Option<String>,
}

/// Which session to go on with, and how far the client got.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// The session.
    pub session_id: String,
    /// The token from the last `welcome` or `resumed`.
    pub resume_token: String,
    /// The epoch the client is in.
    pub epoch: u32,
    /// The next downlink frame the client expects.
    pub received: u32,
}

/// The client has the downlink up to here, and the user has heard it up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAck {
    /// The next downlink frame the client expects.
    pub received: u32,
    /// Position in the downlink timeline up to which the audio was really played.
    pub played: u32,
}

/// Frames the client dropped, `[from, to)`: stands in for them in the uplink's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first missing frame.
    pub from: Mark,
    /// The frame after the last missing one.
    pub to: Mark,
}

/// The user muted or unmuted; while muted no audio is sent and none is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mute {
    /// Whether the microphone is muted.
    pub muted: bool,
}

/// A fresh access token for the running session.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The access token (JWT), of the same `sub`.
    pub token: String,
}

/// A heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Returned unchanged in `pong`.
    pub id: u32,
    /// The round-trip time of the last heartbeat in microseconds, 0 if there was none, for the relay's record.
    pub rtt_us: u32,
}

/// The user hangs up. The relay finishes what it has, answers `ended` and closes with 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye {
    /// The number after the last uplink frame: the relay waits for all before it.
    pub end: u32,
}

/// A new session.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The session's id.
    pub session_id: String,
    /// The conversation it belongs to. A later session that names it in `hello` goes on with it.
    pub conversation_id: String,
    /// Which memory of the relay this is; downlink numbering starts at 0 in each.
    pub epoch: u32,
    /// To resume with, once.
    pub resume_token: String,
    /// How long a session without a connection is kept.
    pub resume_window_ms: u32,
    /// How often to send `ping`.
    pub heartbeat_ms: u32,
    /// Codec of the agent's audio.
    pub agent_codec: String,
    /// Whether the call is recorded, so that the page can say so.
    pub recording: bool,
    /// What the session may do.
    pub limits: Limits,
    /// What it will cost.
    pub prices: Prices,
}

/// What a session may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Longest duration of the session.
    pub session_ms: u64,
    /// Longest time without audio or a message other than `ping`.
    pub idle_ms: u64,
    /// Shortest payload of an audio frame, in bytes.
    pub chunk_min_bytes: u32,
    /// Longest payload of an audio frame, in bytes.
    pub chunk_max_bytes: u32,
    /// Audio that may come faster than real time, as a resume needs it.
    pub burst_ms: u32,
    /// What the session may cost, in nano-dollars.
    pub budget_nano_usd: u64,
}

/// The prices that apply to a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Version of the price table.
    pub version: String,
    /// Each item the agent of this session uses.
    pub items: Vec<Price>,
}

/// One price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is metered, such as `deepgram/nova-3`.
    pub item: String,
    /// `second`, `token` or `character`.
    pub unit: String,
    /// Nano-dollars for `per` units.
    pub nano_usd: u64,
    /// Units that cost `nano_usd`.
    pub per: u64,
}

/// The session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The session's id.
    pub session_id: String,
    /// The same as before: the relay has its memory. Larger: it was rebuilt from the store, and downlink numbering starts at 0.
    pub epoch: u32,
    /// The next token to resume with.
    pub resume_token: String,
    /// The next uplink frame the relay expects.
    pub received: Mark,
    /// The first uplink frame that is not in the stored transcript.
    pub committed: Mark,
}

/// The session to resume is not known (any more); a `welcome` to a new one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeFailed {
    /// Always `unknown`: a relay does not say which sessions exist.
    pub reason: String,
    /// The epoch that begins.
    pub epoch: u32,
}

/// How far the relay has the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAck {
    /// The next uplink frame the relay expects: it has all before.
    pub received: Mark,
    /// The first uplink frame that is not in the stored transcript.
    pub committed: Mark,
}

/// Frames are missing on this connection: send again from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    /// The first missing frame.
    pub from: Mark,
}

/// The answer to a `ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The id of the `ping`.
    pub id: u32,
}

/// What the session has used so far. Cumulative, so a lost one does not matter; at most one a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Audio metered, in milliseconds.
    pub audio_ms: u64,
    /// Tokens of every kind.
    pub tokens: u64,
    /// Characters spoken.
    pub characters: u64,
    /// Money spent.
    pub cost_nano_usd: u64,
    /// Money left of the tightest budget.
    pub left_nano_usd: u64,
}

/// Something went wrong. A close frame follows if it ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// A word of `docs/errors.md`.
    pub code: String,
    /// What happened and what to do about it.
    pub message: String,
    /// Whether the same may work later.
    pub retryable: bool,
    /// Not before this time.
    pub retry_after_ms: Option<u64>,
    /// The limit that was exceeded.
    pub limit: Option<u64>,
    /// What was asked for.
    pub asked: Option<u64>,
}

impl From<crate::ErrorCode> for ErrorMessage {
    fn from(code: crate::ErrorCode) -> Self {
        let info = code.info();
        ErrorMessage {
            code: info.name.into(),
            message: info.message.into(),
            retryable: info.retryable,
            retry_after_ms: None,
            limit: None,
            asked: None,
        }
    }
}

/// The token expires soon: send a fresh one in a `token` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenExpiring {
    /// Time left before the connection is closed with 4401.
    pub in_ms: u64,
}

/// The fresh token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenAccepted {
    /// Time until it expires in turn.
    pub expires_in_ms: u64,
}

/// The session is over; the close frame follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Name of the close code.
    pub reason: String,
    /// The final usage.
    pub usage: Usage,
}

/// What the agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentState {
    /// It hears the user.
    Listening,
    /// The user has finished; an answer is being made.
    Thinking,
    /// Its answer is being sent.
    Speaking,
}

words!(AgentState { Listening = "listening", Thinking = "thinking", Speaking = "speaking" });

/// The agent changed its state. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentStateMessage {
    /// Number in the downlink.
    pub seq: u32,
    /// The new state.
    pub state: AgentState,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The person at the microphone.
    User,
    /// The agent.
    Agent,
}

words!(Role { User = "user", Agent = "agent" });

/// What was said. Numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// Number in the downlink.
    pub seq: u32,
    /// Counts the turns of the session; a later transcript of the same turn replaces the earlier one.
    pub turn: u32,
    /// Who spoke.
    pub role: Role,
    /// The words. Plain text: escape it before it is shown.
    pub text: String,
    /// Whether this is the last word about this turn.
    pub last: bool,
    /// Where the turn's audio begins, in samples of the speaker's timeline.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
}

/// All audio of the agent's reply was sent: play the rest without waiting for more. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyEnd {
    /// Number in the downlink.
    pub seq: u32,
}

/// The agent was interrupted: whatever audio came before this message and was not played yet is to be dropped. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Number in the downlink.
    pub seq: u32,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BudgetScope {
    /// The session's.
    Session,
    /// The user's, of a day.
    User,
    /// The account's, of a month.
    Account,
}

words!(BudgetScope { Session = "session", User = "user", Account = "account" });

/// A budget that applies to the session has reached a threshold: told once for each. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Number in the downlink.
    pub seq: u32,
    /// Whose budget.
    pub scope: BudgetScope,
    /// 50, 80, or 100 when nothing more can be spent: the session then ends with 4402.
    pub percent: u32,
    /// The budget.
    pub limit_nano_usd: u64,
    /// What is spent of it.
    pub spent_nano_usd: u64,
}

object!(Mark { seq, position });
object!(Hello { token, client, codec, start, resume, conversation });
object!(Resume { session_id, resume_token, epoch, received });
object!(ClientAck { received, played });
object!(Gap { from, to });
object!(Mute { muted });
object!(Token { token });
object!(Ping { id, rtt_us });
object!(Bye { end });
object!(Welcome {
    session_id,
    conversation_id,
    epoch,
    resume_token,
    resume_window_ms,
    heartbeat_ms,
    agent_codec,
    recording,
    limits,
    prices
});
object!(Limits { session_ms, idle_ms, chunk_min_bytes, chunk_max_bytes, burst_ms, budget_nano_usd });
object!(Prices { version, items });
object!(Price { item, unit, nano_usd, per });
object!(Resumed { session_id, epoch, resume_token, received, committed });
object!(ResumeFailed { reason, epoch });
object!(RelayAck { received, committed });
object!(Resend { from });
object!(Pong { id });
object!(Usage { audio_ms, tokens, characters, cost_nano_usd, left_nano_usd });
object!(ErrorMessage { code, message, retryable, retry_after_ms, limit, asked });
object!(TokenExpiring { in_ms });
object!(TokenAccepted { expires_in_ms });
object!(Ended { reason, usage });
object!(AgentStateMessage { seq, state });
object!(Transcript { seq, turn, role, text, last, start, end });
object!(ReplyEnd { seq });
object!(Flush { seq });
object!(Budget { seq, scope, percent, limit_nano_usd, spent_nano_usd });
