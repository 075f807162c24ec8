//! Steps that run tests and count them.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::outcome::Outcome;
use super::tools;
use crate::breaks;
use crate::fuzzing;
use crate::prerequisites;
use crate::pypi;
use crate::release;
use crate::rolling;
use crate::simulate;
use crate::step::{run, seconds, watch};
use crate::workspace::{self, WASM};

/// Whole calls go on until so many of them are conversations, as the acceptance of the agent asks for; they and the links are at least as many as
/// the acceptance of the protocol asks for.
const SIMULATED_CONVERSATIONS: u64 = 100_000;
/// The gate makes the same calls each time: what it says is about the change. The long step makes others each time.
const SIMULATED_SEED: u64 = 1;
/// So long may all of them take in a run of the gate.
const SIMULATED_WITHIN: Duration = Duration::from_secs(4 * 60);
/// Simulated calls with `--all`.
const MANY_SIMULATED_CALLS: u64 = 400_000;

/// Test files whose tests mostly wait, each in a module `beside`: they run at the same time as all others.
const BESIDE: [&str; 8] =
    ["away", "bad_days", "calls", "drain", "full_disk", "messages", "proxies", "tokens"];

/// Unit, integration and documentation tests of the workspace, then those of this tool.
pub(super) fn rust() -> Result<Outcome> {
    let advice = "install Rust by https://rustup.rs";
    let mut outcome = Outcome::ok();
    // Many of them wait for a socket, a timer or a database for most of their time.
    let at_a_time = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    let tests = || {
        let mut tests = workspace::cargo();
        tests.args(["test", "--workspace", "--exclude", "xtask", "--no-fail-fast"]);
        tests.env("RUST_TEST_THREADS", at_a_time.to_string());
        tests.env("E2E_RELAY", workspace::program("voxrelay"));
        tests
    };
    let mut waiting = tests();
    waiting.args(BESIDE.iter().flat_map(|file| ["--test", file])).arg("--quiet");
    let waiting = std::thread::spawn(move || waiting.output());
    let mut others = tests();
    let others_ok = watch(others.args(["--", "--skip", "beside::"]), advice, |line| outcome.read(line))?;
    let waited = waiting.join().expect("it only waits for a process").context(advice)?;
    for line in String::from_utf8_lossy(&[waited.stdout, waited.stderr].concat()).lines() {
        eprintln!("{line}");
        outcome.read(line);
    }
    let own_ok =
        watch(workspace::cargo().args(["test", "--package", "xtask"]), advice, |line| outcome.read(line))?;
    Ok(outcome.finish(others_ok && waited.status.success() && own_ok, "cargo test"))
}

/// What runs tests that are WebAssembly.
pub(super) fn build_wasm_runner() -> Result<()> {
    run(
        workspace::cargo()
            .args(["build", "--package", "xtask", "--features", "wasm-test-runner"])
            .args(["--bin", "wasm-test-runner"]),
        "the test runner comes from the crate wasm-bindgen-cli",
    )
}

/// The machines' and the signal processing's tests once more, as WebAssembly.
pub(super) fn wasm() -> Result<Outcome> {
    build_wasm_runner()?;
    let mut outcome = Outcome::ok();
    let ok = watch(
        workspace::cargo()
            .args([
                "test",
                "--package",
                "protocol",
                "--package",
                "audio",
                "--package",
                "voice-wasm",
                "--lib",
                "--tests",
            ])
            .args(["--target", WASM, "--no-fail-fast"])
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", workspace::program("wasm-test-runner")),
        "install Rust by https://rustup.rs",
        |line| outcome.read(line),
    )?;
    Ok(outcome.finish(ok, "cargo test --target wasm32-unknown-unknown"))
}

/// How long it takes is told and not judged: it runs beside another step, on whatever machine there is.
pub(super) fn simulation() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    let begin = Instant::now();
    let is_good = simulate::run_built(SIMULATED_CONVERSATIONS, SIMULATED_SEED, |line| {
        // What happened in all of them is no failure.
        if !line.starts_with("from seed ") {
            outcome.failures.say(line);
        }
    })?;
    let note = format!("{SIMULATED_CONVERSATIONS} conversations among them, seed {SIMULATED_SEED}");
    let outcome = outcome.note(note).note(within(begin.elapsed(), SIMULATED_WITHIN));
    if is_good {
        return Ok(Outcome { passed: 1, ..outcome });
    }
    let advice = "a call that failed is seen by `cargo xtask simulate --calls 1 --seed THAT --trace`";
    Ok(Outcome { failed: 1, ..outcome }.note(advice))
}

/// What is said of a time that has a limit.
fn within(time: Duration, limit: Duration) -> String {
    let verdict = if time <= limit { "within" } else { "OVER" };
    format!("{}, {verdict} the {} that they may take", seconds(time), seconds(limit))
}

/// Relays behind the proxies of `deploy/`: for as long as it takes until one closes what idles, and with as many calls as a relay is killed with.
pub(super) fn proxies() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    let mut tests = workspace::cargo();
    tests.args(["test", "--package", "tests", "--test", "proxies", "--", "--ignored", "--nocapture"]);
    let advice = "install Rust by https://rustup.rs";
    let proxies_ok = watch(&mut tests, advice, |line| outcome.read(line))?;
    // Each of these has all of the machine, and a relay as it is deployed: how soon calls are back is one of its goals, and without optimisation two
    // cores have enough to do with a hundred conversations.
    run(workspace::cargo().args(release::RELAY), advice)?;
    let mut tests = workspace::cargo();
    tests.args(["test", "--package", "tests", "--test", "crowd", "--", "--ignored", "--nocapture"]);
    tests.env("E2E_RELAY", workspace::target().join("release").join(format!("voxrelay{EXE_SUFFIX}")));
    let crowd_ok = watch(tests.arg("--test-threads=1"), advice, |line| outcome.read(line))?;
    Ok(outcome.finish(proxies_ok && crowd_ok, "cargo test --test proxies, --test crowd"))
}

/// The library by which a relay sees another time than it is, and the Debian package of the same name.
const FAKETIME: &str = "libfaketime";

/// A relay whose machine's clock is changed.
pub(super) fn clock() -> Result<Outcome> {
    if faketime().is_none() && tools::is_debian() {
        // It may be out of reach, which is no fault of the relay.
        tools::install(&[FAKETIME]).unwrap_or_else(|error| eprintln!("  {error:#}"));
    }
    let Some(library) = faketime() else {
        return Ok(Outcome::ok().not_checked("a clock that is changed: NOT CHECKED, there is no libfaketime"));
    };
    let mut outcome = Outcome::ok();
    let mut tests = workspace::cargo();
    tests.args(["test", "--package", "tests", "--test", "clock", "--", "--ignored"]);
    tests.env("E2E_FAKETIME", library);
    let ok = watch(&mut tests, "install Rust by https://rustup.rs", |line| outcome.read(line))?;
    Ok(outcome.finish(ok, "cargo test --test clock"))
}

/// Where Debian puts the library for programs of several threads: in the folder of the processor.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists())
}

/// How often a relay is killed with `--all`: `cargo xtask bench kills` does it a thousand times.
const KILLS: &str = "30";

pub(super) fn kills() -> Result<Outcome> {
    example("kills", KILLS)
}

/// For so many minutes calls are made with `--all`, of which the first six are not looked at: `cargo xtask soak` makes them for half an hour.
const SOAK_MINUTES: &str = "12";

/// A relay that is to stay as large as it is.
pub(super) fn soak() -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::ok().not_checked("soak: NOT CHECKED, only Linux tells it of a process"));
    }
    example("soak", SOAK_MINUTES)
}

/// Runs an example of the end-to-end tests, which ends with an error if something is not as it has to be. What it prints is for the summary.
fn example(name: &str, argument: &str) -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    let mut example = workspace::cargo();
    example.args(["run", "--package", "tests", "--example", name, "--", argument]);
    let advice = format!("see tests/examples/{name}");
    let is_good = watch(&mut example, &advice, |line| outcome.notes.push(line.to_owned()))?;
    match is_good {
        true => outcome.passed = 1,
        false => outcome.failed = 1,
    }
    Ok(outcome)
}

/// A million rows, written as the one database keeps them and read as the other one does.
pub(super) fn moving() -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::ok().not_checked("moving: NOT CHECKED, only Linux tells it of a process"));
    }
    let mut outcome = Outcome::ok();
    let mut tests = workspace::cargo();
    tests.args(["test", "--package", "relay", "--test", "cli", "--"]);
    tests.args(["--ignored", "--nocapture", "a_million_rows"]);
    let ok = watch(&mut tests, "install Rust by https://rustup.rs", |line| outcome.read(line))?;
    Ok(outcome.finish(ok, "cargo test --test cli"))
}

/// Relays of the oldest version from which a rolling deploy is promised, and of the last one before the newest migration, each beside this one.
pub(super) fn rolling() -> Result<Outcome> {
    let before = rolling::before_newest_migration();
    if before.is_empty() {
        return Ok(
            Outcome::ok().not_checked("rolling deploys: NOT CHECKED, the repository has no history here")
        );
    }
    let before = rolling::first_that_builds(&before)?;
    let (mut outcome, mut all_ok) = (Outcome::ok(), true);
    for commit in [rolling::OLDEST, before] {
        let mut tests = rolling::tests_beside(commit)?;
        all_ok &= watch(&mut tests, rolling::ADVICE, |line| outcome.read(line))?;
    }
    let outcome = outcome.finish(all_ok, "cargo test --test rolling");
    Ok(outcome.note(format!("beside {} and {before}", rolling::OLDEST)))
}

pub(super) fn long_simulation() -> Result<Outcome> {
    let seed = simulate::run_calls(MANY_SIMULATED_CALLS, None, None, false)?;
    let outcome = Outcome { passed: 2, ..Outcome::ok() };
    Ok(outcome.note(format!("twice {MANY_SIMULATED_CALLS} calls, seed {seed}")))
}

/// Each rule counts as a test.
pub(super) fn breaks() -> Result<Outcome> {
    let rules = breaks::run_all(breaks::CALLS)?;
    Ok(Outcome { passed: rules as u64, ..Outcome::ok() })
}

/// Random cases of each property with `--all`.
const PROPERTY_CASES: &str = "4000";
/// For so long is each parser fuzzed with `--all`.
const FUZZ_SECONDS: u64 = 20;

/// What holds for whatever comes, tried more often than in every run.
pub(super) fn properties() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    let ok = watch(
        workspace::cargo()
            .args(["test", "--package", "protocol", "--test", "properties"])
            .env("PROPTEST_CASES", PROPERTY_CASES),
        "install Rust by https://rustup.rs",
        |line| outcome.read(line),
    )?;
    Ok(outcome.finish(ok, "cargo test --test properties").note(format!("{PROPERTY_CASES} cases of each")))
}

/// Each target counts as a test.
pub(super) fn parsers() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    for done in fuzzing::all(FUZZ_SECONDS, None)? {
        let failed = u64::from(!done.crashes.is_empty());
        outcome.failed += failed;
        outcome.passed += 1 - failed;
        outcome.notes.push(format!("{}: {} runs, {} crashes", done.target, done.runs, done.crashes.len()));
    }
    Ok(outcome)
}

/// Tests of the package that need no browser.
pub(super) fn node() -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    let mut npm = workspace::npm();
    let ok =
        watch(npm.args(["test", "--workspace", "npm"]), "see npm/package.json", |line| outcome.read(line))?;
    Ok(outcome.finish(ok, "npm test"))
}

/// Eliza behind OpenAI's chat API.
const ELIZA: &str = "eliza-gpt==0.2.0";

pub(super) fn conversation() -> Result<Outcome> {
    let Some(eliza) = pypi::program(ELIZA, "eliza-gpt") else {
        return Ok(Outcome::ok().not_checked("Eliza: NOT CHECKED, Python 3 or PyPI cannot be reached"));
    };
    node_tests("tests/conversation", |node| node.env("E2E_ELIZA", eliza))
}

/// Pocketsphinx, Eliza and flite behind OpenAI's endpoints.
pub(super) fn spoken() -> Result<Outcome> {
    let local = match pypi::python(&workspace::path("examples/local/requirements.txt")) {
        Ok(python) => python,
        Err(error) => {
            return Ok(Outcome::ok().not_checked(&format!("the local providers: NOT CHECKED, {error:#}")));
        }
    };
    node_tests("tests/spoken", |node| node.env("E2E_LOCAL", local))
}

/// The command of the demo with providers on this machine, and the page that it serves.
pub(super) fn demo() -> Result<Outcome> {
    if let Err(error) = pypi::python(&workspace::path("examples/local/requirements.txt")) {
        return Ok(Outcome::ok().not_checked(&format!("the local providers: NOT CHECKED, {error:#}")));
    }
    let program = std::env::current_exe().context("the program of this command has no place")?;
    node_tests("tests/demo", |node| node.env("E2E_XTASK", program))
}

/// What shows traces to people.
const PHOENIX: &str = "arize-phoenix==20.26.1";

/// The traces of a conversation, as Phoenix keeps and shows them.
pub(super) fn phoenix() -> Result<Outcome> {
    let Some(phoenix) = pypi::program(PHOENIX, "phoenix") else {
        return Ok(Outcome::ok().not_checked("Phoenix: NOT CHECKED, Python 3.11 or PyPI cannot be reached"));
    };
    node_tests("tests/traces", |node| node.env("E2E_PHOENIX", phoenix))
}

/// Tests in the browser in which nobody waits for sound in real time: what a page looks like, what it is told, what is left of it. They run beside
/// the others, which mostly wait, and after them in whatever the machine has to give. Two of these at a time were heard in the sound of the others.
const UNTIMED: [&str; 23] = [
    "arguments",
    "autoplay",
    "budget",
    "dashboard-looks",
    "demo-page",
    "element",
    "element-behaviour",
    "feedback",
    "installed",
    "lifecycle",
    "loading",
    "loudspeakers",
    "page-life",
    "panic",
    "policy",
    "react",
    "react-call",
    "refused",
    "soundless",
    "surroundings",
    "tools",
    "typed",
    "worker",
];

pub(super) fn browser() -> Result<Outcome> {
    let folder = "tests/browser";
    let is_untimed = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        UNTIMED.iter().any(|untimed| name == format!("{untimed}.test.mjs"))
    };
    let (untimed, timed): (Vec<_>, Vec<_>) =
        test_files(folder)?.into_iter().partition(|file| is_untimed(file));
    ensure!(untimed.len() == UNTIMED.len(), "a file that is named in UNTIMED is not in {folder} any more");
    let fakes = workspace::program("fakes");
    let mut beside = Command::new(if cfg!(unix) { "nice" } else { "node" });
    if cfg!(unix) {
        beside.args(["-n", "15", "node"]);
    }
    let settings = browser_tests()?;
    beside
        .current_dir(workspace::root())
        .envs(settings.get_envs().filter_map(|(name, value)| Some((name, value?))));
    beside.env("E2E_FAKES", &fakes).args(ONE_FILE_AT_A_TIME).args(untimed);
    let beside = Background::start(beside);
    let mut node = browser_tests()?;
    let mut outcome = Outcome::ok();
    node.env("E2E_FAKES", &fakes).args(ONE_FILE_AT_A_TIME).args(timed);
    let ok = watch(&mut node, NODE_ADVICE, |line| outcome.read(line))?;
    let mut outcome = outcome.finish(ok, &format!("node --test {folder}"));
    outcome.add(beside.outcome(&format!("node --test {folder}, what is untimed"))?);
    Ok(outcome)
}

/// What takes long, or is another way to what the gate's own tests have shown.
pub(super) fn more_browser() -> Result<Outcome> {
    node_tests("tests/browser/more", |node| node.env("E2E_FAKES", workspace::program("fakes")))
}

/// Tests under Node that run while something else does. What they print is shown when they are waited for.
pub(super) struct Background(JoinHandle<std::io::Result<Output>>);

impl Background {
    pub(super) fn start(mut node: Command) -> Background {
        node.stdin(Stdio::null());
        Background(std::thread::spawn(move || node.output()))
    }

    /// Waits for them, and says what came of them.
    pub(super) fn outcome(self, program: &str) -> Result<Outcome> {
        let Output { status, stdout, stderr } =
            self.0.join().expect("it only waits for a process").context(NODE_ADVICE)?;
        let mut outcome = Outcome::ok();
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // As a whole, since others print meanwhile.
        eprint!("{said}");
        said.lines().for_each(|line| outcome.read(line));
        Ok(outcome.finish(status.success(), program))
    }
}

/// Each provider's official client at its stand-in, which needs neither relay nor browser.
pub(super) fn fakes() -> Result<Outcome> {
    prerequisites::node()?;
    prerequisites::npm_packages()?;
    let folder = "tests/providers";
    let fakes = workspace::program("fakes");
    let mut node = workspace::node();
    node.env("E2E_FAKES", &fakes);
    let mut outcome = run_node_tests(folder, &mut node)?;
    let python = match pypi::python(&workspace::path(folder).join("requirements.txt")) {
        Ok(python) => python,
        Err(error) => return Ok(outcome.not_checked(&format!("ElevenLabs' client: NOT CHECKED, {error:#}"))),
    };
    let test = workspace::path(folder).join("test_elevenlabs.py");
    let mut python = Command::new(python);
    python.current_dir(workspace::root()).env("E2E_FAKES", fakes).arg("-B").arg(test);
    let mut voice = Outcome::ok();
    let ok = watch(&mut python, "install Python 3", |line| voice.read(line))?;
    outcome.add(voice.finish(ok, "test_elevenlabs.py"));
    Ok(outcome)
}

/// Node, with where the tests find the relay and a browser.
pub(super) fn browser_tests() -> Result<Command> {
    let mut node = workspace::node();
    node.env("E2E_RELAY", workspace::program("voxrelay"))
        .env("E2E_CHROMIUM", tools::chromium()?)
        .env("E2E_INSTALLED", workspace::target().join("installed"));
    Ok(node)
}

/// The tests of a folder, with the relay and a browser.
pub(super) fn node_tests(folder: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<Outcome> {
    run_node_tests(folder, with(&mut browser_tests()?))
}

fn run_node_tests(folder: &str, node: &mut Command) -> Result<Outcome> {
    let mut outcome = Outcome::ok();
    node.args(ONE_FILE_AT_A_TIME).args(test_files(folder)?);
    let ok = watch(node, NODE_ADVICE, |line| outcome.read(line))?;
    Ok(outcome.finish(ok, &format!("node --test {folder}")))
}

/// In the order of their names.
fn test_files(folder: &str) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(workspace::path(folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    Ok(files)
}

/// Real time audio next to another browser with real time audio would be a test of the machine. What hangs is named after 20 minutes, longer than any
/// file takes; of newer versions of Node.js that holds for each test.
pub(super) const ONE_FILE_AT_A_TIME: [&str; 4] =
    ["--test", "--test-concurrency=1", "--test-reporter=spec", "--test-timeout=1200000"];
pub(super) const NODE_ADVICE: &str = "install Node.js by https://nodejs.org";

#[cfg(test)]
mod its_tests {
    use super::*;

    #[test]
    fn a_time_beyond_its_limit_is_called_so() {
        let said = |time| within(Duration::from_secs(time), SIMULATED_WITHIN);
        assert_eq!(said(240), "4 min 00 s, within the 4 min 00 s that they may take");
        assert_eq!(said(241), "4 min 01 s, OVER the 4 min 00 s that they may take");
    }
}
