//! The two drivers of provider requests, against servers that stall, flood and break off, over real sockets.

#[path = "support/local_provider.rs"]
mod local_provider;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Response;
use axum::routing::post;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, stream};
use protocol::Time;
use relay::provider::{
    Ask, Bounds, Chat, Codec, Connections, Event, FailureKind, Feed, Input, Message, Opening, Output,
    Request, Sound, Target,
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
        unanswered: None,
        whole: Some(Duration::from_secs(15)),
        bytes: 200_000,
    }
}

/// Everything that a request tells, but for that it has left.
async fn all(mut request: Request) -> Vec<Event> {
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Finished(_) | Event::Failed(_))) {
        let event = tokio::time::timeout(PATIENCE, request.next()).await.expect("a request ends by itself");
        if event != Event::Ready {
            events.push(event);
        }
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
    open_over(&connections(), codec)
}

fn connections() -> Arc<Connections> {
    Arc::new(Connections::new("local", Duration::from_secs(3)).expect("a client"))
}

fn open_over(connections: &Arc<Connections>, codec: Box<dyn Codec>) -> Request {
    Request::open(&TaskTracker::new(), connections.clone().into(), Instant::now(), codec, bounds())
}

/// A kind of provider that answers one `POST` with a stream, and how it looks when all is well.
///
/// What else may happen to a request is the same whatever the provider speaks; so each kind is a line in [`ROWS`].
struct Row {
    kind: &'static str,
    /// What it is asked.
    ask: fn() -> Ask,
    /// Where it is asked.
    path: &'static str,
    /// The media type of its answers.
    media_type: &'static str,
    /// A piece of an answer, which says "Hello".
    piece: &'static str,
    /// What ends an answer well.
    end: &'static str,
    /// What is no part of an answer, but may come at any time.
    noise: &'static str,
}

const ROWS: [Row; 2] = [
    Row {
        kind: "openai-chat",
        ask: chat,
        path: "/v1/chat/completions",
        media_type: "text/event-stream; charset=utf-8",
        piece: "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n",
        end: "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        noise: ": keep-alive\n\n",
    },
    Row {
        kind: "anthropic",
        ask: chat,
        path: "/v1/messages",
        media_type: "text/event-stream; charset=utf-8",
        piece: concat!(
            "event: content_block_delta\n",
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
        ),
        end: concat!(
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        noise: "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    },
];

fn chat() -> Ask {
    let messages = vec![Message::User("Hello".to_owned())];
    Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 50 })
}

impl Row {
    /// A request at this port.
    fn request(&self, port: u16) -> Request {
        open(self.codec(port))
    }

    /// The same over these connections.
    fn codec(&self, port: u16) -> Box<dyn Codec> {
        let provider = local_provider::at(self.kind, &format!("http://127.0.0.1:{port}/v1/"));
        provider.codec(&(self.ask)()).expect("it is asked so")
    }

    /// What comes of a request of a server that answers like this.
    async fn answered<F>(&self, answer: F) -> Vec<Event>
    where
        F: Fn() -> Response<Body> + Clone + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let app = Router::new().route(self.path, post(async move || answer()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        all(self.request(port)).await
    }

    /// An answer in these pieces, after which the server says no more, or closes.
    fn stream(
        &self,
        pieces: &[&'static str],
        then_stall: bool,
    ) -> impl Fn() -> Response<Body> + Clone + Send + Sync + 'static {
        let (media_type, pieces) = (self.media_type, pieces.to_vec());
        move || {
            let pieces = stream::iter(pieces.clone().into_iter().map(Ok::<_, Infallible>));
            let body = if then_stall {
                Body::from_stream(pieces.chain(stream::pending()))
            } else {
                Body::from_stream(pieces)
            };
            answer(200, media_type, body)
        }
    }
}

fn answer(status: u16, media_type: &str, body: Body) -> Response<Body> {
    let head = Response::builder().status(status).header("content-type", media_type);
    // For those that refuse.
    head.header("location", "/elsewhere").header("retry-after", "3").body(body).expect("a response")
}

#[tokio::test]
async fn an_answer_comes_piece_by_piece_and_ends_once() {
    for row in &ROWS {
        let pieces = [row.noise, row.piece, row.noise, row.piece, row.end];
        // Not every server calls a stream by its name.
        for media_type in [row.media_type, "text/html; charset=utf-8", "text/plain", ""] {
            let row = Row { media_type, ..*row };
            let events = row.answered(row.stream(&pieces, true)).await;
            assert_eq!(text(&events), "HelloHello", "{} as {media_type:?}", row.kind);
            assert!(matches!(events.last(), Some(Event::Finished(_))), "{}: {events:?}", row.kind);
        }
    }
}

#[tokio::test]
async fn what_an_answer_is_called_reaches_its_reader_with_its_parameters() {
    let voice = Row {
        kind: "openai-speech",
        ask: || Ask::Speak("Hello".to_owned()),
        path: "/v1/audio/speech",
        media_type: "audio/pcm; rate=16000",
        piece: "",
        end: "",
        noise: "",
    };
    let events =
        voice.answered(|| answer(200, "audio/pcm; rate=16000", Body::from(&b"\x01\0\x02\0"[..]))).await;
    let sound = Event::Sound(Sound { rate: 16_000, samples: vec![1, 2] });
    assert!(events.contains(&sound), "{events:?}");
    // One that answers whole is known by its name all the same.
    let whole = "{\"choices\":[{\"message\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}";
    let whole = move || answer(200, "application/json; charset=utf-8", Body::from(whole));
    let events = ROWS[0].answered(whole).await;
    assert_eq!(text(&events), "Hello", "{events:?}");
}

#[tokio::test]
async fn a_provider_that_stalls_is_given_up_with_what_it_said() {
    // Each waits in vain, so all of them do at once.
    join_all(ROWS.iter().map(async |row| {
        let takes_and_never_answers = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            all(row.request(listener.local_addr().expect("bound").port())).await
        };
        let (in_the_middle, before_the_first, never) = tokio::join!(
            row.answered(row.stream(&[row.piece], true)),
            row.answered(row.stream(&[], true)),
            takes_and_never_answers,
        );
        for (events, said) in [(in_the_middle, "Hello"), (before_the_first, ""), (never, "")] {
            assert_eq!(text(&events), said, "{}", row.kind);
            assert_eq!(failure(&events), FailureKind::Timeout, "{}", row.kind);
        }
    }))
    .await;
}

#[tokio::test]
async fn a_provider_that_floods_is_cut_off() {
    for row in &ROWS {
        for piece in [row.noise, row.piece, "data: without an end, "] {
            let media_type = row.media_type;
            let flood = move || {
                let pieces = stream::repeat_with(move || Ok::<_, Infallible>(piece));
                answer(200, media_type, Body::from_stream(pieces))
            };
            assert_eq!(failure(&row.answered(flood).await), FailureKind::Flood, "{} {piece:?}", row.kind);
        }
    }
}

#[tokio::test]
async fn a_provider_that_breaks_off_is_told_from_one_that_is_not_there() {
    for row in &ROWS {
        let events = row.answered(row.stream(&[row.piece], false)).await;
        let end = (text(&events), failure(&events));
        assert_eq!(end, ("Hello".to_owned(), FailureKind::BrokeOff), "{}", row.kind);
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
        assert_eq!(failure(&all(row.request(port)).await), FailureKind::BrokeOff, "{}", row.kind);
        // Nobody listens there any more.
        assert_eq!(failure(&all(row.request(port)).await), FailureKind::Connection, "{}", row.kind);
    }
}

#[tokio::test]
async fn what_says_nothing_or_something_else_is_no_answer() {
    for row in &ROWS {
        for (media_type, body, kind) in [
            (row.media_type, "", FailureKind::BrokeOff),
            (row.media_type, row.noise, FailureKind::BrokeOff),
            ("text/html; charset=utf-8", "<html>It works!</html>", FailureKind::Provider),
            ("application/json", "<html>It works!</html>", FailureKind::Provider),
            ("application/json", "", FailureKind::Provider),
            ("", "", FailureKind::BrokeOff),
        ] {
            let events = row.answered(move || answer(200, media_type, Body::from(body))).await;
            assert_eq!(events.len(), 1, "{}: {events:?}", row.kind);
            assert_eq!(failure(&events), kind, "{} with {media_type:?} and {body:?}", row.kind);
        }
    }
}

#[tokio::test]
async fn a_redirect_and_a_refusal_are_no_answers() {
    for row in &ROWS {
        for (status, kind) in [
            (307, FailureKind::Provider),
            (401, FailureKind::Key),
            (402, FailureKind::Payment),
            (404, FailureKind::Request),
            (429, FailureKind::Busy),
            (500, FailureKind::Provider),
            (529, FailureKind::Busy),
        ] {
            let body = "{\"error\":{\"message\":\"later\"}}";
            let events = row.answered(move || answer(status, "application/json", Body::from(body))).await;
            let [Event::Failed(failure)] = &events[..] else { panic!("{}: {events:?}", row.kind) };
            assert_eq!((failure.kind, failure.retry_after), (kind, Some(3)), "{} {status}", row.kind);
            assert!(failure.message.ends_with("later"), "{failure}");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_closes_its_connection() {
    for row in &ROWS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let request = row.request(listener.local_addr().expect("bound").port());
        let (mut stream, _) = listener.accept().await.expect("it comes");
        drop(request);
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(read.is_ok() || rest.is_empty());
    }
}

#[tokio::test]
async fn a_request_says_that_it_has_left_when_a_connection_has_taken_it_and_not_before() {
    for row in &ROWS {
        // It takes connections, and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let mut request = row.request(port);
        let told = tokio::time::timeout(PATIENCE, request.next()).await.expect("it leaves");
        assert_eq!(told, Event::Ready, "{}", row.kind);
        let (mut stream, _) = listener.accept().await.expect("it comes");
        let mut asked = vec![0; 1 << 16];
        let read = stream.read(&mut asked).await.expect("it is sent");
        let head = String::from_utf8_lossy(&asked[..read]).to_lowercase();
        assert!(head.contains("content-length: ") && !head.contains("chunked"), "{}: {head}", row.kind);
        drop(listener);
        // Nobody listens there any more.
        let told = tokio::time::timeout(PATIENCE, row.request(port).next()).await.expect("it ends");
        assert!(matches!(told, Event::Failed(_)), "{}: {told:?}", row.kind);
    }
}

#[tokio::test]
async fn an_answer_that_ends_leaves_its_connection_to_the_next_request() {
    for row in &ROWS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let opened = Arc::new(AtomicUsize::new(0));
        let counted = opened.clone();
        let (piece, end) = (row.piece, row.end);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut asked = vec![0; 1 << 16];
                    while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                        let answer = format!("{piece}{end}");
                        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
                        let begun = format!("{head}\r\n\r\n{:x}\r\n{answer}\r\n", answer.len());
                        let _ = stream.write_all(begun.as_bytes()).await;
                        // The last word of the answer is not the last byte of the body.
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        let _ = stream.write_all(b"0\r\n\r\n").await;
                    }
                });
            }
        });
        let connections = connections();
        for asked in 1..4 {
            let events = all(open_over(&connections, row.codec(port))).await;
            assert_eq!(text(&events), "Hello", "{} {asked}: {events:?}", row.kind);
            // A turn later.
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
        assert_eq!(opened.load(Ordering::SeqCst), 1, "{}", row.kind);
    }
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

    // Signs of life are no answer, however many there are.
    let pings = scripted(
        async |mut socket| {
            while socket.send(tungstenite::Message::Ping(Vec::new().into())).await.is_ok() {}
        },
    );
    assert_eq!(failure(&all(pings.await).await), FailureKind::Timeout);

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
    let mut request = scripted(async |mut socket| {
        socket.send(said("here")).await.expect("it is read");
        tokio::time::sleep(PATIENCE).await;
        drop(socket);
    })
    .await;
    // Before it is there it would not be its failure.
    assert_eq!(request.next().await, Event::Text("here".to_owned()));
    let begun = Instant::now();
    let piece = "x".repeat(100_000);
    while begun.elapsed() < PATIENCE {
        // So many that it is full long before the time is over in which it may be silent, however busy the machine is.
        for _ in 0..200 {
            request.feed(Feed::Text(piece.clone()));
        }
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
