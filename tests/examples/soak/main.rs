//! Whether a relay under load stays as large as it is: `cargo xtask soak`.
//!
//! `soak <minutes> [--json]`
//!
//! Calls of the real protocol, half of them talking, each of 20 s and followed by the next, against the relay as it is deployed. Every minute its
//! resident memory, its open files and its threads are read. The first third of the readings is for whatever fills once; through the others a line
//! is laid, and what it climbs by must be less than what such readings waver by. Ends with code 1 if something grows, or a call was lost.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

#[path = "../load/call.rs"]
mod call;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::resident_kib;
use tests::{Relay, alone};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use call::{CHUNK, Call, LATE_MS, Punctuality, Sound};

/// Calls at the same time.
const CALLERS: u64 = 100;
/// How long each of them is.
const LENGTH: Duration = Duration::from_secs(20);
/// So many users call one after another from each caller's place; then the first one calls again.
const USERS: u64 = 10;
/// Between two readings.
const EVERY: Duration = Duration::from_secs(60);
/// What readings waver by: this part of their mean, or so many, whichever is more.
const WAVERS: f64 = 0.03;
/// A relay that takes all of these calls, logs errors alone, and forgets a call soon whose client has gone.
const CONFIG: &str = "[limits]\nsessions_per_user = 10\nsessions_per_minute = 10000\nsessions_per_account = 100000\n\
    [network]\nsessions_per_minute_per_address = 100000\nconnections_per_minute_per_address = 1000000\n\
    pre_login_connections_per_address = 1000\n[log]\nlevel = \"error\"\n";
const SOON: (&str, &str) = ("VOXRELAY_RESUME_WINDOW_SECONDS", "5");

/// What the calls do. They are those of the load generator, which has more scenes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scene {
    Idle,
    Silent,
    Talking,
    Echo,
}

/// What is read: its name, its unit, and the least by which it wavers.
const READ: [(&str, &str, f64); 3] =
    [("resident memory", "KiB", 2_048.0), ("open files", "", 10.0), ("threads", "", 2.0)];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes: u32 = arguments.first().and_then(|number| number.parse().ok()).unwrap_or(30);
    let as_json = arguments.iter().any(|argument| argument == "--json");
    // A disk would be what is measured.
    let memory = Path::new("/dev/shm");
    let folder = if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("a folder");
    let config = alone(folder.path(), CONFIG);
    let relay = Relay::start_in(folder.path(), "127.0.0.1:0", &config, &[SOON]).await;
    let pid = relay.child.id().expect("it runs");
    let (begin, counts) = (Instant::now(), Arc::new(Counts::default()));
    let mut callers = JoinSet::new();
    let (latencies, mut measured) = mpsc::channel(65_536);
    let (sound, punctuality) = (Arc::new(Sound::new()), Arc::new(Punctuality::default()));
    for caller in 0..CALLERS {
        let (url, latencies, counts) = (relay.url(), latencies.clone(), counts.clone());
        let (sound, punctuality) = (sound.clone(), punctuality.clone());
        // One after another, so that they do not all begin and end in the same moment.
        let first = begin + LENGTH.mul_f64(caller as f64 / CALLERS as f64);
        callers.spawn(call_again_and_again(caller, first, url, sound, latencies, punctuality, counts));
    }
    drop(latencies);
    let slowest = tokio::spawn(async move {
        let mut slowest: f64 = 0.0;
        while let Some(latency) = measured.recv().await {
            slowest = slowest.max(latency);
        }
        slowest
    });
    let mut readings: Vec<[f64; 3]> = Vec::new();
    for minute in 1..=minutes {
        sleep_until(begin + EVERY * minute).await;
        let [kib, files, threads] = read(pid);
        let (made, lost) = (counts.made.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed));
        eprintln!(
            "{minute:>4} min  {kib:>9} KiB  {files:>6} files  {threads:>4} threads  {made} calls, {lost} lost"
        );
        readings.push([kib, files, threads]);
    }
    callers.shutdown().await;
    let slowest = slowest.await.expect("it only counts");
    relay.terminate().await;
    let (made, lost) = (counts.made.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed));
    let late = punctuality.late_percent();
    let settled = &readings[readings.len() / 3..];
    let climbs: Vec<Climb> = (0..READ.len()).map(|what| Climb::of(settled, what)).collect();
    let is_flat = climbs.iter().all(Climb::is_flat) && lost == 0;
    if as_json {
        let climbs: Vec<Value> = climbs.iter().map(Climb::to_json).collect();
        println!(
            "{}",
            json!({ "minutes": minutes, "calls": made, "lost": lost, "readings": readings, "climbs": climbs, "flat": is_flat, "slowest_ms": slowest, "late_percent": late })
        );
    } else {
        climbs.iter().for_each(|climb| println!("{}", climb.line()));
        println!(
            "{minutes} minutes, {CALLERS} calls at a time, {made} calls made, {lost} lost, slowest pong {slowest:.1} ms, {late:.1} % of chunks sent more than {LATE_MS} ms late: {}",
            if is_flat { "flat" } else { "NOT FLAT" }
        );
    }
    if is_flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Calls that were made to their end, and those that broke.
#[derive(Default)]
struct Counts {
    made: AtomicU64,
    lost: AtomicU64,
}

/// Makes one call after another until it is told to stop.
async fn call_again_and_again(
    caller: u64,
    mut first: Instant,
    url: String,
    sound: Arc<Sound>,
    latencies: mpsc::Sender<f64>,
    punctuality: Arc<Punctuality>,
    counts: Arc<Counts>,
) {
    for round in 0_u64.. {
        let number = caller + CALLERS * (round % USERS);
        let scene = if (caller + round).is_multiple_of(2) { Scene::Talking } else { Scene::Silent };
        sleep_until(first).await;
        let call = Call {
            scene,
            url: url.clone(),
            number,
            first,
            from: first,
            until: first + LENGTH,
            sound: sound.clone(),
            latencies: latencies.clone(),
            punctuality: punctuality.clone(),
        };
        match call.run().await {
            Ok(()) => {
                counts.made.fetch_add(1, Ordering::Relaxed);
            }
            Err(cause) => {
                if counts.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("a call was lost: {cause}");
                }
            }
        }
        first = (first + LENGTH + CHUNK).max(Instant::now());
    }
}

/// Resident memory in KiB, open files and threads of a process.
fn read(pid: u32) -> [f64; 3] {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).expect("Linux").count() as f64;
    [resident_kib(pid) as f64, count("fd"), count("task")]
}

/// How much readings climb, by the line that lies closest to them.
struct Climb {
    what: usize,
    mean: f64,
    /// A minute.
    slope: f64,
    /// From the first to the last of them.
    climbed: f64,
}

impl Climb {
    fn of(readings: &[[f64; 3]], what: usize) -> Climb {
        let count = readings.len() as f64;
        let values = || readings.iter().map(|reading| reading[what]);
        let mean = values().sum::<f64>() / count;
        let middle = (count - 1.0) / 2.0;
        let (mut over, mut under) = (0.0, 0.0);
        for (minute, value) in values().enumerate() {
            let from_middle = minute as f64 - middle;
            over += from_middle * (value - mean);
            under += from_middle * from_middle;
        }
        let slope = if under > 0.0 { over / under } else { 0.0 };
        Climb { what, mean, slope, climbed: slope * (count - 1.0) }
    }

    /// Whether it climbs by less than it wavers. What falls does not grow.
    fn is_flat(&self) -> bool {
        self.climbed <= (self.mean * WAVERS).max(READ[self.what].2)
    }

    fn line(&self) -> String {
        let (name, unit, _) = READ[self.what];
        let verdict = if self.is_flat() { "flat" } else { "GROWS" };
        format!(
            "{name:<16} {:>10.0} {unit:<3} on average, {:+.2} a minute, {:+.0} in all: {verdict}",
            self.mean, self.slope, self.climbed
        )
    }

    fn to_json(&self) -> Value {
        let (name, ..) = READ[self.what];
        json!({ "what": name, "mean": self.mean, "per_minute": self.slope, "climbed": self.climbed, "flat": self.is_flat() })
    }
}
