//! `voxrelay`, the relay's binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call takes and gives back small pieces all the time, on whichever thread it runs: `cargo xtask bench load` shows what that costs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    relay::cli::main()
}
