use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::throttle::Excess;

/// An error as RFC 9457 wants it: `application/problem+json` with title, status and detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    retry_after_seconds: Option<u32>,
    /// The limit that was exceeded.
    excess: Option<Excess>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), retry_after_seconds: None, excess: None }
    }

    pub(super) fn retry_after(self, seconds: u32) -> Problem {
        Problem { retry_after_seconds: Some(seconds), ..self }
    }
}

impl From<Excess> for Problem {
    /// Says which limit it was, its value, what there would have been, and when to come back, as an `error` message does.
    fn from(excess: Excess) -> Problem {
        let seconds = u32::try_from(excess.retry_after_ms().div_ceil(1_000)).unwrap_or(u32::MAX);
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, excess.code.info().message);
        Problem { excess: Some(excess), ..problem.retry_after(seconds) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(excess) = &self.excess {
            body["code"] = excess.code.name().into();
            body["limit"] = excess.limit.into();
            body["asked"] = excess.asked.into();
            body["retry_after_ms"] = excess.retry_after_ms().into();
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
