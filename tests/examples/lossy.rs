//! How late words are over a bad network, and what is lost: `cargo xtask bench lossy`.
//!
//! `lossy [calls] [--loss PERCENT,…] [--seconds FROM-TO] [--buffer SECONDS] [--delay MS] [--seed N] [--json]`. All calls of a line speak at the same
//! time and hang up with their last word.
//!
//! *Late* is a chunk by the time from when its last sample left the microphone until its last byte, and all before it, came out of the link
//! on the relay's side. *Lost* is what the caller was told of, *untold* what is missing without a word. The plain WebSocket sends the same
//! chunks over the same link at the same time and is closed after the last one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> ExitCode {
    linux::main().await
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("a lossy link takes Linux: it is made of TUN devices and a network namespace");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;
    use std::time::Duration;

    use protocol::CloseCode;
    use serde_json::json;
    use tests::lossy::Weather;
    use tests::lossy::trial::{Call, Outcome, Trial, go_through, percentile};

    struct Arguments {
        calls: usize,
        losses: Vec<u32>,
        seconds: (u32, u32),
        buffer: u64,
        delay_ms: u64,
        seed: u64,
        as_json: bool,
    }

    impl Arguments {
        fn read() -> Option<Arguments> {
            let mut read = Arguments {
                calls: 20,
                losses: vec![0, 5, 10, 20, 30],
                seconds: (12, 60),
                buffer: 60,
                delay_ms: 100,
                seed: 1,
                as_json: false,
            };
            let mut arguments = std::env::args().skip(1);
            while let Some(name) = arguments.next() {
                match name.as_str() {
                    "--json" => read.as_json = true,
                    "--loss" => {
                        let listed = arguments.next()?;
                        read.losses = listed.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
                    }
                    "--seconds" => {
                        let spread = arguments.next()?;
                        let (from, to) = spread.split_once('-')?;
                        read.seconds = (from.parse().ok()?, to.parse().ok()?);
                    }
                    "--buffer" => read.buffer = arguments.next()?.parse().ok()?,
                    "--delay" => read.delay_ms = arguments.next()?.parse().ok()?,
                    "--seed" => read.seed = arguments.next()?.parse().ok()?,
                    calls => read.calls = calls.parse().ok()?,
                }
            }
            Some(read)
        }
    }

    pub(crate) async fn main() -> ExitCode {
        let Some(arguments) = Arguments::read() else {
            eprintln!(
                "usage: lossy [calls] [--loss PERCENT,…] [--seconds FROM-TO] [--buffer SECONDS] [--delay MS] [--seed N] [--json]"
            );
            return ExitCode::FAILURE;
        };
        let control =
            std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        if !arguments.as_json {
            println!(
                "{} calls of {} to {} s, {} ms each way, {} s of buffer, TCP with {}",
                arguments.calls,
                arguments.seconds.0,
                arguments.seconds.1,
                arguments.delay_ms,
                arguments.buffer,
                control.trim()
            );
            println!("{HEAD}");
        }
        let (mut good, mut lines) = (true, Vec::new());
        for (number, loss_percent) in (0..).zip(&arguments.losses) {
            let weather = Weather {
                delay: Duration::from_millis(arguments.delay_ms),
                loss_percent: *loss_percent,
                seed: arguments.seed + u64::from(number),
            };
            let buffer = Duration::from_secs(arguments.buffer);
            let trial = Trial { weather, calls: arguments.calls, seconds: arguments.seconds, buffer };
            match go_through(number, trial).await {
                Ok(outcome) => {
                    good &= outcome.calls.iter().all(is_good);
                    if arguments.as_json {
                        lines.push(as_json(*loss_percent, &outcome));
                    } else {
                        print(*loss_percent, &outcome);
                    }
                    for call in outcome.calls.iter().filter(|call| call.unannounced() != 0 || !is_good(call))
                    {
                        eprintln!(
                            "{} s spoken, {} samples metered, {} announced as lost ({} at the end), {} untold, ended by {:?}: {:?}",
                            call.report.spoken / 16_000,
                            call.metered,
                            call.report.missing(),
                            call.lost_at_the_end(),
                            call.unannounced(),
                            call.report.ended,
                            call.report.errors
                        );
                    }
                }
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        if arguments.as_json {
            println!("{}", json!({ "congestion_control": control.trim(), "lines": lines }));
        }
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Nothing is missing without a word.
    fn is_good(call: &Call) -> bool {
        call.unannounced() <= 0 && call.report.ended == Some(CloseCode::Normal)
    }

    const HEAD: &str = "\
loss   calls  spoken     lost at the end  lost before  untold  reconnects  late: 50 %    95 %   worst  hung up: 50 %   worst | plain, late: 50 %    95 %   worst  lost   closed: worst";

    fn print(loss_percent: u32, outcome: &Outcome) {
        let calls = &outcome.calls;
        let late: Vec<Duration> = calls.iter().flat_map(|call| call.late.clone()).collect();
        let plain_late: Vec<Duration> = outcome.plain.iter().flat_map(|plain| plain.late.clone()).collect();
        let hung_up: Vec<Duration> = calls.iter().map(hanging_up).collect();
        let closed: Vec<Duration> = outcome.plain.iter().map(|plain| plain.closed_after).collect();
        let s = |samples: u64| format!("{:.1} s", samples as f64 / 16_000.0);
        let at_end: u64 = calls.iter().map(Call::lost_at_the_end).sum();
        let missing: u64 = calls.iter().map(|call| call.report.missing()).sum();
        let time = |times: &[Duration], percent| format!("{:.2} s", percentile(times, percent).as_secs_f64());
        println!(
            "{loss_percent:>3} %  {:>5}  {:>8}  {:>9} in {:>3}  {:>11}  {:>6}  {:>10}  {:>10}  {:>7} {:>7}  {:>12} {:>7} | {:>17} {:>7} {:>7} {:>5} {:>9}",
            calls.len(),
            s(calls.iter().map(|call| call.report.spoken).sum()),
            s(at_end),
            calls.iter().filter(|call| call.lost_at_the_end() > 0).count(),
            s(missing - at_end),
            calls.iter().map(|call| call.unannounced().max(0)).sum::<i64>(),
            calls.iter().map(|call| call.report.reconnects).sum::<u32>(),
            time(&late, 50),
            time(&late, 95),
            time(&late, 100),
            time(&hung_up, 50),
            time(&hung_up, 100),
            time(&plain_late, 50),
            time(&plain_late, 95),
            time(&plain_late, 100),
            s(outcome.plain.iter().map(|plain| plain.spoken.saturating_sub(plain.came)).sum()),
            time(&closed, 100),
        );
        let (carried, dropped) = outcome.packets;
        eprintln!("       {carried} packets carried, {dropped} dropped");
    }

    /// From hanging up to the end.
    fn hanging_up(call: &Call) -> Duration {
        call.report.ended_after.saturating_sub(call.report.hung_up_after.unwrap_or_default())
    }

    fn as_json(loss_percent: u32, outcome: &Outcome) -> serde_json::Value {
        let ms =
            |times: &[Duration]| [50, 95, 100].map(|percent| percentile(times, percent).as_millis() as u64);
        let calls: Vec<_> = outcome
            .calls
            .iter()
            .map(|call| {
                json!({ "spoken": call.report.spoken, "metered": call.metered, "announced": call.report.missing(),
                    "announced_at_the_end": call.lost_at_the_end(), "unannounced": call.unannounced(),
                    "reconnects": call.report.reconnects, "late_ms": ms(&call.late),
                    "hanging_up_ms": hanging_up(call).as_millis() as u64,
                    "ended": call.report.ended.map(CloseCode::name), "errors": call.report.errors })
            })
            .collect();
        let plain: Vec<_> = outcome
            .plain
            .iter()
            .map(|plain| {
                json!({ "spoken": plain.spoken, "came": plain.came, "late_ms": ms(&plain.late),
                    "closed_after_ms": plain.closed_after.as_millis() as u64 })
            })
            .collect();
        let (carried, dropped) = outcome.packets;
        json!({ "loss_percent": loss_percent, "carried": carried, "dropped": dropped, "calls": calls, "plain": plain })
    }
}
