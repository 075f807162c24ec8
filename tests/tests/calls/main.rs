//! Whole calls of the native client against the real relay: over good networks, crashes and deploys.
//!
//! They mostly wait, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests.

mod beside;
