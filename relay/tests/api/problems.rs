//! Errors as RFC 9457 wants them, limits, pages of other origins.

use relay::Config;
use serde_json::Value;

use super::support::Relay;
use super::{Answer, admin, as_user, ask, get, post, token};

fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let problem = answer.json();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["status"], status);
    let text = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
    assert!(text("title") && text("detail") && text("code"), "{problem}");
    let documented = format!("\n| `{}` | ", problem["code"].as_str().expect("a text"));
    assert!(include_str!("../../../docs/errors.md").contains(&documented), "{problem}");
    // What the libraries say about Rust's types means nothing to whoever sent the request.
    let detail = problem["detail"].as_str().expect("a text");
    for foreign in ["deserialize", "invalid type", "expected ", "variant", "trailing", "EOF", "invalid digit"]
    {
        assert!(!detail.contains(foreign), "{detail}");
    }
}

#[tokio::test]
async fn whatever_does_not_fit_is_a_problem() {
    let relay = Relay::start().await;
    let (ada, root) = (token("ada"), admin());
    for (token, method, path, status) in [
        (&ada, "GET", "/v1/sessions?limit=0", 400),
        (&ada, "GET", "/v1/sessions?limit=101", 400),
        (&ada, "GET", "/v1/sessions?limit=-1", 400),
        (&ada, "GET", "/v1/sessions?limit=many", 400),
        (&ada, "GET", "/v1/sessions?limit=3&limit=4", 400),
        (&ada, "GET", "/v1/sessions?cursor=", 400),
        (&ada, "GET", "/v1/sessions?cursor=abc", 400),
        (&ada, "GET", "/v1/sessions?cursor=eyJhdF9tcyI6MSwiaWQiOiJhXHUwMDAwIn0", 400),
        (&ada, "GET", "/v1/sessions?state=dead", 400),
        (&ada, "GET", "/v1/sessions?from=yesterday", 400),
        (&ada, "GET", "/v1/sessions?conversation_id=%00", 400),
        (&ada, "GET", "/v1/sessions?user_sub=bob", 400),
        (&ada, "GET", "/v1/usage?from=2026-01-01&to=2026-12-31", 400),
        (&ada, "GET", "/v1/usage?from=2026-01-02&to=2026-01-01", 400),
        (&ada, "GET", "/v1/sessions/%FF", 400),
        (&ada, "GET", "/v1/sessions/%00", 404),
        (&ada, "GET", "/v1/sessions/%27%3B%20DROP%20TABLE%20sessions", 404),
        (&ada, "GET", "/v1/sessions/a%2Fb/transcript", 404),
        (&ada, "GET", "/v1/sessions/a-1/transcript?format=xml", 400),
        (&ada, "GET", "/v1/nothing", 404),
        (&ada, "GET", "/v1/sessions/", 404),
        (&ada, "PATCH", "/v1/sessions", 405),
        (&ada, "BREW", "/v1/sessions", 405),
        (&root, "GET", "/v1/admin/sessions?user_sub=", 400),
        (&root, "GET", "/v1/admin/sessions?user_sub=%00", 400),
        (&root, "GET", "/v1/admin/usage?by=planet", 400),
        (&root, "GET", "/v1/admin/export/sessions.csv?state=dead", 400),
        (&root, "GET", "/v1/admin/export/usage.csv?by=planet", 400),
        (&root, "GET", "/v1/admin/export/usage.csv?from=2001-01-01&to=2026-01-01", 400),
        (&root, "GET", "/v1/admin/export/ledger.csv?session_id=%27", 400),
        (&root, "DELETE", "/v1/admin/users/%0A", 400),
        (&root, "DELETE", "/v1/admin/denials/planet/earth", 400),
        (&root, "DELETE", "/v1/admin/denials/sub/nobody", 404),
        (&root, "POST", "/v1/admin/sessions/nobody/end", 404),
        (&root, "POST", "/v1/admin/denials", 415),
    ] {
        is_problem(&as_user(&relay, token, method, path).await, status);
    }
    let headers = format!("authorization: Bearer {root}\r\ncontent-type: application/json\r\n");
    let too_large = format!(r#"{{"kind": "sub", "subject": "x", "reason": "{}"}}"#, "r".repeat(16 * 1024));
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"kind": "sub"}"#, 400),
        (r#"{"kind": "sub", "subject": ""}"#, 400),
        (r#"{"kind": "sub", "subject": "a\u0000"}"#, 400),
        (r#"{"kind": "sub", "subject": "a", "reason": "\u0000"}"#, 400),
        (r#"{"kind": "sub", "subject": "a", "expires_at": "1999-01-01T00:00:00Z"}"#, 400),
        (r#"{"kind": "sub", "subject": "a", "expires_at": "soon"}"#, 400),
        (r#"{"kind": "sub", "subject": "a", "until": "soon"}"#, 400),
        (r#"{"kind": "planet", "subject": "earth"}"#, 400),
        (&too_large, 413),
    ] {
        is_problem(&ask(&relay, "POST", "/v1/admin/denials", &headers, body).await, status);
    }
    let twice = format!("authorization: Bearer {ada}\r\nauthorization: Bearer {ada}\r\n");
    for headers in ["authorization: Basic YTpi\r\n", "authorization: Bearer\r\n", &twice] {
        is_problem(&ask(&relay, "GET", "/v1/sessions", headers, "").await, 401);
    }
    assert_eq!(get(&relay, &root, "/v1/admin/denials").await.json()["denials"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_problem_names_what_is_wrong_and_what_it_has_to_be() {
    let relay = Relay::start().await;
    let root = admin();
    for (path, code, says) in [
        ("/v1/sessions?limit=0", "bad_query", "`limit` has to be a whole number, 1 to 100."),
        ("/v1/sessions?limit=many", "bad_query", "`limit` has to be a whole number, 1 to 100."),
        (
            "/v1/sessions?limit=99999999999999999999",
            "bad_query",
            "`limit` has to be a whole number, 1 to 100.",
        ),
        ("/v1/sessions?limit=3&limit=4", "bad_query", "`limit` is given twice."),
        ("/v1/sessions?state=dead", "bad_query", "`state` has to be one of `live`, `ended`."),
        ("/v1/sessions?user_sub=bob", "bad_query", "There is no parameter `user_sub`; there are `cursor`"),
        ("/v1/sessions?%1B%5B2J=1", "bad_query", r"There is no parameter `\u{1b}[2J`"),
        ("/v1/sessions?from=yesterday", "bad_query", "`from` has to be a time"),
        ("/v1/usage?to=2026-13-01", "bad_query", "`to` has to be a day"),
        ("/v1/sessions?cursor=abc", "bad_query", "`cursor` is not the `next`"),
        ("/v1/admin/usage?by=planet", "bad_query", "`by` has to be one of `account`, `user`."),
        (
            "/v1/sessions/a-1/transcript?format=xml",
            "bad_query",
            "`format` has to be one of `json`, `text`, `vtt`.",
        ),
        ("/v1/sessions/%FF", "bad_path", "`id` in the address is not UTF-8."),
        ("/v1/nothing", "not_found", "nothing at this address"),
        ("/v1/sessions/nobody", "not_found", "no such session"),
    ] {
        let answer = get(&relay, &root, path).await;
        let problem = answer.json();
        let detail = problem["detail"].as_str().expect("a text");
        assert!(problem["code"] == code && detail.contains(says), "{path}: {problem}");
    }
    let headers = format!("authorization: Bearer {root}\r\ncontent-type: application/json\r\n");
    for (body, says) in [
        ("", "not JSON: see line 1, column 0"),
        ("{\"kind\":\n x}", "not JSON: see line 2, column 2"),
        ("[]", "has to be a JSON object"),
        (r#"{"kind": "sub"}"#, "`subject` is missing."),
        (r#"{"kind": "planet", "subject": "earth"}"#, "`kind` has to be one of `sub`, `login`."),
        (r#"{"kind": "sub", "subject": 7}"#, "`subject` has to be a text."),
        (r#"{"kind": "sub", "subject": "a", "until": "soon"}"#, "There is no field `until`; there are "),
        (r#"{"kind": "sub", "kind": "login", "subject": "a"}"#, "is given twice"),
    ] {
        let problem = ask(&relay, "POST", "/v1/admin/denials", &headers, body).await.json();
        let detail = problem["detail"].as_str().expect("a text");
        assert!(problem["code"] == "bad_body" && detail.contains(says), "{body}: {problem}");
    }
    for (method, path, allowed) in [
        ("PATCH", "/v1/sessions", "GET"),
        ("GET", "/v1/admin/sessions/a/end", "POST"),
        ("POST", "/livez", "GET"),
    ] {
        let answer = as_user(&relay, &root, method, path).await;
        is_problem(&answer, 405);
        assert!(answer.header("allow").is_some_and(|allow| allow.contains(allowed)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_not_waited_for() {
    let relay = Relay::start().await;
    let head = format!(
        "POST /v1/admin/denials HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n",
        admin()
    );
    let mut wire = relay.connect().await;
    wire.send(head.as_bytes()).await;
    let (head, body) = wire.response_while_sending(b" ").await;
    assert_eq!(super::status(&head), 408, "{body}");
    assert!(body.contains("\"code\":\"request_timeout\""), "{body}");
    assert!(wire.is_closed_within(super::support::PATIENCE).await, "nothing more is taken");
}

#[tokio::test]
async fn a_user_who_asks_too_often_is_told_the_limit_and_when_to_come_back() {
    let relay = Relay::with(|config| config.api_requests_per_minute = 2).await;
    let ada = token("ada");
    for _ in 0..2 {
        assert_eq!(get(&relay, &ada, "/v1/sessions").await.status, 200);
    }
    let refused = get(&relay, &ada, "/v1/usage").await;
    is_problem(&refused, 429);
    let problem = refused.json();
    assert_eq!(
        (&problem["code"], &problem["limit"], &problem["asked"]),
        (&"api_rate".into(), &2.into(), &3.into())
    );
    let seconds: u64 = refused.header("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
    assert!(
        problem["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0 && ms <= seconds * 1_000),
        "{problem}"
    );
    assert_eq!(get(&relay, &token("bob"), "/v1/sessions").await.status, 200, "others do not wait");
}

#[tokio::test]
async fn pages_of_listed_origins_may_use_it_and_others_may_not() {
    let relay = Relay::with(|config| {
        let variables = [("VOXRELAY_ORIGINS".to_owned(), "https://app.example.com".to_owned())];
        config.origins = Config::load(None, variables).expect("good").origins;
    })
    .await;
    let preflight = |origin: &str| {
        format!(
            "origin: {origin}\r\naccess-control-request-method: DELETE\r\naccess-control-request-headers: authorization\r\n"
        )
    };
    let allowed = ask(&relay, "OPTIONS", "/v1/sessions/a-1", &preflight("https://app.example.com"), "").await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(allowed.header("access-control-allow-methods").is_some_and(|methods| methods.contains("DELETE")));
    assert!(
        allowed.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization"))
    );
    let refused = ask(&relay, "OPTIONS", "/v1/sessions/a-1", &preflight("https://evil.example"), "").await;
    is_problem(&refused, 403);
    assert_eq!(refused.header("access-control-allow-origin"), None);

    let ada = token("ada");
    for (origin, expected) in
        [("https://app.example.com", Some("https://app.example.com")), ("https://evil.example", None)]
    {
        let headers = format!("authorization: Bearer {ada}\r\norigin: {origin}\r\n");
        let answer = ask(&relay, "GET", "/v1/sessions", &headers, "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, expected));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    is_problem(&ask(&relay, "OPTIONS", "/v1/sessions", "", "").await, 405);
}

#[tokio::test]
async fn a_database_that_is_away_is_a_problem_with_a_time_to_come_back() {
    let relay = Relay::start().await;
    relay.app.records.store.close().await;
    let answer = get(&relay, &token("ada"), "/v1/sessions").await;
    is_problem(&answer, 503);
    assert!(answer.header("retry-after").is_some());
    let body = serde_json::json!({ "kind": "sub", "subject": "ada" });
    is_problem(&post(&relay, &admin(), "/v1/admin/denials", &body).await, 503);
}

#[tokio::test]
async fn an_address_that_guesses_tokens_is_told_to_wait() {
    let relay = Relay::with(|config| config.api_requests_per_minute = 1).await;
    for _ in 0..10 {
        is_problem(&ask(&relay, "GET", "/v1/sessions", "authorization: Bearer guess\r\n", "").await, 401);
    }
    let refused = ask(&relay, "GET", "/v1/sessions", "authorization: Bearer guess\r\n", "").await;
    is_problem(&refused, 429);
    assert_eq!(refused.json()["limit"], 10);
}

#[tokio::test]
async fn whoever_has_a_whole_network_of_addresses_guesses_no_more_tokens() {
    let relay = Relay::with(|config| {
        config.api_requests_per_minute = 1;
        config.network.trusted_proxies = vec!["127.0.0.1/32".parse().expect("an address")];
    })
    .await;
    let guess = async |address: String| {
        let headers = format!("authorization: Bearer guess\r\nx-forwarded-for: {address}\r\n");
        ask(&relay, "GET", "/v1/sessions", &headers, "").await
    };
    for number in 0..10 {
        is_problem(&guess(format!("2001:db8:1:2::{number:x}")).await, 401);
    }
    is_problem(&guess("2001:db8:1:2:3:4:5:6".to_owned()).await, 429);
    is_problem(&guess("2001:db8:1:3::1".to_owned()).await, 401);
}
