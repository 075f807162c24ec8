//! What one client that sends without end costs the relay, beside one that calls as it should: `cargo xtask bench flood`.
//!
//! `flood [seconds] [--json]`. Each flood sends one kind of small message as fast as the line takes it, over one connection after the other:
//! when the relay closes one, the next resumes the session at once, whatever the relay says about waiting, while the old one goes on
//! sending until the line itself breaks. Where a session is not resumed, a new one begins.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use protocol::{AudioHeader, ClientAck, ClientMessage, Codec, Ping, RelayMessage, Resume};
use serde_json::json;
use tests::sound::{silence, voice};
use tests::wire::{BINARY, PING, PONG, text, wire};
use tests::{Raw, Relay, chunk, hello, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};
use tokio_tungstenite::tungstenite::Message;

/// Messages that are handed to the system at once.
const BATCH: usize = 2_000;
/// Ticks of `/proc/<pid>/stat` in a second.
const TICKS: f64 = 100.0;
/// What a flood may cost: a core for so much of the time, and so many bytes out for each that came in.
const CORE_MAX: f64 = 0.2;
const OUT_MAX: f64 = 0.25;

/// What came of one of them.
struct Line {
    what: &'static str,
    /// Seconds of the relay's processor in a second.
    cores: f64,
    bytes_in: u64,
    bytes_out: u64,
    connections: u64,
}

/// Bytes that went to the relay, and that came from it.
#[derive(Default)]
struct Counted {
    sent: AtomicU64,
    received: AtomicU64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let length = Duration::from_secs(seconds);
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("a folder");
    let relay = Relay::start(
        folder.path(),
        "127.0.0.1:0",
        "[log]\nlevel = \"error\"\n[network]\nconnections_per_minute_per_address = 3000\n",
    )
    .await;
    let pid = relay.child.id().expect("it runs");

    let mut duplicate = Vec::new();
    AudioHeader::write(Codec::PcmS16le16000, 0, 0, &mut duplicate);
    let json = |message: ClientMessage| text(message.to_json());
    let floods = [
        ("duplicates of 12 bytes", wire(BINARY, &duplicate)),
        ("pings of the WebSocket", wire(PING, [])),
        ("pongs of the WebSocket", wire(PONG, [])),
        ("pings of the protocol", json(Ping { id: 1, rtt_us: 1 }.into())),
        ("acknowledgements", json(ClientAck { received: 0, played: 0 }.into())),
    ];
    eprintln!("an honest call …");
    let mut lines = vec![measured("an honest call", pid, honest(&relay, length)).await];
    for (what, message) in floods {
        eprintln!("{what} …");
        lines.push(measured(what, pid, flood(&relay, what, message, length)).await);
    }
    let bad = |line: &Line| line.cores > CORE_MAX || line.out_for_in() > OUT_MAX;
    let bad: Vec<&str> = lines[1..].iter().filter(|line| bad(line)).map(|line| line.what).collect();
    if as_json {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({ "what": line.what, "cores": line.cores, "bytes_in": line.bytes_in, "bytes_out": line.bytes_out,
                    "connections": line.connections })
            })
            .collect();
        println!("{}", json!({ "seconds": seconds, "lines": lines, "bad": bad }));
    } else {
        println!(
            "{seconds} s each{:<19}{:>10}{:>12}{:>12}{:>12}{:>14}",
            "", "cores", "KB/s in", "KB/s out", "out for in", "connections"
        );
        for line in &lines {
            let per_second = |bytes: u64| bytes as f64 / 1_000.0 / seconds as f64;
            let said = if bad.contains(&line.what) { "  NOT REACHED" } else { "" };
            println!(
                "{:<28}{:>10.3}{:>12.1}{:>12.1}{:>12.3}{:>14}{said}",
                line.what,
                line.cores,
                per_second(line.bytes_in),
                per_second(line.bytes_out),
                line.out_for_in(),
                line.connections
            );
        }
        println!("goals: {CORE_MAX} cores, {OUT_MAX} bytes out for each that came in");
    }
    relay.terminate().await;
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Line {
    fn out_for_in(&self) -> f64 {
        self.bytes_out as f64 / self.bytes_in.max(1) as f64
    }
}

async fn measured(what: &'static str, pid: u32, run: impl Future<Output = (u64, Arc<Counted>)>) -> Line {
    let (before, begun) = (ticks(pid), Instant::now());
    let (connections, counted) = run.await;
    let cores = (ticks(pid) - before) as f64 / TICKS / begun.elapsed().as_secs_f64();
    // What is left of it is not to be counted with the next one.
    sleep(Duration::from_secs(5)).await;
    Line {
        what,
        cores,
        bytes_in: counted.sent.load(Ordering::Relaxed),
        bytes_out: counted.received.load(Ordering::Relaxed),
        connections,
    }
}

/// Speaks two seconds out of three, and listens.
async fn honest(relay: &Relay, length: Duration) -> (u64, Arc<Counted>) {
    let counted = Arc::new(Counted::default());
    let (mut raw, _) = Raw::welcomed(relay, "honest").await;
    let phrase = [voice(2.0), silence(1.0)].concat();
    let begun = tokio::time::Instant::now();
    for (seq, samples) in (0_u32..).zip(phrase.chunks(1_600).cycle()) {
        let due = begun + Duration::from_millis(u64::from(seq) * 100);
        if due > begun + length {
            break;
        }
        while let Ok(heard) = timeout_at(due, raw.0.next()).await {
            let Some(Ok(heard)) = heard else { return (1, counted) };
            counted.received.fetch_add(heard.len() as u64, Ordering::Relaxed);
        }
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le16000, seq, seq * 1_600, &mut frame);
        frame.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        counted.sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
        raw.send(Message::binary(frame)).await;
    }
    (1, counted)
}

async fn flood(relay: &Relay, who: &str, message: Vec<u8>, length: Duration) -> (u64, Arc<Counted>) {
    let end = tokio::time::Instant::now() + length;
    let counted = Arc::new(Counted::default());
    let batch = Arc::new(message.repeat(BATCH));
    let (mut senders, mut connections, mut resume) = (JoinSet::new(), 0, None);
    while tokio::time::Instant::now() < end {
        connections += 1;
        let over = connection(relay, who, resume.take(), &batch, &counted, &mut senders);
        match timeout_at(end, over).await {
            Ok(Ok(next)) => resume = next,
            // The system has no more connections to give for a moment.
            Ok(Err(_)) => sleep(Duration::from_millis(10)).await,
            Err(_) => break,
        }
        while senders.try_join_next().is_some() {}
    }
    sleep_until(end).await;
    (connections, counted)
}

/// One connection, until the relay says goodbye: what the next one resumes with.
async fn connection(
    relay: &Relay,
    who: &str,
    resume: Option<Resume>,
    batch: &Arc<Vec<u8>>,
    counted: &Arc<Counted>,
    senders: &mut JoinSet<()>,
) -> std::io::Result<Option<Resume>> {
    let stream = TcpStream::connect(relay.address).await?;
    let (mut reading, mut writing) = stream.into_split();
    let request = format!(
        "GET /v1/call HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: voxrelay.v1\r\n\r\n",
        relay.address
    );
    let token = token_but(&json!({ "sub": who }));
    let greeting = [request.into_bytes(), text(ClientMessage::from(hello(&token, resume.clone())).to_json())];
    let greeting = greeting.concat();
    writing.write_all(&greeting).await?;
    counted.sent.fetch_add(greeting.len() as u64, Ordering::Relaxed);
    let mut incoming = Incoming { from: &mut reading, bytes: Vec::new(), counted };
    incoming.skip_head().await?;
    let mut next = None;
    let mut writing = Some(writing);
    while let Some((first, payload)) = incoming.frame().await? {
        match first & 0x0F {
            0x1 => match RelayMessage::parse(&String::from_utf8_lossy(&payload)) {
                Ok(RelayMessage::Welcome(welcome)) => {
                    next = Some((welcome.session_id, welcome.resume_token, welcome.epoch));
                    if let Some(mut writing) = writing.take() {
                        // So that there is something to be repeated.
                        let first = wire(BINARY, chunk(0));
                        writing.write_all(&first).await?;
                        counted.sent.fetch_add(first.len() as u64, Ordering::Relaxed);
                        senders.spawn(send(writing, Arc::clone(batch), Arc::clone(counted)));
                    }
                }
                Ok(RelayMessage::Resumed(resumed)) => {
                    next = Some((resumed.session_id, resumed.resume_token, resumed.epoch));
                    if let Some(writing) = writing.take() {
                        senders.spawn(send(writing, Arc::clone(batch), Arc::clone(counted)));
                    }
                }
                // Anything else that it says is nothing to a flood.
                _ => {}
            },
            0x8 => break,
            _ => {}
        }
    }
    let next = next.map(|(session_id, resume_token, epoch)| Resume {
        session_id,
        resume_token,
        epoch,
        received: 0,
        played: None,
    });
    // A resume that was refused for now is tried again.
    Ok(next.or(resume))
}

/// Sends until the line breaks.
async fn send(mut writing: OwnedWriteHalf, batch: Arc<Vec<u8>>, counted: Arc<Counted>) {
    loop {
        // From the beginning of a message each time.
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            match writing.write(rest).await {
                Ok(written) if written > 0 => {
                    counted.sent.fetch_add(written as u64, Ordering::Relaxed);
                    rest = &rest[written..];
                }
                _ => return,
            }
        }
    }
}

/// What comes from a relay, by frames.
struct Incoming<'a> {
    from: &'a mut OwnedReadHalf,
    bytes: Vec<u8>,
    counted: &'a Counted,
}

impl Incoming<'_> {
    async fn skip_head(&mut self) -> std::io::Result<()> {
        loop {
            if let Some(end) = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                self.bytes.drain(..end + 4);
                return Ok(());
            }
            if !self.more().await? {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next frame: its first byte and what is in it. `None` at the end.
    async fn frame(&mut self) -> std::io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let [first, second, rest @ ..] = &self.bytes[..] {
                let (head, length) = match (second & 0x7F, rest) {
                    (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                    (126, _) => (4, usize::MAX),
                    (127, _) => return Err(std::io::ErrorKind::InvalidData.into()),
                    (length, _) => (2, usize::from(length)),
                };
                if self.bytes.len() >= length.saturating_add(head) {
                    let frame = (*first, self.bytes[head..head + length].to_vec());
                    self.bytes.drain(..head + length);
                    return Ok(Some(frame));
                }
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> std::io::Result<bool> {
        let read = self.from.read_buf(&mut self.bytes).await?;
        self.counted.received.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read > 0)
    }
}

/// Ticks of processor time that a process has used.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    // `pid (name) state ppid …`: the times are the 14th and the 15th.
    let after = stat.rsplit_once(')').expect("a name").1;
    let numbers: Vec<u64> =
        after.split_whitespace().skip(11).take(2).map(|number| number.parse().expect("a number")).collect();
    numbers.iter().sum()
}
