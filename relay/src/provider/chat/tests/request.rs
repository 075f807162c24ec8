//! What is asked.

use super::*;

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
fn tools_and_what_came_of_them_are_told_as_the_reference_says() {
    let call = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "look".to_owned(),
        arguments: arguments.to_owned(),
    };
    let output =
        |id: &str| Message::ToolOutput { call_id: id.to_owned(), output: "rain".to_owned(), is_error: false };
    let text = "One moment.".to_owned();
    let ask = event::Chat {
        messages: vec![
            Message::Assistant { text, calls: vec![call("a", "{\"at\": 1}"), call("b", "{\"at\":")] },
            Message::User("Well?".to_owned()),
            output("a"),
            output("c"),
        ],
        tools: vec![Tool {
            name: "look".to_owned(),
            description: "Looks.".to_owned(),
            parameters: "no JSON".to_owned(),
        }],
        max_output_tokens: 200,
    };
    let base = Url::parse("https://api.openai.com/v1/").expect("an address");
    let Opening::Http(target) = Chat::new(&base, None, "large", &ask, false).open() else {
        panic!("a chat is HTTP")
    };
    let body: Value = serde_json::from_slice(&target.body).expect("JSON");
    let expected = serde_json::json!({
        "model": "large",
        "messages": [
            {"role": "assistant", "content": "One moment.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1}"}},
                {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ]},
            {"role": "tool", "content": "rain", "tool_call_id": "a"},
            {"role": "tool", "content": "The call was cancelled.", "tool_call_id": "b"},
            {"role": "user", "content": "Well?"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}],
        "max_completion_tokens": 200,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(body, expected);
}

#[test]
fn the_roles_of_a_history_alternate_but_for_openais_own_models_which_take_any() {
    let messages = vec![
        Message::System("Be brief.".to_owned()),
        Message::Assistant { text: "Good day.".to_owned(), calls: Vec::new() },
        Message::User("Hello".to_owned()),
        Message::User("[For your information]".to_owned()),
    ];
    let ask = event::Chat { messages, ..ask() };
    let roles = |base: &str| -> Vec<String> {
        let base = Url::parse(base).expect("an address");
        let Opening::Http(target) = Chat::new(&base, None, "small", &ask, false).open() else {
            panic!("a chat is HTTP")
        };
        let body: Value = serde_json::from_slice(&target.body).expect("JSON");
        let messages = body["messages"].as_array().expect("a list").iter();
        messages.map(|message| message["role"].as_str().expect("a role").to_owned()).collect()
    };
    assert_eq!(roles("http://127.0.0.1:8000/v1/"), ["system", "user", "assistant", "user"]);
    for openai in ["api.openai.com", "eu.api.openai.com", "acme.openai.azure.com"] {
        let roles = roles(&format!("https://{openai}/v1/"));
        assert_eq!(roles, ["system", "assistant", "user", "user"], "{openai}");
    }
    assert_eq!(roles("https://fakeapi.openai.com/v1/"), ["system", "user", "assistant", "user"]);
}

/// OpenAI refuses ids that are too long and names with a dot, and Mistral ids of another form than its own; others read what is in them.
#[test]
fn calls_of_another_model_have_ids_and_names_that_the_next_one_takes() {
    let long = format!("call_x__thought__{}", "a".repeat(80));
    let given = [&*long, "call_7", "call_7", "", "D681PevKs", "functions.look:0"];
    let call = |id: &str| {
        let name = "multi_tool_use.parallel".to_owned();
        ToolCall { id: id.to_owned(), name, arguments: "{}".to_owned() }
    };
    let output =
        |id: &str| Message::ToolOutput { call_id: id.into(), output: format!("of {id}"), is_error: false };
    let called = Message::Assistant { text: String::new(), calls: given.map(call).to_vec() };
    let messages = [vec![Message::User("Look.".to_owned()), called], given.map(output).to_vec()].concat();
    let ask = event::Chat { messages, ..ask() };
    for (base, model, expected) in [
        (
            "https://api.openai.com/v1/",
            "small",
            ["call00001", "call_7", "call00003", "call00004", "D681PevKs", "functions.look:0"],
        ),
        (
            "http://127.0.0.1:8000/v1/",
            "mistralai/Ministral-8B",
            ["call00001", "call00002", "call00003", "call00004", "D681PevKs", "call00006"],
        ),
        (
            "http://127.0.0.1:8000/v1/",
            "kimi-k2",
            [&*long, "call_7", "call_7", "call00003", "D681PevKs", "functions.look:0"],
        ),
    ] {
        let base = Url::parse(base).expect("an address");
        let Opening::Http(target) = Chat::new(&base, None, model, &ask, false).open() else {
            panic!("a chat is HTTP")
        };
        let body: Value = serde_json::from_slice(&target.body).expect("JSON");
        let messages = body["messages"].as_array().expect("a list");
        let calls = messages[1]["tool_calls"].as_array().expect("calls");
        assert!(calls.iter().all(|call| call["function"]["name"] == "multi_tool_use_parallel"), "{body}");
        let called: Vec<_> = calls.iter().map(|call| call["id"].as_str().expect("an id")).collect();
        let outputs = messages[2..].iter();
        let answered: Vec<_> =
            outputs.map(|output| output["tool_call_id"].as_str().expect("an id")).collect();
        assert_eq!(called, expected, "{model}");
        assert_eq!(answered, expected, "each has its output behind it");
    }
}

#[test]
fn a_long_answer_may_have_as_many_bytes_as_its_tokens_take_with_what_is_around_them() {
    let bytes = |tokens: u32| {
        let ask = Ask::Chat(event::Chat { max_output_tokens: tokens, ..ask() });
        (OPENAI_CHAT.bounds)(&provider(&OPENAI_CHAT, "small"), &ask).bytes
    };
    assert_eq!((bytes(300), bytes(32_000)), (1 << 20, 32_000 << 11));
}
