//! Listening in to live calls: who may, what is heard, what the page knows of it, and that the call waits for nobody.

use std::time::Duration;

use protocol::{AudioHeader, Codec};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::records::{self, of_a_lost_relay, open};
use super::support::{PATIENCE, Relay, Wire, status};
use super::{MIDNIGHT, admin, as_user, get, post, session, token, token_with};

/// The last chunk of a body.
const END: &[u8] = b"\r\n0\r\n\r\n";

fn reader() -> String {
    token_with("ear", &json!({ "account": "operator", "role": "voxrelay_reader" }))
}

/// A call of this user, whose page knows what listening in is, with its session.
async fn call(relay: &Relay, sub: &str) -> (Wire, String) {
    let (mut wire, _, _) = relay.call(|_| {}).await;
    let hello = json!({
        "type": "hello", "token": token(sub), "client": "test", "codec": "pcm_s16le_16000",
        "start": { "seq": 0, "position": 0 }, "features": ["listened"],
    });
    wire.text(&hello.to_string()).await;
    let (_, answer) = wire.next().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let session = answer["session_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (wire, session)
}

fn path(session: &str) -> String {
    format!("/v1/admin/sessions/{session}/listen")
}

/// Somebody who listens: the connection, and what has come over it.
struct Ear {
    stream: TcpStream,
    come: Vec<u8>,
}

impl Ear {
    /// Asks as the owner of this token, and waits for the head of the answer.
    async fn open(relay: &Relay, token: &str, session: &str) -> Ear {
        let mut stream = TcpStream::connect(relay.address).await.expect("connected");
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n",
            path(session),
            relay.address
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut ear = Ear { stream, come: Vec::new() };
        ear.until(|come| has(come, b"\r\n\r\n")).await;
        ear
    }

    async fn until(&mut self, is_enough: impl Fn(&[u8]) -> bool) {
        let reading = async {
            let mut bytes = [0; 16_384];
            while !is_enough(&self.come) {
                let read = self.stream.read(&mut bytes).await.expect("read");
                assert!(read > 0, "it ended after {} bytes", self.come.len());
                self.come.extend_from_slice(&bytes[..read]);
            }
        };
        timeout(PATIENCE, reading).await.expect("in time");
    }

    fn status(&self) -> u16 {
        status(&String::from_utf8_lossy(&self.come))
    }

    /// Waits until what the user says in [`speak`] is heard.
    async fn hears(&mut self) {
        // Left is what was said, and right is silent.
        self.until(|come| has(come, &SAID.repeat(8))).await;
    }

    /// Waits for the end of the answer.
    async fn ends(&mut self) {
        self.until(|come| has(come, END)).await;
    }
}

/// A frame of what is said, in stereo.
const SAID: [u8; 4] = [7, 7, 0, 0];

fn has(come: &[u8], what: &[u8]) -> bool {
    come.windows(what.len()).any(|window| window == what)
}

/// The user says so many chunks of 100 ms at once.
async fn speak(wire: &mut Wire, from: u32, chunks: u32) {
    for seq in from..from + chunks {
        let mut frame = Vec::new();
        AudioHeader::write(Codec::PcmS16le16000, seq, seq * 1_600, &mut frame);
        frame.resize(frame.len() + 3_200, 7);
        wire.frame(2, frame.len(), &frame).await;
    }
}

/// Whether the page is told that somebody listens, as the next thing that it is told of that.
async fn told(wire: &mut Wire) -> bool {
    loop {
        let (opcode, payload) = wire.next().await.expect("the call goes on");
        if opcode != 1 {
            continue;
        }
        let message: Value = serde_json::from_slice(&payload).expect("JSON");
        if message["type"] == "listened" {
            return message["listening"].as_bool().expect("whether");
        }
    }
}

/// Whether the page is told anything of it until its call ends.
async fn is_told_until_the_end(wire: &mut Wire) -> bool {
    let mut is_told = false;
    while let Some((1 | 2, payload)) = wire.next().await {
        is_told |= has(&payload, b"\"listened\"");
    }
    is_told
}

#[tokio::test]
async fn both_are_heard_the_page_is_told_of_the_first_and_the_last_and_each_is_in_the_audit() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    let mut first = Ear::open(&relay, &reader(), &id).await;
    assert_eq!(first.status(), 200);
    assert!(told(&mut ada).await);
    first.until(|come| has(come, b"WAVEfmt ")).await;
    let mut second = Ear::open(&relay, &reader(), &id).await;
    speak(&mut ada, 0, 40).await;
    first.hears().await;
    second.hears().await;
    drop(first);
    sleep(Duration::from_millis(500)).await;
    drop(second);
    assert!(!told(&mut ada).await, "nothing came between: the second listened on");
    let mut third = Ear::open(&relay, &reader(), &id).await;
    assert!(told(&mut ada).await);
    let end = format!("/v1/admin/sessions/{id}/end");
    assert_eq!(as_user(&relay, &admin(), "POST", &end).await.status, 204);
    third.ends().await;
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=listen").await.json();
    let deeds = audit["audit"].as_array().expect("a list");
    assert_eq!(deeds.len(), 3, "{audit}");
    let of = ["by", "what", "user_sub", "subject"].map(|field| deeds[0][field].clone());
    assert_eq!(of, [json!("ear"), json!("listen"), json!("ada"), json!(id)]);
    let ended = get(&relay, &reader(), &path(&id)).await;
    assert_eq!((ended.status, &ended.json()["code"]), (409, &json!("session_ended")));
}

#[tokio::test]
async fn nobody_listens_without_the_role_and_then_nobody_is_told() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    for who in [token("ada"), token("bob"), admin()] {
        let refused = get(&relay, &who, &path(&id)).await;
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("reader_only")));
    }
    assert_eq!(get(&relay, "no.good.token", &path(&id)).await.status, 401);
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    for (other, wanted) in [("a-1", 409), ("nobody", 404), ("no%20id", 404)] {
        assert_eq!(get(&relay, &reader(), &path(other)).await.status, wanted, "{other}");
    }
    let audit = get(&relay, &admin(), "/v1/admin/audit?what=listen").await.json();
    assert_eq!(audit["audit"], json!([]));
    ada.text(r#"{"type":"bye","end":0}"#).await;
    assert!(!is_told_until_the_end(&mut ada).await);
}

#[tokio::test]
async fn a_page_that_the_operator_does_not_want_told_is_told_nothing() {
    let relay = Relay::with(|config| config.tells_of_listening = false).await;
    let (mut ada, id) = call(&relay, "ada").await;
    let mut ear = Ear::open(&relay, &reader(), &id).await;
    speak(&mut ada, 0, 40).await;
    ear.hears().await;
    ada.text(r#"{"type":"bye","end":40}"#).await;
    assert!(!is_told_until_the_end(&mut ada).await);
    ear.ends().await;
}

#[tokio::test]
async fn a_call_goes_on_as_ever_while_somebody_listens_who_does_not_read() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    let deaf = Ear::open(&relay, &reader(), &id).await;
    let mut ear = Ear::open(&relay, &reader(), &id).await;
    // A minute at once is ten times as much as is kept for somebody who reads nothing.
    speak(&mut ada, 0, 600).await;
    let acknowledged = async {
        loop {
            let (opcode, payload) = ada.next().await.expect("the call goes on");
            let Ok(message) = serde_json::from_slice::<Value>(&payload) else { continue };
            assert_ne!(message["type"], "error", "{message}");
            if opcode == 1 && message["type"] == "ack" && message["received"]["seq"] == 600 {
                break;
            }
        }
    };
    timeout(PATIENCE, acknowledged).await.expect("it is taken as fast as ever");
    ear.hears().await;
    drop(deaf);
}

#[tokio::test]
async fn the_places_of_those_who_listen_are_bounded_and_free_again() {
    let relay = Relay::start().await;
    let (_ada, id) = call(&relay, "ada").await;
    let mut ears = Vec::new();
    for _ in 0..16 {
        let ear = Ear::open(&relay, &reader(), &id).await;
        assert_eq!(ear.status(), 200);
        ears.push(ear);
    }
    let full = get(&relay, &reader(), &path(&id)).await;
    assert_eq!((full.status, &full.json()["code"]), (503, &json!("relay_full")));
    assert!(full.header("retry-after").is_some());
    drop(ears);
    let freed = async {
        while Ear::open(&relay, &reader(), &id).await.status() != 200 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, freed).await.expect("they are free again");
}

#[tokio::test]
async fn whoever_is_denied_hears_no_more() {
    let relay = Relay::start().await;
    let (mut ada, id) = call(&relay, "ada").await;
    let mut ear = Ear::open(&relay, &reader(), &id).await;
    assert!(told(&mut ada).await);
    let denial = json!({ "kind": "sub", "subject": "ear" });
    assert_eq!(post(&relay, &admin(), "/v1/admin/denials", &denial).await.status, 201);
    ear.ends().await;
    assert!(!told(&mut ada).await);
}

#[tokio::test]
async fn another_relay_passes_on_what_the_one_with_the_call_says() {
    let here = Relay::start().await;
    let there = here.another().await;
    let (mut ada, id) = call(&there, "ada").await;
    let unknown = get(&here, &reader(), &path(&id)).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (409, &json!("call_elsewhere")), "{unknown:?}");
    assert!(unknown.json()["detail"].to_string().contains("network.advertise"), "{unknown:?}");

    let (store, relay) = (&here.app.records.store, &there.app.live.relay_id);
    store.advertise(relay, &format!("http://{}", there.address)).await.expect("written");
    let mut ear = Ear::open(&here, &reader(), &id).await;
    assert_eq!(ear.status(), 200, "{}", String::from_utf8_lossy(&ear.come));
    assert!(told(&mut ada).await);
    speak(&mut ada, 0, 40).await;
    ear.hears().await;
    for refused in [token("ada"), admin()] {
        assert_eq!(get(&here, &refused, &path(&id)).await.status, 403);
    }
    let audit = get(&here, &admin(), "/v1/admin/audit?what=listen").await.json();
    assert_eq!(audit["audit"].as_array().map(Vec::len), Some(1), "once, at the relay that has it: {audit}");
    // Whoever goes away here is gone there.
    drop(ear);
    assert!(!told(&mut ada).await);
    let mut ear = Ear::open(&here, &reader(), &id).await;
    ada.text(r#"{"type":"bye","end":40}"#).await;
    ear.ends().await;
}

#[tokio::test]
async fn a_relay_that_is_not_where_it_says_is_said_to_be_so_and_none_asks_round_in_a_circle() {
    let here = Relay::start().await;
    let there = here.another().await;
    let (_ada, id) = call(&there, "ada").await;
    let store = &here.app.records.store;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    // Nobody is there, and then one that has not the call and is not to ask the next.
    for (address, words) in [(free, "not reached"), (here.address, "does not say where")] {
        let address = format!("http://{address}");
        store.advertise(&there.app.live.relay_id, &address).await.expect("written");
        let lost = get(&here, &reader(), &path(&id)).await;
        assert_eq!((lost.status, &lost.json()["code"]), (409, &json!("call_elsewhere")), "{lost:?}");
        assert!(lost.body.contains(words), "{lost:?}");
    }
    // No relay has it.
    open(&**store, &records::session("a-1"), &of_a_lost_relay()).await;
    let lost = get(&here, &reader(), &path("a-1")).await;
    assert_eq!((lost.status, &lost.json()["code"]), (409, &json!("call_elsewhere")), "{lost:?}");
}

#[tokio::test]
async fn no_token_is_sent_to_an_address_that_the_relay_that_was_asked_could_not_have_itself() {
    let here = Relay::start().await;
    let there = here.another().await;
    let (_ada, id) = call(&there, "ada").await;
    for address in ["http://192.0.2.1:8080", "https://eve@relay.test", "ftp://127.0.0.1", "nowhere"] {
        here.app.records.store.advertise(&there.app.live.relay_id, address).await.expect("written");
        let refused = get(&here, &reader(), &path(&id)).await;
        assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("call_elsewhere")), "{address}");
        assert!(refused.body.contains("network.plain_http"), "{address}: {refused:?}");
    }
}
