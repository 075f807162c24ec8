//! The disk is full: what is running goes on for a while, and when there is room again nothing is missing.
//!
//! That mostly waits, so `cargo xtask test` runs it at the same time as all other tests.

#![cfg(target_os = "linux")]

mod beside;
