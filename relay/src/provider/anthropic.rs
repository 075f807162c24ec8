//! The wire of Anthropic's messages.
//!
//! One `POST`, answered by server-sent events (Anthropic's API reference, "Messages, streaming"). What a model thinks is not told, only how
//! long it was. Usage is cumulative, and comes at the beginning and at the end. What cannot be read is left out.

mod body;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use reqwest::Url;
use serde_json::Value;

use body::Body;

use super::event;
use super::incoming::Incoming;
use super::prompt::{call_names, paired};
use super::refusal::words;
use super::{
    Answer, Ask, Bounds, Codec, Event, Failure, FailureKind, Finish, Input, Kind, Opening, Output, Service,
    Target, ToolCall,
};
use crate::config::Secret;
use crate::money::bill::{AnthropicUsage, ItemPrice, Quantity, TokenUsage};

/// Anthropic's messages.
pub(super) const ANTHROPIC: Kind = Kind {
    name: "anthropic",
    service: Service::LanguageModel,
    is_fed: false,
    finds_turns: false,
    most_characters: None,
    needs_voice: false,
    default_url: "https://api.anthropic.com/v1/",
    codec: |provider, ask| {
        let Ask::Chat(ask) = ask else { return None };
        Some(Box::new(Anthropic::new(&provider.base_url, provider.key.as_ref(), &provider.model, ask)))
    },
    bounds: |provider, _| Bounds {
        head: provider.timeout,
        first: Some(provider.timeout),
        ..Bounds::default()
    },
    price: ItemPrice::model,
};

/// The version of the wire.
const VERSION: &str = "2023-06-01";
/// After the reason for its end, the end itself is waited for this long.
const END_WITHIN: Duration = Duration::from_secs(2);
/// The calls that one answer may have; more are left out.
const CALLS_MAX: usize = 64;

/// One answer of a language model.
struct Anthropic {
    opening: Option<Opening>,
    incoming: Incoming,
    outputs: VecDeque<Output>,
    answer: Answer,
    usage: AnthropicUsage,
    /// The `id` of the message, should no header name the request.
    id: Option<String>,
    /// Calls that are not whole.
    calls: Vec<Open>,
    /// Calls that were begun.
    called: usize,
    /// What the names of calls begin with that have none.
    call_names: String,
    /// The reason for its end was said.
    finished: bool,
    finished_at: Option<Time>,
}

/// A call whose arguments are coming.
struct Open {
    index: Option<u64>,
    call: ToolCall,
    /// The arguments that it began with.
    given: Value,
}

impl Anthropic {
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
        Anthropic {
            opening: Some(Opening::Http(Target { url, headers, body })),
            incoming: Incoming::Waiting,
            outputs: VecDeque::new(),
            answer: Answer::default(),
            usage: AnthropicUsage::default(),
            id: None,
            calls: Vec::new(),
            called: 0,
            call_names,
            finished: false,
            finished_at: None,
        }
    }

    fn events(&mut self) {
        while let Some(data) = self.incoming.next_event() {
            if let Ok(said) = serde_json::from_str(&data) {
                self.said(&said);
            }
        }
    }

    fn said(&mut self, said: &Value) {
        let index = said.get("index").and_then(Value::as_u64);
        match text(said, "type") {
            "message_start" => {
                let message = said.get("message").unwrap_or(&Value::Null);
                self.id = message.get("id").and_then(Value::as_str).map(str::to_owned);
                self.used(message);
            }
            "content_block_start" => {
                let block = said.get("content_block").unwrap_or(&Value::Null);
                match text(block, "type") {
                    "text" => self.say(text(block, "text")),
                    "tool_use" => self.call(index, block),
                    // Thoughts, and what is for nobody here.
                    _ => {}
                }
            }
            "content_block_delta" => self.delta(index, said.get("delta").unwrap_or(&Value::Null)),
            "content_block_stop" => self.tell_calls(|open| open.index == index),
            "message_delta" => {
                self.used(said);
                self.stop(said.get("delta").unwrap_or(&Value::Null));
            }
            "message_stop" => self.finish(),
            "error" => self.fail(failure(said)),
            // `ping`, and what may come one day.
            _ => {}
        }
    }

    fn delta(&mut self, index: Option<u64>, delta: &Value) {
        match text(delta, "type") {
            "text_delta" => self.say(text(delta, "text")),
            "thinking_delta" => {
                let bytes = text(delta, "thinking").len();
                if bytes > 0 {
                    self.tell(Event::Thought { bytes });
                }
            }
            "input_json_delta" => {
                if let Some(open) = self.calls.iter_mut().rfind(|open| open.index == index) {
                    open.call.arguments.push_str(text(delta, "partial_json"));
                }
            }
            // Signatures, citations, and what may come one day.
            _ => {}
        }
    }

    fn say(&mut self, words: &str) {
        if !words.is_empty() {
            self.tell(Event::Text(words.to_owned()));
        }
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
    fn tell_calls(&mut self, are_whole: impl Fn(&Open) -> bool) {
        for Open { mut call, given, .. } in self.calls.extract_if(.., |open| are_whole(open)) {
            if call.arguments.trim().is_empty() {
                let object = if given.is_object() { given } else { Value::Object(Default::default()) };
                call.arguments = object.to_string();
            }
            self.outputs.push_back(Output::Event(Event::ToolCall(call)));
        }
    }

    /// A later number takes the place of an earlier one.
    fn used(&mut self, said: &Value) {
        let usage = said.get("usage").cloned().and_then(|usage| serde_json::from_value(usage).ok());
        let Some(usage) = usage else { return };
        let before = self.usage;
        self.usage.overwrite(&usage);
        if self.usage == before {
            return;
        }
        let used = Quantity::Tokens(TokenUsage::anthropic(&self.usage));
        self.answer.usage = Some(used);
        self.tell(Event::Usage(used));
    }

    /// Why it stops, if that is said.
    fn stop(&mut self, said: &Value) {
        let reason = text(said, "stop_reason");
        if reason.is_empty() {
            return;
        }
        self.finished = true;
        self.answer.finish = match reason {
            "tool_use" => Finish::Tools,
            "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "refusal" => Finish::Filtered,
            _ => Finish::Complete,
        };
    }

    /// The connection has nothing more.
    fn end(&mut self) {
        self.incoming.close();
        self.events();
        match self.incoming.take() {
            Incoming::Events { .. } if self.finished => self.finish(),
            Incoming::Whole(body) => self.whole(&serde_json::from_slice(&body).unwrap_or_default()),
            Incoming::Refused(refusal) => self.fail(refusal.failure()),
            // The exchange says that it broke off.
            Incoming::Events { .. } | Incoming::Waiting | Incoming::Over => {}
        }
    }

    /// An answer that came in one piece.
    fn whole(&mut self, said: &Value) {
        if text(said, "type") == "error" {
            return self.fail(failure(said));
        }
        let Some(content) = said.get("content").and_then(Value::as_array) else {
            return self.fail(Failure::new(FailureKind::Provider, "the answer is no message"));
        };
        self.id = said.get("id").and_then(Value::as_str).map(str::to_owned);
        self.used(said);
        for block in content {
            match text(block, "type") {
                "text" => self.say(text(block, "text")),
                "tool_use" => self.call(None, block),
                _ => {}
            }
        }
        self.stop(said);
        self.finish();
    }

    fn finish(&mut self) {
        self.tell_calls(|_| true);
        self.incoming = Incoming::Over;
        self.answer.request_id = self.answer.request_id.take().or(self.id.take());
        let answer = std::mem::take(&mut self.answer);
        self.tell(Event::Finished(answer));
    }

    fn fail(&mut self, failure: Failure) {
        self.incoming = Incoming::Over;
        self.tell(Event::Failed(failure));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

impl Codec for Anthropic {
    fn open(&mut self) -> Opening {
        self.opening.take().expect("an exchange opens its codec once")
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Head { status, retry_after, request_id, media_type } => {
                self.answer.request_id = request_id.map(str::to_owned);
                self.incoming.begin(status, retry_after, media_type);
            }
            Input::Bytes(bytes) => {
                self.incoming.read(bytes);
                self.events();
            }
            Input::End => self.end(),
            Input::Timeout if self.poll_timeout().is_some_and(|due| due <= now) => self.finish(),
            Input::Text(_) | Input::Binary(_) | Input::Lost(_) | Input::Feed(_) | Input::Timeout => {}
        }
        if self.finished && self.finished_at.is_none() {
            self.finished_at = Some(now);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.finished_at.filter(|_| self.incoming.is_stream()).map(|finished| finished + END_WITHIN)
    }
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
        "authentication" | "permission" => FailureKind::Key,
        "billing" => FailureKind::Payment,
        "invalid_request" | "not_found" | "request_too_large" => FailureKind::Request,
        "timeout" => FailureKind::Timeout,
        _ => FailureKind::Provider,
    };
    Failure::new(kind, words(error))
}

#[cfg(test)]
mod tests;
