//! What a user thinks of a call.

use serde_json::{Value, json};

use super::support::Relay;
use super::{MIDNIGHT, admin, as_user, ask, get, post, session, token};

const FEEDBACK: &str = "/v1/sessions/a-1/feedback";

async fn stored(relay: &Relay) -> (Value, Value) {
    let session = get(relay, &token("ada"), "/v1/sessions/a-1").await.json();
    (session["rating"].clone(), session["comment"].clone())
}

#[tokio::test]
async fn what_a_user_thinks_of_a_call_that_is_over_is_in_its_record_and_the_later_word_counts() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let ada = token("ada");
    let first = json!({ "rating": 2, "comment": "It was <b>slow</b>." });
    for _ in 0..2 {
        assert_eq!(post(&relay, &ada, FEEDBACK, &first).await.status, 204);
        assert_eq!(stored(&relay).await, (json!(2), json!("It was <b>slow</b>.")));
    }
    let csv = get(&relay, &admin(), "/v1/admin/export/sessions.csv").await.body;
    assert!(csv.contains(",2,It was <b>slow</b>.,"), "{csv}");
    let longest = "ü".repeat(2_000);
    assert_eq!(post(&relay, &ada, FEEDBACK, &json!({ "comment": longest })).await.status, 204);
    assert_eq!(stored(&relay).await, (json!(null), json!(longest)), "what is left out is taken back");
    assert_eq!(post(&relay, &ada, FEEDBACK, &json!({ "rating": 5, "comment": "" })).await.status, 204);
    assert_eq!(stored(&relay).await, (json!(5), json!(null)));

    assert_eq!(as_user(&relay, &ada, "DELETE", "/v1/sessions/a-1").await.status, 204);
    assert_eq!(post(&relay, &ada, FEEDBACK, &first).await.status, 404, "it is erased");
}

#[tokio::test]
async fn feedback_of_others_and_what_is_none_is_refused_and_changes_nothing() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let (ada, bob, root) = (token("ada"), token("bob"), admin());
    let good = json!({ "rating": 3 });
    for (token, path, body, status) in [
        (&bob, FEEDBACK, &good, 404),
        (&root, FEEDBACK, &good, 404),
        (&ada, "/v1/sessions/a-2/feedback", &good, 404),
        (&ada, FEEDBACK, &json!({ "rating": 0 }), 400),
        (&ada, FEEDBACK, &json!({ "rating": 6 }), 400),
        (&ada, FEEDBACK, &json!({ "rating": -1 }), 400),
        (&ada, FEEDBACK, &json!({ "rating": 2.5 }), 400),
        (&ada, FEEDBACK, &json!({ "rating": "good" }), 400),
        (&ada, FEEDBACK, &json!({ "comment": "a".repeat(2_001) }), 400),
        (&ada, FEEDBACK, &json!({ "rating": 3, "stars": 3 }), 400),
        (&ada, FEEDBACK, &json!([3]), 400),
    ] {
        let answer = post(&relay, token, path, body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    assert_eq!(ask(&relay, "POST", FEEDBACK, "content-type: application/json\r\n", "{}").await.status, 401);
    assert_eq!(stored(&relay).await, (json!(null), json!(null)));
}
