//! A network that loses packets, for programs that are no part of this repository, such as a browser: `tests/engines/lossy.test.mjs`.
//!
//! `far <delay in ms> <lost of a hundred packets> [seed]`. Prints one line, this machine's address as the far end knows it and the file that is
//! the far end's network namespace (for `nsenter --net=FILE`), and carries packets until its input ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> ExitCode {
    use std::time::Duration;

    use tests::lossy::{Link, Weather};

    let mut arguments = std::env::args().skip(1);
    let mut number = |default| match arguments.next() {
        Some(text) => text.parse::<u64>().ok(),
        None => default,
    };
    let (Some(delay_ms), Some(loss), Some(seed)) = (number(None), number(None), number(Some(1))) else {
        eprintln!("usage: far DELAY_MS LOSS_PERCENT [SEED]");
        return ExitCode::FAILURE;
    };
    let weather = Weather {
        delay: Duration::from_millis(delay_ms),
        loss_percent: u32::try_from(loss).unwrap_or(100).min(100),
        seed,
    };
    let link = match Link::open(0, weather).await {
        Ok(link) => link,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{} {}", link.near(), link.namespace().display());
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    match ended.await {
        Ok(Ok(_)) => {
            eprintln!("{} packets carried, {} dropped", link.counts().carried(), link.counts().dropped());
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("a lossy link takes Linux: it is made of TUN devices and a network namespace");
    ExitCode::FAILURE
}
