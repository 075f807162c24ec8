//! The table of metrics: each with its name, its kind, its labels and what it says. `docs/metrics.md` has the same lines.

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
        $(pub(super) const $name: &str = $text;)*

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
