//! A relay in this process, and a client that may send anything: bytes on a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use relay::admission::auth::Verifier;
use relay::config::Secret;
use relay::money::price::PriceTable;
use relay::records::spill::Spill;
use relay::records::store::{DATABASE_FILE, SqlStore};
use relay::{App, Config, Records};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A relay on a free port, with its data in a folder that goes away with it.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    pub(crate) serving: JoinHandle<()>,
    _data: TempDir,
}

/// What a relay is made of, before it listens.
pub(crate) async fn app(configure: impl FnOnce(&mut Config)) -> (Arc<App>, TempDir) {
    let data = tempfile::tempdir().expect("a folder");
    let mut config = Config::defaults();
    config.data_dir = data.path().to_owned();
    config.auth.hs256_secret = Some(Secret::new("an-example-secret-of-more-than-32-bytes".into()));
    configure(&mut config);
    let verifier = Verifier::from_config(&config.auth).expect("a verifier");
    let store = SqlStore::sqlite(&config.data_dir.join(DATABASE_FILE)).await.expect("a store");
    let spill = Spill::open(&config.data_dir).await.expect("a file for what is owed");
    let records = Records { store: Arc::new(store), spill, recordings: None };
    (Arc::new(App::new(config, verifier, records, PriceTable::shipped())), data)
}

impl Relay {
    pub(crate) async fn start() -> Relay {
        Relay::with(|_| {}).await
    }

    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> Relay {
        let (app, data) = app(configure).await;
        Relay::of(app, data).await
    }

    /// A relay that is made of this.
    pub(crate) async fn of(app: Arc<App>, data: TempDir) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(relay::run(listener, Arc::clone(&app)));
        Relay { address, app, serving, _data: data }
    }

    /// Another relay on the same database.
    pub(crate) async fn another(&self) -> Relay {
        let data = tempfile::tempdir().expect("a folder");
        let config = self.app.config.clone();
        let verifier = Verifier::from_config(&config.auth).expect("a verifier");
        let spill = Spill::open(data.path()).await.expect("a file for what is owed");
        let store = Arc::clone(&self.app.records.store);
        let records = Records { store, spill, recordings: None };
        let app = Arc::new(App::new(config, verifier, records, PriceTable::shipped()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(relay::run(listener, Arc::clone(&app)));
        Relay { address, app, serving, _data: data }
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.expect("connected"))
    }

    /// Connects from another address of this machine.
    pub(crate) async fn connect_from(&self, address: &str) -> Wire {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("it is ours");
        Wire(socket.connect(self.address).await.expect("connected"))
    }

    /// Sends one request, says the head and the body of the answer.
    pub(crate) async fn request(&self, head: &str) -> (String, String) {
        let mut wire = self.connect().await;
        wire.send(head.as_bytes()).await;
        wire.response().await
    }

    /// Sends one request that asks for the connection's end, says the head and the body of the answer, in chunks or not.
    pub(crate) async fn whole(&self, request: &str) -> (String, String) {
        let mut wire = self.connect().await;
        wire.send(request.as_bytes()).await;
        let mut bytes = Vec::new();
        timeout(PATIENCE, wire.0.read_to_end(&mut bytes)).await.expect("in time").expect("a response");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        if header(head, "transfer-encoding") != Some("chunked") {
            return (head.to_owned(), body.to_owned());
        }
        let (mut rest, mut whole) = (body, String::new());
        loop {
            let (size, after) = rest.split_once("\r\n").expect("a size");
            let size = usize::from_str_radix(size, 16).expect("hexadecimal");
            if size == 0 {
                return (head.to_owned(), whole);
            }
            whole.push_str(&after[..size]);
            rest = after[size..].strip_prefix("\r\n").expect("the end of a chunk");
        }
    }

    pub(crate) async fn get(&self, path: &str, headers: &str) -> (String, String) {
        self.request(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.address)).await
    }

    /// Asks for a call with these headers instead of the usual ones, or beside them.
    pub(crate) async fn call(
        &self,
        change: impl FnOnce(&mut Vec<(&'static str, String)>),
    ) -> (Wire, String, String) {
        let mut wire = self.connect().await;
        wire.send(upgrade(self.address, change).as_bytes()).await;
        let (head, body) = wire.response().await;
        (wire, head, body)
    }
}

/// The request that opens a WebSocket.
pub(crate) fn upgrade(host: SocketAddr, change: impl FnOnce(&mut Vec<(&'static str, String)>)) -> String {
    let mut headers = vec![
        ("host", host.to_string()),
        ("connection", "Upgrade".into()),
        ("upgrade", "websocket".into()),
        ("sec-websocket-version", "13".into()),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".into()),
        ("sec-websocket-protocol", "voxrelay.v1".into()),
    ];
    change(&mut headers);
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET /v1/call HTTP/1.1\r\n{lines}\r\n")
}

/// Changes one header; an empty value takes it away.
pub(crate) fn set(name: &'static str, value: &str) -> impl FnOnce(&mut Vec<(&'static str, String)>) {
    let value = value.to_owned();
    move |headers| {
        headers.retain(|(other, _)| *other != name);
        if !value.is_empty() {
            headers.push((name, value));
        }
    }
}

/// The three digits of an answer.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

/// A header of an answer.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("sent");
    }

    /// One HTTP response with a content length.
    pub(crate) async fn response(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, self.0.read_u8()).await.expect("in time").expect("a response"));
        }
        let head = String::from_utf8(head).expect("UTF-8");
        let length = header(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut body)).await.expect("in time").expect("a body");
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    /// One HTTP response, while these bytes are sent again and again with a pause.
    pub(crate) async fn response_while_sending(&mut self, bytes: &[u8]) -> (String, String) {
        let mut first = [0];
        loop {
            match timeout(Duration::from_millis(100), self.0.peek(&mut first)).await {
                Ok(peeked) => {
                    peeked.expect("an answer");
                    return self.response().await;
                }
                Err(_) => self.send(bytes).await,
            }
        }
    }

    /// Takes what there is until the other side closes or breaks off; says how many bytes it was.
    pub(crate) async fn drain(&mut self) -> usize {
        let mut all = Vec::new();
        // Broken off or closed: both are the end.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut all)).await.expect("in time");
        all.len()
    }

    /// Whether the other side closes within the time, with nothing more to say.
    pub(crate) async fn is_closed_within(&mut self, time: Duration) -> bool {
        matches!(timeout(time, self.0.read_u8()).await, Ok(Err(_)))
    }

    /// A WebSocket frame with an all-zero mask. `declared` may promise more than is sent.
    pub(crate) async fn frame(&mut self, opcode: u8, declared: usize, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match declared {
            0..=125 => frame.push(0x80 | declared as u8),
            126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(declared as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(declared as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.send(&frame).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.frame(1, text.len(), text.as_bytes()).await;
    }

    /// The next frame's opcode and payload; `None` if the connection ends first.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let opcode = timeout(PATIENCE, self.0.read_u8()).await.expect("in time").ok()? & 0x0f;
        let length = match self.0.read_u8().await.ok()? & 0x7f {
            126 => usize::from(self.0.read_u16().await.ok()?),
            127 => usize::try_from(self.0.read_u64().await.ok()?).expect("fits"),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((opcode, payload))
    }

    /// The code of the next close frame; `None` if the connection ends without one.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            let (opcode, payload) = self.next().await?;
            if opcode == 8 {
                return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
    }
}
