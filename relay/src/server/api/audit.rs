//! The audit, for administrators: what each of them did.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::extract::{Query, maybe_name};
use super::responses::Usual;
use super::{Problem, cursor, time};
use crate::App;
use crate::records::store::{Deed, DeedFilter, DeedKind};

/// What administrators do.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// They end a session.
    EndSession,
    /// They have the agent of a session say something.
    Say,
    /// They have the agent of a session know something.
    AddContext,
    /// They erase a session.
    DeleteSession,
    /// They erase a user.
    DeleteUser,
    /// They put a user or a login on the deny-list.
    Deny,
    /// They take a user or a login off the deny-list.
    Allow,
    /// They give a credit.
    GiveCredit,
    /// They set what a user or an account may spend.
    SetBudget,
    /// They take back what they set.
    ResetBudget,
    /// They read what somebody else said.
    ReadTranscript,
    /// They listen to what somebody else said.
    ReadRecording,
    /// They listen in to a live session.
    Listen,
    /// They have a message to a webhook sent once more.
    ReplayWebhook,
    /// They make an API key.
    MakeKey,
    /// They revoke an API key.
    RevokeKey,
}

/// Which deeds to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditAsked {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only what this administrator did.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    by: Option<String>,
    /// Only deeds of this kind.
    #[param(inline, nullable = false)]
    what: Option<What>,
    /// Only what was done to this user.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only what was done at this time or later.
    #[param(format = DateTime, nullable = false)]
    from: Option<String>,
    /// Only what was done before this time.
    #[param(format = DateTime, nullable = false)]
    to: Option<String>,
}

/// Something that an administrator did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeedEntry {
    /// What it is known by.
    id: String,
    /// When it was done.
    #[schema(format = DateTime)]
    at: String,
    /// The administrator, or `key:` and the name of an API key. Empty once that user is erased.
    by: String,
    /// What was done: `end_session`, `say`, `add_context`, `delete_session`, `delete_user`, `deny`, `allow`, `give_credit`, `set_budget`, `reset_budget`, `read_transcript`, `read_recording`, `listen`, `replay_webhook`, `make_key` or `revoke_key`. Newer versions may have more words.
    what: String,
    /// The user to whom it was done, unless that user is erased.
    user_sub: Option<String>,
    /// The session, the login, the key of the credit, the delivery, the name of the API key, or the account and the new cap. Empty where the user is all there is to name.
    subject: String,
    /// Why, as the administrator said. Empty if nobody asked, or once the user is erased.
    reason: String,
}

/// A page of what administrators did, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Audit {
    audit: Vec<DeedEntry>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Lists what administrators did: sessions that they ended or erased, what they had agents told, users whom they erased, whom they denied or no longer deny, credits, budgets, messages to webhooks that they repeated, API keys.
/// Nothing in it is ever changed or deleted, but for the names of erased users.
#[utoipa::path(
    get, path = "/v1/admin/audit", operation_id = "list_audit", tag = "admin", params(AuditAsked),
    responses((status = 200, description = "A page, the newest first", body = Audit), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<AuditAsked>,
) -> Result<Json<Audit>, Problem> {
    let filter = DeedFilter {
        by: maybe_name("by", asked.by)?,
        what: asked.what.map(DeedKind::from),
        user_sub: maybe_name("user_sub", asked.user_sub)?,
        from_ms: time::maybe_read("from", asked.from.as_deref())?,
        to_ms: time::maybe_read("to", asked.to.as_deref())?,
    };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.list_audit(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Audit {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        audit: page.rows.into_iter().map(DeedEntry::from).collect(),
    }))
}

impl From<Deed> for DeedEntry {
    fn from(deed: Deed) -> DeedEntry {
        DeedEntry {
            id: deed.id,
            at: time::text(deed.at_ms),
            by: deed.by,
            what: deed.what,
            user_sub: deed.user_sub,
            subject: deed.subject,
            reason: deed.reason,
        }
    }
}

impl From<What> for DeedKind {
    fn from(what: What) -> DeedKind {
        match what {
            What::EndSession => DeedKind::EndSession,
            What::Say => DeedKind::Say,
            What::AddContext => DeedKind::AddContext,
            What::DeleteSession => DeedKind::DeleteSession,
            What::DeleteUser => DeedKind::DeleteUser,
            What::Deny => DeedKind::Deny,
            What::Allow => DeedKind::Allow,
            What::GiveCredit => DeedKind::GiveCredit,
            What::SetBudget => DeedKind::SetBudget,
            What::ResetBudget => DeedKind::ResetBudget,
            What::ReadTranscript => DeedKind::ReadTranscript,
            What::ReadRecording => DeedKind::ReadRecording,
            What::Listen => DeedKind::Listen,
            What::ReplayWebhook => DeedKind::ReplayWebhook,
            What::MakeKey => DeedKind::MakeKey,
            What::RevokeKey => DeedKind::RevokeKey,
        }
    }
}
