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
use serde::Deserialize;
use serde_json::Value;

use body::Body;
use calls::Calls;

use super::event;
use super::prompt::{call_names, in_turns, paired};
use super::refusal::words;
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
    bounds: |provider, _| provider.deadlines.over_http(),
    price: ItemPrice::model,
};

/// Where newer models want the longest answer under another name, and where a history may have any order.
const OPENAI_HOST: &str = "api.openai.com";
/// One answer of a language model.
pub type Chat = Reply<Completions>;

/// How these servers answer.
pub struct Completions {
    /// Tells words from thoughts in the text.
    thoughts: Thoughts,
    calls: Calls,
}

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
    /// `error` where the chunk is one itself, as with older versions of vLLM.
    object: Option<Value>,
    message: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u32>,
    /// In a stream.
    delta: Option<Delta>,
    /// In an answer that is whole.
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    /// A text, or as with Mistral's reasoning models a list of parts.
    content: Option<Value>,
    /// What a reasoning model thinks, under one of two names or both.
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    tool_calls: Option<Value>,
}

/// Cached tokens are a subset of the prompt's, and thoughts of the completion's (OpenAI's API reference, "Chat, usage"). Gemini and Grok count what
/// was thought in the total only, and bill it as output.
#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
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
        let is_openai = base.host_str() == Some(OPENAI_HOST);
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

impl Completions {
    fn chunk(&mut self, chunk: Chunk, told: &mut Told) {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return told.fail(Failure::new(FailureKind::Provider, words(&error)));
        }
        if chunk.object.as_ref().and_then(Value::as_str) == Some("error") {
            return told.fail(Failure::new(FailureKind::Provider, words(&chunk.message.unwrap_or_default())));
        }
        told.named(chunk.id);
        if let Some(usage) = chunk.usage.as_ref().and_then(Usage::tokens) {
            told.used(Quantity::Tokens(usage));
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.delta(&choice.delta.or(choice.message).unwrap_or_default(), told);
            // What is held back stays so: with some servers every piece says that it is the last one.
            if let Some(reason) = choice.finish_reason.filter(|reason| is_reason(reason)) {
                told.stop(match reason.as_str() {
                    "length" => Finish::Length,
                    "content_filter" => Finish::Filtered,
                    "tool_calls" | "function_call" => Finish::Tools,
                    _ => Finish::Complete,
                });
            }
        }
    }

    fn delta(&mut self, delta: &Delta, told: &mut Told) {
        let read = self.thoughts.read(&delta.text());
        told.thought(read.thought + delta.reasoning().len() + delta.thought());
        told.say(read.words);
        for piece in delta.tool_calls.iter().filter_map(Value::as_array).flatten() {
            self.calls.read(piece);
        }
    }
}

impl Dialect for Completions {
    fn event(&mut self, data: &str, told: &mut Told) {
        if data.trim() == "[DONE]" {
            told.done();
        } else if let Ok(chunk) = serde_json::from_str(data) {
            self.chunk(chunk, told);
        }
    }

    fn whole(&mut self, body: &[u8], told: &mut Told) {
        match serde_json::from_slice(body) {
            Ok(chunk) => {
                // It is all there, whether it says why it ends there or not.
                let is_answer = !chunk.choices.is_empty();
                self.chunk(chunk, told);
                if is_answer {
                    told.done();
                }
            }
            Err(_) => told.fail(Failure::new(FailureKind::Provider, "the answer is no chat completion")),
        }
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

impl Delta {
    /// The words.
    fn text(&self) -> Cow<'_, str> {
        match &self.content {
            Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
            Some(Value::Array(parts)) => Cow::Owned(texts(parts).collect()),
            _ => Cow::Borrowed(""),
        }
    }

    /// Bytes of what is thought in parts.
    fn thought(&self) -> usize {
        let parts = self.content.as_ref().and_then(Value::as_array).into_iter().flatten();
        let thoughts = parts.filter_map(|part| part.get("thinking").and_then(Value::as_array));
        thoughts.map(|parts| texts(parts).map(str::len).sum::<usize>()).sum()
    }

    /// What is thought; the longer text if both names are there, which then say the same.
    fn reasoning(&self) -> &str {
        let fields = [&self.reasoning_content, &self.reasoning];
        let texts = fields.into_iter().filter_map(|field| field.as_ref().and_then(Value::as_str));
        texts.max_by_key(|text| text.len()).unwrap_or_default()
    }
}

impl Usage {
    /// `None` if it says nothing: a null is no zero.
    fn tokens(&self) -> Option<TokenUsage> {
        let (prompt, output) = (self.prompt_tokens?, self.completion_tokens?);
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let cached = cached.unwrap_or(0).min(prompt);
        let output = output.max(self.total_tokens.unwrap_or(0).saturating_sub(prompt));
        Some(TokenUsage { input: prompt - cached, cached, output, ..TokenUsage::default() })
    }
}

/// The texts of parts that have one.
fn texts(parts: &[Value]) -> impl Iterator<Item = &str> {
    parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str))
}

/// `null` for a list that is empty.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
