//! See the crate's page.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::CloseCode;
use tests::Relay;
use tests::caller::Caller;
use tests::proxy::{Kind, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A client that keeps its connection, as browsers do.
struct Kept {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Kept {
    /// The status of an answer. A connection that the other side had closed while nothing was asked is replaced, as browsers replace it.
    async fn status(&mut self) -> String {
        loop {
            let (mut stream, is_kept) = match self.stream.take() {
                Some(stream) => (stream, true),
                None => (TcpStream::connect(self.address).await.expect("connects"), false),
            };
            let request = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
            let mut answer = Vec::new();
            let asked = stream.write_all(request.as_bytes()).await.is_ok();
            while asked && !is_whole(&answer) {
                let mut piece = [0; 2_048];
                match stream.read(&mut piece).await {
                    Ok(length) if length > 0 => answer.extend_from_slice(&piece[..length]),
                    _ => break,
                }
            }
            if is_whole(&answer) {
                self.stream = Some(stream);
                let text = String::from_utf8_lossy(&answer);
                return text.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            assert!(is_kept && answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        }
    }
}

/// Whether head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_none_or(|length| body.len() >= length)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it waits for two minutes: cargo xtask test --all"]
async fn ten_thousand_requests_over_connections_that_idle_get_no_502() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(
        folder.path(),
        "127.0.0.1:0",
        "[network]\ntrusted_proxies = [\"127.0.0.1\"]\nhttp_connections_per_address = 1000\n",
    )
    .await;
    join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start(kind, [relay.address; 2]).await;
        let clients = (0..100_u64).map(async |nth| {
            let mut kept = Kept { address: proxy.address, stream: None };
            for round in 0..3 {
                for _ in 0..34 {
                    assert_eq!(kept.status().await, "200", "{kind:?}");
                }
                // Around the times at which proxy and relay close what idles.
                let pause = if round < 2 { 57_000 + nth * 200 } else { 0 };
                sleep(Duration::from_millis(pause)).await;
            }
        });
        join_all(clients).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it waits for two minutes: cargo xtask test --all"]
async fn a_silent_call_outlives_the_times_after_which_a_proxy_closes_what_idles() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay =
        Relay::start(folder.path(), "127.0.0.1:0", "[network]\ntrusted_proxies = [\"127.0.0.1\"]\n").await;
    join_all(Kind::ALL.map(async |kind| {
        let proxy = Proxy::start(kind, [relay.address; 2]).await;
        let mut caller = Caller::call(&proxy.url(), &format!("{kind:?}"));
        caller.connected().await;
        sleep(Duration::from_secs(100)).await;
        caller.speak().await;
        sleep(Duration::from_secs(2)).await;
        caller.hang_up().await;
        let told = caller.end().await;
        assert_eq!(
            (told.ended, told.closes.as_slice()),
            (Some(CloseCode::Normal), &[1000][..]),
            "{kind:?}: {told:?}"
        );
        assert!(told.spoken > 0 && told.usage.audio_ms == told.spoken / 16, "{kind:?}: {told:?}");
    }))
    .await;
}
