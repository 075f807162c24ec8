//! `cargo xtask simulate`: many calls on simulated time, over terrible networks: the link alone, and calls whole.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::step::{run, watch};
use crate::workspace;

/// Runs `calls` simulated calls of each kind, the link alone and the whole, and prints the seed with which both can be repeated.
pub(crate) fn run_calls(calls: u64, seed: Option<u64>, without: Option<&str>, trace: bool) -> Result<u64> {
    let seed = seed.unwrap_or_else(random_seed);
    eprintln!("{calls} calls, seed {seed}");
    run_links(calls, seed)?;
    run_whole(calls, seed, without, trace)?;
    Ok(seed)
}

/// The link alone.
fn run_links(calls: u64, seed: u64) -> Result<()> {
    run(
        workspace::cargo()
            .args(["run", "--quiet", "--release", "--package", "protocol", "--example", "simulate", "--"])
            .args(numbers(calls, seed)),
        &replay(calls, seed),
    )
}

/// Calls with everything that is written of them.
fn run_whole(calls: u64, seed: u64, without: Option<&str>, trace: bool) -> Result<()> {
    // The relay is built for its tests anyway: for this, optimising it would take longer than it saves.
    run(
        workspace::cargo()
            .args(["run", "--quiet", "--package", "simulation", "--bin", "simulate", "--"])
            .args(numbers(calls, seed))
            .args(without.into_iter().flat_map(|kinds| ["--without", kinds]))
            .args(trace.then_some("--trace")),
        &replay(calls, seed),
    )
}

/// As many of them as it takes for so many conversations, by the program that `cargo build --workspace` has made. Built alone it would be compiled
/// with other features, and so anew. Whether all went well; each line that it prints is handed over.
pub(crate) fn run_built(conversations: u64, seed: u64, on_line: impl FnMut(&str)) -> Result<bool> {
    let numbers =
        ["--conversations".to_owned(), conversations.to_string(), "--seed".to_owned(), seed.to_string()];
    watch(
        Command::new(workspace::program("simulate")).args(numbers),
        "`cargo build --workspace` makes it",
        on_line,
    )
}

fn numbers(calls: u64, seed: u64) -> [String; 4] {
    ["--calls".to_owned(), calls.to_string(), "--seed".to_owned(), seed.to_string()]
}

fn replay(calls: u64, seed: u64) -> String {
    format!("replay it with `cargo xtask simulate --calls {calls} --seed {seed}`")
}

/// A seed that differs from run to run.
fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    // Microseconds fit 64 bits for half a million years, and the number stays short enough to be typed.
    now.as_micros() as u64 % 1_000_000_000
}
