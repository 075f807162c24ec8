//! The audit.

use serde_json::{Value, json};

use super::orders::call;
use super::support::Relay;
use super::{MIDNIGHT, admin, as_user, get, post, session, token, token_with};

/// What the audit answers: of each row by whom, what, to whom, to what.
async fn told(relay: &Relay, query: &str) -> Vec<String> {
    let answer = get(relay, &admin(), &format!("/v1/admin/audit{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let rows = body["audit"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    rows.map(|row| ["by", "what", "user_sub", "subject"].map(|field| text(&row[field])).join(" ")).collect()
}

#[tokio::test]
async fn each_deed_of_an_administrator_is_told_with_who_did_it() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    session(&relay, "b-1", "bob", MIDNIGHT).await;
    let (mut wire, id) = call(&relay, "cyd").await;
    let end = async |id: &str| {
        let path = format!("/v1/admin/sessions/{id}/end");
        assert_eq!(as_user(&relay, &admin(), "POST", &path).await.status, 204);
    };
    end(&id).await;
    assert_eq!(wire.close_code().await, Some(4411));
    // What has ended is ended by nobody any more.
    end(&id).await;
    end("a-1").await;

    let credit = json!({
        "key": "ticket-17", "account": "acme", "user_sub": "ada", "day": "2026-03-01", "amount_nano_usd": 60,
        "reason": "a wrong price",
    });
    for status in [201, 200] {
        assert_eq!(post(&relay, &admin(), "/v1/admin/credits", &credit).await.status, status);
    }
    let another = token_with("another", &json!({ "account": "operator", "role": "voxrelay_admin" }));
    let denial = json!({ "kind": "sub", "subject": "eve", "reason": "abuse" });
    assert_eq!(post(&relay, &another, "/v1/admin/denials", &denial).await.status, 201);
    for status in [204, 404] {
        let path = "/v1/admin/denials/sub/eve";
        assert_eq!(as_user(&relay, &another, "DELETE", path).await.status, status);
    }
    for status in [204, 404] {
        assert_eq!(as_user(&relay, &admin(), "DELETE", "/v1/admin/sessions/b-1").await.status, status);
    }
    // Users who erase what is theirs are no administrators.
    assert_eq!(as_user(&relay, &token("ada"), "DELETE", "/v1/sessions/a-1").await.status, 204);
    let ended = format!("root end_session cyd {id}");
    let all = [
        "root delete_session bob b-1",
        "another allow eve ",
        "another deny eve ",
        "root give_credit ada ticket-17",
        ended.as_str(),
    ];
    assert_eq!(told(&relay, "").await, all);
    assert_eq!(told(&relay, "?by=another").await, all[1..3]);
    assert_eq!(told(&relay, "?what=deny").await, all[2..3]);
    assert_eq!(told(&relay, "?user_sub=ada&by=root").await, all[3..4]);
    assert_eq!(told(&relay, "?from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00Z").await, all);
    assert_eq!(told(&relay, "?to=2020-01-01T00:00:00Z").await, all[..0]);

    let first = get(&relay, &admin(), "/v1/admin/audit?limit=3").await.json();
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(told(&relay, &format!("?limit=3&cursor={next}")).await, all[3..]);
    let credits = get(&relay, &admin(), "/v1/admin/audit?what=give_credit").await.json();
    let credit = &credits["audit"][0];
    assert_eq!(credit["reason"], "a wrong price");
    assert!(credit["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{credit}");

    assert_eq!(as_user(&relay, &admin(), "DELETE", "/v1/admin/users/ada").await.status, 200);
    let after = ["root delete_user - ", all[0], all[1], all[2], "root give_credit - ticket-17", all[4]];
    assert_eq!(told(&relay, "").await, after, "what was done stays, and to whom does not");
}

#[tokio::test]
async fn the_audit_is_for_administrators_and_says_what_it_cannot_read() {
    let relay = Relay::start().await;
    assert_eq!(get(&relay, &token("ada"), "/v1/admin/audit").await.json()["code"], "admin_only");
    for query in ["what=sing", "by=", "from=yesterday", "to=today", "limit=101", "cursor=x", "who=root"] {
        let answer = get(&relay, &admin(), &format!("/v1/admin/audit?{query}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_query")), "{query}");
    }
}
