//! What an operator sees and is told, and what a relay does beside its calls.

pub(crate) mod alerts;
pub(crate) mod clock;
pub(crate) mod health;
pub(crate) mod incidents;
pub(crate) mod log;
mod outage;
pub(crate) mod outbound;
pub mod telemetry;
pub mod traces;
pub(crate) mod tracker;
pub(crate) mod upkeep;
pub mod webhook;
