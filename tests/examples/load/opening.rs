//! How calls that are up fare while a thousand more are opened in each second, whether those before are admitted or not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use protocol::RelayMessage;
use serde_json::{Value, json};
use tests::Relay;
use tests::process::{cpu_seconds, pin};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::call::{self, CHUNK, Call, Punctuality, Sound};
use super::{Scene, at, folder, server, void};

/// Calls that are up before, with an open microphone and nobody who speaks.
const UP: u64 = 200;
/// Calls that are opened beside them.
const OPENED: u64 = 5_000;
/// From the beginning of one of these to that of the next.
const EVERY: Duration = Duration::from_millis(1);
/// Calls that are up before are opened this far apart.
const APART: Duration = Duration::from_millis(20);
/// After the last of them is up, before another is opened.
const SETTLE: Duration = Duration::from_secs(3);
/// All of it is over by then.
const LONGEST: Duration = Duration::from_secs(300);

/// What was measured.
pub(crate) struct Opened {
    /// From the beginning of the first to when all were admitted or refused.
    seconds: f64,
    cpu_seconds: f64,
    own_cpu_seconds: f64,
    late_percent: f64,
    apart: bool,
    /// From when a ping of a call that was up was due to its pong, in milliseconds, sorted.
    pings: Vec<f64>,
    /// From when a connection was due to its `welcome`, in milliseconds, sorted.
    admitted: Vec<f64>,
    /// Why calls were not admitted.
    refused: Vec<String>,
    warnings: Vec<String>,
    /// Calls that were up, and are no more.
    lost: u64,
}

impl Opened {
    pub(crate) fn print(&self) {
        let row = |name: &str, times: &[f64]| {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| at(times, part));
            println!("  {name:<28} {p50:>9.2} {p99:>9.2} {most:>9.2} {:>8}", times.len());
        };
        println!(
            "{OPENED} calls opened beside {UP}, one each {EVERY:?}: {:.0} a second admitted, {:.0} % of a core, own {:.0} %, late {:.2} %",
            self.admitted.len() as f64 / self.seconds,
            self.cpu_seconds / self.seconds * 100.0,
            self.own_percent(),
            self.late_percent,
        );
        println!("  {:<28} {:>9} {:>9} {:>9} {:>8}", "ms", "p50", "p99", "most", "of");
        row("ping to pong of those up", &self.pings);
        row("connecting to `welcome`", &self.admitted);
        let [refused, warnings] = [&self.refused, &self.warnings].map(Vec::len);
        println!("  not admitted: {refused}; warnings: {warnings}; calls lost: {}", self.lost);
        self.refused.iter().chain(&self.warnings).take(5).for_each(|line| println!("  {line}"));
        if let Some(why) = self.void() {
            println!("  VOID: {why}");
        }
    }

    /// How much of their core the calls used.
    fn own_percent(&self) -> f64 {
        self.own_cpu_seconds / self.seconds * 100.0
    }

    /// Why it says nothing about the relay, if it does not.
    pub(crate) fn void(&self) -> Option<String> {
        void(self.apart, self.late_percent, self.own_percent())
    }

    /// Whether all were admitted without a warning, and those stayed that were up.
    pub(crate) fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.warnings.is_empty() && self.lost == 0
    }

    /// What 99 of a hundred pings of calls that were up did not exceed, in milliseconds.
    pub(crate) fn pings_p99(&self) -> f64 {
        at(&self.pings, 0.99)
    }

    pub(crate) fn to_json(&self) -> Value {
        let times = |times: &[f64]| json!({ "p50_ms": at(times, 0.5), "p99_ms": at(times, 0.99), "max_ms": at(times, 1.0), "count": times.len() });
        json!({
            "scene": "opening",
            "calls": UP,
            "opened": OPENED,
            "seconds": self.seconds,
            "cpu_percent": self.cpu_seconds / self.seconds * 100.0,
            "pings": times(&self.pings),
            "admitted": times(&self.admitted),
            "refused": self.refused,
            "warnings": self.warnings,
            "lost": self.lost,
            "own_cpu_percent": self.own_percent(),
            "late_percent": self.late_percent,
            "void": self.void(),
        })
    }
}

/// Opens the calls, and measures those that are up.
pub(crate) async fn measure(apart: bool) -> Opened {
    eprintln!("{OPENED} calls opened beside {UP}, one each {EVERY:?}");
    let folder = folder();
    // A process has the cores of its parent, and as many threads for them.
    if apart {
        pin(std::process::id(), 0).await;
    }
    let log = folder.path().join("log");
    let stderr = std::fs::File::create(&log).expect("ours");
    let relay =
        Relay::start_logging(folder.path(), "127.0.0.1:0", &server::config("warn"), stderr.into()).await;
    let pid = relay.child.id().expect("it runs");
    if apart {
        pin(std::process::id(), 1).await;
    }
    let begin = Instant::now();
    let from = begin + APART * UP as u32 + SETTLE;
    let (latencies, mut measured) = mpsc::channel(65_536);
    let (sound, mut up) = (Arc::new(Sound::new()), JoinSet::new());
    let punctuality = Arc::new(Punctuality::default());
    for number in 0..UP {
        let call = Call {
            scene: Scene::Silent,
            url: relay.url(),
            number,
            first: from - SETTLE + CHUNK.mul_f64(number as f64 / UP as f64),
            from,
            until: begin + LONGEST,
            sound: sound.clone(),
            latencies: latencies.clone(),
            punctuality: punctuality.clone(),
        };
        up.spawn(async move {
            sleep_until(begin + APART * number as u32).await;
            call.run().await
        });
    }
    sleep_until(from).await;
    let cpu = || [pid, std::process::id()].map(cpu_seconds);
    let (before, mut opening) = (cpu(), JoinSet::new());
    for number in 0..OPENED {
        let due = from + EVERY * number as u32;
        sleep_until(due).await;
        punctuality.was_due(due);
        let url = relay.url();
        opening.spawn(async move { admit(&url, number, due).await });
    }
    // Connections that are up stay so until all are.
    let (mut admitted, mut refused, mut open) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(opened) = opening.join_next().await {
        match opened.expect("it does not panic") {
            Ok((socket, after_ms)) => {
                open.push(socket);
                admitted.push(after_ms);
            }
            Err(cause) => refused.push(cause),
        }
    }
    let (seconds, after) = (from.elapsed().as_secs_f64(), cpu());
    // Pings that are under way are answered by then, unless something is very wrong.
    sleep(CHUNK * 2).await;
    let mut pings: Vec<f64> = std::iter::from_fn(|| measured.try_recv().ok()).collect();
    let lost = std::iter::from_fn(|| up.try_join_next()).count() as u64;
    up.shutdown().await;
    drop(open);
    relay.kill().await;
    pings.sort_by(f64::total_cmp);
    admitted.sort_by(f64::total_cmp);
    Opened {
        seconds,
        cpu_seconds: after[0] - before[0],
        own_cpu_seconds: after[1] - before[1],
        late_percent: punctuality.late_percent(),
        apart,
        pings,
        admitted,
        refused,
        warnings: warnings(&log),
        lost,
    }
}

/// Opens one call; the connection, and how long after it was due it was admitted, in milliseconds.
async fn admit(url: &str, number: u64, due: Instant) -> Result<(call::Socket, f64), String> {
    let opened = call::open(Scene::Idle, url, &format!("late caller {number}")).await;
    let mut socket = opened.map_err(|error| error.to_string())?;
    loop {
        let message = timeout(LONGEST, socket.next()).await.map_err(|_| "no answer".to_owned())?;
        match message {
            Some(Ok(Message::Text(text))) => match RelayMessage::parse(&text) {
                Ok(RelayMessage::Welcome(_)) => return Ok((socket, due.elapsed().as_secs_f64() * 1_000.0)),
                Ok(RelayMessage::ErrorMessage(error)) => return Err(error.code),
                _ => {}
            },
            Some(Ok(Message::Close(frame))) => return Err(format!("closed: {frame:?}")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("gone".to_owned()),
        }
    }
}

/// The lines of the log, of which each is a warning or worse.
fn warnings(log: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(log).expect("the relay wrote it");
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).map(str::to_owned).collect()
}
