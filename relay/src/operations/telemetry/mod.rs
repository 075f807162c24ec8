//! What an operator can watch: counters, gauges and histograms in the format of Prometheus. `docs/metrics.md` lists them.
//!
//! No label is anything a user can choose, so there are no more series than the tables of codes, reasons and operations have words.

mod line;
mod money;
mod names;
mod process;
mod providers;
mod records;
mod routes;
mod scrape;
mod serve;
mod sessions;

use std::fmt;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub(crate) use line::Line;
pub(crate) use money::{alert, budget_alert, cost, credit_cut, excess, settled, webhook};
pub use names::{Kind, METRICS, Metric};
pub(crate) use providers::{
    Opening, provider, provider_circuit, provider_connection, provider_difference, provider_in_use,
    provider_opened, provider_request, provider_socket_ahead,
};
pub(crate) use records::{Place, recording, recording_dropped, row_damaged, spill_entries, store};
pub(crate) use routes::http_answered;
pub use serve::serve;
pub(crate) use sessions::{
    PREFLIGHT_OK, Resume, answered, connected, draining, false_interruption, interruption, moved, preflight,
    refused, resumed, session_ended, session_opened, token_refused,
};

use crate::App;
use names::{ANSWER_SECONDS, BUILD_INFO, LOG_LINES_DROPPED, SPANS_DROPPED};

/// Seconds: from a local read to the longest that a transaction may take.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Seconds: what an answer takes, and its stages. They lie closest around a second, where people notice the difference.
const ANSWER_STAGES: [f64; 14] = [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0];

/// Counts from now on, and gives out what was counted.
#[derive(Clone)]
pub struct Telemetry(PrometheusHandle);

impl Telemetry {
    /// Counts in this process from now on. `None` if something else does already.
    #[must_use]
    pub fn install() -> Option<Telemetry> {
        let recorder = recorder();
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

    /// Everything that was counted, and what is measured now, as text.
    pub async fn render(&self, app: &App) -> String {
        let process = scrape::measure(app).await;
        self.0.render() + &process
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

/// What counts. The buckets of a metric that is named come before those of an ending.
fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .expect("there are buckets")
        .set_buckets_for_metric(Matcher::Full(ANSWER_SECONDS.to_owned()), &ANSWER_STAGES)
        .expect("there are buckets")
        .build_recorder()
}

/// So many spans were dropped.
pub(crate) fn spans_dropped(count: usize) {
    counter!(SPANS_DROPPED).increment(count as u64);
}

/// Lets every counter stand at 0 with every value of its labels that is known: the increase from nothing to 1 is none to Prometheus.
/// They stay for as long as the relay runs: there are no more series than these tables have words.
fn begin() {
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    counter!(LOG_LINES_DROPPED).increment(0);
    counter!(SPANS_DROPPED).increment(0);
    sessions::begin();
    line::begin();
    money::begin();
    records::begin();
}

#[cfg(test)]
mod tests;
