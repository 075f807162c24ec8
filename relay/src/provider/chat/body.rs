//! What is asked of a chat: the body of its `POST`, valid whatever was called before, and by whom.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::provider::prompt::{Ids, called_name, object, schema};
use crate::provider::{self, Message, Tool, ToolCall};

/// The longest id of a call that OpenAI takes.
const OPENAI_ID_MAX_BYTES: usize = 40;
/// What is in the names of Mistral's models: Mistral, Ministral, Magistral, Devstral, Codestral, Mixtral, Voxtral, Pixtral.
const MISTRAL: [&str; 2] = ["stral", "xtral"];

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<BodyMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<BodyTool<'a>>,
    #[serde(flatten)]
    most: Most,
    stream: bool,
    stream_options: StreamOptions,
}

/// The longest answer. OpenAI's newer models refuse `max_tokens`, and other servers do not know its successor.
#[derive(Serialize)]
enum Most {
    #[serde(rename = "max_completion_tokens")]
    Completion(u32),
    #[serde(rename = "max_tokens")]
    All(u32),
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
        tool_call_id: Cow<'a, str>,
    },
}

#[derive(Serialize)]
struct BodyCall<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: BodyFunction<'a>,
}

#[derive(Serialize)]
struct BodyFunction<'a> {
    name: Cow<'a, str>,
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
    parameters: Map<String, Value>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Body<'a> {
    /// Asks this model, of OpenAI itself or of another server. The messages are those of `ask`, as that server takes them.
    pub(super) fn new(
        model: &'a str,
        messages: &'a [Cow<'_, Message>],
        ask: &'a provider::Chat,
        is_openai: bool,
    ) -> Body<'a> {
        let most = if is_openai { Most::Completion } else { Most::All };
        let mut ids = Ids::new(ids(model, is_openai));
        Body {
            model,
            messages: messages.iter().map(|message| BodyMessage::new(message, &mut ids)).collect(),
            tools: ask.tools.iter().map(BodyTool::from).collect(),
            most: most(ask.max_output_tokens),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        }
    }
}

/// Which ids of calls a server takes, if that is known. Others have a meaning for some: the template of Kimi's models reads the names of tools in them
/// (`functions.look:0`), and LiteLLM what Gemini wants to have back.
fn ids(model: &str, is_openai: bool) -> Option<fn(&str) -> bool> {
    let model = model.to_ascii_lowercase();
    // Nine letters and digits, and nothing else.
    if MISTRAL.iter().any(|mistral| model.contains(mistral)) {
        return Some(|_| false);
    }
    is_openai.then_some(|id| id.len() <= OPENAI_ID_MAX_BYTES)
}

impl<'a> BodyMessage<'a> {
    fn new(message: &'a Message, ids: &mut Ids<'a>) -> BodyMessage<'a> {
        match message {
            Message::System(content) => BodyMessage::System { content },
            Message::User(content) => BodyMessage::User { content },
            Message::Assistant { text, calls } => BodyMessage::Assistant {
                content: text,
                tool_calls: calls.iter().map(|call| BodyCall::new(call, ids)).collect(),
            },
            // The words say that it failed, if it did: this wire has no other place for it.
            Message::ToolOutput { output, .. } => {
                BodyMessage::Tool { content: output, tool_call_id: ids.of_output() }
            }
        }
    }
}

impl<'a> BodyCall<'a> {
    fn new(call: &'a ToolCall, ids: &mut Ids<'a>) -> BodyCall<'a> {
        // Some servers read it, and refuse what is no object.
        let arguments = if object(&call.arguments).is_empty() { "{}" } else { &*call.arguments };
        let function = BodyFunction { name: called_name(&call.name), arguments };
        BodyCall { id: ids.of_call(&call.id), r#type: "function", function }
    }
}

impl<'a> From<&'a Tool> for BodyTool<'a> {
    fn from(tool: &'a Tool) -> Self {
        let parameters = schema(&tool.parameters);
        let function = BodyToolFunction { name: &tool.name, description: &tool.description, parameters };
        BodyTool { r#type: "function", function }
    }
}
