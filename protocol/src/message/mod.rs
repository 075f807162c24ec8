//! The JSON control messages: every shape that is written in `docs/protocol.md`, and no other.
//!
//! Numbers are integers: samples, milliseconds, nano-dollars. Unknown fields are ignored.

mod from_client;
mod from_relay;
mod upward;

pub use from_client::*;
pub use from_relay::*;
pub use upward::*;

use serde::{Deserialize, Serialize};

use crate::json::{self, Document};

/// The WebSocket subprotocol that both sides must name.
pub const SUBPROTOCOL: &str = "voxrelay.v1";

/// Why a text message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, no `type`, or a field missing or of the wrong type.
    #[error("not a message of this protocol")]
    Malformed,
    /// A `type` this version does not know, or a numbered message that it cannot read. Carries the message's `seq`, since a numbered message
    /// counts all the same.
    #[error("unknown message type")]
    Unknown {
        /// The message's number, if it has one.
        seq: Option<u32>,
    },
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident {
        $($word:literal => $variant:ident,)*
        $(_ => $other:ident,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`, see [`struct@", stringify!($variant), "`].")]
            #[serde(rename = $word)]
            $variant($variant),)*
            $(#[doc = concat!("Any other, see [`struct@", stringify!($other), "`].")]
            #[serde(untagged)]
            $other($other),)?
        }

        impl $name {
            /// The `type` of each, but for those that have a list of their own.
            pub const WORDS: &[&str] = &[$($word,)*];

            /// Reads one text message.
            ///
            /// # Errors
            /// When it is not a message of this kind; nothing else about it can be told.
            pub fn parse(text: &str) -> Result<Self, ParseError> {
                let document = Document::parse(text).ok_or(ParseError::Malformed)?;
                let message = match document.word().ok_or(ParseError::Malformed)?.as_str() {
                    $($word => document.read().map($name::$variant),)*
                    $(word if $other::is(word) => $other::read(word, &document).map($name::$other),)?
                    _ => return Err(ParseError::Unknown { seq: document.seq() }),
                };
                message.ok_or_else(|| match document.seq() {
                    Some(seq) => ParseError::Unknown { seq: Some(seq) },
                    None => ParseError::Malformed,
                })
            }

            /// Writes the message as JSON text.
            #[must_use]
            pub fn to_json(&self) -> String {
                json::write(self)
            }
        }

        $(impl From<$variant> for $name {
            fn from(message: $variant) -> Self {
                $name::$variant(message)
            }
        })*

        $(impl From<$other> for $name {
            fn from(message: $other) -> Self {
                $name::$other(message)
            }
        })?
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
        "barge_in" => BargeIn,
        "playback" => Playback,
        _ => Numbered,
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
        "hold" => Hold,
        "release" => Release,
        "budget" => Budget,
        "tool_call" => ToolCall,
        "tool_cancel" => ToolCancel,
        "degraded" => Degraded,
        "latency" => Latency,
        "listened" => Listened,
        "move" => Move,
        "token_refused" => TokenRefused,
    }
}

/// A place in a direction's timeline: the number of a frame and the position of its first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Number of the frame.
    pub seq: u32,
    /// Samples before the frame, at the rate of the direction's codec.
    pub position: u32,
}

/// What the other side speaks beyond the first version of the protocol: words, most of them the `type` of a message. A side that names none
/// speaks the first version, and nothing else is sent to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Vec<String>>")]
pub struct Features(pub Vec<String>);

/// Whoever says nothing of them has none.
impl From<Option<Vec<String>>> for Features {
    fn from(words: Option<Vec<String>>) -> Self {
        Features(words.unwrap_or_default())
    }
}

impl Features {
    /// The number of samples in the header of an audio frame.
    pub const SAMPLES: &str = "samples";

    /// What this version of a client speaks.
    pub const CLIENT: &[&str] = &[
        Features::SAMPLES,
        "tool_call",
        "tool_cancel",
        "degraded",
        "latency",
        "listened",
        "hold",
        "move",
        "token_refused",
    ];

    /// What this version of a relay's link speaks; whether its agent does is another matter.
    pub const RELAY: &[&str] = &[
        Features::SAMPLES,
        "text",
        "say",
        "context",
        "variables",
        "tool_result",
        "correction",
        "barge_in",
        "playback",
    ];

    /// Whether the word is among them.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }
}

impl From<&[&str]> for Features {
    fn from(words: &[&str]) -> Self {
        Features(words.iter().map(|word| (*word).to_owned()).collect())
    }
}

/// Whatever may carry a `type`.
#[derive(Deserialize)]
struct Head {
    r#type: String,
}

/// Whatever may have a number.
#[derive(Deserialize)]
struct Place {
    seq: u32,
}

impl Document<'_> {
    fn word(&self) -> Option<String> {
        self.read().map(|head: Head| head.r#type)
    }

    fn seq(&self) -> Option<u32> {
        self.read().map(|place: Place| place.seq)
    }
}
