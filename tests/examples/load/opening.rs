//! How calls that are up fare while many more are opened, each as soon as the one before is admitted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::{cpu_seconds, pin};
use tests::{Raw, Relay};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::call::{CHUNK, Call, Punctuality, Sound};
use super::{Scene, at, folder, server};

/// Calls that are up before, with an open microphone and nobody who speaks.
const UP: u64 = 200;
/// Calls that are opened beside them.
const OPENED: u64 = 1_500;
/// Calls that are up before are opened this far apart.
const APART: Duration = Duration::from_millis(20);
/// After the last of them is up, before another is opened.
const SETTLE: Duration = Duration::from_secs(3);
/// All of it is over by then.
const LONGEST: Duration = Duration::from_secs(300);

/// What was measured.
pub(crate) struct Opened {
    seconds: f64,
    cpu_seconds: f64,
    /// From when a ping of a call that was up was due to its pong, in milliseconds, sorted.
    pings: Vec<f64>,
    /// From the beginning of a connection to its `welcome`, in milliseconds, sorted.
    admitted: Vec<f64>,
    warnings: Vec<String>,
    lost: u64,
}

impl Opened {
    pub(crate) fn print(&self) {
        let row = |name: &str, times: &[f64]| {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| at(times, part));
            println!("  {name:<28} {p50:>9.2} {p99:>9.2} {most:>9.2} {:>8}", times.len());
        };
        println!(
            "{OPENED} calls opened one after another beside {UP}: {:.0} a second, {:.0} % of a core",
            OPENED as f64 / self.seconds,
            self.cpu_seconds / self.seconds * 100.0
        );
        println!("  {:<28} {:>9} {:>9} {:>9} {:>8}", "ms", "p50", "p99", "most", "of");
        row("ping to pong of those up", &self.pings);
        row("connecting to `welcome`", &self.admitted);
        println!("  warnings: {}; calls lost: {}", self.warnings.len(), self.lost);
        self.warnings.iter().take(5).for_each(|warning| println!("  {warning}"));
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
            "warnings": self.warnings,
            "lost": self.lost,
        })
    }
}

/// Opens the calls, and measures those that are up.
pub(crate) async fn measure(apart: bool) -> Opened {
    eprintln!("{OPENED} calls opened beside {UP}");
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
    let (mut admitted, mut open, cpu) = (Vec::new(), Vec::new(), cpu_seconds(pid));
    for number in 0..OPENED {
        let begun = Instant::now();
        open.push(Raw::welcomed(&relay, &format!("late caller {number}")).await);
        admitted.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let (seconds, cpu_seconds) = (from.elapsed().as_secs_f64(), cpu_seconds(pid) - cpu);
    // Pings that are under way are answered by then, unless something is very wrong.
    sleep(CHUNK * 2).await;
    let mut pings: Vec<f64> = std::iter::from_fn(|| measured.try_recv().ok()).collect();
    let lost = std::iter::from_fn(|| up.try_join_next()).count() as u64;
    up.shutdown().await;
    drop(open);
    relay.kill().await;
    pings.sort_by(f64::total_cmp);
    admitted.sort_by(f64::total_cmp);
    Opened { seconds, cpu_seconds, pings, admitted, warnings: warnings(&log), lost }
}

/// The lines of the log, of which each is a warning or worse.
fn warnings(log: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(log).expect("the relay wrote it");
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).map(str::to_owned).collect()
}
