//! What the door of a relay says that is told to stop.

use super::*;

fn code(body: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(body).expect("JSON")["code"].clone()
}

#[tokio::test]
async fn a_relay_that_is_told_to_stop_is_not_ready_and_takes_calls_all_the_same() {
    let relay = Relay::start().await;
    let (head, _) = relay.get("/livez", "").await;
    assert_eq!((status(&head), header(&head, "connection")), (200, None));
    relay.app.live.unready.cancel();

    let (head, body) = relay.get("/readyz", "").await;
    assert_eq!((status(&head), header(&head, "retry-after")), (503, Some("1")), "{body}");
    let told: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&told["ready"], &told["reasons"]), (&json!(false), &json!(["draining"])));
    for path in ["/readyz", "/livez", "/nothing", "/v1/sessions"] {
        let (head, _) = relay.get(path, "").await;
        assert_eq!(
            header(&head, "connection"),
            Some("close"),
            "{path}: what is asked next is asked elsewhere"
        );
    }
    let (head, _) = relay.get("/v1/call", "").await;
    assert_eq!((status(&head), header(&head, "connection")), (426, Some("upgrade, close")));
    let (_wire, head, _) = relay.call(|_| {}).await;
    assert_eq!(status(&head), 101);
    assert!(!head.contains("close"), "a call is not closed by that: {head}");
    let brings = "POST /v1/call/http/0123456789abcdef0123456789abcdef HTTP/1.1\r\nhost: relay\r\ncontent-length: 0\r\n\r\n";
    let (head, body) = relay.request(brings).await;
    assert_eq!((status(&head), header(&head, "connection")), (409, None), "nor is one over HTTP: {body}");
}

#[tokio::test]
async fn one_that_sends_its_calls_elsewhere_takes_none_and_says_when_to_come_back() {
    let relay = Relay::start().await;
    let (mut early, head, _) = relay.call(|_| {}).await;
    assert_eq!(status(&head), 101);
    relay.app.live.moving.cancel();

    for (status, answer, head) in answers(&relay, "").await {
        assert_eq!((status, header(&head, "retry-after")), (503, Some("1")), "{answer}");
        assert_eq!(answer["code"], "relay_stopping");
        assert_eq!((&answer["retryable"], &answer["retry_after_ms"]), (&json!(true), &json!(1_000)));
        assert_eq!(header(&head, "access-control-allow-origin"), Some("*"));
    }
    let (head, body) = relay.get("/v1/preflight", "").await;
    assert_eq!((status(&head), code(&body)), (503, json!("relay_stopping")));
    let wire = "/v1/call/http/0123456789abcdef0123456789abcdef";
    let (head, body) = relay.get(wire, "accept: text/event-stream\r\n").await;
    assert_eq!((status(&head), code(&body)), (503, json!("relay_stopping")));

    // Who was let in before has no session yet, and does not get one.
    early.text(&hello("a token")).await;
    let (_, error) = early.next().await.expect("an answer");
    let error: serde_json::Value = serde_json::from_slice(&error).expect("JSON");
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("relay_stopping")));
    assert_eq!(early.close_code().await, Some(1001));
    let (head, _) = relay.get("/livez", "").await;
    assert_eq!(status(&head), 200, "it lives, and answers whatever is no call");
}
