//! Many calls, side by side.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]

use std::any::Any;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulation::{Fixed, Tally, Trace, Without};

/// Calls that fail are printed, up to this many.
const FAILURES: usize = 10;
/// A thread takes so many calls at a time.
const BATCH: u64 = 50;
const USAGE: &str = "usage: simulate [--calls N | --conversations N] [--seed N] [--threads N] \
                     [--without KIND,KIND] [--trace]";

fn main() -> ExitCode {
    let (mut calls, mut seed, mut threads, mut trace) = (100_000_u64, 1_u64, 2_u64, Trace(false));
    let (mut conversations, mut without) = (None, Without::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--trace" {
            trace = Trace(true);
            continue;
        }
        let value = arguments.next().unwrap_or_default();
        if name == "--without" {
            match Without::named(&value) {
                Ok(named) => without = named,
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            }
            continue;
        }
        match (name.as_str(), value.parse::<u64>()) {
            ("--calls", Ok(value)) => calls = value,
            ("--conversations", Ok(value)) => conversations = Some(value),
            ("--seed", Ok(value)) => seed = value,
            ("--threads", Ok(value)) => threads = value,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    if let Some(conversations) = conversations {
        calls = Fixed::default().calls_with(conversations, seed);
    }
    let (next, total) = (AtomicU64::new(0), Mutex::new((Tally::default(), Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&next, &total, calls, seed, &without, trace));
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

fn work(
    next: &AtomicU64,
    total: &Mutex<(Tally, Vec<(u64, String)>)>,
    calls: u64,
    seed: u64,
    without: &Without,
    trace: Trace,
) {
    let fixed = Fixed::default().without(without.clone());
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
                Err(panic) => failures.push((seed, format!("it panics: {}", words(&*panic)))),
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

/// What a panic says, which the log has somewhere among what other threads print.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
