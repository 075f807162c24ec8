//! Many calls, side by side: `simulate [--calls N] [--seed N] [--threads N] [--trace]`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulation::{Fixed, Tally, Trace};

/// Calls that fail are printed, up to this many.
const FAILURES: usize = 10;
/// A thread takes so many calls at a time.
const BATCH: u64 = 50;

fn main() -> ExitCode {
    let (mut calls, mut seed, mut threads, mut trace) = (100_000_u64, 1_u64, 2_u64, Trace(false));
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--trace" {
            trace = Trace(true);
            continue;
        }
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (name.as_str(), value) {
            ("--calls", Some(value)) => calls = value,
            ("--seed", Some(value)) => seed = value,
            ("--threads", Some(value)) => threads = value,
            _ => {
                eprintln!("usage: simulate [--calls N] [--seed N] [--threads N] [--trace]");
                return ExitCode::FAILURE;
            }
        }
    }
    let (next, total) = (AtomicU64::new(0), Mutex::new((Tally::default(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&next, &total, calls, seed, trace));
        }
    });
    let (tally, failures) = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("from seed {seed}: {tally}");
    for (seed, cause) in &failures {
        println!("seed {seed}: {cause}");
    }
    println!("{} failed", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(next: &AtomicU64, total: &Mutex<(Tally, Vec<(u64, String)>)>, calls: u64, seed: u64, trace: Trace) {
    let fixed = Fixed::default();
    loop {
        let begin = next.fetch_add(BATCH, Ordering::Relaxed);
        let (mut tally, mut failures) = (Tally::default(), Vec::new());
        for call in begin..calls.min(begin + BATCH) {
            let seed = seed.wrapping_add(call);
            match std::panic::catch_unwind(|| simulation::run(&fixed, seed, trace)) {
                Ok(Ok(one)) => tally += one,
                Ok(Err(cause)) => {
                    eprintln!("seed {seed} fails");
                    failures.push((seed, cause));
                }
                Err(_) => failures.push((seed, "it panics".to_owned())),
            }
        }
        let mut total = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        total.0 += tally;
        total.1.append(&mut failures);
        if begin >= calls || total.1.len() >= FAILURES {
            return;
        }
    }
}
