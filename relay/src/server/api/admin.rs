//! The sessions of all users, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use protocol::{CloseCode, HttpCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::ending::end_and_wait;
use super::extract::{Path, Query, bad_request, is_id, maybe_name, name};
use super::idempotency::Act;
use super::responses::{OrNone, Usual};
use super::schema::{AdminSession, Alert, LiveSession, State};
use super::sessions::no_session;
use super::{Problem, cursor, time};
use crate::App;
use crate::admission::api_keys::SUB_PREFIX;
use crate::records::store::{AlertFilter, SessionFilter, SessionState, Whom};

/// Which sessions to export.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only sessions of this user.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only sessions of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// Only live sessions, or only ended ones.
    #[param(inline, nullable = false)]
    state: Option<State>,
    /// Only sessions that began at this time or later.
    #[param(format = DateTime, nullable = false)]
    from: Option<String>,
    /// Only sessions that began before this time.
    #[param(format = DateTime, nullable = false)]
    to: Option<String>,
}

/// Which sessions to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AllSessions {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only sessions of this user.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only sessions of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// Only live sessions, or only ended ones.
    #[param(inline, nullable = false)]
    state: Option<State>,
    /// Only sessions that began at this time or later.
    #[param(format = DateTime, nullable = false)]
    from: Option<String>,
    /// Only sessions that began before this time.
    #[param(format = DateTime, nullable = false)]
    to: Option<String>,
}

/// A page of any list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paged {
    /// The `next` of the page before.
    #[param(nullable = false)]
    pub(super) cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    pub(super) limit: Option<u32>,
}

/// Which alerts to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsAsked {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only alerts that a session of this user raised.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only alerts that a session of this account raised.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
}

/// A page of sessions, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminSessions {
    sessions: Vec<AdminSession>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// A page of live sessions, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveSessions {
    sessions: Vec<LiveSession>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// A page of alerts, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Alerts {
    alerts: Vec<Alert>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// What was erased.
#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// How many sessions were erased.
    pub(super) sessions: u64,
}

impl Filter {
    pub(super) fn read(self) -> Result<SessionFilter, Problem> {
        Ok(SessionFilter {
            user_sub: maybe_name("user_sub", self.user_sub)?,
            account: maybe_name("account", self.account)?,
            conversation_id: None,
            state: self.state.map(State::into),
            from_ms: time::maybe_read("from", self.from.as_deref())?,
            to_ms: time::maybe_read("to", self.to.as_deref())?,
        })
    }
}

/// Lists the sessions of all users.
#[utoipa::path(
    get, path = "/v1/admin/sessions", operation_id = "list_all_sessions", tag = "admin", params(AllSessions),
    responses((status = 200, description = "A page, the newest first", body = AdminSessions), Usual),
)]
pub(super) async fn sessions(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<AllSessions>,
) -> Result<Json<AdminSessions>, Problem> {
    let AllSessions { cursor: after, limit, user_sub, account, state, from, to } = asked;
    let filter = Filter { user_sub, account, state, from, to }.read()?;
    let after = cursor::read(after.as_deref())?;
    let page = app.records.store.list_sessions(&filter, after.as_ref(), cursor::limit(limit)?).await?;
    Ok(Json(AdminSessions {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        sessions: page.rows.into_iter().map(AdminSession::from).collect(),
    }))
}

/// Lists the live sessions of all relays.
#[utoipa::path(
    get, path = "/v1/admin/live", operation_id = "list_live_sessions", tag = "admin", params(Paged),
    responses((status = 200, description = "A page, the newest first", body = LiveSessions), Usual),
)]
pub(super) async fn live(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<Paged>,
) -> Result<Json<LiveSessions>, Problem> {
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.live_sessions(after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(LiveSessions {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        sessions: page.rows.into_iter().map(LiveSession::from).collect(),
    }))
}

/// Ends a session, whichever relay has it. A session that has ended already stays as it is.
#[utoipa::path(
    post, path = "/v1/admin/sessions/{id}/end", operation_id = "end_session", tag = "admin",
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It has ended"), OrNone),
)]
pub(super) async fn end_session(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let session = if is_id(&id) { app.records.store.session(&id).await? } else { None };
    let session = session.ok_or_else(no_session)?;
    if session.state == SessionState::Live {
        tracing::info!(session = %id, by = %identity.sub, "a session is ended by an administrator");
        let by = Some(identity.sub.as_str());
        if !end_and_wait(&app, Whom::Session(&id), CloseCode::EndedByOperator, by).await? {
            app.records.store.end_elsewhere(&id, CloseCode::EndedByOperator.name()).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a session of any user: what is kept of it, without what was said in it.
#[utoipa::path(
    get, path = "/v1/admin/sessions/{id}", operation_id = "read_any_session", tag = "admin",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = AdminSession), OrNone),
)]
pub(super) async fn read_session(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Json<AdminSession>, Problem> {
    let session = if is_id(&id) { app.records.store.session(&id).await? } else { None };
    Ok(Json(session.ok_or_else(no_session)?.into()))
}

/// Erases a session: what was said in it, and its recording. A live session is ended first. What it cost stays on the account's bill, without
/// the user's name.
#[utoipa::path(
    delete, path = "/v1/admin/sessions/{id}", operation_id = "delete_any_session", tag = "admin",
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is erased"), OrNone),
)]
pub(super) async fn delete_session(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if !is_id(&id) || app.records.store.session(&id).await?.is_none() {
        return Err(no_session());
    }
    end_and_wait(&app, Whom::Session(&id), CloseCode::EndedByOperator, Some(&identity.sub)).await?;
    match app.records.store.delete_session(&id, Some(&identity.sub)).await? {
        true => {
            app.live.erased.notify_one();
            tracing::info!(session = %id, by = %identity.sub, "a session was erased by an administrator");
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(no_session()),
    }
}

/// Erases every session of a user, in the same way as a single session. API keys that the user has made are revoked. A denial of the user stays.
#[utoipa::path(
    delete, path = "/v1/admin/users/{sub}", operation_id = "delete_user", tag = "admin",
    params(("sub" = String, Path, description = "The user", min_length = 1, max_length = 255)),
    responses((status = 200, description = "They are erased", body = Erased), Usual),
)]
pub(super) async fn delete_user(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Act(act): Act,
    Path(sub): Path<String>,
) -> Result<Json<Erased>, Problem> {
    let sub = name("sub", sub).map_err(|problem| problem.code(HttpCode::BadPath))?;
    if sub.starts_with(SUB_PREFIX) {
        let detail =
            "`sub` has to be a user: an API key has no sessions, and what it did stays in the audit.";
        return Err(bad_request(detail).code(HttpCode::BadPath));
    }
    if sub == identity.sub {
        let detail = "Nobody takes their own name out of the audit: another administrator erases you, \
                      and `DELETE /v1/user` your calls.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    // With its maker a key is revoked, and a key that got into wrong hands must not take the others away.
    if identity.api_key.is_some() && app.records.store.has_good_api_keys(&sub).await? {
        let detail = "This user has made API keys, which would be revoked: this needs a token.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    end_and_wait(&app, Whom::User(&sub), CloseCode::EndedByOperator, Some(&identity.sub)).await?;
    let sessions = app.records.store.delete_user(&sub, Some(&identity.sub), &act).await?;
    app.live.erased.notify_one();
    tracing::info!(sessions, by = %identity.sub, "a user was erased by an administrator");
    Ok(Json(Erased { sessions }))
}

/// Lists alerts: the budgets that have reached one of their thresholds, and the providers that have reported too much.
#[utoipa::path(
    get, path = "/v1/admin/alerts", operation_id = "list_alerts", tag = "admin", params(AlertsAsked),
    responses((status = 200, description = "A page, the newest first", body = Alerts), Usual),
)]
pub(super) async fn alerts(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<AlertsAsked>,
) -> Result<Json<Alerts>, Problem> {
    let filter = AlertFilter {
        user_sub: maybe_name("user_sub", asked.user_sub)?,
        account: maybe_name("account", asked.account)?,
    };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.list_alerts(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Alerts {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        alerts: page.rows.into_iter().map(Alert::from).collect(),
    }))
}
