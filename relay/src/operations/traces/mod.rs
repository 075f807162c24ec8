//! Traces: one of each turn, told to a collector in the OpenTelemetry protocol (OTLP over HTTP, in protobuf).
//!
//! A session's `Tracer` is told what is recorded of a turn anyway, and makes its spans when the turn is over: nothing is measured for it, and no frame
//! of audio meets it. The spans wait in a queue of [`Traces`] for the one task that posts them. When the queue is full, or the collector takes nothing,
//! they are dropped and counted: no call waits for a collector. `docs/observability.md` says what is in them.

mod carrier;
mod otlp;
mod spans;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use protocol::Time;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::carrier::{Carrier, Collector, Waiting};
use self::otlp::Span;
use self::spans::{About, Provided, spans};
use self::turn::{Ended, Gathering, Turn};
use crate::config;
use crate::money::bill::ItemPrice;
use crate::money::tab::RequestId;
use crate::operations::{outbound, telemetry};
use crate::provider::{Event, Provider, Service};
use crate::records::store::unix_ms;
use crate::session::machine::{Log, Traced};

/// Turns whose spans wait to be posted. Those of a thousand calls end in a minute.
const QUEUE: usize = 2_048;
/// How many bytes the spans that wait may be when they are posted.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// For a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the spans of all sessions go.
#[derive(Debug)]
pub struct Traces {
    queue: mpsc::Sender<Waiting>,
    /// The bytes that there is room for among those that wait.
    room: Arc<Semaphore>,
    has_content: bool,
    sample_percent: u32,
    /// Cancelled when no session is left.
    closing: CancellationToken,
    /// The task that posts them, until somebody waits for its end.
    carrier: Mutex<Option<JoinHandle<()>>>,
}

impl Traces {
    /// Starts the task that posts spans to the collector.
    ///
    /// # Errors
    /// When the system has no TLS to offer.
    pub fn start(config: &config::Traces) -> Result<Traces, reqwest::Error> {
        let client = outbound::http_client()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .default_headers(headers(config))
            .build()?;
        let collector = Collector { client, url: config.endpoint.clone() };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let carrier = Carrier::new(waiting, collector, closing.clone());
        Ok(Traces {
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            has_content: config.has_content,
            sample_percent: config.sample_percent,
            closing,
            carrier: Mutex::new(Some(tokio::spawn(carrier.run()))),
        })
    }

    /// Posts what is left in the queue, within a moment. What is left then is dropped and counted.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let carrier = self.carrier.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(carrier) = carrier
            && let Err(error) = carrier.await
        {
            tracing::error!(%error, "the last traces were not posted");
        }
    }

    /// Whether the turns of a session are traced. All relays that have it one after another say the same.
    fn takes(&self, session_id: &str) -> bool {
        let sum = session_id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        sum % 100 < self.sample_percent
    }

    /// Puts the spans of a turn into the queue.
    fn push(&self, spans: Vec<Span>) {
        let count = spans.len();
        if count > 0 && !self.has_room_for(spans) {
            telemetry::spans_dropped(count);
        }
    }

    fn has_room_for(&self, spans: Vec<Span>) -> bool {
        let bytes: usize = spans.iter().map(Message::encoded_len).sum();
        let Ok(permits) = u32::try_from(bytes) else { return false };
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(permits) else { return false };
        self.queue.try_send(Waiting { spans, bytes, _room: room }).is_ok()
    }
}

/// What is sent with every request. The configuration was checked: each of them is one.
fn headers(config: &config::Traces) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value.expose())) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers
}

/// Gathers the turns of one session.
#[derive(Debug)]
pub(crate) struct Tracer {
    traces: Arc<Traces>,
    about: About,
    /// What each of the agent's providers gives, by their places.
    services: Vec<Service>,
    gathering: Gathering,
}

impl Tracer {
    /// The tracer of a session, at this time of the relay, if its turns are traced.
    pub(crate) fn new<'a>(
        traces: Option<&Arc<Traces>>,
        now: Time,
        [session_id, conversation_id, agent]: [&str; 3],
        providers: impl Iterator<Item = (&'a Provider, &'a ItemPrice)>,
    ) -> Option<Tracer> {
        let traces = traces.filter(|traces| traces.takes(session_id))?;
        let since_1970 = u64::try_from(unix_ms()).unwrap_or_default().saturating_mul(1_000_000);
        let (provided, services) =
            providers.map(|(provider, price)| (provided(provider, price), provider.kind.service)).unzip();
        let about = About {
            session_id: session_id.to_owned(),
            conversation_id: conversation_id.to_owned(),
            agent: agent.to_owned(),
            providers: provided,
            has_content: traces.has_content,
            zero: since_1970.saturating_sub(now.as_micros().saturating_mul(1_000)),
        };
        let gathering = Gathering::new(traces.has_content);
        Some(Tracer { traces: Arc::clone(traces), about, services, gathering })
    }

    /// A provider is asked.
    pub(crate) fn asked(&mut self, now: Time, request: RequestId, provider: usize) {
        if let Some(service) = self.services.get(provider) {
            self.gathering.asked(now, request, provider, *service);
        }
    }

    /// A provider says something: only its last word counts.
    pub(crate) fn said(&mut self, now: Time, request: RequestId, event: &Event) {
        match event {
            Event::Finished(_) => self.gathering.ended(now, request, Ended::Whole),
            Event::Failed(why) => self.gathering.ended(now, request, Ended::Failed(why.kind.name())),
            _ => {}
        }
    }

    /// A request is given up.
    pub(crate) fn cancelled(&mut self, now: Time, request: RequestId) {
        self.gathering.ended(now, request, Ended::GivenUp);
    }

    /// Something is logged of the session.
    pub(crate) fn logged(&mut self, log: &Log) {
        match log {
            Log::Answered(latency) => self.gathering.answered(*latency),
            Log::Interrupted => self.gathering.interrupted(),
            _ => {}
        }
    }

    /// Something is recorded of the session.
    pub(crate) fn recorded(&mut self, now: Time, traced: Traced) {
        let turn = self.gathering.recorded(now, traced);
        self.tell(turn);
    }

    /// The session is over here.
    pub(crate) fn finish(&mut self) {
        let turn = self.gathering.finish();
        self.tell(turn);
    }

    fn tell(&self, turn: Option<Turn>) {
        if let Some(turn) = turn {
            self.traces.push(spans(&self.about, &turn, || getrandom::u64().unwrap_or_default()));
        }
    }
}

/// A provider as its spans name it: who is paid, as in the ledger.
fn provided(provider: &Provider, price: &ItemPrice) -> Provided {
    let vendor = price.item().split('/').next().unwrap_or_default();
    Provided { vendor: vendor.to_owned(), model: provider.model.clone(), voice: provider.voice.clone() }
}
