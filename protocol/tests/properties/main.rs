//! What holds for whatever comes: bytes and words of strangers, in any order, at any time.
//!
//! A case that failed once is in `protocol/proptest-regressions` and is tried first, every time.
#![cfg(not(target_arch = "wasm32"))]

mod client;
mod frame;
mod link;

use proptest::test_runner::{Config, FileFailurePersistence};

/// `cases` random cases, after those of the file; as many as `PROPTEST_CASES` says, if it says so.
fn config(cases: u32, file: &'static str) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(cases);
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        max_shrink_iters: 20_000,
        ..Config::with_cases(cases)
    }
}
