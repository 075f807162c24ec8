//! The JSON control messages: every shape that is written in `docs/protocol.md`, and no other.
//!
//! Numbers are integers: samples, milliseconds, nano-dollars. Unknown fields are ignored.

mod from_client;
mod from_relay;

pub use from_client::*;
pub use from_relay::*;

use crate::json::{self, Read, object};

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

object!(Mark { seq, position });
