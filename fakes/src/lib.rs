//! Stand-ins for the providers that hear, think and speak: one port, every wire as its provider documents it.
//!
//! A fake shares no type with the relay's codecs. What it says is held to each provider's official client (`tests/providers`), so that
//! it is not this repository's opinion of the wire.
//!
//! * `POST /script` says what comes next on which wire ([`script`]): answers, delays, faults. `DELETE /script` forgets it.
//! * `GET /log` tells what was asked and what was answered ([`log`]), so that a bill can be compared. `DELETE /log` empties it.
//! * Without a script a recogniser hears a word for each 400 ms of loud sound, a model says "You said: …", and a voice gives 60 ms of
//!   tone for each character.
//!
//! A conversation over a WebSocket is a machine (`talk::Conversation`): messages and the time go in, messages come out. How what it says
//! is delayed and spoilt is decided in [`pace`] alone; the two drivers, for HTTP and for WebSockets, only carry it out.

mod anthropic;
mod deepgram;
mod ear;
mod elevenlabs;
mod http;
pub mod log;
mod openai;
pub mod pace;
mod provider;
pub mod script;
mod server;
mod sound;
mod talk;

pub use server::router;
