//! What the relay says.

use serde::{Deserialize, Serialize};

use super::{Features, Mark};
use crate::json::words;

/// A new session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The agent that the session is with; a relay of the first version does not say.
    pub agent: Option<String>,
    /// What the relay speaks beyond the first version.
    #[serde(default)]
    pub features: Features,
}

/// What a session may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Version of the price table.
    pub version: String,
    /// Each item the agent of this session uses.
    pub items: Vec<Price>,
}

/// One price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What this relay speaks beyond the first version: another one than before may speak less.
    #[serde(default)]
    pub features: Features,
}

/// The session to resume is not known (any more); a `welcome` to a new one follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeFailed {
    /// Always `unknown`: a relay does not say which sessions exist.
    pub reason: String,
    /// The epoch that begins.
    pub epoch: u32,
}

/// How far the relay has the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAck {
    /// The next uplink frame the relay expects: it has all before.
    pub received: Mark,
    /// The first uplink frame that is not in the stored transcript.
    pub committed: Mark,
}

/// Frames are missing on this connection: send again from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resend {
    /// The first missing frame.
    pub from: Mark,
}

/// The answer to a `ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The id of the `ping`.
    pub id: u32,
}

/// What the session has used so far. Cumulative, so a lost one does not matter; at most one a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenExpiring {
    /// Time left before the connection is closed with 4401.
    pub in_ms: u64,
}

/// The fresh token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAccepted {
    /// Time until it expires in turn.
    pub expires_in_ms: u64,
}

/// The session is over; the close frame follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A word of a newer relay.
    Unknown,
}

words!(AgentState { Listening = "listening", Thinking = "thinking", Speaking = "speaking" });

/// The agent changed its state. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A word of a newer relay.
    Unknown,
}

words!(Role { User = "user", Agent = "agent" });

/// What was said. Numbered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// Number in the downlink.
    pub seq: u32,
    /// Counts the turns of the session in the order in which they began, with gaps; a later transcript of the same turn replaces the earlier one.
    pub turn: u32,
    /// Who spoke.
    pub role: Role,
    /// The words. Plain text: escape it before it is shown. Empty with `last` if nothing of the turn stays.
    pub text: String,
    /// Whether this is the last word about this turn.
    pub last: bool,
    /// Where the turn's audio begins, in samples of the speaker's timeline.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
}

/// All audio of the agent's reply was sent, or all before a pause of the agent's: play the rest without waiting for more. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyEnd {
    /// Number in the downlink.
    pub seq: u32,
}

/// The agent was interrupted: whatever audio came before this message and was not played yet is to be dropped. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flush {
    /// Number in the downlink.
    pub seq: u32,
}

/// The agent's sound is held where it is: the user may have begun to speak. A [`Release`], a [`Flush`] and a new epoch end it. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Number in the downlink.
    pub seq: u32,
}

/// The agent's sound goes on where it was held. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
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
    /// A word of a newer relay.
    Unknown,
}

words!(BudgetScope { Session = "session", User = "user", Account = "account" });

/// A budget that applies to the session has reached a threshold: told once for each. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The page is to run a tool and answer with a `tool_result`. Numbered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Number in the downlink.
    pub seq: u32,
    /// Names the call in its result.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// Its arguments, JSON text as the language model wrote it: it may be broken.
    pub arguments: String,
}

/// The result of a tool is not waited for any more. Numbered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCancel {
    /// Number in the downlink.
    pub seq: u32,
    /// The call.
    pub call_id: String,
}

/// What an agent needs in order to converse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ability {
    /// Recognising speech.
    Hearing,
    /// Making an answer.
    Thinking,
    /// Speaking it.
    Speaking,
    /// A word of a newer relay.
    Unknown,
}

words!(Ability { Hearing = "hearing", Thinking = "thinking", Speaking = "speaking" });

/// The agent can do something less well, or not at all, or again as well as ever. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Number in the downlink.
    pub seq: u32,
    /// What it is about.
    pub what: Ability,
    /// Whether it is degraded from now on.
    pub degraded: bool,
}

/// How long the answer of a turn took, as far as it was measured. Numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Number in the downlink.
    pub seq: u32,
    /// The turn of the answer.
    pub turn: u32,
    /// From the end of the user's last word until what was said was understood.
    pub stt_ms: Option<u32>,
    /// From then until the first words of the answer.
    pub llm_ms: Option<u32>,
    /// From then until its first sound came from the voice.
    pub tts_ms: Option<u32>,
    /// From then until the relay sent it.
    pub send_ms: Option<u32>,
    /// From then until the page had played something of it, as its acknowledgements say.
    pub heard_ms: Option<u32>,
    /// From the end of what was said until the answer's first sound was sent, or its first words if it has none.
    pub total_ms: Option<u32>,
}

/// An operator listens in, or does not any more. Numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listened {
    /// Number in the downlink.
    pub seq: u32,
    /// Whether somebody listens.
    pub listening: bool,
}

/// The relay is about to go: the client connects anew and resumes, at a moment of its own within this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// How long the client may wait with that; 0 for at once. The relay closes the connection soon after.
    pub within_ms: u32,
}

/// The fresh token is not good. The one in use stays good until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRefused {
    /// Time left before the connection is closed with 4401.
    pub in_ms: u64,
}
