//! A caller who takes a turn every few seconds: open loop, whatever comes back.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use protocol::{AudioHeader, ClientAck, ClientMessage, Codec, Ping, SUBPROTOCOL};
use serde_json::json;
use tests::{hello, sound, token_but};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::script::{Book, CHUNK, Id, SPEAKS};

/// Samples of a chunk at 16 kHz.
const CHUNK_SAMPLES: usize = 1_600;
/// Chunks between two pings.
const PING_EVERY: u32 = 10;
/// Chunks between two acknowledgements, as the SDK's 200 ms.
const ACK_EVERY: u32 = 2;

/// Chunks of noise and of a voice, made once.
pub(crate) struct Sound {
    noise: Vec<u8>,
    voice: Vec<Vec<u8>>,
}

impl Sound {
    pub(crate) fn new() -> Sound {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as i16 - 8
        });
        let noise: Vec<i16> = noise.take(CHUNK_SAMPLES).collect();
        let seconds = f64::from(SPEAKS.1 - SPEAKS.0) * CHUNK.as_secs_f64();
        let voice = sound::voice(seconds);
        Sound { noise: bytes(&noise), voice: voice.chunks(CHUNK_SAMPLES).map(bytes).collect() }
    }

    fn chunk(&self, place: u32) -> &[u8] {
        let spoken = place.checked_sub(SPEAKS.0).and_then(|at| self.voice.get(at as usize));
        spoken.unwrap_or(&self.noise)
    }
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) number: u32,
    /// When its first chunk is due.
    pub(crate) first: Instant,
    pub(crate) until: Instant,
    pub(crate) sound: Arc<Sound>,
    pub(crate) book: Arc<Book>,
}

impl Call {
    pub(crate) async fn run(self) -> Result<(), String> {
        let say = |error: Error| error.to_string();
        let mut socket = self.open().await.map_err(say)?;
        let mut ticks = interval_at(self.first, CHUNK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut tick, mut received, mut played) = (0_u32, 0_u32, 0_u32);
        loop {
            tokio::select! {
                biased;
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        received += u32::from(text.contains("\"seq\":") && !text.contains("\"received\":"));
                    }
                    Some(Ok(Message::Binary(frame))) => {
                        self.book.heard(self.number, Instant::now());
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
                due = ticks.tick() => {
                    if due >= self.until {
                        return Ok(());
                    }
                    self.book.was_due(due);
                    let frame = self.chunk(tick);
                    socket.feed(Message::binary(frame)).await.map_err(say)?;
                    if tick % PING_EVERY == self.number % PING_EVERY {
                        let ping = ClientMessage::from(Ping { id: tick, rtt_us: 0 }).to_json();
                        socket.feed(Message::text(ping)).await.map_err(say)?;
                    }
                    if tick.is_multiple_of(ACK_EVERY) {
                        // As if it were heard when it comes.
                        let ack = ClientMessage::from(ClientAck { received, played }).to_json();
                        socket.feed(Message::text(ack)).await.map_err(say)?;
                    }
                    socket.flush().await.map_err(say)?;
                    tick += 1;
                }
            }
        }
    }

    /// The chunk of this tick, with its own number in it, and what it is in its turn.
    fn chunk(&self, tick: u32) -> Vec<u8> {
        let (id, place) = Id::of_chunk(self.number, tick);
        let now = Instant::now();
        let end = SPEAKS.1 - 1;
        if place == end {
            self.book.stamp(id, |turn| turn.ended = Some(now));
        }
        if place == end + self.book.scene.endpoint() {
            self.book.stamp(id, |turn| turn.endpoint_sent = Some(now));
        }
        let mut frame = Vec::with_capacity(12 + 2 * CHUNK_SAMPLES);
        AudioHeader::write(Codec::PcmS16le16000, tick, tick * CHUNK_SAMPLES as u32, &mut frame);
        frame.extend_from_slice(&(self.number as i16).to_le_bytes());
        frame.extend_from_slice(&(tick as i16).to_le_bytes());
        frame.extend_from_slice(&self.sound.chunk(place)[4..]);
        frame
    }

    async fn open(&self) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
        let mut request = self.url.as_str().into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let (mut socket, _) = connect_async_with_config(request, None, true).await?;
        let token = token_but(&json!({ "sub": format!("caller {}", self.number) }));
        socket.send(Message::text(ClientMessage::from(hello(&token, None)).to_json())).await?;
        Ok(socket)
    }
}
