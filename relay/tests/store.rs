//! The store: one suite for both databases.

#[path = "support/postgres.rs"]
#[expect(dead_code, reason = "each program of tests uses some of it")]
mod postgres;

mod store_suite;
