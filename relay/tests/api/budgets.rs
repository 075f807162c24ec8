//! Budgets.

use relay::NanoUsd;
use relay::records::store::unix_ms;
use serde_json::{Value, json};

use super::support::Relay;
use super::{admin, as_user, ask, get, session, token, token_with};

async fn put(relay: &Relay, token: &str, path: &str, body: &Value) -> super::Answer {
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    ask(relay, "PUT", path, &headers, &body.to_string()).await
}

#[tokio::test]
async fn users_see_what_they_and_their_account_may_spend_and_have_spent() {
    let relay = Relay::with(|config| config.limits.user_day_budget = NanoUsd::new(1_000)).await;
    session(&relay, "a-1", "ada", unix_ms()).await;
    let budgets = get(&relay, &token("ada"), "/v1/budgets").await.json();
    let (user, account) = (&budgets["budgets"][0], &budgets["budgets"][1]);
    assert_eq!(
        (&user["scope"], &user["user_sub"], &user["account"]),
        (&json!("user"), &json!("ada"), &json!(null))
    );
    assert_eq!((&account["scope"], &account["account"]), (&json!("account"), &json!("acme")));
    let figures = |of: &Value| {
        ["cap_nano_usd", "set_nano_usd", "spent_nano_usd", "reserved_nano_usd", "left_nano_usd"]
            .map(|field| of[field].as_u64())
    };
    assert_eq!(figures(user), [Some(1_000), None, Some(70), Some(0), Some(930)]);
    assert_eq!(account["spent_nano_usd"], 70);
    assert_eq!(user["period"].as_str().map(str::len), Some("2026-12-31".len()));
    assert_eq!(account["period"].as_str().map(str::len), Some("2026-12".len()));

    let body = json!({ "cap_nano_usd": 5_000, "reason": "a good customer" });
    assert_eq!(put(&relay, &admin(), "/v1/admin/budgets/user/ada", &body).await.status, 204);
    let budgets = get(&relay, &token("ada"), "/v1/budgets").await.json();
    assert_eq!(figures(&budgets["budgets"][0]), [Some(5_000), Some(5_000), Some(70), Some(0), Some(4_930)]);
    let limited = token_with("ada", &json!({ "account": "acme", "limits": { "user_day_usd": "0.000002" } }));
    let budgets = get(&relay, &limited, "/v1/budgets").await.json();
    assert_eq!(figures(&budgets["budgets"][0]), [Some(2_000), Some(5_000), Some(70), Some(0), Some(1_930)]);
    let others = get(&relay, &token("bob"), "/v1/budgets").await.json();
    assert_eq!(figures(&others["budgets"][0]), [Some(1_000), None, Some(0), Some(0), Some(1_000)]);
}

#[tokio::test]
async fn administrators_list_budgets_set_them_and_take_that_back() {
    let relay = Relay::with(|config| config.limits.user_day_budget = NanoUsd::new(1_000_000_000)).await;
    for (id, sub) in [("a-1", "ada"), ("b-1", "bob")] {
        session(&relay, id, sub, unix_ms()).await;
    }
    let names = async |query: &str| {
        let list = get(&relay, &admin(), &format!("/v1/admin/budgets{query}")).await.json();
        let rows = list["budgets"].as_array().expect("a list").clone();
        let name = |row: &Value| row["user_sub"].as_str().or(row["account"].as_str()).map(str::to_owned);
        rows.iter().filter_map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["acme", "ada", "bob"]);
    assert_eq!(names("?kind=user").await, ["ada", "bob"]);
    assert_eq!(names("?above_percent=50").await, [""; 0]);
    let low = json!({ "cap_nano_usd": 100, "reason": "abuse" });
    assert_eq!(put(&relay, &admin(), "/v1/admin/budgets/user/bob", &low).await.status, 204);
    assert_eq!(names("?above_percent=50").await, ["bob"]);
    let first = get(&relay, &admin(), "/v1/admin/budgets?limit=2").await.json();
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(names(&format!("?limit=2&cursor={next}")).await, ["bob"]);
    for status in [204, 404] {
        let path = "/v1/admin/budgets/user/bob";
        assert_eq!(as_user(&relay, &admin(), "DELETE", path).await.status, status);
    }
    assert_eq!(names("?above_percent=50").await, [""; 0]);
    let audit = get(&relay, &admin(), "/v1/admin/audit?user_sub=bob").await.json();
    let what = |at: usize| audit["audit"][at]["what"].as_str().expect("a word");
    assert_eq!([what(0), what(1)], ["reset_budget", "set_budget"]);
    assert_eq!(audit["audit"][1]["reason"], "abuse");
}

#[tokio::test]
async fn administrators_see_what_they_have_set_for_whoever_has_spent_nothing_yet() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", unix_ms()).await;
    let new = json!({ "cap_nano_usd": 100, "reason": "a new customer" });
    for path in ["user/eve", "account/a%2Fnew%20one"] {
        assert_eq!(put(&relay, &admin(), &format!("/v1/admin/budgets/{path}"), &new).await.status, 204);
    }
    let list = async |query: &str| {
        let list = get(&relay, &admin(), &format!("/v1/admin/budgets{query}")).await.json();
        list["budgets"].as_array().expect("a list").clone()
    };
    assert_eq!(list("").await.len(), 4, "and those that are used");
    let found = list("?kind=user&subject=eve").await;
    assert_eq!(found.len(), 1, "{found:?}");
    let eve = &found[0];
    assert_eq!((&eve["user_sub"], &eve["scope"]), (&json!("eve"), &json!("user")));
    for (field, value) in [
        ("cap_nano_usd", 100),
        ("set_nano_usd", 100),
        ("spent_nano_usd", 0),
        ("reserved_nano_usd", 0),
        ("left_nano_usd", 100),
    ] {
        assert_eq!(eve[field], value, "{field}");
    }
    assert_eq!(eve["period"].as_str().map(str::len), Some("2026-12-31".len()));
    let found = list("?subject=a%2Fnew%20one").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["account"], &found[0]["set_nano_usd"]), (&json!("a/new one"), &json!(100)));
    assert_eq!(list("?subject=ada").await[0]["spent_nano_usd"], 70);
    for none in ["?subject=nobody", "?kind=account&subject=eve"] {
        assert!(list(none).await.is_empty(), "{none}");
    }
    assert_eq!(as_user(&relay, &admin(), "DELETE", "/v1/admin/budgets/user/eve").await.status, 204);
    assert!(list("?subject=eve").await.is_empty(), "nothing is set, and nothing is used");
}

#[tokio::test]
async fn budgets_are_for_administrators_and_what_cannot_be_read_is_said() {
    let relay = Relay::start().await;
    let good = json!({ "cap_nano_usd": 1, "reason": "why" });
    let path = "/v1/admin/budgets/user/bob";
    assert_eq!(put(&relay, &token("bob"), path, &good).await.json()["code"], "admin_only");
    for query in [
        "kind=planet",
        "subject=",
        "subject=%0A",
        "above_percent=-1",
        "above_percent=10001",
        "cursor=x",
        "limit=0",
        "who=ada",
    ] {
        let answer = get(&relay, &admin(), &format!("/v1/admin/budgets?{query}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_query")), "{query}");
    }
    for body in [
        json!({}),
        json!({ "cap_nano_usd": 1 }),
        json!({ "cap_nano_usd": -1, "reason": "why" }),
        json!({ "cap_nano_usd": 1_000_000_000_000_000_001_u64, "reason": "why" }),
        json!({ "cap_nano_usd": 1, "reason": " " }),
    ] {
        let answer = put(&relay, &admin(), path, &body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_body")), "{body}");
    }
    for path in ["/v1/admin/budgets/planet/earth", "/v1/admin/budgets/user/%0A"] {
        let answer = put(&relay, &admin(), path, &good).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_path")), "{path}");
    }
}
