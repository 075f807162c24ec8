//! What the engine tells the page: one kind of object, as JSON text, whose TypeScript type is made from the same source. The page is another thread
//! mostly, and a text gets there as well as an object; whoever writes messages of the protocol writes these, too.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

use protocol::client::{ErrorInfo, Event, SessionInfo, State};
use protocol::{Upward, Usage, micros, write_json};
use serde::Serialize;
use tsify::Tsify;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// Whoever is told: posts each report to the page.
    #[wasm_bindgen(typescript_type = "Outlet")]
    #[derive(Clone, PartialEq)]
    pub type Outlet;

    #[wasm_bindgen(method, js_name = tell)]
    fn hand_over(this: &Outlet, report: &str);

    /// Opens a WebSocket, or what has the face of one: a connection over HTTP. An error if the browser refuses even to try.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn open(this: &Outlet, over_http: bool) -> Result<web_sys::WebSocket, JsValue>;
}

// The same for the TypeScript: wasm-bindgen makes types of what it exports, and none of what it imports.
#[wasm_bindgen(typescript_custom_section)]
const OUTLET: &str =
    "/** Whom the engine tells a {@link Report} as JSON text, and who opens its connections to the relay. */
export interface Outlet {
  tell(report: string): void;
  /** Opens a WebSocket, or what has the face of one. */
  open(overHttp: boolean): WebSocket;
}";

/// One thing that the page is told. Numbers are whole; a page has them exactly up to 2^53, nine million dollars in nano-dollars.
#[derive(Serialize, Tsify)]
#[tsify(missing_as_null)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Report<'a> {
    /// A token is wanted.
    Token,
    /// The page is to ask over HTTP why no socket could be opened.
    Why,
    /// The last words of an ended call were heard.
    Drained,
    /// How loud it is, in millionths of full scale.
    Level { input_rms: u32, input_peak: u32, output_rms: u32, output_peak: u32 },
    /// The connection changed.
    State {
        #[tsify(
            type = "\"idle\" | \"connecting\" | \"connected\" | \"reconnecting\" | \"closing\" | \"closed\""
        )]
        state: &'static str,
        attempt: u32,
        retry_in_ms: u64,
    },
    /// A connection is tried over this.
    Transport {
        #[tsify(type = "\"websocket\" | \"http\"")]
        transport: &'static str,
    },
    /// A session began or goes on.
    Session {
        session_id: &'a str,
        conversation_id: &'a str,
        agent: Option<&'a str>,
        #[tsify(type = "readonly string[]")]
        features: &'a [String],
        epoch: u32,
        recording: bool,
        limits: Limits,
        prices: Prices<'a>,
    },
    /// The agent changed its state.
    Agent {
        #[tsify(type = "\"listening\" | \"thinking\" | \"speaking\"")]
        state: &'static str,
    },
    /// What was said.
    Transcript {
        turn: u32,
        #[tsify(type = "\"user\" | \"agent\"")]
        role: &'static str,
        text: &'a str,
        last: bool,
        start: u32,
        end: u32,
    },
    /// What the session has used.
    Usage { audio_ms: u64, tokens: u64, characters: u64, cost_nano_usd: u64, left_nano_usd: u64 },
    /// A budget has reached a threshold.
    Budget {
        #[tsify(type = "\"session\" | \"user\" | \"account\"")]
        scope: &'static str,
        #[tsify(type = "50 | 80 | 100")]
        percent: u32,
        limit_nano_usd: u64,
        spent_nano_usd: u64,
    },
    /// The page is to run a tool.
    ToolCall { call_id: &'a str, name: &'a str, arguments: &'a str },
    /// Its result is not waited for any more.
    ToolCancel { call_id: &'a str },
    /// The agent can do something less well, or as well as ever.
    Degraded {
        #[tsify(type = "\"hearing\" | \"thinking\" | \"speaking\"")]
        what: &'static str,
        degraded: bool,
    },
    /// How long an answer took.
    Latency {
        turn: u32,
        stt_ms: Option<u32>,
        llm_ms: Option<u32>,
        tts_ms: Option<u32>,
        send_ms: Option<u32>,
        heard_ms: Option<u32>,
        total_ms: Option<u32>,
    },
    /// Whether an operator listens in.
    Listened { listening: bool },
    /// A message that the relay will not get.
    Undelivered { message: &'a Upward },
    /// The message with this id will be delivered.
    Taken { id: u32 },
    /// The message with this id was not taken.
    Refused { id: u32, error: Failure<'a> },
    /// A heartbeat was answered.
    Rtt { us: u64 },
    /// How well the line does: of the agent's sound since the last such report, if some came; in the whole call; and now. And how much of the user's
    /// sound since that report was cut off.
    Quality {
        jitter_ms: Option<u32>,
        late_ms: Option<u32>,
        underruns: u32,
        dropped_ms: u32,
        waiting_ms: u32,
        clipped_ms: u32,
    },
    /// Audio of the microphone that the relay will never get.
    Gap { position: u32, samples: u32 },
    /// Something went wrong.
    Error { error: Failure<'a> },
    /// The call is over.
    Ended {
        #[tsify(type = "CloseName")]
        reason: &'static str,
        code: u16,
    },
    /// The engine itself is broken, and says nothing more.
    Broke { cause: &'a str },
}

/// What a session may do.
#[derive(Serialize, Tsify)]
#[tsify(missing_as_null)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    session_ms: u64,
    idle_ms: u64,
    budget_nano_usd: u64,
}

/// What it costs.
#[derive(Serialize, Tsify)]
#[tsify(missing_as_null)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Prices<'a> {
    version: &'a str,
    #[tsify(type = "readonly Price[]")]
    items: Vec<Price<'a>>,
}

/// One price.
#[derive(Serialize, Tsify)]
#[tsify(missing_as_null)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Price<'a> {
    item: &'a str,
    unit: &'a str,
    nano_usd: u64,
    per: u64,
}

/// What went wrong, in the words of `docs/errors.md`.
#[derive(Serialize, Tsify)]
#[tsify(missing_as_null)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure<'a> {
    code: &'a str,
    message: &'a str,
    retryable: bool,
    limit: Option<u64>,
    retry_after_ms: Option<u64>,
}

impl<'a> From<&'a ErrorInfo> for Failure<'a> {
    fn from(error: &'a ErrorInfo) -> Self {
        Failure {
            code: &error.code,
            message: &error.message,
            retryable: error.retryable,
            limit: error.limit,
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl<'a> From<&'a protocol::ErrorInfo> for Failure<'a> {
    fn from(error: &'a protocol::ErrorInfo) -> Self {
        let (limit, retry_after_ms) = (None, None);
        Failure {
            code: error.name,
            message: error.message,
            retryable: error.retryable,
            limit,
            retry_after_ms,
        }
    }
}

impl From<&Usage> for Report<'_> {
    fn from(usage: &Usage) -> Self {
        Report::Usage {
            audio_ms: usage.audio_ms,
            tokens: usage.tokens,
            characters: usage.characters,
            cost_nano_usd: usage.cost_nano_usd,
            left_nano_usd: usage.left_nano_usd,
        }
    }
}

impl<'a> From<&'a SessionInfo> for Report<'a> {
    fn from(session: &'a SessionInfo) -> Self {
        let price = |price: &'a protocol::Price| Price {
            item: &price.item,
            unit: &price.unit,
            nano_usd: price.nano_usd,
            per: price.per,
        };
        Report::Session {
            session_id: &session.session_id,
            conversation_id: &session.conversation_id,
            agent: session.agent.as_deref(),
            features: &session.features.0,
            epoch: session.epoch,
            recording: session.recording,
            limits: Limits {
                session_ms: session.limits.session_ms,
                idle_ms: session.limits.idle_ms,
                budget_nano_usd: session.limits.budget_nano_usd,
            },
            prices: Prices {
                version: &session.prices.version,
                items: session.prices.items.iter().map(price).collect(),
            },
        }
    }
}

impl<'a> From<&'a Event> for Report<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::State(state) => {
                let (state, attempt, retry_in) = match *state {
                    State::Idle => ("idle", 0, Duration::ZERO),
                    State::Connecting => ("connecting", 0, Duration::ZERO),
                    State::Connected => ("connected", 0, Duration::ZERO),
                    State::Reconnecting { attempt, retry_in } => ("reconnecting", attempt, retry_in),
                    State::Closing => ("closing", 0, Duration::ZERO),
                    State::Closed => ("closed", 0, Duration::ZERO),
                };
                Report::State { state, attempt, retry_in_ms: micros(retry_in) / 1_000 }
            }
            Event::Session(session) => session.into(),
            Event::Agent(state) => Report::Agent { state: state.word() },
            Event::Transcript(said) => Report::Transcript {
                turn: said.turn,
                role: said.role.word(),
                text: &said.text,
                last: said.last,
                start: said.start,
                end: said.end,
            },
            Event::Usage(usage) => usage.into(),
            Event::Budget(budget) => Report::Budget {
                scope: budget.scope.word(),
                percent: budget.percent,
                limit_nano_usd: budget.limit_nano_usd,
                spent_nano_usd: budget.spent_nano_usd,
            },
            Event::ToolCall(call) => {
                Report::ToolCall { call_id: &call.call_id, name: &call.name, arguments: &call.arguments }
            }
            Event::ToolCancel(call_id) => Report::ToolCancel { call_id },
            Event::Degraded(degraded) => {
                Report::Degraded { what: degraded.what.word(), degraded: degraded.degraded }
            }
            Event::Latency(took) => Report::Latency {
                turn: took.turn,
                stt_ms: took.stt_ms,
                llm_ms: took.llm_ms,
                tts_ms: took.tts_ms,
                send_ms: took.send_ms,
                heard_ms: took.heard_ms,
                total_ms: took.total_ms,
            },
            Event::Listened(listening) => Report::Listened { listening: *listening },
            Event::Undelivered(message) => Report::Undelivered { message },
            Event::RoundTrip(time) => Report::Rtt { us: micros(*time) },
            Event::Gap(gap) => Report::Gap { position: gap.position, samples: gap.samples },
            Event::Error(error) => Report::Error { error: error.into() },
            Event::Ended { code, .. } => Report::Ended { reason: code.name(), code: code.code() },
        }
    }
}

impl Outlet {
    /// Tells the page one thing.
    pub(crate) fn tell<'a>(&self, report: impl Into<Report<'a>>) {
        self.tell_report(&report.into());
    }

    fn tell_report(&self, report: &Report<'_>) {
        self.hand_over(&write_json(report));
    }
}

thread_local! {
    /// Who is to hear that this module is broken: each engine's outlet.
    static OUTLETS: RefCell<Vec<Outlet>> = const { RefCell::new(Vec::new()) };
}

/// Has a panic's words told to this outlet, and to all others of this module.
pub(crate) fn tell_panics_to(outlet: &Outlet) {
    // It fails only when the thread ends, and then nobody hears anything.
    let _ = OUTLETS.try_with(|outlets| outlets.borrow_mut().push(outlet.clone()));
    std::panic::set_hook(Box::new(|panic| {
        let mut cause = String::new();
        // A text takes whatever is written. `to_string` has words for the case that it does not.
        let _ = write!(cause, "{panic}");
        let outlets = OUTLETS.try_with(|outlets| outlets.try_borrow().map(|outlets| outlets.clone()));
        for outlet in outlets.into_iter().flatten().flatten() {
            outlet.tell(Report::Broke { cause: &cause });
        }
        // Whoever called has the words, too, and not those of a trap.
        wasm_bindgen::throw_str(&cause);
    }));
}

/// The engine of this outlet is gone.
pub(crate) fn tell_no_panics_to(outlet: &Outlet) {
    let _ = OUTLETS.try_with(|outlets| outlets.borrow_mut().retain(|other| other != outlet));
}
