//! Who asks: a user by their token, an administrator by their role, a server by its API key.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use protocol::{ErrorCode, HttpCode};

use super::super::Source;
use super::super::address::client_address;
use super::Problem;
use crate::App;
use crate::admission::api_keys;
use crate::admission::auth::Identity;
use crate::admission::throttle::network;

/// How many times as often as one user an address may use the API, because users may share an address.
const USERS_OF_AN_ADDRESS: u32 = 10;

/// Who asks, if that was checked, and counted, before the request comes to whoever answers it.
#[derive(Clone)]
pub(super) struct Known(pub(super) Identity);

/// A user with a good token, who has not used the API too often.
pub(super) struct User(pub(super) Identity);

/// A user or an API key with the administrators' role, who has not used the API too often.
pub(super) struct Admin(pub(super) Identity);

/// A user or an API key with the role of those who may read what others said, who has not used the API too often.
pub(super) struct Reader(pub(super) Identity);

impl FromRequestParts<Arc<App>> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<User, Problem> {
        let identity = asker(parts, app).await?;
        if identity.api_key.is_some() {
            let detail = "An API key is no user, and nothing belongs to it: it may use `/v1/admin`.";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(User(identity))
    }
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Admin, Problem> {
        let identity = asker(parts, app).await?;
        if !identity.is_admin {
            let detail = "This needs a token with the administrators' role.";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::AdminOnly));
        }
        Ok(Admin(identity))
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Reader, Problem> {
        let identity = asker(parts, app).await?;
        if !identity.is_reader {
            let detail =
                "This needs a token with the role that may read what others said, `auth.reader_role`.";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::ReaderOnly));
        }
        Ok(Reader(identity))
    }
}

/// Who asks, if they may use the relay and have not used the API too often.
pub(super) async fn asker(parts: &mut Parts, app: &App) -> Result<Identity, Problem> {
    if let Some(Known(identity)) = parts.extensions.remove() {
        return Ok(identity);
    }
    limit_address(parts, app)?;
    let token = bearer(&parts.headers).ok_or_else(unauthorized)?;
    let identity = match token.starts_with(api_keys::PREFIX) {
        true => by_key(token, app).await?,
        false => by_token(token, app).await?,
    };
    if app.admission.denials.denies_api(&identity) {
        let detail = "This user or this login may not use this relay.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::Denied));
    }
    let per_minute = app.config.api_requests_per_minute;
    app.admission.api_requests.take(ErrorCode::RelayFull, &identity.sub, per_minute).map_err(|excess| {
        let detail = "More requests a minute than a user may make. Wait `retry_after_ms`.";
        Problem::too_often(detail, excess)
    })?;
    Ok(identity)
}

async fn by_token(token: &str, app: &App) -> Result<Identity, Problem> {
    app.admission.verifier.check(token).await.map_err(|refused| {
        tracing::info!(cause = refused.cause(), why = %refused, "token refused");
        let Some(wait) = refused.retry_after else { return unauthorized() };
        let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The relay cannot check tokens until it has the issuer's keys.",
        )
        .code(HttpCode::KeysUnavailable)
        .retry_after(seconds.max(1))
    })
}

/// Whose API key it is. What cannot be one is not looked for.
async fn by_key(key: &str, app: &App) -> Result<Identity, Problem> {
    let found = match api_keys::hashed(key) {
        Some(hash) => app.records.store.api_key(&hash).await?,
        None => None,
    };
    found.map(api_keys::identity).ok_or_else(|| {
        tracing::info!("API key refused: there is none, or it is revoked or expired");
        unauthorized()
    })
}

/// Counts a request by its address. This is done before its token is checked, so that guessing tokens is limited.
fn limit_address(parts: &Parts, app: &App) -> Result<(), Problem> {
    let Some(source) = parts.extensions.get::<Source>() else { return Ok(()) };
    let trusts = |address| app.config.network.trusts(address);
    let address = client_address(source.peer.ip(), &parts.headers, trusts);
    let per_minute = app.config.api_requests_per_minute.saturating_mul(USERS_OF_AN_ADDRESS);
    app.admission.api_requests.take(ErrorCode::AddressRate, &network(address), per_minute).map_err(|excess| {
        let detail = "More requests a minute than an address may make. Wait `retry_after_ms`.";
        Problem::too_often(detail, excess)
    })
}

/// The problem of a request without a good token, whatever is wrong with the token.
fn unauthorized() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "This needs a good token: `Authorization: Bearer …`.")
}

/// The token of a request, if it has exactly one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
