//! The relay: it checks who calls and what they may spend, carries the call, meters it and keeps the record.
//!
//! The binary `voxrelay` is [`cli`]; everything else is here so that tests and the load generator use the real thing.

pub mod agent;
mod alerts;
mod app;
pub mod auth;
pub mod call;
pub mod cli;
pub mod client;
pub mod config;
pub mod denials;
mod log;
pub mod money;
mod outbound;
pub mod provider;
pub mod recording;
pub mod retention;
mod run;
mod running;
pub mod server;
pub mod session;
pub mod spill;
pub mod store;
pub mod telemetry;
pub mod throttle;
mod upkeep;
pub mod webhook;

pub use app::{Admission, App, Live, Records};
pub use config::Config;
pub use money::{MoneyError, NanoUsd};
pub use run::run;
