//! `voxrelay`, the relay's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    relay::cli::main()
}
