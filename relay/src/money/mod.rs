//! What a call costs: amounts, prices, what a request may cost before it is made and what it did cost, the ledger's rows,
//! and whether a provider says the same.
//!
//! Nothing here asks a clock, a database or a provider.

mod amount;
pub mod bill;
pub mod budget;
pub mod ledger;
pub mod meter;
pub mod price;
pub mod purse;
pub mod reconcile;
pub mod tab;

pub use amount::{MoneyError, NanoUsd};
