//! How properties are tried: as often as `PROPTEST_CASES` says, and first with what failed once.

use proptest::test_runner::{Config, FileFailurePersistence};

/// So many cases unless the environment says how many. What failed once is in this file, which is beside the crate's sources.
pub(crate) fn cases(cases: u32, file: &'static str) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|asked| asked.parse().ok());
    let file = FileFailurePersistence::Direct(file);
    Config { failure_persistence: Some(Box::new(file)), ..Config::with_cases(asked.unwrap_or(cases)) }
}
