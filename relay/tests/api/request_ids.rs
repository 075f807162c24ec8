//! The ids of requests.

use super::support::Relay;
use super::{admin, ask, get, token};

#[tokio::test]
async fn every_answer_has_the_id_of_its_request_and_a_problem_repeats_it() {
    let relay = Relay::start().await;
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/v1/openapi.json", 200),
        ("GET", "/v1/sessions", 401),
        ("GET", "/v1/nothing", 404),
        ("PATCH", "/v1/sessions", 405),
        ("GET", "/v1/call", 426),
        ("POST", "/v1/call/http/x", 400),
        ("GET", "/sdk/nothing.js", 404),
    ] {
        let kept = ask(&relay, method, path, "x-request-id: proxy-4bf9.1\r\n", "").await;
        assert_eq!((kept.status, kept.header("x-request-id")), (status, Some("proxy-4bf9.1")), "{path}");
        let made = ask(&relay, method, path, "x-request-id: <script>\r\n", "").await;
        let id = made.header("x-request-id").expect("an id");
        assert!(id.len() == 36 && id != "<script>", "{path}: {id}");
        if status >= 400 {
            assert_eq!(kept.json()["request_id"], "proxy-4bf9.1", "{path}");
            assert_eq!(made.json()["request_id"], id, "{path}");
        }
    }
    let ids = [get(&relay, &token("ada"), "/v1/sessions").await, get(&relay, &admin(), "/v1/sessions").await];
    let [first, second] = ids.each_ref().map(|answer| answer.header("x-request-id").expect("an id"));
    assert_ne!(first, second);
    assert_eq!(ids[0].status, 200);
}

#[tokio::test]
async fn a_head_that_is_refused_and_a_call_that_begins_have_an_id_too() {
    let relay = Relay::start().await;
    let (head, body) = relay.request("GET /livez HTTP/1.1\r\nx-request-id: a-1\r\n\r\n").await;
    assert_eq!((super::status(&head), super::header(&head, "x-request-id")), (400, Some("a-1")));
    assert!(body.contains("\"request_id\":\"a-1\""), "{body}");
    let (_wire, head, _) = relay.call(|_| {}).await;
    assert_eq!(super::status(&head), 101);
    assert!(super::header(&head, "x-request-id").is_some_and(|id| id.len() == 36), "{head}");
}

#[tokio::test]
async fn pages_of_other_origins_may_send_and_read_it() {
    let relay = Relay::with(|config| {
        let variables = [("VOXRELAY_ORIGINS".to_owned(), "https://app.example.com".to_owned())];
        config.origins = relay::Config::load(None, variables).expect("good").origins;
    })
    .await;
    let origin = "origin: https://app.example.com\r\n";
    let asks = format!("{origin}access-control-request-method: GET\r\n");
    let allowed = ask(&relay, "OPTIONS", "/v1/sessions", &asks, "").await;
    let names = |answer: &super::Answer, header: &str| {
        answer.header(header).is_some_and(|names| names.contains("x-request-id"))
    };
    assert!(names(&allowed, "access-control-allow-headers"), "{allowed:?}");
    let read = ask(&relay, "GET", "/v1/sessions", origin, "").await;
    assert!(names(&read, "access-control-expose-headers"), "{read:?}");
}
