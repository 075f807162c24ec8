//! Calls over a lossy link, and beside each a WebSocket that sends the same with nothing but TCP to help it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use protocol::client::Event;
use protocol::{AudioHeader, ClientMessage, Codec};
use relay::client::{Options, Report, run};
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout_at};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, connect_async_with_config};

use super::{Arrival, Link, Weather};
use crate::sound::{silence, voice};
use crate::{Relay, hello, token_but};

/// A chunk of 100 ms.
const CHUNK: usize = 1_600;
const CHUNK_TIME: Duration = Duration::from_millis(100);
/// Calls begin one after another.
const APART: Duration = Duration::from_millis(150);
/// How long after its last word the plain WebSocket is waited for. TCP alone may wait for two minutes between two tries.
const PLAIN_CLOSE: Duration = Duration::from_secs(120);

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// What the link is like.
    pub weather: Weather,
    /// Calls at the same time.
    pub calls: usize,
    /// The shortest speech and the longest; the others are spread between them.
    pub seconds: (u32, u32),
    /// How much each call keeps.
    pub buffer: Duration,
}

/// How it went: the calls, and the plain WebSockets.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The calls, hung up with the last word.
    pub calls: Vec<Call>,
    /// The plain WebSockets, closed with the last word.
    pub plain: Vec<Plain>,
    /// Packets that the link carried, and dropped.
    pub packets: (u64, u64),
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it told its user.
    pub report: Report,
    /// Samples that the relay has metered.
    pub metered: u64,
    /// How long after it left the microphone each chunk was there.
    pub late: Vec<Duration>,
}

impl Call {
    /// Samples that were announced as lost, at the very end of what was said.
    #[must_use]
    pub fn lost_at_the_end(&self) -> u64 {
        let at_end = |gap: &&protocol::client::GapInfo| {
            u64::from(gap.position) + u64::from(gap.samples) == self.report.spoken
        };
        self.report.gaps.iter().filter(at_end).map(|gap| u64::from(gap.samples)).sum()
    }

    /// Samples that the relay does not have and nobody was told of; below zero, samples that it has though they were announced as lost.
    #[must_use]
    pub fn unannounced(&self) -> i64 {
        self.report.spoken as i64 - self.metered as i64 - self.report.missing() as i64
    }
}

/// A plain WebSocket.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Samples that were sent.
    pub spoken: u64,
    /// Samples that came.
    pub came: u64,
    /// From the last word to the end of the closing handshake.
    pub closed_after: Duration,
    /// How long after it left the microphone each chunk was there.
    pub late: Vec<Duration>,
}

/// Makes the calls.
///
/// # Errors
/// When this machine allows no lossy link; the message says what to do.
///
/// # Panics
/// When the relay does not even begin.
pub async fn go_through(number: u8, trial: Trial) -> io::Result<Outcome> {
    let link = Link::open(number, trial.weather).await?;
    let folder = tempfile::tempdir()?;
    let relay = Relay::start(folder.path(), &format!("{}:0", link.near()), "").await;
    let (plain_server, plain_address) = listen(link.near().into()).await?;
    let url = relay.url();
    let speakers: Vec<Speaker> = (0..trial.calls).map(|n| Speaker::new(n, &trial)).collect();
    let ran = link
        .far(move || async move {
            join_all(speakers.iter().map(|speaker| async {
                sleep(APART * speaker.number as u32).await;
                tokio::join!(speaker.call(&url, trial.buffer), speaker.send(plain_address))
            }))
            .await
        })
        .await?;
    // Whatever is not written yet is written now.
    relay.terminate().await;
    drop(plain_server);
    let (mut calls, mut plain) = (Vec::new(), Vec::new());
    let arrivals = link.tap().arrivals();
    for (called, sent) in ran {
        let metered = metered(folder.path(), &called.sessions).await;
        let late = lateness(&arrivals, &called.token, called.spoke_at);
        calls.push(Call { report: called.report, metered, late });
        let came = arrivals.iter().filter(|one| *one.token == *sent.token);
        plain.push(Plain {
            spoken: sent.spoken,
            came: came.map(|one| u64::from(one.samples)).sum(),
            closed_after: sent.closed_after,
            late: lateness(&arrivals, &sent.token, sent.spoke_at),
        });
    }
    let packets = (link.counts().carried(), link.counts().dropped());
    Ok(Outcome { calls, plain, packets })
}

/// Somebody with something to say.
struct Speaker {
    number: usize,
    speech: Vec<i16>,
}

struct Called {
    token: String,
    sessions: Vec<String>,
    spoke_at: Instant,
    report: Report,
}

struct Sent {
    token: String,
    spoke_at: Instant,
    spoken: u64,
    closed_after: Duration,
}

impl Speaker {
    fn new(number: usize, trial: &Trial) -> Speaker {
        let (shortest, longest) = trial.seconds;
        let seconds = shortest + (longest - shortest) * number as u32 / (trial.calls.max(2) - 1) as u32;
        let mut speech = Vec::new();
        // Sentences of several lengths, and pauses in which the agent begins to answer.
        for sentence in number.. {
            speech.extend(voice(1.5 + (sentence * 7 % 5) as f64 * 0.7));
            speech.extend(silence(0.3 + (sentence * 5 % 4) as f64 * 0.3));
            if speech.len() >= seconds as usize * 16_000 {
                break;
            }
        }
        speech.truncate(seconds as usize * 16_000);
        Speaker { number, speech }
    }

    /// Calls the relay, speaks, and hangs up with the last word.
    async fn call(&self, url: &str, buffer: Duration) -> Called {
        let token = token_but(&json!({ "sub": format!("speaker {}", self.number) }));
        let options = Options {
            buffer,
            waits_for_answer: false,
            ..Options::new(url.to_owned(), token.clone(), self.speech.clone())
        };
        let (started, mut sessions) = (Instant::now(), Vec::new());
        let report = run(options, |event| {
            if let Event::Session(info) = event
                && !sessions.contains(&info.session_id)
            {
                sessions.push(info.session_id.clone());
            }
        })
        .await;
        let spoke_at = started + report.connected_after.unwrap_or_default();
        Called { token, sessions, spoke_at, report }
    }

    /// Sends the same over a WebSocket as it is said, closes it in order, and waits for the answer.
    async fn send(&self, server: SocketAddr) -> Sent {
        let token = token_but(&json!({ "sub": format!("sender {}", self.number) }));
        let mut socket = loop {
            match connect_async_with_config(format!("ws://{server}/"), None, true).await {
                Ok((socket, _)) => break socket,
                Err(_) => sleep(CHUNK_TIME).await,
            }
        };
        let greeting = ClientMessage::from(hello(&token, None)).to_json();
        let spoke_at = Instant::now();
        let sent = async {
            socket.send(Message::text(greeting)).await?;
            // What the network does not take yet is said late, and nothing is left out.
            let mut ticks = interval_at(spoke_at + CHUNK_TIME, CHUNK_TIME);
            for (seq, chunk) in (0..).zip(self.speech.chunks(CHUNK)) {
                ticks.tick().await;
                let mut frame = Vec::new();
                AudioHeader::write(Codec::PcmS16le16000, seq, seq * CHUNK as u32, &mut frame);
                frame.extend(chunk.iter().flat_map(|sample| sample.to_le_bytes()));
                socket.send(Message::binary(frame)).await?;
            }
            socket.close(None).await?;
            while let Some(Ok(_)) = socket.next().await {}
            Ok::<(), Error>(())
        };
        let said = spoke_at + Duration::from_secs_f64(self.speech.len() as f64 / 16_000.0);
        let _ = timeout_at(said + PLAIN_CLOSE, sent).await;
        let closed_after = Instant::now().saturating_duration_since(said);
        Sent { token, spoke_at, spoken: self.speech.len() as u64, closed_after }
    }
}

/// Takes what plain WebSockets send, for as long as the set lives.
async fn listen(address: std::net::IpAddr) -> io::Result<(JoinSet<()>, SocketAddr)> {
    let listener = TcpListener::bind((address, 0)).await?;
    let address = listener.local_addr()?;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut sockets = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            sockets.spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(mut socket) = accept_async(stream).await {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            });
        }
    });
    Ok((server, address))
}

/// Samples in the store of these sessions.
async fn metered(folder: &Path, sessions: &[String]) -> u64 {
    let store = SqlStore::sqlite(&folder.join("data").join(DATABASE_FILE)).await.expect("it is closed");
    let mut metered = 0;
    for id in sessions {
        metered += store.session(id).await.expect("readable").map_or(0, |session| session.audio_samples);
    }
    Store::close(&store).await;
    metered
}

/// How long each chunk took. One that came more than once was needed the last time: what a relay has is not sent to it again.
fn lateness(arrivals: &[Arrival], token: &str, spoke_at: Instant) -> Vec<Duration> {
    let last: BTreeMap<u32, (u32, Instant)> = arrivals
        .iter()
        .filter(|one| *one.token == *token)
        .map(|one| (one.position, (one.samples, one.at)))
        .collect();
    last.into_iter()
        .map(|(position, (samples, at))| {
            let end = u64::from(position) + u64::from(samples);
            at.saturating_duration_since(spoke_at + Duration::from_micros(end * 1_000_000 / 16_000))
        })
        .collect()
}

/// The duration that so many of a hundred do not exceed.
#[must_use]
pub fn percentile(durations: &[Duration], percent: usize) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1));
    sorted.get(place - 1).copied().unwrap_or_default()
}
