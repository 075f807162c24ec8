//! `voxrelay call`: speaks a WAV file to a relay.

use std::process::ExitCode;

use clap::Args;

/// Options of `voxrelay call`.
#[derive(Debug, Args)]
pub struct CallArgs {}

/// Makes the call.
#[expect(clippy::unused_async, reason = "the native client takes this place")]
pub async fn run(args: CallArgs) -> ExitCode {
    let CallArgs {} = args;
    ExitCode::FAILURE
}
