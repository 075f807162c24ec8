//! ElevenLabs' `stream-input`: text comes in pieces, sound goes out with the times of its characters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::log::Bill;
use crate::script::{Act, Wire};
use crate::server::Fakes;
use crate::sound::Tone;
use crate::talk::{Conversation, Frame, Out, drive};

const IDLE_MS: u64 = 20_000;
/// So many characters are gathered before the first, second, … sound.
const SCHEDULE: [usize; 4] = [120, 160, 250, 290];

const IDLE: &str = "Have not received a new text input within the timeout of 20.0 seconds. Streaming input terminated. Please make sure to either feed the input in the timely manner, or to send the end of input text (empty string \"\") when done.";
const UNPARSABLE: &str =
    "Could not parse input message, make sure it is a json and follows the schema outlined in protocol.";

struct StreamInput {
    tone: Tone,
    text: String,
    schedule: Vec<usize>,
    /// How often sound was made.
    made: usize,
    characters: u64,
    has_begun: bool,
    idle_ms: u64,
    fed_ms: u64,
}

pub(crate) async fn stream_input(
    State(fakes): State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    Query(asked): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let opened = match fakes.open(Wire::ElevenLabsStreamInput, &uri, &headers, Value::Null).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let format = asked.get("output_format").map_or("mp3_44100_128", String::as_str);
    let Some(rate) = format.strip_prefix("pcm_").and_then(|rate| rate.parse().ok()).filter(|rate| *rate > 0)
    else {
        return opened.refuse(400, "This stand-in speaks pcm only.");
    };
    let idle_ms = asked.get("inactivity_timeout").and_then(|seconds| seconds.parse::<u64>().ok());
    let conversation = StreamInput::new(rate, idle_ms.map(|seconds| seconds * 1000), &opened.act);
    upgrade.on_upgrade(|socket| drive(socket, conversation, opened))
}

impl StreamInput {
    fn new(rate: u32, idle_ms: Option<u64>, act: &Act) -> Self {
        StreamInput {
            tone: Tone::new(rate, act.speak),
            text: String::new(),
            schedule: SCHEDULE.to_vec(),
            made: 0,
            characters: 0,
            has_begun: false,
            idle_ms: act.idle_ms.or(idle_ms).unwrap_or(IDLE_MS),
            fed_ms: 0,
        }
    }

    /// All the text that has come so far as one message of sound.
    fn speak(&mut self) -> Option<Out> {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return None;
        }
        self.made += 1;
        self.characters += text.chars().count() as u64;
        let times = self.tone.characters(&text);
        let alignment = json!({
            "chars": text.chars().map(String::from).collect::<Vec<_>>(),
            "charStartTimesMs": times.iter().map(|(start, _)| start).collect::<Vec<_>>(),
            "charDurationsMs": times.iter().map(|(_, length)| length).collect::<Vec<_>>(),
        });
        Some(Out::json(&json!({
            "audio": BASE64_STANDARD.encode(self.tone.say(&text).concat()),
            "isFinal": null,
            "normalizedAlignment": alignment,
            "alignment": alignment,
        })))
    }

    fn set(&mut self, settings: &Value) {
        if let Some(schedule) = settings["chunk_length_schedule"].as_array() {
            self.schedule =
                schedule.iter().filter_map(Value::as_u64).map(|characters| characters as usize).collect();
        }
    }

    /// So many characters have to come before sound is made.
    fn wanted(&self) -> usize {
        self.schedule.get(self.made).or(self.schedule.last()).copied().unwrap_or_default()
    }
}

impl Conversation for StreamInput {
    fn handle_text(&mut self, now_ms: u64, text: &str) -> Vec<Out> {
        self.fed_ms = now_ms;
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(text) = message["text"].as_str() else {
            return fail("invalid_input_message", UNPARSABLE);
        };
        self.set(&message["generation_config"]);
        if !std::mem::replace(&mut self.has_begun, true) && text == " " {
            return Vec::new();
        }
        if text.is_empty() {
            let mut outs: Vec<Out> = self.speak().into_iter().collect();
            outs.push(Out::json(&json!({ "audio": null, "isFinal": true })));
            outs.push(Out::Close(1000, ""));
            return outs;
        }
        self.text.push_str(text);
        let is_due = message["try_trigger_generation"] == true && self.text.chars().count() >= self.wanted();
        if is_due || message["flush"] == true { self.speak().into_iter().collect() } else { Vec::new() }
    }

    fn handle_bytes(&mut self, _: u64, _: &[u8]) -> Vec<Out> {
        fail("invalid_input_message", UNPARSABLE)
    }

    fn poll_timeout(&self) -> Option<u64> {
        Some(self.fed_ms + self.idle_ms)
    }

    fn handle_timeout(&mut self, now_ms: u64) -> Vec<Out> {
        self.fed_ms = now_ms;
        fail("input_timeout_exceeded", IDLE)
    }

    fn error(&self, name: &str) -> Frame {
        Frame::Text(error(name, "Something went wrong.").to_string())
    }

    fn bill(&self) -> Bill {
        Bill { characters: self.characters, ..Bill::default() }
    }
}

fn fail(name: &'static str, message: &str) -> Vec<Out> {
    vec![Out::json(&error(name, message)), Out::Close(1008, name)]
}

fn error(name: &str, message: &str) -> Value {
    json!({ "message": message, "error": name, "code": 1008 })
}
