//! What webhooks were told.

use std::time::Duration;

use relay::records::store::{Attempted, HookEvent, Subscription};
use serde_json::{Value, json};

use super::records::{self, WIDE, caps, open, quota, row, settle};
use super::support::Relay;
use super::{MIDNIGHT, admin, as_user, get, session, token};

/// For how long nobody else has what is claimed.
const LONG: Duration = Duration::from_secs(60);

/// A relay with a call of ada's, of which a webhook hears that nobody sends to here.
async fn told() -> Relay {
    let relay = Relay::start().await;
    let named = Subscription { name: "crm".into(), events: HookEvent::ALL.into() };
    relay.app.records.store.keep_webhooks(&[named]).await.expect("written");
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    relay
}

/// The ids that a query lists, sorted.
async fn ids(relay: &Relay, query: &str) -> Vec<String> {
    let answer = get(relay, &admin(), &format!("/v1/admin/webhooks{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let rows = body["deliveries"].as_array().expect("a list").iter();
    let mut ids: Vec<String> = rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn an_administrator_sees_what_was_told_and_has_it_told_again() {
    let relay = told().await;
    let store = &relay.app.records.store;
    assert_eq!(ids(&relay, "").await, ["ended_a-1_crm", "started_a-1_crm"]);
    let claimed = store.claim_deliveries("crm", LONG, 8).await.expect("claimed");
    let started = claimed.iter().find(|message| message.id == "started_a-1_crm").expect("it is due");
    store.finish_delivery(started.claimed(), Attempted::Delivered, "204").await.expect("written");
    assert_eq!(ids(&relay, "?state=delivered").await, ["started_a-1_crm"]);
    assert_eq!(ids(&relay, "?state=waiting&event=call.ended&name=crm").await, ["ended_a-1_crm"]);
    assert_eq!(ids(&relay, "?name=ops").await, Vec::<String>::new());
    let first = get(&relay, &admin(), "/v1/admin/webhooks?limit=1").await.json();
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(ids(&relay, &format!("?limit=1&cursor={next}")).await.len(), 1);

    let one = async || {
        let list = get(&relay, &admin(), "/v1/admin/webhooks?event=call.started").await.json();
        list["deliveries"][0].clone()
    };
    let taken = one().await;
    assert_eq!((&taken["state"], &taken["answer"]), (&json!("delivered"), &json!("204")));
    assert_eq!((&taken["name"], &taken["session_id"]), (&json!("crm"), &json!("a-1")));
    assert!(taken["delivered_at"].is_string() && taken["next_attempt_at"].is_null(), "{taken}");
    let path = "/v1/admin/webhooks/started_a-1_crm/replay";
    assert_eq!(as_user(&relay, &admin(), "POST", path).await.status, 204);
    let again = one().await;
    assert_eq!((&again["state"], &again["delivered_at"]), (&json!("waiting"), &Value::Null));
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=replay_webhook").await.json();
    let deed = &audit["audit"][0];
    assert_eq!((&deed["by"], &deed["subject"]), (&json!("root"), &json!("started_a-1_crm")));
    let unknown = as_user(&relay, &admin(), "POST", "/v1/admin/webhooks/nothing/replay").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn an_administrator_sees_whether_an_alert_arrived_and_has_it_told_again() {
    let relay = told().await;
    let store = &relay.app.records.store;
    open(&**store, &records::session("a-2"), &quota()).await;
    let spent = settle("a-2", vec![row("1", 1, 60)], caps(100, WIDE, WIDE));
    assert_eq!(store.settle(&spent).await.expect("written").alerts.len(), 1);
    let one = async || {
        let list = get(&relay, &admin(), "/v1/admin/webhooks?name=webhook&event=budget.threshold").await;
        let list = list.json();
        let rows = list["deliveries"].as_array().expect("a list");
        assert_eq!(rows.len(), 1, "{list}");
        rows[0].clone()
    };
    let waits = one().await;
    assert_eq!((&waits["state"], &waits["attempts"]), (&json!("waiting"), &json!(0)));
    assert_eq!((&waits["name"], &waits["event"]), (&json!("webhook"), &json!("budget.threshold")));
    assert_eq!((&waits["about"], &waits["session_id"]), (&json!("session, 50 %"), &json!("a-2")));
    let id = waits["id"].as_str().expect("an id");
    assert!(ids(&relay, "").await.contains(&id.to_owned()), "it stands among the others");
    let claimed = store.claim_alerts(LONG, 8).await.expect("claimed");
    assert_eq!((claimed.len(), claimed[0].id()), (1, id));
    store.finish_alert(claimed[0].claimed(), Attempted::GivenUp, "410").await.expect("written");
    let over = one().await;
    assert_eq!((&over["state"], &over["answer"]), (&json!("given_up"), &json!("410")));
    assert_eq!(
        as_user(&relay, &admin(), "POST", &format!("/v1/admin/webhooks/{id}/replay")).await.status,
        204
    );
    assert_eq!(one().await["state"], "waiting");
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=replay_webhook").await.json();
    let deed = &audit["audit"][0];
    assert_eq!((&deed["subject"], &deed["user_sub"]), (&json!(id), &json!("ada")));
}

#[tokio::test]
async fn what_webhooks_were_told_is_for_administrators_and_says_what_it_cannot_read() {
    let relay = told().await;
    let replay = "/v1/admin/webhooks/started_a-1_crm/replay";
    for (method, path) in [("GET", "/v1/admin/webhooks"), ("POST", replay)] {
        let refused = as_user(&relay, &token("ada"), method, path).await;
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("admin_only")), "{path}");
    }
    for query in
        ["state=lost", "event=call", "event=store.down", "name=", "limit=0", "cursor=x", "webhook=crm"]
    {
        let answer = get(&relay, &admin(), &format!("/v1/admin/webhooks?{query}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("bad_query")), "{query}");
    }
}
