//! The two drivers of provider requests, against servers that stall, flood and break off, over real sockets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use futures_util::{SinkExt, StreamExt, stream};
use protocol::Time;
use relay::provider::{
    Ask, Bounds, Chat, Codec, Event, FailureKind, Feed, Input, Kind, Message, Opening, Output, Provider,
    Request, Target,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};
use tokio_tungstenite::{WebSocketStream, accept_async};
use tokio_util::task::TaskTracker;

/// As long as a test that hangs may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn bounds() -> Bounds {
    Bounds {
        // A busy machine may stand still for a while.
        first: None,
        head: Duration::from_secs(3),
        silence: Some(Duration::from_secs(3)),
        whole: Some(Duration::from_secs(15)),
        bytes: 200_000,
    }
}

/// Everything that a request tells.
async fn all(mut request: Request) -> Vec<Event> {
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Finished(_) | Event::Failed(_))) {
        events.push(tokio::time::timeout(PATIENCE, request.next()).await.expect("a request ends by itself"));
    }
    events
}

fn text(events: &[Event]) -> String {
    events.iter().map(|event| if let Event::Text(text) = event { text } else { "" }).collect()
}

fn failure(events: &[Event]) -> FailureKind {
    match events.last() {
        Some(Event::Failed(failure)) => failure.kind,
        other => panic!("it ended with {other:?}"),
    }
}

fn open(codec: Box<dyn Codec>) -> Request {
    let client = relay::provider::client().expect("a client");
    Request::open(&TaskTracker::new(), &client, Instant::now(), codec, bounds())
}

/// A request of a chat at this port.
fn chat(port: u16) -> Request {
    let provider = Provider {
        name: "local".to_owned(),
        kind: Kind::named("openai-chat").expect("registered"),
        base_url: format!("http://127.0.0.1:{port}/v1/").parse().expect("an address"),
        key: None,
        model: "small".to_owned(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        price: "local/small".to_owned(),
        timeout: Duration::from_secs(1),
    };
    let messages = vec![Message::User("Hello".to_owned())];
    open(
        provider
            .codec(&Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 50 }))
            .expect("it is asked so"),
    )
}

/// A server that answers like this; returns its port.
async fn serve<F>(answer: F) -> u16
where
    F: Fn() -> Response<Body> + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let app = Router::new().route("/v1/chat/completions", post(async move || answer()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

fn event_stream(pieces: Vec<&'static str>, then_stall: bool) -> Response<Body> {
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
    let body = if then_stall {
        Body::from_stream(pieces.chain(stream::pending()))
    } else {
        Body::from_stream(pieces)
    };
    Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .body(body)
        .expect("a response")
}

const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn an_answer_comes_piece_by_piece_and_ends_once() {
    let events = all(chat(serve(|| event_stream(vec![HELLO, HELLO, END], true)).await)).await;
    assert_eq!(text(&events), "HelloHello");
    assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
}

#[tokio::test]
async fn a_provider_that_stalls_is_given_up_with_what_it_said() {
    let events = all(chat(serve(|| event_stream(vec![HELLO], true)).await)).await;
    assert_eq!((text(&events).as_str(), failure(&events)), ("Hello", FailureKind::Timeout));
    // One that takes the connection and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let events = all(chat(listener.local_addr().expect("bound").port())).await;
    assert_eq!(failure(&events), FailureKind::Timeout);
}

#[tokio::test]
async fn a_provider_that_floods_is_cut_off() {
    let flood = || {
        let body = Body::from_stream(stream::repeat_with(|| {
            Ok::<_, std::convert::Infallible>("data: 0123456789\n\n")
        }));
        Response::builder().header("content-type", "text/event-stream").body(body).expect("a response")
    };
    assert_eq!(failure(&all(chat(serve(flood).await)).await), FailureKind::Flood);
}

#[tokio::test]
async fn a_provider_that_breaks_off_or_is_not_there_is_a_failed_connection() {
    let events = all(chat(serve(|| event_stream(vec![HELLO], false)).await)).await;
    assert_eq!((text(&events).as_str(), failure(&events)), ("Hello", FailureKind::Connection));
    // In the middle of a chunk of HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut asked = [0; 4_096];
        let _ = stream.read(&mut asked).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nff\r\ndata: {";
        stream.write_all(head.as_bytes()).await.expect("it reads");
    });
    assert_eq!(failure(&all(chat(port)).await), FailureKind::Connection);
    // Nobody listens there any more.
    assert_eq!(failure(&all(chat(port)).await), FailureKind::Connection);
}

#[tokio::test]
async fn a_redirect_and_a_refusal_are_no_answers() {
    let moved = || {
        let response =
            Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header("location", "/elsewhere");
        response.body(Body::empty()).expect("a response")
    };
    assert_eq!(failure(&all(chat(serve(moved).await)).await), FailureKind::Provider);
    let busy = || {
        let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header("retry-after", "3");
        response.body(Body::from("{\"error\":{\"message\":\"later\"}}")).expect("a response")
    };
    let events = all(chat(serve(busy).await)).await;
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!((failure.kind, failure.retry_after), (FailureKind::Busy, Some(3)));
    assert!(failure.message.ends_with("later"), "{failure}");
}

#[tokio::test]
async fn a_request_that_is_dropped_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let request = chat(listener.local_addr().expect("bound").port());
    let (mut stream, _) = listener.accept().await.expect("it comes");
    drop(request);
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(read.is_ok() || rest.is_empty());
}

/// Says in texts what it hears, asks with what it is fed, and is done when the server closes in order.
struct Words {
    port: u16,
    outputs: VecDeque<Output>,
}

impl Codec for Words {
    fn open(&mut self) -> Opening {
        let url = format!("ws://127.0.0.1:{}/v1", self.port).parse().expect("an address");
        Opening::Socket(Target {
            url,
            headers: vec![("authorization", "Token test".to_owned())],
            body: Vec::new(),
        })
    }

    fn handle_input(&mut self, _now: Time, input: Input<'_>) {
        let output = match input {
            Input::Text(text) => Output::Event(Event::Text(text.to_owned())),
            Input::Feed(Feed::Text(text)) => Output::Text(text.clone()),
            Input::Feed(Feed::Finish) => Output::Binary(Bytes::from_static(b"end")),
            Input::End => Output::Event(Event::Finished(Default::default())),
            _ => return,
        };
        self.outputs.push_back(output);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// A request of a WebSocket server that goes by this script.
async fn scripted<F>(script: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static) -> Request
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        script(accept_async(stream).await.expect("a WebSocket")).await;
    });
    open(Box::new(Words { port, outputs: VecDeque::new() }))
}

fn said(text: &str) -> tungstenite::Message {
    tungstenite::Message::Text(text.into())
}

#[tokio::test]
async fn what_a_socket_is_fed_comes_in_order_and_its_answers_come_back() {
    let mut request = scripted(async |mut socket| {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                tungstenite::Message::Text(_) => socket.send(message).await.expect("it is read"),
                tungstenite::Message::Binary(_) => break,
                _ => {}
            }
        }
        let _ = socket.close(None).await;
    })
    .await;
    let words: Vec<String> = (0..50).map(|n| format!("word {n} ")).collect();
    for word in &words {
        request.feed(Feed::Text(word.clone()));
    }
    request.feed(Feed::Finish);
    let events = all(request).await;
    assert_eq!(text(&events), words.concat());
    assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
}

#[tokio::test]
async fn a_socket_that_stalls_floods_or_closes_in_mid_message_is_a_failure_of_its_kind() {
    let stalls = scripted(async |mut socket| {
        socket.send(said("before")).await.expect("it is read");
        tokio::time::sleep(PATIENCE).await;
    });
    let events = all(stalls.await).await;
    assert_eq!((text(&events).as_str(), failure(&events)), ("before", FailureKind::Timeout));

    let floods = scripted(async |mut socket| while socket.send(said(&"x".repeat(1_000))).await.is_ok() {});
    assert_eq!(failure(&all(floods.await).await), FailureKind::Flood);

    // Larger than any message may be.
    let huge = scripted(async |mut socket| {
        let _ = socket.send(said(&"x".repeat(3 << 20))).await;
    });
    assert_eq!(failure(&all(huge.await).await), FailureKind::Connection);

    let breaks_off = scripted(async |mut socket| {
        socket.send(said("before")).await.expect("it is read");
        // The head of a frame of 100 bytes, and ten of them.
        let mut begun = vec![0x81, 100];
        begun.extend([b'x'; 10]);
        socket.get_mut().write_all(&begun).await.expect("it is read");
    });
    let events = all(breaks_off.await).await;
    assert_eq!((text(&events).as_str(), failure(&events)), ("before", FailureKind::Connection));

    let refuses = scripted(async |mut socket| {
        let frame = CloseFrame { code: 1011.into(), reason: "NET-0001".into() };
        let _ = socket.close(Some(frame)).await;
    });
    let events = all(refuses.await).await;
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert!(failure.message.contains("1011") && failure.message.contains("NET-0001"), "{failure}");
}

#[tokio::test]
async fn a_socket_that_takes_nothing_fails_and_what_it_is_fed_does_not_pile_up() {
    let mut request = scripted(async |socket| {
        tokio::time::sleep(PATIENCE).await;
        drop(socket);
    })
    .await;
    let begun = Instant::now();
    let piece = "x".repeat(100_000);
    while begun.elapsed() < PATIENCE {
        request.feed(Feed::Text(piece.clone()));
        tokio::select! {
            event = request.next() => {
                assert_eq!(failure(&[event]), FailureKind::Connection);
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    panic!("it takes without end");
}

#[tokio::test]
async fn a_socket_that_is_refused_says_what_the_server_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut asked = [0; 4_096];
        let _ = stream.read(&mut asked).await;
        let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 7\r\n\r\nbad key";
        stream.write_all(answer.as_bytes()).await.expect("it reads");
    });
    let events = all(open(Box::new(Words { port, outputs: VecDeque::new() }))).await;
    // This codec ends well when the wire does: what the drivers owe it is the head and the body.
    assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
}
