//! The wire of Anthropic's messages.
//!
//! One `POST`, answered by server-sent events (Anthropic's API reference, "Messages, streaming"). What a model thinks is not told, only how
//! long it was: in blocks of its own or, as with some models behind servers that are compatible with this wire, in the text. Usage is cumulative, and comes at the beginning and at the end. What cannot be read is left out.

mod body;

use reqwest::Url;
use serde_json::Value;

use body::Body;

use super::event;
use super::fields::{is_nothing, name, whole};
use super::prompt::{call_names, paired};
use super::refusal::words;
use super::registry::model_line;
use super::reply::{Dialect, Reply, Told, is_reason};
use super::thoughts::Thoughts;
use super::{Ask, Event, Failure, FailureKind, Finish, Kind, Service, Target, ToolCall};
use crate::config::Secret;
use crate::money::bill::{AnthropicUsage, AnthropicWritten, ItemPrice, Quantity, TokenUsage};

/// Anthropic's messages.
pub(super) const ANTHROPIC: Kind = Kind {
    name: "anthropic",
    service: Service::LanguageModel,
    is_fed: false,
    needs_voice: false,
    default_url: "https://api.anthropic.com/v1/",
    vendor: "anthropic",
    line: model_line,
    codec: |provider, ask| {
        let Ask::Chat(ask) = ask else { return None };
        Some(Box::new(Anthropic::new(&provider.base_url, provider.key.as_ref(), &provider.model, ask)))
    },
    bounds: |provider, ask| provider.deadlines.of_a_model(ask),
    price: ItemPrice::model,
};

/// The version of the wire.
const VERSION: &str = "2023-06-01";
/// The calls that one answer may have; more are left out.
const CALLS_MAX: usize = 64;

/// One answer of a language model.
type Anthropic = Reply<Messages>;

/// How Anthropic answers.
#[derive(Default)]
struct Messages {
    /// Tells words from thoughts in the text of all blocks.
    thoughts: Thoughts,
    usage: AnthropicUsage,
    /// Calls that are not whole.
    calls: Vec<Open>,
    /// Calls that were begun.
    called: usize,
    /// What the names of calls begin with that have none.
    call_names: String,
}

/// A call whose arguments are coming.
struct Open {
    index: Option<u64>,
    call: ToolCall,
    /// The arguments that it began with.
    given: Value,
}

impl Reply<Messages> {
    /// Asks `model` at `base`, such as `https://api.anthropic.com/v1/`, which ends with a slash.
    fn new(base: &Url, key: Option<&Secret>, model: &str, ask: &event::Chat) -> Anthropic {
        let messages = paired(&ask.messages);
        let body =
            serde_json::to_vec(&Body::new(model, &messages, ask)).expect("it has texts and numbers only");
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("accept", "text/event-stream".to_owned()),
            ("anthropic-version", VERSION.to_owned()),
        ];
        if let Some(key) = key {
            headers.push(("x-api-key", key.expose().to_owned()));
        }
        let call_names = call_names(&body);
        let url = base.join("messages").expect("the configuration takes http and https only");
        Reply::ask(Target { url, headers, body }, Messages { call_names, ..Messages::default() })
    }
}

impl Messages {
    fn said(&mut self, said: &Value, told: &mut Told) {
        let index = said.get("index").and_then(whole);
        match text(said, "type") {
            "message_start" => {
                let message = said.get("message").unwrap_or(&Value::Null);
                told.named(message.get("id").and_then(name));
                self.used(message, told);
            }
            "content_block_start" => {
                let block = said.get("content_block").unwrap_or(&Value::Null);
                match text(block, "type") {
                    "text" => self.say(text(block, "text"), told),
                    "tool_use" => self.call(index, block),
                    // Thoughts, and what is for nobody here.
                    _ => {}
                }
            }
            "content_block_delta" => self.delta(index, said.get("delta").unwrap_or(&Value::Null), told),
            "content_block_stop" => {
                self.say_held(told);
                self.tell_calls(|open| open.index == index, told);
            }
            "message_delta" => {
                self.used(said, told);
                stop(said.get("delta").unwrap_or(&Value::Null), told);
            }
            "message_stop" => told.done(),
            "error" => told.fail(failure(said)),
            "ping" => told.keep_alive(),
            // What may come one day.
            _ => {}
        }
    }

    fn delta(&mut self, index: Option<u64>, delta: &Value, told: &mut Told) {
        match text(delta, "type") {
            "text_delta" => self.say(text(delta, "text"), told),
            "thinking_delta" => told.thought(text(delta, "thinking").len()),
            "input_json_delta" => {
                if let Some(open) = self.calls.iter_mut().rfind(|open| open.index == index) {
                    open.call.arguments.push_str(text(delta, "partial_json"));
                }
            }
            // Signatures, citations, and what may come one day.
            _ => {}
        }
    }

    /// More of the text.
    fn say(&mut self, text: &str, told: &mut Told) {
        let read = self.thoughts.read(text);
        told.thought(read.thought);
        told.say(read.words);
    }

    /// A block of text is over: what was held back of it is said before what follows.
    fn say_held(&mut self, told: &mut Told) {
        let read = self.thoughts.end();
        told.thought(read.thought);
        told.say(read.words);
    }

    /// A call begins.
    fn call(&mut self, index: Option<u64>, block: &Value) {
        let name = text(block, "name").to_owned();
        if name.is_empty() || self.called == CALLS_MAX {
            return;
        }
        self.called += 1;
        let id = match text(block, "id") {
            "" => format!("{}_{}", self.call_names, self.called),
            id => id.to_owned(),
        };
        let given = block.get("input").cloned().unwrap_or_default();
        self.calls.push(Open { index, call: ToolCall { id, name, arguments: String::new() }, given });
    }

    /// These calls are whole.
    fn tell_calls(&mut self, are_whole: impl Fn(&Open) -> bool, told: &mut Told) {
        for Open { mut call, given, .. } in self.calls.extract_if(.., |open| are_whole(open)) {
            if is_nothing(&call.arguments) {
                let object = if given.is_object() { given } else { Value::Object(Default::default()) };
                call.arguments = object.to_string();
            }
            told.tell(Event::ToolCall(call));
        }
    }

    /// A later number takes the place of an earlier one.
    fn used(&mut self, said: &Value, told: &mut Told) {
        let Some(usage) = said.get("usage") else { return };
        let before = self.usage;
        self.usage.overwrite(&usage_of(usage));
        if self.usage != before {
            told.used(Quantity::Tokens(TokenUsage::anthropic(&self.usage)));
        }
    }
}

impl Dialect for Messages {
    fn event(&mut self, data: &str, told: &mut Told) {
        if let Ok(said) = serde_json::from_str(data) {
            self.said(&said, told);
        }
    }

    fn whole(&mut self, body: &[u8], told: &mut Told) {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        if text(&said, "type") == "error" {
            return told.fail(failure(&said));
        }
        let Some(content) = said.get("content").and_then(Value::as_array) else {
            return told.fail(Failure::new(FailureKind::Provider, "the answer is no message"));
        };
        told.named(said.get("id").and_then(name));
        self.used(&said, told);
        for block in content {
            match text(block, "type") {
                "text" => self.say(text(block, "text"), told),
                "tool_use" => self.call(None, block),
                _ => {}
            }
        }
        stop(&said, told);
        told.done();
    }

    fn rest(&mut self, told: &mut Told) {
        self.say_held(told);
        self.tell_calls(|_| true, told);
    }
}

/// What was used, field by field: one that is no number takes nothing else along.
fn usage_of(usage: &Value) -> AnthropicUsage {
    let count = |usage: &Value, name: &str| usage.get(name).and_then(whole);
    let written = usage.get("cache_creation").filter(|written| written.is_object());
    AnthropicUsage {
        input_tokens: count(usage, "input_tokens"),
        cache_creation_input_tokens: count(usage, "cache_creation_input_tokens"),
        cache_creation: written.map(|written| AnthropicWritten {
            ephemeral_5m_input_tokens: count(written, "ephemeral_5m_input_tokens"),
            ephemeral_1h_input_tokens: count(written, "ephemeral_1h_input_tokens"),
        }),
        cache_read_input_tokens: count(usage, "cache_read_input_tokens"),
        output_tokens: count(usage, "output_tokens"),
    }
}

/// Why it stops, if that is said.
fn stop(said: &Value, told: &mut Told) {
    let finish = match text(said, "stop_reason") {
        words if !is_reason(words) => return,
        "tool_use" => Finish::Tools,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "refusal" => Finish::Filtered,
        _ => Finish::Complete,
    };
    told.stop(finish);
}

/// The text of a field; empty if it has none.
fn text<'a>(said: &'a Value, field: &str) -> &'a str {
    said.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// What an error is that comes instead of an answer, or in the middle of one (Anthropic's API reference, "Errors").
fn failure(said: &Value) -> Failure {
    let error = said.get("error").unwrap_or(said);
    let kind = match text(error, "type").trim_end_matches("_error") {
        "overloaded" | "rate_limit" => FailureKind::Busy,
        "authentication" => FailureKind::Key,
        "permission" => FailureKind::Permission,
        "billing" => FailureKind::Payment,
        "invalid_request" | "not_found" | "request_too_large" => FailureKind::Request,
        "timeout" => FailureKind::Timeout,
        _ => FailureKind::Provider,
    };
    Failure::new(kind, words(error))
}

#[cfg(test)]
mod tests;
