//! What a call weighs: `cargo xtask bench load`.
//!
//! `load [calls,…] [seconds] [--json]`
//!
//! Calls of the real protocol on a fixed schedule (open loop: a call that falls behind is measured from when it should have been on
//! time), against the relay as it is deployed, beside a bare WebSocket echo of axum with the same messages. The server has one core and
//! the calls have another; without `taskset`, or with one core only, they share.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use protocol::{AudioHeader, ClientAck, ClientMessage, Codec, Ping, SUBPROTOCOL};
use serde_json::{Value, json};
use tests::process::{cpu_seconds, pin, resident_kib};
use tests::{Relay, hello, sound, token_but};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Between two chunks.
const CHUNK: Duration = Duration::from_millis(100);
/// Samples of a chunk at 16 kHz.
const CHUNK_SAMPLES: usize = 1_600;
/// Chunks between two pings.
const PING_EVERY: u32 = 10;
/// Chunks between two acknowledgements, as the SDK's 200 ms.
const ACK_EVERY: u32 = 2;
/// Calls that are opened in a second.
const OPENED_PER_SECOND: u64 = 100;
/// After the last call is up, before anything is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// What the calls do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scene {
    /// Nothing but pings.
    Idle,
    /// The microphone is open and nobody speaks: a little noise.
    Silent,
    /// Everybody speaks half of the time, two seconds and two seconds, and is answered.
    Talking,
    /// The chunks of `Silent` against the bare echo, which sends each of them back.
    Echo,
}

/// What was measured.
struct Row {
    scene: Scene,
    calls: u64,
    /// From when a ping was due to its pong, in milliseconds, sorted.
    latencies: Vec<f64>,
    cpu_seconds: f64,
    seconds: f64,
    kib: f64,
    lost: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--serve-echo") {
        return serve_echo().await;
    }
    let mut numbers = arguments.iter().filter(|argument| !argument.starts_with("--"));
    let calls: Vec<u64> = numbers.next().map_or_else(
        || vec![300, 600],
        |list| list.split(',').map(|n| n.parse().expect("a number of calls")).collect(),
    );
    let seconds = numbers.next().map_or(20, |n| n.parse().expect("a number of seconds"));
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let apart = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && pin(std::process::id(), 1).await;
    let mut rows = Vec::new();
    for calls in calls {
        for scene in [Scene::Echo, Scene::Idle, Scene::Silent, Scene::Talking] {
            eprintln!("{calls} calls, {scene:?}");
            rows.push(measure(scene, calls, Duration::from_secs(seconds), apart).await);
        }
    }
    if as_json {
        println!("{}", Value::Array(rows.iter().map(Row::to_json).collect()));
        return;
    }
    println!("server and calls {}", if apart { "on a core each" } else { "share the cores" });
    println!(
        "{:>6} {:<8} {:>9} {:>9} {:>9} {:>10} {:>8} {:>9} {:>6}",
        "calls", "scene", "p50 ms", "p99 ms", "p99.9 ms", "% of core", "x echo", "KiB/call", "lost"
    );
    for row in &rows {
        let echo = rows.iter().find(|other| other.scene == Scene::Echo && other.calls == row.calls);
        let times = echo.map_or(f64::NAN, |echo| row.cpu_seconds / echo.cpu_seconds);
        println!(
            "{:>6} {:<8} {:>9.2} {:>9.2} {:>9.2} {:>10.1} {:>8.2} {:>9.1} {:>6}",
            row.calls,
            format!("{:?}", row.scene).to_lowercase(),
            row.at(0.5),
            row.at(0.99),
            row.at(0.999),
            row.cpu_seconds / row.seconds * 100.0,
            times,
            row.kib / row.calls as f64,
            row.lost,
        );
    }
}

impl Row {
    fn at(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }

    fn to_json(&self) -> Value {
        json!({
            "scene": format!("{:?}", self.scene).to_lowercase(),
            "calls": self.calls,
            "pings": self.latencies.len(),
            "p50_ms": self.at(0.5),
            "p99_ms": self.at(0.99),
            "p999_ms": self.at(0.999),
            "cpu_percent": self.cpu_seconds / self.seconds * 100.0,
            "kib_per_call": self.kib / self.calls as f64,
            "lost": self.lost,
        })
    }
}

/// A server in a process of its own.
enum Server {
    Relay(Relay),
    Echo(Child, String),
}

impl Server {
    async fn start(scene: Scene, folder: &std::path::Path) -> Server {
        if scene == Scene::Echo {
            let program = std::env::current_exe().expect("we run");
            let mut command = Command::new(program);
            let mut child = command
                .arg("--serve-echo")
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("it starts");
            let mut line = String::new();
            let stdout = child.stdout.take().expect("piped");
            BufReader::new(stdout).read_line(&mut line).await.expect("it says where it listens");
            return Server::Echo(child, line.trim().to_owned());
        }
        let extra = "[limits]\nsessions_per_user = 10\nsessions_per_minute = 10000\nsessions_per_account = 100000\n\
            [network]\nsessions_per_minute_per_address = 100000\nconnections_per_minute_per_address = 1000000\npre_login_connections_per_address = 1000\n[log]\nlevel = \"error\"\n";
        Server::Relay(Relay::start(folder, "127.0.0.1:0", extra).await)
    }

    fn pid(&self) -> u32 {
        let child = match self {
            Server::Relay(relay) => &relay.child,
            Server::Echo(child, _) => child,
        };
        child.id().expect("it runs")
    }

    fn url(&self) -> String {
        match self {
            Server::Relay(relay) => relay.url(),
            Server::Echo(_, url) => url.clone(),
        }
    }
}

async fn measure(scene: Scene, calls: u64, span: Duration, apart: bool) -> Row {
    // A disk would be what is measured.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("a folder");
    // A process has the cores of its parent, and as many threads for them.
    if apart {
        pin(std::process::id(), 0).await;
    }
    let server = Server::start(scene, folder.path()).await;
    let pid = server.pid();
    if apart {
        pin(std::process::id(), 1).await;
    }
    let before_kib = resident_kib(pid);
    let (latencies, mut measured) = mpsc::channel(65_536);
    let lost = Arc::new(AtomicU64::new(0));
    let (begin, opening) = (Instant::now(), Duration::from_millis(calls * 1_000 / OPENED_PER_SECOND));
    let from = begin + opening + SETTLE;
    let sound = Arc::new(Sound::new());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..calls {
        let call = Call {
            scene,
            url: server.url(),
            number,
            // Evenly over the time between two chunks, whenever each was opened.
            first: from - SETTLE + CHUNK.mul_f64(number as f64 / calls as f64),
            from,
            until: from + span,
            sound: sound.clone(),
            latencies: latencies.clone(),
        };
        let (lost, open_at) =
            (lost.clone(), begin + Duration::from_millis(number * 1_000 / OPENED_PER_SECOND));
        tasks.spawn(async move {
            tokio::time::sleep_until(open_at).await;
            if let Err(cause) = call.run().await
                && lost.fetch_add(1, Ordering::Relaxed) == 0
            {
                eprintln!("a call was lost: {cause}");
            }
        });
    }
    drop(latencies);
    let readings = async {
        tokio::time::sleep_until(from).await;
        let cpu = cpu_seconds(pid);
        tokio::time::sleep_until(from + span - Duration::from_millis(500)).await;
        (cpu_seconds(pid) - cpu, resident_kib(pid).saturating_sub(before_kib))
    };
    let gather = async {
        let mut all = Vec::new();
        while let Some(latency) = measured.recv().await {
            all.push(latency);
        }
        all
    };
    let ((cpu_seconds, kib), mut latencies) = tokio::join!(readings, gather);
    while tasks.join_next().await.is_some() {}
    latencies.sort_by(f64::total_cmp);
    match server {
        Server::Relay(relay) => relay.kill().await,
        Server::Echo(mut child, _) => child.kill().await.expect("it ran"),
    }
    sleep(Duration::from_millis(200)).await;
    let seconds = (span - Duration::from_millis(500)).as_secs_f64();
    Row { scene, calls, latencies, cpu_seconds, seconds, kib: kib as f64, lost: lost.load(Ordering::Relaxed) }
}

/// Chunks of noise and of a voice, made once.
struct Sound {
    noise: Vec<Vec<u8>>,
    voice: Vec<Vec<u8>>,
}

impl Sound {
    fn new() -> Sound {
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

struct Call {
    scene: Scene,
    url: String,
    number: u64,
    first: Instant,
    from: Instant,
    until: Instant,
    sound: Arc<Sound>,
    latencies: mpsc::Sender<f64>,
}

impl Call {
    async fn run(self) -> Result<(), String> {
        let say = |error: tokio_tungstenite::tungstenite::Error| error.to_string();
        let mut request = self.url.as_str().into_client_request().map_err(say)?;
        if self.scene != Scene::Echo {
            request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("a header"));
        }
        let (mut socket, _) = connect_async_with_config(request, None, true).await.map_err(say)?;
        if self.scene != Scene::Echo {
            let token = token_but(&json!({ "sub": format!("caller {}", self.number) }));
            socket
                .send(Message::text(ClientMessage::from(hello(&token, None)).to_json()))
                .await
                .map_err(say)?;
        }
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

/// The number of the chunk with which the ping was due that this answers; of the bare echo it is the ping itself.
fn pong(text: &str) -> Option<u32> {
    let rest = text
        .strip_prefix("{\"type\":\"pong\",\"id\":")
        .or_else(|| text.strip_prefix("{\"type\":\"ping\",\"id\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// Sends back whatever comes, and nothing else.
async fn serve_echo() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("ws://{}/", listener.local_addr().expect("bound"));
    let upgrade = async |upgrade: WebSocketUpgrade| upgrade.read_buffer_size(4_096).on_upgrade(echo);
    axum::serve(listener, Router::new().route("/", any(upgrade))).await.expect("it serves");
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
