//! Sentry: panics, budgets that have reached a threshold, and providers that are not asked any more go there, too.
//!
//! Each event is made here of a few words that are the relay's own. What a panic says may quote a user, so of a panic there is its place and its
//! trace; and nobody's name, address, token or session is in any of them. The crate's own integrations, which gather more, are not used.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use sentry::protocol::{Event, Exception};
use sentry::transports::{RateLimiter, TokioTransportThread, TokioTransportThreadOptions};
use sentry::{Client, ClientOptions, Envelope, Level, Transport, TransportFactory, TransportOptions};

use crate::config;
use crate::operations::outbound;
use crate::records::store::Alert;

/// For a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a relay that stops waits until its last events are taken.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Who is told, if anybody: a panic has no other way to them.
static CLIENT: OnceLock<Client> = OnceLock::new();

/// Posts events with the relay's own kind of client.
struct Outbound(reqwest::Client);

/// A thread of the crate's that posts events, behind a queue that drops what is too much. What it is answered is not read.
struct Posting(TokioTransportThread);

impl TransportFactory for Outbound {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        let url = options.dsn.envelope_api_url().to_string();
        let auth = options.dsn.to_auth(Some(&options.user_agent)).to_string();
        let client = self.0.clone();
        let post = move |envelope: Envelope, mut limits: RateLimiter| {
            let mut body = Vec::new();
            let written = envelope.to_writer(&mut body);
            let request = client.post(&url).header("x-sentry-auth", &auth).body(body);
            async move {
                // The crate's own transport reads an answer to its end, of which there may be none.
                if written.is_ok()
                    && let Ok(response) = request.send().await
                {
                    obey(&mut limits, &response);
                }
                limits
            }
        };
        Arc::new(Posting(TokioTransportThreadOptions::new(post).spawn_thread()))
    }
}

impl Transport for Posting {
    fn send_envelope(&self, envelope: Envelope) {
        self.0.send(envelope);
    }

    fn flush(&self, timeout: Duration) -> bool {
        self.0.flush(timeout)
    }
}

/// Notes for how long no events are wanted, if the answer says that.
fn obey(limits: &mut RateLimiter, response: &Response) {
    let said = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(said) = said("x-sentry-rate-limits") {
        limits.update_from_sentry_header(said);
    } else if let Some(said) = said(RETRY_AFTER.as_str()) {
        limits.update_from_retry_after(said);
    } else if response.status() == StatusCode::TOO_MANY_REQUESTS {
        limits.update_from_429();
    }
}

/// Tells what happens from now on. A second call changes nothing.
///
/// # Errors
/// When the system has no TLS to offer.
pub(crate) fn start(config: &config::Sentry) -> Result<(), reqwest::Error> {
    let client = client(config)?;
    CLIENT.get_or_init(|| client);
    Ok(())
}

fn client(config: &config::Sentry) -> Result<Client, reqwest::Error> {
    let client = outbound::http_client().timeout(TIMEOUT).redirect(Policy::none()).build()?;
    let options = ClientOptions::new()
        .dsn(config.dsn.expose())
        .release(concat!("voxrelay@", env!("CARGO_PKG_VERSION")))
        .environment(config.environment.clone())
        .default_integrations(false)
        .send_default_pii(false)
        .transport(Outbound(client));
    Ok(Client::from_config(options))
}

/// Waits a moment until the last events are taken: the process is to end.
pub(crate) fn finish() {
    if let Some(client) = CLIENT.get() {
        client.flush(Some(LAST_EVENTS));
    }
}

/// Something has panicked.
pub(crate) fn panicked(panic: &PanicHookInfo<'_>, trace: &Backtrace) {
    let place = panic.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let exception = Exception { ty: "panic".to_owned(), value: Some(place), ..Exception::default() };
    let mut event = Event { level: Level::Fatal, ..Event::new() };
    event.exception = vec![exception].into();
    if trace.status() == BacktraceStatus::Captured {
        event.extra.insert("trace".to_owned(), trace.to_string().into());
    }
    tell(event);
}

/// A budget has reached one of its thresholds. Whose it is, the log says, by the id of the alert.
pub(crate) fn budget_reached(alert: &Alert) {
    let (scope, percent) = (alert.scope.name(), alert.percent.to_string());
    let said = format!("{percent} % of a budget of a {scope} are spent");
    let tags = [("scope", scope.to_owned()), ("percent", percent), ("alert", alert.id.clone())];
    tell(event(Level::Warning, said, tags));
}

/// A provider fails, and is not asked any more.
pub(crate) fn provider_away(name: &str) {
    let said = format!("the provider {name} fails, so it is not asked any more");
    tell(event(Level::Error, said, [("provider", name.to_owned())]));
}

fn event<const N: usize>(level: Level, message: String, tags: [(&str, String); N]) -> Event<'static> {
    let tags = tags.into_iter().map(|(tag, value)| (tag.to_owned(), value)).collect();
    Event { level, message: Some(message), tags, ..Event::new() }
}

fn tell(event: Event<'static>) {
    if let Some(client) = CLIENT.get() {
        client.capture_event(event, None);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use futures_util::{StreamExt, stream};
    use protocol::Time;

    use super::*;
    use crate::NanoUsd;
    use crate::config::{LogConfig, LogFormat, Secret};
    use crate::money::budget::Scope;
    use crate::operations::{alerts, log};
    use crate::provider::{self, Ask, Failure, FailureKind, Kind, Provider, Upstream};

    type Envelopes = Arc<Mutex<Vec<String>>>;

    async fn take(State(envelopes): State<Envelopes>, head: HeaderMap, body: Bytes) -> &'static str {
        let body = String::from_utf8_lossy(&body).into_owned();
        envelopes.lock().expect("nobody panics").push(format!("{head:?}\n{body}"));
        "{}"
    }

    /// A provider of this name fails until it is not asked any more.
    fn fail(name: &str) {
        let kind = Kind::named("openai-speech").expect("registered");
        let provider = Provider { name: name.to_owned(), ..provider::scenario::provider(kind, "small") };
        let upstream = Arc::new(Upstream::new(provider).expect("a client"));
        let failed = provider::Event::Failed(Failure::new(FailureKind::Connection, "broke off"));
        while upstream.is_asked() {
            let mut pass = upstream.admit(Time::ZERO, &Ask::Speak("Hello.".to_owned())).expect("it is asked");
            pass.note(Time::ZERO, &failed);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn panics_budgets_and_providers_that_are_away_are_told_and_nobodys_words_or_names() {
        let envelopes = Envelopes::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let routes = Router::new().route("/api/7/envelope/", post(take)).with_state(Arc::clone(&envelopes));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let dsn = Secret::new(format!("http://public@127.0.0.1:{port}/7"));
        start(&config::Sentry { dsn, environment: "proving".into() }).expect("there is TLS");
        log::start(&LogConfig { format: LogFormat::Text, level: "off".into() });

        // As a session's task does, which nobody waits for.
        let words = String::from("what lovelace said");
        let session = tokio::spawn(async move { assert!(words.is_empty(), "hunter2: {words}") });
        assert!(session.await.is_err_and(|error| error.is_panic()));
        fail("ears");
        alerts::raised(&Alert {
            id: "alert-1".into(),
            scope: Scope::User,
            period: "2026-11-28".into(),
            percent: 80,
            session_id: "session-of-lovelace".into(),
            user_sub: "lovelace".into(),
            account: "acme-corp".into(),
            limit: NanoUsd::new(10),
            spent: NanoUsd::new(8),
            created_at_ms: 0,
            due_since_ms: 0,
            attempts: 0,
        });
        tokio::task::spawn_blocking(finish).await.expect("it waits");

        let told = envelopes.lock().expect("nobody panics").join("\n");
        let wanted = [
            "\"panic\"",
            "tracker.rs:",
            "the provider ears fails",
            "80 % of a budget of a user",
            "alert-1",
            "proving",
        ];
        for wanted in wanted {
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
        for secret in ["hunter2", "lovelace", "acme-corp", "server_name", "\"user\":"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_without_an_end_holds_up_no_event() {
        type Count = Arc<Mutex<usize>>;
        async fn take(State(count): State<Count>) -> Body {
            *count.lock().expect("nobody panics") += 1;
            let piece = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
            Body::from_stream(piece.chain(stream::pending()))
        }
        let count = Count::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let routes = Router::new().route("/api/7/envelope/", post(take)).with_state(Arc::clone(&count));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let dsn = Secret::new(format!("http://public@127.0.0.1:{port}/7"));
        let config = config::Sentry { dsn, environment: "proving".into() };
        let client = client(&config).expect("there is TLS");
        let told = tokio::task::spawn_blocking(move || {
            for text in ["one", "two"] {
                client.capture_event(event(Level::Error, text.to_owned(), []), None);
            }
            client.flush(Some(TIMEOUT / 2))
        });
        assert!(told.await.expect("it waits"), "both are posted long before the first answer is too late");
        assert_eq!(*count.lock().expect("nobody panics"), 2);
    }
}
