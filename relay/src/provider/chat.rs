//! The wire of OpenAI's chat completions, and of everything that is compatible with it.
//!
//! One `POST`, answered by server-sent events (OpenAI's API reference, "Chat, streaming"). Servers differ: a first event without a
//! choice, a last one with nothing but the usage, a choice without a `delta`, `content: null`, a reason to stop that is empty or comes before
//! more of the text, no `[DONE]`, comments in between, an error as an event in the middle, or an event that is one, the text in parts, thoughts in
//! a field of their own, in parts of theirs or in the text. All of it is read; what cannot be read is left out, and an answer that never had an
//! event is a failure.

mod body;
mod calls;

use std::borrow::Cow;

use reqwest::Url;
use serde_json::Value;

use body::Body;
use calls::Calls;

use super::event;
use super::fields::{name, whole};
use super::prompt::{call_names, in_turns, paired};
use super::refusal::{error, words};
use super::registry::model_line;
use super::reply::{Dialect, Reply, Told, is_reason};
use super::thoughts::Thoughts;
use super::{Ask, Event, Failure, FailureKind, Finish, Kind, Provider, Service, Target};
use crate::config::Secret;
use crate::money::bill::{ItemPrice, Quantity, TokenUsage};

/// OpenAI's chat completions, and everything that is compatible with it.
pub(super) const OPENAI_CHAT: Kind = Kind {
    name: "openai-chat",
    service: Service::LanguageModel,
    is_fed: false,
    needs_voice: false,
    default_url: "https://api.openai.com/v1/",
    vendor: "openai",
    line: model_line,
    codec: |provider, ask| {
        let Ask::Chat(ask) = ask else { return None };
        let Provider { base_url, key, model, thinks_first, .. } = provider;
        Some(Box::new(Chat::new(base_url, key.as_ref(), model, ask, *thinks_first)))
    },
    bounds: |provider, ask| provider.deadlines.of_a_model(ask),
    price: ItemPrice::model,
};

/// Where OpenAI's own models are, in any region: newer ones want the longest answer under another name, and all take a history in any order.
const OPENAI_HOSTS: [&str; 2] = ["api.openai.com", "openai.azure.com"];
/// One answer of a language model.
pub type Chat = Reply<Completions>;

/// How these servers answer.
pub struct Completions {
    /// Tells words from thoughts in the text.
    thoughts: Thoughts,
    calls: Calls,
}

impl Reply<Completions> {
    /// Asks `model` at `base`, such as `https://api.openai.com/v1/`, which ends with a slash. The text of an answer of one that `thinks_first`
    /// begins with a thought, of which only the end is marked.
    ///
    /// # Panics
    /// Never: any address can be the base of a path, if it can be the base of anything, which the configuration has checked.
    #[must_use]
    pub fn new(base: &Url, key: Option<&Secret>, model: &str, ask: &event::Chat, thinks_first: bool) -> Chat {
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", "text/event-stream".to_owned())];
        if let Some(key) = key {
            headers.push(("authorization", format!("Bearer {}", key.expose())));
        }
        let is_openai = base.host_str().is_some_and(is_openai);
        let messages = paired(&ask.messages);
        // OpenAI's own models take any order.
        let messages = if is_openai { messages } else { in_turns(messages) };
        let body = Body::new(model, &messages, ask, is_openai);
        let body = serde_json::to_vec(&body).expect("it has texts and numbers only");
        let call_names = call_names(&body);
        let target = Target {
            url: base.join("chat/completions").expect("the configuration takes http and https only"),
            headers,
            body,
        };
        let thoughts = Thoughts::new(thinks_first);
        Reply::ask(target, Completions { thoughts, calls: Calls::new(call_names) })
    }
}

/// What comes is read field by field: one that is something else than it should be takes nothing else along.
impl Completions {
    fn chunk(&mut self, chunk: &Value, told: &mut Told) {
        if let Some(error) = error(chunk) {
            return told.fail(Failure::new(FailureKind::Provider, words(error)));
        }
        // With older versions of vLLM the chunk is one itself.
        if chunk.get("object").and_then(Value::as_str) == Some("error") {
            let said = chunk.get("message").unwrap_or(&Value::Null);
            return told.fail(Failure::new(FailureKind::Provider, words(said)));
        }
        told.named(chunk.get("id").and_then(name));
        if let Some(usage) = chunk.get("usage").and_then(tokens) {
            told.used(Quantity::Tokens(usage));
        }
        for choice in choices(chunk) {
            // An answer that is whole has a message.
            let delta = choice.get("delta").filter(|delta| delta.is_object());
            if let Some(delta) = delta.or_else(|| choice.get("message")) {
                self.delta(delta, told);
            }
            let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
            // What is held back stays so: with some servers every piece says that it is the last one.
            if is_reason(reason) {
                told.stop(match reason {
                    "length" => Finish::Length,
                    "content_filter" => Finish::Filtered,
                    "tool_calls" | "function_call" => Finish::Tools,
                    _ => Finish::Complete,
                });
            }
        }
    }

    fn delta(&mut self, delta: &Value, told: &mut Told) {
        let text = text(delta);
        // Half of a tag is kept until the rest of it is there.
        if !text.is_empty() {
            told.go_on();
        }
        let read = self.thoughts.read(&text);
        told.thought(read.thought + reasoning(delta).len() + thought(delta));
        told.say(read.words);
        for piece in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            told.go_on();
            self.calls.read(piece);
        }
    }
}

impl Dialect for Completions {
    fn event(&mut self, data: &str, told: &mut Told) {
        if data.trim() == "[DONE]" {
            told.done();
        } else if let Ok(chunk) = serde_json::from_str(data) {
            self.chunk(&chunk, told);
        }
    }

    fn whole(&mut self, body: &[u8], told: &mut Told) {
        let chunk: Value = serde_json::from_slice(body).unwrap_or_default();
        self.chunk(&chunk, told);
        // It is all there, whether it says why it ends there or not.
        if choices(&chunk).next().is_some() {
            told.done();
        }
        told.fail(Failure::new(FailureKind::Provider, "the answer is no chat completion"));
    }

    fn rest(&mut self, told: &mut Told) {
        let read = self.thoughts.end();
        told.thought(read.thought);
        told.say(read.words);
        for call in self.calls.take() {
            // Some say that they stopped, and not why.
            if told.finish() == Finish::Complete {
                told.stop(Finish::Tools);
            }
            told.tell(Event::ToolCall(call));
        }
    }
}

/// Whether a host is one of OpenAI's, such as `eu.api.openai.com`.
fn is_openai(host: &str) -> bool {
    OPENAI_HOSTS
        .iter()
        .any(|own| host.strip_suffix(own).is_some_and(|region| region.is_empty() || region.ends_with('.')))
}

/// The first choice, as far as the chunk has something of it.
fn choices(chunk: &Value) -> impl Iterator<Item = &Value> {
    let choices = chunk.get("choices").and_then(Value::as_array).into_iter().flatten();
    choices.filter(|choice| choice.get("index").and_then(whole).unwrap_or(0) == 0)
}

/// The words: a text, or as with Mistral's reasoning models a list of parts.
fn text(delta: &Value) -> Cow<'_, str> {
    match delta.get("content") {
        Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
        Some(Value::Array(parts)) => Cow::Owned(texts(parts).collect()),
        _ => Cow::Borrowed(""),
    }
}

/// Bytes of what is thought in parts.
fn thought(delta: &Value) -> usize {
    let parts = delta.get("content").and_then(Value::as_array).into_iter().flatten();
    let thoughts = parts.filter_map(|part| part.get("thinking").and_then(Value::as_array));
    thoughts.map(|parts| texts(parts).map(str::len).sum::<usize>()).sum()
}

/// What a reasoning model thinks, under one of two names; the longer text if both are there, which then say the same.
fn reasoning(delta: &Value) -> &str {
    let fields = ["reasoning_content", "reasoning"];
    let texts = fields.into_iter().filter_map(|field| delta.get(field).and_then(Value::as_str));
    texts.max_by_key(|text| text.len()).unwrap_or_default()
}

/// What was used; `None` if that says nothing: a null is no zero. Cached tokens are a subset of the prompt's, and thoughts of the completion's
/// (OpenAI's API reference, "Chat, usage"). Gemini and Grok count what was thought in the total only, and bill it as output.
fn tokens(usage: &Value) -> Option<TokenUsage> {
    let count = |usage: &Value, name: &str| usage.get(name).and_then(whole);
    let (prompt, output) = (count(usage, "prompt_tokens")?, count(usage, "completion_tokens")?);
    let cached = usage.get("prompt_tokens_details").and_then(|details| count(details, "cached_tokens"));
    let cached = cached.unwrap_or(0).min(prompt);
    let output = output.max(count(usage, "total_tokens").unwrap_or(0).saturating_sub(prompt));
    Some(TokenUsage { input: prompt - cached, cached, output, ..TokenUsage::default() })
}

/// The texts of parts that have one.
fn texts(parts: &[Value]) -> impl Iterator<Item = &str> {
    parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str))
}

#[cfg(test)]
mod tests;
