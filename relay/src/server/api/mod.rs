//! The HTTP API: what is stored, for the users it belongs to and for administrators.
//!
//! Every request needs a token, every list comes in pages, and every error is a problem (RFC 9457). The API's document (OpenAPI 3.1) is made
//! from the handlers and served beside them.

mod admin;
mod audit;
mod budgets;
mod caller;
mod commands;
mod credits;
mod cursor;
mod denials;
mod ending;
mod export;
mod extract;
mod feedback;
mod idempotency;
mod keys;
mod listen;
mod overview;
mod recordings;
mod responses;
mod schema;
mod sessions;
mod tables;
mod time;
mod transcripts;
mod usage;
mod watch;
mod webhooks;

use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use protocol::HttpCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, ProblemBody};
use super::{over_http, upgrade};
use crate::App;
pub(crate) use export::harmless;
pub(super) use watch::{Watchers, watchers};

/// The largest body of a request, in bytes.
const BODY_MAX_BYTES: usize = 16 * 1024;
/// How long a browser may remember the answer to a preflight request, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Voxrelay",
        description = "What Voxrelay keeps of spoken conversations: sessions, transcripts, usage. Money is in nano-dollars, \
            times are RFC 3339 in UTC, positions are samples of the speaker's timeline. Lists come in pages: pass `next` \
            as `cursor` until it is missing.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(upgrade::open_call, upgrade::open_preflight, over_http::open, over_http::bring),
    components(schemas(ProblemBody)),
    security(("token" = [])),
    tags(
        (name = "call", description = "Where calls are made: docs/protocol.md"),
        (name = "own", description = "What belongs to the user of the token"),
        (name = "admin", description = "For tokens and API keys with the administrators' role")
    )
)]
struct Head;

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(|| {
    let mut document = routes().split_for_parts().1;
    idempotency::describe(&mut document);
    document
});

/// The API's document as JSON. It is written once, because anybody may ask for it, as often as they like.
static TEXT: LazyLock<Bytes> =
    LazyLock::new(|| serde_json::to_vec(openapi()).expect("texts and numbers are JSON").into());

/// Reads a cursor that a client has given back; `None` if it is none of this list.
#[must_use]
pub fn read_cursor<C: DeserializeOwned>(given: &str) -> Option<C> {
    cursor::read(Some(given)).ok().flatten()
}

/// Writes a cursor as a client gets it.
#[must_use]
pub fn write_cursor<C: Serialize>(cursor: &C) -> String {
    cursor::write(Some(cursor)).unwrap_or_default()
}

/// The API's document: OpenAPI 3.1.
#[must_use]
pub fn openapi() -> &'static utoipa::openapi::OpenApi {
    &DOCUMENT
}

/// `watchers` are the places of those who look at live calls or listen in, which stay while the rest is replaced.
pub(super) fn router(app: Arc<App>, watchers: Watchers) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        // This stands before the layers, so that they see requests with a method that is not taken as well.
        .method_not_allowed_fallback(super::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&app), idempotency::once))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(Extension(watchers))
        .layer(from_fn_with_state(Arc::clone(&app), for_pages))
        .with_state(app)
}

fn routes() -> OpenApiRouter<Arc<App>> {
    let mut document = Head::openapi();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
    OpenApiRouter::with_openapi(document)
        .routes(routes!(document_itself))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::read, sessions::delete))
        .routes(routes!(sessions::delete_all))
        .routes(routes!(feedback::give))
        .routes(routes!(transcripts::of_session))
        .routes(routes!(recordings::read))
        .routes(routes!(transcripts::of_any_session))
        .routes(routes!(recordings::read_any))
        .routes(routes!(transcripts::of_conversation))
        .routes(routes!(usage::own))
        .routes(routes!(admin::sessions))
        .routes(routes!(admin::live))
        .routes(routes!(watch::watch))
        .routes(routes!(overview::overview))
        .routes(routes!(overview::spend))
        .routes(routes!(admin::end_session))
        .routes(routes!(listen::listen))
        .routes(routes!(commands::say))
        .routes(routes!(commands::context))
        .routes(routes!(commands::read))
        .routes(routes!(admin::read_session, admin::delete_session))
        .routes(routes!(admin::delete_user))
        .routes(routes!(usage::of_all))
        .routes(routes!(denials::list, denials::deny))
        .routes(routes!(denials::allow))
        .routes(routes!(credits::list, credits::give))
        .routes(routes!(admin::alerts))
        .routes(routes!(budgets::own))
        .routes(routes!(budgets::list))
        .routes(routes!(budgets::set, budgets::reset))
        .routes(routes!(audit::list))
        .routes(routes!(keys::list, keys::make))
        .routes(routes!(keys::revoke))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::replay))
        .routes(routes!(export::own))
        .routes(routes!(export::ndjson))
        .routes(routes!(export::csv))
        .routes(routes!(tables::own_usage))
        .routes(routes!(tables::all_usage))
        .routes(routes!(tables::ledger))
}

/// The API's document itself.
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "openapi", security(()),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)),
)]
async fn document_itself() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

/// Lets pages of the configured origins use the API, and forbids every cache to keep its answers.
///
/// The layer of `tower-http` is not used, because it answers every OPTIONS with 200, even where a page is refused or no page asks.
async fn for_pages(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = allowed_origin(&app, request.headers());
    let asks_first = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (asks_first, &origin) {
        (false, _) => next.run(request).await,
        (true, Some(_)) => preflight(),
        (true, None) => {
            let detail = "Pages of this origin may not use this relay; its operator can add it to `origins`.";
            Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::OriginRefused).into_response()
        }
    };
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(
            "retry-after, content-disposition, content-range, accept-ranges, etag, x-request-id, idempotent-replayed",
        );
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, range, if-range, if-none-match, x-request-id, idempotency-key",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The origin of the asking page, if pages of it may use the API.
fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    app.config.origins.allow(Some(origin.to_str().ok()?), host).then(|| origin.clone())
}
