//! Writes that come with an `Idempotency-Key`.

use std::time::{Duration, Instant};

use relay::records::store::DATABASE_FILE;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};
use tokio::time::{sleep, timeout};

use super::records::{self, of_a_lost_relay, open};
use super::support::{PATIENCE, Relay};
use super::{Answer, admin, ask, get, token, token_with};

/// Sends a write with a key.
async fn keyed(relay: &Relay, token: &str, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let kind = "content-type: application/json";
    let headers = format!("authorization: Bearer {token}\r\n{kind}\r\nidempotency-key: {key}\r\n");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(relay, method, path, &headers, &body).await
}

fn is_repeated(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

/// How many deeds of this kind are in the audit.
async fn deeds(relay: &Relay, what: &str) -> usize {
    let audit = get(relay, &admin(), &format!("/v1/admin/audit?limit=100&what={what}")).await.json();
    audit["audit"].as_array().expect("a list").len()
}

/// A session that takes commands, which nobody reads.
async fn waiting(relay: &Relay, id: &str) {
    open(&*relay.app.records.store, &records::session(id), &of_a_lost_relay()).await;
}

const SAY: &str = "/v1/admin/sessions/a-1/say";

#[tokio::test]
async fn a_write_that_is_sent_again_is_made_once_at_whichever_relay_and_answered_as_before() {
    let relay = Relay::start().await;
    waiting(&relay, "a-1").await;
    let (root, words) = (admin(), json!({ "text": "We close soon." }));
    let first = keyed(&relay, &root, "k-1", "POST", SAY, &words).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert!(!is_repeated(&first), "{first:?}");
    let another = relay.another().await;
    for (relay, key) in [(&relay, "k-1"), (&another, "k-1"), (&relay, "\"k-1\"")] {
        let again = keyed(relay, &root, key, "POST", SAY, &words).await;
        assert_eq!((again.status, &again.body), (202, &first.body), "{again:?}");
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert!(is_repeated(&again), "{again:?}");
    }
    assert_eq!(deeds(&relay, "say").await, 1);

    let other = keyed(&relay, &root, "k-1", "POST", SAY, &json!({ "text": "We close now." })).await;
    assert_eq!((other.status, &other.json()["code"]), (422, &json!("idempotency_key_reused")), "{other:?}");
    waiting(&relay, "a-2").await;
    let other = keyed(&relay, &root, "k-1", "POST", "/v1/admin/sessions/a-2/say", &words).await;
    assert_eq!(other.status, 422, "the same key for another session: {other:?}");
    let others = token_with("toor", &json!({ "account": "operator", "role": "voxrelay_admin" }));
    for (token, key, path) in
        [(&others, "k-1", SAY), (&root, "k-2", SAY), (&root, "k-1", "/v1/admin/sessions/a-1/context")]
    {
        let theirs = keyed(&relay, token, key, "POST", path, &words).await;
        assert!(theirs.status == 202 && !is_repeated(&theirs), "{theirs:?}");
        assert_ne!(theirs.json()["id"], first.json()["id"]);
    }
}

#[tokio::test]
async fn nothing_is_repeated_to_whoever_may_not_ask_for_it_any_more() {
    let relay = Relay::start().await;
    let denial = json!({ "kind": "sub", "subject": "eve" });
    let deny = async |token: &str| keyed(&relay, token, "k", "POST", "/v1/admin/denials", &denial).await;
    assert_eq!(deny(&admin()).await.status, 201);
    let refused = deny(&token("root")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("admin_only")), "{refused:?}");
    assert!(is_repeated(&deny(&admin()).await));
}

#[tokio::test]
async fn of_many_at_once_one_is_made_and_the_others_wait_for_its_answer() {
    let relay = Relay::start().await;
    waiting(&relay, "a-1").await;
    let (root, words) = (admin(), json!({ "text": "We close soon." }));
    let many = (0..12).map(|_| keyed(&relay, &root, "k", "POST", SAY, &words));
    for answer in futures_util::future::join_all(many).await {
        match answer.status {
            202 => {}
            409 => {
                assert_eq!(answer.json()["code"], "idempotency_key_under_way", "{answer:?}");
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!(deeds(&relay, "say").await, 1);
}

#[tokio::test]
async fn whoever_hangs_up_while_the_key_is_written_comes_back_for_the_answer() {
    let relay = Relay::start().await;
    waiting(&relay, "a-1").await;
    let (root, words) = (admin(), json!({ "text": "We close soon." }));
    let say = async || keyed(&relay, &root, "k", "POST", SAY, &words).await;
    let file = relay.app.config.data_dir.join(DATABASE_FILE);
    let address = format!("sqlite://{}", file.display());
    let mut writes = AnyConnection::connect(&address).await.expect("it is there");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut writes).await.expect("locked");
    let asked = timeout(Duration::from_millis(500), say()).await;
    assert!(asked.is_err(), "it waits for the database: {asked:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut writes).await.expect("freed");
    let since = Instant::now();
    let mut again = say().await;
    while again.status == 409 && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
        again = say().await;
    }
    assert_eq!(again.status, 202, "{again:?}");
    assert_eq!(deeds(&relay, "say").await, 1);
}

#[tokio::test]
async fn with_a_user_the_answers_are_erased_that_name_them() {
    let relay = Relay::start().await;
    super::session(&relay, "a-1", "ada", super::MIDNIGHT).await;
    let root = admin();
    let denials = ["ada", "bob"].map(|name| json!({ "kind": "sub", "subject": name }));
    let credit = json!({
        "key": "ticket-17", "account": "acme", "user_sub": "ada", "day": "2026-03-01", "amount_nano_usd": 60,
        "reason": "a wrong price",
    });
    let credits = "/v1/admin/credits";
    for repeated in [false, true] {
        for (key, denial) in ["a", "b"].into_iter().zip(&denials) {
            let denied = keyed(&relay, &root, key, "POST", "/v1/admin/denials", denial).await;
            assert_eq!((denied.status, is_repeated(&denied)), (201, repeated), "{denied:?}");
        }
        let given = keyed(&relay, &root, "c", "POST", credits, &credit).await;
        assert_eq!((given.status, is_repeated(&given)), (201, repeated), "{given:?}");
    }
    for repeated in [false, true] {
        let erased = keyed(&relay, &root, "d", "DELETE", "/v1/admin/users/ada", &Value::Null).await;
        assert_eq!((erased.status, is_repeated(&erased)), (200, repeated), "{erased:?}");
    }
    assert!(!is_repeated(&keyed(&relay, &root, "a", "POST", "/v1/admin/denials", &denials[0]).await));
    assert!(!is_repeated(&keyed(&relay, &root, "c", "POST", credits, &credit).await));
    assert!(is_repeated(&keyed(&relay, &root, "b", "POST", "/v1/admin/denials", &denials[1]).await));
}

#[tokio::test]
async fn what_is_decided_is_repeated_and_what_was_not_done_leaves_its_key_free() {
    let relay = Relay::start().await;
    let root = admin();
    let denials = "/v1/admin/denials";
    for body in [json!({}), json!({ "kind": "planet", "subject": "earth" })] {
        let wrong = keyed(&relay, &root, "k", "POST", denials, &body).await;
        assert_eq!(wrong.status, 400, "{wrong:?}");
    }
    let denial = json!({ "kind": "sub", "subject": "ada" });
    let stranger = keyed(&relay, &token("bob"), "k", "POST", denials, &denial).await;
    assert_eq!(stranger.status, 403);
    let made = keyed(&relay, &root, "k", "POST", denials, &denial).await;
    assert!(made.status == 201 && !is_repeated(&made), "{made:?}");
    let path = "/v1/admin/denials/sub/ada";
    for repeated in [false, true, true] {
        let gone = keyed(&relay, &root, "d", "DELETE", path, &Value::Null).await;
        assert_eq!((gone.status, is_repeated(&gone), gone.body.as_str()), (204, repeated, ""), "{gone:?}");
    }
    for repeated in [false, true] {
        let none = keyed(&relay, &root, "e", "DELETE", path, &Value::Null).await;
        assert_eq!((none.status, is_repeated(&none)), (404, repeated), "{none:?}");
        assert_eq!(none.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!((deeds(&relay, "deny").await, deeds(&relay, "allow").await), (1, 1));
}

#[tokio::test]
async fn a_credit_has_a_key_of_its_own_besides() {
    let relay = Relay::start().await;
    super::session(&relay, "a-1", "ada", super::MIDNIGHT).await;
    let root = admin();
    let credit = json!({
        "key": "ticket-17", "account": "acme", "day": "2026-03-01", "amount_nano_usd": 60, "reason": "a wrong price",
    });
    let give = async |key: &str| keyed(&relay, &root, key, "POST", "/v1/admin/credits", &credit).await;
    let first = give("k-1").await;
    let again = give("k-1").await;
    assert_eq!(
        (first.status, again.status, &again.body),
        (201, 201, &first.body),
        "the answer that was lost"
    );
    assert_eq!(give("k-2").await.status, 200, "its own key says that it was given before");
    assert_eq!(deeds(&relay, "give_credit").await, 1);
}

#[tokio::test]
async fn a_key_has_to_be_one_and_is_for_whoever_has_a_token_and_for_writes() {
    let relay = Relay::start().await;
    let root = admin();
    let end = "/v1/admin/sessions/nobody/end";
    for key in ["", "\"\"", "\"k", "a b", &"k".repeat(256), "k\r\nidempotency-key: l"] {
        let wrong = keyed(&relay, &root, key, "POST", end, &Value::Null).await;
        assert_eq!((wrong.status, &wrong.json()["code"]), (400, &json!("bad_request")), "{key}: {wrong:?}");
    }
    assert_eq!(keyed(&relay, "no.good.token", "k", "POST", end, &Value::Null).await.status, 401);
    for _ in 0..2 {
        let read = keyed(&relay, &root, "k", "GET", "/v1/admin/denials", &Value::Null).await;
        assert!(read.status == 200 && !is_repeated(&read), "{read:?}");
    }
    let long = json!({ "kind": "sub", "subject": "x", "reason": "r".repeat(16 * 1024) });
    assert_eq!(keyed(&relay, &root, "k", "POST", "/v1/admin/denials", &long).await.status, 413);
}

#[tokio::test]
async fn a_write_with_a_key_counts_once_and_so_does_its_repetition() {
    let relay = Relay::with(|config| config.api_requests_per_minute = 3).await;
    for status in [404, 404, 404, 429] {
        let answer = keyed(&relay, &admin(), "k", "DELETE", "/v1/admin/denials/sub/ada", &Value::Null).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_send_it_and_read_whether_an_answer_is_repeated() {
    let relay = Relay::with(|config| {
        let variables = [("VOXRELAY_ORIGINS".to_owned(), "https://app.example.com".to_owned())];
        config.origins = relay::Config::load(None, variables).expect("good").origins;
    })
    .await;
    let origin = "origin: https://app.example.com\r\n";
    let asks = format!("{origin}access-control-request-method: DELETE\r\n");
    let allowed = ask(&relay, "OPTIONS", "/v1/sessions/a-1", &asks, "").await;
    let names = |answer: &Answer, header: &str, name: &str| {
        answer.header(header).is_some_and(|names| names.contains(name))
    };
    assert!(names(&allowed, "access-control-allow-headers", "idempotency-key"), "{allowed:?}");
    let read = ask(&relay, "GET", "/v1/sessions", origin, "").await;
    assert!(names(&read, "access-control-expose-headers", "idempotent-replayed"), "{read:?}");
}

#[tokio::test]
async fn who_erases_themselves_is_answered_once_and_what_they_asked_before_is_forgotten() {
    let relay = Relay::start().await;
    let ada = token("ada");
    let delete = async |key: &str, path: &str| keyed(&relay, &ada, key, "DELETE", path, &Value::Null).await;
    for id in ["a-1", "a-2"] {
        super::session(&relay, id, "ada", super::MIDNIGHT).await;
    }
    for repeated in [false, true] {
        let one = delete("one", "/v1/sessions/a-1").await;
        assert_eq!((one.status, is_repeated(&one)), (204, repeated), "{one:?}");
    }
    for repeated in [false, true] {
        let all = delete("all", "/v1/user").await;
        assert_eq!((all.status, is_repeated(&all)), (200, repeated), "{all:?}");
        assert_eq!(all.json()["sessions"], 1, "{all:?}");
        // She has called again before the answer that was lost is asked for.
        if !repeated {
            super::session(&relay, "a-3", "ada", super::MIDNIGHT).await;
        }
    }
    assert_eq!(get(&relay, &ada, "/v1/sessions/a-3").await.status, 200, "it is not erased with the others");
    let one = delete("one", "/v1/sessions/a-1").await;
    assert_eq!((one.status, is_repeated(&one)), (404, false), "{one:?}");
}
