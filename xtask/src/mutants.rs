//! `cargo xtask mutants`: a sample of small mistakes is made in the code, one at a time, and the tests have to notice each.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo_tool::CargoTool;
use crate::step::{output, step};
use crate::workspace;

const TOOL: CargoTool = CargoTool { name: "cargo-mutants", version: "27.1.0" };
/// Of all mistakes that were made and compiled, so many in a hundred are noticed.
const GOAL_PERCENT: usize = 95;
/// Tests that go on for longer are taken for endless.
const ENDLESS_SECONDS: &str = "90";
/// Of each property, so many cases: each mistake is tried with all tests.
const PROPERTY_CASES: &str = "40";

/// Where mistakes are made: whatever decides about links, calls, money and who may come in.
const AREAS: [Area; 6] = [
    Area { name: "protocol", package: "protocol", files: &["protocol/src/**/*.rs"], tests: &["--tests"] },
    Area {
        name: "call",
        package: "relay",
        files: &["relay/src/call/**/*.rs"],
        tests: &["--test=call", "--test=turns", "--test=agreement"],
    },
    Area {
        name: "agent",
        package: "relay",
        files: &["relay/src/agent/**/*.rs"],
        tests: &["--test=call", "--test=agreement"],
    },
    Area { name: "tab", package: "relay", files: &["relay/src/money/tab.rs"], tests: &["--test=call"] },
    Area { name: "purse", package: "relay", files: &["relay/src/money/purse.rs"], tests: &["--test=call"] },
    Area {
        name: "auth",
        package: "relay",
        files: &["relay/src/admission/auth/**/*.rs"],
        tests: &["--test=auth"],
    },
];
/// Code that only a browser runs, whose tests are not run here, and the tests themselves.
const LEFT_OUT: [&str; 4] = [
    "protocol/src/json/browser.rs",
    "protocol/src/json/writer.rs",
    "protocol/src/json/never.rs",
    "**/tests.rs",
];

/// A part of the code.
struct Area {
    name: &'static str,
    package: &'static str,
    /// Patterns of its files.
    files: &'static [&'static str],
    /// Which tests have to notice, beside the unit tests of its package. All of a large package would be built anew for each mistake.
    tests: &'static [&'static str],
}

/// What became of the mistakes.
#[derive(Default)]
struct Counts {
    caught: usize,
    missed: Vec<String>,
    timeout: usize,
    /// Mistakes that do not compile count for nothing.
    unviable: usize,
}

/// Tries `count` mistakes of each area, or of the one that is named, chosen by `seed`, and prints what became of them.
///
/// `in_place` makes them in this working copy, where most is compiled already, instead of in a copy that is compiled from nothing.
pub(crate) fn run_sample(count: usize, seed: u64, only: Option<&str>, in_place: bool) -> Result<()> {
    let areas: Vec<&Area> = AREAS.iter().filter(|area| only.is_none_or(|only| only == area.name)).collect();
    if areas.is_empty() {
        let names: Vec<_> = AREAS.iter().map(|area| area.name).collect();
        bail!("there is no area `{}`: it is one of {}", only.unwrap_or_default(), names.join(", "));
    }
    let tool = TOOL.program()?;
    let mut rows = Vec::new();
    for area in areas {
        let all = area.list(&tool)?;
        if all.is_empty() {
            bail!(
                "there is nothing to get wrong in {}: are its files elsewhere by now?",
                area.files.join(", ")
            );
        }
        let sample = sample(&all, count, seed);
        let title = format!("{} mistakes in {}, seed {seed}", sample.len(), area.name);
        rows.push((area, step(title, || area.run(&tool, &sample, in_place))?));
    }
    println!(
        "{:<10} {:>7} {:>7} {:>8} {:>9} {:>9}",
        "area", "caught", "missed", "timeout", "unviable", "noticed"
    );
    let (mut noticed, mut viable) = (0, 0);
    for (area, counts) in &rows {
        println!(
            "{:<10} {:>7} {:>7} {:>8} {:>9} {:>7} %",
            area.name,
            counts.caught,
            counts.missed.len(),
            counts.timeout,
            counts.unviable,
            percent(counts.noticed(), counts.viable())
        );
        noticed += counts.noticed();
        viable += counts.viable();
    }
    for missed in rows.iter().flat_map(|(_, counts)| &counts.missed) {
        println!("missed: {missed}");
    }
    println!(
        "goal: at least {GOAL_PERCENT} % noticed; {noticed} of {viable}: {} %",
        percent(noticed, viable)
    );
    if percent(noticed, viable) < GOAL_PERCENT {
        bail!(
            "the tests miss too much: write the scenario in which the mistake matters, or delete the code that does not"
        );
    }
    Ok(())
}

impl Area {
    fn command(&self, tool: &PathBuf) -> Command {
        let mut command = Command::new(tool);
        command.current_dir(workspace::root()).args([
            "mutants",
            "--package",
            self.package,
            "--line-col=true",
        ]);
        for file in self.files {
            command.args(["--file", file]);
        }
        for file in LEFT_OUT {
            command.args(["--exclude", file]);
        }
        command
    }

    /// Every mistake that could be made.
    fn list(&self, tool: &PathBuf) -> Result<Vec<String>> {
        let listed = output(self.command(tool).arg("--list"), "cargo-mutants says above what it lacks")?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn run(&self, tool: &PathBuf, sample: &[String], in_place: bool) -> Result<Counts> {
        let folder = workspace::cache().join("mutants").join(self.name);
        // What a run before this one has counted is not to be taken for this one's, should the tool fail to begin.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let mut command = self.command(tool);
        command
            .args(["--baseline", "skip", "--timeout", ENDLESS_SECONDS, "--no-shuffle", "--output"])
            .arg(&folder);
        for name in sample {
            command.args(["--re", &format!("^{}$", escaped(name))]);
        }
        if in_place {
            command.arg("--in-place").env("CARGO_TARGET_DIR", workspace::target());
        }
        // Unit tests and scenarios, and nothing else is compiled; examples in comments take long to compile and notice little.
        for tests in std::iter::once(&"--lib").chain(self.tests) {
            command.arg(format!("--cargo-arg={tests}"));
        }
        command.env("PROPTEST_CASES", PROPERTY_CASES);
        // It fails whenever something was missed, which is what is asked.
        command.stdout(std::io::stderr()).status()?;
        let list = |name: &str| -> Vec<String> {
            let text = fs::read_to_string(folder.join("mutants.out").join(name)).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        let counts = Counts {
            caught: list("caught.txt").len(),
            missed: list("missed.txt"),
            timeout: list("timeout.txt").len(),
            unviable: list("unviable.txt").len(),
        };
        if counts.viable() + counts.unviable < sample.len() {
            bail!(
                "{} of {} mistakes were tried: cargo-mutants says above why",
                counts.viable(),
                sample.len()
            );
        }
        Ok(counts)
    }
}

impl Counts {
    fn noticed(&self) -> usize {
        self.caught + self.timeout
    }

    fn viable(&self) -> usize {
        self.noticed() + self.missed.len()
    }
}

/// Whole percent, rounded down.
fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(100)
}

/// So many of all, the same ones for the same seed, in their order.
fn sample(all: &[String], count: usize, seed: u64) -> Vec<String> {
    let mut ranked: Vec<(u64, usize)> =
        (0..all.len()).map(|index| (scrambled(seed, index as u64), index)).collect();
    ranked.sort_unstable();
    let mut chosen: Vec<usize> = ranked.into_iter().take(count).map(|(_, index)| index).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|index| all[index].clone()).collect()
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
fn scrambled(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A text as a regular expression that means it.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_chooses_the_same_mistakes_again_and_another_seed_others() {
        let all = || (0..100).map(|number| number.to_string()).collect::<Vec<_>>();
        let chosen = sample(&all(), 10, 7);
        assert_eq!(chosen.len(), 10);
        assert_eq!(chosen, sample(&all(), 10, 7));
        assert_ne!(chosen, sample(&all(), 10, 8));
        assert_eq!(sample(&all(), 1_000, 7), all());
    }

    #[test]
    fn a_name_is_taken_as_it_is() {
        assert_eq!(
            escaped("a.rs:1:2: replace x() -> Option<&str>"),
            r"a\.rs:1:2: replace x\(\) \-> Option<\&str>"
        );
    }
}
