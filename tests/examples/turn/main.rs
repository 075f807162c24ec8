//! What the relay adds to a turn: `cargo xtask bench turn`.
//!
//! `turn [calls,…] [seconds] [--voice aura|elevenlabs|openai] [--disk] [--json]`
//!
//! This one process is the callers and the providers, so that one clock stamps whatever is sent and whatever comes. The relay is as it is
//! deployed, has a core of its own, and knows nothing of it. Callers speak on a fixed schedule (open loop), each at moments of their own, which are
//! drawn and the same each time. How late this process was with what it had to do is printed: a row is void if that was too much, since it would be
//! measured as the relay's.
//!
//! Two scenes. In `bare` no provider takes any time. In `real` they take as long as providers do: 300 ms of silence end speech; its text
//! takes 150 ms (p99 350), the first token 350 (900), the first sound 150 (400). The model writes its first sentence in one
//! piece. In the last two rows each of its twelve tokens is a piece of its own, and all of them come at once: over HTTP/1.1 each piece passes from
//! the task that carries the connection to the one that carries the request, and both wait for their turns where many are busy.
//!
//! | stage | from | to |
//! |---|---|---|
//! | audio | the caller sends a chunk | the recogniser has it |
//! | question | the recogniser sends the text of a turn | the model has the question |
//! | sentence | the model sends the token that shows that its first sentence has ended | the voice has the sentence |
//! | sound | the voice sends its first sound | the caller has the first sound |
//! | added | the sum of the last three | |
//! | whole | the caller sends the last of their speech | the caller has the first sound |
//!
//! Without `taskset`, or with one core only, the relay and this process share a core. Below the rows stand the goals: how many of the turns that were
//! spoken are answered, that none waits for a handshake with a provider, and how long they take. The command ends with code 1 if a row is void, a
//! call was lost, no turn was spoken, or a goal that was measured is not reached.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

mod call;
mod fakes;
mod goals;
#[expect(dead_code, reason = "one of its scenes is the load generator's")]
mod script;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::Relay;
use tests::http::get;
use tests::ports::free_address;
use tests::process::{cpu_seconds, pin};
use tokio::time::{Instant, sleep_until};

use call::{Call, Sound};
use fakes::Writes;
use script::{Book, CHUNK, CYCLE, Scene, Share};

/// Calls that are opened in a second.
const OPENED_PER_SECOND: u64 = 50;
/// This process may be so late with one thing in a hundred.
const LATE_MAX_MS: f64 = 5.0;
/// Of its core it may use so much.
const BUSY_MAX_PERCENT: f64 = 80.0;

/// What is asked for.
struct Wish {
    scene: Scene,
    calls: u32,
    span: Duration,
    voice: &'static str,
    writes: Writes,
    on_disk: bool,
    apart: bool,
}

/// What was measured.
struct Row {
    scene: Scene,
    writes: Writes,
    calls: u32,
    /// Turns that were spoken, and of these the relay's share of those that were answered.
    spoken: usize,
    shares: Vec<Share>,
    /// Connections that a turn had to wait for, or for the rest of whose handshake.
    handshakes: f64,
    relay_percent: f64,
    own_percent: f64,
    /// How late this process was, in milliseconds, sorted.
    late: Vec<f64>,
    lost: u64,
}

/// A stage by its name, and how it is read.
type Stage = (&'static str, fn(&Share) -> f64);

const SOUND: Stage = ("sound", |share| share.sound);
const ADDED: Stage = ("added", Share::sum);
const WHOLE: Stage = ("whole", |share| share.whole);

const STAGES: [Stage; 6] = [
    ("audio", |share| share.audio),
    ("question", |share| share.question),
    ("sentence", |share| share.sentence),
    SOUND,
    ADDED,
    WHOLE,
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let voice = arguments.iter().skip_while(|argument| *argument != "--voice").nth(1);
    let voice = match voice.map(String::as_str) {
        None | Some("aura") => fakes::AURA,
        Some("elevenlabs") => "kind = \"elevenlabs\"\nmodel = \"eleven_flash_v2_5\"\nvoice = \"v\"",
        Some("openai") => "kind = \"openai-speech\"\nmodel = \"tts-1\"",
        Some(other) => panic!("no voice {other}"),
    };
    let mut numbers =
        arguments.iter().filter(|argument| argument.starts_with(|char: char| char.is_ascii_digit()));
    let calls = numbers.next().map_or("1,100,500", String::as_str);
    let calls: Vec<u32> = calls.split(',').map(|n| n.parse().expect("a number of calls")).collect();
    let span = numbers.next().map_or(60, |n| n.parse().expect("a number of seconds"));
    let apart = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && pin(std::process::id(), 1).await;
    let mut rows = Vec::new();
    let (span, on_disk) = (Duration::from_secs(span), has("--disk"));
    for (writes, calls) in
        [(Writes::Sentences, &calls[..]), (Writes::Tokens, calls.last_chunk::<1>().expect("one"))]
    {
        for scene in [Scene::Bare, Scene::Real] {
            for calls in calls {
                eprintln!("{calls} calls, {scene:?}, {writes:?}");
                rows.push(measure(&Wish { scene, calls: *calls, span, voice, writes, on_disk, apart }).await);
            }
        }
    }
    let goals = goals::of(&rows);
    if has("--json") {
        let goals = json!({ "goals": goals.iter().map(goals::Goal::to_json).collect::<Vec<_>>() });
        println!("{}", Value::Array(rows.iter().map(Row::to_json).chain([goals]).collect()));
    } else {
        println!("relay and the rest {}", if apart { "on a core each" } else { "share the cores" });
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("load of the machine at the end: {}", load.trim());
        rows.iter().for_each(Row::print);
        goals::print(&goals);
    }
    let is_good = rows.iter().all(Row::is_whole) && goals.iter().all(|goal| goal.is_reached() != Some(false));
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Row {
    fn at(&self, stage: Stage, part: f64) -> f64 {
        let mut times: Vec<f64> = self.shares.iter().map(stage.1).collect();
        times.sort_by(f64::total_cmp);
        at(&times, part)
    }

    /// Why the row says nothing about the relay.
    fn void(&self) -> Option<String> {
        let late = at(&self.late, 0.99);
        if late > LATE_MAX_MS {
            return Some(format!("void: this process was {late:.1} ms late"));
        }
        (self.own_percent > BUSY_MAX_PERCENT)
            .then(|| format!("void: this process used {:.0} % of its core", self.own_percent))
    }

    /// Whether it says something, and nothing of its calls was lost.
    fn is_whole(&self) -> bool {
        self.void().is_none() && self.lost == 0 && self.spoken > 0
    }

    fn scene_name(&self) -> String {
        let scene = format!("{:?}", self.scene).to_lowercase();
        match self.writes {
            Writes::Sentences => scene,
            Writes::Tokens => format!("{scene}, token by token"),
        }
    }

    fn print(&self) {
        let scene = self.scene_name();
        println!("\n{} calls, {scene}: {} of {} turns", self.calls, self.shares.len(), self.spoken);
        println!("  {:<9} {:>9} {:>9} {:>9}", "ms", "p50", "p99", "most");
        for stage in STAGES {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| self.at(stage, part));
            println!("  {:<9} {p50:>9.2} {p99:>9.2} {most:>9.2}", stage.0);
        }
        println!(
            "  handshakes that a turn waited for: {}; calls lost: {}; relay {:.0} % of a core, this process {:.0} %, late p99 {:.2} ms{}",
            self.handshakes,
            self.lost,
            self.relay_percent,
            self.own_percent,
            at(&self.late, 0.99),
            self.void().map(|why| format!("\n  {why}")).unwrap_or_default(),
        );
    }

    fn to_json(&self) -> Value {
        let stages = STAGES.map(|stage| {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| self.at(stage, part));
            (stage.0.to_owned(), json!({ "p50_ms": p50, "p99_ms": p99, "max_ms": most }))
        });
        json!({
            "scene": self.scene_name(),
            "calls": self.calls,
            "spoken": self.spoken,
            "answered": self.shares.len(),
            "stages": Value::Object(stages.into_iter().collect()),
            "handshakes": self.handshakes,
            "lost": self.lost,
            "relay_percent": self.relay_percent,
            "own_percent": self.own_percent,
            "late_p99_ms": at(&self.late, 0.99),
            "void": self.void(),
        })
    }
}

/// What a part of sorted numbers does not exceed.
fn at(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

async fn measure(wish: &Wish) -> Row {
    let Wish { scene, calls, span, apart, .. } = *wish;
    let folder = match std::path::Path::new("/dev/shm") {
        memory if memory.exists() && !wish.on_disk => tempfile::tempdir_in(memory),
        _ => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let book = Book::new(scene, calls);
    let (providers, serving) = fakes::serve(book.clone(), wish.writes).await;
    let metrics = free_address();
    std::fs::write(folder.path().join("prices.toml"), fakes::PRICES).expect("ours");
    // A process has the cores of its parent, and as many threads for them.
    if apart {
        pin(std::process::id(), 0).await;
    }
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &config(&providers, metrics, wish.voice)).await;
    if apart {
        pin(std::process::id(), 1).await;
    }
    let pid = relay.child.id().expect("it runs");
    let (begin, opening) =
        (Instant::now(), Duration::from_millis(u64::from(calls) * 1_000 / OPENED_PER_SECOND));
    // Everybody has taken a turn by then, so that the pools are warm.
    let from = begin + opening + CHUNK * (CYCLE + 20);
    let until = from + span;
    let (sound, lost) = (Arc::new(Sound::new()), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..calls {
        let call = Call {
            url: relay.url(),
            number,
            // Whenever each was opened.
            first: begin + opening + CHUNK + script::after(number),
            // The last turns have time to be answered.
            until: until + CHUNK * (CYCLE / 2),
            sound: sound.clone(),
            book: book.clone(),
        };
        let lost = lost.clone();
        let open_at = begin + Duration::from_millis(u64::from(number) * 1_000 / OPENED_PER_SECOND);
        tasks.spawn(async move {
            sleep_until(open_at).await;
            if let Err(cause) = call.run().await
                && lost.fetch_add(1, Ordering::Relaxed) == 0
            {
                eprintln!("a call was lost: {cause}");
            }
        });
    }
    sleep_until(from).await;
    let cpu = || (cpu_seconds(pid), cpu_seconds(std::process::id()));
    book.take_lateness();
    let (before, needed) = (cpu(), needed(metrics).await);
    sleep_until(until).await;
    let (after, late) = (cpu(), book.take_lateness());
    let handshakes = self::needed(metrics).await - needed;
    while tasks.join_next().await.is_some() {}
    let turns = book.between(from, until);
    relay.kill().await;
    serving.abort();
    let percent = |before: f64, after: f64| (after - before) / span.as_secs_f64() * 100.0;
    Row {
        scene,
        writes: wish.writes,
        calls,
        spoken: turns.len(),
        shares: turns.iter().filter_map(script::Turn::share).collect(),
        handshakes,
        relay_percent: percent(before.0, after.0),
        own_percent: percent(before.1, after.1),
        late,
        lost: lost.load(Ordering::Relaxed),
    }
}

fn config(providers: &str, metrics: SocketAddr, voice: &str) -> String {
    format!(
        "[limits]\nsessions_per_user = 10\nsessions_per_minute = 10000\nsessions_per_account = 100000\n\
        [network]\nsessions_per_minute_per_address = 100000\nconnections_per_minute_per_address = 1000000\n\
        pre_login_connections_per_address = 1000\n[log]\nlevel = \"error\"\n[metrics]\nlisten = \"{metrics}\"\n{}",
        fakes::config(providers, voice),
    )
}

/// Connections to providers that requests of the relay have had to wait for so far, from the beginning of the handshake or for the rest of it.
async fn needed(metrics: SocketAddr) -> f64 {
    let answer = get(metrics, "/metrics").await;
    let of_needed = |line: &&str| {
        line.starts_with("voxrelay_provider_connections_total{") && !line.contains("opened=\"ahead\"")
    };
    let counted =
        answer.lines().filter(of_needed).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    counted.sum()
}
