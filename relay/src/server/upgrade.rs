//! `GET /v1/call`: from a request to a WebSocket.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{ErrorCode, HttpCode, SUBPROTOCOL};
use tokio::sync::Semaphore;

use super::address::client_address;
use super::{Problem, Source};
use crate::{App, session, telemetry};

/// A read buffer is kept for each connection: 128 KiB by default.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What is collected before it is written to the network.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// What may wait for a peer that reads slowly: five seconds of 24 kHz audio. Unlimited by default.
const WRITE_BUFFER_MAX_BYTES: usize = 256 * 1024;
/// When to come back to a relay that is full.
const FULL_RETRY_AFTER_SECONDS: u32 = 5;

/// Places for calls: one each, from the upgrade until the connection is closed.
#[derive(Clone, Debug)]
pub(super) struct Calls(Arc<Semaphore>);

impl Calls {
    pub(super) fn new(places: usize) -> Calls {
        Calls(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }
}

pub(super) async fn open_call(
    State((app, calls)): State<(Arc<App>, Calls)>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let detail = "This address takes WebSocket connections (RFC 6455, version 13).";
        return Problem::new(StatusCode::BAD_REQUEST, detail).code(HttpCode::NotAWebSocket).into_response();
    };
    if let Err(problem) = check(&app, &headers) {
        return problem.into_response();
    }
    let network = &app.config.network;
    let address = client_address(source.peer.ip(), &headers, |address| network.trusts(address));
    let waiting = match app.throttle.wait(address, network.pre_login_connections_per_address) {
        Ok(waiting) => waiting,
        Err(excess) => {
            tracing::info!(%address, code = excess.code.name(), "connection refused");
            telemetry::refused(excess.code.name());
            return Problem::from(excess).into_response();
        }
    };
    let Ok(place) = calls.0.try_acquire_owned() else {
        let detail = "This relay takes no more calls now.";
        telemetry::refused(ErrorCode::RelayFull.name());
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .retry_after(FULL_RETRY_AFTER_SECONDS)
            .into_response();
    };
    source.place.keep(place);
    let message_max_bytes = app.config.message_max_bytes();
    // The relay waits for this token's drop before it leaves.
    let running = app.tasks.token();
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
        .max_message_size(message_max_bytes)
        .max_frame_size(message_max_bytes)
        .on_upgrade(move |socket| async move {
            session::serve_socket(socket, app, address, waiting).await;
            drop(running);
        })
}

/// What the WebSocket library does not check.
fn check(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let bad = |detail| Err(Problem::new(StatusCode::BAD_REQUEST, detail).code(HttpCode::NotAWebSocket));
    if !is_key(headers) {
        return bad("Sec-WebSocket-Key has to be 16 bytes in base64, once.".to_owned());
    }
    if !offers_subprotocol(headers) {
        return bad(format!("Offer the WebSocket subprotocol {SUBPROTOCOL}."));
    }
    // Two Origins are none that could be checked.
    let (Ok(origin), Ok(host)) = (single(headers, &header::ORIGIN), single(headers, &header::HOST)) else {
        return bad("Origin and Host have to be text, once each.".to_owned());
    };
    if app.config.origins.allow(origin, host) {
        return Ok(());
    }
    tracing::debug!(origin, host, "origin refused");
    telemetry::refused("origin");
    let detail = match origin {
        Some(_) => "Pages of this origin may not call this relay; its operator can add it to `origins`.",
        None => "This relay takes calls from browsers only.",
    };
    Err(Problem::new(StatusCode::FORBIDDEN, detail).code(HttpCode::OriginRefused))
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

/// The header's one value, if it is there.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}
