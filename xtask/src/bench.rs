//! `cargo xtask bench audio`: how good and how fast the resampler is, beside others, native and as WebAssembly.
//! `cargo xtask bench voice`: how well speech is told from noise, and what that costs.
//! `cargo xtask bench interruption`: how many interruptions an agent notices, and how many are false.
//! `cargo xtask bench store`, `bench churn`, `bench away`, `bench flood`, `bench load` and `bench turn`: the relay's databases, its memory,
//! calls without a database, clients that send without end, what a call weighs, and what is added to a turn.
//! `cargo xtask bench static`: what a call weighs on a relay that is linked statically, beside the one that is deployed.
//! `cargo xtask bench kills`: whether calls are whole when relays are killed under them, a thousand times.
//! `cargo xtask bench moving`: how long a million rows take from one database to the other, and how much memory that needs.
//! `cargo xtask bench dashboard`: how soon the dashboard's addresses answer with a million sessions.
//! `cargo xtask bench lossy`, `bench lossy-page`: calls over a network that loses packets, by the native client and from a page.
//! `cargo xtask bench page`: what a call costs the page that makes it.
//! `cargo xtask soak`: whether a relay under load stays as large as it is.
//! Each that has goals fails where one is missed, after it has printed everything, with `NOT REACHED` in its row.
//! With `--write` each of them puts what it has printed into `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasm_bindgen_cli_support::Bindgen;

use crate::benchmarks::{self, Measured};
use crate::linked;
use crate::prerequisites;
use crate::pypi;
use crate::recordings;
use crate::release;
use crate::step::{output, run, spelled, step, watch};
use crate::workspace::{self, WASM};

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Bench {
    /// The resampler
    Audio,
    /// How well speech is told from noise, and what that costs (Debian)
    Voice,
    /// How many interruptions an agent notices, and how many are false (Debian)
    Interruption,
    /// What the databases can do, and what they cost a chunk
    Store,
    /// How soon the dashboard's addresses answer and its pages are whole with a million sessions, beside the raw rows
    Dashboard,
    /// The relay's memory after 100,000 sessions
    Churn,
    /// 200 calls while the database is away, 20 times
    Away,
    /// 1,000 kills of one relay of two, under 40 calls
    Kills,
    /// A million rows from SQLite to PostgreSQL: time and memory (Linux)
    Moving,
    /// What a call weighs, beside a bare WebSocket echo
    Load,
    /// The relay linked statically, by musl, beside the one that is deployed (Linux)
    Static,
    /// What the relay adds to a turn, with providers that take no time and with some that take as long as they do
    Turn,
    /// What a client that sends without end costs the relay
    Flood,
    /// How soon the loudspeaker of a page is silent when its user speaks over the agent, in a real browser
    BargeIn,
    /// What a long conversation costs, beside other ways to remember it
    Memory,
    /// How late words are over a network that loses packets, and what is lost (root, Linux)
    Lossy,
    /// The same of a minute's call from a page, in a real browser (root, Linux)
    LossyPage,
    /// What a call costs the page that makes it: threads, memory, sound, and how soon a click is heard (Linux)
    Page,
}

/// One line of `audio/examples/bench_wasm.mjs --json`.
#[derive(Deserialize, Serialize)]
struct WasmTiming {
    from_hz: u32,
    to_hz: u32,
    block: u32,
    min_us: f64,
    median_us: f64,
    goal_us: f64,
}

impl WasmTiming {
    /// By the best of the runs, since other programs can only slow it down.
    fn is_reached(&self) -> bool {
        self.min_us <= self.goal_us
    }
}

/// What a measurement has printed.
struct Printed {
    text: String,
    /// Whether a person has read it already, line by line, while it was measured.
    is_shown: bool,
    /// Why the command failed, if it did: each that has goals does where one is missed, after it has printed everything.
    fault: Option<String>,
}

impl Printed {
    fn whole(text: String) -> Printed {
        Printed { text, is_shown: false, fault: None }
    }

    fn done(self) -> Result<()> {
        match self.fault {
            None => Ok(()),
            Some(fault) => bail!(fault),
        }
    }
}

/// Measures and prints one table, or JSON, and writes the table into the page of benchmarks if that is asked for. `seconds` is how long the call of
/// [`Bench::Page`] is measured, and `program` the relay of [`Bench::Load`], if it is another one than that of this commit.
pub(crate) fn run_bench(
    bench: Bench,
    json: bool,
    seconds: u32,
    write: bool,
    program: Option<&Path>,
) -> Result<()> {
    if program.is_some() && !matches!(bench, Bench::Load) {
        bail!("only `load` measures a relay that is built elsewhere");
    }
    let printed = match bench {
        Bench::Audio => audio(json),
        Bench::Voice => voice(json),
        Bench::Interruption => interruption(json),
        Bench::Store => relay("bench_store", &[], json),
        Bench::Dashboard => relay("dashboard", &["1000000"], json),
        Bench::Churn => relay("churn", &["100000"], json),
        Bench::Away => relay("away", &["20", "200"], json),
        Bench::Kills => relay("kills", &["1000", "40"], json),
        Bench::Moving => moving(json),
        Bench::Load => load(json, program),
        Bench::Static => linked_statically(json),
        Bench::Turn => relay("turn", &["1,100,500", "60"], json),
        Bench::Flood => relay("flood", &["20"], json),
        Bench::BargeIn => barge_in(),
        Bench::Memory => memory(json),
        Bench::Lossy => relay("lossy", &["20"], json),
        Bench::LossyPage => lossy_page(),
        Bench::Page => page(json, seconds),
    }?;
    if !printed.is_shown {
        print!("{}", printed.text);
    }
    if write {
        let value = bench.to_possible_value().context("a benchmark has no name")?;
        let name = value.get_name();
        let about = value.get_help().map(ToString::to_string).unwrap_or_default();
        let command = match bench {
            Bench::Page => format!("cargo xtask bench {name} --seconds {seconds}"),
            Bench::Load if program.is_some() => format!("cargo xtask bench {name} --relay PROGRAM"),
            _ => format!("cargo xtask bench {name}"),
        };
        let (table, is_good) = (&*printed.text, printed.fault.is_none());
        benchmarks::write(&Measured { name, about: &about, command: &command, table, is_good })?;
    }
    printed.done()
}

/// What stands over the table of [`soak`].
pub(crate) const SOAK: &str = "soak";

/// Lets a relay carry calls for so long, and says whether its memory, files and threads stay as they are.
pub(crate) fn soak(minutes: u32, json: bool, write: bool) -> Result<()> {
    let printed = relay("soak", &[&minutes.to_string()], json)?;
    if write {
        let about = "Whether a relay that carries 100 calls at a time stays as large as it is (Linux)";
        let command = format!("cargo xtask soak --minutes {minutes}");
        let (table, is_good) = (&*printed.text, printed.fault.is_none());
        benchmarks::write(&Measured { name: SOAK, about, command: &command, table, is_good })?;
    }
    printed.done()
}

/// Runs a program that takes long, and shows each line when it comes.
fn shown(command: &mut Command, advice: &str) -> Result<Printed> {
    let name = spelled(command);
    let mut text = String::new();
    let is_good = watch(command, advice, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    let fault = (!is_good).then(|| format!("`{name}` failed: {advice}"));
    Ok(Printed { text, is_shown: true, fault })
}

/// Runs a program that prints its result when it has it, also where that is that a goal is missed.
fn at_the_end(command: &mut Command, advice: &str) -> Result<Printed> {
    let name = spelled(command);
    let ended = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{name}` could not be started: {advice}"))?;
    let fault = (!ended.status.success()).then(|| format!("`{name}` failed: {advice}"));
    Ok(Printed { fault, ..Printed::whole(String::from_utf8_lossy(&ended.stdout).into_owned()) })
}

fn audio(json: bool) -> Result<Printed> {
    prerequisites::wasm_target()?;
    prerequisites::node()?;
    let Printed { mut text, mut fault, .. } = step("measuring natively", || native(json))?;
    let wasm = step("measuring as WebAssembly", wasm)?;
    if fault.is_none() && !wasm.iter().all(WasmTiming::is_reached) {
        fault = Some("as WebAssembly it takes longer than the goal".to_owned());
    }
    if json {
        let native: Value = serde_json::from_str(&text).context("bench_audio --json printed no JSON")?;
        let text = format!("{}\n", json!({ "native": native, "wasm": wasm }));
        return Ok(Printed { fault, ..Printed::whole(text) });
    }
    writeln!(
        text,
        "as WebAssembly with simd128, in Node\n{:<34}{:>10}{:>14}{:>14}",
        "", "goal", "best", "median"
    )?;
    for timing in wasm {
        let said = if timing.is_reached() { "" } else { "  NOT REACHED" };
        let WasmTiming { from_hz, block, min_us, median_us, goal_us, .. } = timing;
        let label = format!("{from_hz} Hz, µs per {block} samples");
        let goal = format!("<= {goal_us}");
        writeln!(text, "{label:<34}{goal:>10}{min_us:>14.3}{median_us:>14.3}{said}")?;
    }
    Ok(Printed { fault, ..Printed::whole(text) })
}

/// Fifty times with voice activity on the page and fifty times without, against a relay as it is deployed. The figures are a line or two of each test.
fn barge_in() -> Result<Printed> {
    let relay = workspace::target().join("release/voxrelay");
    step("building the SDK", crate::build::sdk)?;
    step("building the relay", || {
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--release", "--package", "relay", "--bin", "voxrelay"]);
        run(&mut cargo, "the message above says what is wrong")?;
        run(workspace::cargo().args(["build", "--package", "fakes"]), "the message above says what is wrong")
    })?;
    let mut node = workspace::node();
    node.args(["--test", "--test-reporter=spec", "tests/browser/more/barge-in.test.mjs"]);
    node.env("E2E_BARGE_INS", "50").env("E2E_RELAY", relay).env("E2E_FAKES", workspace::program("fakes"));
    shown(node.env("E2E_CHROMIUM", crate::gate::chromium()?), "see tests/browser/more/barge-in.test.mjs")
}

/// The table is what the test prints last.
fn lossy_page() -> Result<Printed> {
    step("building the SDK", crate::build::sdk)?;
    step("building the relay", || {
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--package", "relay", "--bin", "voxrelay"]);
        run(cargo.args(["--package", "tests", "--example", "far"]), "the message above says what is wrong")
    })?;
    let mut node = workspace::node();
    node.args(["--test", "--test-reporter=spec", "tests/engines/lossy.test.mjs"]);
    node.env("E2E_RELAY", workspace::program("voxrelay")).env("E2E_FAR", workspace::program("examples/far"));
    shown(node.env("E2E_CHROMIUM", crate::gate::chromium()?), "see tests/engines/lossy.test.mjs")
}

/// Calls of each scene to the relay of this commit, or to this one.
fn load(json: bool, program: Option<&Path>) -> Result<Printed> {
    let mut arguments = vec!["600,1200,2500", "30", "--conversing=150,300,600", "--opening"];
    let named = match program {
        Some(program) => {
            let whole = program.canonicalize();
            let whole = whole.with_context(|| format!("there is no {}", program.display()))?;
            Some(format!("--relay={}", whole.display()))
        }
        None => None,
    };
    arguments.extend(named.as_deref());
    relay("load", &arguments, json)
}

/// Against a relay as it is deployed.
fn page(json: bool, seconds: u32) -> Result<Printed> {
    step("building the SDK", crate::build::sdk)?;
    step("building the relay", || {
        run(workspace::cargo().args(release::RELAY), "the message above says what is wrong")
    })?;
    let mut node = workspace::node();
    node.args(["tests/examples/page.mjs", "--seconds", &seconds.to_string()]).args(json.then_some("--json"));
    node.env("E2E_RELAY", workspace::target().join("release/voxrelay"));
    node.env("E2E_CHROMIUM", crate::gate::chromium()?);
    step("making calls", || at_the_end(&mut node, "see tests/examples/page.mjs"))
}

fn voice(json: bool) -> Result<Printed> {
    let folder = recordings::fetched()?;
    let advice = "see audio/examples/bench_voice/main.rs";
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "audio", "--example", "bench_voice", "--"]);
    step("listening to it", || output(cargo.arg(folder).args(json.then_some("--json")), advice))
        .map(Printed::whole)
}

fn interruption(json: bool) -> Result<Printed> {
    let folder = recordings::fetched_with_sounds()?;
    let python = pypi::python(&workspace::path("relay/examples/interruption/requirements.txt"));
    if let Err(error) = &python {
        eprintln!("  without pocketsphinx and what has to be decoded: {error:#}");
    }
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--package", "relay", "--example", "interruption", "--"]).arg(folder);
    if let Ok(python) = python {
        cargo.arg("--python").arg(python);
    }
    let advice = "see relay/examples/interruption/main.rs";
    step("interrupting an agent", || at_the_end(cargo.args(json.then_some("--json")), advice))
}

fn memory(json: bool) -> Result<Printed> {
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--quiet", "--package", "relay", "--example", "memory", "--"]);
    shown(cargo.args(json.then_some("--json")), "see relay/examples/memory.rs")
}

/// Runs the test that moves a million rows, and takes from what it prints the line that says what that took.
fn moving(json: bool) -> Result<Printed> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--release", "--package", "relay", "--test", "cli", "--"]);
    cargo.args(["--ignored", "--nocapture", "a_million_rows"]);
    let Printed { text, fault, .. } = shown(&mut cargo, "see relay/tests/cli/moving.rs")?;
    let took = text.find("a million rows in").and_then(|begin| text[begin..].lines().next());
    let Some(took) = took else {
        bail!(fault.unwrap_or_else(|| "no rows were moved: this needs Linux".to_owned()));
    };
    let text = if json { format!("{}\n", json!({ "took": took })) } else { format!("{took}\n") };
    // Of what was shown while it ran, only this line is the result.
    Ok(Printed { text, is_shown: false, fault })
}

/// Calls of each scene to both relays, one after the other.
fn linked_statically(json: bool) -> Result<Printed> {
    let program = linked::program()?;
    let calls = ["600", "30"];
    let named = format!("--relay={}", program.display());
    // That goals are reached is for `bench load` to say.
    let glibc = linked::rows(&relay("load", &calls, true)?.text)?;
    let musl = linked::rows(&relay("load", &[calls[0], calls[1], &named], true)?.text)?;
    let (text, fault) = linked::compared(&glibc, &musl)?;
    let text = if json { format!("{}\n", json!({ "glibc": glibc, "musl": musl })) } else { text };
    Ok(Printed { fault, ..Printed::whole(text) })
}

/// Runs an example of the end-to-end tests against a relay as it is deployed.
fn relay(example: &str, arguments: &[&str], json: bool) -> Result<Printed> {
    let advice = format!("see tests/examples/{example}.rs");
    step("building the relay", || run(workspace::cargo().args(release::RELAY), &advice))?;
    step("building what measures it", || {
        let mut cargo = workspace::cargo();
        run(cargo.args(["build", "--release", "--package", "tests", "--example", example]), &advice)
    })?;
    let program = workspace::target().join("release/examples").join(example);
    shown(Command::new(program).args(arguments).args(json.then_some("--json")), &advice)
}

fn native(json: bool) -> Result<Printed> {
    let advice = "see audio/examples/bench_audio.rs";
    run(
        workspace::cargo().args(["build", "--release", "--package", "audio", "--example", "bench_audio"]),
        advice,
    )?;
    let mut bench = workspace::cargo();
    bench.args(["run", "--quiet", "--release", "--package", "audio", "--example", "bench_audio", "--"]);
    at_the_end(bench.args(json.then_some("--json")), advice)
}

fn wasm() -> Result<Vec<WasmTiming>> {
    run(
        workspace::cargo()
            .args(["build", "--package", "audio", "--example", "bench_wasm", "--target", WASM])
            // As a page downloads it; not stripped, as for the SDK.
            .args(["--profile", "wasm"])
            .env("CARGO_PROFILE_WASM_STRIP", "none"),
        "see audio/examples/bench_wasm.rs",
    )?;
    let folder = workspace::cache().join("bench_wasm");
    fs::create_dir_all(&folder)?;
    let module = workspace::target().join(WASM).join("wasm/examples/bench_wasm.wasm");
    Bindgen::new().input_path(module).nodejs(true)?.typescript(false).generate(&folder)?;
    let printed = output(
        workspace::node()
            .arg("audio/examples/bench_wasm.mjs")
            .arg(folder.join("bench_wasm.js"))
            .arg("--json"),
        "see audio/examples/bench_wasm.mjs",
    )?;
    serde_json::from_str(&printed).context("bench_wasm.mjs --json printed another shape")
}
