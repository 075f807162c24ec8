//! Listening in at one of two real relays on one server: the other one has the call, and is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use protocol::{Codec, RelayMessage};
use serde_json::{Value, json};
use tests::ports::free_address;
use tests::postgres::shared;
use tests::{Heard, Raw, Relay, frame, sharing, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay that says where others reach it, and so has to know that before it listens.
async fn start(database: &relay::config::Secret, folder: &Path) -> Relay {
    let address = free_address().to_string();
    let extra = format!("[network]\nadvertise = \"http://{address}\"\n");
    Relay::start_with(folder, &address, &sharing(database, folder, &extra)).await
}

/// Somebody who listens: the connection, and what has come over it.
struct Ear {
    stream: TcpStream,
    come: Vec<u8>,
}

impl Ear {
    /// Asks, and waits for the head of the answer.
    async fn open(relay: &Relay, session: &str) -> Ear {
        let role = json!({ "sub": "root", "app_metadata": { "role": "voxrelay_reader" } });
        let request = format!(
            "GET /v1/admin/sessions/{session}/listen HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            relay.address,
            token_but(&role)
        );
        let mut stream = TcpStream::connect(relay.address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut ear = Ear { stream, come: Vec::new() };
        assert!(ear.until(|come| has(come, b"\r\n\r\n")).await, "an answer");
        ear
    }

    /// Reads until this has come. Says whether it has, or whether that was the end.
    async fn until(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> bool {
        let reading = async {
            let mut bytes = [0; 16_384];
            while !is_enough(&self.come) {
                match self.stream.read(&mut bytes).await {
                    Ok(read) if read > 0 => self.come.extend_from_slice(&bytes[..read]),
                    Ok(_) | Err(_) => return false,
                }
            }
            true
        };
        timeout(PATIENCE, reading).await.expect("in time")
    }

    fn is_let_in(&self) -> bool {
        self.come.starts_with(b"HTTP/1.1 200")
    }

    /// Whether what the user says in [`speak`] is heard before the end.
    async fn hears(&mut self) -> bool {
        self.until(|come| has(come, &[7, 7, 0, 0].repeat(8))).await
    }
}

fn has(come: &[u8], what: &[u8]) -> bool {
    come.windows(what.len()).any(|window| window == what)
}

/// The user says four seconds at once.
async fn speak(raw: &mut Raw, from: u32) {
    for seq in from..from + 40 {
        let mut frame = frame(Codec::PcmS16le16000, seq, seq * 1_600, 3_200);
        let head = frame.len() - 3_200;
        frame[head..].fill(7);
        raw.send(Message::binary(frame)).await;
    }
}

/// Waits until the page is told whether somebody listens.
async fn told(raw: &mut Raw) -> bool {
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::Listened(listened)) => return listened.listening,
            Heard::Closed(code) => panic!("{code}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_at_another_relay_is_heard_until_that_is_killed_and_again_where_it_goes_on() {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let here = start(&database, folders[0].path()).await;
    let there = start(&database, folders[1].path()).await;
    let (mut raw, welcome) = Raw::welcomed(&there, "ada").await;
    let session = &welcome.session_id;
    // The address stands in the lease as soon as there is one.
    let end = Instant::now() + PATIENCE;
    let mut ear = loop {
        let ear = Ear::open(&here, session).await;
        if ear.is_let_in() {
            break ear;
        }
        assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&ear.come));
        sleep(Duration::from_millis(200)).await;
    };
    assert!(told(&mut raw).await);
    speak(&mut raw, 0).await;
    assert!(ear.hears().await);

    there.kill().await;
    assert!(ear.until(|come| has(come, b"\r\n0\r\n\r\n")).await, "that is the end");
    let (mut raw, resumed) = Raw::resumed(&here, "ada", &welcome).await;
    let mut ear = Ear::open(&here, session).await;
    assert!(ear.is_let_in(), "{}", String::from_utf8_lossy(&ear.come));
    assert!(told(&mut raw).await);
    speak(&mut raw, resumed.received.seq).await;
    assert!(ear.hears().await);

    // Who listened stands in the audit, at whichever relay they asked.
    let mut stream = TcpStream::connect(here.address).await.expect("connects");
    let token = token_but(&json!({ "sub": "boss", "app_metadata": { "role": "voxrelay_admin" } }));
    let request = format!(
        "GET /v1/admin/audit?what=listen HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
        here.address
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a head").1;
    let audit: Value = serde_json::from_str(body).expect("JSON");
    let deeds = audit["audit"].as_array().expect("a list");
    assert_eq!(deeds.len(), 2, "{audit}");
    assert!(deeds.iter().all(|deed| deed["by"] == "root" && deed["subject"] == json!(session)), "{audit}");
    here.terminate().await;
}
