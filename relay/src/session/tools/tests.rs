//! Webhooks of tools against a backend that checks what it gets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;

use super::*;
use crate::agent::tool::{Runs, Schema};
use crate::config::Secret;

const SECRET: &str = "a secret that both sides have, of 40 bytes";

/// What came: the header of each call, and its body.
type Got = Arc<Mutex<Vec<(HeaderMap, String)>>>;
type Answer = fn(&str) -> Response;

/// A backend that answers so, and where it is.
async fn backend(answer: Answer) -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/tool", listener.local_addr().expect("bound"));
    let got = Got::default();
    let take = |State((got, answer)): State<(Got, Answer)>, head: HeaderMap, body: String| async move {
        let answer = answer(&body);
        got.lock().expect("no panic").push((head, body));
        answer
    };
    let routes = Router::new().route("/tool", post(take)).with_state((got.clone(), answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, got)
}

fn tools(url: &str) -> Tools {
    let tool = Tool {
        name: "book".into(),
        description: "Books a table.".into(),
        parameters: Schema::parse("{}").expect("a schema"),
        runs: Runs::Webhook,
        deadline: Duration::from_secs(20),
        max_result_bytes: 64,
    };
    let webhook = Webhook { url: url.parse().expect("a URL"), secrets: vec![Secret::new(SECRET.into())] };
    let caller = Caller {
        session_id: "s".into(),
        conversation_id: "v".into(),
        agent: "host".into(),
        user: "ada".into(),
        account: "acme".into(),
    };
    let client = tool_client().expect("a client");
    Tools::new(TaskTracker::new(), Some(client), caller, vec![ToolConfig { tool, webhook: Some(webhook) }])
}

fn called(call_id: &str) -> Called {
    Called {
        call_id: call_id.into(),
        model_id: "m".into(),
        name: "book".into(),
        arguments: "{\"at\":\"20:00\"}".into(),
        runs: Runs::Webhook,
    }
}

/// What comes of a call that is answered so.
async fn outcome(answer: Answer) -> ToolOutput {
    let (url, _got) = backend(answer).await;
    let mut tools = tools(&url);
    tools.run(called("c_1"));
    let (call_id, output) = tools.next().await;
    assert_eq!(call_id, "c_1");
    assert!(tools.running.is_empty());
    output
}

#[tokio::test]
async fn a_call_is_signed_and_says_for_whom_it_is() {
    let (url, got) = backend(|_| "{\"table\":4}".into_response()).await;
    let mut tools = tools(&url);
    tools.run(called("c_1"));
    let output = ToolOutput { output: "{\"table\":4}".into(), is_error: false };
    assert_eq!(tools.next().await, ("c_1".to_owned(), output));
    let (head, body) = got.lock().expect("no panic").pop().expect("it came");
    let header = |name: &str| head[name].to_str().expect("text").to_owned();
    let timestamp = header("webhook-timestamp").parse().expect("seconds");
    assert_eq!(header("webhook-id"), "c_1");
    assert_eq!(header("webhook-signature"), sign(&[Secret::new(SECRET.into())], "c_1", timestamp, &body));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["type"], "tool.call");
    let data = json!({
        "call_id": "c_1", "name": "book", "arguments": {"at": "20:00"}, "agent": "host", "user": "ada",
        "account": "acme", "session_id": "s", "conversation_id": "v",
    });
    assert_eq!(body["data"], data);
}

#[tokio::test]
async fn what_goes_wrong_is_told_in_words_and_a_backends_own_failure_is_not_passed_on() {
    let taken = outcome(|_| (StatusCode::UNPROCESSABLE_ENTITY, "no table for nine").into_response()).await;
    assert_eq!(taken, ToolOutput::error("no table for nine"));
    let failed = outcome(|_| (StatusCode::INTERNAL_SERVER_ERROR, "stack trace").into_response()).await;
    assert_eq!(failed, ToolOutput::error("The tool has failed with status 500."));
    let moved = outcome(|_| (StatusCode::FOUND, [("location", "/elsewhere")]).into_response()).await;
    assert_eq!(moved, ToolOutput::error("The tool has failed with status 302."));
    let long = outcome(|_| "x".repeat(65).into_response()).await;
    assert!(long.is_error && long.output.contains("at most 64"), "{long:?}");
    assert_eq!(outcome(|_| "x".repeat(64).into_response()).await.output.len(), 64);
}

#[tokio::test]
async fn who_is_not_there_is_tried_once_more_and_the_model_is_not_told_where() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/secret", listener.local_addr().expect("bound"));
    drop(listener);
    let mut tools = tools(&url);
    tools.run(called("c_1"));
    let (_, output) = tools.next().await;
    assert!(output.is_error && !output.output.contains("secret"), "{output:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_nothing() {
    let (url, _got) = backend(|_| "4".into_response()).await;
    let mut tools = tools(&url);
    tools.run(called("c_1"));
    tools.cancel("c_1");
    tools.run(called("c_2"));
    assert_eq!(tools.next().await.0, "c_2");
}
