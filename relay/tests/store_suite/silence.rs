//! A server that stops answering in the middle of a statement, as behind a broken line: nothing comes, not even the end of the
//! connection.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay::config::Secret;
use relay::records::store::{Quality, SqlStore, Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::time::timeout;

use super::{LEASE, RELAY, WIDE, caps, open, quota, row, session, settle};
use crate::postgres;

/// Longer than any statement may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries connections to a server. One that sends a certain text is cut off for good from then on, and neither side hears of it.
struct Line {
    address: SocketAddr,
    cuts: Arc<Mutex<Option<&'static str>>>,
}

impl Line {
    async fn to(socket: PathBuf) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let cuts = Arc::new(Mutex::new(None::<&'static str>));
        let cut_by = Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.expect("the server runs");
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let cuts = Arc::clone(&cut_by);
                tokio::spawn(async move {
                    let mut bytes = vec![0; 65_536];
                    loop {
                        let read = from_client.read(&mut bytes).await.unwrap_or_default();
                        if read == 0 {
                            return;
                        }
                        let cut = *cuts.lock().expect("no panic");
                        if cut.is_some_and(|text| contains(&bytes[..read], text.as_bytes())) {
                            // Both ends stay open, and nothing moves any more.
                            return std::future::pending().await;
                        }
                        if to_server.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Line { address, cuts }
    }

    fn cut_at(&self, text: &'static str) {
        *self.cuts.lock().expect("no panic") = Some(text);
    }

    fn mend(&self) {
        *self.cuts.lock().expect("no panic") = None;
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// A database of the shared server, over a line of its own.
async fn bench() -> (Line, SqlStore) {
    let url = postgres::shared().database().await;
    let (before, folder) = url.expose().split_once("?host=").expect("a socket");
    let line = Line::to(Path::new(folder).join(".s.PGSQL.5432")).await;
    let database = before.rsplit('/').next().expect("a database");
    let url = format!("postgres://voxrelay@{}/{database}?sslmode=disable", line.address);
    let store = SqlStore::postgres(&Secret::new(url)).await.expect("opened");
    open(&store, &session("a"), &quota()).await;
    (line, store)
}

/// The statement ends as away, and the next one finds a connection that works.
async fn ends<T: std::fmt::Debug>(
    text: &'static str,
    act: impl AsyncFn(&SqlStore) -> Result<T, StoreError>,
) -> SqlStore {
    let (line, store) = bench().await;
    line.cut_at(text);
    let cut = timeout(PATIENCE, act(&store)).await.expect("no statement waits for ever");
    assert!(matches!(&cut, Err(error) if error.is_away()), "{text}: {cut:?}");
    line.mend();
    act(&store).await.expect("on another connection");
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_an_answer_ends_as_away_and_takes_its_connection_along() {
    let all = caps(WIDE, WIDE, WIDE);
    let paid = async |store: &SqlStore| store.settle(&settle("a", vec![row("1", 1, 8)], all)).await;
    let (_, _, read, begun, appended, committed) = tokio::join!(
        ends("SET lease_until", async |store| store.renew_lease(RELAY, LEASE).await),
        ends("SET detached_at", async |store| store.set_attached("a", 0, false).await),
        ends("FROM ledger WHERE session_id", async |store| store.ledger("a").await),
        ends("BEGIN", paid),
        ends("INSERT INTO ledger", paid),
        ends("COMMIT", paid),
    );
    assert_eq!(read.ledger("a").await.expect("read"), []);
    for store in [begun, appended, committed] {
        assert_eq!(store.ledger("a").await.expect("read").len(), 1, "written once");
        store.end_session("a", 0, "normal", Quality::default(), 1).await.expect("no lock is left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_died_in_silence_are_found_out_before_they_are_used() {
    let (line, store) = bench().await;
    let all = caps(WIDE, WIDE, WIDE);
    let rows = |n: u32| vec![row(&n.to_string(), 1, 1)];
    let many = async |from: u32| {
        let settles: Vec<_> = (from..from + 30).map(|n| settle("a", rows(n), all)).collect();
        futures_util::future::join_all(settles.iter().map(|settle| store.settle(settle))).await
    };
    assert!(many(0).await.iter().all(Result::is_ok));
    // Every message of a client has this in it: nothing passes.
    line.cut_at("\0");
    let cut = timeout(PATIENCE, many(100)).await.expect("nobody waits for ever");
    assert!(cut.iter().all(|done| matches!(done, Err(error) if error.is_away())), "{cut:?}");
    line.mend();
    assert!(many(200).await.iter().all(Result::is_ok), "the line is good again, and so is every connection");
}
