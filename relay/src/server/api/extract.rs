//! What a request says, read strictly: what does not fit is a problem like any other.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Problem;

/// Longest name of a user, an account or a login, in characters, as in tokens.
const NAME_MAX_CHARS: usize = 255;

/// Parameters of the query.
pub(super) struct Query<T>(pub(super) T);

/// Parameters of the path.
pub(super) struct Path<T>(pub(super) T);

/// The body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri).map_err(|error| bad(error.body_text()))?;
        Ok(Query(query.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Path(path.0)).map_err(|error| bad(error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let body = axum::Json::from_request(request, state).await;
        body.map(|body| Json(body.0)).map_err(|error| match error {
            JsonRejection::MissingJsonContentType(_) => {
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send JSON as `application/json`.")
            }
            error if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("A body may have {} bytes.", super::BODY_MAX_BYTES);
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            error => bad(error.body_text()),
        })
    }
}

pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// A name as tokens may have it, so that everything asked for could be there.
pub(super) fn name(what: &str, given: String) -> Result<String, Problem> {
    let good =
        !given.is_empty() && given.chars().count() <= NAME_MAX_CHARS && !given.chars().any(char::is_control);
    if good {
        Ok(given)
    } else {
        Err(bad(format!("`{what}` has to be 1 to {NAME_MAX_CHARS} characters, without control characters.")))
    }
}

/// The same for one that may be left out.
pub(super) fn maybe_name(what: &str, given: Option<String>) -> Result<Option<String>, Problem> {
    given.map(|given| name(what, given)).transpose()
}

/// Whether there can be a session of this id at all.
pub(super) fn is_id(given: &str) -> bool {
    (1..=64).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
