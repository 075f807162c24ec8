//! `GET /v1/call` and `GET /v1/preflight`: how a request becomes a WebSocket.
//!
//! A browser hides from its pages why a WebSocket could not be opened. So a page may send the same request without an upgrade, and gets the
//! answer that the upgrade would get. Pages of every origin may read it: it has the reason and nothing else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{ErrorCode, HttpCode, SUBPROTOCOL};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::address::client_address;
use super::problem::ProblemBody;
use super::websocket::WebSocketWire;
use super::{Problem, Source, stopping};
use crate::admission::throttle::{Asking, Excess, Waiting};
use crate::operations::telemetry;
use crate::{App, session};

/// The size of the read buffer that each connection has, and how many bytes the library takes at a time: a usual chunk in two pieces, after its
/// head. Twice as many pieces cost more work, and a larger buffer costs memory where nobody speaks. It grows with the largest message; the
/// library's default is 128 KiB.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// How many bytes are collected before they are written to the network.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// How many bytes may wait for a peer that reads slowly: five seconds of 24 kHz audio. The library's default is no limit.
const WRITE_BUFFER_MAX_BYTES: usize = 256 * 1024;
/// After how many seconds to come back to a relay that is full.
const FULL_RETRY_AFTER_SECONDS: u32 = 5;
/// An address that has opened too many connections in a minute waits this long for each refusal.
const TOO_MANY_WAIT: Duration = Duration::from_secs(1);

/// How many preflights there may be at the same time.
const PREFLIGHTS: usize = 128;

/// What a WebSocket, or what stands in for one, is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Call,
    Preflight,
}

/// The places for WebSockets. Each has one from the upgrade until its connection is closed, among those for its purpose.
#[derive(Clone, Debug)]
pub(super) struct Places {
    calls: Arc<Semaphore>,
    preflights: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new(calls: usize) -> Places {
        let places = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Places { calls: places(calls), preflights: places(PREFLIGHTS) }
    }
}

/// A call, over a WebSocket: docs/protocol.md.
#[utoipa::path(
    get, path = "/v1/call", operation_id = "call", tag = "call", security(()),
    responses(
        (status = 101, description = "The WebSocket is open: docs/protocol.md says what goes over it"),
        (status = 400, description = "What was to open a WebSocket does not", content_type = "application/problem+json", body = ProblemBody),
        (status = 403, description = "Pages of this origin may not call", content_type = "application/problem+json", body = ProblemBody),
        (status = 426, description = "A request that does not ask for a WebSocket, where one would be opened",
            content_type = "application/problem+json", body = ProblemBody),
        (status = 429, description = "Too many of this address wait to be greeted", content_type = "application/problem+json", body = ProblemBody),
        (status = 503, description = "The relay takes no more calls now", content_type = "application/problem+json", body = ProblemBody),
    ),
)]
pub(super) async fn open_call(
    State((app, places)): State<(Arc<App>, Places)>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    open(Purpose::Call, app, &places, &source, &headers, upgrade).await
}

/// Whether a call would be taken, and what its connection carries, over a WebSocket: docs/protocol.md.
#[utoipa::path(
    get, path = "/v1/preflight", operation_id = "preflight", tag = "call", security(()),
    responses(
        (status = 101, description = "The WebSocket is open: docs/protocol.md says what goes over it"),
        (status = 400, description = "What was to open a WebSocket does not", content_type = "application/problem+json", body = ProblemBody),
        (status = 403, description = "Pages of this origin may not call", content_type = "application/problem+json", body = ProblemBody),
        (status = 426, description = "A request that does not ask for a WebSocket, where one would be opened",
            content_type = "application/problem+json", body = ProblemBody),
        (status = 429, description = "Too many preflights of this address, or too many of its connections wait to be greeted",
            content_type = "application/problem+json", body = ProblemBody),
        (status = 503, description = "The relay takes no more calls now",
            content_type = "application/problem+json", body = ProblemBody),
    ),
)]
pub(super) async fn open_preflight(
    State((app, places)): State<(Arc<App>, Places)>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    open(Purpose::Preflight, app, &places, &source, &headers, upgrade).await
}

/// Opens a WebSocket, or says why not.
async fn open(
    purpose: Purpose,
    app: Arc<App>,
    places: &Places,
    source: &Source,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let admitted = match upgrade {
        Ok(upgrade) => check(headers).map(|()| upgrade),
        Err(_) if headers.contains_key(header::UPGRADE) => {
            Err(not_a_websocket("This address takes WebSocket connections (RFC 6455, version 13)."))
        }
        Err(_) => {
            // The place is given back at once.
            let place =
                check_origin(&app, headers).and_then(|()| place(purpose, &app, places, source, headers));
            return match place.map(drop) {
                Ok(()) => upgrade_required(),
                Err(problem) => refuse(problem).await,
            };
        }
    };
    let admitted = admitted.and_then(|upgrade| {
        check_origin(&app, headers)?;
        Ok((upgrade, place(purpose, &app, places, source, headers)?))
    });
    let (upgrade, Place { address, waiting, permit }) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            note(purpose, &problem, source);
            return refuse(problem).await;
        }
    };
    source.place.become_call(permit);
    let place = source.place.clone();
    let message_max_bytes = app.config.message_max_bytes();
    // A relay that stops waits until this token is dropped.
    let running = app.live.tasks.token();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
        .max_message_size(message_max_bytes)
        .max_frame_size(message_max_bytes)
        .on_upgrade(move |socket| async move {
            let wire = Box::new(WebSocketWire::new(socket, place));
            match purpose {
                Purpose::Call => session::serve(wire, app, address, waiting).await,
                Purpose::Preflight => {
                    session::serve_preflight(wire, app, address).await;
                    // Its address has room for another one when it is over.
                    drop(waiting);
                }
            }
            drop(running);
        })
}

/// Tells an address why it is refused, and one that opens connections faster than it may only after a while: a client that tries again at
/// once would cost more than a call does.
pub(super) async fn refuse(problem: Problem) -> Response {
    if [ErrorCode::AddressRate, ErrorCode::PreflightRate].iter().any(|code| problem.word() == code.name()) {
        sleep(TOO_MANY_WAIT).await;
    }
    problem.for_every_page()
}

/// What a WebSocket takes up: a place among those of its address that wait to be greeted, or that make preflights, and a place among all of its
/// purpose.
pub(super) struct Place {
    pub(super) address: IpAddr,
    pub(super) waiting: Waiting,
    pub(super) permit: OwnedSemaphorePermit,
}

/// A place for a WebSocket from the address of this request, if there is one.
pub(super) fn place(
    purpose: Purpose,
    app: &App,
    places: &Places,
    source: &Source,
    headers: &HeaderMap,
) -> Result<Place, Problem> {
    let network = &app.config.network;
    let address = client_address(source.peer.ip(), headers, |address| network.trusts(address));
    match purpose {
        Purpose::Call => place_of_call(Asking::Take, app, places, address),
        Purpose::Preflight => {
            let waiting = app.admission.throttle.preflight(address, app.config.preflights_per_minute)?;
            // A preflight of which the call would not be let in is refused like it, and takes none of its places.
            drop(place_of_call(Asking::Look, app, places, address)?);
            let permit = Arc::clone(&places.preflights).try_acquire_owned().map_err(|_| {
                let (limit, retry_after) =
                    (PREFLIGHTS as u64, Duration::from_secs(FULL_RETRY_AFTER_SECONDS.into()));
                Excess { code: ErrorCode::PreflightRate, limit, asked: limit + 1, retry_after }
            })?;
            Ok(Place { address, waiting, permit })
        }
    }
}

/// A place for a call, if there is one.
fn place_of_call(asking: Asking, app: &App, places: &Places, address: IpAddr) -> Result<Place, Problem> {
    if app.live.moving.is_cancelled() {
        return Err(stopping());
    }
    let network = &app.config.network;
    let waiting = app.admission.throttle.wait(
        asking,
        address,
        network.pre_login_connections_per_address,
        network.connections_per_minute_per_address,
    )?;
    let permit = Arc::clone(&places.calls).try_acquire_owned().map_err(|_| {
        let detail = "This relay takes no more calls now.";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(FULL_RETRY_AFTER_SECONDS)
    })?;
    Ok(Place { address, waiting, permit })
}

/// The answer for a page that asks why no WebSocket could be opened, if the relay would open one.
fn upgrade_required() -> Response {
    let detail = "This address takes WebSocket connections, and would take one from here.";
    let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, detail).for_every_page();
    // The answer has to name the protocol to upgrade to (RFC 9110, 15.5.22).
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

/// Logs and counts a refused connection, unless the request only failed to be a WebSocket.
pub(super) fn note(purpose: Purpose, problem: &Problem, source: &Source) {
    let code = problem.word();
    if code == HttpCode::NotAWebSocket.name() {
        return;
    }
    tracing::info!(peer = %source.peer, code, "connection refused");
    match purpose {
        Purpose::Preflight => telemetry::preflight(code),
        Purpose::Call if code == HttpCode::OriginRefused.name() => telemetry::refused("origin"),
        Purpose::Call => telemetry::refused(code),
    }
}

fn not_a_websocket(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).code(HttpCode::NotAWebSocket)
}

/// Checks what the WebSocket library does not check.
fn check(headers: &HeaderMap) -> Result<(), Problem> {
    if !is_key(headers) {
        return Err(not_a_websocket("Sec-WebSocket-Key has to be 16 bytes in base64, once."));
    }
    if !offers_subprotocol(headers) {
        return Err(not_a_websocket(format!("Offer the WebSocket subprotocol {SUBPROTOCOL}.")));
    }
    // Bytes after the head would be taken for frames here (RFC 9110, 7.8), and for the body by a proxy.
    if has_body(headers) {
        return Err(not_a_websocket("A request that opens a WebSocket has no body."));
    }
    Ok(())
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// Checks that pages of the request's origin may call.
pub(super) fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    // A request with two origins cannot be checked.
    let (Ok(origin), Ok(host)) = (single(headers, &header::ORIGIN), single(headers, &header::HOST)) else {
        return Err(not_a_websocket("Origin and Host have to be text, once each."));
    };
    let allows = |origin: Option<&str>| app.config.origins.allow(origin, host);
    let is_allowed = match host.filter(|_| origin.is_none() && is_of_this_host(headers)) {
        // A page that asks its own host sends no origin, while it does when it opens a WebSocket there.
        Some(host) => ["https", "http"].iter().any(|scheme| allows(Some(&format!("{scheme}://{host}")))),
        None => allows(origin),
    };
    if is_allowed {
        return Ok(());
    }
    tracing::debug!(origin, host, "origin refused");
    let detail = match origin {
        Some(_) => "Pages of this origin may not call this relay; its operator can add it to `origins`.",
        None => "This relay takes calls from browsers only.",
    };
    Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::OriginRefused))
}

/// Whether a browser says that the asking page comes from the host that it asks. A page cannot set this header.
fn is_of_this_host(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

fn is_key(headers: &HeaderMap) -> bool {
    let Ok(Some(key)) = single(headers, &header::SEC_WEBSOCKET_KEY) else { return false };
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    offers
        .iter()
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','))
        .any(|o| o.trim() == SUBPROTOCOL)
}

/// The value of a header, if it is there. An error if it is there twice or is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}
