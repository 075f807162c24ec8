use super::super::{Exchange, Message};
use super::*;

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
    Chat::new(&base, Some(&Secret::new("sk-test".to_owned())), "small", &ask())
}

fn events(exchange: &mut Exchange) -> Vec<Event> {
    let outputs = std::iter::from_fn(|| exchange.poll_output());
    outputs
        .map(|output| match output {
            Output::Event(event) => event,
            other => panic!("a chat sends nothing: {other:?}"),
        })
        .collect()
}

/// What comes of an answer that is cut into pieces of this many bytes.
fn answered(head: Input<'_>, body: &str, piece: usize) -> Vec<Event> {
    let (mut exchange, _) = Exchange::open(Time::ZERO, Box::new(codec()), Bounds::default());
    exchange.handle_input(Time::ZERO, head);
    let mut all = events(&mut exchange);
    for bytes in body.as_bytes().chunks(piece) {
        exchange.handle_input(Time::ZERO, Input::Bytes(bytes));
        all.extend(events(&mut exchange));
    }
    exchange.handle_input(Time::ZERO, Input::End);
    all.extend(events(&mut exchange));
    assert_eq!(events(&mut exchange), []);
    all
}

fn text(events: &[Event]) -> String {
    let pieces = events.iter().filter_map(|event| match event {
        Event::Text(text) => Some(text.as_str()),
        _ => None,
    });
    pieces.collect()
}

#[test]
fn it_asks_as_the_reference_says() {
    let Opening::Http(target) = codec().open() else { panic!("a chat is HTTP") };
    assert_eq!(target.url.as_str(), "https://example.com/v1/chat/completions");
    assert!(target.headers.contains(&("authorization", "Bearer sk-test".to_owned())));
    let body: serde_json::Value = serde_json::from_slice(&target.body).expect("JSON");
    let expected = serde_json::json!({
        "model": "small",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello \"you\""}],
        "max_tokens": 200,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(body, expected);
    assert!(!format!("{target:?}").contains("sk-test"), "a key is never shown");
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
            assert_eq!(text(&events), "Grüß dich 👋", "pieces of {piece}");
            // The later usage counts, and a zero in it is a number.
            let usage = Some(Quantity::Tokens(TokenUsage { input: 12, ..TokenUsage::default() }));
            let answer = Answer { finish: Finish::Complete, usage, request_id: Some("c-1".to_owned()) };
            assert_eq!(events.last(), Some(&Event::Finished(answer)), "pieces of {piece}");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_is_a_failure_however_far_it_came() {
    let events = answered(HEAD, "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"cho", 7);
    assert_eq!(text(&events), "Hel");
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!(failure.kind, FailureKind::Connection);
    for body in ["", "data: [DO", "<html>503</html>"] {
        let events = answered(HEAD, body, 4);
        assert!(
            matches!(&events[..], [Event::Failed(Failure { kind: FailureKind::Connection, .. })]),
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
    assert_eq!(text(&events), "Hel");
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Provider, "overloaded"));
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
    let usage = Some(Quantity::Tokens(TokenUsage { input: 5, output: 1, ..TokenUsage::default() }));
    let answer = Answer { finish: Finish::Length, usage, request_id: Some("r-9".to_owned()) };
    assert_eq!(events, [Event::Text("Hello".to_owned()), Event::Finished(answer)]);
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
    let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    exchange.handle_input(Time::from_millis(500), Input::Bytes(body));
    assert_eq!(events(&mut exchange), [Event::Text("Hi".to_owned())]);
    let due = exchange.poll_timeout().expect("it waits for the usage");
    assert_eq!(due, Time::from_millis(2_500));
    exchange.handle_input(due, Input::Timeout);
    assert!(matches!(events(&mut exchange)[..], [Event::Finished(_)]));
    assert!(exchange.is_over());
}
