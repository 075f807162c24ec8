//! What a call weighs: `cargo xtask bench load`.
//!
//! `load [calls,…] [seconds] [--opening] [--json]`
//!
//! Calls of the real protocol on a fixed schedule (open loop: a call that falls behind is measured from when it should have been on
//! time), against the relay as it is deployed, beside a bare WebSocket echo of axum with the same messages. The server has one core and
//! the calls have another; without `taskset`, or with one core only, they share.
//!
//! The memory of a call is what the calls after the first tenth of them add, so that what a server needs for its first calls, such as the code
//! that they run and the pages of its database, is not counted as theirs. The first tenth do what they do while that is measured.
//!
//! With `--opening` it is also measured how long pings of 200 calls take while 1,500 more are opened, each as soon as the one before is
//! admitted, and how many warnings the relay logs meanwhile. `load --opening` measures nothing else.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

mod call;
mod opening;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{cpu_seconds, pin, resident_kib};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use call::{CHUNK, Call, Sound};
use server::{Server, serve_echo};

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
    kib_per_call: f64,
    lost: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--serve-echo") {
        return serve_echo().await;
    }
    let mut numbers = arguments.iter().filter(|argument| !argument.starts_with("--"));
    let is_opening = arguments.iter().any(|argument| argument == "--opening");
    let calls: Vec<u64> = match numbers.next() {
        Some(list) => list.split(',').map(|n| n.parse().expect("a number of calls")).collect(),
        None if is_opening => Vec::new(),
        None => vec![300, 600],
    };
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
    let opened = if is_opening { Some(opening::measure(apart).await) } else { None };
    if as_json {
        let opened = opened.iter().map(opening::Opened::to_json);
        println!("{}", Value::Array(rows.iter().map(Row::to_json).chain(opened).collect()));
        return;
    }
    println!("server and calls {}", if apart { "on a core each" } else { "share the cores" });
    if !rows.is_empty() {
        println!(
            "{:>6} {:<8} {:>9} {:>9} {:>9} {:>10} {:>8} {:>9} {:>6}",
            "calls", "scene", "p50 ms", "p99 ms", "p99.9 ms", "% of core", "x echo", "KiB/call", "lost"
        );
    }
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
            row.kib_per_call,
            row.lost,
        );
    }
    opened.iter().for_each(opening::Opened::print);
}

impl Row {
    fn at(&self, part: f64) -> f64 {
        at(&self.latencies, part)
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
            "kib_per_call": self.kib_per_call,
            "lost": self.lost,
        })
    }
}

async fn measure(scene: Scene, calls: u64, span: Duration, apart: bool) -> Row {
    let folder = folder();
    // A process has the cores of its parent, and as many threads for them.
    if apart {
        pin(std::process::id(), 0).await;
    }
    let server = Server::start(scene, folder.path()).await;
    let pid = server.pid();
    if apart {
        pin(std::process::id(), 1).await;
    }
    let (latencies, mut measured) = mpsc::channel(65_536);
    let lost = Arc::new(AtomicU64::new(0));
    let (begin, first) = (Instant::now(), calls.div_ceil(10));
    // The others are opened when the memory with the first ones was measured.
    let first_up = begin + opened_in(first);
    let from = first_up + SETTLE + opened_in(calls - first) + SETTLE;
    let sound = Arc::new(Sound::new());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..calls {
        let call = Call {
            scene,
            url: server.url(),
            number,
            // Evenly over the time between two chunks, whenever each was opened.
            first: if number < first { first_up } else { from - SETTLE }
                + CHUNK.mul_f64(number as f64 / calls as f64),
            from,
            until: from + span,
            sound: sound.clone(),
            latencies: latencies.clone(),
        };
        let pause = if number < first { Duration::ZERO } else { SETTLE };
        let (lost, open_at) = (lost.clone(), begin + opened_in(number) + pause);
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
        tokio::time::sleep_until(first_up + SETTLE).await;
        let first_kib = resident_kib(pid);
        tokio::time::sleep_until(from).await;
        let cpu = cpu_seconds(pid);
        tokio::time::sleep_until(from + span - Duration::from_millis(500)).await;
        (cpu_seconds(pid) - cpu, resident_kib(pid).saturating_sub(first_kib))
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
    server.kill().await;
    sleep(Duration::from_millis(200)).await;
    let seconds = (span - Duration::from_millis(500)).as_secs_f64();
    let (kib_per_call, lost) = (kib as f64 / (calls - first) as f64, lost.load(Ordering::Relaxed));
    Row { scene, calls, latencies, cpu_seconds, seconds, kib_per_call, lost }
}

/// How long it takes to open so many calls.
fn opened_in(calls: u64) -> Duration {
    Duration::from_millis(calls * 1_000 / OPENED_PER_SECOND)
}

/// What a part of sorted numbers does not exceed.
fn at(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// A folder in memory: a disk would be what is measured.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}
