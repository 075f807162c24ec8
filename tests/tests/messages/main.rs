//! Bad messages, each with the answer it gets: the errors that are told, and the code that ends the connection. Nothing of them is
//! accepted, and the relay serves the next call as if nothing had been.
//!
//! They mostly wait, so `cargo xtask test` runs whatever is in a module `beside` at the same time as all other tests.

mod beside;
mod rows;
