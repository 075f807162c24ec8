//! What a provider may take, stage by stage, over both wires: servers that stall at one place, and deadlines of which one alone can be missed.

#[path = "support/local_provider.rs"]
mod local_provider;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use relay::provider::{
    Ask, Chat, Connections, Deadlines, Event, Failure, FailureKind, Message, Provider, Request,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_util::task::TaskTracker;

/// A deadline that is missed.
const SOON: Duration = Duration::from_secs(1);
/// One that no test waits for.
const LATE: Duration = Duration::from_secs(300);
/// As long as a test that hangs may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// No deadline that anything misses.
const PATIENT: Deadlines = Deadlines { connect: LATE, first: LATE, silence: LATE, whole: LATE };

/// Where a server stalls.
#[derive(Clone, Copy)]
enum Stalls {
    /// It takes a connection, and says nothing on it.
    Connecting,
    /// It has taken the request.
    Asked,
    /// It has answered that an answer comes.
    Begun,
    /// It has given a piece of the answer.
    InTheMiddle,
    /// Never: it gives piece after piece.
    Nowhere,
}

async fn stall() {
    tokio::time::sleep(PATIENCE).await;
}

async fn over_http(mut stream: TcpStream, stalls: Stalls) {
    if matches!(stalls, Stalls::Connecting) {
        return stall().await;
    }
    let mut asked = [0; 4_096];
    let _ = stream.read(&mut asked).await;
    if matches!(stalls, Stalls::Asked) {
        return stall().await;
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    if matches!(stalls, Stalls::Begun) {
        return stall().await;
    }
    loop {
        let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
        if stream.write_all(piece.as_bytes()).await.is_err() {
            return;
        }
        if matches!(stalls, Stalls::InTheMiddle) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stall().await;
}

async fn over_socket(stream: TcpStream, stalls: Stalls) {
    if matches!(stalls, Stalls::Connecting) {
        return stall().await;
    }
    let Ok(mut socket) = accept_async(stream).await else { return };
    let _ = socket.next().await;
    if matches!(stalls, Stalls::Asked | Stalls::Begun) {
        return stall().await;
    }
    loop {
        if socket.send(Frame::Binary(vec![0; 4_800].into())).await.is_err() {
            return;
        }
        if matches!(stalls, Stalls::InTheMiddle) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stall().await;
}

/// A provider of this kind where somebody stalls.
async fn provider(kind: &str, scheme: &str, stalls: Stalls, deadlines: Deadlines) -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let is_socket = kind == "deepgram-aura";
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        if is_socket { over_socket(stream, stalls).await } else { over_http(stream, stalls).await }
    });
    Provider { deadlines, ..local_provider::at(kind, &format!("{scheme}://127.0.0.1:{port}/v1/")) }
}

/// What comes of a request: how many pieces, and how it fails.
async fn fails(provider: &Provider) -> (usize, Failure) {
    let ask = match provider.kind.name {
        "openai-chat" => {
            let messages = vec![Message::User("Hello".to_owned())];
            Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 50 })
        }
        _ => Ask::Speak("Hello.".to_owned()),
    };
    let connections = Connections::new("slow", provider.deadlines.connect).expect("a client");
    let codec = provider.codec(&ask).expect("it is asked so");
    let mut request = Request::open(
        &TaskTracker::new(),
        Arc::new(connections).into(),
        Instant::now(),
        codec,
        provider.bounds(&ask),
    );
    let mut pieces = 0;
    loop {
        match tokio::time::timeout(PATIENCE, request.next()).await.expect("it ends by itself") {
            Event::Text(_) | Event::Sound(_) => pieces += 1,
            Event::Failed(failure) => return (pieces, failure),
            Event::Finished(answer) => panic!("it has no end, but {answer:?}"),
            _ => {}
        }
    }
}

const WIRES: [&str; 2] = ["openai-chat", "deepgram-aura"];

#[tokio::test]
async fn a_connection_that_does_not_come_is_given_up_and_nothing_was_asked() {
    for kind in WIRES {
        for scheme in ["http", "https"] {
            if (kind, scheme) == ("openai-chat", "http") {
                // Without TLS the connection is there as soon as the system has taken it.
                continue;
            }
            let mut each = vec![Deadlines { connect: SOON, ..PATIENT }];
            if kind == "openai-chat" {
                // Whichever time is over: nobody is late with an answer who was not asked.
                each.push(Deadlines { first: SOON, ..PATIENT });
            }
            for deadlines in each {
                let provider = provider(kind, scheme, Stalls::Connecting, deadlines).await;
                let (pieces, failure) = fails(&provider).await;
                let told = (pieces, failure.kind);
                assert_eq!(told, (0, FailureKind::Connection), "{kind} {scheme}: {failure}");
                assert!(!failure.kind.may_be_billed());
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up() {
    for kind in WIRES {
        for stalls in [Stalls::Asked, Stalls::Begun] {
            let deadlines = Deadlines { first: SOON, ..PATIENT };
            let (pieces, failure) = fails(&provider(kind, "http", stalls, deadlines).await).await;
            assert_eq!((pieces, failure.kind), (0, FailureKind::Timeout), "{kind}: {failure}");
            assert_eq!(failure.message, "nothing came in time");
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_go_on_is_given_up_with_what_came() {
    for kind in WIRES {
        let deadlines = Deadlines { silence: SOON, ..PATIENT };
        let (pieces, failure) = fails(&provider(kind, "http", Stalls::InTheMiddle, deadlines).await).await;
        assert_eq!((pieces, failure.kind), (1, FailureKind::Timeout), "{kind}: {failure}");
        assert_eq!(failure.message, "nothing came in time");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up_with_what_came() {
    for kind in WIRES {
        let deadlines = Deadlines { whole: SOON, ..PATIENT };
        let (pieces, failure) = fails(&provider(kind, "http", Stalls::Nowhere, deadlines).await).await;
        assert_eq!(failure.kind, FailureKind::Timeout, "{kind}: {failure}");
        assert!(pieces > 0 && failure.message == "no end in time", "{kind}: {failure}");
    }
}
