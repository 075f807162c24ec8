//! `cargo xtask test`: the one gate. What a person runs, what CI runs and what the README says.

mod advisories;
mod beside;
mod checks;
mod dependencies;
mod deploy;
mod engines;
mod failures;
mod fuzz;
mod outcome;
mod package;
mod snippets;
mod tests;
mod took;
mod tools;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::step::seconds;
use crate::workspace;
use beside::Beside;
use outcome::Outcome;
pub(crate) use tools::{chromium, install, is_there};

struct Step {
    name: &'static str,
    /// What is being done, as it is announced.
    title: &'static str,
    /// Steps without which this one cannot run.
    needs: &'static [&'static str],
    /// When it runs.
    when: When,
    run: fn() -> Result<Outcome>,
}

/// When a step runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// In every run of the gate.
    Always,
    /// In every run of the gate, while this other step runs, which mostly waits and measures no time.
    Beside(&'static str),
    /// Only with `--all`: it is long, or tries the same thing many times.
    All,
}

/// In this order: what fails fast comes first, and what compiles the same things stands together.
const STEPS: &[Step] = &[
    Step {
        name: "tools",
        title: "tools: Node, npm packages, browser, speech, PostgreSQL",
        needs: &[],
        when: When::Always,
        run: tools::ready,
    },
    Step { name: "format", title: "format", needs: &[], when: When::Always, run: checks::format },
    Step {
        name: "codegen",
        title: "generated files are current",
        needs: &["tools"],
        when: When::Always,
        run: checks::codegen,
    },
    Step { name: "sdk", title: "the SDK builds", needs: &["tools"], when: When::Always, run: checks::sdk },
    Step {
        name: "size",
        title: "what a page downloads",
        needs: &["sdk"],
        when: When::Always,
        run: checks::size,
    },
    Step {
        name: "types",
        title: "TypeScript, strict, and the reference of the package",
        needs: &["sdk"],
        when: When::Always,
        run: checks::types,
    },
    Step { name: "clippy", title: "clippy, no warning", needs: &[], when: When::Always, run: checks::clippy },
    Step { name: "docs", title: "docs, no warning", needs: &[], when: When::Always, run: checks::docs },
    Step {
        name: "build",
        title: "every program and every test compiles",
        needs: &[],
        when: When::Always,
        run: checks::build,
    },
    Step {
        name: "hashes",
        title: "the hashes for a script tag, as the build and the relay print them",
        needs: &["build", "sdk"],
        when: When::Always,
        run: checks::hashes,
    },
    Step {
        name: "rust",
        title: "Rust tests",
        needs: &["tools", "build", "sdk"],
        when: When::Always,
        run: tests::rust,
    },
    Step {
        name: "simulation",
        title: "simulated calls, whole, with 100,000 conversations among them",
        needs: &["build"],
        when: When::Beside("rust"),
        run: tests::simulation,
    },
    Step {
        name: "wasm",
        title: "the same tests as WebAssembly, under Node",
        needs: &["tools"],
        when: When::Beside("rust"),
        run: tests::wasm,
    },
    Step {
        name: "package",
        title: "the npm package, installed and imported",
        needs: &["sdk"],
        when: When::Always,
        run: package::check,
    },
    Step {
        name: "bundlers",
        title: "the npm package in bundlers and in the examples, and a call with each",
        needs: &["tools", "build", "sdk"],
        when: When::Always,
        run: package::bundlers,
    },
    Step {
        name: "node",
        title: "JavaScript tests under Node",
        needs: &["sdk"],
        when: When::Beside("bundlers"),
        run: tests::node,
    },
    Step {
        name: "conversation",
        title: "a conversation with a language model that is somebody else's",
        needs: &["build", "sdk"],
        when: When::Beside("bundlers"),
        run: tests::conversation,
    },
    Step {
        name: "fuzz",
        title: "the HTTP API, fuzzed by its own document",
        needs: &["build"],
        when: When::Beside("bundlers"),
        run: fuzz::api,
    },
    Step {
        name: "fakes",
        title: "the stand-ins for the providers, used by the providers' own clients",
        needs: &["build"],
        when: When::Beside("bundlers"),
        run: tests::fakes,
    },
    Step {
        name: "bundlers-more",
        title: "the npm package in more bundlers",
        needs: &["tools", "build", "sdk"],
        when: When::All,
        run: package::more_bundlers,
    },
    Step {
        name: "browser",
        title: "a real browser and a real relay",
        needs: &["build", "sdk"],
        when: When::Always,
        run: tests::browser,
    },
    Step {
        name: "browser-more",
        title: "the same browser and relay: what takes long, and other ways to the same",
        needs: &["build", "sdk"],
        when: When::All,
        run: tests::more_browser,
    },
    Step {
        name: "engines",
        title: "the same call in Firefox and in WebKit",
        needs: &["tools", "build", "sdk"],
        when: When::Always,
        run: engines::one_call,
    },
    Step {
        name: "engines-more",
        title: "whatever may happen in a call, in three engines, on phones and over a lossy link",
        needs: &["tools", "build", "sdk"],
        when: When::All,
        run: engines::everything,
    },
    Step {
        name: "spoken",
        title: "a spoken conversation with the local providers",
        needs: &["build", "sdk"],
        when: When::Always,
        run: tests::spoken,
    },
    Step {
        name: "demo",
        title: "`cargo xtask demo --local` as a person starts it",
        needs: &["build", "sdk"],
        when: When::All,
        run: tests::demo,
    },
    Step {
        name: "simulation-long",
        title: "400,000 simulated links, 400,000 calls whole",
        needs: &[],
        when: When::All,
        run: tests::long_simulation,
    },
    Step {
        name: "breaks",
        title: "rules that simulated calls prove, each broken on purpose, and a call notices",
        needs: &[],
        when: When::All,
        run: tests::breaks,
    },
    Step {
        name: "proxies",
        title: "behind each proxy of deploy/: what idles, and conversations whose relay is killed or replaced",
        needs: &["tools", "build"],
        when: When::All,
        run: tests::proxies,
    },
    Step {
        name: "kills",
        title: "relays that are killed one after the other, 30 times, under 40 calls",
        needs: &["tools", "build"],
        when: When::All,
        run: tests::kills,
    },
    Step {
        name: "soak",
        title: "a relay that carries 100 calls at a time for twelve minutes, and stays as large as it is",
        needs: &["build"],
        when: When::All,
        run: tests::soak,
    },
    Step {
        name: "moving",
        title: "a million rows, exported from SQLite and imported into PostgreSQL",
        needs: &["tools", "build"],
        when: When::All,
        run: tests::moving,
    },
    Step {
        name: "rolling",
        title: "rolling deploys: from the oldest version that may, and from before the newest migration",
        needs: &["tools", "build"],
        when: When::All,
        run: tests::rolling,
    },
    Step {
        name: "clock",
        title: "calls while the clock is put forward by an hour, and back",
        needs: &["tools", "build"],
        when: When::All,
        run: tests::clock,
    },
    Step {
        name: "peers",
        title: "what a page downloads of others' packages to make a call",
        needs: &["tools", "sdk"],
        when: When::All,
        run: checks::peers,
    },
    Step {
        name: "alerts",
        title: "the alerts, as Prometheus reads them",
        needs: &[],
        when: When::All,
        run: checks::alerts,
    },
    Step {
        name: "phoenix",
        title: "the traces of a conversation, as Phoenix keeps and shows them",
        needs: &["tools", "build"],
        when: When::All,
        run: tests::phoenix,
    },
    Step {
        name: "deploy",
        title: "the files of deploy/, as those read them who run them",
        needs: &[],
        when: When::All,
        run: deploy::check,
    },
    Step {
        name: "properties",
        title: "properties of frame header, client and link, many cases",
        needs: &[],
        when: When::All,
        run: tests::properties,
    },
    Step {
        name: "parsers",
        title: "whatever parses bytes of strangers, fuzzed",
        needs: &[],
        when: When::All,
        run: tests::parsers,
    },
    Step {
        name: "release",
        title: "a release, rehearsed: everything that it consists of, built and looked at",
        needs: &["tools"],
        when: When::All,
        run: checks::release,
    },
    Step {
        name: "dependencies",
        title: "licences, sources, advisories",
        needs: &["tools"],
        when: When::Always,
        run: dependencies::check,
    },
];

struct Done {
    step: &'static Step,
    /// How long it took, with a star if another step ran at the same time.
    time: String,
    outcome: Outcome,
}

/// Which steps are run.
#[derive(Clone, Copy)]
pub(crate) enum Chosen<'a> {
    /// Those of every run.
    Usual,
    /// The long ones, too.
    All,
    /// One with those that it needs.
    Only(&'a str),
    /// One for which those that it needs are done.
    Alone(&'a str),
}

/// Runs steps of the gate. Whether nothing failed.
pub(crate) fn run(chosen: Chosen<'_>) -> Result<bool> {
    let begin = Instant::now();
    let is_usual = matches!(chosen, Chosen::Usual);
    let chosen = choose(chosen)?;
    let mut done: Vec<Done> = Vec::new();
    let mut beside: Vec<(&Step, Beside)> = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        eprintln!("\n━━ {}/{} {} ━━", index + 1, chosen.len(), step.title);
        let begin = Instant::now();
        for other in chosen.iter().filter(|other| other.when == When::Beside(step.name)) {
            beside.push((other, Beside::start(other.name)?));
        }
        let broken =
            step.needs.iter().find(|need| done.iter().any(|d| d.step.name == **need && d.outcome.failed > 0));
        let outcome = match broken {
            Some(need) => Outcome::failure(format!("not run: needs `{need}`, which failed")),
            None => match beside.iter().position(|(other, _)| other.name == step.name) {
                Some(place) => beside.remove(place).1.outcome(step.name),
                None => (step.run)(),
            }
            .unwrap_or_else(|error| Outcome::failure(format!("{error:#}"))),
        };
        let time = outcome.beside.as_ref().map_or_else(|| seconds(begin.elapsed()), |own| format!("{own} *"));
        eprintln!("{} {} ({time})", outcome.verdict().0, step.title);
        for note in &outcome.notes {
            eprintln!("  {note}");
        }
        done.push(Done { step, time, outcome });
    }
    let took = begin.elapsed();
    Ok(summary(&done, took, if is_usual { took::verdict(took) } else { "" }))
}

/// Licences and known vulnerabilities of what others wrote: what there is to say, and whether nothing is wrong.
pub(crate) fn of_others() -> Result<(Vec<String>, bool)> {
    let outcome = dependencies::check()?;
    Ok((outcome.notes, outcome.failed == 0))
}

/// The steps to run, in order.
fn choose(chosen: Chosen<'_>) -> Result<Vec<&'static Step>> {
    let (only, is_alone) = match chosen {
        Chosen::Usual => return Ok(STEPS.iter().filter(|step| step.when != When::All).collect()),
        Chosen::All => return Ok(STEPS.iter().collect()),
        Chosen::Only(only) => (only, false),
        Chosen::Alone(only) => (only, true),
    };
    let mut wanted = vec![only];
    let mut next = 0;
    while let Some(name) = wanted.get(next).copied() {
        let Some(step) = STEPS.iter().find(|step| step.name == name) else {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            bail!("there is no step `{name}`: it is one of {}", names.join(", "));
        };
        if !is_alone {
            wanted.extend(step.needs);
        }
        next += 1;
    }
    Ok(STEPS.iter().filter(|step| wanted.contains(&step.name)).collect())
}

/// Prints what came of each step, how long all of it took and what there is to say of that, what failed, and the counts as the last line. Whether
/// nothing failed.
fn summary(done: &[Done], time: Duration, said: &str) -> bool {
    println!("\n{:<14} {:<7} {:>12} {:>7} {:>7}", "step", "result", "time", "passed", "failed");
    let (mut passed, mut failed) = (0, 0);
    for Done { step, time, outcome } in done {
        let result = outcome.verdict().1;
        println!("{:<14} {result:<7} {time:>12} {:>7} {:>7}", step.name, outcome.passed, outcome.failed);
        for note in &outcome.notes {
            println!("  {}", note.lines().next().unwrap_or_default());
        }
        passed += outcome.passed;
        failed += outcome.failed;
    }
    println!("{:<14} {:<7} {:>12}{said}", "", "", seconds(time));
    if done.iter().any(|done| done.outcome.beside.is_some()) {
        println!("\n* beside another step");
    }
    if let Some(free) = workspace::free_disk() {
        println!("\n{free} free on the disk of the target directory");
    }
    for Done { step, outcome, .. } in done.iter().filter(|done| done.outcome.failed > 0) {
        let mut told = outcome.failures.told().peekable();
        if told.peek().is_some() {
            println!("\n{}", failures::heading(step.name));
        }
        for line in told {
            println!("    {line}");
        }
    }
    if failed > 0 {
        println!("\nThe gate is closed. `cargo xtask test --only STEP` runs one step again.");
    }
    println!("\n{passed} passed, {failed} failed");
    failed == 0
}
