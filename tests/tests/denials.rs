//! The deny-list of the real relay, from the HTTP API to the calls it closes.

use serde_json::{Value, json};
use tests::http::request;
use tests::{Heard, Raw, Relay, hello, token_but};

/// What the relay answers to a first message with these claims.
async fn refused(relay: &Relay, claims: &Value) -> (Vec<String>, u16) {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&protocol::ClientMessage::from(hello(&token_but(claims), None)).to_json()).await;
    raw.end().await
}

#[tokio::test]
async fn a_denied_user_loses_the_running_call_at_once_and_stays_out_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let (mut ada, _) = Raw::welcomed(&relay, "ada").await;
    let (mut bob, _) = Raw::welcomed(&relay, "bob").await;
    let (status, body) = request(
        &relay,
        "POST",
        "/v1/admin/denials",
        r#"{ "kind": "sub", "subject": "ada", "reason": "abuse" }"#,
    )
    .await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(ada.end().await, (Vec::new(), 4403));
    assert_eq!(refused(&relay, &json!({ "sub": "ada" })).await, (vec!["denied".to_owned()], 4403));
    bob.say(&protocol::ClientMessage::from(protocol::Bye { end: 0 }).to_json()).await;
    assert_eq!(bob.end().await.1, 1000, "others go on");

    relay.terminate().await;
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    assert_eq!(refused(&relay, &json!({ "sub": "ada" })).await.1, 4403);
    assert_eq!(request(&relay, "DELETE", "/v1/admin/denials/sub/ada", "").await.0, 204);
    Raw::welcomed(&relay, "ada").await;
}

#[tokio::test]
async fn a_denied_login_loses_its_call_and_the_users_other_login_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let mut calls = Vec::new();
    for login in ["phone", "laptop"] {
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        let token = token_but(&json!({ "session_id": login }));
        raw.say(&protocol::ClientMessage::from(hello(&token, None)).to_json()).await;
        while !matches!(raw.next().await, Heard::Said(protocol::RelayMessage::Welcome(_))) {}
        calls.push(raw);
    }
    let denial = r#"{ "kind": "login", "subject": "phone", "expires_at": "2999-01-01T00:00:00Z" }"#;
    assert_eq!(request(&relay, "POST", "/v1/admin/denials", denial).await.0, 201);
    assert_eq!(calls[0].end().await.1, 4403);
    assert_eq!(refused(&relay, &json!({ "session_id": "phone" })).await.1, 4403);
    calls[1].say(&protocol::ClientMessage::from(protocol::Bye { end: 0 }).to_json()).await;
    assert_eq!(calls[1].end().await.1, 1000);
}

/// Goes on with a token of another login, in a running call or over a new connection.
async fn go_on(relay: &Relay, mut raw: Raw, welcome: &protocol::Welcome, again: bool) -> Raw {
    let token = token_but(&json!({ "session_id": "laptop" }));
    if again {
        drop(raw);
        raw = Raw::connect(relay, None).await.expect("connects");
        let resume = protocol::Resume {
            session_id: welcome.session_id.clone(),
            resume_token: welcome.resume_token.clone(),
            epoch: 0,
            received: 0,
            played: None,
        };
        raw.say(&protocol::ClientMessage::from(hello(&token, Some(resume))).to_json()).await;
        while !matches!(raw.next().await, Heard::Said(protocol::RelayMessage::Resumed(_))) {}
    } else {
        raw.say(&protocol::ClientMessage::from(protocol::Token { token }).to_json()).await;
        while !matches!(raw.next().await, Heard::Said(protocol::RelayMessage::TokenAccepted(_))) {}
    }
    raw
}

#[tokio::test]
async fn a_call_belongs_to_the_login_of_the_token_it_goes_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let mut calls = Vec::new();
    for again in [false, true] {
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        let token = token_but(&json!({ "session_id": "phone" }));
        raw.say(&protocol::ClientMessage::from(hello(&token, None)).to_json()).await;
        let welcome = loop {
            if let Heard::Said(protocol::RelayMessage::Welcome(welcome)) = raw.next().await {
                break welcome;
            }
        };
        calls.push(go_on(&relay, raw, &welcome, again).await);
    }
    let deny = async |login: &str| {
        let denial = json!({ "kind": "login", "subject": login }).to_string();
        assert_eq!(request(&relay, "POST", "/v1/admin/denials", &denial).await.0, 201);
    };
    deny("phone").await;
    for raw in &mut calls {
        raw.say(r#"{"type":"ping","id":1,"rtt_us":0}"#).await;
        while !matches!(raw.next().await, Heard::Said(protocol::RelayMessage::Pong(_))) {}
    }
    deny("laptop").await;
    for raw in &mut calls {
        assert_eq!(raw.end().await.1, 4403);
    }
}
