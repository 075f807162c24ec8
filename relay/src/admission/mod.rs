//! Who may come in: whose token it is, who is denied, how often.

pub mod api_keys;
pub mod auth;
pub mod denials;
pub mod throttle;

use auth::Verifier;
use denials::Denials;
use throttle::{Rates, Throttle};

/// Decides who may come in.
#[derive(Debug)]
pub struct Admission {
    /// Checks tokens.
    pub verifier: Verifier,
    /// The deny-list.
    pub denials: Denials,
    /// Limits how often sessions begin, and how many connections wait to be greeted.
    pub throttle: Throttle,
    /// Limits how often each user and each address uses the HTTP API.
    pub api_requests: Rates,
}
