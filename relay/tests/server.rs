//! The relay's door: what is checked before a call, and what it serves beside calls.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod support;

#[path = "server/connections.rs"]
mod connections;
#[path = "support/local_provider.rs"]
mod local_provider;
#[path = "server/ready.rs"]
mod ready;
#[path = "server/stopping.rs"]
mod stopping;

use std::time::Duration;

use relay::Config;
use relay::admission::auth;
use relay::records::store::unix_ms;
use serde_json::json;
use support::{PATIENCE, Relay, header, set, status};
use tokio::time::timeout;

#[tokio::test]
async fn it_says_that_it_lives() {
    let relay = Relay::start().await;
    let (head, body) = relay.get("/livez", "").await;
    assert_eq!((status(&head), body.as_str()), (200, "ok\n"));
    let (head, _) = relay.request("POST /livez HTTP/1.1\r\nhost: relay\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&head), 405);
    let (head, body) = relay.get("/nothing", "").await;
    assert_eq!((status(&head), header(&head, "content-type")), (404, Some("application/problem+json")));
    assert!(body.contains("nothing at this address") && body.contains("\"code\":\"not_found\""), "{body}");
}

#[tokio::test]
async fn a_call_is_opened_with_the_subprotocol() {
    let relay = Relay::start().await;
    for offered in ["voxrelay.v1", "other, voxrelay.v1", "voxrelay.v1,other"] {
        let (_wire, head, _) = relay.call(set("sec-websocket-protocol", offered)).await;
        assert_eq!(
            (status(&head), header(&head, "sec-websocket-protocol")),
            (101, Some("voxrelay.v1")),
            "{offered}"
        );
        assert_eq!(header(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(header(&head, "sec-websocket-extensions"), None);
    }
}

#[tokio::test]
async fn what_is_no_websocket_of_ours_gets_400() {
    let relay = Relay::start().await;
    for (name, value) in [
        ("sec-websocket-protocol", ""),
        ("sec-websocket-protocol", "voxrelay.v2"),
        ("sec-websocket-protocol", "xvoxrelay.v1"),
        ("sec-websocket-key", ""),
        ("sec-websocket-key", "c2hvcnQ="),
        ("sec-websocket-key", "not base64 at all, sorry"),
        ("sec-websocket-version", ""),
        ("sec-websocket-version", "8"),
        ("upgrade", "h2c"),
        ("connection", "keep-alive"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ] {
        let (_wire, head, body) = relay.call(set(name, value)).await;
        assert_eq!(status(&head), 400, "{name}: {value}");
        assert!(body.contains("\"detail\""), "{body}");
    }
    let (_wire, head, _) = relay.call(set("content-length", "0")).await;
    assert_eq!(status(&head), 101, "an empty body is none");
    let (_wire, head, _) =
        relay.call(|headers| headers.push(("origin", "http://a\r\norigin: http://b".into()))).await;
    assert_eq!(status(&head), 400);
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_call() {
    let relay = Relay::start().await;
    let own = format!("http://{}", relay.address);
    for (origin, expected) in [
        (own.as_str(), 101),
        ("", 101),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
    ] {
        let (_wire, head, _) = relay.call(set("origin", origin)).await;
        assert_eq!(status(&head), expected, "{origin}");
    }

    let strict = Relay::with(|config| {
        let variables =
            [("VOXRELAY_ORIGINS", "https://app.example.com"), ("VOXRELAY_REQUIRE_ORIGIN", "true")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        config.origins = Config::load(None, variables).expect("good").origins;
    })
    .await;
    for (origin, expected) in [("https://app.example.com", 101), (own.as_str(), 403), ("", 403)] {
        let (_wire, head, _) = strict.call(set("origin", origin)).await;
        assert_eq!(status(&head), expected, "{origin}");
    }
}

/// What a request for a WebSocket and a plain one of the same page are answered with.
async fn answers(relay: &Relay, origin: &str) -> [(u16, serde_json::Value, String); 2] {
    let (_wire, head, body) = relay.call(set("origin", origin)).await;
    let origin = if origin.is_empty() { String::new() } else { format!("origin: {origin}\r\n") };
    let (plain, why) = relay.get("/v1/call", &origin).await;
    [(head, body), (plain, why)].map(|(head, body)| {
        let status = status(&head);
        if status == 101 {
            return (status, json!(null), head);
        }
        let mut problem: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        // Each request has an id of its own.
        assert!(problem["request_id"].take().is_string(), "{problem}");
        (status, problem, head)
    })
}

#[tokio::test]
async fn a_plain_request_is_told_what_one_for_a_websocket_would_be_and_pages_of_every_origin_may_read_it() {
    let strict = Relay::with(|config| {
        let variables =
            [("VOXRELAY_ORIGINS", "https://app.example.com"), ("VOXRELAY_REQUIRE_ORIGIN", "true")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        config.origins = Config::load(None, variables).expect("good").origins;
    })
    .await;
    let full = Relay::with(|config| config.network.max_connections = 0).await;
    let crowded = Relay::with(|config| config.network.pre_login_connections_per_address = 1).await;
    let (_waits, head, _) = crowded.call(|_| {}).await;
    assert_eq!(status(&head), 101);
    for (relay, origin, expected) in [
        (&strict, "https://evil.example", (403, "origin_refused")),
        (&strict, "", (403, "origin_refused")),
        (&full, "", (503, "relay_full")),
        (&crowded, "", (429, "address_connections")),
    ] {
        let [(upgrade_status, of_upgrade, head), (plain_status, plain, plain_head)] =
            answers(relay, origin).await;
        assert_eq!((upgrade_status, of_upgrade["code"].as_str()), (expected.0, Some(expected.1)));
        assert_eq!((plain_status, &plain), (upgrade_status, &of_upgrade));
        assert_eq!(plain["status"], expected.0);
        assert_eq!(plain["retry_after_ms"].is_u64(), expected.0 != 403, "{plain}");
        for head in [head, plain_head] {
            assert_eq!(header(&head, "access-control-allow-origin"), Some("*"), "{head}");
            assert_eq!(header(&head, "access-control-allow-credentials"), None);
            assert_eq!(header(&head, "cache-control"), Some("no-store"));
        }
    }
    for relay in [&strict, &full] {
        let [_, (status, plain, head)] = answers(relay, "https://app.example.com").await;
        let expected =
            if std::ptr::eq(relay, &strict) { (426, "upgrade_required") } else { (403, "origin_refused") };
        assert_eq!((status, plain["code"].as_str()), (expected.0, Some(expected.1)));
        assert_eq!(header(&head, "upgrade"), (status == 426).then_some("websocket"));
        assert_eq!(header(&head, "access-control-allow-origin"), Some("*"));
    }
    let (head, body) = strict.get("/v1/cal", "origin: https://evil.example\r\n").await;
    assert_eq!((status(&head), header(&head, "access-control-allow-origin")), (404, Some("*")), "{body}");
    let (_wire, head, body) = strict.call(set("sec-websocket-protocol", "other.v1")).await;
    assert_eq!((status(&head), header(&head, "access-control-allow-origin")), (400, Some("*")), "{body}");
}

/// A page that asks its own host for something names no origin, but opens WebSockets with it.
#[tokio::test]
async fn a_page_of_the_relays_own_host_is_told_the_same_although_it_names_no_origin() {
    let own = Relay::start().await;
    let strict = Relay::with(|config| {
        let variables = [("VOXRELAY_ORIGINS".to_owned(), "https://app.example.com".to_owned())];
        config.origins = Config::load(None, variables).expect("good").origins;
    })
    .await;
    for (relay, expected) in [(&own, 101), (&strict, 403)] {
        let page = format!("http://{}", relay.address);
        assert_eq!(status(&relay.call(set("origin", &page)).await.1), expected);
        let (head, body) = relay.get("/v1/call", "sec-fetch-site: same-origin\r\n").await;
        assert_eq!(status(&head), if expected == 101 { 426 } else { 403 }, "{body}");
    }
}

#[tokio::test]
async fn whoever_only_asks_takes_no_place_and_other_methods_are_refused() {
    let relay = Relay::with(|config| {
        config.network.max_connections = 1;
        config.network.pre_login_connections_per_address = 1;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(status(&relay.get("/v1/call", "").await.0), 426);
    }
    let request = |method| {
        format!("{method} /v1/call HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", relay.address)
    };
    let (head, body) = relay.whole(&request("HEAD")).await;
    assert_eq!((status(&head), body.as_str()), (426, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (head, body) = relay.whole(&request(method)).await;
        assert_eq!((status(&head), header(&head, "allow")), (405, Some("GET,HEAD")), "{method}");
        assert!(body.contains("method_not_allowed"), "{body}");
    }
    assert_eq!(status(&relay.call(|_| {}).await.1), 101);
}

#[tokio::test]
async fn a_full_relay_says_when_to_come_back_and_a_place_is_free_when_its_call_has_ended() {
    let relay = Relay::with(|config| config.network.max_connections = 2).await;
    let (mut first, head, _) = relay.call(|_| {}).await;
    assert_eq!(status(&head), 101);
    let token =
        auth::mint(&relay.app.config.auth, "ada", unix_ms() as u64 / 1_000, PATIENCE).expect("signed");
    let hello = json!({
        "type": "hello", "token": token, "client": "test", "codec": "pcm_s16le_16000",
        "start": { "seq": 0, "position": 0 },
    });
    first.text(&hello.to_string()).await;
    let (_, welcome) = first.next().await.expect("an answer");
    assert!(String::from_utf8_lossy(&welcome).contains("welcome"), "{welcome:?}");
    let (second, head, _) = relay.call(|_| {}).await;
    assert_eq!(status(&head), 101);
    let (_third, head, _) = relay.call(|_| {}).await;
    assert_eq!((status(&head), header(&head, "retry-after")), (503, Some("5")));
    let (head, _) = relay.get("/livez", "").await;
    assert_eq!(status(&head), 200);
    drop((first, second));
    let freed = async {
        while status(&relay.call(|_| {}).await.1) != 101 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, freed).await.expect("a place is free again");
}

#[tokio::test]
async fn a_request_says_once_which_host_it_is_for() {
    let relay = Relay::start().await;
    for (request, expected) in [
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: relay\r\nhost: relay\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: relay\r\nhost: other\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: relay:8080\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
    ] {
        let (head, body) = relay.request(request).await;
        assert_eq!(status(&head), expected, "{request}");
        assert!(expected == 200 || body.contains("\"code\":\"bad_host\""), "{body}");
    }
    let (_wire, head, _) = relay.call(|headers| headers.push(("host", "other".into()))).await;
    assert_eq!(status(&head), 400);
    let (_wire, head, _) = relay.call(set("host", "")).await;
    assert_eq!(status(&head), 400);
}

/// The database is locked, so that each resume takes as long as one may.
#[tokio::test]
async fn each_of_many_resumes_at_once_gets_an_answer() {
    use sqlx::Connection;

    let relay = Relay::start().await;
    let token =
        auth::mint(&relay.app.config.auth, "ada", unix_ms() as u64 / 1_000, 2 * PATIENCE).expect("signed");
    let hello = |resume: Option<&serde_json::Value>| {
        let mut hello = json!({
            "type": "hello", "token": token, "client": "test", "codec": "pcm_s16le_16000",
            "start": { "seq": 0, "position": 0 },
        });
        if let Some(welcome) = resume {
            hello["resume"] = json!({
                "session_id": welcome["session_id"], "resume_token": welcome["resume_token"],
                "epoch": welcome["epoch"], "received": 0,
            });
        }
        hello.to_string()
    };
    let (mut first, _, _) = relay.call(|_| {}).await;
    first.text(&hello(None)).await;
    let (_, welcome) = first.next().await.expect("an answer");
    let welcome: serde_json::Value = serde_json::from_slice(&welcome).expect("JSON");
    assert_eq!(welcome["type"], "welcome", "{welcome}");

    let file = relay.app.config.data_dir.join(relay::records::store::DATABASE_FILE);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut lock = sqlx::SqliteConnection::connect_with(&options).await.expect("a connection");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.expect("locked");
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let (mut wire, _, _) = relay.call(|_| {}).await;
        wire.text(&hello(Some(&welcome))).await;
        waiting.push(wire);
    }
    let mut answers = Vec::new();
    for (n, mut wire) in waiting.into_iter().enumerate() {
        let (opcode, payload) = wire.next().await.unwrap_or_else(|| panic!("{n} was dropped without a word"));
        // A later connection takes the place of one that waits, as of any other: 4409, which means to try again.
        if (opcode, payload.get(..2)) == (8, Some(&4409_u16.to_be_bytes()[..])) {
            answers.push("replaced");
            continue;
        }
        assert_eq!(opcode, 1, "{n}: {payload:?}");
        let answer: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        match answer["type"].as_str() {
            Some("resumed") => answers.push("resumed"),
            Some("error") => {
                assert!(answer["code"] == "relay_full" && answer["retry_after_ms"].is_u64(), "{answer}");
                assert_eq!(wire.close_code().await, Some(1013), "{n}: {answer}");
                answers.push("later");
            }
            _ => panic!("{n}: {answer}"),
        }
    }
    assert!(answers.contains(&"resumed"), "{answers:?}");
}

fn hello(token: &str) -> String {
    json!({
        "type": "hello", "token": token, "client": "test", "codec": "pcm_s16le_16000",
        "start": { "seq": 0, "position": 0 },
    })
    .to_string()
}

/// A token of a key that nobody has seen: only its head matters.
fn with_unknown_key() -> String {
    use base64::Engine;
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"ES256","kid":"new"}"#), part("{}"), part("signature"))
}

/// Where nobody listens.
fn closed_url() -> reqwest::Url {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("bound"));
    url.parse().expect("a URL")
}

#[tokio::test]
async fn whoever_comes_while_the_issuers_keys_cannot_be_had_is_told_when_to_come_back() {
    let relay = Relay::with(|config| config.auth.jwks_url = Some(closed_url())).await;
    for _ in 0..4 {
        let (mut wire, _, _) = relay.call(|_| {}).await;
        wire.text(&hello(&with_unknown_key())).await;
        let (_, error) = wire.next().await.expect("an answer");
        let error: serde_json::Value = serde_json::from_slice(&error).expect("JSON");
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"error".into(), &"keys_unavailable".into()),
            "{error}"
        );
        let wait = error["retry_after_ms"].as_u64().expect("a time");
        assert!((1_000..=30_000).contains(&wait), "{error}");
        assert_eq!(wire.close_code().await, Some(1013));
    }
    let bearer = format!("authorization: Bearer {}\r\n", with_unknown_key());
    let (head, body) = relay.get("/v1/sessions", &bearer).await;
    assert_eq!(status(&head), 503, "{body}");
    assert!(
        header(&head, "retry-after").is_some() && body.contains("\"code\":\"keys_unavailable\""),
        "{body}"
    );
}

#[tokio::test]
async fn a_call_goes_on_while_nobody_can_know_whether_its_fresh_token_is_good() {
    let relay = Relay::with(|config| {
        config.auth.jwks_url = Some(closed_url());
        config.auth.token_grace = Duration::from_secs(1);
    })
    .await;
    let now = unix_ms() as u64 / 1_000;
    let call = async |fresh: bool| {
        let token = auth::mint(&relay.app.config.auth, "ada", now, Duration::from_secs(2)).expect("signed");
        let (mut wire, _, _) = relay.call(|_| {}).await;
        wire.text(&hello(&token)).await;
        if fresh {
            wire.text(&json!({ "type": "token", "token": with_unknown_key() }).to_string()).await;
        }
        timeout(Duration::from_secs(8), wire.close_code()).await
    };
    let (without, with) = tokio::join!(call(false), call(true));
    assert_eq!(without, Ok(Some(4401)), "its token has expired");
    assert!(with.is_err(), "{with:?}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let relay = Relay::start().await;
    let mut wire = relay.connect().await;
    wire.send(format!("GET /livez HTTP/1.1\r\nx: {}", "a".repeat(64 * 1024)).as_bytes()).await;
    assert_eq!(status(&wire.response().await.0), 431);
    // One that is whole and comes at once is held to the same.
    for fields in [1, 4, 40] {
        let field = format!("x: {}\r\n", "a".repeat(40 * 1024 / fields));
        let (head, body) = relay
            .request(&format!("GET /livez HTTP/1.1\r\nhost: relay\r\n{}\r\n", field.repeat(fields)))
            .await;
        assert_eq!(status(&head), 431, "{fields} fields: {body}");
    }
    let (head, _) = relay.get("/livez", &format!("cookie: {}\r\n", "a".repeat(16 * 1024))).await;
    assert_eq!(status(&head), 200);
}

#[tokio::test]
async fn no_more_than_the_limit_is_read_of_a_message() {
    let relay = Relay::start().await;
    let limit = relay.app.config.message_max_bytes();
    assert_eq!(limit, 200_012);
    for (opcode, declared) in [(1, limit + 1), (2, limit + 1), (2, usize::MAX >> 1)] {
        let (mut wire, _, _) = relay.call(|_| {}).await;
        wire.frame(opcode, declared, b"the beginning").await;
        assert_eq!(wire.close_code().await, Some(1009), "{declared}");
    }
    // Somebody who goes on sending all the same hears it as well.
    for opcode in [1, 2] {
        let (mut wire, _, _) = relay.call(|_| {}).await;
        wire.frame(opcode, 2_000_000, &[b'a'; 1_000_000]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        wire.send(&[b'a'; 1_000_000]).await;
        assert_eq!(wire.close_code().await, Some(1009));
    }
    let (mut wire, _, _) = relay.call(|_| {}).await;
    wire.frame(1, 3, b"a\xffb").await;
    assert_eq!(wire.close_code().await, Some(1007));
    assert_eq!(status(&relay.get("/livez", "").await.0), 200);
}

#[tokio::test]
async fn when_it_stops_it_waits_for_nobody_longer_than_the_grace() {
    let relay = Relay::with(|config| config.shutdown_grace = Duration::from_millis(300)).await;
    let _idle = relay.connect().await;
    let (_call, head, _) = relay.call(|_| {}).await;
    assert_eq!(status(&head), 101);
    relay.app.live.shutdown.cancel();
    timeout(Duration::from_secs(3), relay.serving).await.expect("in time").expect("no panic");
    let refused = tokio::net::TcpStream::connect(relay.address).await;
    assert!(refused.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn sdk_files_are_for_pages_of_every_origin() {
    let relay = Relay::start().await;
    let (head, body) = relay.get("/sdk/no-such-file.js", "origin: https://app.example.com\r\n").await;
    assert_eq!((status(&head), header(&head, "access-control-allow-origin")), (404, Some("*")));
    assert!(body.contains("cargo xtask build") || body.contains("no such file"), "{body}");
    for path in
        ["/sdk/../../Cargo.toml", "/sdk/..%2f..%2fCargo.toml", "/sdk/%2e%2e/package.json", "/sdk//etc/passwd"]
    {
        assert_eq!(status(&relay.get(path, "").await.0), 404, "{path}");
    }
}

#[tokio::test]
async fn development_things_are_served_in_development_only() {
    let relay = Relay::start().await;
    for path in ["/dev/token", "/", "/demo.js", "/index.html"] {
        assert_eq!(status(&relay.get(path, "").await.0), 404, "{path}");
    }
}

#[tokio::test]
async fn the_demo_gets_a_token_on_this_machine_only() {
    let relay = Relay::with(|config| config.dev = true).await;
    let (head, token) = relay.get("/dev/token", "").await;
    assert_eq!((status(&head), header(&head, "cache-control")), (200, Some("no-store")));
    assert_eq!(header(&head, "access-control-allow-origin"), None);
    assert_eq!(relay.app.admission.verifier.check(&token).await.expect("good").sub, "demo");
    for headers in [
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
        "x-forwarded-for: 192.0.2.7\r\n",
        "forwarded: for=192.0.2.7\r\n",
    ] {
        assert_eq!(status(&relay.get("/dev/token", headers).await.0), 403, "{headers}");
    }
    let rebound = "GET /dev/token HTTP/1.1\r\nhost: rebound.example:8080\r\n\r\n";
    assert_eq!(status(&relay.request(rebound).await.0), 403);
}
