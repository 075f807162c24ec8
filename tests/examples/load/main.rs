//! What a call weighs: `cargo xtask bench load`.
//!
//! `load [calls,…] [seconds] [--conversing=calls,…] [--opening] [--relay=program] [--json]`
//!
//! Calls of the real protocol on a fixed schedule (open loop: a call that falls behind is measured from when it should have been on
//! time), against the relay as it is deployed, beside a bare WebSocket echo of axum with the same messages. The server has one core and
//! the calls have another; without `taskset`, or with one core only, they share.
//!
//! The memory of a call is what the calls after the first tenth of them add, so that what a server needs for its first calls, such as the code
//! that they run and the pages of its database, is not counted as theirs. The first tenth do what they do while that is measured.
//!
//! With `--conversing` agents of recogniser, model and voice hold conversations; the providers are with the calls. What is measured there is what the
//! relay adds to a turn: from text to question, from sentence to voice and from sound to caller, summed up; and what a call leaves in the database.
//!
//! A row is void, and so is the run, if the calls were late or used more than 80 % of their core, since that would be measured as the server's, or if
//! server and calls shared a core. Below the rows stand the goals of what was asked for. The command ends with code 1 if a row is void, a call was lost, or
//! a goal is not reached or was not measured. Every turn that was spoken has to be answered: a turn without an answer misses a goal.
//!
//! With `--opening` it is also measured how long pings of 200 calls take while 1,000 more are opened in each of five seconds, whether those before are
//! admitted or not, and how many warnings the relay logs meanwhile: each of them, and each call that is not admitted, is a fault. `load --opening`
//! measures nothing else.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

mod call;
#[path = "../turn/call.rs"]
mod caller;
mod conversing;
#[path = "../turn/fakes.rs"]
mod fakes;
mod goals;
mod kept;
mod opening;
#[path = "../turn/script.rs"]
#[expect(dead_code, reason = "some of it is for what `bench turn` prints")]
mod script;
mod server;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{cpu_seconds, pin, resident_kib};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use call::{CHUNK, Call, LATE_MS, Punctuality, Sound};
use server::{Server, serve_echo};

/// Calls that are opened in a second.
const OPENED_PER_SECOND: u64 = 100;
/// After the last call is up, before anything is measured.
const SETTLE: Duration = Duration::from_secs(3);
/// The calls may be late with so much of what they have to do.
const LATE_MAX_PERCENT: f64 = 1.0;
/// The calls may use so much of their core.
const BUSY_MAX_PERCENT: f64 = 80.0;

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
    /// Everybody takes a turn every six seconds, and an agent of recogniser, model and voice speaks 40 % of the time.
    Conversing,
}

/// What was measured.
struct Row {
    scene: Scene,
    calls: u64,
    /// From when a ping was due to its pong, in milliseconds, sorted. Of conversing calls it is what the relay adds to each turn.
    latencies: Vec<f64>,
    /// What else is known of conversing calls.
    conversed: Option<Conversed>,
    readings: Readings,
    kib_per_call: f64,
    /// How much of what the calls had to do was late.
    late_percent: f64,
    /// Whether server and calls had a core each.
    apart: bool,
    lost: u64,
}

/// What came of calls that converse.
struct Conversed {
    /// Turns that were answered.
    answered: usize,
    /// Turns that were spoken.
    spoken: usize,
    /// What a call adds to the database in a minute.
    rows: f64,
    /// The same in bytes, with indices.
    bytes: f64,
}

/// What was read of the two processes.
struct Readings {
    /// Of the server.
    cpu_seconds: f64,
    /// Of the calls.
    own_cpu_seconds: f64,
    /// How long both were looked at.
    seconds: f64,
    /// What all calls but the first tenth of them have added to the server's memory.
    kib: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--serve-echo") {
        serve_echo().await;
        return ExitCode::SUCCESS;
    }
    let mut numbers = arguments.iter().filter(|argument| !argument.starts_with("--"));
    let is_opening = arguments.iter().any(|argument| argument == "--opening");
    let talks = arguments.iter().find_map(|argument| argument.strip_prefix("--conversing="));
    let listed =
        |list: &str| -> Vec<u64> { list.split(',').map(|n| n.parse().expect("a number of calls")).collect() };
    let calls = match numbers.next() {
        Some(list) => listed(list),
        None if is_opening || talks.is_some() => Vec::new(),
        None => vec![600, 2_500],
    };
    let span = Duration::from_secs(numbers.next().map_or(20, |n| n.parse().expect("a number of seconds")));
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let apart = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && pin(std::process::id(), 1).await;
    let mut rows = Vec::new();
    for calls in calls {
        for scene in [Scene::Echo, Scene::Idle, Scene::Silent, Scene::Talking] {
            eprintln!("{calls} calls, {scene:?}");
            rows.push(measure(scene, calls, span, apart).await);
        }
    }
    for calls in talks.map_or_else(Vec::new, listed) {
        eprintln!("{calls} calls, {:?}", Scene::Conversing);
        rows.push(conversing::measure(calls, span, apart).await);
    }
    let opened = if is_opening { Some(opening::measure(apart).await) } else { None };
    let goals = goals::of(&rows, opened.as_ref());
    if as_json {
        let opened = opened.iter().map(opening::Opened::to_json);
        let goals = json!({ "goals": goals.iter().map(goals::Goal::to_json).collect::<Vec<_>>() });
        println!("{}", Value::Array(rows.iter().map(Row::to_json).chain(opened).chain([goals]).collect()));
    } else {
        print(&rows, apart);
        opened.iter().for_each(opening::Opened::print);
        goals::print(&goals);
    }
    let is_opened = opened.iter().all(|opened| opened.void().is_none() && opened.is_whole());
    for error in goals::unmeasured(&goals) {
        eprintln!("{error}");
    }
    let is_good = is_opened
        && rows.iter().all(|row| row.void().is_none() && row.lost == 0)
        && goals.iter().all(|goal| goal.is_reached() == Some(true));
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(rows: &[Row], apart: bool) {
    println!("server and calls {}", if apart { "on a core each" } else { "share the cores" });
    if !rows.is_empty() {
        println!(
            "{:>6} {:<10} {:>9} {:>9} {:>9} {:>10} {:>8} {:>9} {:>6} {:>7} {:>6}",
            "calls",
            "scene",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "% of core",
            "x echo",
            "KiB/call",
            "own %",
            "late %",
            "lost"
        );
    }
    for row in rows {
        let echo = rows.iter().find(|other| other.scene == Scene::Echo && other.calls == row.calls);
        println!(
            "{:>6} {:<10} {:>9.2} {:>9.2} {:>9.2} {:>10.1} {:>8.2} {:>9.1} {:>6.1} {:>7.2} {:>6}",
            row.calls,
            row.scene.name(),
            row.at(0.5),
            row.at(0.99),
            row.at(0.999),
            row.percent(),
            echo.map_or(f64::NAN, |echo| row.percent() / echo.percent()),
            row.kib_per_call,
            row.own_percent(),
            row.late_percent,
            row.lost,
        );
        if let Some(Conversed { answered, spoken, rows, bytes }) = &row.conversed {
            println!(
                "       {answered} of {spoken} turns were answered; {rows:.1} rows, {bytes:.0} bytes a call and minute"
            );
        }
        if let Some(why) = row.void() {
            println!("       VOID: {why}");
        }
    }
}

impl Scene {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Row {
    fn at(&self, part: f64) -> f64 {
        at(&self.latencies, part)
    }

    /// How much of its core the server used.
    fn percent(&self) -> f64 {
        self.readings.cpu_seconds / self.readings.seconds * 100.0
    }

    /// How much of their core the calls used.
    fn own_percent(&self) -> f64 {
        self.readings.own_cpu_seconds / self.readings.seconds * 100.0
    }

    /// How many turns were not answered, of calls that converse.
    fn unanswered(&self) -> Option<usize> {
        let conversed = self.conversed.as_ref()?;
        Some(conversed.spoken.saturating_sub(conversed.answered))
    }

    /// Why it says nothing about the server, if it does not.
    fn void(&self) -> Option<String> {
        void(self.apart, self.late_percent, self.own_percent())
    }

    fn to_json(&self) -> Value {
        json!({
            "scene": self.scene.name(),
            "calls": self.calls,
            "pings": self.latencies.len(),
            "answered": self.conversed.as_ref().map(|conversed| conversed.answered),
            "spoken": self.conversed.as_ref().map(|conversed| conversed.spoken),
            "rows_per_call_minute": self.conversed.as_ref().map(|conversed| conversed.rows),
            "bytes_per_call_minute": self.conversed.as_ref().map(|conversed| conversed.bytes),
            "p50_ms": self.at(0.5),
            "p99_ms": self.at(0.99),
            "p999_ms": self.at(0.999),
            "cpu_percent": self.percent(),
            "kib_per_call": self.kib_per_call,
            "own_cpu_percent": self.own_percent(),
            "late_percent": self.late_percent,
            "lost": self.lost,
            "void": self.void(),
        })
    }
}

impl Readings {
    /// Reads the server's process and our own, from `from` on until shortly before the span is over, when calls begin to end. The server's memory is
    /// compared with what it is at `first`.
    async fn take(pid: u32, first: Instant, from: Instant, span: Duration) -> Readings {
        let cpu = || [pid, std::process::id()].map(cpu_seconds);
        let read_for = span - Duration::from_millis(500);
        sleep_until(first).await;
        let first_kib = resident_kib(pid);
        sleep_until(from).await;
        let before = cpu();
        sleep_until(from + read_for).await;
        let after = cpu();
        Readings {
            cpu_seconds: after[0] - before[0],
            own_cpu_seconds: after[1] - before[1],
            seconds: read_for.as_secs_f64(),
            kib: resident_kib(pid).saturating_sub(first_kib),
        }
    }
}

/// Why calls that were so punctual, and used so much of a core, say nothing about the server.
fn void(apart: bool, late_percent: f64, own_percent: f64) -> Option<String> {
    if !apart {
        return Some("server and calls shared the cores".to_owned());
    }
    if late_percent > LATE_MAX_PERCENT {
        return Some(format!("{late_percent:.1} % of what the calls had to do was over {LATE_MS} ms late"));
    }
    (own_percent > BUSY_MAX_PERCENT).then(|| format!("the calls used {own_percent:.0} % of their core"))
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
    let (sound, punctuality) = (Arc::new(Sound::new()), Arc::new(Punctuality::default()));
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
            punctuality: punctuality.clone(),
        };
        let pause = if number < first { Duration::ZERO } else { SETTLE };
        let (lost, open_at) = (lost.clone(), begin + opened_in(number) + pause);
        tasks.spawn(async move {
            sleep_until(open_at).await;
            if let Err(cause) = call.run().await
                && lost.fetch_add(1, Ordering::Relaxed) == 0
            {
                eprintln!("a call was lost: {cause}");
            }
        });
    }
    drop(latencies);
    let gather = async {
        let mut all = Vec::new();
        while let Some(latency) = measured.recv().await {
            all.push(latency);
        }
        all
    };
    let taken = Readings::take(pid, first_up + SETTLE, from, span);
    let (readings, mut latencies) = tokio::join!(taken, gather);
    while tasks.join_next().await.is_some() {}
    latencies.sort_by(f64::total_cmp);
    server.kill().await;
    sleep(Duration::from_millis(200)).await;
    Row {
        scene,
        calls,
        latencies,
        conversed: None,
        kib_per_call: readings.kib as f64 / (calls - first) as f64,
        readings,
        late_percent: punctuality.late_percent(),
        apart,
        lost: lost.load(Ordering::Relaxed),
    }
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
