//! Calls of the real protocol on a fixed schedule, whatever comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::{AudioHeader, ClientAck, ClientMessage, Codec, Ping, SUBPROTOCOL};
use serde_json::json;
use tests::{hello, sound, token_but};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::Scene;

/// Between two chunks.
pub(crate) const CHUNK: Duration = Duration::from_millis(100);
/// Samples of a chunk at 16 kHz.
const CHUNK_SAMPLES: usize = 1_600;
/// Chunks between two pings.
const PING_EVERY: u32 = 10;
/// Chunks between two acknowledgements, as the SDK's 200 ms.
const ACK_EVERY: u32 = 2;

/// A connection to a server.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// So much later than it was due a chunk may be sent, in milliseconds, without being late.
pub(crate) const LATE_MS: f64 = 5.0;

/// How punctual the calls were: what they are late by looks as if it were the server's.
#[derive(Default, Debug)]
pub(crate) struct Punctuality {
    due: AtomicU64,
    late: AtomicU64,
}

impl Punctuality {
    /// Something was due then, and is done only now.
    pub(crate) fn was_due(&self, due: Instant) {
        self.due.fetch_add(1, Ordering::Relaxed);
        if due.elapsed().as_secs_f64() * 1_000.0 > LATE_MS {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of a hundred things were late.
    pub(crate) fn late_percent(&self) -> f64 {
        let due = self.due.load(Ordering::Relaxed).max(1);
        self.late.load(Ordering::Relaxed) as f64 / due as f64 * 100.0
    }
}

/// Chunks of noise and of a voice, made once.
pub(crate) struct Sound {
    noise: Vec<Vec<u8>>,
    voice: Vec<Vec<u8>>,
}

impl Sound {
    pub(crate) fn new() -> Sound {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as i16 - 8
        });
        let noise: Vec<i16> = noise.take(CHUNK_SAMPLES * 20).collect();
        Sound { noise: chunks(&noise), voice: chunks(&sound::voice(2.0)) }
    }

    fn chunk(&self, scene: Scene, tick: u32) -> &[u8] {
        let at = (tick % 20) as usize;
        let speaks = scene == Scene::Talking && (tick / 20).is_multiple_of(2);
        if speaks { &self.voice[at] } else { &self.noise[at] }
    }
}

fn chunks(samples: &[i16]) -> Vec<Vec<u8>> {
    samples
        .chunks(CHUNK_SAMPLES)
        .map(|chunk| chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect())
        .collect()
}

/// A call on its schedule.
pub(crate) struct Call {
    pub(crate) scene: Scene,
    pub(crate) url: String,
    pub(crate) number: u64,
    /// When its first chunk is due.
    pub(crate) first: Instant,
    /// From when on its pings count.
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) sound: Arc<Sound>,
    /// From when each ping was due to its pong, in milliseconds.
    pub(crate) latencies: mpsc::Sender<f64>,
    /// What it has to do counts there, as its pings do.
    pub(crate) punctuality: Arc<Punctuality>,
}

impl Call {
    /// Runs it to its end.
    pub(crate) async fn run(self) -> Result<(), String> {
        let say = |error: Error| error.to_string();
        let mut socket =
            open(self.scene, &self.url, &format!("caller {}", self.number)).await.map_err(say)?;
        let mut ticks = interval_at(self.first, CHUNK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut tick, mut seq, mut received, mut played) = (0_u32, 0_u32, 0_u32, 0_u32);
        // Spread over the calls, so that they do not all ping in the same tenth of a second.
        let offset = (self.number % u64::from(PING_EVERY)) as u32;
        // Each begins to speak at a moment of its own.
        let phase = (self.number % 40) as u32;
        loop {
            tokio::select! {
                biased;
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(id) = pong(&text) {
                            let due = self.first + CHUNK * id;
                            if due >= self.from {
                                let _ = self.latencies.send(due.elapsed().as_secs_f64() * 1_000.0).await;
                            }
                        } else if text.contains("\"seq\":") && !text.contains("\"received\":") {
                            received += 1;
                        }
                    }
                    Some(Ok(Message::Binary(frame))) if self.scene != Scene::Echo => {
                        received += 1;
                        if let Some((header, payload)) = AudioHeader::parse(&frame) {
                            played = header.position + (payload.len() / 2) as u32;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => return Err(format!("closed: {frame:?}")),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("gone".to_owned()),
                },
                now = ticks.tick() => {
                    if now >= self.until {
                        return Ok(());
                    }
                    if now >= self.from {
                        self.punctuality.was_due(now);
                    }
                    if self.scene != Scene::Idle {
                        let mut frame = Vec::with_capacity(3_212);
                        AudioHeader::write(Codec::PcmS16le16000, seq, seq * CHUNK_SAMPLES as u32, &mut frame);
                        frame.extend_from_slice(self.sound.chunk(self.scene, tick + phase));
                        seq += 1;
                        socket.feed(Message::binary(frame)).await.map_err(say)?;
                    }
                    if tick % PING_EVERY == offset {
                        socket.feed(Message::text(ClientMessage::from(Ping { id: tick, rtt_us: 0 }).to_json())).await.map_err(say)?;
                    }
                    if self.scene == Scene::Talking && tick.is_multiple_of(ACK_EVERY) {
                        // As if it were heard when it comes: a relay sends two seconds ahead at most.
                        socket.feed(Message::text(ClientMessage::from(ClientAck { received, played }).to_json())).await.map_err(say)?;
                    }
                    socket.flush().await.map_err(say)?;
                    tick += 1;
                }
            }
        }
    }
}

/// A connection that was greeted in the name of this user, unless it is to the bare echo.
pub(crate) async fn open(scene: Scene, url: &str, user: &str) -> Result<Socket, Error> {
    let mut request = url.into_client_request()?;
    if scene == Scene::Echo {
        return Ok(connect_async_with_config(request, None, true).await?.0);
    }
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    let (mut socket, _) = connect_async_with_config(request, None, true).await?;
    let token = token_but(&json!({ "sub": user }));
    socket.send(Message::text(ClientMessage::from(hello(&token, None)).to_json())).await?;
    Ok(socket)
}

/// The number of the chunk with which the ping was due that this answers; of the bare echo it is the ping itself.
fn pong(text: &str) -> Option<u32> {
    let rest = text
        .strip_prefix("{\"type\":\"pong\",\"id\":")
        .or_else(|| text.strip_prefix("{\"type\":\"ping\",\"id\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}
