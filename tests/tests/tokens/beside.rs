//! See the crate's page.

use std::path::Path;
use std::time::{Duration, Instant};

use protocol::{ClientMessage, RelayMessage};
use serde_json::{Value, json};
use tests::caller::Caller;
use tests::{Heard, Raw, Relay, chunk, hello, now, signed, token_but};
use tokio_tungstenite::tungstenite::Message;

/// What the token of a call's beginning is good for, in seconds.
const SHORT: u64 = 3;
/// How long a call goes on after that, in seconds.
const GRACE: u64 = 2;

async fn relay(folder: &Path) -> Relay {
    Relay::start(folder, "127.0.0.1:0", &format!("token_grace_seconds = {GRACE}\n")).await
}

/// A token of Ada's for so many seconds, but for these claims.
fn token_for(seconds: u64, changes: &Value) -> String {
    let mut all = json!({ "exp": now() + seconds, "app_metadata": { "account": "acme" } });
    for (name, value) in changes.as_object().expect("an object") {
        all[name] = value.clone();
    }
    token_but(&all)
}

/// A call that began with a token of Ada's that expires soon; told so, with the time when it began.
async fn expiring(relay: &Relay) -> (Raw, Instant) {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    let began = Instant::now();
    raw.say(&ClientMessage::from(hello(&token_for(SHORT, &json!({})), None)).to_json()).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::TokenExpiring(expiring)) => {
                let longest = 1_000 * (SHORT + GRACE);
                assert!((1_000 * GRACE..=longest).contains(&expiring.in_ms), "{expiring:?}");
                return (raw, began);
            }
            Heard::Said(_) | Heard::Other => {}
            heard => panic!("not told, but {heard:?}"),
        }
    }
}

async fn offer(raw: &mut Raw, token: String) {
    raw.say(&ClientMessage::from(protocol::Token { token }).to_json()).await;
}

/// The code that the relay closes with, and when, measured from the beginning.
async fn closed(raw: &mut Raw, began: Instant) -> (u16, Duration) {
    let (_, code) = raw.end().await;
    (code, began.elapsed())
}

/// `exp` has whole seconds, so the token's last one may be over at once. A busy machine may be late.
fn is_when_the_grace_is_over(at: Duration) -> bool {
    let whole = Duration::from_secs(SHORT + GRACE);
    (whole - Duration::from_millis(1_100)..whole + Duration::from_secs(20)).contains(&at)
}

#[tokio::test]
async fn with_a_fresh_token_the_call_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path()).await;
    let (mut raw, began) = expiring(&relay).await;
    offer(&mut raw, token_for(3_600, &json!({}))).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::TokenAccepted(accepted)) => {
                assert!((3_590_000..=3_600_000).contains(&accepted.expires_in_ms), "{accepted:?}");
                break;
            }
            Heard::Said(_) | Heard::Other => {}
            heard => panic!("not accepted, but {heard:?}"),
        }
    }
    tokio::time::sleep(Duration::from_secs(SHORT + GRACE + 1).saturating_sub(began.elapsed())).await;
    raw.send(Message::binary(chunk(0))).await;
    raw.say(&ClientMessage::from(protocol::Bye { end: 1 }).to_json()).await;
    assert_eq!(raw.end().await, (Vec::new(), 1000));
}

#[tokio::test]
async fn without_one_it_ends_when_the_grace_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path()).await;
    let (mut raw, began) = expiring(&relay).await;
    let (code, at) = closed(&mut raw, began).await;
    assert_eq!(code, 4401);
    assert!(is_when_the_grace_is_over(at), "{at:?}");
}

#[tokio::test]
async fn a_bad_fresh_token_neither_helps_nor_ends_the_call_before_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path()).await;
    let (mut raw, began) = expiring(&relay).await;
    let stolen = token_for(3_600, &json!({}));
    for bad in [
        "no token".to_owned(),
        token_for(0, &json!({ "exp": now() - 60 })),
        signed(jsonwebtoken::Algorithm::HS256, b"another secret, long enough to be one", &tests::claims()),
        token_for(3_600, &json!({ "aud": "somebody-else" })),
        token_for(3_600, &json!({ "app_metadata": { "account": 7 } })),
        stolen[..stolen.len() - 2].to_owned(),
    ] {
        offer(&mut raw, bad).await;
    }
    let (code, at) = closed(&mut raw, began).await;
    assert_eq!(code, 4401);
    assert!(is_when_the_grace_is_over(at), "{at:?}");

    // And a good one after a bad one is good.
    let (mut raw, _) = expiring(&relay).await;
    offer(&mut raw, "no token".to_owned()).await;
    offer(&mut raw, token_for(3_600, &json!({}))).await;
    while !matches!(raw.next().await, Heard::Said(RelayMessage::TokenAccepted(_))) {}
}

#[tokio::test]
async fn a_fresh_token_of_somebody_else_or_of_another_account_ends_the_call_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = relay(folder.path()).await;
    for changes in [
        json!({ "sub": "mallory" }),
        json!({ "app_metadata": { "account": "other" } }),
        json!({ "app_metadata": {} }),
        json!({ "sub": "mallory", "app_metadata": { "account": "other" } }),
    ] {
        let (mut raw, began) = expiring(&relay).await;
        offer(&mut raw, token_for(3_600, &changes)).await;
        let (code, at) = closed(&mut raw, began).await;
        assert_eq!(code, 4401, "{changes}");
        assert!(at < Duration::from_secs(SHORT + GRACE) - Duration::from_millis(1_100), "{changes}: {at:?}");
    }
}

/// The application's own server is away for the first refresh, and its cache has an old token for the second.
#[tokio::test]
async fn a_refresh_that_fails_and_one_that_brings_a_bad_token_are_asked_for_again_and_the_call_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let grace = 16;
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &format!("token_grace_seconds = {grace}\n")).await;
    let began = Instant::now();
    let mut caller = Caller::with_tokens(&relay.url(), "ada", |asked| match asked {
        0 => Ok(token_for(SHORT, &json!({}))),
        1 => Err("the server said 500".into()),
        2 => Ok(token_for(0, &json!({ "exp": now() - 60 }))),
        _ => Ok(token_for(3_600, &json!({}))),
    });
    caller.connected().await;
    caller.speak().await;
    // Longer than the first token and its grace last.
    tokio::time::sleep(Duration::from_secs(SHORT + grace + 2).saturating_sub(began.elapsed())).await;
    caller.hang_up().await;
    let told = caller.end().await;
    assert_eq!((told.ended, told.asked_for_tokens), (Some(protocol::CloseCode::Normal), 4), "{told:?}");
    assert_eq!(told.errors, ["token_unavailable", "token_refused"]);
    assert_eq!((told.sessions.len(), told.missing), (1, 0), "the same session: {told:?}");
}
