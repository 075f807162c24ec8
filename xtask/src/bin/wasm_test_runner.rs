//! What `cargo test --target wasm32-unknown-unknown` starts a test program with: wasm-bindgen's runner, as a library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command line program")]
            {
                eprintln!("wasm-test-runner: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
