//! Who sees what.

use std::collections::BTreeSet;

use relay::records::store::unix_ms;
use serde_json::{Value, json};

use super::support::Relay;
use super::{MIDNIGHT, admin, as_user, ask, get, post, session, token, token_with};

/// Every operation of the document: method, path, tag.
async fn operations(relay: &Relay) -> Vec<(String, String, Option<String>)> {
    let document = ask(relay, "GET", "/v1/openapi.json", "", "").await.json();
    let paths = document["paths"].as_object().expect("paths").clone();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("an item") {
            let tag = operation["tags"][0].as_str().map(str::to_owned);
            operations.push((method.to_uppercase(), path.clone(), tag));
        }
    }
    operations
}

/// The path with what `whose` has in the place of its parameters.
fn fill(path: &str, id: &str, sub: &str) -> String {
    let path = path.replace("{id}", id).replace("{sub}", sub).replace("{kind}", "sub");
    path.replace("{subject}", sub).replace("{command}", "c-1")
}

#[tokio::test]
async fn two_users_see_nothing_of_each_other_at_any_endpoint() {
    let relay = Relay::with(|config| config.api_requests_per_minute = 10_000).await;
    let (ada, bob) = (token("ada"), token("bob"));
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    session(&relay, "b-1", "bob", MIDNIGHT + 1).await;
    let operations = operations(&relay).await;
    assert!(operations.len() >= 18, "{operations:?}");
    for (method, path, tag) in &operations {
        let of_ada = fill(path, "a-1", "ada");
        let nobody = as_user(&relay, "no.good.token", method, &of_ada).await;
        let stranger = ask(&relay, method, &of_ada, "", "").await;
        if path == "/v1/openapi.json" {
            assert_eq!((nobody.status, stranger.status), (200, 200));
            continue;
        }
        if CALLED.contains(&path.as_str()) {
            assert_eq!((nobody.status, stranger.status), (426, 426));
            continue;
        }
        if path == OVER_HTTP {
            assert_eq!((nobody.status, stranger.status), (400, 400), "no id of a wire");
            continue;
        }
        for answer in [nobody, stranger] {
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(answer.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
        }
        if path == ONESELF {
            // What it erases is in a test of its own.
            continue;
        }
        // What has a body is asked with one.
        let as_bob = async |path: &str| match (tag.as_deref(), method.as_str()) {
            (Some("own"), "POST") => post(&relay, &bob, path, &json!({})).await,
            _ => as_user(&relay, &bob, method, path).await,
        };
        let answer = as_bob(&of_ada).await;
        // The id of the request is made of the letters that the name has.
        let id = answer.header("x-request-id").expect("an id");
        let seen = format!("{} {}", answer.head, answer.body).replace(id, "");
        assert!(!seen.contains("ada") && !seen.contains("a-1"), "{method} {path}: {answer:?}");
        match tag.as_deref() {
            Some("admin") => assert_eq!(answer.status, 403, "{method} {path}"),
            Some("own") if path.contains('{') => {
                let missing = as_bob(&fill(path, "no-such-id", "nobody")).await;
                assert_eq!(answer.status, 404, "{method} {path}");
                let [theirs, none] = [&answer, &missing].map(|answer| {
                    let mut problem = answer.json();
                    assert!(problem["request_id"].take().is_string(), "{problem}");
                    problem
                });
                assert_eq!(theirs, none, "theirs is answered like one that is not there");
            }
            Some("own") => {
                let begins = if path.ends_with(".csv") { "period," } else { "[" };
                assert!(answer.status == 200 && answer.body.contains(begins), "{method} {path}");
            }
            tag => panic!("{method} {path} is nobody's: {tag:?}"),
        }
    }
    // Nothing of it changed anything, and each sees what is theirs.
    for (token, id, sub, other) in [(&ada, "a-1", "ada", "bob"), (&bob, "b-1", "bob", "ada")] {
        let list = get(&relay, token, "/v1/sessions").await.json();
        assert_eq!(list["sessions"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["sessions"][0]["id"], id);
        for path in ["sessions/{id}", "sessions/{id}/transcript", "conversations/{id}/transcript"] {
            let answer = get(&relay, token, &format!("/v1/{}", path.replace("{id}", id))).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.body.contains(sub) && !answer.body.contains(other), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_everybody_and_may_erase() {
    let relay = Relay::start().await;
    for (id, sub) in [("a-1", "ada"), ("a-2", "ada"), ("b-1", "bob")] {
        session(&relay, id, sub, MIDNIGHT).await;
    }
    let admin = admin();
    let ids = |answer: &Value| -> BTreeSet<String> {
        let sessions = answer["sessions"].as_array().expect("a list");
        sessions.iter().map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
    };
    let all = get(&relay, &admin, "/v1/admin/sessions").await.json();
    assert_eq!(ids(&all), ["a-1", "a-2", "b-1"].map(str::to_owned).into());
    let filtered =
        get(&relay, &admin, "/v1/admin/sessions?user_sub=bob&account=acme&state=ended").await.json();
    assert_eq!(ids(&filtered), ["b-1".to_owned()].into());
    let one = get(&relay, &admin, "/v1/admin/sessions/b-1").await;
    assert_eq!(
        (one.status, &one.json()["user_sub"], &one.json()["login"]),
        (200, &"bob".into(), &"login-of-bob".into())
    );
    assert!(!one.body.contains("secret"), "nothing of what was said: {one:?}");
    let usage = "/v1/admin/usage?from=2026-03-01&to=2026-03-01";
    let before = get(&relay, &admin, usage).await.json();
    assert_eq!(before["usage"][0]["cost_nano_usd"], 210);

    assert_eq!(as_user(&relay, &admin, "DELETE", "/v1/admin/sessions/b-1").await.status, 204);
    assert_eq!(as_user(&relay, &admin, "DELETE", "/v1/admin/sessions/b-1").await.status, 404);
    let erased = as_user(&relay, &admin, "DELETE", "/v1/admin/users/ada").await;
    assert_eq!((erased.status, &erased.json()["sessions"]), (200, &2.into()));
    let oneself = as_user(&relay, &admin, "DELETE", "/v1/admin/users/root").await;
    assert_eq!((oneself.status, &oneself.json()["code"]), (403, &"forbidden".into()), "{oneself:?}");
    assert_eq!(ids(&get(&relay, &admin, "/v1/admin/sessions").await.json()), BTreeSet::new());
    assert_eq!(get(&relay, &admin, usage).await.json(), before, "the account's bill stays whole");
    let users = get(&relay, &admin, &format!("{usage}&by=user")).await.json();
    assert_eq!(users["usage"], serde_json::json!([]), "and says no names");
}

#[tokio::test]
async fn what_others_said_is_read_with_a_role_of_its_own() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let with = |role: Value| token_with("root", &json!({ "account": "operator", "role": role }));
    let (reader, both) = (with(json!("voxrelay_reader")), with(json!(["voxrelay_admin", "voxrelay_reader"])));
    let path = "/v1/admin/sessions/a-1/transcript";
    let own = get(&relay, &token("ada"), "/v1/sessions/a-1/transcript").await;
    for reader in [&reader, &both] {
        let read = get(&relay, reader, path).await;
        assert_eq!((read.status, &read.body), (200, &own.body));
        assert_eq!(get(&relay, reader, &format!("{path}?format=text")).await.status, 200);
        assert_eq!(get(&relay, reader, "/v1/admin/sessions/nobody/transcript").await.status, 404);
        assert_eq!(
            get(&relay, reader, "/v1/admin/sessions/a-1/recording").await.status,
            404,
            "there is none"
        );
    }
    for (who, code) in [(token("bob"), "reader_only"), (admin(), "reader_only")] {
        for path in [path, "/v1/admin/sessions/a-1/recording"] {
            let refused = get(&relay, &who, path).await;
            assert_eq!((refused.status, &refused.json()["code"]), (403, &code.into()), "{path}");
        }
    }
    assert_eq!(get(&relay, &reader, "/v1/admin/sessions").await.json()["code"], "admin_only");
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=read_transcript&user_sub=ada").await.json();
    let read = audit["audit"].as_array().expect("a list");
    assert_eq!(read.len(), 4, "each of both, twice: {audit}");
    assert_eq!((&read[0]["by"], &read[0]["subject"]), (&"root".into(), &"a-1".into()));
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=read_recording&user_sub=ada").await.json();
    assert_eq!(audit["audit"].as_array().map(Vec::len), Some(2), "who asked for it, once of both: {audit}");
}

#[tokio::test]
async fn ones_own_session_is_erased_and_its_usage_is_nobodys() {
    let relay = Relay::start().await;
    let ada = token("ada");
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let usage = "/v1/usage?from=2026-02-28&to=2026-03-02";
    let used = get(&relay, &ada, usage).await.json();
    assert_eq!(used["usage"].as_array().map(Vec::len), Some(1));
    assert_eq!((&used["usage"][0]["day"], &used["usage"][0]["quantity"]), (&"2026-03-01".into(), &10.into()));
    assert_eq!(as_user(&relay, &ada, "DELETE", "/v1/sessions/a-1").await.status, 204);
    for path in ["/v1/sessions/a-1", "/v1/sessions/a-1/transcript", "/v1/conversations/a-1/transcript"] {
        assert_eq!(get(&relay, &ada, path).await.status, 404, "{path}");
    }
    assert_eq!(get(&relay, &ada, usage).await.json()["usage"], serde_json::json!([]));
}

#[tokio::test]
async fn a_recording_is_bytes_in_the_document_and_not_a_list_of_numbers() {
    let document = serde_json::to_value(relay::server::openapi()).expect("JSON");
    for (recording, status) in RECORDINGS.into_iter().flat_map(|path| [(path, "200"), (path, "206")]) {
        let responses = &document["paths"][recording]["get"]["responses"];
        let schema = &responses[status]["content"]["audio/wav"]["schema"];
        assert_eq!((&schema["type"], &schema["format"]), (&"string".into(), &"binary".into()), "{schema}");
    }
    let text = document.to_string();
    assert!(!text.contains("int32\",\"minimum\":0},\"type\":\"array\""), "{text}");
}

#[tokio::test]
async fn a_user_erases_all_that_is_theirs_in_one_request_and_spends_no_more_by_it() {
    let relay = Relay::start().await;
    let (ada, bob) = (token("ada"), token("bob"));
    for (id, sub) in [("a-1", "ada"), ("a-2", "ada"), ("b-1", "bob")] {
        session(&relay, id, sub, unix_ms()).await;
    }
    let (mut live, _) = super::orders::call(&relay, "ada").await;
    let cap = json!({ "cap_nano_usd": 30_000_000_000_u64, "reason": "a trial" });
    let headers = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", admin());
    let set = ask(&relay, "PUT", "/v1/admin/budgets/user/ada", &headers, &cap.to_string()).await;
    assert_eq!(set.status, 204, "{set:?}");
    let spent = async || {
        let budgets = get(&relay, &ada, "/v1/budgets").await.json();
        let [user, account] =
            [0_usize, 1].map(|at| &budgets["budgets"][at]["spent_nano_usd"]).map(Value::as_u64);
        (user, account, budgets["budgets"][0]["set_nano_usd"].as_u64())
    };
    assert_eq!(spent().await, (Some(140), Some(210), Some(30_000_000_000)));

    let erased = as_user(&relay, &ada, "DELETE", ONESELF).await;
    assert_eq!((erased.status, &erased.json()["sessions"]), (200, &3.into()));
    assert_eq!(live.close_code().await, Some(1000), "the call was ended");
    assert_eq!(get(&relay, &ada, "/v1/sessions").await.json()["sessions"], json!([]));
    assert_eq!(get(&relay, &bob, "/v1/sessions").await.json()["sessions"][0]["id"], "b-1");
    let (user, account, cap) = spent().await;
    assert!(user >= Some(140) && account >= Some(210), "no budget is full again: {user:?} {account:?}");
    assert_eq!(cap, Some(30_000_000_000), "nor does anybody get rid of a cap by it");
    let audit = get(&relay, &admin(), "/v1/admin/audit").await.json();
    assert_eq!(audit["audit"].as_array().map(Vec::len), Some(1), "no administrator did it: {audit}");
    let again = as_user(&relay, &ada, "DELETE", ONESELF).await;
    assert_eq!((again.status, &again.json()["sessions"]), (200, &0.into()));
}

#[tokio::test]
async fn a_denied_user_and_an_api_key_erase_nobody_by_that_request() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let denial = json!({ "kind": "sub", "subject": "ada", "reason": "abuse" });
    assert_eq!(post(&relay, &admin(), "/v1/admin/denials", &denial).await.status, 201);
    assert_eq!(as_user(&relay, &token("ada"), "DELETE", ONESELF).await.status, 403);
    let key = post(&relay, &admin(), "/v1/admin/keys", &json!({ "name": "crm", "roles": ["admin"] })).await;
    let secret = key.json()["key"].as_str().unwrap_or_else(|| panic!("{key:?}")).to_owned();
    assert_eq!(as_user(&relay, &secret, "DELETE", ONESELF).await.status, 403, "a key is no user");
    assert_eq!(get(&relay, &admin(), "/v1/admin/sessions/a-1").await.status, 200);
}

/// What a user erases themselves by.
const ONESELF: &str = "/v1/user";
/// What is answered in ranges, too.
const RECORDINGS: [&str; 2] = ["/v1/sessions/{id}/recording", "/v1/admin/sessions/{id}/recording"];
/// What opens a WebSocket, and asks for the token there.
const CALLED: [&str; 2] = ["/v1/call", "/v1/preflight"];
/// What carries a call without a WebSocket, and asks for the token there.
const OVER_HTTP: &str = "/v1/call/http/{wire}";
/// What only a live session takes.
const OF_LIVE: [&str; 3] =
    ["/v1/admin/sessions/{id}/say", "/v1/admin/sessions/{id}/context", "/v1/admin/sessions/{id}/listen"];
/// What has a key.
const CREDITS: &str = "/v1/admin/credits";

#[tokio::test]
async fn the_document_is_openapi_3_1_and_says_every_answer() {
    let relay = Relay::start().await;
    let document = ask(&relay, "GET", "/v1/openapi.json", "", "").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, serde_json::to_value(relay::server::openapi()).expect("JSON"));
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let responses = operation["responses"].as_object().expect("responses");
            let said: BTreeSet<&str> = responses.keys().map(String::as_str).collect();
            let mut expected = BTreeSet::new();
            if CALLED.contains(&path.as_str()) {
                expected.extend(["101", "400", "403", "426", "429", "503"]);
            } else if path == OVER_HTTP && method == "get" {
                expected.extend(["400", "403", "409", "429", "503"]);
            } else if path == OVER_HTTP {
                expected.extend(["400", "408", "409", "413"]);
            } else if path != "/v1/openapi.json" {
                expected.extend(["400", "401", "403", "429", "500", "503"]);
                // A budget may be set before anybody has spent anything of it.
                let none = path.contains('{') && path != "/v1/admin/users/{sub}" && method != "put";
                expected.extend(none.then_some("404"));
                expected.extend(RECORDINGS.contains(&path.as_str()).then_some("416"));
                let has_body = operation["requestBody"].is_object();
                expected.extend(has_body.then_some(["413", "415"]).into_iter().flatten());
                expected.extend((has_body && path == CREDITS).then_some("409"));
                expected.extend(OF_LIVE.contains(&path.as_str()).then_some("409"));
                // Any write may come with a key.
                expected.extend((method != "get").then_some(["409", "422"]).into_iter().flatten());
            }
            let problems: BTreeSet<&str> =
                said.iter().copied().filter(|status| !status.starts_with('2')).collect();
            assert_eq!(problems, expected, "{method} {path}");
            let good = match path.as_str() {
                recording if RECORDINGS.contains(&recording) => 2,
                // One that was given before is answered with 200.
                CREDITS if method == "post" => 2,
                // A WebSocket is answered with 101.
                called if CALLED.contains(&called) => 0,
                _ => 1,
            };
            assert_eq!(said.len() - problems.len(), good, "{method} {path} says its good answers");
            for status in problems.into_iter().filter(|status| *status != "101") {
                assert!(responses[status]["content"]["application/problem+json"].is_object());
            }
        }
    }
}
