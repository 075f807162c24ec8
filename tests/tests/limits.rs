//! Each limit is tripped, says which it is, how much it is and when to come back, and lets in again; the relay serves all the while.

use protocol::{Bye, ClientMessage, ErrorCode, ErrorMessage, Hello, Ping, RelayMessage, Resume, Welcome};
use serde_json::{Value, json};
use tests::{Heard, Raw, Relay, chunk, hello, token_but};
use tokio::time::{Duration, Instant, sleep};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Never as many calls as this are needed to reach a limit.
const MANY: usize = 200;

async fn start(folder: &std::path::Path, limits: &str) -> Relay {
    Relay::start(folder, "127.0.0.1:0", limits).await
}

fn hello_of(claims: &Value) -> Hello {
    hello(&token_but(claims), None)
}

/// A session, or why there is none, over this connection.
async fn call_over(raw: Raw, hello: Hello) -> Result<(Raw, Welcome), (ErrorMessage, u16)> {
    let mut raw = raw;
    raw.say(&ClientMessage::from(hello).to_json()).await;
    let mut told = None;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(welcome)) => return Ok((raw, welcome)),
            Heard::Said(RelayMessage::ErrorMessage(error)) => told = Some(error),
            Heard::Closed(code) => return Err((told.expect("it says why"), code)),
            _ => {}
        }
    }
}

async fn call(relay: &Relay, claims: Value) -> Result<(Raw, Welcome), (ErrorMessage, u16)> {
    call_over(Raw::connect(relay, None).await.expect("connects"), hello_of(&claims)).await
}

/// Calls and hangs up until it is refused.
async fn until_refused(relay: &Relay, claims: impl Fn(usize) -> Value) -> (ErrorMessage, u16) {
    for nth in 0..MANY {
        match call(relay, claims(nth)).await {
            Ok((raw, _)) => hang_up(raw).await,
            Err(refused) => return refused,
        }
    }
    panic!("never refused");
}

async fn hang_up(mut raw: Raw) {
    raw.say(&ClientMessage::from(Bye { end: 0 }).to_json()).await;
    assert_eq!(raw.end().await, (Vec::new(), 1000));
}

/// Goes on with a session over a new connection.
async fn resume(relay: &Relay, claims: Value, welcome: &Welcome) -> Raw {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let hello = Hello { resume: Some(resume_of(welcome)), ..hello_of(&claims) };
    raw.say(&ClientMessage::from(hello).to_json()).await;
    let heard = raw.next().await;
    assert!(matches!(heard, Heard::Said(RelayMessage::Resumed(_))), "{heard:?}");
    raw
}

fn resume_of(welcome: &Welcome) -> Resume {
    Resume {
        session_id: welcome.session_id.clone(),
        resume_token: welcome.resume_token.clone(),
        epoch: 0,
        received: 0,
        played: None,
    }
}

/// An error message that differs from the code's own words in its figures only.
#[track_caller]
fn assert_told(told: &ErrorMessage, code: ErrorCode, limit: u64) {
    let expected = ErrorMessage {
        limit: Some(limit),
        asked: Some(limit + 1),
        retry_after_ms: told.retry_after_ms,
        ..code.into()
    };
    assert_eq!(*told, expected);
    assert!(told.retryable);
}

async fn wait(told: &ErrorMessage) {
    sleep(Duration::from_millis(told.retry_after_ms.expect("it says when to come back"))).await;
}

/// The error that ends the connection, and the code.
async fn last_word(raw: &mut Raw) -> (ErrorMessage, u16) {
    let mut told = None;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::ErrorMessage(error)) => told = Some(error),
            Heard::Closed(code) => return (told.expect("it says why"), code),
            _ => {}
        }
    }
}

#[tokio::test]
async fn control_messages_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[limits]\ncontrol_messages_per_second = 5\n").await;
    let ada = || json!({ "sub": "ada" });
    let (mut raw, welcome) = call(&relay, ada()).await.expect("let in");
    raw.send(Message::binary(chunk(0))).await;
    for id in 0..20 {
        raw.say(&ClientMessage::from(Ping { id, rtt_us: 0 }).to_json()).await;
    }
    let (told, code) = last_word(&mut raw).await;
    assert_eq!((code, told.retry_after_ms), (4429, Some(2_000)));
    assert_told(&told, ErrorCode::ControlRate, 5);

    // Others do not notice, and the session is where it was.
    hang_up(call(&relay, json!({ "sub": "bob" })).await.expect("let in").0).await;
    wait(&told).await;
    let mut raw = resume(&relay, ada(), &welcome).await;
    raw.say(&ClientMessage::from(Bye { end: 1 }).to_json()).await;
    assert_eq!(raw.end().await, (Vec::new(), 1000));
}

#[tokio::test]
async fn audio_faster_than_real_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[limits]\nburst_seconds = 5\n").await;
    let ada = || json!({ "sub": "ada" });
    let (mut raw, welcome) = call(&relay, ada()).await.expect("let in");
    for seq in 0..80 {
        raw.send(Message::binary(chunk(seq))).await;
    }
    let (told, code) = last_word(&mut raw).await;
    assert_eq!((code, told.code.as_str(), told.limit), (4429, "audio_too_fast", Some(5_000)));
    assert_eq!(told.asked, told.retry_after_ms.map(|wait| 5_000 + wait));

    hang_up(call(&relay, json!({ "sub": "bob" })).await.expect("let in").0).await;
    wait(&told).await;
    let mut raw = resume(&relay, ada(), &welcome).await;
    raw.say(&ClientMessage::from(Bye { end: 50 }).to_json()).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Ended(ended)) => {
                assert!(ended.usage.audio_ms >= 5_000, "what was taken is billed: {ended:?}");
                break;
            }
            Heard::Said(RelayMessage::RelayAck(ack)) if ack.received.seq < 50 => {
                panic!("the burst was taken: {ack:?}");
            }
            Heard::Said(RelayMessage::ErrorMessage(error)) => panic!("{error:?}"),
            Heard::Closed(code) => panic!("{code}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn sessions_of_a_user_at_the_same_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let ada = || json!({ "sub": "ada" });
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(call(&relay, ada()).await.expect("let in"));
    }
    let (told, code) = call(&relay, ada()).await.expect_err("the fourth");
    assert_eq!((code, told.retry_after_ms), (4429, Some(5_000)));
    assert_told(&told, ErrorCode::SessionLimit, 3);

    hang_up(call(&relay, json!({ "sub": "bob" })).await.expect("somebody else").0).await;
    hang_up(open.pop().expect("three").0).await;
    hang_up(call(&relay, ada()).await.expect("there is room again").0).await;
}

#[tokio::test]
async fn sessions_of_an_account_at_the_same_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[limits]\nsessions_per_account = 2\n").await;
    let of = |sub: &str, account: &str| json!({ "sub": sub, "app_metadata": { "account": account } });
    let ada = call(&relay, of("ada", "acme")).await.expect("let in");
    let bob = call(&relay, of("bob", "acme")).await.expect("let in");
    let (told, code) = call(&relay, of("cyd", "acme")).await.expect_err("the third");
    assert_eq!((code, told.retry_after_ms), (4429, Some(5_000)));
    assert_told(&told, ErrorCode::AccountSessionLimit, 2);

    hang_up(call(&relay, of("cyd", "initech")).await.expect("another account").0).await;
    hang_up(ada.0).await;
    hang_up(call(&relay, of("cyd", "acme")).await.expect("there is room again").0).await;
    hang_up(bob.0).await;
}

#[tokio::test]
async fn sessions_of_a_user_in_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[limits]\nsessions_per_minute = 30\n").await;
    let ada = || json!({ "sub": "ada" });
    let (alive, welcome) = call(&relay, ada()).await.expect("let in");
    let (told, code) = until_refused(&relay, |_| ada()).await;
    assert_eq!(code, 4429);
    assert_told(&told, ErrorCode::SessionRate, 30);
    assert!(told.retry_after_ms.is_some_and(|wait| (1..=2_000).contains(&wait)), "{told:?}");

    // A session that lives is not a new one.
    drop(alive);
    let raw = resume(&relay, ada(), &welcome).await;
    hang_up(call(&relay, json!({ "sub": "bob" })).await.expect("somebody else").0).await;
    wait(&told).await;
    hang_up(call(&relay, ada()).await.expect("there is room again").0).await;
    hang_up(raw).await;
}

#[tokio::test]
async fn resumes_of_a_user_in_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "").await;
    let ada = || json!({ "sub": "ada" });
    let (mut raw, mut welcome) = call(&relay, ada()).await.expect("let in");
    let mut refused = None;
    for _ in 0..MANY {
        let hello = Hello { resume: Some(resume_of(&welcome)), ..hello_of(&ada()) };
        let mut next = Raw::connect(&relay, None).await.expect("connects");
        next.say(&ClientMessage::from(hello).to_json()).await;
        match next.next().await {
            Heard::Said(RelayMessage::Resumed(resumed)) => welcome.resume_token = resumed.resume_token,
            Heard::Said(RelayMessage::ErrorMessage(error)) => {
                refused = Some((error, next.end().await.1));
                break;
            }
            heard => panic!("{heard:?}"),
        }
        raw = next;
    }
    let (told, code) = refused.expect("no network is that bad");
    assert_eq!(code, 4429);
    assert_told(&told, ErrorCode::ResumeRate, 120);

    hang_up(call(&relay, json!({ "sub": "bob" })).await.expect("somebody else").0).await;
    drop(raw);
    wait(&told).await;
    hang_up(resume(&relay, ada(), &welcome).await).await;
}

#[tokio::test]
async fn a_plan_and_a_token_have_limits_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let plans = "[plans.trial]\nsessions_per_minute = 2\n[plans.team]\nsessions_per_minute = 5\n";
    let relay = start(folder.path(), plans).await;
    let of = |sub: &str, plan: &str| json!({ "sub": sub, "app_metadata": { "plan": plan } });
    let (told, _) = until_refused(&relay, |_| of("ada", "trial")).await;
    assert_told(&told, ErrorCode::SessionRate, 2);
    let (told, _) = until_refused(&relay, |_| of("bob", "team")).await;
    assert_told(&told, ErrorCode::SessionRate, 5);
    let tight = || {
        let limits = json!({ "sessions_per_minute": 1, "sessions_per_user": 7 });
        json!({ "sub": "cyd", "app_metadata": { "plan": "team", "limits": limits } })
    };
    let (told, _) = until_refused(&relay, |_| tight()).await;
    assert_told(&told, ErrorCode::SessionRate, 1);
    hang_up(call(&relay, of("dan", "trial")).await.expect("somebody else").0).await;
}

#[tokio::test]
async fn sessions_of_an_address_in_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[network]\nsessions_per_minute_per_address = 30\n").await;
    let user = |nth: usize| json!({ "sub": format!("user {nth}") });
    let (alive, welcome) = call(&relay, user(MANY)).await.expect("let in");
    let (told, code) = until_refused(&relay, user).await;
    assert_eq!(code, 4429);
    assert_told(&told, ErrorCode::AddressRate, 30);
    assert!(told.retry_after_ms.is_some_and(|wait| (1..=2_000).contains(&wait)), "{told:?}");

    // Everybody behind the address goes on with what they have.
    drop(alive);
    hang_up(resume(&relay, user(MANY), &welcome).await).await;
    wait(&told).await;
    hang_up(call(&relay, user(MANY)).await.expect("there is room again").0).await;
}

/// The answer to a request for a call, if it is not let in.
async fn turned_away(
    relay: &Relay,
    headers: &[(&'static str, &str)],
) -> Option<(Vec<(String, String)>, Value)> {
    match Raw::connect_with(relay, headers).await {
        Ok(_) => None,
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 429);
            let header = |name: &str| {
                let value = response.headers().get(name).expect("it has this header");
                (name.to_owned(), value.to_str().expect("text").to_owned())
            };
            let headers = ["content-type", "retry-after"].map(header).to_vec();
            let body = response.body().as_deref().expect("it has a body");
            Some((headers, serde_json::from_slice(body).expect("JSON")))
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn connections_of_an_address_in_a_minute_whatever_becomes_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[network]\nconnections_per_minute_per_address = 3\n").await;
    for _ in 0..3 {
        drop(Raw::connect(&relay, None).await.expect("connects"));
    }
    let asked = Instant::now();
    let (headers, body) = turned_away(&relay, &[]).await.expect("the fourth");
    assert_eq!((&body["code"], &body["limit"]), (&json!("address_rate"), &json!(3)));
    assert!(asked.elapsed() > Duration::from_millis(900), "who tries again at once is slowed down");
    assert!(headers.iter().any(|(name, wait)| name == "retry-after" && wait != "0"), "{headers:?}");
}

#[tokio::test]
async fn connections_of_an_address_that_wait_to_be_greeted() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = start(folder.path(), "[network]\npre_login_connections_per_address = 3\n").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(Raw::connect(&relay, None).await.expect("connects"));
    }
    // Without a trusted proxy nobody is believed about where they come from.
    for spoof in ["203.0.113.1", "203.0.113.2, 127.0.0.1", "::1", "nonsense"] {
        let spoofed = [("x-forwarded-for", spoof), ("x-request-id", "the-fourth")];
        let (headers, body) = turned_away(&relay, &spoofed).await.expect("the fourth");
        let expected = json!({
            "type": "about:blank",
            "title": "Too Many Requests",
            "status": 429,
            "detail": ErrorCode::AddressConnections.info().message,
            "code": "address_connections",
            "limit": 3,
            "asked": 4,
            "retry_after_ms": 5_000,
            "retryable": true,
            "request_id": "the-fourth",
        });
        assert_eq!(body, expected);
        let type_and_wait = [("content-type", "application/problem+json"), ("retry-after", "5")];
        assert_eq!(headers, type_and_wait.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    // One is greeted, one is refused, one goes: each makes room for one.
    let (greeted, _) = call_over(waiting.pop().expect("three"), hello_of(&json!({}))).await.expect("let in");
    waiting.push(Raw::connect(&relay, None).await.expect("the greeted one does not wait any more"));
    assert!(turned_away(&relay, &[]).await.is_some());
    let refused = call_over(waiting.pop().expect("three"), hello("nonsense", None)).await;
    assert_eq!(refused.expect_err("no token").1, 4401);
    waiting.push(soon(&relay).await);
    assert!(turned_away(&relay, &[]).await.is_some());
    drop(waiting.pop());
    waiting.push(soon(&relay).await);
    assert!(turned_away(&relay, &[]).await.is_some());
    // Those that say nothing are shown the door.
    for mut silent in waiting {
        assert_eq!(silent.end().await, (vec!["unauthorized".to_owned()], 4401));
    }
    hang_up(greeted).await;
    hang_up(call_over(soon(&relay).await, hello_of(&json!({}))).await.expect("let in").0).await;
}

/// Connects as soon as the relay has seen that another connection has gone.
async fn soon(relay: &Relay) -> Raw {
    for _ in 0..500 {
        match Raw::connect(relay, None).await {
            Ok(raw) => return raw,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("there was never room");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_counts_for_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = "[network]\npre_login_connections_per_address = 1\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";
    let relay = start(folder.path(), network).await;
    let from = async |list: &'static str| Raw::connect_with(&relay, &[("x-forwarded-for", list)]).await;
    let _one = from("198.51.100.1").await.expect("connects");
    let _two = from("198.51.100.2").await.expect("somebody else");
    let _far = from("198.51.100.3, 10.1.2.3").await.expect("through two proxies");
    let _six = from("2001:db8:1:2::1").await.expect("somebody else");
    for same in [
        "198.51.100.1",
        // What a client wrote itself stands before what the proxy saw.
        "203.0.113.9, 198.51.100.1",
        "nonsense, 198.51.100.1",
        "198.51.100.1:4711",
        "::ffff:198.51.100.1",
        "198.51.100.3",
        "2001:db8:1:2:ffff::7",
    ] {
        assert!(turned_away(&relay, &[("x-forwarded-for", same)]).await.is_some(), "{same}");
    }
    // Without sense, or without a list, it is the proxy itself.
    let _proxy = from("nonsense").await.expect("connects");
    assert!(turned_away(&relay, &[]).await.is_some());
    let raw = from("198.51.100.77").await.expect("connects");
    hang_up(call_over(raw, hello_of(&json!({}))).await.expect("let in").0).await;
}
