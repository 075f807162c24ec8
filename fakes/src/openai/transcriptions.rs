//! `v1/audio/transcriptions`: a WAV file becomes text, whole or streamed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::form::{Field, fields};
use super::{data_event, error_body, error_event, five_words};
use crate::ear::{Ear, Heard, Sign, text};
use crate::http::{EVENTS, streamed, whole};
use crate::log::{Bill, Ended};
use crate::script::{Act, Hear, Wire};
use crate::server::Fakes;
use crate::sound::read_wav;

/// The quiet that ends an utterance.
const END_MS: u64 = 300;
/// Tokens of the sound, a second, where a model is billed by tokens.
const TOKENS_PER_SECOND: f64 = 10.0;

pub(crate) async fn transcriptions(
    State(fakes): State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = fields(media_type.unwrap_or_default(), &body).unwrap_or_default();
    let opened =
        match fakes.open(Wire::OpenAiTranscriptions, &uri, &headers, Value::Object(told(&form))).await {
            Ok(opened) => opened,
            Err(refused) => return refused,
        };
    let asked = |name: &str| form.iter().find(|field| field.name == name).map(|field| field.value);
    let Some(model) = asked("model").map(String::from_utf8_lossy).filter(|model| !model.is_empty()) else {
        return opened.refuse(400, "you must provide a model parameter");
    };
    let file = form.iter().find(|field| field.name == "file" && field.is_file);
    let Some((rate, sound)) = file.and_then(|file| read_wav(file.value)) else {
        return opened.refuse(400, "Invalid file format. This stand-in hears WAV files of 16 bits.");
    };
    let seconds = sound.len() as f64 / f64::from(rate);
    if seconds < 0.1 {
        return opened.refuse(400, "Audio file is too short. Minimum audio length is 0.1 seconds.");
    }
    let words = words(rate, &sound, &opened.act);
    let text = text(&words);
    let usage = if model.starts_with("whisper") {
        opened.entry.bill(Bill { seconds, ..Bill::default() });
        json!({ "type": "duration", "seconds": seconds.ceil() as u64 })
    } else {
        let numbers = opened.act.think.usage;
        let input = numbers.input_tokens.unwrap_or_else(|| (seconds * TOKENS_PER_SECOND).ceil() as u64);
        let output = numbers.output_tokens.unwrap_or(words.len() as u64);
        let bill = Bill { seconds, input_tokens: input, output_tokens: output, ..Bill::default() };
        opened.entry.bill(bill);
        json!({
            "type": "tokens",
            "input_tokens": input,
            "output_tokens": output,
            "total_tokens": input + output,
            "input_token_details": { "text_tokens": 0, "audio_tokens": input },
        })
    };
    let is_told = opened.act.think.usage_times != Some(0);
    let with_usage = |mut answer: Value| {
        if is_told {
            answer["usage"] = usage.clone();
        }
        answer
    };
    let is_streamed = asked("stream") == Some(b"true") && !model.starts_with("whisper");
    if is_streamed {
        let deltas = five_words(&text);
        let deltas = deltas.iter().map(|delta| json!({ "type": "transcript.text.delta", "delta": delta }));
        let done = with_usage(json!({ "type": "transcript.text.done", "text": text }));
        let events: Vec<Bytes> = deltas.chain([done]).map(|event| data_event(&event)).collect();
        return streamed(opened, EVENTS, events, error_event);
    }
    match asked("response_format").unwrap_or(b"json") {
        b"json" => whole(opened, with_usage(json!({ "text": text })), error_body).await,
        b"verbose_json" => whole(opened, with_usage(verbose(&text, seconds, &words)), error_body).await,
        b"text" => {
            opened.entry.end(Ended::Done);
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
        }
        _ => opened.refuse(400, "response_format is not supported"),
    }
}

/// The fields that are text, and the length of each file.
fn told(form: &[Field<'_>]) -> Map<String, Value> {
    let told = form.iter().map(|field| {
        let value = match field.is_file {
            true => json!({ "bytes": field.value.len() }),
            false => json!(String::from_utf8_lossy(field.value)),
        };
        (field.name.clone(), value)
    });
    told.collect()
}

/// What is heard in a whole sound. A scripted text is heard however quiet it is.
fn words(rate: u32, sound: &[i16], act: &Act) -> Vec<Heard> {
    let Hear { texts, words, .. } = &act.hear;
    let mut ear = Ear::new(rate, act.hear.clone());
    let mut heard = Vec::new();
    ear.handle_sound(sound);
    while let Some((_, sign)) = ear.poll_sign() {
        if matches!(sign, Sign::Quiet(ms) if ms >= END_MS) {
            heard.extend(ear.take());
        }
    }
    heard.extend(ear.take());
    if heard.is_empty() && words.is_empty() {
        let said = texts.first().map_or("", String::as_str).split_whitespace();
        heard.extend(said.map(|word| Heard { word: word.to_owned(), start_ms: 0, end_ms: 0 }));
    }
    heard
}

fn verbose(text: &str, seconds: f64, words: &[Heard]) -> Value {
    let list = words.iter().map(|Heard { word, start_ms, end_ms }| {
        json!({ "word": word, "start": *start_ms as f64 / 1e3, "end": *end_ms as f64 / 1e3 })
    });
    json!({
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": text,
        "words": list.collect::<Vec<_>>(),
        "segments": [{
            "id": 0,
            "seek": 0,
            "start": 0.0,
            "end": seconds,
            "text": text,
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": -0.2,
            "compression_ratio": 1.0,
            "no_speech_prob": 0.01,
        }],
    })
}
