//! The providers: they hear by the numbers in the chunks, think of two sentences, and speak them, and stamp what they get and send.
//!
//! The wires are the documented ones, as far as a good day needs them. Nothing here is shared with the relay's codecs.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRef, State};
use axum::response::Response;
use axum::routing::{any, post};
use axum::serve::ListenerExt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::script::{Book, Id, SPEAKS, Stage};

/// A piece of sound: 40 ms at 24 kHz.
const PIECE_BYTES: usize = 1_920;
/// The first pieces come apart from each other, as from a voice that speaks four times as fast as a person; the rest comes at once.
const APART: (usize, Duration) = (5, Duration::from_millis(10));
/// Far away, for a timer that is not needed.
const FAR: Duration = Duration::from_secs(3_600);

/// How a model writes what it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writes {
    /// All of its first sentence in one piece.
    Sentences,
    /// Each token in a piece of its own, one right after the other.
    Tokens,
}

/// What the providers have in common.
#[derive(Clone)]
struct Providers {
    book: Arc<Book>,
    writes: Writes,
}

impl FromRef<Providers> for Arc<Book> {
    fn from_ref(providers: &Providers) -> Arc<Book> {
        providers.book.clone()
    }
}

/// Starts the providers; where they listen, and their task.
pub(crate) async fn serve(book: Arc<Book>, writes: Writes) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new()
        .route("/v1/listen", any(listen))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/speak", any(aura))
        .route("/v1/text-to-speech/{voice}/stream-input", any(elevenlabs))
        .route("/v1/audio/speech", post(speech))
        .with_state(Providers { book, writes });
    let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    (address, task)
}

/// What makes a relay ask these providers, which listen at this address, with this voice.
pub(crate) fn config(address: &str, voice: &str) -> String {
    format!(
        "[prices]\nfile = \"prices.toml\"\n[agents]\ndefault = \"host\"\n\
        [agents.host]\nstt = \"ears\"\nllm = \"mind\"\ntts = \"mouth\"\ninstructions = \"Be brief.\"\n\
        [providers.ears]\nkind = \"deepgram\"\nmodel = \"nova-3\"\nurl = \"{address}\"\nprice = \"bench/ears\"\n\
        [providers.mind]\nkind = \"openai-chat\"\nmodel = \"m\"\nurl = \"{address}/v1\"\nprice = \"bench/mind\"\n\
        [providers.mouth]\n{voice}\nurl = \"{address}{}\"\nprice = \"bench/mouth\"\n",
        // OpenAI's addresses end with their version.
        if voice.contains("openai") { "/v1" } else { "" },
    )
}

/// The voice of Deepgram, as a configuration names it.
pub(crate) const AURA: &str = "kind = \"deepgram-aura\"\nmodel = \"aura-2-thalia-en\"";

/// Usual prices, the file `prices.toml` of that configuration.
pub(crate) const PRICES: &str = r#"
version = "bench"
item = [
  { name = "bench/ears", unit = "second", usd = "0.0048", per = 60 },
  { name = "bench/mind", unit = "input_token", usd = "0.10", per = 1_000_000 },
  { name = "bench/mind", unit = "output_token", usd = "0.50", per = 1_000_000 },
  { name = "bench/mouth", unit = "character", usd = "30", per = 1_000_000 },
]
"#;

/// A Deepgram that hears.
async fn listen(State(book): State<Arc<Book>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(8_192).on_upgrade(async move |mut socket| {
        let mut ears = Ears { book, heard: 0, told: 0, finals: VecDeque::new() };
        loop {
            let due = ears.finals.front().map_or_else(|| Instant::now() + FAR, |(due, ..)| *due);
            let messages = tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(Ok(Message::Binary(chunk))) => ears.hear(&chunk),
                    Some(Ok(Message::Text(text))) if text.contains("CloseStream") => return,
                    Some(Ok(_)) => Vec::new(),
                    _ => return,
                },
                () = sleep_until(due) => ears.say_final(),
            };
            for message in messages {
                if socket.send(Message::Text(message.to_string().into())).await.is_err() {
                    return;
                }
            }
        }
    })
}

struct Ears {
    book: Arc<Book>,
    /// Samples.
    heard: usize,
    /// Samples that there are final words of.
    told: usize,
    /// Turns whose text is due.
    finals: VecDeque<(Instant, Id)>,
}

impl Ears {
    fn hear(&mut self, chunk: &[u8]) -> Vec<Value> {
        let now = Instant::now();
        let begins_at = self.heard;
        self.heard += chunk.len() / 2;
        let Some([call, tick]) = numbers(chunk) else { return Vec::new() };
        let (id, place) = Id::of_chunk(call, tick);
        if place == SPEAKS.0 {
            let timestamp = begins_at as f64 / 16_000.0;
            return vec![json!({ "type": "SpeechStarted", "channel": [0], "timestamp": timestamp })];
        }
        // Of silence it says that it heard nothing, as this one does.
        if !(SPEAKS.0..SPEAKS.1 + 8).contains(&place) && place % 20 == 0 {
            let silence = self.results("", true);
            self.told = self.heard;
            return vec![silence];
        }
        if place == (SPEAKS.0 + SPEAKS.1) / 2 {
            return vec![self.results("This is", false)];
        }
        if place == SPEAKS.1 - 1 + self.book.scene.endpoint() {
            self.book.stamp(id, |turn| turn.endpoint_heard = Some(now));
            let delay = self.book.scene.draw(id, Stage::FinalText);
            if delay.is_zero() {
                return self.final_of(id);
            }
            self.finals.push_back((now + delay, id));
        }
        Vec::new()
    }

    fn say_final(&mut self) -> Vec<Value> {
        let Some((due, id)) = self.finals.pop_front() else { return Vec::new() };
        self.book.was_due(due);
        self.final_of(id)
    }

    fn final_of(&mut self, id: Id) -> Vec<Value> {
        self.book.stamp(id, |turn| turn.final_sent = Some(Instant::now()));
        let results = self.results(&format!("This is {}.", id.words()), true);
        self.told = self.heard;
        vec![results]
    }

    fn results(&self, transcript: &str, is_final: bool) -> Value {
        let seconds = |samples: usize| samples as f64 / 16_000.0;
        json!({
            "type": "Results", "channel_index": [0, 1], "is_final": is_final, "speech_final": is_final,
            "start": seconds(self.told), "duration": seconds(self.heard - self.told),
            "channel": { "alternatives": [{ "transcript": transcript, "confidence": 0.98, "words": [] }] },
            "metadata": { "request_id": "listen" }, "from_finalize": false,
        })
    }
}

/// The call and the tick that a chunk names, if it is one of ours.
fn numbers(chunk: &[u8]) -> Option<[u32; 2]> {
    let [a, b, c, d] = *chunk.first_chunk()?;
    Some([u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()])
}

/// A model behind OpenAI's API.
async fn chat(State(Providers { book, writes }): State<Providers>, body: Bytes) -> Response {
    let now = Instant::now();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let said = messages.iter().rfind(|message| message["role"] == "user");
    let id = said.and_then(|said| Id::in_words(said["content"].as_str()?));
    let mut due = now;
    if let Some(id) = id {
        book.stamp(id, |turn| turn.asked = Some(now));
        due += book.scene.draw(id, Stage::FirstToken);
    }
    let named = id.map_or_else(|| "nothing".to_owned(), Id::words);
    let answer = format!("I have heard {named} and say so. That is all there is.");
    // With the first word of the next sentence it is certain that one has ended.
    let shows = "That";
    let token = |token| event(&json!({ "content": token }), None);
    let tokens: Vec<String> = answer.split_inclusive(' ').map(token).collect();
    let together = if writes == Writes::Tokens {
        1
    } else {
        tokens.iter().take_while(|token| !token.contains(shows)).count() + 1
    };
    let (first, others) = tokens.split_at(together);
    let mut pieces = VecDeque::from([first.concat()]);
    pieces.extend(others.iter().cloned());
    pieces.push_back(event(&json!({}), Some("stop")) + "data: [DONE]\n\n");
    let stream = unfold((pieces, true), move |(mut pieces, is_first)| {
        let book = book.clone();
        async move {
            if is_first && due > now {
                sleep_until(due).await;
                book.was_due(due);
            }
            let piece = pieces.pop_front()?;
            if let Some(id) = id.filter(|_| piece.contains(shows)) {
                book.stamp(id, |turn| turn.sentence_sent = Some(Instant::now()));
            }
            Some((Ok::<_, Infallible>(Bytes::from(piece)), (pieces, false)))
        }
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from_stream(stream)).expect("a good head")
}

fn event(delta: &Value, finish_reason: Option<&str>) -> String {
    let usage = finish_reason.map(|_| json!({ "prompt_tokens": 60, "completion_tokens": 20 }));
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
    let chunk = json!({
        "id": "chat", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice], "usage": usage,
    });
    format!("data: {chunk}\n\n")
}

/// A sentence that is being spoken.
struct Sentence {
    book: Arc<Book>,
    id: Option<Id>,
    /// When the next piece is due.
    due: Instant,
    given: usize,
}

impl Sentence {
    /// It was told to be spoken just now.
    fn new(book: &Arc<Book>, text: &str) -> Sentence {
        let (id, now) = (Id::in_words(text), Instant::now());
        let mut due = now;
        if let Some(id) = id {
            book.stamp(id, |turn| turn.text_heard = Some(now));
            due += book.scene.draw(id, Stage::FirstSound);
        }
        Sentence { book: book.clone(), id, due, given: 0 }
    }

    /// Waits for the next sound; nothing when all was given.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let whole = self.book.scene.pieces();
        if self.given == whole {
            return None;
        }
        if self.due > Instant::now() {
            sleep_until(self.due).await;
            self.book.was_due(self.due);
        }
        if let (Some(id), 0) = (self.id, self.given) {
            self.book.stamp(id, |turn| turn.sound_sent = Some(Instant::now()));
        }
        let pieces = if self.given < APART.0 { 1 } else { whole - self.given };
        self.given += pieces;
        self.due += APART.1;
        Some(tone(pieces * PIECE_BYTES))
    }
}

/// A quiet square.
fn tone(bytes: usize) -> Vec<u8> {
    let sample = |place: usize| if place % 120 < 60 { 3_000_i16 } else { -3_000 };
    (0..bytes / 2).flat_map(|place| sample(place).to_le_bytes()).collect()
}

/// Deepgram's voice.
async fn aura(State(book): State<Arc<Book>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(4_096).on_upgrade(async move |mut socket| {
        let greeting = json!({ "type": "Metadata", "request_id": "speak", "model_name": "aura-2-thalia-en" });
        if socket.send(Message::Text(greeting.to_string().into())).await.is_err() {
            return;
        }
        let (mut text, mut flushes) = (String::new(), 0);
        while let Some(Ok(message)) = socket.recv().await {
            let Message::Text(message) = message else { continue };
            let message: Value = serde_json::from_str(&message).unwrap_or_default();
            match message["type"].as_str() {
                Some("Speak") => text.push_str(message["text"].as_str().unwrap_or_default()),
                Some("Flush") => {
                    let sentence = Sentence::new(&book, &std::mem::take(&mut text));
                    let flushed = json!({ "type": "Flushed", "sequence_id": flushes });
                    flushes += 1;
                    if give(&mut socket, sentence, |sound| Message::Binary(sound.into())).await.is_err()
                        || socket.send(Message::Text(flushed.to_string().into())).await.is_err()
                    {
                        return;
                    }
                }
                Some("Close") => return,
                _ => {}
            }
        }
    })
}

/// The voice of ElevenLabs.
async fn elevenlabs(State(book): State<Arc<Book>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(4_096).on_upgrade(async move |mut socket| {
        let mut text = String::new();
        while let Some(Ok(message)) = socket.recv().await {
            let Message::Text(message) = message else { continue };
            let message: Value = serde_json::from_str(&message).unwrap_or_default();
            let more = message["text"].as_str().unwrap_or_default();
            text.push_str(more);
            if !more.is_empty() {
                continue;
            }
            let sentence = Sentence::new(&book, &std::mem::take(&mut text));
            let told = |sound: Vec<u8>| {
                let message = json!({ "audio": STANDARD.encode(sound), "isFinal": null });
                Message::Text(message.to_string().into())
            };
            if give(&mut socket, sentence, told).await.is_ok() {
                let _ = socket.send(Message::Text(json!({ "isFinal": true }).to_string().into())).await;
            }
            return;
        }
    })
}

async fn give(
    socket: &mut WebSocket,
    mut sentence: Sentence,
    told: impl Fn(Vec<u8>) -> Message,
) -> Result<(), axum::Error> {
    while let Some(sound) = sentence.next().await {
        socket.send(told(sound)).await?;
    }
    Ok(())
}

/// A voice behind OpenAI's API.
async fn speech(State(book): State<Arc<Book>>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let sentence = Sentence::new(&book, body["input"].as_str().unwrap_or_default());
    let stream = unfold(sentence, |mut sentence| async move {
        let sound = sentence.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(sound)), sentence))
    });
    let response = Response::builder().header("content-type", "audio/pcm");
    response.body(Body::from_stream(stream)).expect("a good head")
}
