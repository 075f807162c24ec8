//! Whether calls are to be sent to a relay, and what is away meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Time;
use relay::provider::{Ask, Event, Failure, FailureKind, Pass, Provider, Upstream, Upstreams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::local_provider;
use super::support::{PATIENCE, Relay, app, header, status};

/// What a relay says of itself, once it says this of one of the things that it needs.
async fn once(relay: &Relay, what: &str, word: &str) -> (u16, Value) {
    let end = Instant::now() + PATIENCE;
    loop {
        let (head, body) = relay.get("/readyz", "").await;
        let told: Value = serde_json::from_str(&body).expect("JSON");
        if told[what] == word {
            return (status(&head), told);
        }
        assert!(Instant::now() < end, "no {what} that is {word} in {body}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_relay_whose_database_is_away_is_ready_and_says_so_in_its_body() {
    let relay = Relay::start().await;
    let (head, _) = relay.get("/readyz", "").await;
    assert_eq!(header(&head, "cache-control"), Some("no-store"));
    let well = json!({ "ready": true, "reasons": [], "database": "ok", "keys": "ok", "providers": "ok" });
    assert_eq!(once(&relay, "database", "ok").await, (200, well));
    relay.app.records.store.close().await;
    let away = json!({ "ready": true, "reasons": [], "database": "away", "keys": "ok", "providers": "ok" });
    assert_eq!(once(&relay, "database", "away").await, (200, away), "its calls come back here");
}

#[tokio::test]
async fn a_relay_that_does_not_ask_one_of_its_providers_is_ready_and_says_so_in_its_body() {
    let provider = Provider {
        name: "voice".to_owned(),
        price: Some("voice/small".to_owned()),
        ..local_provider::at("openai-speech", "http://127.0.0.1:9/")
    };
    let upstream = Arc::new(Upstream::new(provider).expect("a client"));
    let upstreams = Upstreams::from([("voice".to_owned(), Arc::clone(&upstream))]);
    let (app, data) = app(|_| {}).await;
    let app = Arc::into_inner(app).expect("nobody else has it").with_upstreams(upstreams);
    let relay = Relay::of(Arc::new(app), data).await;
    assert_eq!(once(&relay, "providers", "ok").await.0, 200);

    let ask = Ask::Speak("Hello.".to_owned());
    // It is not asked for five minutes, whatever comes.
    let refuse = |now, mut pass: Pass| {
        pass.note(now, &Event::Failed(Failure::new(FailureKind::Key, "no such key")));
    };
    refuse(Time::ZERO, upstream.admit(Time::ZERO, &ask).expect("it is asked"));
    let (status, told) = once(&relay, "providers", "away").await;
    assert_eq!((status, &told["ready"], &told["reasons"]), (200, &json!(true), &json!([])), "{told}");
    // After those nobody knows how it is until somebody tries.
    let later = Time::from_millis(300_000);
    upstream.look(later);
    assert_eq!(once(&relay, "providers", "ok").await.0, 200);
    let probe = upstream.admit(later, &ask).expect("its time is over");
    once(&relay, "providers", "away").await;
    refuse(later, probe);
    once(&relay, "providers", "away").await;
    let again = Time::from_millis(600_000);
    let mut probe = upstream.admit(again, &ask).expect("its time is over");
    probe.note(again, &Event::Text("Hel".to_owned()));
    assert_eq!(once(&relay, "providers", "ok").await.0, 200);
}

#[tokio::test]
async fn a_relay_that_has_no_keys_yet_is_not_ready_and_goes_on_to_ask_for_them() {
    let issuer = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = issuer.local_addr().expect("bound");
    drop(issuer);
    let relay = Relay::with(|config| {
        config.auth.hs256_secret = None;
        config.auth.jwks_url = Some(format!("http://{address}/keys").parse().expect("an address"));
    })
    .await;
    let (head, body) = relay.get("/readyz", "").await;
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status(&head), header(&head, "retry-after")), (503, Some("5")), "{body}");
    assert_eq!((&told["reasons"], &told["keys"]), (&json!(["no_keys"]), &json!("away")));

    let issuer = TcpListener::bind(address).await.expect("the same port");
    tokio::spawn(async move {
        // The example of RFC 7515, A.3.
        let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRU9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }] });
        let body = keys.to_string();
        let answer =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        while let Ok((mut stream, _)) = issuer.accept().await {
            let mut asked = [0; 2_048];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let end = Instant::now() + PATIENCE;
    while status(&relay.get("/readyz", "").await.0) != 200 {
        assert!(Instant::now() < end, "it asks again when somebody wants to know");
        sleep(Duration::from_millis(50)).await;
    }
}
