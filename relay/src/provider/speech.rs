//! The wire of OpenAI's speech endpoint, and of everything that is compatible with it.
//!
//! One `POST`, answered by sound as it is made: samples without a header, at 24 kHz unless their media type says otherwise, a WAV file from
//! servers that know no other way, or server-sent events with base64, which also say what was used (OpenAI's API reference, "Create speech").

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Time;
use serde_json::{Value, json};
use sse_parse::SseParser;

use super::fields::whole;
use super::pcm::{Pcm, Wav};
use super::refusal::{Refusal, error, words};
use super::registry::model_line;
use super::{
    Answer, Ask, Bounds, Codec, Event, Failure, FailureKind, Input, Kind, Opening, Output, Provider, Service,
    Target, essence,
};
use crate::money::bill::{ItemPrice, Quantity, TokenUsage};

/// OpenAI's speech endpoint, and everything that is compatible with it.
pub(super) const OPENAI_SPEECH: Kind = Kind {
    name: "openai-speech",
    service: Service::TextToSpeech,
    is_fed: false,
    needs_voice: false,
    default_url: "https://api.openai.com/v1/",
    vendor: "openai",
    line: model_line,
    codec: |provider, ask| {
        let Ask::Speak(text) = ask else { return None };
        Some(Box::new(Speech::new(provider, text)))
    },
    bounds: |provider, _| Bounds { bytes: 1 << 26, ..provider.deadlines.over_http() },
    price: ItemPrice::voice,
};

/// Samples a second of an answer without a header whose media type does not say it.
const RATE: u32 = 24_000;
/// The voice if none is configured.
const VOICE: &str = "alloy";
/// The longest event: a minute of sound in base64.
const EVENT_MAX_BYTES: usize = 1 << 22;

/// The sound of one text.
struct Speech {
    opening: Option<Opening>,
    state: State,
    outputs: VecDeque<Output>,
    answer: Answer,
    /// It gave any sound.
    has_sound: bool,
    /// Events that have come.
    events: u64,
}

enum State {
    Waiting,
    /// It answers with sound; its first bytes say whether that is a WAV file.
    Beginning {
        bytes: Vec<u8>,
        called: Called,
        /// What its samples are if it is none.
        pcm: Pcm,
    },
    Samples(Pcm),
    File(Wav),
    Events(Box<SseParser>, Pcm),
    /// It answers with something that is no sound.
    Other(Refusal),
    Refused(Refusal),
    Over,
}

/// What sound is called that comes without events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Called {
    Wav,
    Mp3,
    /// Samples, or nothing that tells.
    Other,
}

impl Speech {
    fn new(provider: &Provider, text: &str) -> Speech {
        let voice = provider.voice.as_deref().unwrap_or(VOICE);
        let mut body =
            json!({"model": provider.model, "input": text, "voice": voice, "response_format": "pcm"});
        // Models that are paid by the token say what they used only in events. Other servers refuse a field that they do not know.
        let accept = if provider.model.starts_with("gpt-") {
            body["stream_format"] = json!("sse");
            "text/event-stream"
        } else {
            "audio/pcm, audio/wav, application/octet-stream"
        };
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", accept.to_owned())];
        if let Some(key) = &provider.key {
            headers.push(("authorization", format!("Bearer {}", key.expose())));
        }
        let url =
            provider.base_url.join("audio/speech").expect("the configuration takes http and https only");
        Speech {
            opening: Some(Opening::Http(Target { url, headers, body: body.to_string().into_bytes() })),
            state: State::Waiting,
            outputs: VecDeque::new(),
            answer: Answer::default(),
            has_sound: false,
            events: 0,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Beginning { bytes: begun, .. } => {
                begun.extend_from_slice(bytes);
                if begun.len() < 4 {
                    return;
                }
                let State::Beginning { bytes: begun, called, pcm } =
                    std::mem::replace(&mut self.state, State::Waiting)
                else {
                    return;
                };
                if is_compressed(&begun, called) {
                    return self
                        .fail(FailureKind::Provider, "the sound is compressed, and not what was asked for");
                }
                if begun.starts_with(b"{\"") {
                    self.state = State::Other(Refusal::new(200, None));
                    return self.read(&begun);
                }
                let is_wav = called == Called::Wav || begun.starts_with(b"RIFF");
                self.state = if is_wav { State::File(Wav::new()) } else { State::Samples(pcm) };
                self.read(&begun);
            }
            State::Samples(pcm) => {
                let sound = pcm.read(bytes);
                self.sound(sound);
            }
            State::File(wav) => match wav.read(bytes) {
                Ok(sound) => self.sound(sound),
                Err(failure) => self.end_with(Event::Failed(failure)),
            },
            State::Events(parser, _) => {
                parser.feed(bytes);
                if parser.overflows() > 0 {
                    return self.fail(FailureKind::Flood, "an event is longer than a minute of sound");
                }
                self.events();
            }
            State::Other(refusal) | State::Refused(refusal) => refusal.read(bytes),
            State::Waiting | State::Over => {}
        }
    }

    fn events(&mut self) {
        while let State::Events(parser, pcm) = &mut self.state {
            let Some(event) = parser.next_event() else { return };
            self.events += 1;
            let message: Value = serde_json::from_str(&event.data).unwrap_or_default();
            if let Some(error) = error(&message) {
                return self.fail(FailureKind::Provider, &words(error));
            }
            match message["type"].as_str() {
                Some("speech.audio.delta") => {
                    // Without a piece of it, all that follows may begin in the middle of a sample.
                    let Ok(audio) = STANDARD.decode(message["audio"].as_str().unwrap_or_default()) else {
                        return self.fail(FailureKind::Provider, "a piece of the sound is not base64");
                    };
                    let sound = pcm.read(&audio);
                    self.sound(sound);
                }
                Some("speech.audio.done") => {
                    self.answer.usage = usage(&message["usage"]);
                    return self.finish();
                }
                _ => {}
            }
        }
    }

    fn sound(&mut self, sound: Option<Event>) {
        self.has_sound |= sound.is_some();
        self.outputs.extend(sound.map(Output::Event));
    }

    fn end(&mut self) {
        if let State::Events(parser, _) = &mut self.state {
            // The blank line after the last event may be missing.
            parser.feed(b"\n\n");
            self.events();
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::File(wav) if self.has_sound && wav.is_short() => {
                self.fail(FailureKind::BrokeOff, "the sound broke off");
            }
            State::Samples(_) | State::File(Wav::Samples(..)) if self.has_sound => self.finish(),
            State::Beginning { .. } | State::Samples(_) | State::File(_) => {
                self.fail(FailureKind::Provider, "the answer has no sound");
            }
            State::Other(refusal) => {
                let said = refusal.failure().message;
                self.fail(FailureKind::Provider, &format!("the answer is no sound: {said}"));
            }
            State::Refused(refusal) => self.end_with(Event::Failed(refusal.failure())),
            // The exchange says that it broke off.
            State::Events(..) | State::Waiting | State::Over => {}
        }
    }

    fn finish(&mut self) {
        let answer = std::mem::take(&mut self.answer);
        self.end_with(Event::Finished(answer));
    }

    fn fail(&mut self, kind: FailureKind, said: &str) {
        self.end_with(Event::Failed(Failure::new(kind, said)));
    }

    fn end_with(&mut self, event: Event) {
        self.state = State::Over;
        self.outputs.push_back(Output::Event(event));
    }
}

/// Whether this begins sound that is compressed. The samples of a loud beginning look like an MP3 frame, too: that it is one has to be said.
fn is_compressed(begun: &[u8], called: Called) -> bool {
    let is_marked = [&b"ID3"[..], b"OggS", b"fLaC"].iter().any(|mark| begun.starts_with(mark));
    is_marked || called == Called::Mp3 && begun[0] == 0xFF && begun[1] & 0xE0 == 0xE0
}

/// What answers with this media type.
fn answering(media_type: &str) -> Result<State, Failure> {
    let begins = |called| Ok(State::Beginning { bytes: Vec::new(), called, pcm: samples(media_type)? });
    match essence(media_type).to_ascii_lowercase().as_str() {
        "text/event-stream" => {
            let parser = SseParser::new().max_buffer(EVENT_MAX_BYTES);
            Ok(State::Events(Box::new(parser), Pcm::mono(RATE)))
        }
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => begins(Called::Wav),
        "audio/mpeg" | "audio/mp3" => begins(Called::Mp3),
        other if other.starts_with("text/") || other == "application/json" || other.ends_with("+json") => {
            Ok(State::Other(Refusal::new(200, None)))
        }
        _ => begins(Called::Other),
    }
}

/// What samples without a header are, as their media type says: `audio/pcm;rate=16000`, `audio/L16; rate=22050; channels=2`. RFC 2586 has the
/// samples of `audio/L16` with the highest byte first; those who use it as an answer to a request for `pcm` send them as all others do.
fn samples(media_type: &str) -> Result<Pcm, Failure> {
    let (rate, channels) = (parameter(media_type, "rate"), parameter(media_type, "channels"));
    if let (Ok(rate), Ok(channels)) = (rate.map_or(Ok(RATE), str::parse), channels.map_or(Ok(1), str::parse))
    {
        return Pcm::of(rate, channels);
    }
    Err(Failure::new(FailureKind::Provider, format!("the sound cannot be read: it is called {media_type}")))
}

/// What a media type says of this.
fn parameter<'a>(media_type: &'a str, name: &str) -> Option<&'a str> {
    let parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut called = parameters.filter(|(called, _)| called.trim().eq_ignore_ascii_case(name));
    called.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// All that is said of it is text in and sound out.
fn usage(usage: &Value) -> Option<Quantity> {
    let (input, audio_output) = (whole(&usage["input_tokens"])?, whole(&usage["output_tokens"])?);
    Some(Quantity::Tokens(TokenUsage { input, audio_output, ..TokenUsage::default() }))
}

impl Codec for Speech {
    fn open(&mut self) -> Opening {
        self.opening.take().expect("an exchange opens its codec once")
    }

    fn handle_input(&mut self, _now: Time, input: Input<'_>) {
        match (&self.state, input) {
            (State::Waiting, Input::Head { status, retry_after, request_id, media_type }) => {
                self.answer.request_id = request_id.map(str::to_owned);
                match status {
                    200..=299 => match answering(media_type) {
                        Ok(state) => self.state = state,
                        Err(failure) => self.end_with(Event::Failed(failure)),
                    },
                    _ => self.state = State::Refused(Refusal::new(status, retry_after)),
                }
            }
            (_, Input::Bytes(bytes)) => self.read(bytes),
            (_, Input::End) => self.end(),
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn pieces(&self) -> Option<u64> {
        matches!(self.state, State::Events(..)).then_some(self.events)
    }
}

#[cfg(test)]
mod tests;
