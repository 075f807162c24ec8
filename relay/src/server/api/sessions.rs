//! A user's own sessions. A request for another user's session is answered exactly like one for a session that does not exist.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use protocol::CloseCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::admin::Erased;
use super::caller::User;
use super::ending::end_and_wait;
use super::extract::{Path, Query, is_id, maybe_name};
use super::idempotency::Act;
use super::responses::{OrNone, Usual};
use super::schema::{Session, State};
use super::{Problem, cursor, time};
use crate::App;
use crate::admission::auth::Identity;
use crate::records::store::{DeedKind, SessionFilter, SessionRow, Whom};

/// Which of the user's own sessions to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnSessions {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only live sessions, or only ended ones.
    #[param(inline, nullable = false)]
    state: Option<State>,
    /// Only sessions of this conversation.
    #[param(nullable = false)]
    conversation_id: Option<String>,
    /// Only sessions that began at this time or later.
    #[param(format = DateTime, nullable = false)]
    from: Option<String>,
    /// Only sessions that began before this time.
    #[param(format = DateTime, nullable = false)]
    to: Option<String>,
}

/// A page of sessions, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Lists the user's own sessions.
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
    let page = app.records.store.list_sessions(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Sessions {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        sessions: page.rows.into_iter().map(Session::from).collect(),
    }))
}

/// Reads one of the user's own sessions.
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

/// Erases one of the user's own sessions: what was said in it, and its recording. A live session is ended first. What it cost stays on the
/// account's bill, without the user's name.
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
    end_and_wait(&app, Whom::Session(&session.id), CloseCode::Normal, None).await?;
    match app.records.store.delete_session(&session.id, None).await? {
        true => {
            app.live.erased.notify_one();
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(no_session()),
    }
}

/// Erases every session of the user, as each of them is erased by itself, and takes their name out of whatever else stays. Calls that go on are
/// ended first. What was spent stays spent, and so do a denial of the user and what administrators have set for them.
#[utoipa::path(
    delete, path = "/v1/user", operation_id = "delete_own_user", tag = "own",
    responses((status = 200, description = "They are erased", body = Erased), Usual),
)]
pub(super) async fn delete_all(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Act(act): Act,
) -> Result<Json<Erased>, Problem> {
    end_and_wait(&app, Whom::User(&identity.sub), CloseCode::Normal, None).await?;
    let sessions = app.records.store.delete_user(&identity.sub, None, &act).await?;
    app.live.erased.notify_one();
    tracing::info!(sessions, "a user has erased themselves");
    Ok(Json(Erased { sessions }))
}

/// The session with this id, if it is the user's own.
pub(super) async fn own(app: &App, identity: &Identity, id: &str) -> Result<SessionRow, Problem> {
    let session = if is_id(id) { app.records.store.session(id).await? } else { None };
    session.filter(|session| session.user_sub == identity.sub).ok_or_else(no_session)
}

/// The session with this id, whoever had it. That somebody reads what was said in it is in the audit before they do.
pub(super) async fn read_by(
    app: &App,
    identity: &Identity,
    id: &str,
    what: DeedKind,
) -> Result<SessionRow, Problem> {
    let session = if is_id(id) { app.records.store.session(id).await? } else { None };
    let session = session.ok_or_else(no_session)?;
    if !app.records.store.note_reading(&session.id, what, &identity.sub).await? {
        return Err(no_session());
    }
    tracing::info!(session = %id, by = %identity.sub, what = what.name(), "what somebody else said is read");
    Ok(session)
}

/// The problem that there is no such session.
pub(super) fn no_session() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is no such session.")
}
