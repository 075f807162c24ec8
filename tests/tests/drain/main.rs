//! A relay that is told to stop: it says so first, and then its calls go on at another one.
//!
//! They mostly wait, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests.

mod beside;
