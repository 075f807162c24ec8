//! The wire of OpenAI's chat completions, and of everything that is compatible with it.
//!
//! One `POST`, answered by server-sent events (OpenAI's API reference, "Chat, streaming"). Servers differ: a first event without a
//! choice, a last one with nothing but the usage, a choice without a `delta`, `content: null`, no `[DONE]`, comments in between, an error
//! as an event in the middle, thoughts in a field of their own or in the text. All of it is read; what cannot be read is left out, and an
//! answer that never had an event is a failure.

mod body;
mod calls;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use body::Body;
use calls::Calls;

use super::event;
use super::incoming::Incoming;
use super::prompt::{call_names, paired};
use super::refusal::words;
use super::thoughts::Thoughts;
use super::{
    Answer, Ask, Bounds, Codec, Event, Failure, FailureKind, Finish, Input, Kind, Opening, Output, Service,
    Target,
};
use crate::config::Secret;
use crate::money::bill::{ItemPrice, Quantity, TokenUsage};

/// OpenAI's chat completions, and everything that is compatible with it.
pub(super) const OPENAI_CHAT: Kind = Kind {
    name: "openai-chat",
    service: Service::LanguageModel,
    is_fed: false,
    finds_turns: false,
    needs_voice: false,
    most_characters: None,
    default_url: "https://api.openai.com/v1/",
    codec: |provider, ask| {
        let Ask::Chat(ask) = ask else { return None };
        Some(Box::new(Chat::new(&provider.base_url, provider.key.as_ref(), &provider.model, ask)))
    },
    bounds: |provider, _| Bounds {
        head: provider.timeout,
        first: Some(provider.timeout),
        ..Bounds::default()
    },
    price: ItemPrice::model,
};

/// Where newer models want the longest answer under another name.
const OPENAI_HOST: &str = "api.openai.com";
/// After the reason for its end, an answer's usage is waited for this long: not every server sends one, or says that it is done.
const USAGE_WITHIN: Duration = Duration::from_secs(2);

/// One answer of a language model.
pub struct Chat {
    opening: Option<Opening>,
    incoming: Incoming,
    outputs: VecDeque<Output>,
    answer: Answer,
    /// Tells words from thoughts in the text.
    thoughts: Thoughts,
    calls: Calls,
    /// The `id` of the events, should no header name the request.
    id: Option<String>,
    /// The reason for its end was said; only the usage may follow.
    finished: bool,
    finished_at: Option<Time>,
}

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
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
    content: Option<String>,
    /// What a reasoning model thinks, under one of two names or both.
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    tool_calls: Option<Value>,
}

/// Cached tokens are a subset of the prompt's (OpenAI's API reference, "Chat, usage").
#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl Chat {
    /// Asks `model` at `base`, such as `https://api.openai.com/v1/`, which ends with a slash.
    ///
    /// # Panics
    /// Never: any address can be the base of a path, if it can be the base of anything, which the configuration has checked.
    #[must_use]
    pub fn new(base: &Url, key: Option<&Secret>, model: &str, ask: &event::Chat) -> Chat {
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", "text/event-stream".to_owned())];
        if let Some(key) = key {
            headers.push(("authorization", format!("Bearer {}", key.expose())));
        }
        let messages = paired(&ask.messages);
        let is_openai = base.host_str() == Some(OPENAI_HOST);
        let body = Body::new(model, &messages, ask, is_openai);
        let body = serde_json::to_vec(&body).expect("it has texts and numbers only");
        let call_names = call_names(&body);
        let target = Target {
            url: base.join("chat/completions").expect("the configuration takes http and https only"),
            headers,
            body,
        };
        Chat {
            opening: Some(Opening::Http(target)),
            incoming: Incoming::Waiting,
            outputs: VecDeque::new(),
            answer: Answer::default(),
            thoughts: Thoughts::new(),
            calls: Calls::new(call_names),
            id: None,
            finished: false,
            finished_at: None,
        }
    }

    fn events(&mut self) {
        while let Some(data) = self.incoming.next_event() {
            if data.trim() == "[DONE]" {
                return self.finish();
            }
            if let Ok(chunk) = serde_json::from_str(&data) {
                self.chunk(chunk);
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk) {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return self.fail(Failure::new(FailureKind::Provider, words(&error)));
        }
        self.id = self.id.take().or(chunk.id);
        // A later one takes the place of an earlier one.
        if let Some(usage) = chunk.usage.as_ref().and_then(Usage::tokens) {
            let used = Quantity::Tokens(usage);
            self.answer.usage = Some(used);
            self.tell(Event::Usage(used));
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.delta(&choice.delta.or(choice.message).unwrap_or_default());
            if let Some(reason) = choice.finish_reason {
                self.finished = true;
                self.answer.finish = match reason.as_str() {
                    "length" => Finish::Length,
                    "content_filter" => Finish::Filtered,
                    "tool_calls" | "function_call" => Finish::Tools,
                    _ => Finish::Complete,
                };
                self.tell_rest();
            }
        }
    }

    fn delta(&mut self, delta: &Delta) {
        let told = self.thoughts.read(delta.content.as_deref().unwrap_or_default());
        let reasoning = delta.reasoning().len();
        if told.thought + reasoning > 0 {
            self.tell(Event::Thought { bytes: told.thought + reasoning });
        }
        self.say(told.words);
        for piece in delta.tool_calls.iter().filter_map(Value::as_array).flatten() {
            self.calls.read(piece);
        }
    }

    fn say(&mut self, words: String) {
        if !words.is_empty() {
            self.tell(Event::Text(words));
        }
    }

    /// Nothing more is said: what was held back is told, and what it calls.
    fn tell_rest(&mut self) {
        let words = self.thoughts.end();
        self.say(words);
        for call in self.calls.take() {
            // Some say that they stopped, and not why.
            if self.answer.finish == Finish::Complete {
                self.answer.finish = Finish::Tools;
            }
            self.tell(Event::ToolCall(call));
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// The connection has nothing more. Not every server says that it is done.
    fn end(&mut self) {
        self.incoming.close();
        self.events();
        match self.incoming.take() {
            Incoming::Events { .. } if self.finished => self.finish(),
            Incoming::Whole(body) => match serde_json::from_slice(&body) {
                Ok(chunk) => {
                    self.chunk(chunk);
                    if self.finished {
                        self.finish();
                    }
                }
                Err(_) => self.fail(Failure::new(FailureKind::Provider, "the answer is no chat completion")),
            },
            Incoming::Refused(refusal) => self.fail(refusal.failure()),
            // The exchange says that it broke off.
            Incoming::Events { .. } | Incoming::Waiting | Incoming::Over => {}
        }
    }

    fn finish(&mut self) {
        self.tell_rest();
        self.incoming = Incoming::Over;
        self.answer.request_id = self.answer.request_id.take().or(self.id.take());
        let answer = std::mem::take(&mut self.answer);
        self.tell(Event::Finished(answer));
    }

    fn fail(&mut self, failure: Failure) {
        self.incoming = Incoming::Over;
        self.tell(Event::Failed(failure));
    }
}

impl Codec for Chat {
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
        self.finished_at.filter(|_| self.incoming.is_stream()).map(|finished| finished + USAGE_WITHIN)
    }
}

impl Delta {
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
        Some(TokenUsage { input: prompt - cached, cached, output, ..TokenUsage::default() })
    }
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
