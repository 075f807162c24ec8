//! The deny-list, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use protocol::HttpCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admin::Paged;
use super::caller::Admin;
use super::extract::{self, Path, Query, bad_request, name, reason};
use super::responses::{OrNone, Usual, WithBody};
use super::schema::{DenialEntry, Kind};
use super::{Problem, cursor, time};
use crate::App;
use crate::admission::api_keys::SUB_PREFIX;
use crate::admission::auth::Identity;
use crate::admission::denials;
use crate::records::store::{Denial, DenialKind, unix_ms};

/// Who is to be denied.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDenial {
    /// Whether the subject is a user or a login.
    kind: Kind,
    /// The user or the login.
    #[schema(min_length = 1, max_length = 255)]
    subject: String,
    /// Why it is denied, for administrators.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: String,
    /// Until when it is denied. For ever by default.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A page of the deny-list, by kind and subject.
#[derive(Serialize, ToSchema)]
pub(super) struct DenyList {
    denials: Vec<DenialEntry>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Lists the deny-list, without expired entries.
#[utoipa::path(
    get, path = "/v1/admin/denials", operation_id = "list_denials", tag = "admin", params(Paged),
    responses((status = 200, description = "A page, by kind and subject", body = DenyList), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<Paged>,
) -> Result<Json<DenyList>, Problem> {
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.denials(after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(DenyList {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        denials: page.rows.into_iter().map(DenialEntry::from).collect(),
    }))
}

/// Denies a user or a login, in place of an earlier denial. Their calls are closed, and no new one can begin. The API keys that the user has made
/// are revoked. What an API key denies revokes none, and keeps no administrator out of the HTTP API.
#[utoipa::path(
    post, path = "/v1/admin/denials", operation_id = "deny", tag = "admin", request_body = NewDenial,
    responses((status = 201, description = "The denial", body = DenialEntry), WithBody),
)]
pub(super) async fn deny(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    extract::Json(new): extract::Json<NewDenial>,
) -> Result<(StatusCode, Json<DenialEntry>), Problem> {
    let now_ms = unix_ms();
    let expires_at_ms = time::maybe_read("expires_at", new.expires_at.as_deref()).map_err(in_body)?;
    if expires_at_ms.is_some_and(|at| at <= now_ms) {
        return Err(in_body(bad_request("`expires_at` has to be in the future.")));
    }
    let (kind, subject) = (new.kind.into(), name("subject", new.subject).map_err(in_body)?);
    spares_keys(&identity, kind, &subject)?;
    let denial = Denial {
        kind,
        subject,
        reason: reason(new.reason).map_err(in_body)?,
        by_key: identity.api_key.is_some(),
        created_by: identity.sub,
        created_at_ms: now_ms,
        expires_at_ms,
    };
    app.records.store.deny(&denial).await?;
    tracing::info!(kind = denial.kind.name(), subject = %denial.subject, by = %denial.created_by, "denied");
    apply(&app).await;
    Ok((StatusCode::CREATED, Json(denial.into())))
}

/// Takes a user or a login off the deny-list.
#[utoipa::path(
    delete, path = "/v1/admin/denials/{kind}/{subject}", operation_id = "allow", tag = "admin",
    params(
        ("kind" = inline(Kind), Path, description = "What the subject is"),
        ("subject" = String, Path, description = "The user or the login", min_length = 1, max_length = 255),
    ),
    responses((status = 204, description = "It is off the list"), OrNone),
)]
pub(super) async fn allow(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path((kind, subject)): Path<(Kind, String)>,
) -> Result<StatusCode, Problem> {
    let kind = kind.into();
    let subject = name("subject", subject).map_err(|problem| problem.code(HttpCode::BadPath))?;
    spares_keys(&identity, kind, &subject)?;
    if !app.records.store.allow(kind, &subject, &identity.sub).await? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "There is no such denial."));
    }
    tracing::info!(%subject, by = %identity.sub, "no longer denied");
    apply(&app).await;
    Ok(StatusCode::NO_CONTENT)
}

/// An API key that got into wrong hands must neither take the others away nor undo that it is denied.
fn spares_keys(identity: &Identity, kind: DenialKind, subject: &str) -> Result<(), Problem> {
    if identity.api_key.is_some() && kind == DenialKind::Sub && subject.starts_with(SUB_PREFIX) {
        let detail = "API keys neither deny nor allow API keys: this needs a token.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

fn in_body(problem: Problem) -> Problem {
    problem.code(HttpCode::BadBody)
}

/// Applies a change of the deny-list at this relay at once. Other relays look every second, and so does this one if it fails now.
async fn apply(app: &App) {
    if let Err(error) = denials::apply_decisions(app).await {
        tracing::warn!(%error, "the deny-list was not read after a change");
    }
}
