//! Plain HTTP requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::{Relay, token_but};

/// The answer to a plain `GET`, with its head.
pub async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

/// The value of a series, such as `voxrelay_draining`, where a relay shows its metrics.
///
/// # Panics
/// When there is no such series.
pub async fn metric(metrics: SocketAddr, series: &str) -> f64 {
    let text = get(metrics, "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {series} in {text}"))
}

/// Waits until this holds of the value of a series.
///
/// # Panics
/// When it does not within 30 s, or there is no such series.
pub async fn metric_until(metrics: SocketAddr, series: &str, holds: impl Fn(f64) -> bool) {
    let since = Instant::now();
    loop {
        let value = metric(metrics, series).await;
        if holds(value) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{series} is {value}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The body of the answer to a plain `GET` by whoever has this token, which has to be a good one.
pub async fn get_as(address: SocketAddr, token: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // An answer to HTTP/1.0 is not in chunks.
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(" 200 "), "{path}: {answer}");
    body.to_owned()
}

/// Sends one request as an administrator, says the status and the body of the answer.
pub async fn request(relay: &Relay, method: &str, path: &str, body: &str) -> (u16, String) {
    let token = token_but(&json!({ "sub": "root", "app_metadata": { "role": "voxrelay_admin" } }));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        relay.address,
        body.len()
    );
    let mut stream = TcpStream::connect(relay.address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}
