//! Providers that have a bad day, for every call of a relay at once: they are left alone, and their stand-ins answer.
//!
//! They mostly wait, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests.

mod beside;
