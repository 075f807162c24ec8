//! What an HTTP provider says when it does not answer.

use serde_json::Value;

use super::Failure;

/// So much of a refusal is read for the log.
const MAX_BYTES: usize = 4 * 1024;
/// Where an error says what is wrong, the best place first. Other fields of some have what they were asked.
const PLACES: [&str; 9] =
    ["message", "error", "msg", "detail", "err_msg", "description", "code", "type", "status"];
/// What is said of an error that says nothing in any of them.
const UNSAID: &str = "it does not say why";

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
        let text = String::from_utf8_lossy(&body);
        let said = match serde_json::from_slice(&body) {
            Ok(error) => words(&error),
            // What is left of JSON that was not read to its end may be anything.
            Err(_) if text.trim_start().starts_with(['{', '[']) => UNSAID.to_owned(),
            Err(_) => text.into_owned(),
        };
        Failure::of_status(status, format!("HTTP {status}: {said}"), retry_after)
    }
}

/// The error that a message has, if it has one. Some servers say with every message that there is none.
pub(super) fn error(message: &Value) -> Option<&Value> {
    let error = message.get("error")?;
    let is_none = match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    };
    (!is_none).then_some(error)
}

/// What an error says is wrong, whatever its shape.
pub(super) fn words(error: &Value) -> String {
    said(error).unwrap_or(UNSAID).to_owned()
}

fn said(error: &Value) -> Option<&str> {
    match error {
        Value::String(text) => Some(text.as_str()).filter(|text| !text.trim().is_empty()),
        Value::Array(several) => several.iter().find_map(said),
        Value::Object(fields) => PLACES.iter().find_map(|name| fields.get(*name).and_then(said)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
