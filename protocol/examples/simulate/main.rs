//! Thousands of calls over terrible networks, on simulated time.
//!
//! `cargo run --release -p protocol --example simulate -- --calls 100000 [--seed N]` prints how many calls were made, with which seed,
//! and what happened to them. Call `n` has seed `N + n`; a failing one is run again with `--calls 1 --seed THAT`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]

mod network;
mod random;
mod world;

use std::process::ExitCode;

use world::{Tally, World};

fn main() -> ExitCode {
    let (mut calls, mut seed) = (100_000_u64, 1_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (name.as_str(), value) {
            ("--calls", Some(value)) => calls = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                eprintln!("usage: simulate [--calls N] [--seed N]");
                return ExitCode::FAILURE;
            }
        }
    }
    let (mut total, mut failed) = (Tally::default(), 0);
    for call in 0..calls {
        let seed = seed.wrapping_add(call);
        match World::new(seed).run() {
            Ok(tally) => {
                total.chunks += tally.chunks;
                total.connections += tally.connections;
                total.crashes += tally.crashes;
                total.failed_resumes += tally.failed_resumes;
                total.limited += tally.limited;
                total.slow += tally.slow;
                total.gaps += tally.gaps;
                total.missing_samples += tally.missing_samples;
                total.texts += tally.texts;
                total.refused_texts += tally.refused_texts;
                total.undelivered += tally.undelivered;
                total.old_relays += tally.old_relays;
            }
            Err(cause) => {
                failed += 1;
                println!("seed {seed}: {cause}");
                if failed == 10 {
                    break;
                }
            }
        }
    }
    println!(
        "{calls} calls from seed {seed}: {} chunks, {} connections, {} relay crashes, {} resumes refused, \
         {} times limited, {} over slow lines, {} gaps announced ({} samples), {} texts typed ({} refused, {} told to be \
         undelivered), {} relays of the first version",
        total.chunks,
        total.connections,
        total.crashes,
        total.failed_resumes,
        total.limited,
        total.slow,
        total.gaps,
        total.missing_samples,
        total.texts,
        total.refused_texts,
        total.undelivered,
        total.old_relays
    );
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
