//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a write that comes with one is made once, and whoever sends it again, because
//! its answer was lost, gets the answer that it had.
//!
//! The key is written before the write is made, and the answer afterwards. In between a relay says every 20 s that it is at work. One that is lost
//! leaves a key whose lease ends: the next one makes the write under the same id ([`Act`]), so that what it makes is made once all the same, and
//! whatever the one before still writes of it does not count.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use protocol::HttpCode;
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, OpenApi, RefOr, Required, Type};

use super::super::request_id;
use super::Problem;
use super::caller::{Known, asker};
use super::extract::{bad_request, body_of};
use super::responses;
use crate::App;
use crate::records::store::{KEYED_RENEWAL, KeptAnswer, Keyed, KeyedEnd, KeyedRequest, KeyedWork};

/// The header with the key.
const KEY: &str = "idempotency-key";
/// The header of an answer that is repeated.
const REPLAYED: &str = "idempotent-replayed";
/// How every route begins that is for administrators.
const FOR_ADMINISTRATORS: &str = "/v1/admin/";
/// The longest key, in characters.
const KEY_MAX_CHARS: usize = 255;
/// The longest answer to a write, in bytes: none of the API's is half as long.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// When to ask again for the answer to a request that is being answered, in seconds.
const AGAIN_AFTER: u32 = 1;

/// The id of what a request makes: with an `Idempotency-Key` the same one each time that the request is made.
pub(super) struct Act(pub(super) String);

/// The id of what a request with a key makes.
#[derive(Clone)]
struct KeyedAct(String);

/// The body that is repeated in place of one with something that must not be stored.
#[derive(Clone)]
pub(super) struct Kept(String);

impl Kept {
    pub(super) fn of(body: &impl Serialize) -> Kept {
        Kept(serde_json::to_string(body).expect("texts and numbers are JSON"))
    }
}

impl<S: Sync> FromRequestParts<S> for Act {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Act, Infallible> {
        let keyed = parts.extensions.get::<KeyedAct>().map(|act| act.0.clone());
        Ok(Act(keyed.unwrap_or_else(|| uuid::Uuid::now_v7().to_string())))
    }
}

/// Makes a write that comes with a key once. What comes without one is none of its business.
pub(super) async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_keyed = is_write(request.method()) && request.headers().contains_key(KEY);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (true, Some(route)) = (is_keyed, route) else { return next.run(request).await };
    keyed(app, route.as_str(), request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn keyed(app: Arc<App>, route: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let key = key(&parts.headers)?;
    // Who asks is checked, and counted, here: whoever answers the request has it from here.
    let identity = asker(&mut parts, &app).await?;
    if route.starts_with(FOR_ADMINISTRATORS) && !identity.is_admin {
        // Whoever answers the request refuses it. What an administrator of this name was answered is not repeated to one who is none any more.
        parts.extensions.insert(Known(identity));
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let body = body_of(Request::from_parts(parts.clone(), body)).await?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    // No name of a user has a line break in it.
    let who = identity.api_key.as_ref().map_or_else(|| identity.sub.clone(), |id| format!("\n{id}"));
    let asked = KeyedRequest::new(&who, &key, parts.method.as_str(), route, target, &body);
    parts.extensions.insert(Known(identity));
    let made = make(Arc::clone(&app), asked, Request::from_parts(parts, Body::from(body)), next);
    // It goes on if whoever asks goes away, from the moment on that its key may be there: they come back for the answer.
    let made = app.live.tasks.spawn(request_id::carried(made).in_current_span());
    made.await.unwrap_or_else(|_| Err(failed()))
}

/// Has the request answered, unless it was or is being answered.
async fn make(
    app: Arc<App>,
    asked: KeyedRequest,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match app.records.store.begin_keyed(&asked).await? {
        Keyed::Act(work) => {
            request.extensions_mut().insert(KeyedAct(work.act.clone()));
            Ok(answer(&app, &work, request, next).await)
        }
        Keyed::Answered(answer) => Ok(repeated(answer)),
        Keyed::UnderWay => {
            let detail = "The request with this `Idempotency-Key` is being answered. Wait `retry_after_ms`.";
            let problem = Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::KeyedUnderWay);
            Err(problem.retry_after(AGAIN_AFTER))
        }
        Keyed::OtherRequest => {
            let detail = "This `Idempotency-Key` came with another request. Give this one a key of its own.";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

/// Has the request answered, and keeps the answer.
async fn answer(app: &App, work: &KeyedWork, request: Request, next: Next) -> Response {
    let is_answered = CancellationToken::new();
    let answered = async {
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        is_answered.cancel();
        answered
    };
    let (answered, ()) = tokio::join!(answered, hold(app, work, &is_answered));
    let (end, response) = match answered {
        Ok(response) => end_of(response).await,
        // The log has the panic.
        Err(_) => (KeyedEnd::Unsure, failed().into_response()),
    };
    if let Err(error) = app.records.store.end_keyed(work, &end).await {
        tracing::warn!(%error, "what became of a request with a key was not written");
    }
    response
}

/// Says again and again that this relay is at work on a request, until it is answered: however long that takes, nobody else begins it.
async fn hold(app: &App, work: &KeyedWork, is_answered: &CancellationToken) {
    while timeout(KEYED_RENEWAL, is_answered.cancelled()).await.is_err() {
        if let Err(error) = app.records.store.hold_keyed(work).await {
            tracing::warn!(%error, "that a request with a key is being answered was not written");
        }
    }
}

/// What has come of a request by its answer, and the answer.
async fn end_of(response: Response) -> (KeyedEnd, Response) {
    let (mut parts, body) = response.into_parts();
    let kept = parts.extensions.remove::<Kept>();
    let Ok(body) = to_bytes(body, ANSWER_MAX_BYTES).await else {
        tracing::error!("an answer to a write is longer than any has to be");
        return (KeyedEnd::Unsure, failed().into_response());
    };
    let end = match parts.status {
        status if status.is_server_error() => KeyedEnd::Unsure,
        status if is_decided(status) && !parts.headers.contains_key(header::RETRY_AFTER) => {
            KeyedEnd::Answered(KeptAnswer {
                status: status.as_u16(),
                body: kept.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), |kept| kept.0),
            })
        }
        _ => KeyedEnd::Nothing,
    };
    (end, Response::from_parts(parts, Body::from(body)))
}

/// Whether an answer is the decision on what was asked: it is done, or refused for what is there. All others say that nothing was done, because
/// the request or whoever sends it is not as it has to be, or that it comes too often.
fn is_decided(status: StatusCode) -> bool {
    status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT)
}

fn repeated(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = match (answer.body.is_empty(), status.is_success()) {
        (true, _) => None,
        (false, true) => Some("application/json"),
        (false, false) => Some("application/problem+json"),
    };
    let mut response = (status, Body::from(answer.body)).into_response();
    let headers = response.headers_mut();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The relay failed. Its log says why.")
}

fn is_write(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

/// The key of a request: a text in quotation marks, as the draft has it, or without them, as many clients do.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let wrong = || {
        let detail = format!(
            "`Idempotency-Key` has to be one text of 1 to {KEY_MAX_CHARS} visible characters of ASCII, in quotation marks or without them."
        );
        bad_request(detail)
    };
    let mut given = headers.get_all(KEY).iter();
    let (Some(given), None) = (given.next(), given.next()) else { return Err(wrong()) };
    let given = given.to_str().map_err(|_| wrong())?.trim();
    let key = match given.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or_else(wrong)?,
        None => given,
    };
    // A quotation mark or a backslash would have to be escaped, and then one key could be written in two ways.
    let is_good = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if key.is_empty() || key.len() > KEY_MAX_CHARS || !key.bytes().all(is_good) {
        return Err(wrong());
    }
    Ok(key.to_owned())
}

/// Says in the API's document what each write takes and answers for it.
pub(super) fn describe(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in writes.into_iter().flatten() {
            // What carries calls has no token in its head, and so nobody whose key it would be.
            let tags = operation.tags.as_deref().unwrap_or_default();
            if !tags.iter().any(|tag| tag == "call") {
                describe_write(operation);
            }
        }
    }
}

fn describe_write(operation: &mut Operation) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter()));
    let known = &mut operation.responses.responses;
    for (status, description, response) in responses::keyed() {
        match known.get_mut(&status) {
            Some(RefOr::T(known)) => known.description = format!("{}. {description}", known.description),
            _ => drop(known.insert(status, response)),
        }
    }
}

fn parameter() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    let schema = schema.min_length(Some(1)).max_length(Some(KEY_MAX_CHARS));
    let description = "Under it the request is made once, however often it is sent: for 24 hours the same request gets the same answer, with \
        `idempotent-replayed: true`.";
    ParameterBuilder::new()
        .name(KEY)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;
    use crate::admission::auth::{Verifier, mint};
    use crate::config::Secret;
    use crate::money::price::PriceTable;
    use crate::records::spill::Spill;
    use crate::records::store::{DATABASE_FILE, SqlStore, unix_ms};
    use crate::{Config, Records};

    fn given(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, HeaderValue::from_bytes(value).expect("a value"));
        }
        key(&headers).ok()
    }

    #[test]
    fn a_key_is_one_text_with_quotation_marks_or_without() {
        let longest = "k".repeat(KEY_MAX_CHARS);
        for key in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "!~{}=,;", &longest] {
            assert_eq!(given(&[key.as_bytes()]).as_deref(), Some(key));
            assert_eq!(given(&[format!("\"{key}\"").as_bytes()]).as_deref(), Some(key), "the same key");
        }
        let too_long = "k".repeat(KEY_MAX_CHARS + 1);
        let wrong: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[b"\"\""],
            &[b"\"a"],
            &[b"a\""],
            &[b"a b"],
            &[b"a\\b"],
            &["é".as_bytes()],
            &[b"a", b"a"],
        ];
        assert!(wrong.iter().all(|values| given(values).is_none()));
        assert_eq!(given(&[too_long.as_bytes()]), None);
    }

    #[tokio::test]
    async fn a_panic_lets_go_of_its_key_at_once_and_the_request_is_made_again_under_the_same_id() {
        let data = tempfile::tempdir().expect("a folder");
        let mut config = Config::defaults();
        config.auth.hs256_secret = Some(Secret::new("an-example-secret-of-more-than-32-bytes".into()));
        let now = u64::try_from(unix_ms() / 1_000).expect("after 1970");
        let token = mint(&config.auth, "ada", now, Duration::from_secs(60)).expect("signed");
        let verifier = Verifier::from_config(&config.auth).expect("a verifier");
        let store = SqlStore::sqlite(&data.path().join(DATABASE_FILE)).await.expect("a store");
        let spill = Spill::open(data.path()).await.expect("a file for what is owed");
        let records = Records { store: Arc::new(store), spill, recordings: None };
        let app = Arc::new(App::new(config, verifier, records, PriceTable::shipped()));
        let acts = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&acts);
        let fails_first = move |Act(act): Act| {
            let seen = Arc::clone(&seen);
            async move {
                let tries = {
                    let mut seen = seen.lock().expect("no panic while it is held");
                    seen.push(act);
                    seen.len()
                };
                assert!(tries > 1, "it fails the first time");
                StatusCode::NO_CONTENT
            }
        };
        let router = Router::new().route("/v1/x", post(fails_first)).layer(from_fn_with_state(app, once));
        for (status, is_repeated) in [(500, false), (204, false), (204, true)] {
            let request = Request::post("/v1/x")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(KEY, "k")
                .body(Body::empty())
                .expect("a request");
            let response = router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().contains_key(REPLAYED), is_repeated);
        }
        let acts = acts.lock().expect("no panic while it is held");
        assert!(acts.len() == 2 && acts[0] == acts[1], "{acts:?}");
    }
}
