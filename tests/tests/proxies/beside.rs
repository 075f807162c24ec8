//! See the crate's page.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::future::join_all;
use protocol::{Bye, ClientMessage, CloseCode, RelayMessage, Resume, Welcome};
use relay::client::{Options, Trust, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::caller::Caller;
use tests::over_http::{BINARY, OverHttp, body, post};
use tests::postgres::{Server, shared};
use tests::proxy::{Kind, Proxy, certificate};
use tests::sound::{silence, voice};
use tests::{Heard, Raw, Relay, alone, chunk, hello, token_but};
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Error;

/// Code and close code of what a `hello` of this user is refused with, if it is.
async fn greet(raw: &mut Raw, sub: &str) -> Option<(String, u16)> {
    let token = token_but(&json!({ "sub": sub }));
    raw.say(&ClientMessage::from(hello(&token, None)).to_json()).await;
    let mut code = String::new();
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(_)) => return None,
            Heard::Said(RelayMessage::ErrorMessage(error)) => code = error.code,
            Heard::Closed(close) => return Some((code, close)),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_behind_a_proxy_has_an_address_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = "[network]\ntrusted_proxies = [\"127.0.0.1\"]\nsessions_per_minute_per_address = 1\n";
    let relay = Relay::start(folder.path(), "127.0.0.1:0", limits).await;
    join_all((1..).zip(Kind::ALL).map(async |(nth, kind)| {
        let proxy = Proxy::start(kind, [relay.address; 2]).await;
        let [one, other] = [1, 2].map(|caller| IpAddr::V4(Ipv4Addr::new(127, 1, nth, caller)));
        let connect = async |from| Raw::connect_from(from, proxy.address, &[]).await.expect("connects");
        let sub = format!("{kind:?}");
        let mut first = connect(one).await;
        assert_eq!(greet(&mut first, &sub).await, None, "{kind:?}");
        let refused = greet(&mut connect(one).await, &sub).await;
        assert_eq!(refused, Some(("address_rate".to_owned(), 4429)), "{kind:?}");
        assert_eq!(greet(&mut connect(other).await, &sub).await, None, "{kind:?}: somebody else");
        // What a caller says of themselves stands before what the proxy saw.
        let lie = [("x-forwarded-for", "198.51.100.7")];
        let mut liar = Raw::connect_from(one, proxy.address, &lie).await.expect("connects");
        assert!(greet(&mut liar, &sub).await.is_some(), "{kind:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_a_refusal_come_through_a_proxy_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = alone(folder.path(), "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let origins = [("VOXRELAY_ORIGINS", "https://app.example.com")];
    let relay = Relay::start_in(folder.path(), "127.0.0.1:0", &config, &origins).await;
    join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start(kind, [relay.address; 2]).await;
        let mut caller = Caller::call(&proxy.url(), &format!("{kind:?}"));
        caller.connected().await;
        caller.speak().await;
        sleep(Duration::from_secs(3)).await;
        caller.hang_up().await;
        let told = caller.end().await;
        assert_eq!(told.ended, Some(CloseCode::Normal), "{kind:?}: {told:?}");
        assert_eq!((told.closes.as_slice(), told.missing), (&[1000][..], 0), "{kind:?}: {told:?}");
        assert_eq!(told.usage.audio_ms, told.spoken / 16, "{kind:?}");

        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let from = async |origin| Raw::connect_from(local, proxy.address, &[("origin", origin)]).await;
        assert!(from("https://app.example.com").await.is_ok(), "{kind:?}");
        let Err(Error::Http(refused)) = from("https://elsewhere.example.com").await else {
            panic!("{kind:?}: it was let in")
        };
        assert_eq!(refused.status(), 403, "{kind:?}");
        let why: Value = serde_json::from_slice(refused.body().as_deref().unwrap_or_default()).expect("JSON");
        assert_eq!(why["code"], json!("origin_refused"), "{kind:?}: {why}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_behind_a_proxy_is_turned_away_when_one_relay_of_two_is_killed() {
    let database = shared().database().await;
    let folders = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
    let relays = folders.iter().map(|folder| Relay::start_on(&database, folder.path(), ""));
    let mut relays = join_all(relays).await;
    let stays = relays.pop().expect("four");
    let before = relays.into_iter().zip(Kind::ALL).map(async |(relay, kind)| {
        let proxy = Proxy::start(kind, [relay.address, stays.address]).await;
        let mut callers: Vec<Caller> =
            (0..4).map(|nth| Caller::call(&proxy.url(), &format!("{kind:?} {nth}"))).collect();
        join_all(callers.iter_mut().map(Caller::connected)).await;
        relay.kill().await;
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for nth in 0..40 {
            assert_eq!(proxy.status("/livez").await, Some(200), "{kind:?}");
            let raw = Raw::connect_from(local, proxy.address, &[]).await;
            let mut raw = raw.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert_eq!(greet(&mut raw, &format!("{kind:?}, caller {nth}")).await, None, "{kind:?}");
            sleep(Duration::from_millis(25)).await;
        }
        join_all(callers.iter_mut().map(Caller::connected)).await;
        join_all(callers.iter().map(Caller::hang_up)).await;
        for told in join_all(callers.into_iter().map(Caller::end)).await {
            assert_eq!(told.ended, Some(CloseCode::Normal), "{kind:?}: {told:?}");
            assert_eq!(told.sessions.len(), 1, "{kind:?}: its session goes on: {told:?}");
        }
    });
    join_all(before).await;
}

/// How long a proxy that waits for the database before it lets anybody through takes to find that it does not answer.
const FOUND_OUT: Duration = Duration::from_secs(3);

/// A call of this user through a proxy, or the same call once more.
async fn call(proxy: &Proxy, sub: &str, resume: Option<Resume>) -> (Raw, Option<Welcome>) {
    let raw = Raw::connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.address, &[]).await;
    let mut raw = raw.expect("the proxy lets it through");
    let token = token_but(&json!({ "sub": sub }));
    raw.say(&ClientMessage::from(hello(&token, resume)).to_json()).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Welcome(welcome)) => return (raw, Some(welcome)),
            Heard::Said(RelayMessage::Resumed(_)) => return (raw, None),
            Heard::Said(_) => {}
            heard => panic!("{sub}: {heard:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_comes_back_through_a_proxy_while_the_database_does_not_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start();
    let database = server.database().await;
    let extra = "[store]\ngrace_seconds = 60\n[network]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let relay = Relay::start_on(&database, folder.path(), extra).await;
    let calls = join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start(kind, [relay.address; 2]).await;
        let sub = format!("{kind:?}");
        let (raw, welcome) = call(&proxy, &sub, None).await;
        (proxy, sub, raw, welcome.expect("a new call"))
    }))
    .await;
    server.freeze();
    sleep(FOUND_OUT).await;
    join_all(calls.into_iter().map(async |(proxy, sub, raw, welcome)| {
        for _ in 0..8 {
            assert_eq!(proxy.status("/livez").await, Some(200), "{sub}");
            sleep(Duration::from_millis(250)).await;
        }
        drop(raw);
        let Welcome { session_id, resume_token, epoch, .. } = welcome;
        let resume = Resume { session_id, resume_token, epoch, received: 0, played: None };
        let (_raw, anew) = call(&proxy, &sub, Some(resume)).await;
        assert!(anew.is_none(), "{sub}: its session goes on");
    }))
    .await;
    server.thaw();
    relay.has_database("ok").await;
    relay.terminate().await;
}

/// Two relays of one database, and their folders.
async fn two_relays() -> ([TempDir; 2], [Relay; 2]) {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let first = Relay::start_on(&database, folders[0].path(), "").await;
    let second = Relay::start_on(&database, folders[1].path(), "").await;
    (folders, [first, second])
}

/// How many wires are opened through each proxy at least.
const WIRES: usize = 8;
/// How many of them are opened at most until each relay has one.
const MOST_WIRES: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_call_over_http_comes_through_a_proxy_to_the_relay_that_has_the_call() {
    let (_folders, [first, second]) = two_relays().await;
    let relays = [first.address, second.address];
    join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start(kind, relays).await;
        let (mut wires, mut at_each) = (Vec::new(), [0_usize; 2]);
        while wires.len() < WIRES || at_each.contains(&0) {
            assert!(wires.len() < MOST_WIRES, "{kind:?}: one of the relays has no wire: {at_each:?}");
            let sub = format!("{kind:?}, wire {}", wires.len());
            let (wire, _) = OverHttp::welcomed_at(proxy.address, &sub).await;
            // A request that was taken is answered so once more by the relay that has the wire, and by no other.
            let again = body(wire.number - 1, &[]);
            for (count, relay) in at_each.iter_mut().zip(relays) {
                *count += usize::from(post(relay, &wire.id, &again).await.status == 204);
            }
            wires.push(wire);
        }
        assert_eq!(at_each.iter().sum::<usize>(), wires.len(), "{kind:?}: {at_each:?}");
        for seq in 0..5 {
            for wire in &mut wires {
                assert_eq!(wire.bring(&[(BINARY, &chunk(seq))]).await.status, 204, "{kind:?}");
            }
        }
        for wire in &mut wires {
            assert_eq!(wire.say(&ClientMessage::from(Bye { end: 5 })).await, 204, "{kind:?}");
            assert_eq!(wire.end().await, (vec![], CloseCode::Normal.code()), "{kind:?}");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_heard_and_answered_through_a_proxy_that_speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let trusts = "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let relay = Relay::start(folder.path(), "127.0.0.1:0", trusts).await;
    join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start_with_tls(kind, [relay.address; 2]).await;
        let token = token_but(&json!({ "sub": format!("{kind:?}") }));
        let speech = [silence(0.5), voice(1.5)].concat();
        let trust = Trust::read(&certificate()).expect("a certificate");
        let options = Options { trust: Some(trust), ..Options::new(proxy.url(), token, speech) };
        let report = run(options, |_| {}).await;
        assert!(report.is_good() && report.reconnects == 0, "{kind:?}: {report:?}");
    }))
    .await;
}

/// More calls at a time than a browser opens connections of HTTP/1.1 to a host, which are six.
const CALLS: usize = 8;
/// How long they may take at most on a busy machine.
const CALLS_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_http_share_one_connection_of_http_2_to_a_proxy_that_speaks_tls() {
    let (_folders, [first, second]) = two_relays().await;
    let relays = [first.address, second.address];
    join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start_with_tls(kind, relays).await;
        let hellos = (0..CALLS).map(|nth| {
            let token = token_but(&json!({ "sub": format!("{kind:?}, call {nth} over HTTP/2") }));
            ClientMessage::from(hello(&token, None)).to_json()
        });
        let mut browser = Command::new("node");
        browser.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxies/http2.mjs"));
        browser.arg(proxy.address.port().to_string()).arg(certificate()).args(hellos);
        let calls = timeout(CALLS_TIMEOUT, browser.kill_on_drop(true).output()).await;
        let calls = calls.unwrap_or_else(|_| panic!("{kind:?}: not all of them were welcomed"));
        let calls = calls.expect("Node.js is installed");
        assert!(calls.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&calls.stderr));
        assert_eq!(String::from_utf8_lossy(&calls.stdout), format!("h2 {CALLS}\n"), "{kind:?}");
    }))
    .await;
}
