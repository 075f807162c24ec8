//! The relay: it checks who calls and what they may spend, carries the call, meters it and keeps the record.
//!
//! The binary `voxrelay` is [`cli`]; everything else is here so that tests and the load generator use the real thing.

pub mod admission;
pub mod agent;
mod app;
pub mod call;
pub mod cli;
pub mod client;
pub mod config;
mod drain;
pub mod money;
pub mod operations;
#[cfg(test)]
mod properties;
pub mod provider;
pub mod records;
mod run;
mod running;
pub mod server;
pub mod session;

pub use admission::Admission;
pub use app::{App, Live};
pub use config::Config;
pub use money::{MoneyError, NanoUsd};
pub use records::Records;
pub(crate) use run::prepare;
pub use run::{run, run_newest};
