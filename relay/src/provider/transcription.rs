//! The wire of OpenAI's transcriptions, and of everything that is compatible with it.
//!
//! One `POST` of a form with a WAV file in it, answered by one JSON object or by plain text (OpenAI's API reference, "Create
//! transcription").

use hound::{SampleFormat, WavSpec, WavWriter};
use protocol::Time;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::fields::whole;
use super::incoming::breaks_off;
use super::refusal::{Refusal, error, words};
use super::registry::model_line;
use super::{
    Answer, Ask, Codec, Event, Failure, FailureKind, Heard, Input, Kind, Opening, Output, Provider, Service,
    Target, essence,
};
use crate::money::bill::{ItemPrice, Quantity, TokenUsage};

/// OpenAI's transcriptions, and everything that is compatible with it.
pub(super) const OPENAI_TRANSCRIPTION: Kind = Kind {
    name: "openai-transcription",
    service: Service::SpeechToText,
    is_fed: false,
    needs_voice: false,
    default_url: "https://api.openai.com/v1/",
    vendor: "openai",
    line: model_line,
    codec: |provider, ask| {
        let Ask::Transcribe(samples) = ask else { return None };
        Some(Box::new(Transcription::new(provider, samples)))
    },
    bounds: |provider, _| provider.deadlines.over_http(),
    price: ItemPrice::utterances,
};

/// Samples a second.
const RATE: u32 = 16_000;

/// The words of one utterance.
struct Transcription {
    opening: Option<Opening>,
    state: State,
    outputs: std::collections::VecDeque<Output>,
    /// Samples of the utterance.
    samples: u32,
    request_id: Option<String>,
}

enum State {
    Waiting,
    /// It answers: in plain text, if it says so.
    Answering {
        body: Vec<u8>,
        plain: bool,
    },
    Refused(Refusal),
    Over,
}

impl Transcription {
    fn new(provider: &Provider, samples: &[i16]) -> Transcription {
        let mut fields = vec![("model", provider.model.clone()), ("response_format", "json".to_owned())];
        // It knows languages without their regions; a mixture is what it expects anyway.
        let language = provider.language.as_deref().and_then(|tag| tag.split('-').next());
        fields.extend(language.filter(|tag| *tag != "multi").map(|tag| ("language", tag.to_owned())));
        if !provider.key_terms.is_empty() {
            fields.push(("prompt", provider.key_terms.join(", ")));
        }
        let (content_type, body) = form(&fields, &wav(samples));
        let mut headers =
            vec![("content-type", content_type), ("accept", "application/json, text/plain".to_owned())];
        if let Some(key) = &provider.key {
            headers.push(("authorization", format!("Bearer {}", key.expose())));
        }
        let url = provider.base_url.join("audio/transcriptions");
        let url = url.expect("the configuration takes http and https only");
        Transcription {
            opening: Some(Opening::Http(Target { url, headers, body })),
            state: State::Waiting,
            outputs: std::collections::VecDeque::new(),
            samples: u32::try_from(samples.len()).unwrap_or(u32::MAX),
            request_id: None,
        }
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Answering { body, plain } if !breaks_off(&body) => self.answer(&body, plain),
            State::Refused(refusal) => self.tell(Event::Failed(refusal.failure())),
            // The exchange says that it broke off.
            State::Answering { .. } | State::Waiting | State::Over => {}
        }
    }

    fn answer(&mut self, body: &[u8], plain: bool) {
        // Some say that it is plain text and send JSON.
        let json: Option<Value> = serde_json::from_slice(body).ok().filter(Value::is_object);
        let (text, usage) = match &json {
            Some(object) => match (error(object), &object["text"]) {
                (None, Value::String(text)) => (text.trim().to_owned(), usage(&object["usage"])),
                (error, _) => {
                    let said = error.map_or_else(|| "the answer is no transcription".to_owned(), words);
                    return self.tell(Event::Failed(Failure::new(FailureKind::Provider, said)));
                }
            },
            None if plain => (String::from_utf8_lossy(body).trim().to_owned(), None),
            None => {
                let said = "the answer is no transcription";
                return self.tell(Event::Failed(Failure::new(FailureKind::Provider, said)));
            }
        };
        self.tell(Event::Heard(Heard { text, start: 0, end: self.samples, words_end: None, is_final: true }));
        let request_id = self.request_id.take();
        self.tell(Event::Finished(Answer { usage, request_id, ..Answer::default() }));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// What it has used, as far as it says so.
fn usage(usage: &Value) -> Option<Quantity> {
    match usage["type"].as_str()? {
        "tokens" => {
            let (input, output) = (whole(&usage["input_tokens"])?, whole(&usage["output_tokens"])?);
            // What is not text counts as audio, the dearer one.
            let text = whole(&usage["input_token_details"]["text_tokens"]).unwrap_or(0).min(input);
            let audio_input = input - text;
            Some(Quantity::Tokens(TokenUsage { input: text, audio_input, output, ..TokenUsage::default() }))
        }
        "duration" => {
            let seconds = usage["seconds"].as_f64().filter(|seconds| *seconds >= 0.0)?;
            // A float beyond the range becomes the nearest number in it.
            Some(Quantity::Samples((seconds * f64::from(RATE)).ceil() as u64))
        }
        _ => None,
    }
}

/// A WAV file of these samples at 16 kHz.
fn wav(samples: &[i16]) -> Vec<u8> {
    let spec =
        WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file = std::io::Cursor::new(Vec::with_capacity(44 + 2 * samples.len()));
    let written = WavWriter::new(&mut file, spec).and_then(|mut writer| {
        samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
        writer.finalize()
    });
    written.expect("memory takes everything, and an utterance is shorter than 4 GB");
    file.into_inner()
}

/// A form (RFC 7578) and its media type.
fn form(fields: &[(&str, String)], file: &[u8]) -> (String, Vec<u8>) {
    // The audio is the user's, who could write a known boundary into it, and with it other fields.
    let mut hash = Sha256::new();
    for (name, value) in fields {
        hash.update(name);
        hash.update(value);
    }
    hash.update(file);
    let digest = hash.finalize();
    let boundary: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut body = Vec::with_capacity(file.len() + 1_024);
    for (name, value) in fields {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

impl Codec for Transcription {
    fn open(&mut self) -> Opening {
        self.opening.take().expect("an exchange opens its codec once")
    }

    fn handle_input(&mut self, _now: Time, input: Input<'_>) {
        match (&mut self.state, input) {
            (State::Waiting, Input::Head { status, retry_after, request_id, media_type }) => {
                self.request_id = request_id.map(str::to_owned);
                self.state = match status {
                    200..=299 => {
                        State::Answering { body: Vec::new(), plain: essence(media_type) == "text/plain" }
                    }
                    _ => State::Refused(Refusal::new(status, retry_after)),
                };
            }
            // The exchange bounds what comes in all.
            (State::Answering { body, .. }, Input::Bytes(bytes)) => body.extend_from_slice(bytes),
            (State::Refused(refusal), Input::Bytes(bytes)) => refusal.read(bytes),
            (_, Input::End) => self.end(),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
