//! The real relay, tokens good and bad, and a client that does as it is told.
//!
//! The end-to-end tests themselves are in `tests/` (native) and `browser/`.

pub mod bad_tokens;
pub mod balancer;
pub mod caller;
pub mod hopper;
pub mod http;
#[cfg(target_os = "linux")]
pub mod lossy;
pub mod outage;
pub mod over_http;
pub mod process;
#[cfg(target_os = "linux")]
pub mod proxy;
pub mod sound;
pub mod stand_ins;
pub mod wire;

#[path = "../../relay/tests/support/ports.rs"]
pub mod ports;
#[path = "../../relay/tests/support/postgres.rs"]
pub mod postgres;
#[path = "../../relay/tests/support/records.rs"]
pub mod records;

use std::fs::File;
use std::io::{Read, Seek};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use protocol::{AudioHeader, Codec, Features, Hello, Mark, RelayMessage, Resume, SUBPROTOCOL};
use relay::config::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async_with_config};

/// What tokens are signed with.
pub const SECRET: &str = "a secret of the end-to-end tests, long enough";
/// Who issued them.
pub const ISSUER: &str = "https://issuer.test";
/// Whom they are for.
pub const AUDIENCE: &str = "authenticated";

/// Keys of the configuration, their variables, and what the tests need, which begin more calls a minute than anybody else would, and wait for no
/// relay that they stop.
const ROOM: [(&str, &str, &str); 7] = [
    ("sessions_per_minute", "VOXRELAY_LIMITS__SESSIONS_PER_MINUTE", "10000"),
    ("sessions_per_account", "VOXRELAY_LIMITS__SESSIONS_PER_ACCOUNT", "10000"),
    ("sessions_per_minute_per_address", "VOXRELAY_NETWORK__SESSIONS_PER_MINUTE_PER_ADDRESS", "100000"),
    ("connections_per_minute_per_address", "VOXRELAY_NETWORK__CONNECTIONS_PER_MINUTE_PER_ADDRESS", "1000000"),
    ("pre_login_connections_per_address", "VOXRELAY_NETWORK__PRE_LOGIN_CONNECTIONS_PER_ADDRESS", "1000"),
    ("serve_seconds", "VOXRELAY_DRAIN__SERVE_SECONDS", "0"),
    ("move_seconds", "VOXRELAY_DRAIN__MOVE_SECONDS", "0"),
];

/// A relay that runs as an operator would run it.
#[derive(Debug)]
pub struct Relay {
    /// Its process.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Relay {
    /// Starts `voxrelay serve` with these lines of configuration on top of what every test needs.
    pub async fn start(folder: &Path, listen: &str, extra: &str) -> Relay {
        Relay::start_with(folder, listen, &alone(folder, extra)).await
    }

    /// Starts `voxrelay serve` as one of several relays that share this database, with these lines of configuration on top.
    pub async fn start_on(database: &Secret, folder: &Path, extra: &str) -> Relay {
        Relay::start_with(folder, "127.0.0.1:0", &sharing(database, folder, extra)).await
    }

    /// Starts `voxrelay serve` with this configuration, and room for many calls from one address where it says nothing else.
    pub async fn start_with(folder: &Path, listen: &str, config: &str) -> Relay {
        Relay::start_in(folder, listen, config, &[]).await
    }

    /// The same, with these variables in its environment.
    pub async fn start_in(folder: &Path, listen: &str, config: &str, variables: &[(&str, &str)]) -> Relay {
        Relay::start_in_logging(folder, listen, config, variables, None).await
    }

    /// The same, and what it logs goes there.
    pub async fn start_in_logging(
        folder: &Path,
        listen: &str,
        config: &str,
        variables: &[(&str, &str)],
        log: Option<Stdio>,
    ) -> Relay {
        // Networks of the tests' own are on no wire.
        let plain = (!listen.starts_with("127.")).then_some(("VOXRELAY_NETWORK__PLAIN_HTTP", "true"));
        let variables = room(config).into_iter().chain(plain).chain(variables.iter().copied());
        let variables: Vec<_> = variables.collect();
        Relay::spawn(&binary(), folder, listen, config, &variables, log).await
    }

    /// Starts this program as a relay, of whatever version it is, with this configuration and these variables and nothing else.
    pub async fn start_program(
        program: &Path,
        folder: &Path,
        listen: &str,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Relay {
        Relay::spawn(program, folder, listen, config, variables, None).await
    }

    /// As [`Relay::start`], without more room for calls than these lines give, and what it logs goes there.
    pub async fn start_logging(folder: &Path, listen: &str, extra: &str, log: Stdio) -> Relay {
        Relay::spawn(&binary(), folder, listen, &alone(folder, extra), &[], Some(log)).await
    }

    /// As [`Relay::start_on`], and what it logs goes there.
    pub async fn start_on_logging(database: &Secret, folder: &Path, extra: &str, log: Stdio) -> Relay {
        let config = sharing(database, folder, extra);
        Relay::spawn(&binary(), folder, "127.0.0.1:0", &config, &room(&config), Some(log)).await
    }

    /// Starts it. What it logs goes there, or is told when it does not say where it listens.
    async fn spawn(
        program: &Path,
        folder: &Path,
        listen: &str,
        config: &str,
        variables: &[(&str, &str)],
        log: Option<Stdio>,
    ) -> Relay {
        // Not in the folder, which may be on a disk that is to be full.
        let mut kept = tempfile::tempfile().expect("a file");
        let log = log.unwrap_or_else(|| kept.try_clone().expect("a file").into());
        let file = folder.join("voxrelay.toml");
        std::fs::write(&file, config).expect("the folder is ours");
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&file)
            .args(["--listen", listen])
            .current_dir(folder)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the relay was built");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        let read = timeout(Duration::from_secs(20), BufReader::new(stdout).read_line(&mut line)).await;
        assert!(matches!(read, Ok(Ok(_))), "the relay says where it listens, not: {}", told(&mut kept));
        // By itself, or in a JSON object with `log.format = "json"`.
        let address = line.split_once("listening on http://").map(|(_, rest)| rest);
        let address =
            address.and_then(|rest| rest.split(['"', '\n']).next()).and_then(|own| own.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}, {}", told(&mut kept)));
        Relay { child, address }
    }

    /// Where to call it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/v1/call", self.address)
    }

    /// The status of the answer to a plain `GET`.
    pub async fn status(&self, path: &str) -> u16 {
        let answer = self.get(path).await;
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// The answer to a plain `GET`.
    pub async fn get(&self, path: &str) -> String {
        http::get(self.address, path).await
    }

    /// Waits until the relay says so of its database.
    ///
    /// # Panics
    /// When it does not within 10 s.
    pub async fn has_database(&self, word: &str) {
        let expected = format!("\"database\":\"{word}\"");
        let mut answer = String::new();
        for _ in 0..20 {
            answer = self.get("/readyz").await;
            if answer.contains(&expected) {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
        panic!("no {expected} in {answer}");
    }

    /// What a load balancer hears of this relay within 10 s, if it hears `wanted` by then.
    pub async fn becomes_ready(&self, wanted: u16) -> u16 {
        let mut status = self.status("/readyz").await;
        for _ in 0..20 {
            if status == wanted {
                break;
            }
            sleep(Duration::from_millis(500)).await;
            status = self.status("/readyz").await;
        }
        status
    }

    /// As `kill -9` does it.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it ran");
    }

    /// As a deploy does it.
    pub async fn terminate(self) {
        self.signal("-TERM").await;
        self.end().await;
    }

    /// Sends it this signal.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Waits until it has stopped in order.
    pub async fn end(mut self) {
        let ended = timeout(Duration::from_secs(20), self.child.wait()).await;
        assert!(matches!(ended, Ok(Ok(status)) if status.success()), "{ended:?}");
    }
}

/// What a relay has logged there.
fn told(log: &mut File) -> String {
    let mut text = Vec::new();
    log.rewind().and_then(|()| log.read_to_end(&mut text)).expect("a file");
    String::from_utf8_lossy(&text).into_owned()
}

/// The variables that make the room for tests, but for those whose keys are in this configuration.
fn room(config: &str) -> Vec<(&'static str, &'static str)> {
    let room = ROOM.iter().filter(|(key, ..)| !config.contains(&format!("\n{key} =")));
    room.map(|(_, name, value)| (*name, *value)).collect()
}

/// The configuration of a relay with a database of its own, with these lines on top.
#[must_use]
pub fn alone(folder: &Path, extra: &str) -> String {
    format!(
        "data_dir = {:?}\n[auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n{extra}",
        folder.join("data")
    )
}

/// The configuration of one of several relays that share this database, with these lines on top.
pub fn sharing(database: &Secret, folder: &Path, extra: &str) -> String {
    format!(
        "data_dir = {:?}\ndatabase_url = {:?}\n[auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n{extra}",
        folder.join("data"),
        database.expose()
    )
}

/// The relay that is tested: `E2E_RELAY`, or the one that was built with the tests.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("E2E_RELAY") {
        return named.into();
    }
    let test = std::env::current_exe().expect("we run");
    let binary = test.ancestors().nth(2).expect("target/debug").join("voxrelay");
    assert!(binary.exists(), "{} is not there: run `cargo build -p relay` first", binary.display());
    binary
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The claims of a good token.
#[must_use]
pub fn claims() -> Value {
    json!({ "sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": now() + 3600, "role": "authenticated" })
}

/// A good token, but for these claims; `null` leaves one out.
///
/// # Panics
/// When `changes` is no object.
#[must_use]
pub fn token_but(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => claims.as_object_mut().and_then(|claims| claims.remove(name)),
            value => claims.as_object_mut().and_then(|claims| claims.insert(name.clone(), value.clone())),
        };
    }
    signed(Algorithm::HS256, SECRET.as_bytes(), &claims)
}

/// A good token.
#[must_use]
pub fn token() -> String {
    token_but(&json!({}))
}

/// A token with these claims, signed so.
#[must_use]
pub fn signed(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).expect("signs")
}

/// A first message.
#[must_use]
pub fn hello(token: &str, resume: Option<Resume>) -> Hello {
    Hello {
        token: token.into(),
        client: "end-to-end/1".into(),
        codec: Codec::PcmS16le16000.name().into(),
        start: Mark::default(),
        resume,
        conversation: None,
        agent: None,
        features: Features::CLIENT.into(),
    }
}

/// A chunk of 100 ms.
#[must_use]
pub fn chunk(seq: u32) -> Vec<u8> {
    frame(Codec::PcmS16le16000, seq, seq * 1_600, 3_200)
}

/// An audio frame of zeros.
#[must_use]
pub fn frame(codec: Codec, seq: u32, position: u32, bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    AudioHeader::write(codec, seq, position, &mut frame);
    frame.resize(frame.len() + bytes, 0);
    frame
}

/// A client that sends what it is told to.
#[derive(Debug)]
pub struct Raw(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Raw {
    /// Opens a WebSocket.
    ///
    /// # Errors
    /// When the relay does not let it in.
    pub async fn connect(relay: &Relay, origin: Option<&str>) -> Result<Raw, Error> {
        Raw::connect_with(relay, origin.map(|origin| ("origin", origin)).as_slice()).await
    }

    /// Opens a WebSocket with these headers.
    ///
    /// # Errors
    /// When the relay does not let it in.
    pub async fn connect_with(relay: &Relay, headers: &[(&'static str, &str)]) -> Result<Raw, Error> {
        Raw::open(&relay.url(), headers).await
    }

    /// Opens the WebSocket of a preflight.
    ///
    /// # Errors
    /// When the relay does not let it in.
    pub async fn preflight(relay: &Relay, headers: &[(&'static str, &str)]) -> Result<Raw, Error> {
        Raw::open(&relay.url().replace("/call", "/preflight"), headers).await
    }

    /// Opens a WebSocket from this address of the machine, with these headers, to whoever listens there.
    ///
    /// # Errors
    /// When it is not let in.
    pub async fn connect_from(
        from: IpAddr,
        to: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Raw, Error> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let request = upgrade(&format!("ws://{to}/v1/call"), headers)?;
        Ok(Raw(client_async(request, MaybeTlsStream::Plain(stream)).await?.0))
    }

    async fn open(url: &str, headers: &[(&'static str, &str)]) -> Result<Raw, Error> {
        let request = upgrade(url, headers)?;
        // Two small messages in a row would otherwise wait 40 ms for each other.
        Ok(Raw(connect_async_with_config(request, None, true).await?.0))
    }

    /// Connected and greeted with a good token.
    pub async fn welcomed(relay: &Relay, sub: &str) -> (Raw, protocol::Welcome) {
        let mut raw = Raw::connect(relay, None).await.expect("connects");
        raw.say(&protocol::ClientMessage::from(hello(&token_but(&json!({ "sub": sub })), None)).to_json())
            .await;
        loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Welcome(welcome)) => return (raw, welcome),
                Heard::Said(_) => {}
                heard => panic!("no welcome but {heard:?}"),
            }
        }
    }

    /// Connected, and back in a session whose relay is lost.
    pub async fn resumed(relay: &Relay, sub: &str, welcome: &protocol::Welcome) -> (Raw, protocol::Resumed) {
        let mut raw = Raw::connect(relay, None).await.expect("connects");
        let resume = Resume {
            session_id: welcome.session_id.clone(),
            resume_token: welcome.resume_token.clone(),
            epoch: welcome.epoch,
            received: 0,
            played: None,
        };
        let hello = hello(&token_but(&json!({ "sub": sub })), Some(resume));
        raw.say(&protocol::ClientMessage::from(hello).to_json()).await;
        loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Resumed(resumed)) => return (raw, resumed),
                Heard::Said(RelayMessage::Welcome(welcome)) => panic!("it began anew: {welcome:?}"),
                Heard::Closed(code) => panic!("{code}"),
                _ => {}
            }
        }
    }

    /// Sends text.
    pub async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends anything.
    pub async fn send(&mut self, message: Message) {
        // The relay may have closed already: what it answered is read next.
        let _ = self.0.send(message).await;
    }

    /// Sends bytes past the WebSocket library.
    ///
    /// # Panics
    /// When the connection is not a plain one.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let MaybeTlsStream::Plain(stream) = self.0.get_mut() else { panic!("it was opened without TLS") };
        // The relay may have closed already: what it answered is read next.
        let _ = stream.write_all(bytes).await;
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Heard {
        let message = timeout(Duration::from_secs(15), self.0.next()).await;
        match message.expect("the relay answers within 15 s") {
            Some(Ok(Message::Text(text))) => {
                Heard::Said(RelayMessage::parse(&text).expect("of the protocol"))
            }
            Some(Ok(Message::Binary(frame))) => Heard::Audio(frame.len()),
            Some(Ok(Message::Close(Some(frame)))) => Heard::Closed(frame.code.into()),
            Some(Ok(_)) => Heard::Other,
            Some(Err(_)) | None => Heard::Closed(1006),
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
}

/// The request for a WebSocket there, with these headers.
fn upgrade(url: &str, headers: &[(&'static str, &str)]) -> Result<Request, Error> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse()?);
    }
    Ok(request)
}

/// What came.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Heard {
    /// A message.
    Said(RelayMessage),
    /// So many bytes of audio.
    Audio(usize),
    /// The end, with its code.
    Closed(u16),
    /// A WebSocket ping or pong.
    Other,
}
