//! What administrators decide reaches running calls, here and at other relays.

use serde_json::{Value, json};

use super::support::{Relay, Wire};
use super::{admin, as_user, get, post, token};

/// A call of this user, with its session.
pub(super) async fn call(relay: &Relay, sub: &str) -> (Wire, String) {
    let (wire, answer) = hello(relay, sub).await;
    let session = answer["session_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (wire, session)
}

/// What the relay first says to this user.
pub(super) async fn hello(relay: &Relay, sub: &str) -> (Wire, Value) {
    let (mut wire, _, _) = relay.call(|_| {}).await;
    let hello = json!({
        "type": "hello", "token": token(sub), "client": "test", "codec": "pcm_s16le_16000",
        "start": { "seq": 0, "position": 0 },
    });
    wire.text(&hello.to_string()).await;
    let (_, answer) = wire.next().await.expect("an answer");
    (wire, serde_json::from_slice(&answer).expect("JSON"))
}

#[tokio::test]
async fn a_denied_user_is_cut_off_at_once_and_let_in_again_once_allowed() {
    let relay = Relay::start().await;
    let (mut ada, _) = call(&relay, "ada").await;
    let (mut bob, _) = call(&relay, "bob").await;
    let (mut cyd, _) = call(&relay, "cyd").await;
    let denied =
        post(&relay, &admin(), "/v1/admin/denials", &json!({ "kind": "sub", "subject": "ada" })).await;
    assert_eq!(denied.status, 201, "{denied:?}");
    let entry = denied.json();
    assert_eq!((&entry["created_by"], &entry["expires_at"]), (&json!("root"), &json!(null)));
    assert_eq!(ada.close_code().await, Some(4403));
    let login = json!({ "kind": "login", "subject": "login-of-bob", "reason": "stolen", "expires_at": "2999-01-01T00:00:00Z" });
    assert_eq!(post(&relay, &admin(), "/v1/admin/denials", &login).await.status, 201);
    assert_eq!(bob.close_code().await, Some(4403));

    for sub in ["ada", "bob"] {
        let (mut wire, answer) = hello(&relay, sub).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("denied")), "{answer}");
        assert_eq!(wire.close_code().await, Some(4403));
        assert_eq!(get(&relay, &token(sub), "/v1/sessions").await.status, 403);
    }
    let list = get(&relay, &admin(), "/v1/admin/denials").await.json();
    let subjects: Vec<&Value> =
        list["denials"].as_array().expect("a list").iter().map(|one| &one["subject"]).collect();
    assert_eq!(subjects, ["login-of-bob", "ada"]);

    for path in ["/v1/admin/denials/sub/ada", "/v1/admin/denials/login/login-of-bob"] {
        assert_eq!(as_user(&relay, &admin(), "DELETE", path).await.status, 204, "{path}");
    }
    let _ = (call(&relay, "ada").await, call(&relay, "bob").await);
    cyd.text(r#"{"type":"bye","end":0}"#).await;
    assert_eq!(cyd.close_code().await, Some(1000), "others went on");
}

#[tokio::test]
async fn the_example_of_the_documents_denies_whom_it_names() {
    let relay = Relay::start().await;
    let (_, rest) = include_str!("../../../docs/security.md").split_once("-d '").expect("one");
    let example = rest.split_once('\'').expect("its end").0;
    let example: Value = serde_json::from_str(example).expect("JSON");
    let denied = post(&relay, &admin(), "/v1/admin/denials", &example).await;
    assert_eq!((denied.status, &denied.json()["subject"]), (201, &json!("alice")), "{denied:?}");
}

#[tokio::test]
async fn the_list_in_memory_goes_on_while_the_database_is_away() {
    let relay = Relay::start().await;
    post(&relay, &admin(), "/v1/admin/denials", &json!({ "kind": "sub", "subject": "ada" })).await;
    relay.app.records.store.close().await;
    let (mut wire, answer) = hello(&relay, "ada").await;
    assert_eq!(answer["code"], "denied");
    assert_eq!(wire.close_code().await, Some(4403));
    let (_, answer) = hello(&relay, "bob").await;
    assert_eq!(answer["code"], "store_unavailable");
}

#[tokio::test]
async fn an_administrator_ends_a_call_and_it_is_billed_and_kept() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    let live = get(&relay, &admin(), "/v1/admin/live").await.json();
    assert_eq!((&live["sessions"][0]["id"], &live["sessions"][0]["state"]), (&json!(id), &json!("live")));
    let end = format!("/v1/admin/sessions/{id}/end");
    assert_eq!(as_user(&relay, &admin(), "POST", &end).await.status, 204);
    assert_eq!(ada.close_code().await, Some(4411));
    assert_eq!(as_user(&relay, &admin(), "POST", &end).await.status, 204, "it has ended already");
    let session = get(&relay, &token("ada"), &format!("/v1/sessions/{id}")).await.json();
    assert_eq!((&session["state"], &session["end_reason"]), (&json!("ended"), &json!("ended_by_operator")));
}

#[tokio::test]
async fn a_call_that_an_administrator_ended_while_its_client_was_away_is_not_begun_anew() {
    let relay = Relay::start().await;
    let (wire, answer) = hello(&relay, "ada").await;
    drop(wire);
    let id = answer["session_id"].as_str().expect("a session");
    let end = format!("/v1/admin/sessions/{id}/end");
    assert_eq!(as_user(&relay, &admin(), "POST", &end).await.status, 204);
    for (sub, token_of_session, code) in [
        ("ada", &answer["resume_token"], 4411),
        ("bob", &answer["resume_token"], 0),
        ("ada", &json!("another"), 0),
    ] {
        let (mut wire, _, _) = relay.call(|_| {}).await;
        let resume = json!({ "session_id": id, "resume_token": token_of_session, "epoch": 0, "received": 0 });
        let hello = json!({
            "type": "hello", "token": token(sub), "client": "test", "codec": "pcm_s16le_16000",
            "start": { "seq": 0, "position": 0 }, "resume": resume,
        });
        wire.text(&hello.to_string()).await;
        if code > 0 {
            assert_eq!(wire.close_code().await, Some(code));
        } else {
            let (_, answer) = wire.next().await.expect("an answer");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert_eq!(answer["type"], "resume_failed", "to others it is like any that is not theirs");
        }
    }
}

#[tokio::test]
async fn a_call_that_is_erased_while_it_runs_is_ended_first() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    let path = format!("/v1/sessions/{id}");
    assert_eq!(as_user(&relay, &token("ada"), "DELETE", &path).await.status, 204);
    assert_eq!(ada.close_code().await, Some(1000));
    assert_eq!(get(&relay, &token("ada"), &path).await.status, 404);
    let (mut bob, _) = call(&relay, "bob").await;
    let erased = as_user(&relay, &admin(), "DELETE", "/v1/admin/users/bob").await;
    assert_eq!((erased.status, &erased.json()["sessions"]), (200, &json!(1)));
    assert_eq!(bob.close_code().await, Some(4411));
    let (mut cyd, id) = call(&relay, "cyd").await;
    let path = format!("/v1/admin/sessions/{id}");
    assert_eq!(as_user(&relay, &admin(), "DELETE", &path).await.status, 204);
    assert_eq!(cyd.close_code().await, Some(4411));
}

#[tokio::test]
async fn another_relay_hears_of_it_within_a_look() {
    let here = Relay::start().await;
    let there = here.another().await;
    let (mut ada, _) = call(&there, "ada").await;
    let (mut bob, id) = call(&there, "bob").await;
    let (mut cyd, cyds) = call(&there, "cyd").await;
    post(&here, &admin(), "/v1/admin/denials", &json!({ "kind": "sub", "subject": "ada" })).await;
    assert_eq!(ada.close_code().await, Some(4403));
    let end = format!("/v1/admin/sessions/{id}/end");
    assert_eq!(as_user(&here, &admin(), "POST", &end).await.status, 204);
    assert_eq!(bob.close_code().await, Some(4411));
    let path = format!("/v1/admin/sessions/{cyds}");
    assert_eq!(as_user(&here, &admin(), "DELETE", &path).await.status, 204);
    assert_eq!(cyd.close_code().await, Some(4411));
    let live = get(&here, &admin(), "/v1/admin/live").await.json();
    assert_eq!(live["sessions"], json!([]));
}
