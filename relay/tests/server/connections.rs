//! Who has a connection, for how long, and who makes room for others.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::support::{PATIENCE, Relay, Wire, status, upgrade};

const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: relay\r\n\r\n";

#[tokio::test]
async fn half_a_request_is_not_waited_for_longer_than_ten_seconds() {
    let relay = Relay::start().await;
    let began = Instant::now();
    let half = async |bytes: &[u8]| {
        let mut wire = relay.connect().await;
        wire.send(bytes).await;
        // Maybe a 408 first; what counts is that the connection ends.
        let ended = async { while !wire.is_closed_within(PATIENCE).await {} };
        timeout(PATIENCE, ended).await.expect("dropped");
    };
    let start = upgrade(relay.address, |_| {});
    let mut idle = relay.connect().await;
    idle.send(LIVEZ).await;
    assert_eq!(status(&idle.response().await.0), 200);
    let again = async {
        let mut wire = relay.connect().await;
        wire.send(LIVEZ).await;
        assert_eq!(status(&wire.response().await.0), 200);
        wire.send(b"GET /livez HTTP/1.1\r\n").await;
        while !wire.is_closed_within(PATIENCE).await {}
    };
    // One that begins in the packet of another request is no different.
    let behind = [LIVEZ, LIVEZ, b"GET /livez HT"].concat();
    tokio::join!(half(b""), half(b"GET /livez HT"), half(start.trim_end().as_bytes()), half(&behind), again);
    assert!(began.elapsed().as_secs() >= 9, "{:?}", began.elapsed());
    idle.send(LIVEZ).await;
    assert_eq!(status(&idle.response().await.0), 200, "one that is idle is kept longer");
}

#[tokio::test]
async fn requests_that_come_in_one_packet_are_each_answered() {
    let relay = Relay::start().await;
    let mut wire = relay.connect().await;
    let post = b"POST /v1/admin/denials HTTP/1.1\r\nhost: relay\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    wire.send(&[LIVEZ, LIVEZ, post, LIVEZ, &LIVEZ[..9]].concat()).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(status(&wire.response().await.0));
    }
    wire.send(&LIVEZ[9..]).await;
    seen.push(status(&wire.response().await.0));
    assert_eq!(seen, [200, 200, 401, 200, 200]);
}

#[tokio::test]
async fn an_idle_connection_is_kept_as_long_as_it_is_configured_and_not_for_ever() {
    let relay = Relay::with(|config| config.network.keep_alive = Duration::from_secs(1)).await;
    let mut idle = relay.connect().await;
    for _ in 0..3 {
        idle.send(LIVEZ).await;
        assert_eq!(status(&idle.response().await.0), 200);
    }
    assert!(idle.is_closed_within(PATIENCE).await);
}

/// Asks for more than the system holds for a peer that takes nothing, many times the document of the API.
async fn ask_and_take_nothing(relay: &Relay, from: &str) -> Wire {
    let mut wire = relay.connect_from(from).await;
    wire.send(b"GET /v1/openapi.json HTTP/1.1\r\nhost: relay\r\n\r\n".repeat(400).as_slice()).await;
    wire
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_makes_room_when_there_is_none() {
    let relay = Relay::with(|config| {
        config.network.http_connections = 16;
        config.network.http_connections_per_address = 8;
    })
    .await;
    let mut readers = Vec::new();
    for n in 0..32 {
        readers.push(ask_and_take_nothing(&relay, if n % 2 == 0 { "127.0.0.2" } else { "127.0.0.3" }).await);
    }
    for _ in 0..20 {
        assert_eq!(status(&relay.get("/livez", "").await.0), 200);
        let (_call, head, _) = relay.call(|_| {}).await;
        assert_eq!(status(&head), 101);
    }
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_is_not_waited_for() {
    let relay = Relay::start().await;
    let mut wire = ask_and_take_nothing(&relay, "127.0.0.2").await;
    let (_, whole) = relay.get("/v1/openapi.json", "").await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let taken = wire.drain().await;
    assert!(taken < 400 * whole.len(), "{taken} bytes");
}

#[tokio::test]
async fn with_all_places_taken_the_longest_idle_connection_goes() {
    let relay = Relay::with(|config| config.network.http_connections = 4).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut wire = relay.connect().await;
        wire.send(LIVEZ).await;
        assert_eq!(status(&wire.response().await.0), 200);
        idle.push(wire);
    }
    assert_eq!(status(&relay.get("/livez", "").await.0), 200);
    assert!(idle[0].is_closed_within(PATIENCE).await);
    idle[3].send(LIVEZ).await;
    assert_eq!(status(&idle[3].response().await.0), 200);
}

#[tokio::test]
async fn an_address_that_opens_connections_and_says_nothing_leaves_room_for_others() {
    let relay = Relay::start().await;
    let mut silent = Vec::new();
    for _ in 0..relay.app.config.network.http_connections_per_address {
        silent.push(relay.connect_from("127.0.0.2").await);
    }
    let mut calls = Vec::new();
    assert!(relay.connect_from("127.0.0.2").await.is_closed_within(PATIENCE).await, "one too many");
    let mut other = relay.connect_from("127.0.0.3").await;
    other.send(b"GET /livez HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    assert_eq!(status(&other.response().await.0), 200, "another address");

    // A connection that becomes a call does not count here any more, and one that has gone neither.
    for mut wire in silent.drain(..2) {
        wire.send(upgrade(relay.address, |_| {}).as_bytes()).await;
        assert_eq!(status(&wire.response().await.0), 101);
        calls.push(wire);
    }
    silent.truncate(100);
    let served = async {
        loop {
            let mut wire = relay.connect_from("127.0.0.2").await;
            if !wire.is_closed_within(Duration::from_millis(50)).await {
                return wire;
            }
        }
    };
    let mut wire = timeout(PATIENCE, served).await.expect("there is room again");
    wire.send(b"GET /livez HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    assert_eq!(status(&wire.response().await.0), 200);
}
