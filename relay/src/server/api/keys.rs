//! API keys, for administrators: with what servers ask, in place of a token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::HttpCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::extract::{self, Path, Query, bad_request, is_id, maybe_name, name_within};
use super::idempotency::{Act, Kept};
use super::responses::{OrNone, Usual, WithName};
use super::{Problem, cursor, time};
use crate::App;
use crate::admission::api_keys;
use crate::admission::auth::{Identity, is_name};
use crate::records::store::{API_KEYS_MAX, ApiKey, ApiKeyFilter, MadeKey, NewApiKey, unix_ms};

/// The longest name of a key, in characters.
const NAME_MAX_CHARS: usize = 100;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyRole {
    /// What administrators may, but for making and revoking keys.
    Admin,
    /// Reading what others said.
    Reader,
}

/// A key that is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// What people know it by, such as `billing`. No key has had it before.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it may do: no more than whoever makes it. One or both.
    #[schema(min_items = 1, max_items = 2)]
    roles: Vec<KeyRole>,
    /// When it expires. Never by default.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key, without what it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyEntry {
    /// What it is known by.
    id: String,
    /// What people know it by. The audit has it with `key:` before it.
    name: String,
    /// What it may do.
    roles: Vec<KeyRole>,
    /// The administrator who made it. Empty once that user is erased.
    created_by: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it expires. Never without it.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was last used, to the hour.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKeyEntry {
    #[serde(flatten)]
    entry: KeyEntry,
    /// The key itself, this once: nothing stores it. An answer that is repeated by its `idempotency-key` has it no more.
    key: Option<String>,
}

/// A page of keys, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<KeyEntry>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Which keys to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeysAsked {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only keys that this administrator has made.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    created_by: Option<String>,
}

/// Lists keys, also those that are revoked or expired.
#[utoipa::path(
    get, path = "/v1/admin/keys", operation_id = "list_keys", tag = "admin", params(KeysAsked),
    responses((status = 200, description = "A page, the newest first", body = Keys), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<KeysAsked>,
) -> Result<Json<Keys>, Problem> {
    let filter = ApiKeyFilter { created_by: maybe_name("created_by", asked.created_by)? };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.api_keys(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Keys {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        keys: page.rows.into_iter().map(KeyEntry::from).collect(),
    }))
}

/// Makes a key, and says it once. It may do no more than whoever makes it, and makes no keys itself.
#[utoipa::path(
    post, path = "/v1/admin/keys", operation_id = "make_key", tag = "admin", request_body = NewKey,
    responses((status = 201, description = "The key", body = NewKeyEntry), WithName),
)]
pub(super) async fn make(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Act(id): Act,
    extract::Json(new): extract::Json<NewKey>,
) -> Result<Response, Problem> {
    is_person(&identity)?;
    let secret = api_keys::make();
    let new = read(new, id, secret.expose(), &identity)?;
    match app.records.store.make_api_key(&new).await? {
        MadeKey::Yes(key) => {
            tracing::info!(key = %key.name, by = %new.by, "an API key is made");
            let without = NewKeyEntry { entry: key.clone().into(), key: None };
            let with = NewKeyEntry { entry: key.into(), key: Some(secret.expose().to_owned()) };
            let mut response = (StatusCode::CREATED, Json(with)).into_response();
            response.extensions_mut().insert(Kept::of(&without));
            Ok(response)
        }
        MadeKey::NameTaken => {
            let detail = "Another key has this `name`, or had it. Give this one a name of its own.";
            Err(Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::KeyNameInUse))
        }
        MadeKey::TooMany => {
            let detail = format!("{API_KEYS_MAX} keys are good, and no more may be. Revoke one.");
            Err(Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::KeysFull))
        }
        MadeKey::Denied => {
            let detail = "This user may not use this relay.";
            Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::Denied))
        }
    }
}

/// Revokes a key: no relay takes it from then on.
#[utoipa::path(
    delete, path = "/v1/admin/keys/{id}", operation_id = "revoke_key", tag = "admin",
    params(("id" = String, Path, description = "The key's `id`")),
    responses((status = 204, description = "It is revoked"), OrNone),
)]
pub(super) async fn revoke(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    is_person(&identity)?;
    if !is_id(&id) || !app.records.store.revoke_api_key(&id, &identity.sub).await? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "There is no such key that is not revoked."));
    }
    tracing::info!(key = %id, by = %identity.sub, "an API key is revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// A key that got into wrong hands must neither outlive its revocation by another one that it has made, nor revoke the others.
fn is_person(identity: &Identity) -> Result<(), Problem> {
    match identity.api_key {
        None => Ok(()),
        Some(_) => {
            Err(Problem::new(StatusCode::FORBIDDEN, "API keys make and revoke no keys: this needs a token."))
        }
    }
}

fn read(new: NewKey, id: String, secret: &str, maker: &Identity) -> Result<NewApiKey, Problem> {
    let in_body = |problem: Problem| problem.code(HttpCode::BadBody);
    let expires_at_ms = time::maybe_read("expires_at", new.expires_at.as_deref()).map_err(in_body)?;
    if expires_at_ms.is_some_and(|at_ms| at_ms <= unix_ms()) {
        return Err(in_body(bad_request("`expires_at` has to be in the future.")));
    }
    let has = |role| new.roles.contains(&role);
    let (is_admin, is_reader) = (has(KeyRole::Admin), has(KeyRole::Reader));
    if new.roles.len() != usize::from(is_admin) + usize::from(is_reader) || new.roles.is_empty() {
        return Err(in_body(bad_request(
            "`roles` has to be a list of `admin`, `reader` or both, each once.",
        )));
    }
    if is_reader && !maker.is_reader {
        let detail = "A key may do no more than whoever makes it, and you may not read what others said.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::ReaderOnly));
    }
    let name = name_within(NAME_MAX_CHARS, "name", new.name).map_err(in_body)?;
    if !is_name(&name) {
        let detail = "`name` has to have no invisible characters, and no spaces at its ends.";
        return Err(in_body(bad_request(detail)));
    }
    Ok(NewApiKey {
        id,
        name,
        hash: api_keys::hashed(secret).expect("it was made as a key"),
        is_admin,
        is_reader,
        expires_at_ms,
        by: maker.sub.clone(),
    })
}

impl From<ApiKey> for KeyEntry {
    fn from(key: ApiKey) -> KeyEntry {
        let roles = [(KeyRole::Admin, key.is_admin), (KeyRole::Reader, key.is_reader)];
        KeyEntry {
            id: key.id,
            name: key.name,
            roles: roles.into_iter().filter(|(_, has)| *has).map(|(role, _)| role).collect(),
            created_by: key.created_by,
            created_at: time::text(key.created_at_ms),
            expires_at: time::maybe_text(key.expires_at_ms),
            last_used_at: time::maybe_text(key.last_used_at_ms),
            revoked_at: time::maybe_text(key.revoked_at_ms),
        }
    }
}
