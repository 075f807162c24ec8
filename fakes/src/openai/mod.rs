//! OpenAI's wires, and those of the many servers that are compatible with them.

mod chat;
mod form;
mod speech;
mod transcriptions;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::script::{Think, ToolCall};

pub(crate) use chat::chat;
pub(crate) use speech::speech;
pub(crate) use transcriptions::transcriptions;

/// So many words make one delta.
const WORDS: usize = 5;
/// So many bytes of text are taken as one token.
const TOKEN_BYTES: usize = 4;
/// The length of one piece of a tool's arguments.
const ARGUMENT_CHARACTERS: usize = 12;

/// What a model answers, before a wire puts it into its own shape.
pub(crate) struct Answer {
    pub(crate) deltas: Vec<String>,
    /// Each with an id.
    pub(crate) tools: Vec<ToolCall>,
    /// Estimated tokens of the prompt.
    pub(crate) prompt_tokens: u64,
    /// Estimated tokens of the answer.
    pub(crate) tokens: u64,
}

impl Answer {
    /// The script's answer to a request, or what was said last.
    pub(crate) fn new(think: &Think, said: &str, request: &Value) -> Self {
        let deltas = match &think.text {
            _ if !think.deltas.is_empty() => think.deltas.clone(),
            Some(text) => five_words(text),
            None if think.tools.is_empty() => five_words(&format!("You said: {said}")),
            None => Vec::new(),
        };
        let with_id = |(index, call): (usize, &ToolCall)| {
            let id = call.id.clone().unwrap_or_else(|| format!("call_{index}"));
            ToolCall { id: Some(id), ..call.clone() }
        };
        let tools: Vec<ToolCall> = think.tools.iter().enumerate().map(with_id).collect();
        let prompt = request["messages"].to_string().len() + request["tools"].to_string().len();
        let words = deltas.iter().map(String::len).sum::<usize>()
            + tools.iter().map(|call| call.arguments.to_string().len()).sum::<usize>()
            + think.thinking.as_ref().map_or(0, String::len);
        Answer {
            deltas,
            tools,
            prompt_tokens: prompt.div_ceil(TOKEN_BYTES) as u64,
            tokens: words.div_ceil(TOKEN_BYTES) as u64,
        }
    }

    /// The arguments of a call as text, in pieces.
    pub(crate) fn argument_pieces(arguments: &Value) -> Vec<String> {
        let letters: Vec<char> = argument_text(arguments).chars().collect();
        letters.chunks(ARGUMENT_CHARACTERS).map(|piece| piece.iter().collect()).collect()
    }
}

/// The arguments of a call as text: as it is in the script, or JSON.
fn argument_text(arguments: &Value) -> String {
    arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned)
}

fn five_words(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    words.chunks(WORDS).map(<[&str]>::concat).collect()
}

/// The body cut as the script wants it.
pub(crate) fn split_body(pieces: Vec<Bytes>, think: &Think) -> Vec<Bytes> {
    match think.split_bytes {
        Some(bytes) if bytes > 0 => {
            let body = Bytes::from(pieces.concat());
            (0..body.len())
                .step_by(bytes)
                .map(|begin| body.slice(begin..(begin + bytes).min(body.len())))
                .collect()
        }
        _ => pieces,
    }
}

/// An event that has only data.
fn data_event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// An error as it is told in a stream.
fn error_event(name: &str) -> Bytes {
    data_event(&error(name))
}

/// The same in the place of an answer that is whole.
fn error_body(name: &str) -> Bytes {
    Bytes::from(error(name).to_string())
}

fn error(name: &str) -> Value {
    json!({ "error": { "message": "Something went wrong.", "type": name, "param": null, "code": name } })
}
