//! Everything a person runs: `cargo xtask demo | test | build | …`. Nothing has to be installed by hand.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod bench;
mod benchmarks;
mod breaks;
mod build;
mod cargo_tool;
mod codegen;
mod demo;
mod fuzzing;
mod gate;
mod linked;
mod mutants;
mod peers;
mod prerequisites;
mod pypi;
mod recordings;
mod reference;
mod release;
mod rolling;
mod shorten;
mod simulate;
mod size;
mod stamp;
mod step;
mod workspace;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use gate::Chosen;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Everything a person runs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and start a relay with the demo page; Ctrl-C stops
    Demo {
        /// Hold a real conversation with speech and language providers on this machine: needs Python 3 and flite or espeak-ng
        #[arg(long)]
        local: bool,
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
    },
    /// The one gate: every check and every test
    Test {
        /// Run one step, with those it needs
        #[arg(long, value_name = "STEP")]
        only: Option<String>,
        /// Run the long steps too: what takes many minutes, or is tried many times
        #[arg(long, conflicts_with = "only")]
        all: bool,
        /// Run one step without those it needs, which are done
        #[arg(long, requires = "only")]
        alone: bool,
    },
    /// Build the SDK: Rust to WebAssembly to npm/dist
    Build,
    /// Write npm/src/codes.ts and docs/errors.md from the codes in the protocol crate
    Codegen {
        /// Write nothing; fail when a file is stale
        #[arg(long)]
        check: bool,
    },
    /// Write the package's reference into the target directory
    Reference,
    /// Print what a page downloads: raw, gzip and brotli
    Size {
        /// Print JSON and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Measure the signal processing, the databases, the relay's memory
    Bench {
        /// What to measure
        what: bench::Bench,
        /// For how many seconds the call of `page` is measured
        #[arg(long, default_value_t = 600)]
        seconds: u32,
        /// The relay that `load` measures, such as one that was copied out of the image, instead of the one of this commit
        #[arg(long, value_name = "PROGRAM")]
        relay: Option<PathBuf>,
        /// Print JSON and nothing else
        #[arg(long)]
        json: bool,
        /// Put the table into docs/benchmarks.md, with the command, this machine, the day and the commit
        #[arg(long, conflicts_with = "json")]
        write: bool,
    },
    /// Let a relay carry 100 calls at a time, and say whether its memory, files and threads stay as they are (Linux)
    Soak {
        /// For how many minutes
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(6..=1_440))]
        minutes: u32,
        /// Print JSON and nothing else
        #[arg(long)]
        json: bool,
        /// Put what it prints into docs/benchmarks.md, with the command, this machine, the day and the commit
        #[arg(long, conflicts_with = "json")]
        write: bool,
    },
    /// Build and check everything that a release consists of: binary, package, script file, bills of materials; nothing is published
    Release {
        /// Do it for a commit that is not to be released yet: what the changelog lacks is only said
        #[arg(long)]
        dry_run: bool,
    },
    /// Run simulated calls: the link alone over terrible networks, and calls whole, with everything that goes wrong in a relay
    Simulate {
        /// How many calls
        #[arg(long, default_value_t = 100_000)]
        calls: u64,
        /// The seed of an earlier run, to repeat it
        #[arg(long)]
        seed: Option<u64>,
        /// Kinds of trouble that the whole calls are made without, parted by commas: network, relays, store, money, faults, stall, twice, late,
        /// bill, cough, anthropic, say
        #[arg(long, value_name = "KINDS")]
        without: Option<String>,
        /// Print everything that happens in the whole calls
        #[arg(long)]
        trace: bool,
    },
    /// Break rules that simulated calls prove, one at a time, and see that a call notices
    Breaks {
        /// How many calls are made with each
        #[arg(long, default_value_t = breaks::CALLS)]
        calls: u64,
    },
    /// Fuzz whatever parses bytes of strangers, one target after another
    Fuzz {
        /// For how long, each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// One target only
        #[arg(long)]
        target: Option<String>,
    },
    /// Let a relay of an older version and this one carry calls side by side on one PostgreSQL, as in a rolling deploy
    Rolling {
        /// The commit of the older version
        #[arg(long, default_value = rolling::OLDEST)]
        from: String,
    },
    /// Make a sample of small mistakes in the code, one at a time, and see whether the tests notice
    Mutants {
        /// How many, in each area; one of the relay takes a minute
        #[arg(long, default_value_t = 20)]
        count: usize,
        /// What chooses them
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// One area only: protocol, call, agent, tab, purse or auth
        #[arg(long)]
        area: Option<String>,
        /// Make them in this working copy instead of in a copy of it: faster, but nothing may be edited meanwhile
        #[arg(long)]
        in_place: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo { local, listen } => demo::run_until_stopped(local, listen),
        Command::Test { only, all, alone } => {
            let chosen = match &only {
                Some(only) if alone => Chosen::Alone(only),
                Some(only) => Chosen::Only(only),
                None if all => Chosen::All,
                None => Chosen::Usual,
            };
            match gate::run(chosen) {
                Ok(true) => Ok(()),
                // It has said so itself, and its counts are to be the last line.
                Ok(false) => return ExitCode::FAILURE,
                Err(error) => Err(error),
            }
        }
        Command::Build => build::sdk(),
        Command::Codegen { check } => codegen::run(check),
        Command::Reference => reference::run(),
        Command::Size { json } => size::run(json),
        Command::Bench { what, json, seconds, write, relay } => {
            bench::run_bench(what, json, seconds, write, relay.as_deref())
        }
        Command::Soak { minutes, json, write } => bench::soak(minutes, json, write),
        Command::Release { dry_run } => release::run(dry_run),
        Command::Simulate { calls, seed, without, trace } => {
            simulate::run_calls(calls, seed, without.as_deref(), trace).map(|_| ())
        }
        Command::Breaks { calls } => breaks::run_all(calls).map(|_| ()),
        Command::Fuzz { seconds, target } => fuzzing::run_targets(seconds, target.as_deref()),
        Command::Rolling { from } => rolling::run_beside(&from),
        Command::Mutants { count, seed, area, in_place } => {
            mutants::run_sample(count, seed, area.as_deref(), in_place)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
