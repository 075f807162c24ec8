//! The Voxrelay protocol: messages, the binary audio frame, error and close codes, and both ends of the link as sans-IO machines.
//!
//! `docs/protocol.md` says the same for those who write another client. No sockets, no clock, no randomness of its own: time
//! ([`Time`]) and seeds are arguments, so thousands of calls over terrible networks run in a second of a test.
//!
//! # Run loop
//! Every machine here is used in the same way: **one input, then drain, then one timer**.
//!
//! ```
//! use protocol::Time;
//! use protocol::client::{Client, Config, Input, Output};
//!
//! let mut client = Client::new(Config::default());
//! client.handle_input(Time::ZERO, Input::Start);
//! while let Some(output) = client.poll_output() {
//!     match output {
//!         Output::RequestToken => { /* ask the application */ }
//!         Output::Connect => { /* open a socket */ }
//!         _ => {}
//!     }
//! }
//! let timer = client.poll_timeout(); // then: Input::Timeout
//! assert!(timer.is_some());
//! ```
//!
//! Errors of the other side become messages, close codes or dropped connections, never a panic and never an `Err`.

pub mod client;
mod codes;
mod frame;
mod json;
mod message;
pub mod relay;
mod replay;
mod time;

pub use codes::{CloseCode, CloseInfo, ErrorCode, ErrorInfo, HttpCode, HttpInfo, Reaction};
pub use frame::{AudioHeader, Codec, HEADER_LEN};
pub use message::*;
pub use time::{Time, micros};

/// Writes JSON text as messages are written in a page. Kinds of values that no message has (numbers that are negative or not whole, bytes, tuples,
/// variants with fields in a list) end in a panic.
#[must_use]
pub fn write_json(value: &impl serde::Serialize) -> String {
    json::write(value)
}

/// Reads JSON text as messages are read in a page: objects, lists, texts, whole numbers from 0 on, booleans and what may be missing. Nothing if it is
/// not as it has to be; a type that asks for anything else ends in a panic.
#[must_use]
pub fn read_json<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<T> {
    json::Document::parse(text)?.read()
}
