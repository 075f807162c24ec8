//! Access tokens that expire while their call goes on.
//!
//! They mostly wait, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests.

mod beside;
