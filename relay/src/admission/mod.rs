//! Who may come in: whose token it is, who is denied, how often.

pub mod auth;
pub mod denials;
pub mod throttle;

use auth::Verifier;
use denials::Denials;
use throttle::{Rates, Throttle};

/// Who may come in.
#[derive(Debug)]
pub struct Admission {
    /// Says whose token it is.
    pub verifier: Verifier,
    /// Who may not call.
    pub denials: Denials,
    /// How often sessions begin, and how many connections wait to be greeted.
    pub throttle: Throttle,
    /// Requests of each user to the HTTP API.
    pub api_requests: Rates,
}
