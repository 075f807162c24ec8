//! What the engine tells the page.

use audio::SPEECH_RATE;
use protocol::client::{ErrorInfo, Event, NotTaken, SessionInfo, State};
use protocol::{Ability, AgentState, BudgetScope, ClientMessage, Mark, Numbered, Role, Usage};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// The TypeScript around the engine, which names the fields and posts them to the page.
    ///
    /// Numbers that are `u64` in Rust go over as `f64`: exact up to 2^53, nine million dollars in nano-dollars.
    #[wasm_bindgen(typescript_type = "Outlet")]
    pub type Outlet;

    #[wasm_bindgen(method)]
    pub(crate) fn token(this: &Outlet);

    /// Asks over HTTP why no socket could be opened.
    #[wasm_bindgen(method)]
    pub(crate) fn why(this: &Outlet);

    #[wasm_bindgen(method)]
    pub(crate) fn drained(this: &Outlet);

    #[wasm_bindgen(method)]
    pub(crate) fn level(this: &Outlet, input_rms: f32, input_peak: f32, output_rms: f32, output_peak: f32);

    #[wasm_bindgen(method)]
    fn state(this: &Outlet, name: &str, attempt: u32, retry_in_ms: f64);

    #[wasm_bindgen(method)]
    fn limits(this: &Outlet, session_ms: f64, idle_ms: f64, budget_nano_usd: f64);

    #[wasm_bindgen(method)]
    fn price(this: &Outlet, item: &str, unit: &str, nano_usd: f64, per: f64);

    #[wasm_bindgen(method)]
    fn session(
        this: &Outlet,
        session_id: &str,
        conversation_id: &str,
        epoch: u32,
        recording: bool,
        price_version: &str,
        agent: &str,
        features: &str,
    );

    #[wasm_bindgen(method)]
    fn agent(this: &Outlet, state: &str);

    #[wasm_bindgen(method)]
    fn transcript(this: &Outlet, turn: u32, role: &str, text: &str, last: bool, start: u32, end: u32);

    #[wasm_bindgen(method)]
    fn usage(
        this: &Outlet,
        audio_ms: f64,
        tokens: f64,
        characters: f64,
        cost_nano_usd: f64,
        left_nano_usd: f64,
    );

    #[wasm_bindgen(method)]
    fn budget(this: &Outlet, scope: &str, percent: u32, limit_nano_usd: f64, spent_nano_usd: f64);

    #[wasm_bindgen(method, js_name = toolCall)]
    fn tool_call(this: &Outlet, call_id: &str, name: &str, arguments: &str);

    #[wasm_bindgen(method, js_name = toolCancel)]
    fn tool_cancel(this: &Outlet, call_id: &str);

    #[wasm_bindgen(method)]
    fn degraded(this: &Outlet, what: &str, degraded: bool);

    #[wasm_bindgen(method)]
    fn latency(
        this: &Outlet,
        turn: u32,
        stt_ms: Option<u32>,
        llm_ms: Option<u32>,
        tts_ms: Option<u32>,
        total_ms: Option<u32>,
    );

    #[wasm_bindgen(method)]
    fn listened(this: &Outlet, listening: bool);

    /// A message that the relay will not get, as JSON text.
    #[wasm_bindgen(method)]
    fn undelivered(this: &Outlet, json: &str);

    /// The message with this id will be delivered.
    #[wasm_bindgen(method)]
    fn taken(this: &Outlet, id: u32);

    /// The message with this id was not taken.
    #[wasm_bindgen(method)]
    fn refused(this: &Outlet, id: u32, code: &str, message: &str, retryable: bool, limit: Option<f64>);

    #[wasm_bindgen(method)]
    fn rtt(this: &Outlet, ms: f64);

    #[wasm_bindgen(method)]
    fn gap(this: &Outlet, position: u32, samples: u32, ms: f64);

    #[wasm_bindgen(method)]
    pub(crate) fn error(
        this: &Outlet,
        code: &str,
        message: &str,
        retryable: bool,
        limit: Option<f64>,
        retry_after_ms: Option<f64>,
    );

    #[wasm_bindgen(method)]
    fn ended(this: &Outlet, reason: &str, code: u16);
}

/// Says what became of a message of the application.
pub(crate) fn answer(outlet: &Outlet, id: u32, taken: Result<(), NotTaken>) {
    match taken.map_err(ErrorInfo::from) {
        Ok(()) => outlet.taken(id),
        Err(error) => {
            let limit = error.limit.map(|limit| limit as f64);
            outlet.refused(id, &error.code, &error.message, error.retryable, limit);
        }
    }
}

/// Passes one event on.
pub(crate) fn tell(outlet: &Outlet, event: &Event) {
    match event {
        Event::State(state) => {
            let (name, attempt, retry_in) = match *state {
                State::Idle => ("idle", 0, 0.0),
                State::Connecting => ("connecting", 0, 0.0),
                State::Connected => ("connected", 0, 0.0),
                State::Reconnecting { attempt, retry_in } => {
                    ("reconnecting", attempt, retry_in.as_secs_f64() * 1_000.0)
                }
                State::Closing => ("closing", 0, 0.0),
                State::Closed => ("closed", 0, 0.0),
            };
            outlet.state(name, attempt, retry_in);
        }
        Event::Session(session) => tell_session(outlet, session),
        Event::Agent(state) => outlet.agent(match state {
            AgentState::Thinking => "thinking",
            AgentState::Speaking => "speaking",
            AgentState::Listening | AgentState::Unknown => "listening",
        }),
        Event::Transcript(said) => {
            let role = match said.role {
                Role::User => "user",
                Role::Agent | Role::Unknown => "agent",
            };
            outlet.transcript(said.turn, role, &said.text, said.last, said.start, said.end);
        }
        Event::Usage(usage) => tell_usage(outlet, usage),
        Event::Budget(budget) => {
            let scope = match budget.scope {
                BudgetScope::Session | BudgetScope::Unknown => "session",
                BudgetScope::User => "user",
                BudgetScope::Account => "account",
            };
            let (limit, spent) = (budget.limit_nano_usd as f64, budget.spent_nano_usd as f64);
            outlet.budget(scope, budget.percent, limit, spent);
        }
        Event::ToolCall(call) => outlet.tool_call(&call.call_id, &call.name, &call.arguments),
        Event::ToolCancel(call_id) => outlet.tool_cancel(call_id),
        Event::Degraded(degraded) => {
            let what = match degraded.what {
                Ability::Hearing | Ability::Unknown => "hearing",
                Ability::Thinking => "thinking",
                Ability::Speaking => "speaking",
            };
            outlet.degraded(what, degraded.degraded);
        }
        Event::Latency(took) => {
            outlet.latency(took.turn, took.stt_ms, took.llm_ms, took.tts_ms, took.total_ms);
        }
        Event::Listened(listening) => outlet.listened(*listening),
        Event::Undelivered(message) => {
            let numbered = Numbered { mark: Mark::default(), message: message.clone() };
            outlet.undelivered(&ClientMessage::from(numbered).to_json());
        }
        Event::RoundTrip(time) => outlet.rtt(time.as_secs_f64() * 1_000.0),
        Event::Gap(gap) => {
            let ms = f64::from(gap.samples) * 1_000.0 / f64::from(SPEECH_RATE.0);
            outlet.gap(gap.position, gap.samples, ms);
        }
        Event::Error(error) => {
            let number = |number: Option<u64>| number.map(|number| number as f64);
            let (limit, after) = (number(error.limit), number(error.retry_after_ms));
            outlet.error(&error.code, &error.message, error.retryable, limit, after);
        }
        Event::Ended { code, usage } => {
            tell_usage(outlet, usage);
            outlet.ended(code.name(), code.code());
        }
    }
}

fn tell_session(outlet: &Outlet, session: &SessionInfo) {
    let limits = &session.limits;
    outlet.limits(limits.session_ms as f64, limits.idle_ms as f64, limits.budget_nano_usd as f64);
    for price in &session.prices.items {
        outlet.price(&price.item, &price.unit, price.nano_usd as f64, price.per as f64);
    }
    outlet.session(
        &session.session_id,
        &session.conversation_id,
        session.epoch,
        session.recording,
        &session.prices.version,
        session.agent.as_deref().unwrap_or_default(),
        &session.features.0.join(" "),
    );
}

fn tell_usage(outlet: &Outlet, usage: &Usage) {
    outlet.usage(
        usage.audio_ms as f64,
        usage.tokens as f64,
        usage.characters as f64,
        usage.cost_nano_usd as f64,
        usage.left_nano_usd as f64,
    );
}
