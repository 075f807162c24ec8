//! A preflight is told what a call would be told, and nothing of it counts, costs or stays.

use protocol::relay::PREFLIGHT_MAX_BYTES;
use protocol::{Bye, ClientMessage, ErrorMessage, Hello, Ping, RelayMessage};
use relay::records::store::{SessionFilter, SqlStore, Store};
use serde_json::{Value, json};
use tests::http::get;
use tests::ports::free_address;
use tests::{Heard, Raw, Relay, hello, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};
use tokio_tungstenite::tungstenite::{Error, Message};

async fn start(folder: &std::path::Path, extra: &str) -> Relay {
    Relay::start(folder, "127.0.0.1:0", extra).await
}

fn hello_of(claims: &Value) -> Hello {
    hello(&token_but(claims), None)
}

fn ping(id: u32) -> String {
    ClientMessage::from(Ping { id, rtt_us: 0 }).to_json()
}

/// A preflight with this `hello`: its connection if a call would be taken, or why not.
async fn look(relay: &Relay, hello: Hello) -> Result<Raw, (ErrorMessage, u16)> {
    let mut raw = Raw::preflight(relay, &[]).await.expect("connects");
    raw.say(&ClientMessage::from(hello).to_json()).await;
    raw.say(&ping(1)).await;
    let mut told = None;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Pong(pong)) => {
                assert_eq!(pong.id, 1);
                return Ok(raw);
            }
            Heard::Said(RelayMessage::ErrorMessage(error)) => told = Some(error),
            Heard::Closed(code) => return Err((told.expect("it says why"), code)),
            heard => panic!("{heard:?}"),
        }
    }
}

/// What a preflight is refused with, if it is.
async fn outcome(relay: &Relay, claims: &Value) -> Option<(String, u16)> {
    let refused = look(relay, hello_of(claims)).await.err()?;
    Some((refused.0.code, refused.1))
}

fn refused(code: &str, close: u16) -> Option<(String, u16)> {
    Some((code.to_owned(), close))
}

/// A call, or the code of the error that it is refused with.
async fn call(relay: &Relay, claims: &Value) -> Result<Raw, String> {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello_of(claims)).to_json()).await;
    match raw.next().await {
        Heard::Said(RelayMessage::Welcome(_)) => Ok(raw),
        Heard::Said(RelayMessage::ErrorMessage(error)) => Err(error.code),
        heard => panic!("{heard:?}"),
    }
}

async fn hang_up(mut raw: Raw) {
    raw.say(&ClientMessage::from(Bye { end: 0 }).to_json()).await;
    assert_eq!(raw.end().await, (Vec::new(), 1000));
}

/// Waits until a call that has ended has given its place back, which it does when its stream is closed.
async fn becomes_free(relay: &Relay) {
    for _ in 0..300 {
        if Raw::preflight(relay, &[]).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the relay has no room");
}

/// The head and the body of the answer to a plain request from this origin.
async fn plain(relay: &Relay, origin: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(relay.address).await.expect("connects");
    let request = format!(
        "GET /v1/preflight HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\nconnection: close\r\n\r\n",
        relay.address
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_lowercase(), serde_json::from_str(body).expect("JSON"))
}

#[tokio::test]
async fn of_a_call_that_would_be_taken_and_nothing_counts_or_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = "[limits]\nsessions_per_minute = 1\nsessions_per_user = 1\nsessions_per_account = 1\n\
                  [network]\nsessions_per_minute_per_address = 1\nconnections_per_minute_per_address = 2\n\
                  max_connections = 1\npre_login_connections_per_address = 1\n";
    let relay = start(folder.path(), limits).await;
    let ada = json!({ "sub": "ada" });
    let mut under_way = Vec::new();
    for _ in 0..5 {
        under_way.push(look(&relay, hello_of(&ada)).await.expect("a call would be taken"));
    }
    let database =
        SqlStore::sqlite(&folder.path().join("data/voxrelay.db")).await.expect("the relay's database");
    let sessions = database.list_sessions(&SessionFilter::default(), None, 10).await.expect("readable");
    assert!(sessions.rows.is_empty(), "nothing is written");
    // The one place that there is, is free, and no minute is used up, while preflights are still open.
    hang_up(call(&relay, &ada).await.expect("let in")).await;
    let sessions = database.list_sessions(&SessionFilter::default(), None, 10).await.expect("readable");
    assert_eq!(sessions.rows.len(), 1, "the call, and nothing else");
    becomes_free(&relay).await;
    assert_eq!(
        outcome(&relay, &ada).await,
        refused("session_rate", 4429),
        "a preflight sees what is used up"
    );
    database.close().await;
}

#[tokio::test]
async fn its_audio_comes_back_half_as_long_again_up_to_so_many_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let mut raw = look(&relay, hello_of(&json!({}))).await.expect("let in");
    for _ in 0..20 {
        raw.send(Message::binary(vec![7; 3_200])).await;
    }
    for _ in 0..20 {
        assert!(matches!(raw.next().await, Heard::Audio(4_800)));
    }
    let mut carried = 20 * (3_200 + 4_800);
    for _ in 0..20 {
        raw.send(Message::binary(vec![7; 3_200])).await;
    }
    let code = loop {
        match raw.next().await {
            Heard::Audio(4_800) => carried += 3_200 + 4_800,
            Heard::Closed(code) => break code,
            heard => panic!("{heard:?}"),
        }
    };
    assert_eq!(code, 4429);
    assert!(carried <= PREFLIGHT_MAX_BYTES, "{carried}");
}

#[tokio::test]
async fn a_peer_that_says_anything_else_or_floods_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let greeted = async || look(&relay, hello_of(&json!({}))).await.expect("let in");
    let mut raw = greeted().await;
    raw.say(&ClientMessage::from(Bye { end: 0 }).to_json()).await;
    assert_eq!(raw.end().await.1, 4400);
    let mut raw = greeted().await;
    for id in 0..10_000 {
        raw.say(&ping(id)).await;
    }
    assert_eq!(raw.end().await.1, 4429);
    let mut raw = greeted().await;
    raw.send(Message::binary(vec![0; PREFLIGHT_MAX_BYTES / 2])).await;
    assert_eq!(raw.end().await.1, 4429);
    let mut silent = Raw::preflight(&relay, &[]).await.expect("connects");
    let mut stranger = Raw::preflight(&relay, &[]).await.expect("connects");
    stranger.send(Message::binary(vec![0; 100])).await;
    assert_eq!(stranger.end().await.1, 4401, "audio before a token");
    assert_eq!(silent.end().await, (vec!["unauthorized".to_owned()], 4401), "no token in time");
}

#[tokio::test]
async fn of_a_token_or_an_agent_that_a_call_would_not_be_taken_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[agents.other]\nkind = \"echo\"\n").await;
    assert_eq!(outcome(&relay, &json!({ "exp": 1 })).await, refused("unauthorized", 4401));
    let told = look(&relay, hello("no token", None)).await.expect_err("refused").0;
    assert_eq!(told.code, "unauthorized", "one answer for every cause");
    let with_agent = |agent: &str| Hello { agent: Some(agent.to_owned()), ..hello_of(&json!({})) };
    let (unknown, _) = look(&relay, with_agent("nobody")).await.expect_err("refused");
    let (forbidden, _) = look(&relay, with_agent("other")).await.expect_err("refused");
    assert_eq!((unknown.code.as_str(), forbidden.code.as_str()), ("agent_unknown", "agent_forbidden"));
    let foreign = Hello { conversation: Some("of somebody else".into()), ..hello_of(&json!({})) };
    let (told, close) = look(&relay, foreign).await.expect_err("refused");
    assert_eq!((told.code.as_str(), close), ("conversation_unknown", 4403));
    assert!(look(&relay, hello_of(&json!({}))).await.is_ok());
}

#[tokio::test]
async fn of_a_limit_that_is_reached_with_its_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[limits]\nsessions_per_user = 1\nsessions_per_account = 2\n").await;
    let _ada = call(&relay, &json!({ "sub": "ada" })).await.expect("let in");
    let (told, close) = look(&relay, hello_of(&json!({ "sub": "ada" }))).await.expect_err("refused");
    assert_eq!(
        (told.code.as_str(), told.limit, told.asked, close),
        ("session_limit", Some(1), Some(2), 4429)
    );
    assert!(told.retry_after_ms.is_some());
    assert_eq!(outcome(&relay, &json!({ "sub": "bob" })).await, None);
    let _bob = call(&relay, &json!({ "sub": "bob" })).await.expect("let in");
    let full = outcome(&relay, &json!({ "sub": "cleo" })).await;
    assert_eq!(full, refused("account_session_limit", 4429));
}

#[tokio::test]
async fn of_a_budget_that_is_spent_and_no_operator_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[limits]\nuser_day_usd = \"0.000000001\"\n").await;
    assert_eq!(outcome(&relay, &json!({ "sub": "ada" })).await, refused("user_budget", 4402));
    assert_eq!(call(&relay, &json!({ "sub": "ada" })).await.err().as_deref(), Some("user_budget"));
}

#[tokio::test]
async fn of_an_origin_that_is_not_listed_which_pages_of_every_origin_may_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let opened = Raw::preflight(&relay, &[("origin", "https://evil.test")]).await;
    assert!(matches!(opened, Err(Error::Http(response)) if response.status() == 403));
    let (head, body) = plain(&relay, "https://evil.test").await;
    assert!(head.starts_with("http/1.1 403") && head.contains("access-control-allow-origin: *"), "{head}");
    assert_eq!(body["code"], "origin_refused");
    let (head, body) = plain(&relay, &format!("http://{}", relay.address)).await;
    assert!(head.starts_with("http/1.1 426") && head.contains("access-control-allow-origin: *"), "{head}");
    assert_eq!(body["code"], "upgrade_required");
}

#[tokio::test]
async fn of_a_relay_that_is_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[network]\nmax_connections = 1\n").await;
    let raw = call(&relay, &json!({})).await.expect("let in");
    let (head, body) = plain(&relay, &format!("http://{}", relay.address)).await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!((&body["code"], &body["retry_after_ms"]), (&json!("relay_full"), &json!(5_000)));
    hang_up(raw).await;
    becomes_free(&relay).await;
}

#[tokio::test]
async fn has_a_rate_of_its_own_by_user_and_by_address_which_calls_do_not_feel() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[api]\npreflights_per_minute = 2\n").await;
    let ada = json!({ "sub": "ada" });
    assert_eq!(outcome(&relay, &ada).await, None);
    assert_eq!(outcome(&relay, &ada).await, None);
    let (told, close) = look(&relay, hello_of(&ada)).await.expect_err("the third");
    assert_eq!((told.code.as_str(), told.limit, close), ("preflight_rate", Some(2), 4429));
    assert!(told.retry_after_ms.is_some_and(|wait| wait <= 30_000), "{told:?}");
    assert_eq!(outcome(&relay, &json!({ "sub": "bob" })).await, None, "others do not notice");
    // Of the address there were four, and sixteen are left.
    let mut left = 16;
    while Raw::preflight(&relay, &[]).await.is_ok() {
        left -= 1;
        assert!(left >= 0, "more than ten users' of one address");
    }
    assert_eq!(left, 0);
    let (head, body) = plain(&relay, &format!("http://{}", relay.address)).await;
    assert!(head.starts_with("http/1.1 429"), "{head}");
    assert_eq!((&body["code"], &body["limit"]), (&json!("preflight_rate"), &json!(20)));
    hang_up(call(&relay, &ada).await.expect("calls are none of it")).await;
}

#[tokio::test]
async fn is_counted_by_its_outcome_and_not_among_the_calls() {
    let metrics = free_address();
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), &format!("[metrics]\nlisten = \"{metrics}\"\n")).await;
    assert_eq!(outcome(&relay, &json!({})).await, None);
    assert!(outcome(&relay, &json!({ "exp": 1 })).await.is_some());
    assert!(Raw::preflight(&relay, &[("origin", "https://evil.test")]).await.is_err());
    let answer = get(metrics, "/metrics").await;
    for line in [
        "voxrelay_preflights_total{outcome=\"ok\"} 1",
        "voxrelay_preflights_total{outcome=\"unauthorized\"} 1",
        "voxrelay_preflights_total{outcome=\"origin_refused\"} 1",
        "voxrelay_preflights_total{outcome=\"preflight_rate\"} 0",
        "voxrelay_refusals_total{code=\"unauthorized\"} 0",
        "voxrelay_refusals_total{code=\"origin\"} 0",
        "voxrelay_sessions_opened_total 0",
    ] {
        assert!(answer.lines().any(|found| found == line), "no {line} in {answer}");
    }
}
