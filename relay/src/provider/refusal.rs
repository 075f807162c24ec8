//! What an HTTP provider says when it does not answer.

use super::Failure;

/// So much of a refusal is read for the log.
const MAX_BYTES: usize = 4 * 1024;

/// The words of a provider that refuses, as they come.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    retry_after: Option<u32>,
    body: Vec<u8>,
}

impl Refusal {
    /// A refusal with this status; `retry_after` is whole seconds.
    pub(super) fn new(status: u16, retry_after: Option<u32>) -> Refusal {
        Refusal { status, retry_after, body: Vec::new() }
    }

    /// More of its body. What is beyond a log line's need is dropped.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let room = MAX_BYTES.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The failure that it is, with the provider's words.
    pub(super) fn failure(self) -> Failure {
        let Refusal { status, retry_after, body } = self;
        let said = serde_json::from_slice(&body).map_or_else(
            |_| String::from_utf8_lossy(&body).into_owned(),
            |value: serde_json::Value| words(value.get("error").unwrap_or(&value)),
        );
        Failure::of_status(status, format!("HTTP {status}: {said}"), retry_after)
    }
}

/// What an error object says, whatever its shape.
pub(super) fn words(error: &serde_json::Value) -> String {
    let known = ["message", "detail", "err_msg", "description"];
    let message = known.iter().find_map(|name| error.get(name)).unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}
