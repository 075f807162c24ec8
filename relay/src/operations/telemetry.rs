//! What an operator can watch: counters, gauges and histograms in the format of Prometheus. `docs/metrics.md` lists them.
//!
//! No label is anything a user can choose, so there are no more series than the tables of codes, reasons and operations have words.

mod serve;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use protocol::client::Transport;
use protocol::{CloseCode, ErrorCode, Latency};

pub use serve::serve;

use crate::NanoUsd;
use crate::admission::auth::AuthError;
use crate::money::budget::{Scope, THRESHOLDS};
use crate::operations::log;
use crate::provider::{FailureKind, Standing};
use crate::records::store::{OPERATIONS, StoreError};
use crate::session::machine::Moment;

/// Seconds: from a local read to the longest that a transaction may take.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// How long the database counts as away after an answer that said so.
const AWAY_LASTS: Duration = Duration::from_secs(10);

/// When the database was last away.
static LAST_AWAY: Mutex<Option<Instant>> = Mutex::new(None);

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with the unit at the end.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, in a line.
    pub meaning: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the relay runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

macro_rules! metrics {
    ($($name:ident = $text:literal, $kind:ident, [$($label:literal),*], $meaning:literal;)*) => {
        $(const $name: &str = $text;)*

        /// All there are.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], meaning: $meaning },)*
        ];
    };
}

metrics! {
    SESSIONS_LIVE = "voxrelay_sessions_live", Gauge, [], "sessions that live in this relay";
    SESSIONS_OPENED = "voxrelay_sessions_opened_total", Counter, [], "sessions that began here, or were taken over from another relay";
    SESSIONS_ENDED = "voxrelay_sessions_ended_total", Counter, ["reason"], "sessions that ended or left this relay, by the name of the close code";
    DRAINING = "voxrelay_draining", Gauge, [], "1 from the moment at which the relay is told to stop";
    MOVED = "voxrelay_moved_total", Counter, ["how"], "calls that a relay which is told to stop has sent elsewhere: in a `pause` between two turns, or at the `deadline` of `drain.move_seconds`, whatever was said";
    CONNECTIONS = "voxrelay_connections_total", Counter, ["transport"], "connections of calls whose user is known, by what they go over: a `websocket`, or plain requests of `http`. A call has another one after each loss";
    REFUSALS = "voxrelay_refusals_total", Counter, ["code"], "connections that got no session, by the code of the error, or `origin`";
    PREFLIGHTS = "voxrelay_preflights_total", Counter, ["outcome"], "preflights: `ok`, or the code of the error with which the call would be refused";
    TOKENS_REFUSED = "voxrelay_tokens_refused_total", Counter, ["cause"], "tokens that were not accepted, in the first message or later";
    BUDGET_ALERTS = "voxrelay_budget_alerts_total", Counter, ["scope", "percent"], "thresholds of budgets that were reached";
    SETTLED = "voxrelay_settled_nano_usd_total", Counter, [], "cost in the ledger rows that sessions of this relay wrote";
    EXCESS = "voxrelay_excess_nano_usd_total", Counter, [], "what providers reported beyond what was set aside for their requests: the operator pays it, and nobody is charged";
    STORE_SECONDS = "voxrelay_store_seconds", Histogram, ["operation"], "time that the database took to answer";
    STORE_ERRORS = "voxrelay_store_errors_total", Counter, ["operation", "kind"], "answers of the database that were errors: `away`, `fenced` or `other`";
    STORE_AWAY = "voxrelay_store_away", Gauge, [], "1 while the database could not be reached or written to within the last 10 s";
    RECORDING_DROPPED = "voxrelay_recording_dropped_samples_total", Counter, [], "samples that are silent in recordings because the disk was too slow";
    RECORDINGS = "voxrelay_recordings_total", Counter, ["outcome"], "finished recordings: `stored`, `discarded` (nothing in it, or deleted), or `kept` in the data folder for another try";
    WEBHOOKS = "voxrelay_webhook_deliveries_total", Counter, ["outcome"], "tries to deliver an alert: `delivered`, `failed` (tried again) or `given_up`";
    PROVIDER_REQUESTS = "voxrelay_provider_requests_total", Counter, ["provider", "outcome"], "requests to a provider, by its name in the configuration: `ok`, or the kind of its failure; `circuit_open` and `at_limit` were not sent";
    PROVIDER_CIRCUIT = "voxrelay_provider_circuit", Gauge, ["provider"], "whether a provider is asked: 0 as ever, 1 while one request tries whether it answers again, 2 not at all";
    PROVIDER_IN_USE = "voxrelay_provider_in_use", Gauge, ["provider"], "requests and open sockets that a provider has; `max_concurrent` is the most";
    PROVIDER_CONNECTIONS = "voxrelay_provider_connections_total", Counter, ["provider", "opened"], "connections to a provider: `needed` by a request that had to wait for it, or opened `ahead` of need";
    PROVIDER_OPENED = "voxrelay_provider_opened_total", Counter, ["provider"], "times that a provider was not asked any more, because it failed";
    PROVIDER_DIFFERENCE = "voxrelay_provider_difference_samples_total", Counter, ["provider", "bills"], "audio that a recogniser says it bills, `more` or `less` than it was given, where that is beyond a second of a connection";
    ANSWER_SECONDS = "voxrelay_answer_seconds", Histogram, ["stage"], "how long answers took: `stt` from the end of the user's last word until what was said was understood, `llm` from then until the first words, `tts` from then until the first sound came, `send` from then until it was sent to the page, `total` until then from the end of the user's last word, and `heard` from then until the page had played some of it";
    FALSE_INTERRUPTIONS = "voxrelay_false_interruptions_total", Counter, [], "answers that were held and went on, since nobody wanted to interrupt them";
    LOG_LINES_DROPPED = "voxrelay_log_lines_dropped_total", Counter, [], "lines of the log that could not be written, or that nobody read in time";
}

/// Counts from now on, and gives out what was counted.
#[derive(Clone)]
pub struct Telemetry(PrometheusHandle);

impl Telemetry {
    /// Counts in this process from now on. `None` if something else does already.
    #[must_use]
    pub fn install() -> Option<Telemetry> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        begin();
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, metric.meaning),
                Kind::Gauge => metrics::describe_gauge!(metric.name, metric.meaning),
                Kind::Histogram => metrics::describe_histogram!(metric.name, metric.meaning),
            }
        }
        Some(Telemetry(handle))
    }

    /// Everything that was counted, as text.
    #[must_use]
    pub fn render(&self, sessions: usize) -> String {
        gauge!(SESSIONS_LIVE).set(sessions as f64);
        counter!(LOG_LINES_DROPPED).absolute(log::dropped());
        self.0.render()
    }

    /// Puts what was observed into its buckets: to be called now and then, or it grows.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}

/// Kinds of the errors of a database.
const ERROR_KINDS: &[&str] = &["away", "fenced", "other"];
/// Refused tokens of another user or account, beside those that are not good.
const OTHERS_TOKENS: &[&str] = &["other_account", "other_sub"];
/// What connections go over.
const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Http];
/// What becomes of a recording.
const RECORDED: &[&str] = &["stored", "discarded", "kept"];
/// What becomes of a try to deliver an alert.
const DELIVERIES: &[&str] = &["delivered", "failed", "given_up"];

/// A preflight that says that the call would be taken.
pub(crate) const PREFLIGHT_OK: &str = "ok";

/// What becomes of a request to a provider that answers.
const ANSWERED: &str = "ok";

/// What a recogniser bills beside what it was given.
const BILLS: [&str; 2] = ["more", "less"];

/// Lets the counters of a provider stand at 0, as [`begin`] does for what is known without a configuration.
pub(crate) fn provider(name: &str) {
    for outcome in [ANSWERED].into_iter().chain(FailureKind::ALL.map(FailureKind::name)) {
        counter!(PROVIDER_REQUESTS, "provider" => name.to_owned(), "outcome" => outcome).increment(0);
    }
    counter!(PROVIDER_OPENED, "provider" => name.to_owned()).increment(0);
    for opening in [Opening::Needed, Opening::Ahead] {
        counter!(PROVIDER_CONNECTIONS, "provider" => name.to_owned(), "opened" => opening.name())
            .increment(0);
    }
    for bills in BILLS {
        counter!(PROVIDER_DIFFERENCE, "provider" => name.to_owned(), "bills" => bills).increment(0);
    }
    gauge!(PROVIDER_CIRCUIT, "provider" => name.to_owned()).set(0.0);
    gauge!(PROVIDER_IN_USE, "provider" => name.to_owned()).set(0.0);
}

/// A request to a provider is over: with an answer, or with a failure.
pub(crate) fn provider_request(name: &str, failure: Option<FailureKind>) {
    let outcome = failure.map_or(ANSWERED, FailureKind::name);
    counter!(PROVIDER_REQUESTS, "provider" => name.to_owned(), "outcome" => outcome).increment(1);
}

/// Whether a provider is asked has changed.
pub(crate) fn provider_circuit(name: &str, standing: Standing) {
    let value = match standing {
        Standing::Closed => 0.0,
        Standing::Probing => 1.0,
        Standing::Open => 2.0,
    };
    gauge!(PROVIDER_CIRCUIT, "provider" => name.to_owned()).set(value);
}

/// So many requests and open sockets of a provider are there more than before.
pub(crate) fn provider_in_use(name: &str, more: i8) {
    gauge!(PROVIDER_IN_USE, "provider" => name.to_owned()).increment(f64::from(more));
}

/// Why a connection to a provider is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A request waits for it: a turn pays for the handshake.
    Needed,
    /// A request will come that finds it there.
    Ahead,
}

impl Opening {
    fn name(self) -> &'static str {
        match self {
            Opening::Needed => "needed",
            Opening::Ahead => "ahead",
        }
    }
}

/// A connection to a provider is opened.
pub(crate) fn provider_connection(name: &str, opening: Opening) {
    counter!(PROVIDER_CONNECTIONS, "provider" => name.to_owned(), "opened" => opening.name()).increment(1);
}

/// A provider that was asked is not asked any more.
pub(crate) fn provider_opened(name: &str) {
    counter!(PROVIDER_OPENED, "provider" => name.to_owned()).increment(1);
}

/// A recogniser bills so many samples more than it was given, or less.
pub(crate) fn provider_difference(name: &str, samples: i64) {
    let [more, less] = BILLS;
    let bills = if samples > 0 { more } else { less };
    counter!(PROVIDER_DIFFERENCE, "provider" => name.to_owned(), "bills" => bills)
        .increment(samples.unsigned_abs());
}

/// Lets every counter stand at 0 with every value of its labels that is known: the increase from nothing to 1 is none to Prometheus.
/// They stay for as long as the relay runs: there are no more series than these tables have words.
fn begin() {
    counter!(SESSIONS_OPENED).increment(0);
    counter!(SETTLED).increment(0);
    counter!(EXCESS).increment(0);
    counter!(RECORDING_DROPPED).increment(0);
    counter!(LOG_LINES_DROPPED).increment(0);
    for code in CloseCode::ALL {
        counter!(SESSIONS_ENDED, "reason" => code.name()).increment(0);
    }
    for moment in Moment::ALL {
        counter!(MOVED, "how" => moment.name()).increment(0);
    }
    for transport in TRANSPORTS {
        counter!(CONNECTIONS, "transport" => transport_name(transport)).increment(0);
    }
    for code in ErrorCode::ALL.iter().map(|code| code.name()).chain(["origin"]) {
        counter!(REFUSALS, "code" => code).increment(0);
    }
    for outcome in ErrorCode::ALL.iter().map(|code| code.name()).chain([PREFLIGHT_OK]) {
        counter!(PREFLIGHTS, "outcome" => outcome).increment(0);
    }
    for cause in AuthError::CAUSES.iter().chain(OTHERS_TOKENS) {
        counter!(TOKENS_REFUSED, "cause" => *cause).increment(0);
    }
    for scope in [Scope::Session, Scope::User, Scope::Account] {
        for percent in THRESHOLDS {
            counter!(BUDGET_ALERTS, "scope" => scope.name(), "percent" => percent.to_string()).increment(0);
        }
    }
    for operation in OPERATIONS {
        for kind in ERROR_KINDS {
            counter!(STORE_ERRORS, "operation" => *operation, "kind" => *kind).increment(0);
        }
    }
    for outcome in RECORDED {
        counter!(RECORDINGS, "outcome" => *outcome).increment(0);
    }
    counter!(FALSE_INTERRUPTIONS).increment(0);
    for outcome in DELIVERIES {
        counter!(WEBHOOKS, "outcome" => *outcome).increment(0);
    }
    gauge!(STORE_AWAY).set(0.0);
    gauge!(DRAINING).set(0.0);
}

/// The relay is told to stop.
pub(crate) fn draining() {
    gauge!(DRAINING).set(1.0);
}

/// A call is sent elsewhere, at such a moment.
pub(crate) fn moved(moment: Moment) {
    counter!(MOVED, "how" => moment.name()).increment(1);
}

pub(crate) fn session_opened() {
    counter!(SESSIONS_OPENED).increment(1);
}

/// The user of a connection is known.
pub(crate) fn connected(transport: Transport) {
    counter!(CONNECTIONS, "transport" => transport_name(transport)).increment(1);
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::WebSocket => "websocket",
        Transport::Http => "http",
    }
}

/// `reason` is the name of a close code.
pub(crate) fn session_ended(reason: &'static str) {
    counter!(SESSIONS_ENDED, "reason" => reason).increment(1);
}

/// `code` is the name of an error code.
pub(crate) fn refused(code: &str) {
    counter!(REFUSALS, "code" => code.to_owned()).increment(1);
}

/// `outcome` is [`PREFLIGHT_OK`] or the name of an error code.
pub(crate) fn preflight(outcome: &str) {
    counter!(PREFLIGHTS, "outcome" => outcome.to_owned()).increment(1);
}

pub(crate) fn token_refused(cause: &'static str) {
    counter!(TOKENS_REFUSED, "cause" => cause).increment(1);
}

pub(crate) fn budget_alert(scope: &'static str, percent: u32) {
    counter!(BUDGET_ALERTS, "scope" => scope, "percent" => percent.to_string()).increment(1);
}

pub(crate) fn answered(latency: &Latency) {
    let Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms, .. } = *latency;
    let stages = [("stt", stt_ms), ("llm", llm_ms), ("tts", tts_ms), ("send", send_ms), ("total", total_ms)];
    // That it was heard is told by itself, behind the rest.
    let heard = [("heard", heard_ms)];
    for &(stage, took) in if heard_ms.is_some() { &heard[..] } else { &stages } {
        if let Some(ms) = took {
            histogram!(ANSWER_SECONDS, "stage" => stage).record(f64::from(ms) / 1_000.0);
        }
    }
}

pub(crate) fn settled(cost: NanoUsd) {
    counter!(SETTLED).increment(cost.get());
}

/// A provider reported more than was set aside for its request.
pub(crate) fn excess(cost: NanoUsd) {
    counter!(EXCESS).increment(cost.get());
}

pub(crate) fn recording_dropped(samples: u64) {
    counter!(RECORDING_DROPPED).increment(samples);
}

pub(crate) fn recording(outcome: &'static str) {
    counter!(RECORDINGS, "outcome" => outcome).increment(1);
}

pub(crate) fn webhook(outcome: &'static str) {
    counter!(WEBHOOKS, "outcome" => outcome).increment(1);
}

/// Nobody wanted to interrupt an answer that was held and goes on.
pub(crate) fn false_interruption() {
    counter!(FALSE_INTERRUPTIONS).increment(1);
}

/// Measures what the database takes for an operation, and counts its errors.
pub(crate) async fn store<T>(
    operation: &'static str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let asked = Instant::now();
    let answer = answer.await;
    histogram!(STORE_SECONDS, "operation" => operation).record(asked.elapsed().as_secs_f64());
    let away = answer.as_ref().is_err_and(StoreError::is_away);
    gauge!(STORE_AWAY).set(u8::from(is_store_away(away)));
    if let Err(error) = &answer {
        let kind = match error {
            _ if away => "away",
            StoreError::Fenced { .. } => "fenced",
            _ => "other",
        };
        counter!(STORE_ERRORS, "operation" => operation, "kind" => kind).increment(1);
    }
    answer
}

/// Whether the database counts as away after this answer. On a full disk what is read is answered as ever: one good answer proves nothing.
fn is_store_away(now: bool) -> bool {
    let mut last = LAST_AWAY.lock().unwrap_or_else(PoisonError::into_inner);
    if now {
        *last = Some(Instant::now());
    }
    last.is_some_and(|last| last.elapsed() < AWAY_LASTS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_lists_what_there_is() {
        let document = include_str!("../../../docs/metrics.md");
        let listed: BTreeSet<&str> =
            document.lines().filter(|line| line.starts_with("| `voxrelay_")).collect();
        let there: BTreeSet<String> = METRICS
            .iter()
            .map(|Metric { name, kind, labels, meaning }| {
                let kind = format!("{kind:?}").to_lowercase();
                let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
                format!("| `{name}` | {kind} | {} | {meaning} |", labels.join(", "))
            })
            .collect();
        assert_eq!(listed, there.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_counter_stands_at_0_from_the_start_with_every_known_value_of_its_labels() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, begin);
        let text = handle.render();
        let series =
            |name: &str| text.lines().filter(|line| line.starts_with(name) && line.ends_with(" 0")).count();
        for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter) {
            let values: usize = metric
                .labels
                .iter()
                .map(|label| match (metric.name, *label) {
                    (_, "reason") => CloseCode::ALL.len(),
                    (_, "code") => ErrorCode::ALL.len() + 1,
                    (_, "cause") => AuthError::CAUSES.len() + OTHERS_TOKENS.len(),
                    // Those of a provider stand there once it is configured.
                    (PROVIDER_REQUESTS | PROVIDER_OPENED | PROVIDER_CONNECTIONS | PROVIDER_DIFFERENCE, _) => {
                        0
                    }
                    (CONNECTIONS, "transport") => TRANSPORTS.len(),
                    (_, "how") => Moment::ALL.len(),
                    (PREFLIGHTS, "outcome") => ErrorCode::ALL.len() + 1,
                    (_, "scope" | "percent" | "kind" | "outcome") => 3,
                    (_, "operation") => OPERATIONS.len(),
                    (name, label) => panic!("{name} has a label {label} whose values nobody has listed"),
                })
                .product();
            assert_eq!(series(metric.name), values, "{}: {text}", metric.name);
        }
        assert!(text.contains("\nvoxrelay_store_away 0"), "{text}");
    }

    #[test]
    fn names_end_with_their_unit() {
        for Metric { name, kind, .. } in METRICS {
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Histogram, name.ends_with("_seconds"), "{name}");
        }
    }
}
