//! Relays behind the proxies of `deploy/`, each by its own program.
//!
//! They mostly wait, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests. What is in `long` waits for
//! minutes, and belongs to `cargo xtask test --all`.
#![cfg(target_os = "linux")]

mod beside;
mod long;
