//! The database is away: what is running goes on for a while, what is new is refused, and nothing metered is lost.
//!
//! They wait for minutes, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests.

mod beside;
