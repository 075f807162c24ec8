//! The store: one suite for both databases.

#[path = "support/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod postgres;
#[path = "support/records.rs"]
#[expect(unreachable_pub, reason = "one program has it as a library")]
mod records;

mod store_suite;
