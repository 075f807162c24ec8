//! Takes the database away from many calls, again and again: `cargo xtask bench away`.
//!
//! `away [tries] [calls] [--json]`. Calls pause and go on by chance; in every other try the database stands still instead of ending, in every
//! fifth it stays away for longer than calls may go on without it, and in half of those the relay is killed as well.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::process::ExitCode;
use std::time::Duration;

use protocol::CloseCode;
use serde_json::json;
use tests::caller::Told;
use tests::outage::{How, Manner, Outage, go_through};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let (tries, calls) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(200));
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let mut failed = 0;
    let mut lines = Vec::new();
    for number in 0..tries {
        let beyond = number % 5 == 4;
        let outage = Outage {
            calls,
            grace: if beyond { 6 } else { 60 },
            away: Duration::from_secs(10 + (number as u64 * 7) % 11),
            how: if number % 2 == 0 { How::Frozen } else { How::Crashed },
            killed: number % 10 == 9,
            manner: if number % 3 == 0 { Manner::Together } else { Manner::Chance(number as u64 * 1_000) },
        };
        let outcome = go_through(&outage).await;
        let normal = CloseCode::Normal.code();
        let stayed = |call: &Told| call.closes.iter().all(|code| *code == normal);
        let stayed = beyond || outcome.calls.iter().all(stayed);
        let good = outcome.is_whole() && stayed;
        failed += usize::from(!good);
        eprintln!(
            "{:>2}/{tries} {} {:?} for {} s, {:?}, grace {} s{}: {outcome}",
            number + 1,
            if good { "ok    " } else { "FAILED" },
            outage.how,
            outage.away.as_secs(),
            outage.manner,
            outage.grace,
            if outage.killed { ", relay killed" } else { "" },
        );
        lines.push(json!({ "ok": good, "spoken": outcome.spoken, "metered": outcome.metered, "missing": outcome.missing,
            "closed_1013": outcome.closed_with(CloseCode::TryLater), "after_s": outcome.after.as_secs_f64() }));
    }
    if as_json {
        println!("{}", json!({ "tries": lines, "failed": failed }));
    } else {
        println!("{tries} tries with {calls} calls, {failed} failed");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
