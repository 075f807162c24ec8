//! `v1/chat/completions`, streamed and whole.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::{Answer, argument_text, data_event, error_body, error_event, split_body};
use crate::http::{EVENTS, streamed, whole};
use crate::log::Bill;
use crate::script::{Quirk, Think, ToolCall, Wire};
use crate::server::Fakes;

/// The longest id of a call.
const ID_MAX_BYTES: usize = 40;
/// The longest name of a tool.
const NAME_MAX_BYTES: usize = 64;

pub(crate) async fn chat(
    State(fakes): State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let opened = match fakes.open(Wire::OpenAiChat, &uri, &headers, body.clone()).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    if let Some(fault) = fault(&body) {
        return opened.refuse(400, &fault);
    }
    let think = opened.act.think.clone();
    let answer = Answer::new(&think, &last_said(&body), &body);
    let usage = Usage::new(&think, &answer);
    opened.entry.bill(usage.bill());
    if body["stream"] == true {
        let is_told = body["stream_options"]["include_usage"] == true;
        let chunks = chunks(&body, &think, &answer, is_told.then_some(&usage));
        let pieces = split_body(events(&chunks, &think), &think);
        streamed(opened, EVENTS, pieces, error_event)
    } else {
        whole(opened, completion(&body, &think, &answer, &usage), error_body).await
    }
}

/// What the provider would refuse.
fn fault(body: &Value) -> Option<String> {
    if body["model"].as_str().is_none_or(str::is_empty) {
        return Some("you must provide a model parameter".to_owned());
    }
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    if messages.is_empty() {
        return Some("Invalid 'messages': empty array. Expected an array with minimum length 1.".to_owned());
    }
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(index) = open.iter().position(|open| *open == id) else {
                return Some("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.".to_owned());
            };
            open.remove(index);
        } else if !open.is_empty() {
            break;
        } else if let Some(calls) = message["tool_calls"].as_array() {
            if let Some(fault) = calls.iter().find_map(fault_of_call) {
                return Some(fault);
            }
            open.extend(calls.iter().filter_map(|call| call["id"].as_str()));
        }
    }
    (!open.is_empty()).then(|| {
        format!("An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}", open.join(", "))
    })
}

/// The same of a call that was made before.
fn fault_of_call(call: &Value) -> Option<String> {
    let id = call["id"].as_str().unwrap_or_default();
    if id.len() > ID_MAX_BYTES {
        let length = id.len();
        return Some(format!(
            "Invalid 'tool_calls[0].id': string too long. Expected a string with maximum length {ID_MAX_BYTES}, but got a string with length {length} instead."
        ));
    }
    let name = call["function"]["name"].as_str().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(is_plain)).then(|| {
        "Invalid 'tool_calls[0].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.".to_owned()
    })
}

/// What was said last: the last line of the last message, which may have what was said before that as well.
fn last_said(body: &Value) -> String {
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    let text = last.map_or_else(String::new, content_text);
    text.lines().next_back().unwrap_or_default().to_owned()
}

fn content_text(message: &Value) -> String {
    let content = &message["content"];
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    content.as_str().map_or_else(|| parts.collect::<Vec<_>>().join(" "), str::to_owned)
}

/// The numbers as this provider tells them: what was cached is part of the prompt.
struct Usage {
    prompt: u64,
    cached: u64,
    completion: u64,
}

impl Usage {
    fn new(think: &Think, answer: &Answer) -> Self {
        Usage {
            prompt: think.usage.input_tokens.unwrap_or(answer.prompt_tokens),
            cached: think.usage.cache_read_input_tokens.unwrap_or_default(),
            completion: think.usage.output_tokens.unwrap_or(answer.tokens),
        }
    }

    fn told(&self, completion: u64) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": completion,
            "total_tokens": self.prompt + completion,
            "prompt_tokens_details": { "cached_tokens": self.cached, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 },
        })
    }

    fn bill(&self) -> Bill {
        Bill {
            input_tokens: self.prompt.saturating_sub(self.cached),
            cache_read_input_tokens: self.cached,
            output_tokens: self.completion,
            ..Bill::default()
        }
    }
}

fn chunks(body: &Value, think: &Think, answer: &Answer, usage: Option<&Usage>) -> Vec<Value> {
    let has = |quirk| think.quirks.contains(&quirk);
    let times = if usage.is_some() { think.usage_times.unwrap_or(1) } else { 0 };
    let chunk = |choices: Value| {
        let mut chunk = frame(body, "chat.completion.chunk");
        chunk["choices"] = choices;
        if times > 0 {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let choice = |delta: Value, finish: Option<&str>| {
        chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]))
    };
    let mut all = Vec::new();
    if has(Quirk::EmptyChoices) {
        all.push(chunk(json!([])));
    }
    all.push(choice(json!({ "role": "assistant", "content": "", "refusal": null }), None));
    if has(Quirk::NoDelta) {
        all.push(chunk(json!([{ "index": 0, "finish_reason": null }])));
        all.push(choice(json!({ "content": null }), None));
    }
    if let Some(thinking) = &think.thinking {
        all.extend(
            thinking
                .split_inclusive(' ')
                .map(|thought| choice(json!({ "reasoning_content": thought }), None)),
        );
    }
    all.extend(answer.deltas.iter().map(|text| choice(json!({ "content": text }), None)));
    for (index, ToolCall { id, name, arguments }) in answer.tools.iter().enumerate() {
        let call = |call: Value| choice(json!({ "tool_calls": [call] }), None);
        if has(Quirk::LocalTools) {
            let function = json!({ "name": name, "arguments": arguments });
            all.push(call(json!({ "index": 0, "id": id, "type": "function", "function": function })));
            continue;
        }
        let function = json!({ "name": name, "arguments": "" });
        all.push(call(json!({ "index": index, "id": id, "type": "function", "function": function })));
        let pieces = Answer::argument_pieces(arguments);
        all.extend(
            pieces
                .into_iter()
                .map(|piece| call(json!({ "index": index, "function": { "arguments": piece } }))),
        );
    }
    all.push(choice(json!({}), Some(&finish(think, answer))));
    for time in 0..times {
        let mut last = chunk(json!([]));
        if let Some(usage) = usage {
            let is_last = time + 1 == times;
            last["usage"] = usage.told(if is_last { usage.completion } else { usage.completion / 2 });
        }
        all.push(last);
    }
    all
}

fn events(chunks: &[Value], think: &Think) -> Vec<Bytes> {
    let mut events: Vec<Bytes> = chunks.iter().map(data_event).collect();
    if !think.omit_done {
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    }
    let comment = if think.quirks.contains(&Quirk::Comments) { ": keep-alive\n\n" } else { "" };
    let is_crlf = think.quirks.contains(&Quirk::Crlf);
    if comment.is_empty() && !is_crlf {
        return events;
    }
    let rewritten = events.iter().map(|event| {
        let event = format!("{comment}{}", String::from_utf8_lossy(event));
        Bytes::from(if is_crlf { event.replace('\n', "\r\n") } else { event })
    });
    rewritten.collect()
}

fn completion(body: &Value, think: &Think, answer: &Answer, usage: &Usage) -> Value {
    let content = (!answer.deltas.is_empty()).then(|| answer.deltas.concat());
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if !answer.tools.is_empty() {
        let calls = answer.tools.iter().map(|ToolCall { id, name, arguments }| {
            let function = json!({ "name": name, "arguments": argument_text(arguments) });
            json!({ "id": id, "type": "function", "function": function })
        });
        message["tool_calls"] = calls.collect();
    }
    let mut completion = frame(body, "chat.completion");
    completion["choices"] = json!([
        { "index": 0, "message": message, "logprobs": null, "finish_reason": finish(think, answer) }
    ]);
    if think.usage_times != Some(0) {
        completion["usage"] = usage.told(usage.completion);
    }
    completion
}

fn frame(body: &Value, object: &str) -> Value {
    json!({
        "id": "chatcmpl-fake",
        "object": object,
        "created": 1_764_072_000,
        "model": body["model"],
        "system_fingerprint": "fp_fake",
    })
}

fn finish(think: &Think, answer: &Answer) -> String {
    let natural = if answer.tools.is_empty() { "stop" } else { "tool_calls" };
    think.stop.clone().unwrap_or_else(|| natural.to_owned())
}
