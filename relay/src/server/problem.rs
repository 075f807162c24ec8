//! Errors of HTTP requests, as programs and people read them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::HttpCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::request_id;
use crate::admission::throttle::Excess;

/// An error as RFC 9457 wants it: `application/problem+json` with type, title, status and detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    retry_after_seconds: Option<u32>,
    /// The limit that was exceeded, if the problem is one.
    excess: Option<Excess>,
    /// The kind of problem, as a word that programs can compare.
    code: &'static str,
}

/// What went wrong (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, for a person.
    detail: String,
    /// The kind of problem, as a word that programs can compare: one of docs/errors.md.
    code: &'static str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// The value of the limit that was exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit: Option<u64>,
    /// The value that would have been reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    asked: Option<u64>,
    /// After how long to come back, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u64>,
    /// The id of the request, as in the answer's header `x-request-id`: by it the relay's log has more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        let code = HttpCode::of_status(status.as_u16()).name();
        Problem { status, detail: detail.into(), retry_after_seconds: None, excess: None, code }
    }

    /// Names the kind of problem more exactly than the status does.
    pub(super) fn code(self, code: HttpCode) -> Problem {
        Problem { code: code.name(), ..self }
    }

    /// The kind of problem, as a word.
    pub(super) fn word(&self) -> &'static str {
        self.code
    }

    /// The problem as pages of every origin may read it. It tells them nothing that they could not find out by trying, without credentials.
    pub(super) fn for_every_page(self) -> Response {
        let mut response = self.into_response();
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Says after how many seconds to come back.
    pub(super) fn retry_after(self, seconds: u32) -> Problem {
        Problem { retry_after_seconds: Some(seconds), ..self }
    }

    /// The problem that the caller has used the API too often.
    pub(super) fn too_often(detail: impl Into<String>, excess: Excess) -> Problem {
        Problem { detail: detail.into(), ..Problem::from(excess) }.code(HttpCode::ApiRate)
    }
}

impl From<Excess> for Problem {
    /// Tells the same as an `error` message does: which limit it was, its value, the value that would have been reached, and when to come
    /// back.
    fn from(excess: Excess) -> Problem {
        let seconds = u32::try_from(excess.retry_after_ms().div_ceil(1_000)).unwrap_or(u32::MAX);
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, excess.code.info().message);
        Problem { code: excess.code.name(), excess: Some(excess), ..problem.retry_after(seconds) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let after_ms = self.retry_after_seconds.map(|seconds| u64::from(seconds) * 1_000);
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            retryable: after_ms.is_some()
                || self.excess.is_some()
                || self.status.is_server_error()
                || self.status == StatusCode::REQUEST_TIMEOUT,
            limit: self.excess.as_ref().map(|excess| excess.limit),
            asked: self.excess.as_ref().map(|excess| excess.asked),
            retry_after_ms: self.excess.as_ref().map(Excess::retry_after_ms).or(after_ms),
            request_id: request_id::current(),
        };
        let body = serde_json::to_string(&body).expect("texts and numbers are JSON");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"voxrelay\""));
        }
        response
    }
}
