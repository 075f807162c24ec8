//! Deepgram: two wires that hear, one that speaks.

mod aura;
mod flux;
mod listen;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use serde_json::Value;

use crate::provider::REQUEST_ID;
use crate::script::Wire;
use crate::server::{Fakes, Opened};
use crate::talk::{Conversation, drive};

pub(crate) use aura::speak_once;

/// What stands in the query of an address.
type Asked = BTreeMap<String, String>;

/// Why a query is refused.
type Fault = String;

pub(crate) async fn listen(
    state: State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    query: Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    converse(Wire::DeepgramListen, &state, &uri, &headers, upgrade, |opened| {
        listen::Listen::new(&query, &opened.act)
    })
    .await
}

pub(crate) async fn flux(
    state: State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    query: Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    converse(Wire::DeepgramFlux, &state, &uri, &headers, upgrade, |opened| {
        flux::Flux::new(&query, &opened.act)
    })
    .await
}

pub(crate) async fn speak(
    state: State<Arc<Fakes>>,
    uri: Uri,
    headers: HeaderMap,
    query: Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    converse(Wire::DeepgramSpeak, &state, &uri, &headers, upgrade, |opened| {
        aura::Aura::new(&query, &opened.act)
    })
    .await
}

async fn converse<C: Conversation + 'static>(
    wire: Wire,
    fakes: &Fakes,
    uri: &Uri,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
    begin: impl FnOnce(&Opened) -> Result<C, Fault>,
) -> Response {
    let opened = match fakes.open(wire, uri, headers, Value::Null).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let conversation = match begin(&opened) {
        Ok(conversation) => conversation,
        Err(fault) => return opened.refuse(400, &fault),
    };
    let mut response = upgrade.on_upgrade(|socket| drive(socket, conversation, opened));
    let id = HeaderValue::from_static(REQUEST_ID);
    response.headers_mut().insert(HeaderName::from_static("dg-request-id"), id);
    response
}

fn is_on(asked: &Asked, name: &str) -> bool {
    asked.get(name).is_some_and(|value| value == "true")
}

/// A number of the query, held to what the documents allow.
fn number(asked: &Asked, name: &str, allowed: std::ops::RangeInclusive<f64>) -> Result<Option<f64>, Fault> {
    let Some(text) = asked.get(name) else { return Ok(None) };
    match text.parse() {
        Ok(number) if allowed.contains(&number) => Ok(Some(number)),
        _ => Err(format!("Invalid query string: {name} is {text}")),
    }
}

/// The rate of raw sound; it has to be said.
fn sample_rate(asked: &Asked) -> Result<u32, Fault> {
    match number(asked, "sample_rate", 8_000.0..=48_000.0)? {
        Some(rate) => Ok(rate as u32),
        None => Err("Invalid query string: raw sound needs encoding and sample_rate".to_owned()),
    }
}
