//! A turn as the spans of one trace, in the conventions of OpenTelemetry for generative AI (`gen_ai.*`) and in those of OpenInference, which Phoenix
//! reads. Numbers are those of the record and of the ledger.

use protocol::{Latency, Time};

use super::otlp::{CLIENT, ERROR, INTERNAL, Span, Status, attribute};
use super::turn::{Asked, Ended, Ran, Turn, cut};
use crate::money::NanoUsd;
use crate::money::ledger::LedgerRow;
use crate::provider::Service;

/// Samples of the user's audio in a second.
const HEARD_RATE: u64 = 16_000;
const NANOS_A_MILLI: u64 = 1_000_000;

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) session_id: String,
    pub(super) conversation_id: String,
    /// The agent's name.
    pub(super) agent: String,
    /// The agent's providers, by their places.
    pub(super) providers: Vec<Provided>,
    /// Whether words go into the spans.
    pub(super) has_content: bool,
    /// When the zero of the relay's time was, in nanoseconds since 1970.
    pub(super) zero: u64,
}

/// A provider of the agent.
#[derive(Clone, Debug)]
pub(super) struct Provided {
    /// The vendor, as the conventions name it.
    pub(super) vendor: String,
    pub(super) model: String,
    pub(super) voice: Option<String>,
}

/// The spans of a turn: it itself, and below it hearing, each request of a model, each call of a tool, each request of a voice. `random` gives the
/// numbers of the trace and of its spans.
pub(super) fn spans(about: &About, turn: &Turn, mut random: impl FnMut() -> u64) -> Vec<Span> {
    let mut trace_id = random().max(1).to_be_bytes().to_vec();
    trace_id.extend(random().to_be_bytes());
    let mut id = || random().max(1).to_be_bytes().to_vec();
    let root_id = id();
    let mut below = Vec::new();
    let child = |id: Vec<u8>, name: String, kind: i32, [start, end]: [u64; 2]| Span {
        trace_id: trace_id.clone(),
        span_id: id,
        parent_span_id: root_id.clone(),
        name,
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: end.max(start),
        attributes: Vec::new(),
        status: None,
    };
    if let Some(times) = hearing_times(about, turn) {
        let mut span = child(id(), "speech_to_text".to_owned(), CLIENT, times);
        span.attributes = vec![
            attribute("gen_ai.operation.name", "speech_to_text"),
            attribute("openinference.span.kind", "CHAIN"),
        ];
        let provided = turn.hears.and_then(|place| about.providers.get(place));
        name_provider(&mut span, provided, false);
        let heard = turn.asked.iter().filter(|asked| asked.service == Service::SpeechToText);
        let rows: Vec<&LedgerRow> = heard.flat_map(|asked| &asked.rows).chain(&turn.heard).collect();
        used(&mut span, &rows);
        below.push(span);
    }
    for asked in turn.asked.iter().filter(|asked| asked.service != Service::SpeechToText) {
        let end = asked.ended.map_or(asked.opened, |(at, _)| at);
        let times = [about.nanos(asked.opened), about.nanos(end)];
        let mut span = child(id(), String::new(), CLIENT, times);
        describe_request(&mut span, about, asked);
        below.push(span);
    }
    for ran in &turn.ran {
        let end = ran.ended.map_or(ran.began, |(at, _)| at);
        let times = [about.nanos(ran.began), about.nanos(end)];
        let mut span = child(id(), format!("execute_tool {}", ran.name), INTERNAL, times);
        describe_tool(&mut span, about, ran);
        below.push(span);
    }
    let start = below.iter().map(|span| span.start_time_unix_nano).chain(understood(about, turn)).min();
    let end = below.iter().map(|span| span.end_time_unix_nano).chain(understood(about, turn)).max();
    // A turn of which nothing has a time was neither heard nor answered.
    let (Some(start), Some(end)) = (start, end) else { return Vec::new() };
    let mut root = child(root_id.clone(), format!("invoke_agent {}", about.agent), INTERNAL, [start, end]);
    root.parent_span_id = Vec::new();
    describe_turn(&mut root, about, turn);
    below.insert(0, root);
    for span in &mut below {
        span.attributes.push(attribute("session.id", &*about.session_id));
        span.attributes.push(attribute("gen_ai.conversation.id", &*about.conversation_id));
    }
    below
}

impl About {
    /// A time of the relay in nanoseconds since 1970.
    fn nanos(&self, time: Time) -> u64 {
        self.zero.saturating_add(time.as_micros().saturating_mul(1_000))
    }
}

fn understood(about: &About, turn: &Turn) -> Option<u64> {
    turn.understood.map(|at| about.nanos(at))
}

/// From the beginning of what the user said until it was understood. Nothing is heard of what they typed.
fn hearing_times(about: &About, turn: &Turn) -> Option<[u64; 2]> {
    let said = turn.user.as_ref().filter(|user| user.end > user.start)?;
    let understood = understood(about, turn)?;
    let behind = turn.latency.as_ref().and_then(|latency| latency.stt_ms).unwrap_or_default();
    let lasted = u64::from(said.end - said.start) * 1_000_000_000 / HEARD_RATE;
    Some([understood.saturating_sub(lasted + u64::from(behind) * NANOS_A_MILLI), understood])
}

fn describe_turn(span: &mut Span, about: &About, turn: &Turn) {
    let attributes = &mut span.attributes;
    attributes.push(attribute("gen_ai.operation.name", "invoke_agent"));
    attributes.push(attribute("gen_ai.agent.name", &*about.agent));
    attributes.push(attribute("openinference.span.kind", "AGENT"));
    attributes.push(attribute("voxrelay.interrupted", turn.is_interrupted));
    if let Some(user) = &turn.user {
        attributes.push(attribute("voxrelay.user_turn", user.turn));
    }
    if let Some(answer) = turn.answers.first() {
        attributes.push(attribute("voxrelay.agent_turn", answer.turn));
    }
    if let Some(Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms, .. }) = turn.latency {
        let stages = [
            ("stt", stt_ms),
            ("llm", llm_ms),
            ("tts", tts_ms),
            ("send", send_ms),
            ("heard", heard_ms),
            ("total", total_ms),
        ];
        for (stage, ms) in stages {
            if let Some(ms) = ms {
                attributes.push(attribute(format!("voxrelay.latency.{stage}_ms"), ms));
            }
        }
    }
    let rows = turn.asked.iter().flat_map(|asked| &asked.rows).chain(&turn.heard);
    let cost = rows.fold(NanoUsd::ZERO, |cost, row| cost + row.cost);
    attributes.push(attribute("voxrelay.cost_nano_usd", cost.get()));
    if about.has_content {
        if let Some(user) = &turn.user {
            attributes.push(attribute("input.value", &*cut(user.text.clone())));
        }
        let answers: Vec<&str> = turn.answers.iter().map(|answer| &*answer.text).collect();
        attributes.push(attribute("output.value", &*cut(answers.join("\n"))));
    }
}

fn describe_request(span: &mut Span, about: &About, asked: &Asked) {
    let is_model = asked.service == Service::LanguageModel;
    let (operation, kind) = if is_model { ("chat", "LLM") } else { ("text_to_speech", "CHAIN") };
    operation.clone_into(&mut span.name);
    span.attributes.push(attribute("gen_ai.operation.name", operation));
    span.attributes.push(attribute("openinference.span.kind", kind));
    name_provider(span, about.providers.get(asked.provider), is_model);
    let rows: Vec<&LedgerRow> = asked.rows.iter().collect();
    if let Some(id) = rows.iter().find_map(|row| row.request_id.as_deref()) {
        span.attributes.push(attribute("gen_ai.response.id", id));
    }
    used(span, &rows);
    if is_model {
        count_tokens(span, &rows);
    }
    end(span, asked.ended.map(|(_, ended)| ended));
}

fn describe_tool(span: &mut Span, about: &About, ran: &Ran) {
    span.attributes.extend([
        attribute("gen_ai.operation.name", "execute_tool"),
        attribute("gen_ai.tool.name", &*ran.name),
        attribute("gen_ai.tool.call.id", &*ran.call_id),
        attribute("gen_ai.tool.type", "function"),
        attribute("openinference.span.kind", "TOOL"),
        attribute("tool.name", &*ran.name),
    ]);
    if about.has_content {
        span.attributes.extend([
            attribute("gen_ai.tool.call.arguments", &*ran.arguments),
            attribute("gen_ai.tool.call.result", &*ran.output),
            attribute("input.value", &*ran.arguments),
            attribute("output.value", &*ran.output),
        ]);
    }
    end(span, ran.ended.map(|(_, ended)| ended));
}

/// Puts into a span who was asked, and into its name which model.
fn name_provider(span: &mut Span, provided: Option<&Provided>, is_model: bool) {
    let Some(Provided { vendor, model, voice }) = provided else { return };
    span.name = format!("{} {model}", span.name);
    span.attributes.push(attribute("gen_ai.provider.name", &**vendor));
    // What the conventions called it until 1.36.
    span.attributes.push(attribute("gen_ai.system", &**vendor));
    span.attributes.push(attribute("gen_ai.request.model", &**model));
    if is_model {
        // Whose model it is and who runs it: the price table names them as one.
        span.attributes.push(attribute("llm.system", &**vendor));
        span.attributes.push(attribute("llm.provider", &**vendor));
        span.attributes.push(attribute("llm.model_name", &**model));
    }
    if let Some(voice) = voice {
        span.attributes.push(attribute("voxrelay.voice", &**voice));
    }
}

/// Puts into a span what its rows of the ledger say: each unit, and the cost.
fn used(span: &mut Span, rows: &[&LedgerRow]) {
    let mut units: Vec<(&str, u64)> = Vec::new();
    for row in rows {
        match units.iter_mut().find(|(unit, _)| *unit == row.unit) {
            Some((_, quantity)) => *quantity = quantity.saturating_add(row.quantity),
            None => units.push((row.unit.as_str(), row.quantity)),
        }
    }
    let usage =
        units.into_iter().map(|(unit, quantity)| attribute(format!("voxrelay.usage.{unit}"), quantity));
    span.attributes.extend(usage);
    if rows.is_empty() {
        return;
    }
    let cost = rows.iter().fold(NanoUsd::ZERO, |cost, row| cost + row.cost);
    span.attributes.extend([
        attribute("voxrelay.cost_nano_usd", cost.get()),
        attribute("voxrelay.cost_estimated", rows.iter().any(|row| row.estimated)),
        // Dollars, for those who reckon in them.
        attribute("gen_ai.usage.cost", cost.get() as f64 / 1e9),
    ]);
}

/// Puts into a span the tokens of a model, in the words of both conventions: those that were read from a cache or written to it are input, too.
fn count_tokens(span: &mut Span, rows: &[&LedgerRow]) {
    let sum = |is_counted: fn(&str) -> bool| -> u64 {
        rows.iter().filter(|row| is_counted(&row.unit)).map(|row| row.quantity).sum()
    };
    let output = sum(|unit| unit.ends_with("output_token"));
    let input = sum(|unit| unit.ends_with("_token") && !unit.ends_with("output_token"));
    let cached = sum(|unit| unit.ends_with("cached_token"));
    let written = sum(|unit| unit.ends_with("written_token") || unit.ends_with("written_1h_token"));
    if input + output == 0 {
        return;
    }
    let cost = rows.iter().fold(NanoUsd::ZERO, |cost, row| cost + row.cost);
    span.attributes.extend([
        attribute("gen_ai.usage.input_tokens", input),
        attribute("gen_ai.usage.output_tokens", output),
        attribute("gen_ai.usage.cache_read.input_tokens", cached),
        attribute("gen_ai.usage.cache_creation.input_tokens", written),
        attribute("llm.token_count.prompt", input),
        attribute("llm.token_count.completion", output),
        attribute("llm.token_count.total", input + output),
        attribute("llm.token_count.prompt_details.cache_read", cached),
        attribute("llm.token_count.prompt_details.cache_write", written),
        attribute("llm.cost.total", cost.get() as f64 / 1e9),
    ]);
}

/// Puts into a span how it ended. What a failure says in words is for the log: it may quote somebody.
fn end(span: &mut Span, ended: Option<Ended>) {
    match ended {
        Some(Ended::Whole) => {}
        Some(Ended::GivenUp) => span.attributes.push(attribute("voxrelay.given_up", true)),
        None => span.attributes.push(attribute("voxrelay.unfinished", true)),
        Some(Ended::Failed(kind)) => {
            span.attributes.push(attribute("error.type", kind));
            span.status = Some(Status { message: kind.to_owned(), code: ERROR });
        }
    }
}
