//! A collector of traces. What the relay posts is read with the messages of OpenTelemetry's own crate, and not with those that it was written with.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

/// What a collector was posted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected(Arc<Mutex<Posted>>);

#[derive(Debug, Default)]
struct Posted {
    heads: Vec<HeaderMap>,
    bodies: Vec<Bytes>,
}

impl Collected {
    /// Starts a collector, and says where it is.
    pub(crate) async fn start() -> (String, Collected) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let collected = Collected::default();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(collected.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (format!("http://127.0.0.1:{port}/v1/traces"), collected)
    }

    /// All spans.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let posted = self.0.lock().expect("nobody panics");
        let exports = posted
            .bodies
            .iter()
            .map(|body| ExportTraceServiceRequest::decode(body.clone()).expect("an export of traces"));
        exports
            .flat_map(|export| export.resource_spans)
            .flat_map(|of| of.scope_spans)
            .flat_map(|of| of.spans)
            .collect()
    }

    /// What a header said in each request.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let posted = self.0.lock().expect("nobody panics");
        let said = posted.heads.iter().filter_map(|head| head.get(name)?.to_str().ok());
        said.map(ToOwned::to_owned).collect()
    }

    /// Everything that came, as text.
    pub(crate) fn text(&self) -> String {
        let posted = self.0.lock().expect("nobody panics");
        posted.bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
    }
}

async fn take(State(collected): State<Collected>, head: HeaderMap, body: Bytes) {
    let mut posted = collected.0.lock().expect("nobody panics");
    posted.heads.push(head);
    posted.bodies.push(body);
}

/// The attributes of a span, each as text.
pub(crate) fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.iter().cloned();
    attributes.map(|one| (one.key, text(one.value.and_then(|value| value.value)))).collect()
}
