//! Requests over HTTP, by the route that they went to.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{counter, histogram};

use super::names::{HTTP_REQUESTS, HTTP_SECONDS};

/// The route of what went to none: an unknown address, a file of the demo page, or a head that could not be taken.
const NO_ROUTE: &str = "none";
/// Methods that are told apart. Anybody may send any word.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Every other method.
const OTHER_METHOD: &str = "other";

/// A request is answered, or refused: the head of the answer was there after this time. The rest of it may last as long as a call.
pub(crate) fn http_answered(route: Option<&str>, method: &Method, status: StatusCode, took: Duration) {
    let route = route.unwrap_or(NO_ROUTE).to_owned();
    let method = METHODS.into_iter().find(|name| *name == method.as_str()).unwrap_or(OTHER_METHOD);
    histogram!(HTTP_SECONDS, "route" => route.clone()).record(took.as_secs_f64());
    counter!(HTTP_REQUESTS, "route" => route, "method" => method, "status" => class(status)).increment(1);
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
