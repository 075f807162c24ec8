//! A client over plain HTTP requests that sends what it is told to.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::{ClientMessage, RelayMessage, Welcome};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Heard, Relay, hello, token_but};

/// The kind of a text message in a body.
pub const TEXT: u8 = 1;
/// The kind of a binary message in a body.
pub const BINARY: u8 = 2;
/// The kind of what closes the connection.
pub const CLOSE: u8 = 8;

/// An open wire.
#[derive(Debug)]
pub struct OverHttp {
    to: SocketAddr,
    /// Its id.
    pub id: String,
    /// The number of the next request.
    pub number: u32,
    events: BufReader<TcpStream>,
}

/// An answer that is no stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, in small letters.
    pub head: String,
    /// The `code` of the problem, if it is one.
    pub code: Option<String>,
}

/// An id that no other test has, of random bits as a client makes it: load balancers choose a relay by it.
#[must_use]
pub fn wire_id() -> String {
    // The keys of each state are random.
    let [one, other] = [(); 2].map(|()| RandomState::new().hash_one(0_u8));
    format!("{one:016x}{other:016x}")
}

/// The body of a request with this number and these messages.
#[must_use]
pub fn body(number: u32, messages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    for (kind, payload) in messages {
        body.push(*kind);
        body.extend((payload.len() as u32).to_le_bytes());
        body.extend(*payload);
    }
    body
}

impl OverHttp {
    /// Opens a wire.
    ///
    /// # Errors
    /// The answer, when the relay does not let it in.
    pub async fn open(relay: &Relay, id: &str, lines: &str) -> Result<OverHttp, Answer> {
        OverHttp::open_at(relay.address, id, lines).await
    }

    /// Opens a wire at whoever listens there: a relay, or a proxy before relays.
    ///
    /// # Errors
    /// The answer, when it is not let in.
    pub async fn open_at(to: SocketAddr, id: &str, lines: &str) -> Result<OverHttp, Answer> {
        let mut stream = TcpStream::connect(to).await.expect("connects");
        // An answer to HTTP/1.0 is not in chunks.
        let request = format!(
            "GET /v1/call/http/{id} HTTP/1.0\r\nhost: {to}\r\naccept: text/event-stream\r\n{lines}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut events = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(Duration::from_secs(15), events.read_line(&mut head)).await;
            assert!(matches!(read, Ok(Ok(1..))), "{read:?} after {head:?}");
        }
        if head.contains(" 200 ") {
            return Ok(OverHttp { to, id: id.to_owned(), number: 0, events });
        }
        let mut rest = String::new();
        events.read_to_string(&mut rest).await.expect("an answer");
        Err(answer(&format!("{head}{rest}")))
    }

    /// Opened and greeted with a good token.
    pub async fn welcomed(relay: &Relay, sub: &str) -> (OverHttp, Welcome) {
        OverHttp::welcomed_at(relay.address, sub).await
    }

    /// The same at whoever listens there.
    pub async fn welcomed_at(to: SocketAddr, sub: &str) -> (OverHttp, Welcome) {
        let mut wire = OverHttp::open_at(to, &wire_id(), "").await.expect("let in");
        let hello = hello(&token_but(&json!({ "sub": sub })), None);
        assert_eq!(wire.say(&ClientMessage::from(hello)).await, 204);
        loop {
            match wire.next().await {
                Heard::Said(RelayMessage::Welcome(welcome)) => return (wire, welcome),
                Heard::Said(_) => {}
                heard => panic!("no welcome but {heard:?}"),
            }
        }
    }

    /// Sends a message, and says what the request was answered with.
    pub async fn say(&mut self, message: &ClientMessage) -> u16 {
        self.bring(&[(TEXT, message.to_json().as_bytes())]).await.status
    }

    /// Sends these messages in the next request.
    pub async fn bring(&mut self, messages: &[(u8, &[u8])]) -> Answer {
        self.number += 1;
        self.post(&body(self.number - 1, messages)).await
    }

    /// Sends this body.
    pub async fn post(&self, body: &[u8]) -> Answer {
        post(self.to, &self.id, body).await
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Heard {
        match timeout(Duration::from_secs(15), self.event()).await.expect("the relay answers within 15 s") {
            Some((kind, data)) => match kind.as_str() {
                "" => Heard::Said(RelayMessage::parse(&data).expect("of the protocol")),
                "audio" => Heard::Audio(STANDARD.decode(data).expect("base64").len()),
                "close" => {
                    let close: Value = serde_json::from_str(&data).expect("JSON");
                    Heard::Closed(close["code"].as_u64().expect("a code") as u16)
                }
                other => panic!("{other}"),
            },
            None => Heard::Closed(1006),
        }
    }

    /// Everything up to the close, with the codes of the errors on the way.
    pub async fn end(&mut self) -> (Vec<String>, u16) {
        let mut errors = Vec::new();
        loop {
            match self.next().await {
                Heard::Said(RelayMessage::ErrorMessage(error)) => errors.push(error.code),
                Heard::Closed(code) => return (errors, code),
                _ => {}
            }
        }
    }

    /// The next event, with its kind; `None` if the stream ended.
    async fn event(&mut self) -> Option<(String, String)> {
        let (mut kind, mut data) = (String::new(), None);
        loop {
            let mut line = String::new();
            if self.events.read_line(&mut line).await.unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end_matches('\n').split_once(':') {
                Some(("event", value)) => kind = value.to_owned(),
                Some(("data", value)) => data = Some(value.to_owned()),
                Some(_) => {}
                None => {
                    if let Some(data) = data.take() {
                        return Some((kind, data));
                    }
                }
            }
        }
    }
}

/// Sends this body up a wire of this relay.
pub async fn post(relay: SocketAddr, id: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST /v1/call/http/{id} HTTP/1.1\r\nhost: {relay}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(relay).await.expect("connects");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The relay may have answered already, and closed.
    let _ = stream.write_all(body).await;
    let mut text = String::new();
    let _ = timeout(Duration::from_secs(15), stream.read_to_string(&mut text)).await;
    answer(&text)
}

fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    Answer { status, head: head.to_lowercase(), code: problem["code"].as_str().map(str::to_owned) }
}
