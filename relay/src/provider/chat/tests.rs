use super::super::scenario::{cut, events, provider, text_of};
use super::super::{Answer, Bounds, Codec, Exchange, Input, Message, Opening, Output, Tool, ToolCall};
use super::*;
use protocol::Time;

mod request;

const HEAD: Input<'static> =
    Input::Head { status: 200, retry_after: None, request_id: None, media_type: "text/event-stream" };

fn ask() -> event::Chat {
    event::Chat {
        messages: vec![Message::System("Be brief.".to_owned()), Message::User("Hello \"you\"".to_owned())],
        tools: Vec::new(),
        max_output_tokens: 200,
    }
}

fn codec() -> Chat {
    let base = Url::parse("https://example.com/v1/").expect("an address");
    Chat::new(&base, Some(&Secret::new("sk-test".to_owned())), "small", &ask(), false)
}

/// What comes of an answer that is cut into pieces of this many bytes.
fn answered(head: Input<'_>, body: &str, piece: usize) -> Vec<Event> {
    cut(Box::new(codec()), head, body, piece)
}

#[test]
fn odd_streams_are_read_however_they_are_cut() {
    let usual = concat!(
        ": keep-alive\r\n\r\n",
        "data: {\"id\":\"c-1\",\"choices\":[]}\r\n\r\n",
        "data: {\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\r\n\r\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüß \"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"another choice\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0}]}\n\n",
        "data: this is no JSON\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"dich 👋\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":null,\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":0}}\n\n",
    );
    for tail in ["data: [DONE]\n\n", "data: [DONE]", ""] {
        let body = format!("{usual}{tail}");
        for piece in (1..40).chain([1_000]) {
            let events = answered(HEAD, &body, piece);
            assert_eq!(text_of(&events), "Grüß dich 👋", "pieces of {piece}");
            // The later usage counts, and a zero in it is a number.
            let told = events.iter().filter(|event| matches!(event, Event::Usage(_)));
            assert_eq!(told.count(), 2, "each is told when it comes");
            let usage = Some(Quantity::Tokens(TokenUsage { input: 12, ..TokenUsage::default() }));
            let answer = Answer { finish: Finish::Complete, usage, request_id: Some("c-1".to_owned()) };
            assert_eq!(events.last(), Some(&Event::Finished(answer)), "pieces of {piece}");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_however_far_it_came() {
    let events = answered(HEAD, "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"cho", 7);
    assert_eq!(text_of(&events), "Hel");
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!(failure.kind, FailureKind::BrokeOff);
    for body in ["", "data: [DO", "<html>503</html>"] {
        let events = answered(HEAD, body, 4);
        assert!(
            matches!(&events[..], [Event::Failed(Failure { kind: FailureKind::BrokeOff, .. })]),
            "{events:?}"
        );
    }
}

#[test]
fn a_refusal_says_whose_fault_it_is_in_the_providers_words() {
    let long = "x".repeat(10_000);
    for (status, body, kind, words) in [
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided"}}"#,
            FailureKind::Key,
            "Incorrect API key provided",
        ),
        (401, r#"{"error":"Invalid API key"}"#, FailureKind::Key, "Invalid API key"),
        (402, "", FailureKind::Payment, "402"),
        (403, r#"{"error":"not with these words"}"#, FailureKind::Permission, "not with these words"),
        (404, r#"{"detail":"no such model"}"#, FailureKind::Request, "no such model"),
        (429, "slow\ndown", FailureKind::Busy, "slow down"),
        (500, long.as_str(), FailureKind::Provider, "xxx"),
        (529, "{}", FailureKind::Busy, "529"),
        (302, "", FailureKind::Provider, "302"),
    ] {
        let head =
            Input::Head { status, retry_after: Some(7), request_id: None, media_type: "application/json" };
        let events = answered(head, body, 100);
        let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((failure.kind, failure.retry_after), (kind, Some(7)), "{status}");
        assert!(failure.message.contains(words), "{failure}");
        assert!(failure.message.len() <= Failure::MESSAGE_MAX);
    }
}

#[test]
fn an_error_in_the_middle_of_a_stream_ends_it() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\n";
    let events = answered(HEAD, body, 1_000);
    assert_eq!(text_of(&events), "Hel");
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Provider, "overloaded"));
}

#[test]
fn an_event_that_is_an_error_itself_ends_a_stream_as_well() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n\
                data: {\"object\":\"error\",\"message\":\"out of memory\",\"code\":500}\n\ndata: [DONE]\n\n";
    let events = answered(HEAD, body, 1_000);
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Provider, "out of memory"));
}

#[test]
fn an_answer_in_parts_is_read_and_what_is_thought_in_them_is_counted() {
    let body = stream(&[
        r#"{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"12345"}]}]}}"#,
        r#"{"delta":{"content":[{"type":"text","text":"Hel"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"lo"}]}}"#,
        r#"{"delta":{"content":" there"},"finish_reason":"stop"}"#,
    ]);
    let events = answered(HEAD, &body, 1_000);
    assert_eq!(text_of(&events), "Hello there");
    assert!(events.contains(&Event::Thought { bytes: 5 }), "{events:?}");
}

#[test]
fn what_was_thought_and_stands_in_the_total_alone_is_output() {
    let used = |usage: &str| {
        let body = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"Hi\"}},\"finish_reason\":\"stop\"}}],\"usage\":{usage}}}\n\n"
        );
        answered(HEAD, &body, 1_000).into_iter().find_map(|event| match event {
            Event::Usage(Quantity::Tokens(usage)) => Some((usage.input, usage.output)),
            _ => None,
        })
    };
    let counts =
        |total: u64| format!(r#"{{"prompt_tokens":9,"completion_tokens":64,"total_tokens":{total}}}"#);
    assert_eq!(used(&counts(199)), Some((9, 190)), "as Gemini and Grok count");
    assert_eq!(used(&counts(73)), Some((9, 64)), "as OpenAI counts");
    assert_eq!(used(&counts(0)), Some((9, 64)), "a total that is none takes nothing away");
}

#[test]
fn a_field_that_is_something_else_takes_nothing_else_of_its_chunk_along() {
    let chunk = serde_json::json!({
        "id": "c-1",
        "object": "chat.completion.chunk",
        "choices": [{
            "index": 0,
            "delta": {"role": "assistant", "content": "Hello", "reasoning_content": null, "tool_calls": null},
            "finish_reason": null,
        }],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
        "error": null,
    });
    let usage = TokenUsage { input: 8, cached: 4, output: 3, ..TokenUsage::default() };
    let (said, used) = ((Some("c-1"), Some(usage)), |usage| (Some("c-1"), usage));
    for (place, odd, told) in [
        ("/id", "7", (Some("7"), Some(usage))),
        ("/id", "{}", (None, Some(usage))),
        ("/id", "\"\"", (None, Some(usage))),
        ("/object", "7", said),
        ("/choices/0/index", "\"0\"", said),
        ("/choices/0/index", "0.0", said),
        ("/choices/0/index", "{}", said),
        ("/choices/0/finish_reason", "false", said),
        ("/choices/0/delta/reasoning_content", "7", said),
        ("/choices/0/delta/tool_calls", "{}", said),
        ("/usage/prompt_tokens", "12.0", said),
        ("/usage/completion_tokens", "\"3\"", said),
        ("/usage/prompt_tokens_details", "[]", used(Some(TokenUsage { input: 12, cached: 0, ..usage }))),
        ("/usage/prompt_tokens", "12.5", used(None)),
        ("/usage", "\"none\"", used(None)),
        ("/error", "\"\"", said),
        ("/error", "false", said),
    ] {
        let mut chunk = chunk.clone();
        *chunk.pointer_mut(place).expect("it is there") = serde_json::from_str(odd).expect("JSON");
        let events = answered(HEAD, &format!("data: {chunk}\n\ndata: [DONE]\n\n"), 1_000);
        assert_eq!(text_of(&events), "Hello", "{place} is {odd}");
        let Some(Event::Finished(answer)) = events.last() else { panic!("{place} is {odd}: {events:?}") };
        let usage = told.1.map(Quantity::Tokens);
        assert_eq!((answer.request_id.as_deref(), answer.usage), (told.0, usage), "{place} is {odd}");
    }
}

#[test]
fn comments_keep_a_connection_alive_and_are_no_piece_of_an_answer() {
    let bounds = Bounds {
        first: Some(std::time::Duration::from_secs(10)),
        silence: Some(std::time::Duration::from_secs(15)),
        ..Bounds::default()
    };
    let fails_at = |word: Option<u64>| {
        let (mut exchange, _) = Exchange::open(Time::ZERO, Box::new(codec()), bounds);
        exchange.handle_input(Time::ZERO, HEAD);
        (1..60).find(|second| {
            let now = Time::from_millis(second * 1_000);
            exchange.handle_input(now, Input::Timeout);
            exchange.handle_input(now, Input::Bytes(b": still working\n\n"));
            if word == Some(*second) {
                let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
                exchange.handle_input(now, Input::Bytes(body));
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
fn an_event_that_is_too_long_does_not_vanish() {
    let body = format!(
        "{}data: [DONE]\n\n",
        stream(&[&format!(r#"{{"delta":{{"content":"{}"}}}}"#, "x".repeat(300_000))])
    );
    for piece in [1_000, 1 << 20] {
        let events = answered(HEAD, &body, piece);
        let Some(Event::Failed(failure)) = events.last() else { panic!("it has failed") };
        assert_eq!(failure.kind, FailureKind::Flood);
    }
}

#[test]
fn an_answer_that_comes_whole_is_as_good() {
    let head = Input::Head {
        status: 200,
        retry_after: None,
        request_id: Some("r-9"),
        media_type: "application/json",
    };
    let body = r#"{"id":"c-1","choices":[{"message":{"role":"assistant","content":"Hello"},"finish_reason":"length"}],
        "usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
    let events = answered(head, body, 10);
    let usage = Quantity::Tokens(TokenUsage { input: 5, output: 1, ..TokenUsage::default() });
    let answer = Answer { finish: Finish::Length, usage: Some(usage), request_id: Some("r-9".to_owned()) };
    let said = Event::Text("Hello".to_owned());
    assert_eq!(events, [Event::Usage(usage), said, Event::Finished(answer)]);
    for end in 1..body.len() {
        let events = answered(head, &body[..end], 1_000);
        assert!(
            matches!(&events[..], [Event::Failed(Failure { kind: FailureKind::BrokeOff, .. })]),
            "{end}: {events:?}"
        );
    }
    let events = answered(head, "not JSON", 10);
    assert!(
        matches!(&events[..], [Event::Failed(Failure { kind: FailureKind::Provider, .. })]),
        "{events:?}"
    );
}

#[test]
fn a_server_that_forgets_to_say_that_it_is_done_is_not_waited_for() {
    let (mut exchange, _) = Exchange::open(Time::ZERO, Box::new(codec()), Bounds::default());
    exchange.handle_input(Time::ZERO, HEAD);
    let last = r#"{"content":"you. <thi","tool_calls":[{"id":"a","function":{"name":"go"}}]}"#;
    let body = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"Hi \"}}}}]}}\n\n\
         data: {{\"choices\":[{{\"delta\":{last},\"finish_reason\":\"stop\"}}]}}\n\n"
    );
    exchange.handle_input(Time::from_millis(500), Input::Bytes(body.as_bytes()));
    // What may be half of something is told with the end, should the rest of it not come.
    let words = ["Hi ", "you. "].map(|words| Event::Text(words.to_owned()));
    assert_eq!(events(&mut exchange), [words.as_slice(), &[Event::Stopped]].concat());
    // Pieces that say nothing put nothing off.
    let nothing =
        b"data: {\"choices\":[]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    exchange.handle_input(Time::from_millis(2_000), Input::Bytes(nothing));
    assert_eq!(events(&mut exchange), []);
    let due = exchange.poll_timeout().expect("it waits for the usage");
    assert_eq!(due, Time::from_millis(2_500));
    exchange.handle_input(due, Input::Timeout);
    let told = events(&mut exchange);
    assert_eq!((text_of(&told).as_str(), calls(&told)), ("<thi", vec!["a go {}".to_owned()]));
    assert_eq!(finish(&told), Finish::Tools);
    assert!(exchange.is_over());
}

#[test]
fn an_answer_goes_on_as_long_as_its_pieces_come_whatever_reason_to_stop_they_say() {
    const PIECES: [&str; 6] = [
        r#""content":"<thi""#,
        r#""content":"nk>Hm</think>Grüß ""#,
        r#""tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":"{\"at\""}}]"#,
        r#""content":"dich""#,
        r#""tool_calls":[{"index":0,"function":{"arguments":":1}"}}]"#,
        r#""content":".""#,
    ];
    // How long it takes from one piece to the next, in milliseconds.
    const STEP: u64 = 1_500;
    fn take(exchange: &mut Exchange, now: u64, chunk: &str) -> Vec<Event> {
        exchange.handle_input(Time::from_millis(now), Input::Timeout);
        let data = format!("data: {chunk}\n\n");
        exchange.handle_input(Time::from_millis(now), Input::Bytes(data.as_bytes()));
        events(exchange)
    }
    for reason in ["", " ", "null", "None", "stop", "length"] {
        let (mut exchange, _) = Exchange::open(Time::ZERO, Box::new(codec()), Bounds::default());
        exchange.handle_input(Time::ZERO, HEAD);
        let (mut now, mut told) = (0, Vec::new());
        for piece in PIECES {
            now += STEP;
            let chunk = format!(r#"{{"choices":[{{"delta":{{{piece}}},"finish_reason":"{reason}"}}]}}"#);
            told.extend(take(&mut exchange, now, &chunk));
        }
        now += STEP;
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}"#;
        told.extend(take(&mut exchange, now, usage));
        assert!(!exchange.is_over(), "{reason:?}: {told:?}");
        now += STEP;
        told.extend(take(&mut exchange, now, "[DONE]"));
        assert_eq!(text_of(&told), "Grüß dich.", "{reason:?}");
        // Whoever speaks it is not told after each piece that the words before are all.
        let mut behind = told.iter().skip_while(|event| !matches!(event, Event::Text(_)));
        assert!(!behind.any(|event| *event == Event::Stopped), "{reason:?}: {told:?}");
        assert_eq!(calls(&told), [r#"a look {"at":1}"#], "{reason:?}");
        let Some(Event::Finished(answer)) = told.last() else { panic!("{reason:?}: {told:?}") };
        assert!(answer.usage.is_some(), "{reason:?}");
        let expected = if reason == "length" { Finish::Length } else { Finish::Tools };
        assert_eq!(answer.finish, expected, "{reason:?}");
    }
    // Without a reason it has broken off where it ends, unless it is whole.
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"},\"finish_reason\":\"\"}]}\n\n";
    let events = answered(HEAD, body, 1_000);
    assert!(matches!(events.last(), Some(Event::Failed(_))), "{events:?}");
    let head =
        Input::Head { status: 200, retry_after: None, request_id: None, media_type: "application/json" };
    let whole = r#"{"choices":[{"message":{"content":"Hello"},"finish_reason":""}]}"#;
    let events = answered(head, whole, 1_000);
    assert_eq!((text_of(&events).as_str(), finish(&events)), ("Hello", Finish::Complete));
}

/// A stream of these choices, each an event.
fn stream(choices: &[&str]) -> String {
    let events = choices.iter().map(|choice| format!("data: {{\"choices\":[{choice}]}}\n\n"));
    events.collect::<String>() + "data: [DONE]\n\n"
}

fn calls(events: &[Event]) -> Vec<String> {
    let calls = events.iter().filter_map(|event| match event {
        Event::ToolCall(ToolCall { id, name, arguments }) => Some(format!("{id} {name} {arguments}")),
        _ => None,
    });
    calls.collect()
}

fn finish(events: &[Event]) -> Finish {
    let Some(Event::Finished(answer)) = events.last() else { panic!("{events:?}") };
    answer.finish
}

#[test]
fn calls_of_tools_come_whole_when_the_model_has_said_all_however_the_stream_is_cut() {
    let body = stream(&[
        r#"{"delta":{"content":"One moment.","tool_calls":null}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"look","arguments":""}}]}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\":\"Zü"}}]}}"#,
        r#"{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"rich\"}"}}]}}"#,
        r#"{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"go","arguments":null}}]}}"#,
        r#"{"delta":{},"finish_reason":"tool_calls"}"#,
    ]);
    for piece in (1..60).chain([10_000]) {
        let events = answered(HEAD, &body, piece);
        assert_eq!(text_of(&events), "One moment.");
        assert_eq!(calls(&events), [r#"a look {"at":"Zürich"}"#, "b go {}"], "pieces of {piece}");
        assert_eq!(finish(&events), Finish::Tools);
    }
}

#[test]
fn calls_are_a_reason_to_end_whatever_the_server_says_unless_it_is_another() {
    let call = r#"{"delta":{"tool_calls":[{"id":"a","function":{"name":"go","arguments":{}}}]}}"#;
    for (last, expected) in [
        (r#"{"delta":{},"finish_reason":"stop"}"#, Finish::Tools),
        (r#"{"delta":{},"finish_reason":"length"}"#, Finish::Length),
        // It never says why.
        ("", Finish::Tools),
    ] {
        let events = answered(HEAD, &stream(&[call, last]), 1_000);
        assert_eq!((calls(&events), finish(&events)), (vec!["a go {}".to_owned()], expected), "{last}");
    }
    // In an answer that is whole.
    let body = r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"go"}}]},"finish_reason":"stop"}]}"#;
    let head =
        Input::Head { status: 200, retry_after: None, request_id: None, media_type: "application/json" };
    let events = answered(head, body, 1_000);
    assert_eq!((calls(&events).len(), finish(&events)), (1, Finish::Tools));
    // One that breaks off has called nothing.
    let events = answered(HEAD, &format!("data: {{\"choices\":[{call}]}}\n\n"), 1_000);
    assert!(matches!(&events[..], [Event::Failed(_)]), "{events:?}");
}

#[test]
fn a_call_that_no_server_has_named_has_another_name_in_each_request() {
    let body = stream(&[r#"{"delta":{"tool_calls":[{"function":{"name":"go"}}]},"finish_reason":"stop"}"#]);
    let name = |question: &str| {
        let ask = event::Chat { messages: vec![Message::User(question.to_owned())], ..ask() };
        let base = Url::parse("https://example.com/v1/").expect("an address");
        let mut chat = Chat::new(&base, None, "small", &ask, false);
        chat.handle_input(Time::ZERO, HEAD);
        chat.handle_input(Time::ZERO, Input::Bytes(body.as_bytes()));
        let outputs = std::iter::from_fn(|| chat.poll_output());
        let mut calls = outputs.filter_map(|output| match output {
            Output::Event(Event::ToolCall(call)) => Some(call.id),
            _ => None,
        });
        calls.next().expect("a call")
    };
    assert!(name("one").starts_with("call_") && name("one").ends_with("_1"), "{}", name("one"));
    assert_eq!(name("one"), name("one"));
    assert_ne!(name("one"), name("two"));
}

#[test]
fn thoughts_are_counted_and_neither_shown_nor_spoken_however_they_are_cut() {
    let body = stream(&[
        r#"{"delta":{"reasoning_content":"Hm, Zürich","reasoning":"Hm, Zürich"}}"#,
        r#"{"delta":{"reasoning":"?","content":""}}"#,
        r#"{"delta":{"reasoning":{"of":"no text"},"content":"\n<thi"}}"#,
        r#"{"delta":{"content":"nk>so</th"}}"#,
        r#"{"delta":{"content":"ink>\n\nGrüezi <thi"}}"#,
        r#"{"delta":{"content":"nk>or not</think>mitenand, `<think>`"}}"#,
        r#"{"delta":{"content":"!<think>"},"finish_reason":"stop"}"#,
    ]);
    for piece in (1..60).chain([10_000]) {
        let events = answered(HEAD, &body, piece);
        assert_eq!(text_of(&events), "Grüezi mitenand, `<think>`!");
        let thought = |event: &Event| if let Event::Thought { bytes } = event { *bytes } else { 0 };
        let thought: usize = events.iter().map(thought).sum();
        let in_text = "\n<think>so</think>\n\n<think>or not</think><think>";
        assert_eq!(thought, "Hm, Zürich?".len() + in_text.len());
    }
    // What only looked like a thought is said before the end.
    let events = answered(HEAD, &stream(&[r#"{"delta":{"content":"<thi"},"finish_reason":"stop"}"#]), 7);
    assert_eq!(text_of(&events), "<thi");
    // One that never ends is no answer.
    let events =
        answered(HEAD, &stream(&[r#"{"delta":{"content":"<think>Hm"},"finish_reason":"length"}"#]), 7);
    assert_eq!((text_of(&events).as_str(), finish(&events)), ("", Finish::Length));
}

#[test]
fn of_a_model_that_thinks_first_nothing_is_shown_before_the_end_of_its_thought() {
    let body = stream(&[
        r#"{"delta":{"content":"Hm, the user"}}"#,
        r#"{"delta":{"content":" says hello.\n</th"}}"#,
        r#"{"delta":{"content":"ink>\n\nHello!"},"finish_reason":"stop"}"#,
    ]);
    for (thinks_first, words) in [(true, "Hello!"), (false, "Hm, the user says hello.\n\n\nHello!")] {
        let provider = Provider { thinks_first, ..provider(&OPENAI_CHAT, "deepseek-r1") };
        for piece in (1..60).chain([10_000]) {
            let codec = provider.codec(&Ask::Chat(ask())).expect("it thinks");
            assert_eq!(text_of(&cut(codec, HEAD, &body, piece)), words);
        }
    }
}
