//! What is recorded of a turn, and the spans that are made of it.

use std::sync::{Arc, Mutex};

use protocol::{Latency, Role, Time};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Traces;
use super::otlp::{Export, Span, Value, encode};
use super::spans::{About, Provided, spans};
use super::turn::{Ended, Gathering, Turn};
use crate::NanoUsd;
use crate::agent::tool::{Called, Runs, ToolNote, ToolOutput};
use crate::call;
use crate::money::ledger::LedgerRow;
use crate::money::tab::RequestId;
use crate::provider::Service;
use crate::session::machine::Traced;

/// When the relay's time was zero, in milliseconds since 1970.
const ZERO_MS: u64 = 1_000_000;

fn at(ms: u64) -> Time {
    Time::from_micros(ms * 1_000)
}

fn about(has_content: bool) -> About {
    let provided = |vendor: &str, model: &str, voice: Option<&str>| Provided {
        vendor: vendor.to_owned(),
        model: model.to_owned(),
        voice: voice.map(ToOwned::to_owned),
    };
    About {
        session_id: "s".into(),
        conversation_id: "c".into(),
        agent: "host".into(),
        providers: vec![
            provided("deepgram", "nova-3", None),
            provided("anthropic", "claude", None),
            provided("elevenlabs", "flash", Some("Rachel")),
        ],
        has_content,
        zero: ZERO_MS * 1_000_000,
    }
}

fn row(key: &str, unit: &str, quantity: u64, turn: Option<u32>) -> LedgerRow {
    LedgerRow {
        key: format!("{key}/{unit}"),
        unit: unit.into(),
        quantity,
        cost: NanoUsd::new(quantity * 10),
        estimated: false,
        turn,
        request_id: Some("req_1".into()),
        ..LedgerRow::lost(1, NanoUsd::ZERO)
    }
}

fn user(number: u32, text: &str) -> Traced {
    Traced::Turns(vec![call::Turn::new(number, Role::User, text.into(), 0, 32_000)])
}

fn agent(number: u32, text: &str, heard: Option<u32>) -> Traced {
    Traced::Turns(vec![call::Turn { heard, ..call::Turn::new(number, Role::Agent, text.into(), 0, 24_000) }])
}

fn tool() -> [Traced; 2] {
    let called = Called {
        call_id: "call_1".into(),
        model_id: "toolu_1".into(),
        name: "weather".into(),
        arguments: "{\"city\":\"Bern\"}".into(),
        runs: Runs::Webhook,
    };
    let output = ToolOutput { output: "rain".into(), is_error: false };
    [
        Traced::Tool(ToolNote::Called { called, turn: 1 }),
        Traced::Tool(ToolNote::Output { call_id: "call_1".into(), output }),
    ]
}

/// A turn with a tool: two requests of the model, one of the voice.
fn answered() -> Turn {
    answered_with(&mut Gathering::new(true))
}

fn answered_with(gathering: &mut Gathering) -> Turn {
    let [called, came] = tool();
    gathering.asked(at(0), RequestId(0), 0, Service::SpeechToText);
    assert_eq!(gathering.recorded(at(5_000), user(0, "hunter2 in Bern?")), None);
    gathering.asked(at(5_001), RequestId(1), 1, Service::LanguageModel);
    gathering.ended(at(5_400), RequestId(1), Ended::Whole);
    assert_eq!(gathering.recorded(at(5_401), called), None);
    assert_eq!(gathering.recorded(at(5_600), came), None);
    gathering.asked(at(5_601), RequestId(2), 1, Service::LanguageModel);
    gathering.asked(at(5_900), RequestId(3), 2, Service::TextToSpeech);
    gathering.ended(at(6_000), RequestId(2), Ended::Whole);
    let latency = Latency {
        turn: 1,
        stt_ms: Some(300),
        llm_ms: Some(900),
        total_ms: Some(1_500),
        ..Latency::default()
    };
    gathering.answered(latency);
    gathering.ended(at(7_000), RequestId(3), Ended::Whole);
    let rows = vec![
        row("deepgram/nova-3@16000", "sample", 32_000, None),
        row("anthropic/claude@1.1", "input_token", 100, Some(0)),
        row("anthropic/claude@1.1", "cached_token", 40, Some(0)),
        row("anthropic/claude@1.1", "written_token", 30, Some(0)),
        row("anthropic/claude@1.1", "written_1h_token", 3, Some(0)),
        row("anthropic/claude@1.1", "output_token", 7, Some(0)),
        row("anthropic/claude@1.2", "input_token", 150, Some(0)),
        row("anthropic/claude@1.2", "output_token", 9, Some(0)),
        row("elevenlabs/flash@1.3", "character", 20, Some(0)),
    ];
    assert_eq!(gathering.recorded(at(7_001), Traced::Rows(rows)), None);
    assert_eq!(gathering.recorded(at(8_000), agent(1, "It rains.", Some(24_000))), None);
    // The next settlement ends it.
    gathering.recorded(at(9_000), Traced::Rows(Vec::new())).expect("it is over")
}

fn numbers() -> impl FnMut() -> u64 {
    let mut last = 0;
    move || {
        last += 1;
        last
    }
}

fn of(span: &Span, key: &str) -> Option<Value> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.as_ref()?.value.clone()
}

/// Each span by its name and its times, in milliseconds after the zero.
fn outline(spans: &[Span]) -> Vec<(&str, u64, u64)> {
    let ms = |nanos: u64| nanos / 1_000_000 - ZERO_MS;
    let outline =
        spans.iter().map(|span| (&*span.name, ms(span.start_time_unix_nano), ms(span.end_time_unix_nano)));
    outline.collect()
}

#[test]
fn a_turn_is_a_trace_with_a_span_for_hearing_and_for_each_request_and_each_tool() {
    let turn = answered();
    let spans = spans(&about(false), &turn, numbers());
    assert_eq!(
        outline(&spans),
        [
            ("invoke_agent host", 2_700, 7_000),
            ("speech_to_text nova-3", 2_700, 5_000),
            ("chat claude", 5_001, 5_400),
            ("chat claude", 5_601, 6_000),
            ("text_to_speech flash", 5_900, 7_000),
            ("execute_tool weather", 5_401, 5_600),
        ]
    );
    let (root, below) = spans.split_first().expect("there are some");
    assert!(root.parent_span_id.is_empty() && root.trace_id.len() == 16 && root.span_id.len() == 8);
    assert!(below.iter().all(|span| span.parent_span_id == root.span_id && span.trace_id == root.trace_id));
    let mut ids: Vec<&[u8]> = spans.iter().map(|span| &*span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn spans_say_it_in_the_words_of_both_conventions_with_cost_and_stages() {
    let turn = answered();
    let spans = spans(&about(false), &turn, numbers());
    let text = |text: &str| Some(Value::Text(text.into()));
    for (span, key, value) in [
        (0, "gen_ai.operation.name", text("invoke_agent")),
        (0, "gen_ai.agent.name", text("host")),
        (0, "openinference.span.kind", text("AGENT")),
        (0, "session.id", text("s")),
        (0, "voxrelay.interrupted", Some(Value::Flag(false))),
        (0, "voxrelay.latency.stt_ms", Some(Value::Whole(300))),
        (0, "voxrelay.latency.tts_ms", None),
        (0, "voxrelay.cost_nano_usd", Some(Value::Whole((32_000 + 180 + 159 + 20) * 10))),
        (1, "voxrelay.usage.sample", Some(Value::Whole(32_000))),
        (2, "gen_ai.operation.name", text("chat")),
        (2, "gen_ai.provider.name", text("anthropic")),
        (2, "gen_ai.request.model", text("claude")),
        (2, "gen_ai.response.id", text("req_1")),
        (2, "gen_ai.usage.input_tokens", Some(Value::Whole(173))),
        (2, "gen_ai.usage.output_tokens", Some(Value::Whole(7))),
        (2, "openinference.span.kind", text("LLM")),
        (2, "gen_ai.usage.cache_read.input_tokens", Some(Value::Whole(40))),
        (2, "gen_ai.usage.cache_creation.input_tokens", Some(Value::Whole(33))),
        (2, "llm.system", text("anthropic")),
        (2, "llm.provider", text("anthropic")),
        (2, "llm.model_name", text("claude")),
        (2, "llm.token_count.prompt", Some(Value::Whole(173))),
        (2, "llm.token_count.prompt_details.cache_read", Some(Value::Whole(40))),
        (2, "llm.token_count.prompt_details.cache_write", Some(Value::Whole(33))),
        (2, "llm.token_count.total", Some(Value::Whole(180))),
        (2, "llm.cost.total", Some(Value::Number(1_800.0 / 1e9))),
        (0, "llm.cost.total", None),
        (0, "gen_ai.usage.cost", None),
        (1, "llm.cost.total", None),
        (1, "gen_ai.usage.cost", Some(Value::Number(320_000.0 / 1e9))),
        (3, "gen_ai.usage.input_tokens", Some(Value::Whole(150))),
        (4, "voxrelay.usage.character", Some(Value::Whole(20))),
        (4, "voxrelay.voice", text("Rachel")),
        (4, "gen_ai.usage.input_tokens", None),
        (5, "gen_ai.tool.name", text("weather")),
        (5, "openinference.span.kind", text("TOOL")),
    ] {
        assert_eq!(of(&spans[span], key), value, "{key} of {}", spans[span].name);
    }
}

#[test]
fn words_are_in_spans_only_where_they_are_asked_for() {
    let turn = answered();
    let told = |has_content| {
        String::from_utf8_lossy(&encode(spans(&about(has_content), &turn, numbers()))).into_owned()
    };
    let (without, with) = (told(false), told(true));
    for words in ["hunter2", "It rains", "Bern", "rain"] {
        assert!(!without.contains(words), "{words}");
        assert!(with.contains(words), "{words}");
    }
}

#[test]
fn words_that_are_told_to_nobody_are_not_kept_either_and_long_ones_are_cut_off_where_a_character_ends() {
    let ran = |has_content| answered_with(&mut Gathering::new(has_content)).ran.remove(0);
    assert_eq!((&*ran(false).arguments, &*ran(false).output), ("", ""));
    assert_eq!((&*ran(true).arguments, &*ran(true).output), ("{\"city\":\"Bern\"}", "rain"));

    let long = "ü".repeat(10_000);
    let mut gathering = Gathering::new(true);
    gathering.recorded(at(1_000), user(0, &long));
    let [Traced::Tool(ToolNote::Called { called, turn }), _] = tool() else { panic!("it is called first") };
    let called = Called { arguments: long.clone(), ..called };
    gathering.recorded(at(1_100), Traced::Tool(ToolNote::Called { called, turn }));
    let output = ToolOutput { output: long.clone(), is_error: false };
    gathering.recorded(at(1_200), Traced::Tool(ToolNote::Output { call_id: "call_1".into(), output }));
    gathering.recorded(at(1_300), agent(1, &long, None));
    let turn = gathering.finish().expect("something was said");
    let spans = spans(&about(true), &turn, numbers());
    for (span, key) in [
        (0, "input.value"),
        (0, "output.value"),
        (2, "input.value"),
        (2, "output.value"),
        (2, "gen_ai.tool.call.arguments"),
        (2, "gen_ai.tool.call.result"),
    ] {
        let Some(Value::Text(words)) = of(&spans[span], key) else { panic!("{key} of {spans:?}") };
        assert_eq!(words.len(), 8 * 1_024 - 1, "characters of two bytes, and a mark of three");
        assert!(words.ends_with("ü…"), "{key}");
    }
}

#[test]
fn spans_wait_as_far_as_there_is_room_for_their_bytes() {
    let turn = || spans(&about(false), &answered(), numbers());
    let bytes: usize = turn().iter().map(prost::Message::encoded_len).sum();
    let (queue, mut waiting) = mpsc::channel(8);
    let traces = Traces {
        queue,
        room: Arc::new(Semaphore::new(bytes * 5 / 2)),
        has_content: false,
        sample_percent: 100,
        closing: CancellationToken::new(),
        carrier: Mutex::new(None),
    };
    (0..3).for_each(|_| traces.push(turn()));
    assert_eq!(waiting.len(), 2, "the third one is dropped");
    let first = waiting.try_recv().expect("it waits");
    assert_eq!((first.spans.len(), first.bytes), (turn().len(), bytes));
    traces.push(turn());
    assert_eq!(waiting.len(), 1, "what is being posted has its room, too");
    drop(first);
    traces.push(turn());
    assert_eq!(waiting.len(), 2);
}

#[test]
fn what_is_encoded_is_decoded_again() {
    let turn = answered();
    let spans = spans(&about(true), &turn, numbers());
    let export: Export = prost::Message::decode(&*encode(spans.clone())).expect("ours");
    assert_eq!(export.resource_spans[0].scope_spans[0].spans, spans);
}

#[test]
fn what_is_heard_bit_by_bit_is_understood_with_its_last_words_and_not_with_a_correction() {
    let until =
        |text: &str, end: u32| Traced::Turns(vec![call::Turn::new(0, Role::User, text.into(), 0, end)]);
    let mut gathering = Gathering::default();
    gathering.asked(at(0), RequestId(0), 0, Service::SpeechToText);
    gathering.recorded(at(2_000), until("Is there", 16_000));
    gathering.recorded(at(3_000), until("Is there a", 32_000));
    // An answer is prepared in a pause, and not wanted when the user goes on.
    gathering.asked(at(3_100), RequestId(1), 1, Service::LanguageModel);
    gathering.ended(at(3_500), RequestId(1), Ended::GivenUp);
    gathering.recorded(at(9_000), until("Is there a table", 128_000));
    gathering.asked(at(9_001), RequestId(2), 1, Service::LanguageModel);
    gathering.answered(Latency { turn: 1, stt_ms: Some(500), ..Latency::default() });
    gathering.ended(at(9_500), RequestId(2), Ended::Whole);
    // In place of what was understood, before the answer is stored and after it.
    gathering.recorded(at(9_600), until("Is there a stable", 128_000));
    gathering.recorded(at(9_700), agent(1, "Yes.", None));
    gathering.recorded(at(30_000), until("Is there a cable", 128_000));
    let turn = gathering.finish().expect("something was said");
    assert_eq!(
        outline(&spans(&about(false), &turn, numbers()))[..2],
        [("invoke_agent host", 500, 9_500), ("speech_to_text nova-3", 500, 9_000)]
    );

    // What was prepared is wanted: the turn is whole later, and corrected later still.
    let mut gathering = Gathering::default();
    gathering.recorded(at(1_000), until("Is there", 16_000));
    gathering.asked(at(1_900), RequestId(0), 1, Service::LanguageModel);
    gathering.recorded(at(2_000), until("Is there one", 24_000));
    gathering.recorded(at(2_500), until("Is there none", 24_000));
    assert_eq!(gathering.finish().and_then(|turn| turn.understood), Some(at(2_000)));
}

#[test]
fn what_fails_or_is_given_up_says_so_and_not_in_words() {
    let mut gathering = Gathering::default();
    gathering.recorded(at(1_000), user(0, "hello"));
    gathering.asked(at(1_001), RequestId(0), 1, Service::LanguageModel);
    gathering.ended(at(1_100), RequestId(0), Ended::Failed("timeout"));
    gathering.asked(at(1_101), RequestId(1), 1, Service::LanguageModel);
    gathering.ended(at(1_200), RequestId(1), Ended::GivenUp);
    gathering.interrupted();
    let turn = gathering.finish().expect("something was said");
    let spans = spans(&about(false), &turn, numbers());
    assert_eq!(of(&spans[0], "voxrelay.interrupted"), Some(Value::Flag(true)));
    assert_eq!(of(&spans[2], "error.type"), Some(Value::Text("timeout".into())));
    assert_eq!(spans[2].status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(of(&spans[3], "voxrelay.given_up"), Some(Value::Flag(true)));
    assert_eq!(spans[3].status, None);
}

#[test]
fn what_was_asked_for_the_next_turn_is_in_the_next_trace() {
    let mut gathering = Gathering::default();
    gathering.recorded(at(1_000), user(0, "hello"));
    gathering.asked(at(1_001), RequestId(0), 1, Service::LanguageModel);
    gathering.ended(at(1_500), RequestId(0), Ended::Whole);
    gathering.recorded(at(1_600), agent(1, "Hi.", None));
    // Prepared while the user may go on, and whole before it is sure that they do not.
    gathering.asked(at(2_000), RequestId(1), 1, Service::LanguageModel);
    gathering.ended(at(2_500), RequestId(1), Ended::Whole);
    let rows = vec![row("anthropic/claude@1.1", "output_token", 5, Some(2))];
    assert_eq!(gathering.recorded(at(2_600), Traced::Rows(rows)), None);
    let first = gathering.recorded(at(2_601), user(2, "and you?")).expect("the next one begins");
    assert_eq!(first.asked.iter().map(|asked| asked.request).collect::<Vec<_>>(), [RequestId(0)]);
    // How far the answer before was heard comes late: it is no answer of this turn.
    assert_eq!(gathering.recorded(at(2_700), agent(1, "Hi.", Some(24_000))), None);
    let second = gathering.finish().expect("it was said");
    assert_eq!(second.asked.iter().map(|asked| asked.request).collect::<Vec<_>>(), [RequestId(1)]);
    assert_eq!((second.answers.len(), second.user.map(|user| user.turn)), (0, Some(2)));
}

#[test]
fn what_the_agent_says_by_itself_is_a_trace_of_its_own_and_silence_is_none() {
    let mut gathering = Gathering::default();
    gathering.asked(at(10), RequestId(0), 2, Service::TextToSpeech);
    gathering.ended(at(400), RequestId(0), Ended::Whole);
    gathering.recorded(at(500), agent(0, "Welcome.", None));
    let greeting = gathering.recorded(at(5_000), user(1, "hello")).expect("it is over");
    assert_eq!(
        outline(&spans(&about(false), &greeting, numbers())),
        [("invoke_agent host", 10, 400), ("text_to_speech flash", 10, 400),]
    );
    assert!(gathering.finish().is_some_and(|turn| turn.user.is_some()));
    assert_eq!(gathering.finish(), None);
}
