mod request;

use serde_json::json;

use super::super::scenario::{cut, events, text_of};
use super::super::{Answer, Bounds, Codec, Exchange, Input, Message, Opening};
use super::*;
use protocol::Time;

const HEAD: Input<'static> = Input::Head {
    status: 200,
    retry_after: None,
    request_id: Some("req_1"),
    media_type: "text/event-stream",
};

fn ask(messages: Vec<Message>) -> event::Chat {
    event::Chat { messages, tools: Vec::new(), max_output_tokens: 200 }
}

fn codec(ask: &event::Chat) -> Anthropic {
    let base = Url::parse("https://example.com/v1/").expect("an address");
    Anthropic::new(&base, Some(&Secret::new("sk-ant-test".to_owned())), "claude", ask)
}

/// What comes of an answer that is cut into pieces of this many bytes.
fn answered(head: Input<'_>, body: &str, piece: usize) -> Vec<Event> {
    cut(Box::new(codec(&ask(vec![user("Hello")]))), head, body, piece)
}

/// These events as they go over the wire.
fn stream(events: &[Value]) -> String {
    let line =
        |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("odd"));
    events.iter().map(line).collect()
}

fn used(input: u64, cached: u64, written: u64, output: u64) -> Quantity {
    Quantity::Tokens(TokenUsage { input, cached, written, output, ..TokenUsage::default() })
}

fn failed(events: &[Event]) -> &Failure {
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    failure
}

fn finished(events: &[Event]) -> &Answer {
    let Some(Event::Finished(answer)) = events.last() else { panic!("{events:?}") };
    answer
}

fn user(text: &str) -> Message {
    Message::User(text.to_owned())
}

/// An answer as the provider sends it, with every kind of event.
fn conversation() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "usage":
            {"input_tokens": 25, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 900, "output_tokens": 1,
             "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 0}, "service_tier": "standard"}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Zürich?"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "EmwK"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Grüß "}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "citations_delta", "citation": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "dich 👋"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{\"at\": \"Zü"}}),
        json!({"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "toolu_2", "name": "go", "input": {}}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "rich\"}"}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "content_block_stop", "index": 4}),
        json!({"type": "a word of tomorrow", "index": 5}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 42, "input_tokens": null}}),
        json!({"type": "message_stop"}),
    ]
}

#[test]
fn a_whole_conversation_is_read_however_it_is_cut() {
    let lines = stream(&conversation());
    let call = |id: &str, name: &str, arguments: &str| {
        Event::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        })
    };
    let answer = Answer {
        finish: Finish::Tools,
        usage: Some(used(25, 900, 7, 42)),
        request_id: Some("req_1".to_owned()),
    };
    let expected = [
        Event::Usage(used(25, 900, 7, 1)),
        Event::Thought { bytes: "Zürich?".len() },
        Event::Text("Grüß ".to_owned()),
        Event::Text("dich 👋".to_owned()),
        call("toolu_1", "look", "{\"at\": \"Zürich\"}"),
        call("toolu_2", "go", "{}"),
        Event::Usage(used(25, 900, 7, 42)),
        Event::Stopped,
        Event::Finished(answer),
    ];
    for lines in [lines.clone(), lines.replace('\n', "\r\n"), format!("{lines}data: too late\n\n")] {
        for piece in (1..80).chain([100_000]) {
            assert_eq!(answered(HEAD, &lines, piece), expected, "pieces of {piece}");
        }
    }
}

#[test]
fn what_is_thought_in_the_text_is_counted_and_neither_shown_nor_spoken_however_it_is_cut() {
    let begins = |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let says = |index: u32, text: &str| {
        let delta = json!({"type": "text_delta", "text": text});
        json!({"type": "content_block_delta", "index": index, "delta": delta})
    };
    let stops = |index: u32| json!({"type": "content_block_stop", "index": index});
    let lines = stream(&[
        begins(0, json!({"type": "text", "text": "\n<thi"})),
        says(0, "nk>so</think>\n\nGrüß <thin"),
        says(0, "k>or not</thi"),
        says(0, "nk>dich <"),
        stops(0),
        begins(1, json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}})),
        stops(1),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ]);
    let whole = json!({"content": [{"type": "text", "text": "<think>so</think>Grüß <think>or"},
        {"type": "text", "text": " not</think>dich <"}], "stop_reason": "end_turn"});
    for piece in (1..80).chain([100_000]) {
        let events = answered(HEAD, &lines, piece);
        assert_eq!(text_of(&events), "Grüß dich <");
        let thought = |event: &Event| if let Event::Thought { bytes } = event { *bytes } else { 0 };
        let thought: usize = events.iter().map(thought).sum();
        assert_eq!(thought, "\n<think>so</think>\n\n<think>or not</think>".len());
        let last = |is_it: fn(&Event) -> bool| events.iter().rposition(is_it);
        let is_before =
            last(|event| matches!(event, Event::Text(_))) < last(|event| matches!(event, Event::ToolCall(_)));
        assert!(is_before, "what was held back is said before the call: {events:?}");
        let head =
            Input::Head { status: 200, retry_after: None, request_id: None, media_type: "application/json" };
        assert_eq!(text_of(&answered(head, &whole.to_string(), piece)), "Grüß dich <");
    }
}

#[test]
fn usage_is_cumulative_a_zero_is_a_number_and_null_says_nothing() {
    let start = |usage: Value| json!({"type": "message_start", "message": {"usage": usage}});
    let delta = |usage: Value| json!({"type": "message_delta", "delta": {}, "usage": usage});
    let stop = json!({"type": "message_stop"});
    for (events, told, last) in [
        (vec![stop.clone()], 0, None),
        (vec![start(Value::Null), delta(json!({})), stop.clone()], 0, None),
        (vec![start(json!("garbage")), delta(json!({"output_tokens": -1})), stop.clone()], 0, None),
        (
            vec![
                start(
                    json!({"input_tokens": 9.0, "cache_read_input_tokens": "3", "cache_creation": 7, "output_tokens": 1}),
                ),
                delta(json!({"output_tokens": "6", "cache_creation": {"ephemeral_5m_input_tokens": null}})),
                stop.clone(),
            ],
            2,
            Some(used(9, 3, 0, 6)),
        ),
        (
            vec![
                start(json!({"input_tokens": 9, "output_tokens": 5})),
                delta(json!({"output_tokens": 0})),
                stop.clone(),
            ],
            2,
            Some(used(9, 0, 0, 0)),
        ),
        (
            vec![
                start(json!({"input_tokens": 9, "output_tokens": 1})),
                delta(json!({"output_tokens": 4})),
                delta(
                    json!({"output_tokens": 6, "cache_read_input_tokens": 3, "server_tool_use": {"web_search_requests": 0}}),
                ),
                stop.clone(),
            ],
            3,
            Some(used(9, 3, 0, 6)),
        ),
    ] {
        let events = answered(HEAD, &stream(&events), 1_000);
        let usages = events.iter().filter(|event| matches!(event, Event::Usage(_)));
        assert_eq!((usages.count(), finished(&events).usage), (told, last), "{events:?}");
    }
}

#[test]
fn why_it_stopped_is_told() {
    for (reason, finish) in [
        ("end_turn", Finish::Complete),
        ("stop_sequence", Finish::Complete),
        ("pause_turn", Finish::Complete),
        ("max_tokens", Finish::Length),
        ("model_context_window_exceeded", Finish::Length),
        ("refusal", Finish::Filtered),
        ("tool_use", Finish::Tools),
        ("a word of tomorrow", Finish::Complete),
    ] {
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason}});
        // The end itself may be missing, and so may the blank line before it.
        let lines = stream(&[delta]);
        assert_eq!(finished(&answered(HEAD, lines.trim_end(), 10)).finish, finish, "{reason}");
    }
    for none in [json!(""), json!("null"), Value::Null] {
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": none}});
        assert_eq!(failed(&answered(HEAD, &stream(&[delta]), 10)).kind, FailureKind::BrokeOff, "{none}");
    }
}

#[test]
fn an_error_in_the_middle_ends_it_and_says_whose_fault_it_is() {
    for (name, kind) in [
        ("overloaded_error", FailureKind::Busy),
        ("rate_limit_error", FailureKind::Busy),
        ("authentication_error", FailureKind::Key),
        ("permission_error", FailureKind::Permission),
        ("billing_error", FailureKind::Payment),
        ("invalid_request_error", FailureKind::Request),
        ("not_found_error", FailureKind::Request),
        ("request_too_large", FailureKind::Request),
        ("timeout_error", FailureKind::Timeout),
        ("api_error", FailureKind::Provider),
        ("a word of tomorrow", FailureKind::Provider),
    ] {
        let error = json!({"type": "error", "error": {"type": name, "message": "Over\nloaded"}});
        let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}});
        let events = answered(HEAD, &stream(&[text.clone(), error.clone(), text]), 1_000);
        assert_eq!(text_of(&events), "Hel");
        let failure = failed(&events);
        assert_eq!((failure.kind, failure.message.as_str()), (kind, "Over loaded"), "{name}");
        // Instead of an answer that is whole.
        let head =
            Input::Head { status: 200, retry_after: None, request_id: None, media_type: "application/json" };
        assert_eq!(failed(&answered(head, &error.to_string(), 9)).kind, kind);
    }
}

#[test]
fn a_refusal_says_whose_fault_it_is_in_the_providers_words() {
    for (status, kind) in [
        (400, FailureKind::Request),
        (401, FailureKind::Key),
        (402, FailureKind::Payment),
        (413, FailureKind::Request),
        (429, FailureKind::Busy),
        (500, FailureKind::Provider),
        (529, FailureKind::Busy),
    ] {
        let head =
            Input::Head { status, retry_after: Some(7), request_id: None, media_type: "application/json" };
        let said =
            r#"{"type":"error","error":{"type":"an_error","message":"in its words"},"request_id":"req_1"}"#;
        let events = answered(head, said, 10);
        let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((failure.kind, failure.retry_after), (kind, Some(7)), "{status}");
        assert!(failure.message.ends_with("in its words"), "{failure}");
    }
}

#[test]
fn an_answer_that_comes_whole_is_as_good() {
    let head =
        Input::Head { status: 200, retry_after: None, request_id: None, media_type: "application/json" };
    let message = json!({"id": "msg_1", "type": "message", "content": [
        {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1}}, {"type": "tool_use", "name": "go"}, 7],
        "stop_reason": "tool_use", "usage": {"input_tokens": 5, "output_tokens": 2}});
    let events = answered(head, &message.to_string(), 10);
    let [
        Event::Usage(_),
        Event::Text(text),
        Event::ToolCall(look),
        Event::ToolCall(go),
        Event::Finished(answer),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (text.as_str(), look.arguments.as_str(), go.arguments.as_str()),
        ("Hello", "{\"at\":1}", "{}")
    );
    assert!(go.id.starts_with("call_"), "a call without a name gets one: {}", go.id);
    assert_eq!(
        (answer.finish, answer.usage, answer.request_id.as_deref()),
        (Finish::Tools, Some(used(5, 0, 0, 2)), Some("msg_1"))
    );
    for body in ["not JSON", "{}", "null", "{\"content\":7}"] {
        assert_eq!(failed(&answered(head, body, 3)).kind, FailureKind::Provider, "{body}");
    }
    assert_eq!(failed(&answered(head, r#"{"content":["#, 3)).kind, FailureKind::BrokeOff);
}

#[test]
fn a_tool_that_is_called_with_nothing_is_given_an_empty_object_however_that_is_written() {
    for nothing in ["", " ", "null", "{}"] {
        let events = [
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "go", "input": null}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": nothing}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_stop"}),
        ];
        let events = answered(HEAD, &stream(&events), 1_000);
        let [Event::ToolCall(call), Event::Finished(_)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(call.arguments, "{}", "{nothing:?}");
    }
}

#[test]
fn what_breaks_off_is_a_failure_and_its_half_of_a_call_was_never_made() {
    let events = conversation();
    for kept in 0..=20 {
        let events = answered(HEAD, &stream(&events[..kept]), 1_000);
        assert_eq!(failed(&events).kind, FailureKind::BrokeOff, "after {kept}");
        let calls = events.iter().filter(|event| matches!(event, Event::ToolCall(_))).count();
        assert_eq!(calls, kept.saturating_sub(18), "after {kept}");
    }
}

/// Each field of each event in turn is something else: nothing panics, and there is one end.
#[test]
fn garbage_in_any_place_is_left_out() {
    let odd =
        [Value::Null, json!(-1), json!(1.5), json!("odd"), json!([]), json!({}), json!([[{}]]), json!(true)];
    let mut tried = 0;
    for place in 0..conversation().len() {
        for pointer in pointers(&conversation()[place]) {
            for odd in &odd {
                let mut events = conversation();
                *events[place].pointer_mut(&pointer).expect("it is there") = odd.clone();
                let events = answered(HEAD, &stream(&events), 100_000);
                let ends =
                    events.iter().filter(|event| matches!(event, Event::Finished(_) | Event::Failed(_)));
                assert_eq!(ends.count(), 1, "{pointer} of {place} is {odd}: {events:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
    let rest = "data: no JSON\n\ndata: 7\n\ndata: []\n\ndata\n\n:\n\nevent: error\n\n\u{feff}data: {\n\n";
    let whole = format!("{rest}{}", stream(&conversation()));
    assert_eq!(text_of(&answered(HEAD, &whole, 3)), "Grüß dich 👋");
}

/// Every place in a value, itself included.
fn pointers(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            all.extend(pointers(value).into_iter().map(|rest| format!("/{name}{rest}")));
        }
    }
    all
}

#[test]
fn pings_keep_a_connection_alive_and_are_no_piece_of_an_answer() {
    let bounds = Bounds {
        first: Some(std::time::Duration::from_secs(10)),
        silence: Some(std::time::Duration::from_secs(15)),
        ..Bounds::default()
    };
    let fails_at = |begins: Option<u64>| {
        let codec = Box::new(codec(&ask(vec![user("Hello")])));
        let (mut exchange, _) = Exchange::open(Time::ZERO, codec, bounds);
        exchange.handle_input(Time::ZERO, HEAD);
        (1..60).find(|second| {
            let now = Time::from_millis(second * 1_000);
            exchange.handle_input(now, Input::Timeout);
            exchange.handle_input(now, Input::Bytes(stream(&[json!({"type": "ping"})]).as_bytes()));
            if begins == Some(*second) {
                let start = json!({"type": "message_start", "message": {"id": "msg_1"}});
                exchange.handle_input(now, Input::Bytes(stream(&[start]).as_bytes()));
            }
            let is_late = |event: &Event| {
                matches!(event, Event::Failed(failure) if failure.kind == FailureKind::Timeout)
            };
            events(&mut exchange).iter().any(is_late)
        })
    };
    assert_eq!(fails_at(None), Some(10), "before the first piece");
    assert_eq!(fails_at(Some(4)), Some(19), "and after one");
}

#[test]
fn an_end_that_is_not_said_is_not_waited_for() {
    let codec = Box::new(codec(&ask(vec![user("Hello")])));
    let (mut exchange, _) = Exchange::open(Time::ZERO, codec, Bounds::default());
    exchange.handle_input(Time::ZERO, HEAD);
    let body = stream(&[json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})]);
    exchange.handle_input(Time::from_millis(500), Input::Bytes(body.as_bytes()));
    assert_eq!(events(&mut exchange), [Event::Stopped]);
    let due = exchange.poll_timeout().expect("it waits for the end");
    assert_eq!(due, Time::from_millis(2_500));
    exchange.handle_input(due, Input::Timeout);
    assert!(matches!(events(&mut exchange)[..], [Event::Finished(_)]));
}
