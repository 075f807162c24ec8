//! `cargo xtask fuzz`: whatever parses bytes of strangers, fuzzed by libFuzzer, one target of `fuzz/` after another.
//!
//! It needs no nightly compiler: what is looked for are panics, overflows and broken promises, which show without a sanitizer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo_tool::{CargoTool, answers};
use crate::step::{output, run, step};
use crate::workspace;

const TOOL: CargoTool = CargoTool { name: "cargo-fuzz", version: "0.13.2" };
/// An input that takes longer than this is a fault.
const SLOW_SECONDS: u32 = 20;
/// So is one that needs more memory.
const MEMORY_MB: u32 = 2_048;
/// The longest input.
const INPUT_MAX_BYTES: u32 = 8_192;

/// What came of one target.
pub(crate) struct Fuzzed {
    pub(crate) target: String,
    pub(crate) runs: u64,
    /// Files with what made it fail.
    pub(crate) crashes: Vec<PathBuf>,
}

/// Runs every target, or the one that is named, for so long, and prints what came of it.
pub(crate) fn run_targets(seconds: u64, only: Option<&str>) -> Result<()> {
    let done = all(seconds, only)?;
    println!("{:<16} {:>12} {:>8}", "target", "runs", "crashes");
    for Fuzzed { target, runs, crashes } in &done {
        println!("{target:<16} {runs:>12} {:>8}", crashes.len());
    }
    for Fuzzed { target, crashes, .. } in &done {
        for crash in crashes {
            println!("{target}: `{} {}` repeats it", program(target).display(), crash.display());
        }
    }
    if done.iter().any(|done| !done.crashes.is_empty()) {
        bail!("an input that no parser may fail at was found; keep it in fuzz/seeds when it is put right");
    }
    Ok(())
}

/// The same, without a word about it.
pub(crate) fn all(seconds: u64, only: Option<&str>) -> Result<Vec<Fuzzed>> {
    if !["c++", "g++", "clang++"].into_iter().any(answers) {
        bail!("a C++ compiler is missing, which libFuzzer is built with: install g++ or clang");
    }
    let targets = targets()?;
    if let Some(only) = only.filter(|only| !targets.iter().any(|target| target == only)) {
        bail!("there is no target `{only}`: it is one of {}", targets.join(", "));
    }
    let tool = TOOL.program()?;
    step("compiling what is fuzzed", || {
        let mut build = Command::new(&tool);
        build.current_dir(workspace::path("fuzz")).env("CARGO_TARGET_DIR", folder("target"));
        // A compiler of this workspace's own channel does: the instrumentation is stable, sanitizers are not.
        build.args(["build", "--sanitizer", "none", "--features", "relay", "--fuzz-dir", "."]);
        run(&mut build, "the message above says what is wrong, or which compiler is missing")
    })?;
    targets
        .into_iter()
        .filter(|target| only.is_none_or(|only| only == target))
        .map(|target| fuzz(target, seconds))
        .collect()
}

/// The targets, by name.
fn targets() -> Result<Vec<String>> {
    let mut targets: Vec<String> = fs::read_dir(workspace::path("fuzz/fuzz_targets"))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    targets.sort();
    Ok(targets)
}

fn fuzz(target: String, seconds: u64) -> Result<Fuzzed> {
    let (found, crashes) = (folder("corpus").join(&target), folder("crashes").join(&target));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    let before = files(&crashes)?;
    let ran = step(format!("fuzzing {target} for {seconds} s"), || {
        Command::new(program(&target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(format!("-timeout={SLOW_SECONDS}"))
            .arg(format!("-rss_limit_mb={MEMORY_MB}"))
            .arg(format!("-max_len={INPUT_MAX_BYTES}"))
            .arg("-print_final_stats=1")
            // What is new goes to the first folder, and the seeds stay as they are.
            .args([&found, &workspace::path("fuzz/seeds").join(&target)])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{target} could not be started"))
    })?;
    let says = String::from_utf8_lossy(&ran.stderr);
    let crashes: Vec<PathBuf> = files(&crashes)?.into_iter().filter(|file| !before.contains(file)).collect();
    if !ran.status.success() {
        eprintln!("{}", last_lines(&says, 40));
        if crashes.is_empty() {
            bail!("{target} ended with {} and left no input behind", ran.status);
        }
    }
    Ok(Fuzzed { target, runs: runs(&says), crashes })
}

/// How often a target was run, by its own count.
fn runs(says: &str) -> u64 {
    let count = says.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// Where a part of this is kept between runs.
fn folder(name: &str) -> PathBuf {
    workspace::cache().join("fuzz").join(name)
}

/// A target's program.
fn program(target: &str) -> PathBuf {
    let host =
        output(Command::new("rustc").args(["--print", "host-tuple"]), "install Rust by https://rustup.rs");
    folder("target").join(host.unwrap_or_default().trim()).join("release").join(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_that_the_fuzzer_counted() {
        let says = "Done 12 runs\nstat::number_of_executed_units: 4711\nstat::peak_rss_mb: 39\n";
        assert_eq!(runs(says), 4_711);
        assert_eq!(runs("killed"), 0);
    }

    #[test]
    fn every_target_has_seeds_and_a_place_in_the_manifest() {
        let manifest = fs::read_to_string(workspace::path("fuzz/Cargo.toml")).expect("the manifest");
        for target in targets().expect("the targets") {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
            let seeds = files(&workspace::path("fuzz/seeds").join(&target)).expect("a folder of seeds");
            assert!(!seeds.is_empty(), "{target} has no seed");
        }
    }
}
