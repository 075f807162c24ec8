//! The wire of OpenAI's chat completions, and of everything that is compatible with it.
//!
//! One `POST`, answered by server-sent events (OpenAI's API reference, "Chat, streaming"). Servers differ: a first event without a
//! choice, a last one with nothing but the usage, a choice without a `delta`, `content: null`, no `[DONE]`, comments in between, an error
//! as an event in the middle. All of it is read; what cannot be read is left out, and an answer that never had an event is a failure.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use sse_parse::SseParser;

use super::event;
use super::refusal::{Refusal, words};
use super::{
    Answer, Ask, Bounds, Codec, Event, Failure, FailureKind, Finish, Input, Kind, Message, Opening, Output,
    Service, Target, Tool, ToolCall,
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

/// The longest event: several times the longest answer, should a server send it in one piece.
const EVENT_MAX_BYTES: usize = 256 * 1024;
/// After the reason for its end, an answer's usage is waited for this long: not every server sends one, or says that it is done.
const USAGE_WITHIN: Duration = Duration::from_secs(2);

/// One answer of a language model.
pub struct Chat {
    opening: Option<Opening>,
    state: State,
    outputs: VecDeque<Output>,
    answer: Answer,
    /// The `id` of the events, should no header name the request.
    id: Option<String>,
    /// The reason for its end was said; only the usage may follow.
    finished: bool,
    finished_at: Option<Time>,
}

enum State {
    Waiting,
    /// It answers.
    Streaming(Box<SseParser>),
    /// It answers whole, although it was asked for a stream.
    Whole(Vec<u8>),
    Refused(Refusal),
    Over,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<BodyMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<BodyTool<'a>>,
    max_tokens: u32,
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum BodyMessage<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        content: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<BodyCall<'a>>,
    },
    Tool {
        content: &'a str,
        tool_call_id: &'a str,
    },
}

#[derive(Serialize)]
struct BodyCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: BodyFunction<'a>,
}

#[derive(Serialize)]
struct BodyFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct BodyTool<'a> {
    r#type: &'static str,
    function: BodyToolFunction<'a>,
}

#[derive(Serialize)]
struct BodyToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: serde_json::Value,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
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
        let body = Body {
            model,
            messages: ask.messages.iter().map(BodyMessage::from).collect(),
            tools: ask.tools.iter().map(BodyTool::from).collect(),
            max_tokens: ask.max_output_tokens,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        };
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", "text/event-stream".to_owned())];
        if let Some(key) = key {
            headers.push(("authorization", format!("Bearer {}", key.expose())));
        }
        let body = serde_json::to_vec(&body).expect("it has texts and numbers only");
        let target = Target {
            url: base.join("chat/completions").expect("the configuration takes http and https only"),
            headers,
            body,
        };
        Chat {
            opening: Some(Opening::Http(target)),
            state: State::Waiting,
            outputs: VecDeque::new(),
            answer: Answer::default(),
            id: None,
            finished: false,
            finished_at: None,
        }
    }

    fn begin(&mut self, status: u16, retry_after: Option<u32>, is_stream: bool) {
        self.state = match (status, is_stream) {
            (200..=299, true) => State::Streaming(Box::new(SseParser::new().max_buffer(EVENT_MAX_BYTES))),
            (200..=299, false) => State::Whole(Vec::new()),
            _ => State::Refused(Refusal::new(status, retry_after)),
        };
    }

    fn read(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Streaming(parser) => parser.feed(bytes),
            // The exchange bounds what comes in all.
            State::Whole(body) => body.extend_from_slice(bytes),
            State::Refused(refusal) => refusal.read(bytes),
            State::Waiting | State::Over => {}
        }
        self.events();
    }

    fn events(&mut self) {
        while let State::Streaming(parser) = &mut self.state {
            let Some(event) = parser.next_event() else { return };
            if event.data.trim() == "[DONE]" {
                return self.finish();
            }
            if let Ok(chunk) = serde_json::from_str(&event.data) {
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
            self.answer.usage = Some(Quantity::Tokens(usage));
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            let text = choice.delta.or(choice.message).unwrap_or_default().content.unwrap_or_default();
            if !text.is_empty() {
                self.outputs.push_back(Output::Event(Event::Text(text)));
            }
            if let Some(reason) = choice.finish_reason {
                self.finished = true;
                self.answer.finish = match reason.as_str() {
                    "length" => Finish::Length,
                    "content_filter" => Finish::Filtered,
                    "tool_calls" | "function_call" => Finish::Tools,
                    _ => Finish::Complete,
                };
            }
        }
    }

    /// The connection has nothing more. Not every server says that it is done.
    fn end(&mut self) {
        if let State::Streaming(parser) = &mut self.state {
            // The blank line after the last event may be missing, too.
            parser.feed(b"\n\n");
            self.events();
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Streaming(_) if self.finished => self.finish(),
            State::Whole(body) => match serde_json::from_slice(&body) {
                Ok(chunk) => {
                    self.chunk(chunk);
                    if self.finished {
                        self.finish();
                    }
                }
                Err(_) => self.fail(Failure::new(FailureKind::Provider, "the answer is no chat completion")),
            },
            State::Refused(refusal) => self.fail(refusal.failure()),
            // The exchange says that it broke off.
            State::Streaming(_) | State::Waiting | State::Over => {}
        }
    }

    fn finish(&mut self) {
        self.state = State::Over;
        self.answer.request_id = self.answer.request_id.take().or(self.id.take());
        let answer = std::mem::take(&mut self.answer);
        self.outputs.push_back(Output::Event(Event::Finished(answer)));
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Over;
        self.outputs.push_back(Output::Event(Event::Failed(failure)));
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
                self.begin(status, retry_after, media_type != "application/json");
            }
            Input::Bytes(bytes) => self.read(bytes),
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
        let streams = matches!(self.state, State::Streaming(_));
        self.finished_at.filter(|_| streams).map(|finished| finished + USAGE_WITHIN)
    }
}

impl<'a> From<&'a Message> for BodyMessage<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::System(content) => BodyMessage::System { content },
            Message::User(content) => BodyMessage::User { content },
            Message::Assistant { text, calls } => BodyMessage::Assistant {
                content: text,
                tool_calls: calls.iter().map(BodyCall::from).collect(),
            },
            // The words say that it failed, if it did: this wire has no other place for it.
            Message::ToolOutput { call_id, output, .. } => {
                BodyMessage::Tool { content: output, tool_call_id: call_id }
            }
        }
    }
}

impl<'a> From<&'a ToolCall> for BodyCall<'a> {
    fn from(call: &'a ToolCall) -> Self {
        let function = BodyFunction { name: &call.name, arguments: &call.arguments };
        BodyCall { id: &call.id, r#type: "function", function }
    }
}

impl<'a> From<&'a Tool> for BodyTool<'a> {
    fn from(tool: &'a Tool) -> Self {
        // The configuration has read it; what is no JSON would be an object without properties.
        let parameters = serde_json::from_str(&tool.parameters).unwrap_or_default();
        let function = BodyToolFunction { name: &tool.name, description: &tool.description, parameters };
        BodyTool { r#type: "function", function }
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
