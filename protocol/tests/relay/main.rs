//! The relay's machine alone, against a script.

mod limits;
#[path = "../relay_bench/mod.rs"]
mod relay_bench;
mod resume;
mod uplink;
mod words;

use std::time::Duration;

use bytes::Bytes;
use protocol::relay::{Attachment, Config, Elsewhere, Input, Link, Output, Saying};
use protocol::{
    Ability, AgentState, AudioHeader, Budget, BudgetScope, Bye, ClientAck, ClientMessage, CloseCode, Codec,
    Degraded, Features, Gap, HEADER_LEN, Hello, Latency, Listened, Mark, Move, Mute, Ping, RelayMessage,
    Resume, Role, Time, ToolCall, ToolCancel, Transcript, Usage,
};
use relay_bench::{Bench, Did, config, hello, mark};

fn pong(id: u32) -> Did {
    Did::Said(protocol::Pong { id }.into())
}

fn error(did: &[Did]) -> Option<&str> {
    did.iter().find_map(|did| match did {
        Did::Said(RelayMessage::ErrorMessage(error)) => Some(error.code.as_str()),
        _ => None,
    })
}
