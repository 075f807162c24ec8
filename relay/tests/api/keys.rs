//! API keys: what a server asks with.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::support::Relay;
use super::{Answer, MIDNIGHT, admin, as_user, ask, get, post, session, token, token_with};

const KEYS: &str = "/v1/admin/keys";

/// Makes a key, and says its answer.
async fn make(relay: &Relay, token: &str, name: &str, roles: &[&str]) -> Value {
    let made = post(relay, token, KEYS, &json!({ "name": name, "roles": roles })).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()
}

fn key(made: &Value) -> &str {
    made["key"].as_str().expect("a key")
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().expect("a code").to_owned())
}

fn is(answer: &Answer, status: u16, word: &str) {
    assert_eq!(code(answer), (status, word.to_owned()), "{answer:?}");
}

/// Waits until it is noted that the newest key was used: whoever uses it waits for none of it.
async fn used(relay: &Relay) {
    for _ in 0..200 {
        if get(relay, &admin(), KEYS).await.json()["keys"][0]["last_used_at"].is_string() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("its use is not noted");
}

/// A token with both roles.
fn both() -> String {
    token_with("boss", &json!({ "account": "operator", "role": ["voxrelay_admin", "voxrelay_reader"] }))
}

#[tokio::test]
async fn a_key_does_what_an_administrator_may_and_the_audit_has_its_name() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let made = make(&relay, &admin(), "billing", &["admin"]).await;
    let key = key(&made);
    assert!(key.starts_with("vxr_") && key.len() == 47, "{key}");
    assert_eq!(made["roles"], json!(["admin"]));
    assert_eq!((&made["created_by"], &made["expires_at"]), (&json!("root"), &json!(null)));
    assert_eq!(get(&relay, key, "/v1/admin/sessions").await.status, 200);
    let denial = json!({ "kind": "sub", "subject": "eve" });
    let denied = post(&relay, key, "/v1/admin/denials", &denial).await;
    assert_eq!((denied.status, &denied.json()["created_by"]), (201, &json!("key:billing")), "{denied:?}");
    let audit = get(&relay, key, "/v1/admin/audit").await.json();
    let of = |n: usize| ["by", "what", "subject"].map(|field| audit["audit"][n][field].clone());
    assert_eq!(of(0), [json!("key:billing"), json!("deny"), json!("")]);
    assert_eq!(of(1), [json!("root"), json!("make_key"), json!("billing")]);
    let one = get(&relay, key, "/v1/admin/audit?by=key%3Abilling&what=deny").await.json();
    assert_eq!(one["audit"].as_array().map(Vec::len), Some(1));

    used(&relay).await;
    let list = get(&relay, &admin(), KEYS).await;
    assert!(!list.body.contains("vxr_") && !list.body.contains("hash"), "{list:?}");
    let list = list.json();
    assert_eq!((&list["keys"][0]["id"], &list["keys"][0]["name"]), (&made["id"], &json!("billing")));
    assert!(list["keys"][0]["last_used_at"].is_string() && list["keys"][0]["revoked_at"].is_null());
    for file in std::fs::read_dir(&relay.app.config.data_dir).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).unwrap_or_default();
        assert!(!bytes.windows(key.len()).any(|part| part == key.as_bytes()), "it is stored nowhere");
    }
}

#[tokio::test]
async fn a_key_is_no_user_makes_no_call_and_no_other_key() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let made = make(&relay, &both(), "all", &["admin", "reader"]).await;
    let all = key(&made);
    for path in ["/v1/sessions", "/v1/sessions/a-1", "/v1/usage", "/v1/budgets", "/v1/export/sessions.ndjson"]
    {
        is(&get(&relay, all, path).await, 403, "forbidden");
    }
    is(&as_user(&relay, all, "DELETE", "/v1/sessions/a-1").await, 403, "forbidden");
    is(&post(&relay, all, KEYS, &json!({ "name": "more", "roles": ["admin"] })).await, 403, "forbidden");
    let path = format!("{KEYS}/{}", made["id"].as_str().expect("an id"));
    is(&as_user(&relay, all, "DELETE", &path).await, 403, "forbidden");
    assert_eq!(get(&relay, all, KEYS).await.status, 200);
    let (mut wire, _, _) = relay.call(|_| {}).await;
    let hello = json!({
        "type": "hello", "token": all, "client": "test", "codec": "pcm_s16le_16000",
        "start": { "seq": 0, "position": 0 },
    });
    wire.text(&hello.to_string()).await;
    assert_eq!(wire.close_code().await, Some(4401));
}

#[tokio::test]
async fn a_key_that_denies_its_administrators_is_revoked_by_them_all_the_same() {
    let relay = Relay::start().await;
    let (made, others) = (
        make(&relay, &admin(), "billing", &["admin"]).await,
        make(&relay, &admin(), "other", &["admin"]).await,
    );
    let (stolen, other) = (key(&made), key(&others));
    for (kind, subject) in [("sub", "root"), ("login", "login-of-root")] {
        let denial = json!({ "kind": kind, "subject": subject });
        assert_eq!(post(&relay, stolen, "/v1/admin/denials", &denial).await.status, 201);
    }
    is(&get(&relay, &token("root"), "/v1/sessions").await, 403, "denied");
    let theirs = json!({ "kind": "sub", "subject": "key:other" });
    is(&post(&relay, stolen, "/v1/admin/denials", &theirs).await, 403, "forbidden");
    is(&as_user(&relay, stolen, "DELETE", "/v1/admin/users/root").await, 403, "forbidden");
    assert_eq!(get(&relay, other, KEYS).await.status, 200, "it takes no other key away");

    let path = format!("{KEYS}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(as_user(&relay, &admin(), "DELETE", &path).await.status, 204);
    is(&get(&relay, stolen, KEYS).await, 401, "unauthorized");
    for path in ["/v1/admin/denials/sub/root", "/v1/admin/denials/login/login-of-root"] {
        assert_eq!(as_user(&relay, &admin(), "DELETE", path).await.status, 204, "{path}");
    }
    assert_eq!(get(&relay, &token("root"), "/v1/sessions").await.status, 200);

    // A person may deny both, and no key undoes that of a key.
    assert_eq!(post(&relay, &admin(), "/v1/admin/denials", &theirs).await.status, 201);
    is(&get(&relay, other, KEYS).await, 403, "denied");
    let third = make(&relay, &admin(), "third", &["admin"]).await;
    let path = "/v1/admin/denials/sub/key%3Aother";
    is(&as_user(&relay, key(&third), "DELETE", path).await, 403, "forbidden");
    assert_eq!(as_user(&relay, &admin(), "DELETE", path).await.status, 204);
    let root = json!({ "kind": "sub", "subject": "root" });
    assert_eq!(post(&relay, &both(), "/v1/admin/denials", &root).await.status, 201);
    is(&get(&relay, &admin(), KEYS).await, 403, "denied");
}

#[tokio::test]
async fn with_whoever_is_denied_the_keys_are_gone_that_were_made_with_their_token() {
    let relay = Relay::start().await;
    let eve = token_with("eve", &json!({ "account": "operator", "role": "voxrelay_admin" }));
    let made = make(&relay, &eve, "hers", &["admin"]).await;
    let others = make(&relay, &admin(), "other", &["admin"]).await;
    let list = get(&relay, &admin(), &format!("{KEYS}?created_by=eve")).await.json();
    assert_eq!(list["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["keys"][0]["id"], made["id"]);
    is(&get(&relay, &admin(), &format!("{KEYS}?created_by=")).await, 400, "bad_query");
    let denial = json!({ "kind": "sub", "subject": "eve", "reason": "stolen token" });
    assert_eq!(post(&relay, &admin(), "/v1/admin/denials", &denial).await.status, 201);
    is(&get(&relay, key(&made), KEYS).await, 401, "unauthorized");
    assert_eq!(get(&relay, key(&others), KEYS).await.status, 200);
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=revoke_key").await.json();
    assert_eq!((&audit["audit"][0]["by"], &audit["audit"][0]["subject"]), (&json!("root"), &json!("hers")));
}

#[tokio::test]
async fn a_key_is_no_user_who_could_be_erased_and_no_user_has_its_name() {
    let relay = Relay::start().await;
    let made = make(&relay, &admin(), "billing", &["admin"]).await;
    let denial = json!({ "kind": "sub", "subject": "eve" });
    assert_eq!(post(&relay, key(&made), "/v1/admin/denials", &denial).await.status, 201);
    let root = admin();
    for token in [key(&made), root.as_str()] {
        let path = "/v1/admin/users/key%3Abilling";
        is(&as_user(&relay, token, "DELETE", path).await, 400, "bad_path");
    }
    assert_eq!(as_user(&relay, key(&made), "DELETE", "/v1/admin/users/ada").await.status, 200);
    let audit = get(&relay, &admin(), "/v1/admin/audit?by=key%3Abilling&what=deny").await.json();
    assert_eq!(audit["audit"].as_array().map(Vec::len), Some(1), "{audit}");
    let named = token_with("key:billing", &json!({ "account": "operator", "role": "voxrelay_admin" }));
    is(&get(&relay, &named, KEYS).await, 401, "unauthorized");
}

#[tokio::test]
async fn a_revoked_key_is_good_at_no_relay_from_then_on() {
    let relay = Relay::start().await;
    let another = relay.another().await;
    let made = make(&relay, &admin(), "billing", &["admin"]).await;
    let key = key(&made);
    for relay in [&relay, &another] {
        assert_eq!(get(relay, key, "/v1/admin/live").await.status, 200);
    }
    let path = format!("{KEYS}/{}", made["id"].as_str().expect("an id"));
    is(&as_user(&relay, &token("ada"), "DELETE", &path).await, 403, "admin_only");
    for status in [204, 404] {
        assert_eq!(as_user(&relay, &admin(), "DELETE", &path).await.status, status);
    }
    for relay in [&another, &relay] {
        let refused = get(relay, key, "/v1/admin/live").await;
        is(&refused, 401, "unauthorized");
        assert!(refused.header("www-authenticate").is_some());
    }
    let list = get(&relay, &admin(), KEYS).await.json();
    assert!(list["keys"][0]["revoked_at"].is_string(), "{list}");
    let again = json!({ "name": "billing", "roles": ["admin"] });
    is(&post(&relay, &admin(), KEYS, &again).await, 409, "key_name_in_use");
}

#[tokio::test]
async fn a_key_may_do_no_more_than_whoever_makes_it_and_than_it_is_made_for() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let transcript = "/v1/admin/sessions/a-1/transcript";
    let reader = json!({ "name": "archive", "roles": ["reader"] });
    is(&post(&relay, &admin(), KEYS, &reader).await, 403, "reader_only");
    let made = make(&relay, &both(), "archive", &["reader"]).await;
    assert_eq!(get(&relay, key(&made), transcript).await.status, 200);
    is(&get(&relay, key(&made), "/v1/admin/sessions").await, 403, "admin_only");
    let made = make(&relay, &both(), "billing", &["admin"]).await;
    is(&get(&relay, key(&made), transcript).await, 403, "reader_only");
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=read_transcript").await.json();
    assert_eq!(audit["audit"][0]["by"], "key:archive", "{audit}");
}

#[tokio::test]
async fn a_key_that_expires_is_good_until_then() {
    let relay = Relay::start().await;
    let expires_at = (Timestamp::now() + Duration::from_secs(3)).to_string();
    let new = json!({ "name": "short", "roles": ["admin"], "expires_at": expires_at });
    let made = post(&relay, &admin(), KEYS, &new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!(get(&relay, key(&made), KEYS).await.status, 200);
    sleep(Duration::from_millis(3_200)).await;
    is(&get(&relay, key(&made), KEYS).await, 401, "unauthorized");
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused_and_guessing_is_limited() {
    let relay = Relay::with(|config| config.api_requests_per_minute = 100).await;
    for body in [
        json!({ "name": "a" }),
        json!({ "name": "a", "roles": [] }),
        json!({ "name": "a", "roles": ["king"] }),
        json!({ "name": "a", "roles": ["admin", "admin"] }),
        json!({ "name": "", "roles": ["admin"] }),
        json!({ "name": "a\n", "roles": ["admin"] }),
        json!({ "name": " a", "roles": ["admin"] }),
        json!({ "name": "a\u{200b}", "roles": ["admin"] }),
        json!({ "name": "\u{202e}a", "roles": ["admin"] }),
        json!({ "name": "a".repeat(101), "roles": ["admin"] }),
        json!({ "name": "a", "roles": ["admin"], "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "name": "a", "roles": ["admin"], "expires_at": "soon" }),
        json!({ "name": "a", "roles": ["admin"], "key": "vxr_mine" }),
    ] {
        is(&post(&relay, &admin(), KEYS, &body).await, 400, "bad_body");
    }
    is(&as_user(&relay, &admin(), "DELETE", "/v1/admin/keys/no%20id").await, 404, "not_found");

    let relay = Relay::with(|config| config.api_requests_per_minute = 1).await;
    let guess = format!("vxr_{}", "a".repeat(43));
    for guess in ["vxr_", "vxr_a", &guess, "VXR_a", &guess, &guess, &guess, &guess, &guess, &guess] {
        is(&get(&relay, guess, KEYS).await, 401, "unauthorized");
    }
    is(&get(&relay, &guess, KEYS).await, 429, "api_rate");
}

#[tokio::test]
async fn a_key_is_made_once_and_said_once_however_often_it_is_asked_for() {
    let relay = Relay::start().await;
    let headers = format!(
        "authorization: Bearer {}\r\ncontent-type: application/json\r\nidempotency-key: k\r\n",
        admin()
    );
    let body = json!({ "name": "billing", "roles": ["admin"] }).to_string();
    let first = ask(&relay, "POST", KEYS, &headers, &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = ask(&relay, "POST", KEYS, &headers, &body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")), "{again:?}");
    let (first, again) = (first.json(), again.json());
    assert_eq!((&again["id"], &again["key"]), (&first["id"], &json!(null)), "nothing stores it");
    assert_eq!(get(&relay, key(&first), KEYS).await.json()["keys"].as_array().map(Vec::len), Some(1));
    let theirs = format!("authorization: Bearer {}\r\nidempotency-key: k\r\n", key(&first));
    for replayed in [None, Some("true")] {
        let none = ask(&relay, "DELETE", "/v1/admin/denials/sub/eve", &theirs, "").await;
        assert_eq!((none.status, none.header("idempotent-replayed")), (404, replayed), "{none:?}");
    }
}
