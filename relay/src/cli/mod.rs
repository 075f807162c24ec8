//! The command line. Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong.

mod asking;
pub mod call;
mod config;
mod credit;
mod faults;
mod health;
mod keys;
mod migrate;
mod moving;
mod prices;
mod questions;
mod reading;
mod reconcile;
mod reload;
mod rollups;
mod sdk;
mod serve;
mod statement;
mod stopping;
mod token;

use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::operations::log;

#[derive(Debug, Parser)]
#[command(
    name = "voxrelay",
    version,
    about = "Spoken conversation for any web page: the relay.",
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay as configured.
    Serve(serve::ServeArgs),
    /// Run a relay to try things out: demo page, tokens for it, everything on defaults, data in ./voxrelay-data.
    Dev(serve::DevArgs),
    /// Ask the relay of this configuration, on its own machine, whether it runs: for the health check of a container.
    Health(health::HealthArgs),
    /// Bring the schema of the configured database up to date.
    Migrate(migrate::MigrateArgs),
    /// Write all that the configured database keeps into a file, while no relay uses it: for another database.
    Export(moving::ExportArgs),
    /// Fill the configured database, which is empty, with what `export` has written.
    Import(moving::ImportArgs),
    /// Make the sums of ended sessions anew that the dashboard reads.
    Rollups(rollups::RollupsArgs),
    /// Print an access token for development, and nothing else.
    Token(token::TokenArgs),
    /// Check the configuration, or print the reference of all keys.
    Config(config::ConfigArgs),
    /// Check the configuration, and what it names, as `config --check` does; and the providers, if that is wanted.
    Check(config::CheckArgs),
    /// Print what everything costs, and how long ago each price was last read in the provider's list.
    Prices(prices::PricesArgs),
    /// Print the version of the SDK that this relay serves, and of each file the hash for a script tag's `integrity`.
    Sdk,
    /// Give an account back what it was charged by mistake, at a relay that runs.
    Credit(credit::CreditArgs),
    /// Make, list and revoke API keys, with which servers use the administrators' part of the HTTP API, at a relay that runs.
    Keys(keys::KeysArgs),
    /// Compare a provider's usage export with the ledger, by day and item or by request, and fail if they differ.
    Reconcile(reconcile::ReconcileArgs),
    /// Print what each account used in a month: calls, minutes, items, money, credits.
    Statement(statement::StatementArgs),
    /// Speak a WAV file to a relay and print what comes back.
    Call(call::CallArgs),
}

/// Runs the command that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Serve(args) => block_on(serve::serve(args)),
        Command::Dev(args) => block_on(serve::dev(args)),
        Command::Health(args) => block_on(health::run(args)),
        Command::Migrate(args) => block_on(migrate::run(args)),
        Command::Export(args) => block_on(moving::export(args)),
        Command::Import(args) => block_on(moving::import(args)),
        Command::Rollups(args) => block_on(rollups::run(args)),
        Command::Token(args) => token::run(&args),
        Command::Config(args) => block_on(config::run(args)),
        Command::Check(args) => block_on(config::check(args)),
        Command::Prices(args) => prices::run(&args),
        Command::Sdk => sdk::run(),
        Command::Credit(args) => block_on(credit::run(args)),
        Command::Keys(args) => block_on(keys::run(args)),
        Command::Reconcile(args) => block_on(reconcile::run(args)),
        Command::Statement(args) => block_on(statement::run(args)),
        Command::Call(args) => block_on(call::run(args)),
    };
    log::finish();
    code
}

fn block_on(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => failed(1, &format!("the async runtime does not start: {error}")),
    }
}

/// Says why on standard error.
fn failed(code: u8, why: &dyn std::fmt::Display) -> ExitCode {
    // Nobody to tell if standard error is closed.
    let _ = log::say(log::To::Log, "ERROR", &format!("voxrelay: {why}"));
    ExitCode::from(code)
}

/// What a command answers, on standard output. Whoever closes it, as `head` does, wants to read no more: that is no failure.
fn answer(line: &dyn std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// The end of a command that is done when it has answered.
fn answered(line: &dyn std::fmt::Display) -> ExitCode {
    match answer(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// The answer did not reach whoever asked.
fn unwritten(error: &io::Error) -> ExitCode {
    failed(1, &format!("standard output: {error}"))
}

/// What a person is told beside the answer, on standard error. There is nobody to tell if that is closed.
fn tell(line: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The same of a relay, whose lines are all JSON if that is configured. It calls whether or not anybody reads them.
fn announce(line: &dyn std::fmt::Display) {
    // Fails only where nothing is logged yet.
    let _ = log::say(log::To::Answers, "INFO", &line.to_string());
}
