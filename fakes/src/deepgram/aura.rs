//! `v1/speak` (Aura): text becomes sound at a `Flush`, or in one request.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::{Asked, Fault, number};
use crate::http::{add_header, streamed};
use crate::log::Bill;
use crate::provider::REQUEST_ID;
use crate::script::{Act, Wire};
use crate::server::Fakes;
use crate::sound::{Tone, wav_head};
use crate::talk::{Conversation, Frame, Out};

/// So many times a `Flush` is taken within the window.
const FLUSHES: usize = 20;
const FLUSH_WINDOW_MS: u64 = 60_000;
/// The longest text of one request.
const CHARACTERS: usize = 2_000;
const RATES: [f64; 5] = [8_000.0, 16_000.0, 24_000.0, 32_000.0, 48_000.0];

pub(super) struct Aura {
    model: String,
    tone: Tone,
    text: String,
    characters: u64,
    sequence_id: u64,
    /// When the flushes of the last minute came.
    flushes: VecDeque<u64>,
    idle_ms: Option<u64>,
    fed_ms: u64,
}

impl Aura {
    pub(super) fn new(asked: &Asked, act: &Act) -> Result<Self, Fault> {
        let model = model(asked)?;
        if asked.get("encoding").is_some_and(|encoding| encoding != "linear16") {
            return Err("Invalid query string: this stand-in speaks linear16 only".to_owned());
        }
        Ok(Aura {
            model,
            tone: Tone::new(rate(asked)?, act.speak),
            text: String::new(),
            characters: 0,
            sequence_id: 0,
            flushes: VecDeque::new(),
            idle_ms: act.idle_ms,
            fed_ms: 0,
        })
    }

    fn speak(&mut self) -> Vec<Out> {
        let text = std::mem::take(&mut self.text);
        self.characters += text.chars().count() as u64;
        self.tone.say(&text).into_iter().map(|piece| Out::Send(Frame::Bytes(piece))).collect()
    }

    fn numbered(&mut self, name: &str) -> Out {
        let message = json!({ "type": name, "sequence_id": self.sequence_id });
        self.sequence_id += 1;
        Out::json(&message)
    }

    fn flush(&mut self, now_ms: u64) -> Vec<Out> {
        self.flushes.retain(|before| before + FLUSH_WINDOW_MS > now_ms);
        if self.flushes.len() >= FLUSHES {
            let description =
                "Flush was sent more than 20 times in 60 seconds and is ignored until the window has passed.";
            return vec![warning("EXCESSIVE_FLUSH", description)];
        }
        self.flushes.push_back(now_ms);
        let mut outs = self.speak();
        outs.push(self.numbered("Flushed"));
        outs
    }
}

impl Conversation for Aura {
    fn open(&mut self) -> Vec<Out> {
        vec![Out::json(&json!({
            "type": "Metadata",
            "request_id": REQUEST_ID,
            "model_name": self.model,
            "model_version": "2025-04-07.0",
            "model_uuid": "0bb159e1-5c0a-48fb-aa29-ed7c0401f116",
        }))]
    }

    fn handle_text(&mut self, now_ms: u64, text: &str) -> Vec<Out> {
        self.fed_ms = now_ms;
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match (message["type"].as_str(), message["text"].as_str()) {
            (Some("Speak"), Some(text)) => {
                self.text.push_str(text);
                Vec::new()
            }
            (Some("Flush"), _) => self.flush(now_ms),
            (Some("Clear"), _) => {
                self.text.clear();
                vec![Out::Forget, self.numbered("Cleared")]
            }
            (Some("Close"), _) => {
                let mut outs = self.speak();
                outs.push(Out::Close(1000, ""));
                outs
            }
            _ => vec![warning("UNPARSABLE_CLIENT_MESSAGE", "The message has no known type and is ignored.")],
        }
    }

    fn handle_bytes(&mut self, _: u64, _: &[u8]) -> Vec<Out> {
        vec![warning("UNPARSABLE_CLIENT_MESSAGE", "Bytes are no message of this wire.")]
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(self.fed_ms + self.idle_ms?)
    }

    fn handle_timeout(&mut self, now_ms: u64) -> Vec<Out> {
        self.fed_ms = now_ms;
        vec![Out::Close(1008, "No message was received within the timeout window (NET-0001)")]
    }

    fn error(&self, name: &str) -> Frame {
        let error = json!({ "type": "Error", "code": name, "description": name });
        Frame::Text(error.to_string())
    }

    fn bill(&self) -> Bill {
        Bill { characters: self.characters, ..Bill::default() }
    }
}

/// The whole text in one request.
pub(crate) async fn speak_once(
    State(fakes): State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    Json(body): Json<Value>,
) -> Response {
    let opened = match fakes.open(Wire::DeepgramSpeakOnce, &uri, &headers, body.clone()).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let text = body["text"].as_str().unwrap_or_default();
    let characters = text.chars().count();
    if characters == 0 {
        return opened.refuse(400, "No text was sent.");
    }
    if characters > CHARACTERS {
        return opened.refuse(413, "Input text exceeds maximum character limit of 2000.");
    }
    let form = model(&asked).and_then(|model| {
        let container = asked.get("container").map_or("wav", String::as_str);
        if asked.get("encoding").is_none_or(|encoding| encoding != "linear16") {
            return Err("This stand-in speaks linear16 only.".to_owned());
        }
        Ok((model, rate(&asked)?, container == "wav"))
    });
    let (model, rate, is_wav) = match form {
        Ok(form) => form,
        Err(fault) => return opened.refuse(400, &fault),
    };
    opened.entry.bill(Bill { characters: characters as u64, ..Bill::default() });
    let head = is_wav.then(|| wav_head(rate));
    let sound = head.into_iter().chain(Tone::new(rate, opened.act.speak).say(text)).map(Bytes::from);
    let media_type =
        if is_wav { "audio/wav".to_owned() } else { format!("audio/l16;rate={rate};channels=1") };
    let mut response =
        streamed(opened, &media_type, sound.collect::<Vec<_>>(), |name| Bytes::from(name.to_owned()));
    let told = [("dg-char-count", characters.to_string()), ("dg-request-id", REQUEST_ID.to_owned())];
    for (name, value) in told.iter().map(|(name, value)| (*name, value)).chain([("dg-model-name", &model)]) {
        add_header(&mut response, HeaderName::from_static(name), value);
    }
    response
}

fn warning(code: &str, description: &str) -> Out {
    Out::json(&json!({ "type": "Warning", "description": description, "code": code }))
}

fn model(asked: &Asked) -> Result<String, Fault> {
    match asked.get("model") {
        Some(model) if model.starts_with("aura-") => Ok(model.clone()),
        None => Ok("aura-asteria-en".to_owned()),
        Some(_) => Err("No such model found.".to_owned()),
    }
}

fn rate(asked: &Asked) -> Result<u32, Fault> {
    let rate = number(asked, "sample_rate", 8_000.0..=48_000.0)?.unwrap_or(24_000.0);
    if RATES.contains(&rate) {
        Ok(rate as u32)
    } else {
        Err(format!("Unsupported audio format: a sample rate of {rate}"))
    }
}
