//! What is asked of Anthropic's models: the body of the `POST`, valid whatever the history is.
//!
//! The wire refuses a history that does not begin with the user, a text without a word, a call without its result in the next message, a result
//! without its call, a name with a foreign character, a call where no tool is declared, and, with the newest models, an end that is the model's
//! own.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::provider::prompt::{BEGINS, Ids, SILENT, called_name, is_plain, object, schema};
use crate::provider::{self, Message};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Typed>,
    messages: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

#[derive(Serialize)]
struct Block<'a> {
    #[serde(flatten)]
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Typed>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Map<String, Value>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
struct Tool<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Typed>,
}

/// An object that is nothing but its type.
#[derive(Clone, Copy, Serialize)]
struct Typed {
    r#type: &'static str,
}

/// What comes up to here is to be kept in the provider's cache.
const CACHED: Option<Typed> = Some(Typed { r#type: "ephemeral" });

impl<'a> Body<'a> {
    /// Asks this model. The messages are those of `ask`, calls and outputs in pairs.
    pub(super) fn new(model: &'a str, messages: &'a [Cow<'_, Message>], ask: &'a provider::Chat) -> Body<'a> {
        let mut body = Body {
            model,
            max_tokens: ask.max_output_tokens,
            stream: true,
            system: Vec::new(),
            tools: ask.tools.iter().map(Tool::from).collect(),
            tool_choice: None,
            messages: Vec::new(),
        };
        let mut ids = Ids::new(Some(|id| id.bytes().all(is_plain)));
        for message in messages {
            body.add(message, &mut ids);
        }
        if body.messages.last().is_none_or(|last| last.role == Role::Assistant) {
            let text = if body.messages.is_empty() { BEGINS } else { SILENT };
            body.say(Role::User, Content::Text { text });
        }
        if body.tools.is_empty() {
            body.declare_called();
        }
        body.mark_cached();
        body
    }

    fn add(&mut self, message: &'a Message, ids: &mut Ids<'a>) {
        match message {
            Message::System(text) if !text.trim().is_empty() => {
                self.system.push(Block::from(Content::Text { text }));
            }
            Message::User(text) if !text.trim().is_empty() => self.say(Role::User, Content::Text { text }),
            Message::Assistant { text, calls } => {
                if !text.trim().is_empty() {
                    self.say(Role::Assistant, Content::Text { text });
                }
                for call in calls {
                    let (name, input) = (called_name(&call.name), object(&call.arguments));
                    self.say(Role::Assistant, Content::ToolUse { id: ids.of_call(&call.id), name, input });
                }
            }
            Message::ToolOutput { output, is_error, .. } => {
                let content = if output.trim().is_empty() { "" } else { output };
                let tool_use_id = ids.of_output();
                self.say(Role::User, Content::ToolResult { tool_use_id, content, is_error: *is_error });
            }
            // Of nothing is nothing told.
            Message::System(_) | Message::User(_) => {}
        }
    }

    fn say(&mut self, role: Role, content: Content<'a>) {
        if self.messages.is_empty() && role == Role::Assistant {
            self.say(Role::User, Content::Text { text: BEGINS });
        }
        let block = Block::from(content);
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.push(block),
            _ => self.messages.push(Said { role, content: vec![block] }),
        }
    }

    /// Where nothing may be called any more, what was called is declared all the same, and not to be called.
    fn declare_called(&mut self) {
        let mut seen = HashSet::new();
        let blocks = self.messages.iter().flat_map(|said| &said.content);
        for block in blocks {
            let Content::ToolUse { name, .. } = &block.content else { continue };
            if seen.insert(name.clone()) {
                self.tools.push(Tool {
                    name: name.clone(),
                    description: "",
                    input_schema: schema(""),
                    cache_control: None,
                });
            }
        }
        self.tool_choice = (!self.tools.is_empty()).then_some(Typed { r#type: "none" });
    }

    /// Tools and instructions are the same in each turn, and so is what was said before the user's newest words: three of the four marks that
    /// are allowed.
    fn mark_cached(&mut self) {
        if let Some(tool) = self.tools.last_mut() {
            tool.cache_control = CACHED;
        }
        let before = self.messages.len().checked_sub(2).and_then(|place| self.messages.get_mut(place));
        let before = before.and_then(|said| said.content.last_mut());
        for block in self.system.last_mut().into_iter().chain(before) {
            block.cache_control = CACHED;
        }
    }
}

impl<'a> From<Content<'a>> for Block<'a> {
    fn from(content: Content<'a>) -> Self {
        Block { content, cache_control: None }
    }
}

impl<'a> From<&'a provider::Tool> for Tool<'a> {
    fn from(tool: &'a provider::Tool) -> Self {
        Tool {
            name: Cow::Borrowed(&tool.name),
            description: &tool.description,
            input_schema: schema(&tool.parameters),
            cache_control: None,
        }
    }
}
