//! Anthropic's `v1/messages`, streamed and whole.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use crate::http::{EVENTS, add_header, streamed, whole};
use crate::log::Bill;
use crate::openai::{Answer, split_body};
use crate::provider::anthropic_error;
use crate::script::{Quirk, Think, ToolCall, Wire};
use crate::server::Fakes;

/// The versions of the wire. Between them only what is refused differs.
const VERSIONS: [&str; 2] = ["2023-06-01", NEWEST];
/// Takes no `temperature`, `top_p` or `top_k`, whatever the model.
const NEWEST: &str = "2026-10-21";

pub(crate) async fn messages(
    State(fakes): State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let opened = match fakes.open(Wire::AnthropicMessages, &uri, &headers, body.clone()).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let version = headers.get("anthropic-version").and_then(|version| version.to_str().ok());
    let Some(version) = version else {
        return opened.refuse(400, "anthropic-version: header is required");
    };
    if !VERSIONS.contains(&version) {
        return opened.refuse(400, &format!("anthropic-version: \"{version}\" is not a valid version"));
    }
    if let Some(fault) = fault(&body, version == NEWEST) {
        return opened.refuse(400, &fault);
    }
    let think = opened.act.think.clone();
    let answer = Answer::new(&think, &last_said(&body), &body);
    let usage = Usage::new(&think, &answer);
    opened.entry.bill(usage.bill());
    let id = HeaderName::from_static("request-id");
    let mut response = if body["stream"] == true {
        let events = split_body(events(&body, &think, &answer, &usage), &think);
        streamed(opened, EVENTS, events, |name| event(&anthropic_error(name, "Something went wrong."), &[]))
    } else {
        let error = |name: &str| Bytes::from(anthropic_error(name, "Something went wrong.").to_string());
        whole(opened, message(&body, &think, &answer, &usage), error).await
    };
    add_header(&mut response, id, "req_fake");
    response
}

/// What the provider would refuse.
fn fault(body: &Value, is_newest: bool) -> Option<String> {
    let model = body["model"].as_str().unwrap_or_default();
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let fault = |text: &str| Some(text.to_owned());
    if model.is_empty() {
        return fault("model: Field required");
    }
    if body["max_tokens"].as_u64().unwrap_or_default() == 0 {
        return fault("max_tokens: Field required");
    }
    if messages.is_empty() {
        return fault("messages: at least one message is required");
    }
    let is_role = |role: &Value| role == "user" || role == "assistant" || role == "system";
    if !messages.iter().all(|message| is_role(&message["role"])) {
        return fault("messages: Unexpected role. Allowed roles are \"user\", \"assistant\" or \"system\"");
    }
    if messages[0]["role"] != "user" {
        return fault("messages: first message must use the \"user\" role");
    }
    if messages.iter().any(|message| is_empty(&message["content"])) {
        return fault("messages: all messages must have non-empty content");
    }
    // The newest models take neither a prefill nor a sampling of one's own.
    let is_newest_model = model.contains("-5-5");
    if is_newest_model && messages.last().is_some_and(|last| last["role"] == "assistant") {
        return fault(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        );
    }
    for name in ["temperature", "top_p", "top_k"] {
        let is_default = body[name].as_f64() == Some(1.0);
        if !body[name].is_null() && (is_newest || is_newest_model && !is_default) {
            return Some(format!("{name}: is not supported"));
        }
    }
    for (index, message) in messages.iter().enumerate() {
        let next = messages.get(index + 1).map(|next| ids(next, "tool_result", "tool_use_id"));
        let next = next.unwrap_or_default();
        if let Some(open) = ids(message, "tool_use", "id").iter().find(|id| !next.contains(id)) {
            return Some(format!(
                "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {open}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            ));
        }
        let before = index.checked_sub(1).map(|before| ids(&messages[before], "tool_use", "id"));
        let before = before.unwrap_or_default();
        let results = ids(message, "tool_result", "tool_use_id");
        if let Some(unknown) = results.iter().find(|id| !before.contains(id)) {
            return Some(format!(
                "messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {unknown}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            ));
        }
    }
    None
}

fn is_empty(content: &Value) -> bool {
    content.as_str().is_none_or(str::is_empty) && content.as_array().is_none_or(Vec::is_empty)
}

/// The ids of the blocks of this type in a message.
fn ids<'a>(message: &'a Value, kind: &str, name: &str) -> Vec<&'a str> {
    let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
    blocks.iter().filter(|block| block["type"] == kind).filter_map(|block| block[name].as_str()).collect()
}

/// The text that was said last.
fn last_said(body: &Value) -> String {
    let last = body["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    content_text(&last["content"])
}

fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().map(|block| {
                block["text"].as_str().map_or_else(|| content_text(&block["content"]), String::from)
            });
            texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// The numbers as this provider tells them.
struct Usage {
    input: u64,
    cache_read: u64,
    cache_5m: u64,
    cache_1h: u64,
    output: u64,
}

impl Usage {
    fn new(think: &Think, answer: &Answer) -> Self {
        let numbers = think.usage;
        Usage {
            input: numbers.input_tokens.unwrap_or(answer.prompt_tokens),
            cache_read: numbers.cache_read_input_tokens.unwrap_or_default(),
            cache_5m: numbers.cache_write_5m_tokens.unwrap_or_default(),
            cache_1h: numbers.cache_write_1h_tokens.unwrap_or_default(),
            output: numbers.output_tokens.unwrap_or(answer.tokens),
        }
    }

    /// As a message has it.
    fn told(&self, output: u64) -> Value {
        let mut told = self.told_later(output);
        told["cache_creation"] = json!({
            "ephemeral_5m_input_tokens": self.cache_5m,
            "ephemeral_1h_input_tokens": self.cache_1h,
        });
        told["service_tier"] = json!("standard");
        told["inference_geo"] = Value::Null;
        told["speed"] = Value::Null;
        told
    }

    /// As the end of a stream has it: without the parts of what was cached.
    fn told_later(&self, output: u64) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_5m + self.cache_1h,
            "cache_read_input_tokens": self.cache_read,
            "output_tokens": output,
            "output_tokens_details": null,
            "server_tool_use": null,
        })
    }

    fn bill(&self) -> Bill {
        Bill {
            input_tokens: self.input,
            cache_read_input_tokens: self.cache_read,
            cache_creation_input_tokens: self.cache_5m + self.cache_1h,
            output_tokens: self.output,
            ..Bill::default()
        }
    }
}

fn events(body: &Value, think: &Think, answer: &Answer, usage: &Usage) -> Vec<Bytes> {
    let told = think.usage_times.unwrap_or(1);
    let mut start = frame(body, &usage.told(usage.output.min(1)));
    if told == 0 {
        start.as_object_mut().and_then(|start| start.remove("usage"));
    }
    let mut all = vec![json!({ "type": "message_start", "message": start }), json!({ "type": "ping" })];
    let mut index = 0;
    let mut block = |begin: Value, deltas: Vec<Value>| {
        all.push(json!({ "type": "content_block_start", "index": index, "content_block": begin }));
        all.extend(
            deltas
                .into_iter()
                .map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        all.push(json!({ "type": "content_block_stop", "index": index }));
        index += 1;
    };
    if let Some(thinking) = &think.thinking {
        let thoughts = thinking
            .split_inclusive(' ')
            .map(|thought| json!({ "type": "thinking_delta", "thinking": thought }));
        let signature = json!({ "type": "signature_delta", "signature": "c2lnbmF0dXJl" });
        block(
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
            thoughts.chain([signature]).collect(),
        );
    }
    if !answer.deltas.is_empty() {
        let deltas = answer.deltas.iter().map(|text| json!({ "type": "text_delta", "text": text }));
        block(json!({ "type": "text", "text": "", "citations": null }), deltas.collect());
    }
    for call in &answer.tools {
        let begin = tool_use(call, &json!({}));
        let pieces = Answer::argument_pieces(&call.arguments);
        let deltas = std::iter::once(String::new())
            .chain(pieces)
            .map(|json| json!({ "type": "input_json_delta", "partial_json": json }));
        block(begin, deltas.collect());
    }
    let delta = |output: u64| {
        let mut event = json!({
            "type": "message_delta",
            "delta": {
                "stop_reason": stop(think, answer),
                "stop_sequence": null,
                "stop_details": null,
                "container": null,
            },
        });
        if told > 0 {
            event["usage"] = usage.told_later(output);
        }
        event
    };
    if told > 1 {
        all.push(delta(usage.output / 2));
    }
    all.push(delta(usage.output));
    if !think.omit_done {
        all.push(json!({ "type": "message_stop" }));
    }
    all.iter().map(|data| event(data, &think.quirks)).collect()
}

fn message(body: &Value, think: &Think, answer: &Answer, usage: &Usage) -> Value {
    let mut content = Vec::new();
    if let Some(thinking) = &think.thinking {
        content.push(json!({ "type": "thinking", "thinking": thinking, "signature": "c2lnbmF0dXJl" }));
    }
    if !answer.deltas.is_empty() {
        content.push(json!({ "type": "text", "text": answer.deltas.concat(), "citations": null }));
    }
    content.extend(answer.tools.iter().map(|call| tool_use(call, &call.arguments)));
    let mut message = frame(body, &usage.told(usage.output));
    message["content"] = json!(content);
    message["stop_reason"] = json!(stop(think, answer));
    message
}

fn tool_use(ToolCall { id, name, .. }: &ToolCall, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": id, "name": name, "input": input, "caller": { "type": "direct" } })
}

fn frame(body: &Value, usage: &Value) -> Value {
    json!({
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "stop_details": null,
        "container": null,
        "diagnostics": null,
        "usage": usage,
    })
}

fn stop(think: &Think, answer: &Answer) -> String {
    let natural = if answer.tools.is_empty() { "end_turn" } else { "tool_use" };
    think.stop.clone().unwrap_or_else(|| natural.to_owned())
}

fn event(data: &Value, quirks: &[Quirk]) -> Bytes {
    let name = data["type"].as_str().unwrap_or_default();
    let comment = if quirks.contains(&Quirk::Comments) { ": keep-alive\n\n" } else { "" };
    let event = format!("{comment}event: {name}\ndata: {data}\n\n");
    Bytes::from(if quirks.contains(&Quirk::Crlf) { event.replace('\n', "\r\n") } else { event })
}
