//! Credits.

use relay::NanoUsd;
use relay::records::store::{Settle, unix_ms};
use serde_json::{Value, json};

use super::orders::hello;
use super::support::Relay;
use super::{MIDNIGHT, admin, get, post, records, session, token};

/// A credit for what `session` charges.
fn credit() -> Value {
    json!({
        "key": "ticket-17", "account": "acme", "user_sub": "ada", "day": "2026-03-01", "amount_nano_usd": 60,
        "reason": "a wrong price",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut credit = credit();
    credit[field] = value;
    credit
}

#[tokio::test]
async fn an_administrator_gives_back_what_was_charged_and_the_user_sees_it_in_their_usage() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let given = post(&relay, &admin(), "/v1/admin/credits", &credit()).await;
    assert_eq!(given.status, 201, "{given:?}");
    let mut body = given.json();
    let created_at = body["credit"]["created_at"].take();
    assert!(created_at.as_str().is_some_and(|at| at.ends_with('Z')), "{created_at}");
    let expected = json!({
        "credit": {
            "key": "ticket-17", "account": "acme", "user_sub": "ada", "day": "2026-03-01", "amount_nano_usd": 60,
            "reason": "a wrong price", "created_by": "root", "created_at": null,
        },
        "account_spent_nano_usd": 10, "user_spent_nano_usd": 10,
    });
    assert_eq!(body, expected);

    let again = post(&relay, &admin(), "/v1/admin/credits", &credit()).await;
    assert_eq!((again.status, &again.json()["credit"]["created_at"]), (200, &created_at), "{again:?}");
    let list = get(&relay, &admin(), "/v1/admin/credits?account=acme&limit=1").await.json();
    assert_eq!((&list["credits"][0]["key"], &list["next"]), (&json!("ticket-17"), &json!(null)));

    let usage = get(&relay, &token("ada"), "/v1/usage?from=2026-03-01&to=2026-03-01").await.json();
    let usage = usage["usage"].as_array().expect("a list");
    let lines: Vec<_> = usage.iter().map(|row| (&row["item"], &row["cost_nano_usd"])).collect();
    assert_eq!(lines, [(&json!("echo/listening"), &json!(70)), (&json!("operator/credit"), &json!(-60))]);
    assert_eq!(post(&relay, &token("ada"), "/v1/admin/credits", &credit()).await.status, 403);
}

#[tokio::test]
async fn a_credit_that_cannot_be_given_says_why() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    assert_eq!(post(&relay, &admin(), "/v1/admin/credits", &credit()).await.status, 201);
    let mut nameless = credit();
    nameless.as_object_mut().expect("an object").remove("key");
    for (body, status, code, says) in [
        (with("amount_nano_usd", json!(61)), 409, "key_in_use", "Another credit has this `key`"),
        (
            json!({ "key": "2", "account": "acme", "day": "2026-03-01", "amount_nano_usd": 11, "reason": "more" }),
            409,
            "credit_too_large",
            "$0.00000001 (10 nano-dollars) can be given back",
        ),
        (
            with("amount_nano_usd", json!(0)),
            400,
            "bad_body",
            "`amount_nano_usd` has to be a whole number, 1 or more",
        ),
        (
            with("amount_nano_usd", json!(-1)),
            400,
            "bad_body",
            "`amount_nano_usd` has to be a whole number, 1 or more",
        ),
        (with("day", json!("yesterday")), 400, "bad_body", "`day` has to be a day"),
        (with("day", json!("2999-01-01")), 400, "bad_body", "`day` has to be today"),
        (with("reason", json!(" ")), 400, "bad_body", "`reason` has to say why"),
        (with("account", json!("")), 400, "bad_body", "`account` has to be 1 to 255"),
        (with("key", json!("a\nb")), 400, "bad_body", "`key` has to be 1 to 255"),
        (with("owner", json!("ada")), 400, "bad_body", "There is no field `owner`"),
        (nameless, 400, "bad_body", "`key` is missing"),
    ] {
        let answer = post(&relay, &admin(), "/v1/admin/credits", &body).await;
        let problem = answer.json();
        let detail = problem["detail"].as_str().expect("a text");
        assert!(
            answer.status == status && problem["code"] == code && detail.contains(says),
            "{body}: {problem}"
        );
    }
    let list = get(&relay, &admin(), "/v1/admin/credits").await.json();
    assert_eq!(list["credits"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_user_whose_day_is_used_up_by_a_mistake_may_call_again_once_it_is_given_back() {
    let relay = Relay::with(|config| config.limits.user_day_budget = NanoUsd::new(10_000_000)).await;
    let now_ms = unix_ms();
    session(&relay, "a-1", "ada", now_ms).await;
    let mistake = Settle {
        at_ms: now_ms,
        ..records::settle("a-1", vec![records::row("2", 1, 10_000_000)], records::quota().caps)
    };
    relay.app.records.store.settle(&mistake).await.expect("written");
    let (_, answer) = hello(&relay, "ada").await;
    assert_eq!(answer["code"], "user_budget", "{answer}");

    let usage = get(&relay, &admin(), "/v1/admin/usage").await.json();
    let mut credit = with("amount_nano_usd", json!(10_000_000));
    credit["day"] = usage["usage"][0]["day"].clone();
    assert_eq!(post(&relay, &admin(), "/v1/admin/credits", &credit).await.status, 201);
    let (_, answer) = hello(&relay, "ada").await;
    assert_eq!(answer["type"], "welcome", "{answer}");
}

#[tokio::test]
async fn the_example_of_the_documents_is_one() {
    let relay = Relay::start().await;
    let (_, rest) = include_str!("../../../docs/service.md").split_once("-d '").expect("one");
    let example: Value = serde_json::from_str(rest.split_once('\'').expect("its end").0).expect("JSON");
    let answer = post(&relay, &admin(), "/v1/admin/credits", &example).await;
    // Nobody was charged on that day.
    assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("credit_too_large")), "{answer:?}");
}
