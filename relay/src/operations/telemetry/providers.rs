//! Providers: what is asked of them, what reaches them, and whether they are asked.

use metrics::{counter, gauge};

use super::names::{
    PROVIDER_AHEAD, PROVIDER_CIRCUIT, PROVIDER_CONNECTIONS, PROVIDER_DIFFERENCE, PROVIDER_IN_USE,
    PROVIDER_OPENED, PROVIDER_REQUESTS,
};
use crate::provider::{FailureKind, Standing};

/// What becomes of a request to a provider that answers.
const ANSWERED: &str = "ok";

/// What a recogniser bills beside what it was given.
const BILLS: [&str; 2] = ["more", "less"];

/// Lets the counters and gauges of a provider stand at 0, as [`begin`](super::begin) does for what is known without a configuration. Those that are
/// there stay as they are: a configuration that is read again does not end what is under way.
pub(crate) fn provider(name: &str) {
    for outcome in [ANSWERED].into_iter().chain(FailureKind::ALL.map(FailureKind::name)) {
        counter!(PROVIDER_REQUESTS, "provider" => name.to_owned(), "outcome" => outcome).increment(0);
    }
    counter!(PROVIDER_OPENED, "provider" => name.to_owned()).increment(0);
    for opening in [Opening::Needed, Opening::Ahead, Opening::Late] {
        counter!(PROVIDER_CONNECTIONS, "provider" => name.to_owned(), "opened" => opening.name())
            .increment(0);
    }
    for bills in BILLS {
        counter!(PROVIDER_DIFFERENCE, "provider" => name.to_owned(), "bills" => bills).increment(0);
    }
    for there_is in [PROVIDER_CIRCUIT, PROVIDER_IN_USE, PROVIDER_AHEAD] {
        gauge!(there_is, "provider" => name.to_owned()).increment(0.0);
    }
}

/// A request to a provider is over: with an answer, or with a failure.
pub(crate) fn provider_request(name: &str, failure: Option<FailureKind>) {
    let outcome = failure.map_or(ANSWERED, FailureKind::name);
    counter!(PROVIDER_REQUESTS, "provider" => name.to_owned(), "outcome" => outcome).increment(1);
}

/// Whether a provider is asked has changed.
pub(crate) fn provider_circuit(name: &str, standing: Standing) {
    gauge!(PROVIDER_CIRCUIT, "provider" => name.to_owned()).set(f64::from(standing.shown()));
}

/// So many requests and open sockets of a provider are there more than before.
pub(crate) fn provider_in_use(name: &str, more: i8) {
    gauge!(PROVIDER_IN_USE, "provider" => name.to_owned()).increment(f64::from(more));
}

/// So many WebSockets that were opened ahead wait for a request of a provider more than before.
pub(crate) fn provider_socket_ahead(name: &str, more: i8) {
    gauge!(PROVIDER_AHEAD, "provider" => name.to_owned()).increment(f64::from(more));
}

/// Why a connection to a provider is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A request waits for it: a turn pays for the handshake.
    Needed,
    /// A request will come that finds it there.
    Ahead,
    /// One of those was taken before it was there: a turn pays for the rest of the handshake.
    Late,
}

impl Opening {
    fn name(self) -> &'static str {
        match self {
            Opening::Needed => "needed",
            Opening::Ahead => "ahead",
            Opening::Late => "late",
        }
    }
}

/// A connection to a provider is opened.
pub(crate) fn provider_connection(name: &str, opening: Opening) {
    counter!(PROVIDER_CONNECTIONS, "provider" => name.to_owned(), "opened" => opening.name()).increment(1);
}

/// A provider that was asked is not asked any more.
pub(crate) fn provider_opened(name: &str) {
    counter!(PROVIDER_OPENED, "provider" => name.to_owned()).increment(1);
}

/// A recogniser bills so many samples more than it was given, or less.
pub(crate) fn provider_difference(name: &str, samples: i64) {
    let [more, less] = BILLS;
    let bills = if samples > 0 { more } else { less };
    counter!(PROVIDER_DIFFERENCE, "provider" => name.to_owned(), "bills" => bills)
        .increment(samples.unsigned_abs());
}
