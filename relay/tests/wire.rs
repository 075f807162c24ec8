//! A session over a wire in memory: a call needs neither a socket nor HTTP.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use protocol::client::Transport;
use protocol::{AudioHeader, CloseCode, Codec};
use relay::App;
use relay::admission::auth;
use relay::admission::throttle::Asking;
use relay::money::price::PriceTable;
use relay::operations::traces::Traces;
use relay::records::store::{SessionState, unix_ms};
use relay::session::{self, Gone, Incoming, Outgoing, Wire};
use serde_json::{Value, json};
use support::PATIENCE;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Samples of a chunk: 100 ms.
const CHUNK: u32 = 1_600;

/// What the relay says over a wire in memory.
#[derive(Debug, PartialEq)]
enum Said {
    Message(Outgoing),
    Close(CloseCode),
}

/// The relay's end of a wire in memory.
#[derive(Debug)]
struct MemoryWire {
    up: mpsc::UnboundedReceiver<Incoming>,
    down: mpsc::UnboundedSender<Said>,
}

impl Wire for MemoryWire {
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        Poll::Ready(ready!(self.up.poll_recv(context)).unwrap_or(Incoming::Gone(None)))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn write(&mut self, message: Outgoing) -> Result<(), Gone> {
        self.down.send(Said::Message(message)).map_err(|_| Gone)
    }

    fn write_close(&mut self, code: CloseCode, _: &str) -> Result<(), Gone> {
        self.down.send(Said::Close(code)).map_err(|_| Gone)
    }

    fn transport(&self) -> Transport {
        Transport::WebSocket
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }
}

/// The client's end.
struct Caller {
    up: Option<mpsc::UnboundedSender<Incoming>>,
    down: mpsc::UnboundedReceiver<Said>,
}

impl Caller {
    /// Opens a wire to the relay.
    fn connect(app: &Arc<App>) -> Caller {
        let (up, incoming) = mpsc::unbounded_channel();
        let (outgoing, down) = mpsc::unbounded_channel();
        let waiting = app.admission.throttle.wait(Asking::Take, ADDRESS, 10, 100).expect("there is room");
        let wire = MemoryWire { up: incoming, down: outgoing };
        tokio::spawn(session::serve(Box::new(wire), Arc::clone(app), ADDRESS, waiting));
        Caller { up: Some(up), down }
    }

    /// Opens a wire and says hello.
    fn greet(app: &Arc<App>, resume: Option<Value>) -> Caller {
        let now = unix_ms() as u64 / 1_000;
        let token = auth::mint(&app.config.auth, "ada", now, Duration::from_secs(600)).expect("signed");
        let mut hello = json!({
            "type": "hello", "token": token, "client": "test", "codec": "pcm_s16le_16000",
            "start": { "seq": 0, "position": 0 },
        });
        if let Some(resume) = resume {
            hello["resume"] = resume;
        }
        let caller = Caller::connect(app);
        caller.text(&hello);
        caller
    }

    fn send(&self, what: Incoming) {
        let up = self.up.as_ref().expect("it is not hung up");
        up.send(what).expect("the relay listens");
    }

    fn text(&self, message: &Value) {
        self.send(Incoming::Text(message.to_string()));
    }

    /// So many chunks from this one on: a voice, or silence.
    fn audio(&self, chunks: std::ops::Range<u32>, is_voice: bool) {
        for seq in chunks {
            let mut frame = Vec::new();
            AudioHeader::write(Codec::PcmS16le16000, seq, seq * CHUNK, &mut frame);
            for n in 0..CHUNK {
                let sample = if is_voice { audio::synthetic::voice(seq * CHUNK + n) } else { 0 };
                frame.extend_from_slice(&sample.to_le_bytes());
            }
            self.send(Incoming::Binary(Bytes::from(frame)));
        }
    }

    async fn next(&mut self) -> Said {
        timeout(PATIENCE, self.down.recv()).await.expect("in time").expect("the relay says more")
    }

    /// The next message of a kind, whatever comes before it.
    async fn hear(&mut self, kind: &str) -> Value {
        loop {
            match self.next().await {
                Said::Message(Outgoing::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == kind {
                        return message;
                    }
                }
                Said::Message(Outgoing::Binary(_)) => {}
                Said::Close(code) => panic!("closed with {code:?} before {kind}"),
            }
        }
    }

    /// The code that the wire is closed with.
    async fn closed(&mut self) -> CloseCode {
        loop {
            if let Said::Close(code) = self.next().await {
                return code;
            }
        }
    }
}

#[tokio::test]
async fn a_whole_call_is_carried_by_wires_that_are_no_sockets() {
    let (app, _data) = support::app(|_| {}).await;
    let mut first = Caller::greet(&app, None);
    let welcome = first.hear("welcome").await;
    let id = welcome["session_id"].as_str().expect("an id").to_owned();
    first.audio(0..15, true);
    first.audio(15..30, false);
    assert_eq!(first.hear("transcript").await["role"], "user");
    assert_eq!(first.hear("transcript").await["role"], "agent");
    while !matches!(first.next().await, Said::Message(Outgoing::Binary(_))) {}
    // The line breaks, and another one goes on with the call.
    first.up = None;
    let resume = json!({
        "session_id": id, "epoch": 0, "resume_token": welcome["resume_token"], "received": 0,
    });
    let mut second = Caller::greet(&app, Some(resume));
    let resumed = second.hear("resumed").await;
    assert_eq!((&resumed["session_id"], &resumed["epoch"]), (&json!(id), &json!(0)));
    assert_eq!(resumed["received"], json!({ "seq": 30, "position": 30 * CHUNK }));
    second.hear("reply_end").await;
    second.text(&json!({ "type": "bye", "end": 30 }));
    assert_eq!(second.hear("ended").await["usage"]["audio_ms"], 3_000);
    assert_eq!(second.closed().await, CloseCode::Normal);
    let row = app.records.store.session(&id).await.expect("it answers").expect("it is there");
    assert_eq!((row.state, row.reconnects), (SessionState::Ended, 1));
    assert_eq!(app.records.store.turns(&id).await.expect("it answers").len(), 2);
}

/// What it cost in the end, in nano-dollars.
async fn cost_of_3_s(caller: &mut Caller) -> Value {
    caller.audio(0..30, false);
    caller.text(&json!({ "type": "bye", "end": 30 }));
    let ended = caller.hear("ended").await;
    assert_eq!(ended["usage"]["audio_ms"], 3_000);
    ended["usage"]["cost_nano_usd"].clone()
}

#[tokio::test]
async fn a_call_goes_on_as_it_began_and_the_next_one_has_what_was_read_since() {
    let (app, _data) = support::app(|_| {}).await;
    let mut before = Caller::greet(&app, None);
    let welcome = before.hear("welcome").await;
    assert_eq!(welcome["prices"]["items"][0]["nano_usd"], 4_800_000);

    let mut config = app.config.clone();
    config.limits.session = Duration::from_secs(60);
    let own = "version = \"own\"\n[[item]]\nname = \"echo/listening\"\nunit = \"second\"\nusd = \"0.0096\"\nper = 60\n";
    let prices = PriceTable::shipped().with_overrides(own).expect("a table");
    let newer = Arc::new(app.renewed(config, prices, app.upstreams.clone(), None));
    let mut since = Caller::greet(&newer, None);
    let welcome = since.hear("welcome").await;
    assert_eq!(welcome["prices"]["items"][0]["nano_usd"], 9_600_000);
    assert_eq!(welcome["limits"]["session_ms"], 60_000);

    // 3 s at 0.0048 $ a minute, and at twice as much.
    assert_eq!(cost_of_3_s(&mut before).await, 240_000);
    assert_eq!(cost_of_3_s(&mut since).await, 480_000);
    assert!(Arc::ptr_eq(&app.live, &newer.live), "they are of one relay");
}

#[tokio::test]
async fn whoever_breaks_the_rules_of_its_transport_is_told_how_and_its_session_ends() {
    let (app, _data) = support::app(|_| {}).await;
    let mut caller = Caller::connect(&app);
    caller.send(Incoming::Gone(Some(CloseCode::TooBig)));
    assert_eq!(caller.closed().await, CloseCode::TooBig, "before it has a session");
    let mut caller = Caller::greet(&app, None);
    let id = caller.hear("welcome").await["session_id"].as_str().expect("an id").to_owned();
    caller.send(Incoming::Gone(Some(CloseCode::TooBig)));
    assert_eq!(caller.closed().await, CloseCode::TooBig);
    let ended = async {
        loop {
            let row = app.records.store.session(&id).await.expect("it answers").expect("it is there");
            if row.state == SessionState::Ended {
                return row.end_reason;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(timeout(PATIENCE, ended).await.expect("in time").as_deref(), Some(CloseCode::TooBig.name()));
}

#[tokio::test]
async fn a_collector_of_traces_that_hangs_holds_up_no_lease_and_no_database() {
    // It takes connections and says nothing.
    let collector = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}/v1/traces", collector.local_addr().expect("bound"));
    let traces = Traces::start(&relay::config::Traces {
        endpoint: endpoint.parse().expect("a URL"),
        headers: Vec::new(),
        has_content: false,
        sample_percent: 100,
    });
    let traces = Arc::new(traces.expect("there is TLS"));
    let (app, _data) = support::app(|_| {}).await;
    let app = Arc::try_unwrap(app).expect("nobody else has it");
    let app = Arc::new(app.with_traces(Some(traces)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let serving = tokio::spawn(relay::run(listener, Arc::clone(&app)));

    let mut caller = Caller::greet(&app, None);
    let id = caller.hear("welcome").await["session_id"].as_str().expect("an id").to_owned();
    caller.text(&json!({ "type": "text", "seq": 0, "position": 0, "text": "Hello" }));
    assert_eq!(caller.hear("transcript").await["role"], "user");
    app.live.shutdown.cancel();
    let closed = async {
        while app.records.store.session(&id).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, closed).await.expect("the database is closed");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!serving.is_finished(), "the collector has its last moment all the same");
    timeout(PATIENCE, serving).await.expect("the moment is over").expect("it has stopped");
}
