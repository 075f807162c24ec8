//! `v1/audio/speech`: text becomes sound, raw, as a WAV file or as events.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{TOKEN_BYTES, data_event, error_event, split_body};
use crate::http::{EVENTS, streamed};
use crate::log::Bill;
use crate::script::Wire;
use crate::server::Fakes;
use crate::sound::{Tone, wav_head};

const RATE: u32 = 24_000;
const CHARACTERS: usize = 4_096;
/// Tokens of the sound, a second: bytes of it, a token.
const TOKEN_SOUND_BYTES: usize = 2_400;

pub(crate) async fn speech(
    State(fakes): State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let opened = match fakes.open(Wire::OpenAiSpeech, &uri, &headers, body.clone()).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let input = body["input"].as_str().unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    let characters = input.chars().count();
    let is_sse = body["stream_format"] == "sse";
    let format = body["response_format"].as_str().unwrap_or("mp3");
    let fault = match () {
        () if model.is_empty() => Some("you must provide a model parameter"),
        () if input.is_empty() => Some("[] is too short - 'input'"),
        () if characters > CHARACTERS => {
            Some("Invalid 'input': string too long. Expected a string with maximum length 4096.")
        }
        () if body["voice"].is_null() => Some("Field required: 'voice'"),
        () if is_sse && model.starts_with("tts-1") => {
            Some("stream_format sse is not supported for this model")
        }
        () if format != "pcm" && format != "wav" => Some("This stand-in speaks pcm and wav only."),
        () => None,
    };
    if let Some(fault) = fault {
        return opened.refuse(400, fault);
    }
    let think = opened.act.think.clone();
    let sound = Tone::new(RATE, opened.act.speak).say(input);
    let bytes: usize = sound.iter().map(Vec::len).sum();
    let input_tokens = think.usage.input_tokens.unwrap_or(input.len().div_ceil(TOKEN_BYTES) as u64);
    let output_tokens = think.usage.output_tokens.unwrap_or(bytes.div_ceil(TOKEN_SOUND_BYTES) as u64);
    opened.entry.bill(Bill { characters: characters as u64, input_tokens, output_tokens, ..Bill::default() });
    let head = (format == "wav").then(|| wav_head(RATE));
    let pieces = head.into_iter().chain(sound);
    if !is_sse {
        let media_type = if format == "wav" { "audio/wav" } else { "audio/pcm" };
        let pieces = split_body(pieces.map(Bytes::from).collect(), &think);
        return streamed(opened, media_type, pieces, |_| Bytes::new());
    }
    let mut done = json!({ "type": "speech.audio.done" });
    if think.usage_times != Some(0) {
        done["usage"] = json!({
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        });
    }
    let deltas =
        pieces.map(|piece| json!({ "type": "speech.audio.delta", "audio": BASE64_STANDARD.encode(piece) }));
    let events = deltas.chain([done]).map(|event| data_event(&event)).collect();
    streamed(opened, EVENTS, split_body(events, &think), error_event)
}
