//! A user's own sessions. Somebody else's is answered exactly like one that is not there.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::User;
use super::ending::{end_and_wait, erased};
use super::extract::{Path, Query, is_id, maybe_name};
use super::responses::{OrNone, Usual};
use super::schema::{Session, State};
use super::{Problem, cursor, time};
use crate::App;
use crate::auth::Identity;
use crate::recording::{Playback, RecordingError};
use crate::store::{SessionFilter, SessionRow, Whom};

/// Which of one's own sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnSessions {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// Rows of a page; 20 if it does not say.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Those that go on, or those that are over.
    #[param(inline, nullable = false)]
    state: Option<State>,
    /// Those of this conversation.
    #[param(nullable = false)]
    conversation_id: Option<String>,
    /// Those that began then or later.
    #[param(format = DateTime, nullable = false)]
    from: Option<String>,
    /// Those that began before.
    #[param(format = DateTime, nullable = false)]
    to: Option<String>,
}

/// A page of sessions, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
}

/// One's own sessions.
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "list_sessions", tag = "own", params(OwnSessions),
    responses((status = 200, description = "A page, the newest first", body = Sessions), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Query(asked): Query<OwnSessions>,
) -> Result<Json<Sessions>, Problem> {
    let filter = SessionFilter {
        user_sub: Some(identity.sub),
        account: None,
        conversation_id: maybe_name("conversation_id", asked.conversation_id)?,
        state: asked.state.map(State::into),
        from_ms: time::maybe_read("from", asked.from.as_deref())?,
        to_ms: time::maybe_read("to", asked.to.as_deref())?,
    };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.store.list_sessions(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Sessions {
        next: cursor::write(page.next.as_ref()),
        sessions: page.rows.into_iter().map(Session::from).collect(),
    }))
}

/// One of one's own sessions.
#[utoipa::path(
    get, path = "/v1/sessions/{id}", operation_id = "read_session", tag = "own",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = Session), OrNone),
)]
pub(super) async fn read(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
) -> Result<Json<Session>, Problem> {
    Ok(Json(own(&app, &identity, &id).await?.into()))
}

/// Erases one of one's own sessions: what was said in it and its recording. If it goes on, it is ended first. What it cost
/// stays on the account's bill, without a name.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", operation_id = "delete_session", tag = "own",
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is erased"), OrNone),
)]
pub(super) async fn delete(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let session = own(&app, &identity, &id).await?;
    end_and_wait(&app, Whom::Session(&session.id)).await?;
    match app.store.delete_session(&session.id).await? {
        true => {
            erased(&app).await;
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(none()),
    }
}

/// The recording of one of one's own sessions: user and agent as two channels.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/recording", operation_id = "read_recording", tag = "own",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The recording", content_type = "audio/wav", body = Vec<u8>),
        OrNone,
    ),
)]
pub(super) async fn recording(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let session = own(&app, &identity, &id).await?;
    let stored = match &session.recording {
        Some(name) => stored_recording(&app, name).await?,
        None => None,
    };
    stored.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "There is no recording of this session."))
}

/// Streams a recording; `None` if there is none (any more), or it is still on its way.
async fn stored_recording(app: &App, name: &str) -> Result<Option<Response>, Problem> {
    let Some(recordings) = &app.recordings else { return Ok(None) };
    match recordings.open(name).await {
        Ok(Playback { length, bytes }) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("audio/wav")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
                (header::CONTENT_LENGTH, HeaderValue::from(length)),
            ];
            Ok(Some((headers, Body::from_stream(bytes)).into_response()))
        }
        Err(RecordingError::NotFound) => Ok(None),
        Err(error) => {
            tracing::error!(recording = name, %error, "a recording cannot be read");
            let detail = "The recording cannot be read now. Try again in a minute.";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(60))
        }
    }
}

/// A session of this user's.
pub(super) async fn own(app: &App, identity: &Identity, id: &str) -> Result<SessionRow, Problem> {
    let session = if is_id(id) { app.store.session(id).await? } else { None };
    session.filter(|session| session.user_sub == identity.sub).ok_or_else(none)
}

pub(super) fn none() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is no such session.")
}
