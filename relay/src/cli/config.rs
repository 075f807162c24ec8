use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};

use super::{answer, failed};
use crate::config::{self, Config};

/// Options of `voxrelay config`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["check", "reference"]))]
pub(super) struct ConfigArgs {
    /// Read the configuration and say what applies, each with where it comes from. Secrets are not shown.
    #[arg(long)]
    check: bool,
    /// Print the reference of all keys, in Markdown.
    #[arg(long)]
    reference: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    let said = match args.check {
        false => Ok(config::reference()),
        true => Config::explain(args.config.as_deref(), std::env::vars()),
    };
    match said.map(|said| answer(&said.trim_end())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(1, &format!("standard output: {error}")),
        Err(error) => failed(2, &error),
    }
}
