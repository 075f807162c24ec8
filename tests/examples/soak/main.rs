//! Whether a relay under load stays as large as it is: `cargo xtask soak`.
//!
//! `soak <minutes> [--json]`
//!
//! Calls of the real protocol, half of them talking, each of 20 s and followed by the next, against the relay as it is deployed; beside them calls
//! that are over at once, tens in a second. Every ten seconds its resident memory, its open files and its threads are read. The first third of the
//! readings is for whatever fills once, or the first six minutes if that is longer and no more than half of them; through the others a line is laid,
//! and what it climbs by must be less than what such readings waver by, and the memory less than 64 bytes for each call that was made meanwhile.
//! Ends with code 1 if something grows, or a call was lost.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

#[path = "../load/call.rs"]
mod call;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::{Bye, ClientMessage};
use serde_json::{Value, json};
use tests::process::resident_kib;
use tests::{Relay, alone, chunk};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use call::{CHUNK, Call, LATE_MS, Punctuality, Sound, open};

/// Calls at the same time.
const CALLERS: u64 = 100;
/// How long each of them is.
const LENGTH: Duration = Duration::from_secs(20);
/// So many users call one after another from each caller's place; then the first one calls again.
const USERS: u64 = 10;
/// Callers beside them, whose calls are of one chunk: whatever a call leaves behind is there so often.
const PASSERS: u64 = 8;
/// From the beginning of one of their calls to that of the next, at the soonest.
const PASSES_EVERY: Duration = Duration::from_millis(100);
/// How long such a call may take.
const PASSES_WITHIN: Duration = Duration::from_secs(15);
/// Between two readings.
const EVERY: Duration = Duration::from_secs(10);
/// So many of them are made in a minute.
const READINGS_A_MINUTE: u32 = 6;
/// So many of them, six minutes of them, are for whatever fills once: some of what a relay does comes round every five minutes.
const FILLS: usize = 36;
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

/// What is read: its name, its unit, the least by which it wavers, and what a call may leave behind.
const READ: [(&str, &str, f64, f64); 3] = [
    ("resident memory", "KiB", 2_048.0, 64.0 / 1_024.0),
    ("open files", "", 10.0, f64::INFINITY),
    ("threads", "", 2.0, f64::INFINITY),
];

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
    for passer in 0..PASSERS {
        callers.spawn(pass_again_and_again(passer, relay.url(), counts.clone()));
    }
    let slowest = tokio::spawn(async move {
        let mut slowest: f64 = 0.0;
        while let Some(latency) = measured.recv().await {
            slowest = slowest.max(latency);
        }
        slowest
    });
    let (mut readings, mut made_by): (Vec<[f64; 3]>, Vec<u64>) = (Vec::new(), Vec::new());
    for reading in 1..=minutes * READINGS_A_MINUTE {
        sleep_until(begin + EVERY * reading).await;
        let [kib, files, threads] = read(pid);
        let (made, lost) = (counts.made.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed));
        if reading.is_multiple_of(READINGS_A_MINUTE) {
            let minute = reading / READINGS_A_MINUTE;
            eprintln!(
                "{minute:>4} min  {kib:>9} KiB  {files:>6} files  {threads:>4} threads  {made} calls, {lost} lost"
            );
        }
        readings.push([kib, files, threads]);
        made_by.push(made);
    }
    callers.shutdown().await;
    let slowest = slowest.await.expect("it only counts");
    relay.terminate().await;
    let (made, lost) = (counts.made.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed));
    let late = punctuality.late_percent();
    let first = (readings.len() / 3).max(FILLS).min(readings.len() / 2);
    let (settled, judged) = (&readings[first..], made_by[made_by.len() - 1] - made_by[first]);
    let climbs: Vec<Climb> = (0..READ.len()).map(|what| Climb::of(settled, what, judged)).collect();
    let is_flat = climbs.iter().all(Climb::is_flat) && lost == 0;
    if as_json {
        let climbs: Vec<Value> = climbs.iter().map(Climb::to_json).collect();
        println!(
            "{}",
            json!({ "minutes": minutes, "calls": made, "judged_calls": judged, "lost": lost, "readings": readings, "climbs": climbs, "flat": is_flat, "slowest_ms": slowest, "late_percent": late })
        );
    } else {
        climbs.iter().for_each(|climb| println!("{}", climb.line()));
        println!(
            "{minutes} minutes, {CALLERS} calls at a time and others that are over at once, {made} calls made, {lost} lost, slowest pong {slowest:.1} ms, {late:.1} % of chunks sent more than {LATE_MS} ms late: {}",
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

impl Counts {
    fn add(&self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.made.fetch_add(1, Ordering::Relaxed);
            }
            Err(cause) => {
                if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("a call was lost: {cause}");
                }
            }
        }
    }
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
        counts.add(call.run().await);
        first = (first + LENGTH + CHUNK).max(Instant::now());
    }
}

/// Makes one call after another that is over at once, until it is told to stop.
async fn pass_again_and_again(passer: u64, url: String, counts: Arc<Counts>) {
    let user = format!("passer {passer}");
    let mut ticks = interval(PASSES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let outcome = timeout(PASSES_WITHIN, pass(&url, &user)).await;
        counts.add(outcome.unwrap_or_else(|_| Err("it does not end".to_owned())));
    }
}

/// Calls, says something and hangs up.
async fn pass(url: &str, user: &str) -> Result<(), String> {
    let say = |error: Error| error.to_string();
    let mut socket = open(Scene::Silent, url, user).await.map_err(say)?;
    socket.feed(Message::binary(chunk(0))).await.map_err(say)?;
    let bye = ClientMessage::from(Bye { end: 1 }).to_json();
    socket.send(Message::text(bye)).await.map_err(say)?;
    while let Some(message) = socket.next().await {
        match message.map_err(say)? {
            Message::Close(Some(frame)) if u16::from(frame.code) == 1000 => return Ok(()),
            Message::Close(frame) => return Err(format!("closed: {frame:?}")),
            _ => {}
        }
    }
    Err("gone".to_owned())
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
    /// In a minute.
    slope: f64,
    /// From the first to the last of them.
    climbed: f64,
    /// What it may climb by at most.
    most: f64,
}

impl Climb {
    /// Of the readings between which so many calls were made.
    fn of(readings: &[[f64; 3]], what: usize, calls: u64) -> Climb {
        let count = readings.len() as f64;
        let values = || readings.iter().map(|reading| reading[what]);
        let mean = values().sum::<f64>() / count;
        let middle = (count - 1.0) / 2.0;
        let (mut over, mut under) = (0.0, 0.0);
        for (place, value) in values().enumerate() {
            let from_middle = place as f64 - middle;
            over += from_middle * (value - mean);
            under += from_middle * from_middle;
        }
        let slope = if under > 0.0 { over / under } else { 0.0 };
        let (.., wavers, left_behind) = READ[what];
        let most = (mean * WAVERS).max(wavers).min(calls as f64 * left_behind);
        let climbed = slope * (count - 1.0);
        Climb { what, mean, slope: slope * f64::from(READINGS_A_MINUTE), climbed, most }
    }

    /// Whether it climbs by less than it may. What falls does not grow.
    fn is_flat(&self) -> bool {
        self.climbed <= self.most
    }

    fn line(&self) -> String {
        let (name, unit, ..) = READ[self.what];
        let verdict = if self.is_flat() { "flat" } else { "GROWS" };
        format!(
            "{name:<16} {:>10.0} {unit:<3} on average, {:+.2} a minute, {:+.0} in all, of {:.0} at most: {verdict}",
            self.mean, self.slope, self.climbed, self.most
        )
    }

    fn to_json(&self) -> Value {
        let (name, ..) = READ[self.what];
        json!({ "what": name, "mean": self.mean, "per_minute": self.slope, "climbed": self.climbed, "most": self.most, "flat": self.is_flat() })
    }
}
