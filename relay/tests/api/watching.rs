//! Who looks at live calls, and until when.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode};
use relay::admission::api_keys;
use relay::money::price::PriceTable;
use relay::records::store::{Denial, DenialKind, NewApiKey, unix_ms};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::overview::read_until;
use super::support::{self, PATIENCE, Relay, status};
use super::{SECRET, admin};

const WATCH: &str = "/v1/admin/live/watch";
/// The last chunk of a body.
const END: &str = "\r\n0\r\n\r\n";

/// Asks for this, and says what has come with the head of the answer.
async fn ask(address: SocketAddr, path: &str, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut come = String::new();
    read_until(&mut stream, &mut come, "\r\n\r\n").await;
    (stream, come)
}

#[tokio::test]
async fn an_administrator_who_is_denied_sees_no_more() {
    let relay = Relay::start().await;
    let (mut stream, mut come) = ask(relay.address, WATCH, &admin()).await;
    read_until(&mut stream, &mut come, "\"sessions\":[]").await;
    let denial = Denial {
        kind: DenialKind::Login,
        subject: "login-of-root".into(),
        reason: String::new(),
        created_by: "boss".into(),
        by_key: false,
        created_at_ms: unix_ms(),
        expires_at_ms: None,
    };
    relay.app.records.store.deny(&denial).await.expect("written");
    read_until(&mut stream, &mut come, END).await;
}

#[tokio::test]
async fn a_server_whose_key_is_revoked_sees_no_more() {
    let relay = Relay::start().await;
    let new = NewApiKey {
        id: "k-1".into(),
        name: "wall".into(),
        hash: String::new(),
        is_admin: true,
        is_reader: false,
        expires_at_ms: None,
        by: "root".into(),
    };
    let key = api_keys::make();
    let hash = api_keys::hashed(key.expose()).expect("a key");
    relay.app.records.store.make_api_key(&NewApiKey { hash, ..new }).await.expect("written");
    let (mut stream, mut come) = ask(relay.address, WATCH, key.expose()).await;
    read_until(&mut stream, &mut come, "\"sessions\":[]").await;
    assert!(relay.app.records.store.revoke_api_key("k-1", "root").await.expect("written"));
    read_until(&mut stream, &mut come, END).await;
}

#[tokio::test]
async fn nobody_looks_for_longer_than_their_token_is_good() {
    let relay = Relay::start().await;
    let claims = json!({
        "iss": "voxrelay", "aud": "voxrelay", "sub": "root", "exp": unix_ms() / 1_000 + 3,
        "app_metadata": { "account": "operator", "role": "voxrelay_admin" },
    });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("signed");
    let (mut stream, mut come) = ask(relay.address, WATCH, &token).await;
    assert_eq!(status(&come), 200, "{come}");
    read_until(&mut stream, &mut come, END).await;
}

#[tokio::test]
async fn the_places_of_those_who_look_are_the_same_when_the_configuration_was_read_again() {
    let (app, _data) = support::app(|_| {}).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (newest, apps) = watch::channel(Arc::clone(&app));
    let serving = tokio::spawn(relay::run_newest(listener, apps));
    let mut looking = Vec::new();
    for _ in 0..16 {
        let (stream, come) = ask(address, WATCH, &admin()).await;
        assert_eq!(status(&come), 200, "{come}");
        looking.push(stream);
    }
    let mut config = app.config.clone();
    config.dev = true;
    newest.send_replace(Arc::new(app.renewed(config, PriceTable::shipped(), app.upstreams.clone(), None)));
    let renewed = async {
        // Only a relay for development has this.
        while status(&ask(address, "/dev/token", &admin()).await.1) != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("it is read");
    let (_stream, come) = ask(address, WATCH, &admin()).await;
    assert_eq!(status(&come), 503, "{come}");
    drop(looking);
    app.live.shutdown.cancel();
    timeout(PATIENCE, serving).await.expect("it stops").expect("no panic");
}
