//! `/v1/call/http/{wire}`: a call over plain requests, for networks that let no WebSocket through (docs/protocol.md, section 15).
//!
//! `GET` opens a wire and is its way down, as a stream of events. The wire lives for as long as the stream, as a WebSocket does for as long as
//! its connection. `POST` is its way up. The client makes the wire's id, so that every request of a wire has the same address, and a load
//! balancer can bring all of them to the same relay by that address alone.

mod body;
mod wire;
mod wires;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::{CloseCode, HttpCode};
use tokio::time::timeout;
use utoipa::openapi::schema::{KnownFormat, Schema, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

pub use body::{Brought, Malformed, ROUND_ONE_MESSAGE_BYTES, Record};
use wire::{Receiving, Turn};
use wires::WireId;
pub(in crate::server) use wires::Wires;

use super::connections::OfACall;
use super::problem::ProblemBody;
use super::upgrade::{Place, Places, Purpose, check_origin, note, place, refuse};
use super::{Problem, Source};
use crate::{App, session};

/// Where the wires are, each behind it by its id.
pub(super) const PATH: &str = "/v1/call/http/";
/// What the stream of events is of.
const EVENT_STREAM: &str = "text/event-stream";
/// How long the body of a request may take: what a client sends at once, on the slowest mobile networks.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request waits until the session has taken what it brought: as long as a peer has that takes nothing.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The body of a request as the API's document has it: bytes.
struct Messages;

impl PartialSchema for Messages {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new().schema_type(Type::String);
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        bytes.format(Some(format)).content_media_type("application/octet-stream").build().into()
    }
}

impl ToSchema for Messages {}

/// What the answers need.
pub(super) type Parts = (Arc<App>, Places, Arc<Wires>);

/// A call over plain requests: opens it, and is its way down: docs/protocol.md.
#[utoipa::path(
    get, path = "/v1/call/http/{wire}", operation_id = "call_over_http", tag = "call", security(()),
    params(
        ("wire" = String, Path, description = "Of this connection alone, and its secret",
            min_length = 22, max_length = 64, pattern = "^[A-Za-z0-9_-]{22,64}$"),
    ),
    responses(
        (status = 200, description = "What the relay says, as events: docs/protocol.md says what is in them",
            content_type = "text/event-stream", body = String),
        (status = 400, description = "The id of the wire is none, or the request does not ask for events", content_type = "application/problem+json", body = ProblemBody),
        (status = 403, description = "Pages of this origin may not call", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "There is such a wire already, which is over by that", content_type = "application/problem+json", body = ProblemBody),
        (status = 429, description = "Too many of this address wait to be greeted", content_type = "application/problem+json", body = ProblemBody),
        (status = 503, description = "The relay takes no more calls now", content_type = "application/problem+json", body = ProblemBody),
    ),
)]
pub(super) async fn open(
    State((app, places, wires)): State<Parts>,
    Extension(source): Extension<Source>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let admitted = read_id(&id).and_then(|id| {
        wants_events(&headers)?;
        check_origin(&app, &headers)?;
        Ok((id, place(Purpose::Call, &app, &places, &source, &headers)?))
    });
    let (id, Place { address, waiting, permit }) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            note(Purpose::Call, &problem, &source);
            return refuse(problem).await;
        }
    };
    let Some((wire, events)) = wires.open(id, permit) else { return unknown() };
    let running = app.live.tasks.clone();
    running.spawn(session::serve(Box::new(wire), app, address, waiting));
    let headers = [
        (header::CONTENT_TYPE, EVENT_STREAM),
        // What is compressed is collected first.
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CONNECTION, "close"),
    ];
    (headers, Extension(OfACall), Body::new(events)).into_response()
}

/// Brings messages of a call over plain requests up to the relay: docs/protocol.md.
#[utoipa::path(
    post, path = "/v1/call/http/{wire}", operation_id = "say_over_http", tag = "call", security(()),
    params(
        ("wire" = String, Path, description = "As it was opened",
            min_length = 22, max_length = 64, pattern = "^[A-Za-z0-9_-]{22,64}$"),
    ),
    request_body(content_type = "application/octet-stream", content = inline(Messages),
        description = "The number of the request, and messages: docs/protocol.md"),
    responses(
        (status = 204, description = "The session has taken all of it"),
        (status = 400, description = "The id of the wire is none, or the body is not as it has to be", content_type = "application/problem+json", body = ProblemBody),
        (status = 408, description = "The body took too long", content_type = "application/problem+json", body = ProblemBody),
        (status = 409, description = "There is no such wire here, or it is over", content_type = "application/problem+json", body = ProblemBody),
        (status = 413, description = "The body is longer than the largest message with its frame", content_type = "application/problem+json", body = ProblemBody),
    ),
)]
pub(super) async fn bring(
    State((app, _, wires)): State<Parts>,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    let id = match read_id(&id) {
        Ok(id) => id,
        Err(problem) => return problem.for_every_page(),
    };
    let Some(halves) = wires.find(&id) else { return unknown() };
    let Some(receiving) = halves.receive() else {
        // Two requests at once have no order.
        halves.end(None);
        return unknown();
    };
    let most = app.config.message_max_bytes() + ROUND_ONE_MESSAGE_BYTES;
    let brought = match timeout(BODY_TIMEOUT, to_bytes(body, most)).await {
        Ok(Ok(body)) => Brought::parse(body),
        Ok(Err(error)) if is_too_long(&error) => {
            halves.end(Some(CloseCode::TooBig));
            let detail = format!("A request may bring {most} bytes.");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).for_every_page();
        }
        // The request may come once more.
        Ok(Err(_)) => {
            return Problem::new(StatusCode::BAD_REQUEST, "The body broke off.").for_every_page();
        }
        Err(_) => {
            let detail = format!("The body may take {} s.", BODY_TIMEOUT.as_secs());
            return Problem::new(StatusCode::REQUEST_TIMEOUT, detail).for_every_page();
        }
    };
    let Ok(brought) = brought else {
        halves.end(Some(CloseCode::Protocol));
        let detail = "The body is not the number of the request and whole messages.";
        return Problem::new(StatusCode::BAD_REQUEST, detail).for_every_page();
    };
    if timeout(TAKE_TIMEOUT, hand_over(&receiving, brought)).await.unwrap_or(false) {
        return (StatusCode::NO_CONTENT, [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")]).into_response();
    }
    halves.end(None);
    unknown()
}

/// Gives the session what a request brought, and waits until the session has taken it. Whether it has, or had before.
async fn hand_over(receiving: &Receiving, brought: Brought) -> bool {
    taken(receiving).await
        && match receiving.bring(brought) {
            Turn::Taken => taken(receiving).await,
            Turn::Repeated => true,
            Turn::Over => false,
        }
}

/// Waits until the session has taken everything, and says whether it has.
async fn taken(receiving: &Receiving) -> bool {
    loop {
        let mut notified = pin!(receiving.halves().taken.notified());
        notified.as_mut().enable();
        match receiving.is_taken() {
            Some(false) => notified.await,
            taken => return taken.is_some(),
        }
    }
}

fn read_id(id: &str) -> Result<WireId, Problem> {
    WireId::parse(id).ok_or_else(|| {
        let detail = "The wire's id has to be 22 to 64 letters, digits, `-` and `_`, made of 128 random bits at least.";
        Problem::new(StatusCode::BAD_REQUEST, detail).code(HttpCode::BadPath)
    })
}

/// Checks that the request asks for events, as no picture or link on a page does.
fn wants_events(headers: &HeaderMap) -> Result<(), Problem> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if accepted.flat_map(|accept| accept.split(',')).any(|kind| kind.trim().starts_with(EVENT_STREAM)) {
        return Ok(());
    }
    let detail = format!("This address answers with events: ask with `Accept: {EVENT_STREAM}`.");
    Err(Problem::new(StatusCode::BAD_REQUEST, detail))
}

/// The answer for a wire that is not here, or is over.
fn unknown() -> Response {
    let detail = "There is no such wire here, or it is over.";
    Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::WireUnknown).for_every_page()
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}
