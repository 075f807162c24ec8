//! What administrators have agents told. The agent of these calls is the echo, which cannot be told anything: whether one that can says it is tried
//! with the real relay.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::orders::call;
use super::records::{self, of_a_lost_relay, open};
use super::support::{PATIENCE, Relay};
use super::{MIDNIGHT, admin, as_user, get, post, session, token};

/// What has become of a command, once the relay that has the session has said.
async fn outcome(relay: &Relay, session: &str, given: &Value) -> Value {
    let id = given["id"].as_str().expect("an id");
    let path = format!("/v1/admin/sessions/{session}/commands/{id}");
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = get(relay, &admin(), &path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["id"], id);
        if told["outcome"] != "waiting" {
            return told;
        }
        assert!(Instant::now() < end, "its relay looks every second: {told}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_command_is_answered_at_once_and_its_outcome_is_told_and_who_gave_it_is_in_the_audit() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    let path = |what: &str| format!("/v1/admin/sessions/{id}/{what}");
    let words = json!({ "text": "We close soon.", "interrupt": true });
    let say = post(&relay, &admin(), &path("say"), &words).await;
    assert_eq!((say.status, &say.json()["outcome"]), (202, &json!("waiting")), "{say:?}");
    let told = outcome(&relay, &id, &say.json()).await;
    assert_eq!((&told["outcome"], &told["reason"]), (&json!("refused"), &json!("agent_cannot")));
    let words = json!({ "text": "They have called before." });
    let know = post(&relay, &admin(), &path("context"), &words).await;
    assert_eq!(know.status, 202, "{know:?}");
    assert_eq!(outcome(&relay, &id, &know.json()).await["reason"], "agent_cannot");
    let audit = get(&relay, &admin(), "/v1/admin/audit").await.json();
    let deeds: Vec<_> = audit["audit"].as_array().expect("a list").iter().collect();
    let of = |deed: &Value| ["by", "what", "user_sub", "subject"].map(|field| deed[field].clone());
    assert_eq!(deeds.len(), 2);
    assert_eq!(of(deeds[0]), [json!("root"), json!("add_context"), json!("ada"), json!(id)]);
    assert_eq!(of(deeds[1]), [json!("root"), json!("say"), json!("ada"), json!(id)]);
    assert!(!audit.to_string().contains("close soon"), "the words are not kept there: {audit}");
    let one = get(&relay, &admin(), "/v1/admin/audit?what=say").await.json();
    assert_eq!(one["audit"].as_array().map(Vec::len), Some(1));

    // The page has heard nothing of it: its call goes on, and ends as it wants it to.
    ada.text(r#"{"type":"bye","end":0}"#).await;
    let mut heard = Vec::new();
    while let Some((1, text)) = ada.next().await {
        let message: Value = serde_json::from_slice(&text).expect("JSON");
        heard.push(message["type"].as_str().expect("a type").to_owned());
    }
    let nothing_new = ["agent", "ack", "usage", "ended"];
    assert!(heard.iter().all(|kind| nothing_new.contains(&kind.as_str())), "{heard:?}");
    let ended = post(&relay, &admin(), &path("say"), &json!({ "text": "Hello?" })).await;
    assert_eq!((ended.status, &ended.json()["code"]), (409, &json!("session_ended")), "{ended:?}");
}

#[tokio::test]
async fn another_relay_that_has_the_call_reads_a_command_within_a_look() {
    let here = Relay::start().await;
    let there = here.another().await;
    let (_ada, id) = call(&there, "ada").await;
    let path = format!("/v1/admin/sessions/{id}/say");
    let given = post(&here, &admin(), &path, &json!({ "text": "We close soon." })).await;
    assert_eq!(given.status, 202, "{given:?}");
    let begun = Instant::now();
    assert_eq!(outcome(&here, &id, &given.json()).await["outcome"], "refused");
    // It looks every second. A busy machine may be late.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_waits_for_a_session_that_nobody_has_is_bounded_and_refused_once_that_has_ended() {
    let relay = Relay::start().await;
    let store = &relay.app.records.store;
    open(&**store, &records::session("a-1"), &of_a_lost_relay()).await;
    let say = async || post(&relay, &admin(), "/v1/admin/sessions/a-1/say", &json!({ "text": "la" })).await;
    let first = say().await;
    for _ in 1..8 {
        assert_eq!(say().await.status, 202);
    }
    let full = say().await;
    assert_eq!((full.status, &full.json()["code"]), (409, &json!("commands_full")), "{full:?}");
    assert_eq!((&full.json()["retryable"], full.header("retry-after")), (&json!(true), Some("1")));
    assert_eq!(as_user(&relay, &admin(), "POST", "/v1/admin/sessions/a-1/end").await.status, 204);
    let told = outcome(&relay, "a-1", &first.json()).await;
    assert_eq!((&told["outcome"], &told["reason"]), (&json!("refused"), &json!("call_ended")));
}

#[tokio::test]
async fn commands_are_for_administrators_and_say_what_they_cannot_be() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let text = json!({ "text": "Hello" });
    for what in ["say", "context"] {
        let path = format!("/v1/admin/sessions/a-1/{what}");
        let own = post(&relay, &token("ada"), &path, &text).await;
        assert_eq!((own.status, &own.json()["code"]), (403, &json!("admin_only")), "{what}");
        for body in [
            json!({}),
            json!({ "text": 7 }),
            json!({ "text": "" }),
            json!({ "text": " \n" }),
            json!({ "text": "a".repeat(4_001) }),
            json!({ "text": "Hello", "voice": "deep" }),
        ] {
            let wrong = post(&relay, &admin(), &path, &body).await;
            assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("bad_body")), "{what} {body}");
        }
        for id in ["nobody", "no%20id"] {
            let path = format!("/v1/admin/sessions/{id}/{what}");
            assert_eq!(post(&relay, &admin(), &path, &text).await.status, 404, "{what} {id}");
        }
    }
    let context = json!({ "text": "Hello", "interrupt": true });
    let wrong = post(&relay, &admin(), "/v1/admin/sessions/a-1/context", &context).await;
    assert_eq!(wrong.status, 400, "what is only to be known cuts nothing off");
    for path in ["/v1/admin/sessions/a-1/commands/c-1", "/v1/admin/sessions/nobody/commands/c-1"] {
        assert_eq!(get(&relay, &admin(), path).await.status, 404, "{path}");
    }
    assert_eq!(get(&relay, &token("ada"), "/v1/admin/sessions/a-1/commands/c-1").await.status, 403);
}
