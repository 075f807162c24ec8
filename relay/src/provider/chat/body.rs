//! What is asked of a chat: the body of its `POST`.

use serde::Serialize;

use crate::provider::{self, Message, Tool, ToolCall};

#[derive(Serialize)]
pub(super) struct Body<'a> {
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

impl<'a> Body<'a> {
    /// Asks this model.
    pub(super) fn new(model: &'a str, ask: &'a provider::Chat) -> Body<'a> {
        Body {
            model,
            messages: ask.messages.iter().map(BodyMessage::from).collect(),
            tools: ask.tools.iter().map(BodyTool::from).collect(),
            max_tokens: ask.max_output_tokens,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        }
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
