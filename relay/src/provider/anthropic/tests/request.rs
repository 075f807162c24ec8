//! What is asked, whatever was said and called.

use super::super::super::Tool;
use super::*;

/// The body of the request for this.
fn body(ask: &event::Chat) -> Value {
    let Opening::Http(target) = codec(ask).open() else { panic!("it is HTTP") };
    serde_json::from_slice(&target.body).expect("JSON")
}

fn system(text: &str) -> Message {
    Message::System(text.to_owned())
}

fn said(text: &str) -> Message {
    called(text, &[])
}

/// Words, and calls of `look` with these names and arguments.
fn called(text: &str, calls: &[(&str, &str)]) -> Message {
    let call = |(id, arguments): &(&str, &str)| ToolCall {
        id: (*id).to_owned(),
        name: "look".to_owned(),
        arguments: (*arguments).to_owned(),
    };
    Message::Assistant { text: text.to_owned(), calls: calls.iter().map(call).collect() }
}

fn output(call_id: &str, output: &str, is_error: bool) -> Message {
    Message::ToolOutput { call_id: call_id.to_owned(), output: output.to_owned(), is_error }
}

fn look() -> Tool {
    Tool {
        name: "look".to_owned(),
        description: "Looks.".to_owned(),
        parameters: "{\"type\":\"object\",\"properties\":{}}".to_owned(),
    }
}

#[test]
fn it_asks_as_the_reference_says_and_marks_what_stays_for_the_cache() {
    let messages = vec![
        system("Be brief."),
        system(" "),
        system("Be kind."),
        user("Hello"),
        user("\"you\""),
        said("Hi."),
        user("Rain?"),
        called("One moment.", &[("toolu_1", "{\"at\":1}"), ("toolu_2", "no JSON")]),
        output("toolu_2", "", true),
        output("toolu_1", "no", false),
        user("Well?"),
    ];
    let ask = event::Chat { tools: vec![look(), look()], ..ask(messages) };
    let Opening::Http(target) = codec(&ask).open() else { panic!("it is HTTP") };
    assert_eq!(target.url.as_str(), "https://example.com/v1/messages");
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("accept", "text/event-stream".to_owned()),
        ("anthropic-version", "2023-06-01".to_owned()),
        ("x-api-key", "sk-ant-test".to_owned()),
    ];
    assert_eq!(target.headers, headers);
    assert!(!format!("{target:?}").contains("sk-ant-test"), "a key is never shown");
    let cached = json!({"type": "ephemeral"});
    let schema = json!({"type": "object", "properties": {}});
    let expected = json!({
        "model": "claude",
        "max_tokens": 200,
        "stream": true,
        "system": [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Be kind.", "cache_control": cached},
        ],
        "tools": [
            {"name": "look", "description": "Looks.", "input_schema": schema},
            {"name": "look", "description": "Looks.", "input_schema": schema, "cache_control": cached},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "\"you\""}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
            {"role": "user", "content": [{"type": "text", "text": "Rain?"}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "One moment."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1}},
                {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}, "cache_control": cached},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true},
                {"type": "text", "text": "Well?"},
            ]},
        ],
    });
    assert_eq!(body(&ask), expected);
}

#[test]
fn nothing_is_to_be_kept_in_the_cache_for_an_hour_which_is_dearer_than_what_is_set_aside() {
    let messages = vec![system("Be brief."), user("Hi"), said("Hi."), user("Rain?")];
    let body = body(&event::Chat { tools: vec![look()], ..ask(messages) });
    // Without a `ttl` it is five minutes.
    let cached = json!({"type": "ephemeral"});
    for marked in [&body["tools"][0], &body["system"][0], &body["messages"][1]["content"][0]] {
        assert_eq!(marked["cache_control"], cached, "{marked}");
    }
}

#[test]
fn the_user_has_the_first_word_and_the_last() {
    let begins = "(the call begins)";
    for (messages, roles, first, last) in [
        (vec![], 1, begins, begins),
        (vec![user(" "), system("Be brief.")], 1, begins, begins),
        (vec![said("Hello?"), user("Hi.")], 3, begins, "Hi."),
        (vec![user("Hi."), said("Hello."), said("Well?")], 3, "Hi.", "(the user says nothing)"),
        (vec![user("Hi."), said("Hello."), said(" \n")], 3, "Hi.", "(the user says nothing)"),
    ] {
        let body = body(&ask(messages));
        let messages = body["messages"].as_array().expect("a list");
        assert_eq!(messages.len(), roles, "{body}");
        assert_eq!(messages[0]["content"][0]["text"], first);
        assert_eq!(messages[roles - 1]["content"][0]["text"], last);
    }
}

#[test]
fn tools_that_may_not_be_called_any_more_are_declared_for_the_calls_of_before() {
    let history = vec![user("Rain?"), called("", &[("a", "{}"), ("b", "{}")])];
    let body = body(&ask(history));
    let cached = json!({"type": "ephemeral"});
    let tools = json!([{"name": "look", "input_schema": {"type": "object"}, "cache_control": cached}]);
    assert_eq!((&body["tools"], &body["tool_choice"]), (&tools, &json!({"type": "none"})));
}

/// The rules of the wire, checked for every history of up to four of these messages: whatever a call that is cut, taken over or shortened leaves.
#[test]
fn a_request_is_valid_whatever_the_history_is() {
    let pieces = [
        system("Be brief."),
        user("Hello"),
        user(""),
        said("Hi."),
        called("", &[("a", "{}"), ("a", "[]"), ("ü b", "")]),
        called("Well.", &[("b", "null")]),
        output("a", "x", false),
        output("b", "", true),
    ];
    for length in 0..=4 {
        for number in 0..pieces.len().pow(length) {
            let piece = |place| pieces[number / pieces.len().pow(place) % pieces.len()].clone();
            let history: Vec<Message> = (0..length).map(piece).collect();
            let body = body(&ask(history.clone()));
            assert_eq!(fault(&body), None, "{history:?} makes {body}");
        }
    }
}

/// What the provider would refuse.
fn fault(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array().expect("a list");
    let mut open: Vec<&str> = Vec::new();
    let mut ids: Vec<&str> = Vec::new();
    for (place, message) in messages.iter().enumerate() {
        if message["role"] != ["user", "assistant"][place % 2] {
            return Some("the roles do not alternate from the user on".to_owned());
        }
        let blocks = message["content"].as_array().expect("a list");
        let results: Vec<&str> = blocks.iter().filter_map(|block| block["tool_use_id"].as_str()).collect();
        if results != open || blocks.iter().skip(results.len()).any(|block| block["type"] == "tool_result") {
            return Some(format!("{results:?} are not the results of {open:?}, or not first"));
        }
        open = blocks.iter().filter_map(|block| block["id"].as_str()).collect();
        for id in &open {
            if id.is_empty()
                || ids.contains(id)
                || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                return Some(format!("a call {id:?}"));
            }
            ids.push(id);
        }
        if blocks.iter().any(|block| {
            block["type"] == "text" && block["text"].as_str().is_none_or(|text| text.trim().is_empty())
        }) {
            return Some("a text without a word".to_owned());
        }
        if blocks.iter().any(|block| block["type"] == "tool_use" && !block["input"].is_object()) {
            return Some("an input that is no object".to_owned());
        }
    }
    let undeclared = !ids.is_empty() && body["tools"].as_array().is_none_or(Vec::is_empty);
    let marks = body.to_string().matches("cache_control").count();
    (messages.len().is_multiple_of(2) || undeclared || marks > 4)
        .then(|| "it ends with the model, has no tools for its calls, or too many marks".to_owned())
}
