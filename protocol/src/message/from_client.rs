//! What a client says.

use serde::{Deserialize, Serialize};

use super::{Features, Mark};

/// The first message on every connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The agent to speak with, by its name; the relay's default if there is none.
    pub agent: Option<String>,
    /// What the client speaks beyond the first version.
    #[serde(default)]
    pub features: Features,
}

/// Which session to go on with, and how far the client got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// The session.
    pub session_id: String,
    /// The token from the last `welcome` or `resumed`.
    pub resume_token: String,
    /// The epoch the client is in.
    pub epoch: u32,
    /// The next downlink frame the client expects.
    pub received: u32,
    /// Position in the downlink timeline of that epoch up to which the audio was really played, or will be: with what the client has and goes on
    /// playing. A client of an earlier version does not say it.
    pub played: Option<u32>,
}

/// The client has the downlink up to here, and the user has heard it up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAck {
    /// The next downlink frame the client expects.
    pub received: u32,
    /// Position in the downlink timeline up to which the audio was really played.
    pub played: u32,
}

/// Frames the client dropped, `[from, to)`: stands in for them in the uplink's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first missing frame.
    pub from: Mark,
    /// The frame after the last missing one.
    pub to: Mark,
}

/// The user muted or unmuted; while muted no audio is sent and none is metered. A client that is muted says so again behind audio that it sent
/// since it last did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// Whether the microphone is muted.
    pub muted: bool,
}

/// A fresh access token for the running session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The access token (JWT), of the same `sub`.
    pub token: String,
}

/// A heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Returned unchanged in `pong`.
    pub id: u32,
    /// The round-trip time of the last heartbeat in microseconds, 0 if there was none, for the relay's record.
    pub rtt_us: u32,
}

/// The user hangs up. The relay finishes what it has, answers `ended` and closes with 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// The number after the last uplink frame: the relay waits for all before it.
    pub end: u32,
}

/// The page noticed that the user speaks while the agent does, before the relay can have heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BargeIn {
    /// Position in the downlink timeline up to which the agent was heard then.
    pub played: u32,
}

/// The page holds the agent's sound back, or lets it go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Playback {
    /// Whether it is held.
    pub held: bool,
}
