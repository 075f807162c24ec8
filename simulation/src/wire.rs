//! What a simulated language model puts on the wire, in the dialects of two vendors.

use std::fmt::Write;

use relay::money::tab::RequestId;

/// A piece of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A word of it.
    Word(String),
    /// What means nothing to anybody.
    Noise(&'static str),
    /// A call of a tool that takes a number by this key.
    Call { name: &'static str, key: &'static str, number: u64 },
}

/// An answer, as the model has made it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: RequestId,
    /// Calls come last.
    pub(crate) pieces: Vec<Piece>,
    /// What it says that it has used: tokens of the prompt, and of the answer.
    pub(crate) usage: Option<(u64, u64)>,
    /// It answers once more, behind its end.
    pub(crate) answers_twice: bool,
}

impl Written {
    /// As OpenAI's chat completions are streamed.
    pub(crate) fn as_openai(&self) -> String {
        let (id, mut wire, mut call) = (self.id, String::new(), 0);
        // What some servers say in every piece, as long as the answer goes on.
        let reason = match id.0 % 4 {
            0 => "",
            1 => r#","finish_reason":null"#,
            2 => r#","finish_reason":"""#,
            _ => r#","finish_reason":"stop""#,
        };
        for piece in &self.pieces {
            match piece {
                Piece::Word(word) => {
                    let _ = write!(
                        wire,
                        "data: {{\"id\":\"r{id}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}}{reason}}}]}}\n\n"
                    );
                }
                Piece::Noise(noise) => wire.push_str(noise),
                Piece::Call { name, key, number } => {
                    let _ = write!(
                        wire,
                        r#"data: {{"id":"r{id}","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":{call},"id":"m{call}","#
                    );
                    let _ = write!(
                        wire,
                        "\"function\":{{\"name\":\"{name}\",\"arguments\":\"{{\\\"{key}\\\":{number}}}\"}}}}]}}}}]}}\n\n"
                    );
                    call += 1;
                }
            }
        }
        if let Some((prompt, tokens)) = self.usage {
            let _ = write!(
                wire,
                "data: {{\"id\":\"r{id}\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}],\
                 \"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{tokens}}}}}\n\n"
            );
        }
        wire.push_str("data: [DONE]\n\n");
        if self.answers_twice {
            wire.push_str(
                "data: {\"id\":\"again\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"again\"}}]}\n\n",
            );
        }
        wire
    }

    /// As Anthropic's messages are streamed. What was used is said in two parts: the prompt first, half of it out of the cache, and the answer at
    /// the end, in the place of what was said of it before.
    pub(crate) fn as_anthropic(&self) -> String {
        let (id, mut wire, mut block) = (self.id, String::new(), 0);
        let begun = self.usage.map_or_else(String::new, |(prompt, _)| {
            let cached = prompt / 2;
            let rest = prompt - cached;
            format!(
                r#","usage":{{"input_tokens":{rest},"cache_read_input_tokens":{cached},"output_tokens":1}}"#
            )
        });
        event(
            &mut wire,
            "message_start",
            &format!(r#","message":{{"id":"r{id}","role":"assistant","content":[]{begun}}}"#),
        );
        event(&mut wire, "ping", "");
        let mut text_is_open = false;
        for piece in &self.pieces {
            match piece {
                Piece::Word(word) => {
                    if !std::mem::replace(&mut text_is_open, true) {
                        let text = r#","index":0,"content_block":{"type":"text","text":""}"#;
                        event(&mut wire, "content_block_start", text);
                    }
                    let text = format!(r#","index":0,"delta":{{"type":"text_delta","text":"{word}"}}"#);
                    event(&mut wire, "content_block_delta", &text);
                }
                Piece::Noise(noise) => wire.push_str(noise),
                Piece::Call { name, key, number } => {
                    if std::mem::take(&mut text_is_open) {
                        event(&mut wire, "content_block_stop", r#","index":0"#);
                    }
                    block += 1;
                    let called = format!(
                        r#","index":{block},"content_block":{{"type":"tool_use","id":"m{block}","name":"{name}","input":{{}}}}"#
                    );
                    event(&mut wire, "content_block_start", &called);
                    // The arguments come in pieces that are no JSON by themselves.
                    for part in [format!(r#"{{\"{key}\":"#), format!("{number}}}")] {
                        let part = format!(
                            r#","index":{block},"delta":{{"type":"input_json_delta","partial_json":"{part}"}}"#
                        );
                        event(&mut wire, "content_block_delta", &part);
                    }
                    event(&mut wire, "content_block_stop", &format!(r#","index":{block}"#));
                }
            }
        }
        if text_is_open {
            event(&mut wire, "content_block_stop", r#","index":0"#);
        }
        let used = self
            .usage
            .map_or_else(String::new, |(_, tokens)| format!(r#","usage":{{"output_tokens":{tokens}}}"#));
        let reason = if block > 0 { "tool_use" } else { "end_turn" };
        event(&mut wire, "message_delta", &format!(r#","delta":{{"stop_reason":"{reason}"}}{used}"#));
        event(&mut wire, "message_stop", "");
        if self.answers_twice {
            event(&mut wire, "message_start", r#","message":{"id":"again"}"#);
            let again = r#","index":0,"delta":{"type":"text_delta","text":"again"}"#;
            event(&mut wire, "content_block_delta", again);
        }
        wire
    }
}

/// One of Anthropic's events, with these fields behind its type.
fn event(wire: &mut String, name: &str, fields: &str) {
    let _ = write!(wire, "event: {name}\ndata: {{\"type\":\"{name}\"{fields}}}\n\n");
}
