//! `cargo xtask simulate`: many calls over terrible networks, on simulated time.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::step::run;
use crate::workspace;

/// Runs `calls` simulated calls and prints their count and the seed, with which the run can be repeated.
pub(crate) fn run_calls(calls: u64, seed: Option<u64>) -> Result<u64> {
    let seed = seed.unwrap_or_else(random_seed);
    eprintln!("{calls} calls, seed {seed}");
    let replay = format!("replay it with `cargo xtask simulate --calls {calls} --seed {seed}`");
    let (calls, seed_text) = (calls.to_string(), seed.to_string());
    run(
        workspace::cargo()
            .args(["run", "--quiet", "--release", "--package", "protocol", "--example", "simulate", "--"])
            .args(["--calls", &calls, "--seed", &seed_text]),
        &replay,
    )?;
    Ok(seed)
}

/// A seed that differs from run to run.
fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    // Microseconds fit 64 bits for half a million years, and the number stays short enough to be typed.
    now.as_micros() as u64 % 1_000_000_000
}
