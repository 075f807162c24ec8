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
    READY = "voxrelay_ready", Gauge, [], "1 while calls are to be sent here: the relay is not told to stop, has the keys with which tokens are checked, and finds in the database the schema that it needs. `/readyz` says which of them it is";
    DRAINING = "voxrelay_draining", Gauge, [], "1 from the moment at which the relay is told to stop";
    MOVED = "voxrelay_moved_total", Counter, ["how"], "calls that a relay which is told to stop has sent elsewhere: in a `pause` between two turns, or at the `deadline` of `drain.move_seconds`, whatever was said";
    CONNECTIONS = "voxrelay_connections_total", Counter, ["transport"], "connections of calls whose user is known, by what they go over: a `websocket`, or plain requests of `http`. A call has another one after each loss";
    REFUSALS = "voxrelay_refusals_total", Counter, ["code"], "connections that got no session, by the code of the error, or `origin`";
    PREFLIGHTS = "voxrelay_preflights_total", Counter, ["outcome"], "preflights: `ok`, or the code of the error with which the call would be refused";
    TOKENS_REFUSED = "voxrelay_tokens_refused_total", Counter, ["cause"], "tokens that were not accepted, in the first message or later";
    RESUMES = "voxrelay_resumes_total", Counter, ["outcome"], "what became of clients that came back to their session: it went on `here`, was `taken_over` from another relay, had `ended`, could not go on so that a new one `began_anew`, or the client was `refused`";
    CHUNKS = "voxrelay_chunks_total", Counter, ["direction"], "frames of audio: `up` from pages, those that came twice or were refused among them, and `down` to them";
    ACKNOWLEDGEMENT_SECONDS = "voxrelay_acknowledgement_seconds", Histogram, [], "how long the oldest frame of each acknowledgement waited for it in the relay; it gathers them for up to 0.2 s";
    HTTP_REQUESTS = "voxrelay_http_requests_total", Counter, ["route", "method", "status"], "requests, by the route as the relay has it, such as `/v1/sessions/{id}`, or `none`; by the method, or `other`; and by the class of the status, such as `2xx`. A call over a WebSocket is one with `1xx`";
    HTTP_SECONDS = "voxrelay_http_request_seconds", Histogram, ["route"], "how long requests waited for the head of their answer";
    BUDGET_ALERTS = "voxrelay_budget_alerts_total", Counter, ["scope", "percent"], "thresholds of budgets that were reached";
    ALERTS = "voxrelay_alerts_total", Counter, ["type", "state"], "alerts about the service as a whole ([webhooks](webhooks.md#when-something-is-wrong)), with a webhook or without: `provider.down`, `calls.failing`, `answers.slow` and `store.down`, each `firing` and `resolved`. Of the first three, one of several relays counts each, and again every hour as long as it lasts; the last is counted by each relay that finds it";
    SETTLED = "voxrelay_settled_nano_usd_total", Counter, [], "cost in the ledger rows that sessions of this relay wrote";
    COST = "voxrelay_cost_nano_usd_total", Counter, ["provider", "unit", "estimated"], "cost in the ledger rows that this relay wrote, also for sessions that were gone: by who was paid and by what was counted, as the ledger has them, and whether the relay had to estimate how much it was (`true`), since the provider did not say. What is charged for a lost relay has the provider `unknown` and the unit `nano_usd`, and is counted by the relay that finds it";
    EXCESS = "voxrelay_excess_nano_usd_total", Counter, [], "what providers reported beyond what was set aside for their requests: the operator pays it, and nobody is charged";
    REPEATED = "voxrelay_repeated_nano_usd_total", Counter, [], "what recognisers were paid that nobody is charged for: audio that another one had been given before, and what one was given until it was known to hear. The operator pays it; the rows in the ledger have units that begin with `repeated_`, and cost 0";
    CREDITS_CUT = "voxrelay_credits_cut_nano_usd_total", Counter, [], "what recognisers said afterwards that they bill less and users did not get back by itself, since they had most of it back already; each settlement that is written again counts again";
    STORE_SECONDS = "voxrelay_store_seconds", Histogram, ["operation"], "time that the database took to answer";
    STORE_ERRORS = "voxrelay_store_errors_total", Counter, ["operation", "kind"], "answers of the database that were errors: `away`, `fenced` or `other`";
    STORE_AWAY = "voxrelay_store_away", Gauge, [], "1 while the database could not be reached or written to within the last 10 s";
    SCHEMA_OUTDATED = "voxrelay_schema_outdated", Gauge, [], "1 while the schema of the database lacks what this relay needs, as after a database was put back to a copy from before an update. It is asked every 5 s";
    ROWS_DAMAGED = "voxrelay_rows_damaged_total", Counter, ["table"], "rows that were asked for and cannot be read, each time that they are: they are left out of what is told and shown, and where money depends on one, what needs it is refused. `usage` is sums of the ledger";
    STORE_CONNECTIONS = "voxrelay_store_connections", Gauge, ["pool", "state"], "open connections to the database, `in_use` or `idle`: with SQLite those that `writes` and `reads` have, with PostgreSQL those that both have (`shared`) and the one that renews the `lease`, and with either those for `prompt` work, which waits for nobody";
    LEASE_MARGIN = "voxrelay_lease_margin_seconds", Gauge, [], "time until this relay has to stop its sessions, unless the database takes the renewal of its lease before";
    SPILL_ENTRIES = "voxrelay_spill_entries", Gauge, ["place"], "entries that the database is owed, on the relay's own `disk`, or in `memory` because the disk does not take them";
    SPILL_BYTES = "voxrelay_spill_bytes", Gauge, [], "bytes of the file on the relay's own disk for what the database is owed; after such a time it keeps its size";
    DATA_FREE = "voxrelay_data_free_bytes", Gauge, [], "bytes that are free where the data folder is";
    RECORDING_DROPPED = "voxrelay_recording_dropped_samples_total", Counter, [], "samples that are silent in recordings because the disk was too slow";
    RECORDINGS = "voxrelay_recordings_total", Counter, ["outcome"], "finished recordings: `stored`, `discarded` (nothing in it, or deleted), or `kept` in the data folder for another try";
    WEBHOOKS = "voxrelay_webhook_deliveries_total", Counter, ["outcome"], "tries to deliver an alert or an event to a webhook: `delivered`, `failed` (tried again) or `given_up`";
    PROVIDER_REQUESTS = "voxrelay_provider_requests_total", Counter, ["provider", "outcome"], "requests to a provider, by its name in the configuration: `ok`, or the kind of its failure; `circuit_open` and `at_limit` were not sent, and a `clogged` one was given more than may wait for its connection";
    PROVIDER_CIRCUIT = "voxrelay_provider_circuit", Gauge, ["provider"], "whether a provider is asked: 0 as ever, 2 not at all, since it failed, and 1 once the time for that is over: one request tries whether it answers again, or the next one will";
    PROVIDER_IN_USE = "voxrelay_provider_in_use", Gauge, ["provider"], "requests and open sockets that a provider has; `max_concurrent` is the most";
    PROVIDER_CONNECTIONS = "voxrelay_provider_connections_total", Counter, ["provider", "opened"], "connections to a provider: `needed` by a request that had to wait for it, or opened `ahead` of need; `late` counts those of the latter that were not open yet when a request took them";
    PROVIDER_AHEAD = "voxrelay_provider_sockets_ahead", Gauge, ["provider"], "WebSockets that are opened ahead of need and wait for a request";
    PROVIDER_OPENED = "voxrelay_provider_opened_total", Counter, ["provider"], "times that a provider was not asked any more, because it failed";
    PROVIDER_DIFFERENCE = "voxrelay_provider_difference_samples_total", Counter, ["provider", "bills"], "audio that a recogniser says it bills, `more` or `less` than it was given, where that is beyond a second of a connection";
    ANSWER_SECONDS = "voxrelay_answer_seconds", Histogram, ["stage"], "how long answers took: `stt` from the end of the user's last word until what was said was understood, `llm` from then until the first words, `tts` from then until the first sound came, `send` from then until it was sent to the page, `total` until then from the end of the user's last word, and `heard` from then until the page had played some of it";
    INTERRUPTIONS = "voxrelay_interruptions_total", Counter, [], "answers that were cut off before they were heard to their end: the user interrupted, or the agent thought better of it";
    FALSE_INTERRUPTIONS = "voxrelay_false_interruptions_total", Counter, [], "answers that were held and went on, since nobody wanted to interrupt them";
    SPANS_DROPPED = "voxrelay_spans_dropped_total", Counter, [], "spans of traces that were dropped, since the collector did not take them or more waited for it than may";
    LOG_LINES_DROPPED = "voxrelay_log_lines_dropped_total", Counter, [], "lines of the log that could not be written, or that nobody read in time";
    BUILD_INFO = "voxrelay_build_info", Gauge, ["version"], "1, with the version of the relay";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, [], "time of processors that the relay has used";
    PROCESS_RESIDENT = "process_resident_memory_bytes", Gauge, [], "memory that the relay has in RAM";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Gauge, [], "address space that the relay has";
    PROCESS_OPEN_FDS = "process_open_fds", Gauge, [], "files and sockets that the relay has open";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, [], "files and sockets that the relay may have open";
    PROCESS_THREADS = "process_threads", Gauge, [], "threads of the relay";
    PROCESS_START = "process_start_time_seconds", Gauge, [], "when the relay started, in seconds since 1970";
}
