//! Feedback: what a user thinks of a call. It comes over HTTP, because people give it when the call is over.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use protocol::HttpCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Problem;
use super::caller::User;
use super::extract::{Json, Path, bad_request, is_id};
use super::responses::{OrNone, WithBody};
use super::sessions::no_session;
use crate::App;
use crate::records::store::Feedback;

/// The longest comment, in characters.
const COMMENT_MAX_CHARS: usize = 2_000;

/// What a user thinks of a session, in place of what they said of it before. What is left out is taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Opinion {
    /// 1 (bad) to 5 (good). A thumb down is 1, a thumb up is 5.
    #[schema(minimum = 1, maximum = 5)]
    rating: Option<i64>,
    /// A comment in words.
    #[schema(max_length = 2000)]
    comment: Option<String>,
}

/// Stores what the user thinks of one of their own sessions, during the call or afterwards, in place of what they said of it before.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/feedback", operation_id = "give_feedback", tag = "own", request_body = Opinion,
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is stored"), OrNone, WithBody),
)]
pub(super) async fn give(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
    Json(Opinion { rating, comment }): Json<Opinion>,
) -> Result<StatusCode, Problem> {
    let rating = match rating {
        Some(rating @ 1..=5) => u32::try_from(rating).ok(),
        Some(_) => {
            return Err(bad_request("`rating` has to be a whole number, 1 to 5.").code(HttpCode::BadBody));
        }
        None => None,
    };
    let comment = comment.filter(|comment| !comment.is_empty());
    if comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_MAX_CHARS) {
        let detail = format!("`comment` may have {COMMENT_MAX_CHARS} characters.");
        return Err(bad_request(detail).code(HttpCode::BadBody));
    }
    let feedback = Feedback { rating, comment };
    let is_theirs = is_id(&id) && app.records.store.give_feedback(&id, &identity.sub, &feedback).await?;
    if is_theirs { Ok(StatusCode::NO_CONTENT) } else { Err(no_session()) }
}
