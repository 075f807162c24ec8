//! Everything a person runs: `cargo xtask demo | test | build | …`. Nothing has to be installed by hand.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod build;
mod codegen;
mod prerequisites;
mod size;
mod stamp;
mod step;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Everything a person runs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the SDK: Rust to WebAssembly to npm/dist
    Build,
    /// Write npm/src/codes.ts and docs/errors.md from the codes in the protocol crate
    Codegen {
        /// Write nothing; fail when a file is stale
        #[arg(long)]
        check: bool,
    },
    /// Print what a page downloads: raw, gzip and brotli
    Size {
        /// Print JSON and nothing else
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build => build::sdk(),
        Command::Codegen { check } => codegen::run(check),
        Command::Size { json } => size::run(json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
