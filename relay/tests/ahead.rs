//! Connections that are opened ahead of need: who takes them, what becomes of them, and what they count for.

#[path = "support/local_provider.rs"]
mod local_provider;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use protocol::Time;
use relay::provider::{
    Ask, Chat, Event, FailureKind, Feed, Message as Said, Pass, Provider, Ready, Request, Upstream,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// As long as a test that hangs may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the model thinks about for ever.
const FOR_EVER: &str = "the last digit of pi";

/// A voice as Deepgram's, that closes the first connections at once, and greets on all others.
async fn voice(closes: usize, max_concurrent: u32) -> (Arc<Upstream>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = opened.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let before = counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(speak(stream, before < closes));
        }
    });
    let provider = Provider { max_concurrent, ..provider("deepgram-aura", port) };
    (Arc::new(Upstream::new(provider).expect("a client")), opened)
}

/// A provider of this kind at this port.
fn provider(kind: &str, port: u16) -> Provider {
    local_provider::at(kind, &format!("http://127.0.0.1:{port}/"))
}

/// A model over HTTP; how many connections it was opened, and how many questions it was asked that it does not know.
async fn model() -> (Arc<Upstream>, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let (opened, unknown) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count_opened, count_unknown) = (opened.clone(), unknown.clone());
    let listener = listener.tap_io(move |_| {
        count_opened.fetch_add(1, Ordering::SeqCst);
    });
    let app = Router::new().route("/chat/completions", post(answer)).fallback(async move || {
        count_unknown.fetch_add(1, Ordering::SeqCst);
        StatusCode::NOT_FOUND
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Arc::new(Upstream::new(provider("openai-chat", port)).expect("a client")), opened, unknown)
}

/// What the model answers, unless it is asked something that it thinks about for ever.
async fn answer(question: String) -> impl IntoResponse {
    const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    if question.contains(FOR_EVER) {
        std::future::pending::<()>().await;
    }
    ([("content-type", "text/event-stream")], ANSWER)
}

/// Opens a request of a model.
fn open(upstream: &Arc<Upstream>, question: &str) -> (Request, Pass) {
    let messages = vec![Said::User(question.to_owned())];
    let ask = Ask::Chat(Chat { messages, tools: Vec::new(), max_output_tokens: 50 });
    let mut pass = upstream.admit(Time::ZERO, &ask).expect("nothing is wrong");
    let (codec, bounds) =
        (upstream.provider().codec(&ask).expect("it answers"), upstream.provider().bounds(&ask));
    (Request::open(&TaskTracker::new(), pass.way(), Instant::now(), codec, bounds), pass)
}

/// Asks a model, and waits until its connection can be used again.
async fn ask(upstream: &Arc<Upstream>) {
    let (mut request, _pass) = open(upstream, "Hello");
    loop {
        match tokio::time::timeout(PATIENCE, request.next()).await.expect("it ends by itself") {
            Event::Finished(_) => break,
            Event::Failed(failure) => panic!("{failure}"),
            _ => {}
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn speak(stream: TcpStream, closes: bool) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    if closes {
        let _ = socket.close(None).await;
        return;
    }
    let greeting = "{\"type\":\"Metadata\",\"request_id\":\"greeted\"}";
    let _ = socket.send(Message::Text(greeting.into())).await;
    while let Some(Ok(message)) = socket.next().await {
        if matches!(&message, Message::Text(text) if text.contains("Flush")) {
            let _ = socket.send(Message::Binary(vec![0; 4_800].into())).await;
            let _ = socket.send(Message::Text("{\"type\":\"Flushed\",\"sequence_id\":0}".into())).await;
        }
    }
}

/// Waits until the server has seen so many connections.
async fn until(opened: &AtomicUsize, count: usize) {
    let counted = async {
        while opened.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("it is opened");
}

fn admit(upstream: &Arc<Upstream>) -> Result<Pass, FailureKind> {
    upstream.admit(Time::ZERO, &Ask::Speak("Hello.".to_owned())).map_err(|failure| failure.kind)
}

/// Has a sentence spoken, and says how the provider calls the request.
async fn say(upstream: &Arc<Upstream>, pass: &mut Pass) -> Option<String> {
    let ask = Ask::Speak("Hello.".to_owned());
    let (codec, bounds) =
        (upstream.provider().codec(&ask).expect("it speaks"), upstream.provider().bounds(&ask));
    let mut request = Request::open(&TaskTracker::new(), pass.way(), Instant::now(), codec, bounds);
    request.feed(Feed::Finish);
    let mut has_sound = false;
    loop {
        match tokio::time::timeout(PATIENCE, request.next()).await.expect("it ends by itself") {
            Event::Sound(_) => has_sound = true,
            Event::Finished(answer) => {
                assert!(has_sound);
                return answer.request_id;
            }
            Event::Failed(failure) => panic!("{failure}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_socket_that_was_opened_ahead_is_taken_with_all_that_came_on_it() {
    let (upstream, opened) = voice(0, 0).await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let expected = upstream.expect(&tasks, &shutdown).expect("it is a socket");
    until(&opened, 1).await;
    // The greeting comes while nobody listens but the one who keeps the socket.
    tokio::time::sleep(Duration::from_millis(300)).await;
    expected.open_ahead();
    let mut pass = admit(&upstream).expect("nothing is wrong");
    assert_eq!(say(&upstream, &mut pass).await.as_deref(), Some("greeted"));
    assert_eq!(
        opened.load(Ordering::SeqCst),
        1,
        "one waits, so no other is opened, and the request opens none"
    );
    expected.open_ahead();
    until(&opened, 2).await;
}

#[tokio::test]
async fn a_socket_that_its_provider_has_closed_costs_nothing_but_a_new_one() {
    let (upstream, opened) = voice(1, 0).await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let expected = upstream.expect(&tasks, &shutdown);
    until(&opened, 1).await;
    // Taken just before, or just after that was noticed.
    let mut pass = admit(&upstream).expect("nothing is wrong");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(say(&upstream, &mut pass).await.as_deref(), Some("greeted"));
    assert_eq!(opened.load(Ordering::SeqCst), 2);
    drop(expected);
}

#[tokio::test]
async fn a_socket_that_waits_has_a_place_which_goes_to_the_request_that_takes_it() {
    let (upstream, opened) = voice(0, 1).await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let expected = upstream.expect(&tasks, &shutdown).expect("it is a socket");
    until(&opened, 1).await;
    let mut pass = admit(&upstream).expect("its place is the socket's");
    assert_eq!(admit(&upstream).err(), Some(FailureKind::AtLimit));
    expected.open_ahead();
    say(&upstream, &mut pass).await;
    assert_eq!(opened.load(Ordering::SeqCst), 1, "there is no place for another one");
    drop(pass);
    assert!(admit(&upstream).is_ok());
}

#[tokio::test]
async fn a_relay_that_stops_does_not_wait_for_sockets_that_nobody_takes() {
    let (upstream, opened) = voice(0, 0).await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let _expected = upstream.expect(&tasks, &shutdown);
    until(&opened, 1).await;
    shutdown.cancel();
    tasks.close();
    // The server answers a close at once.
    tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("they end");
    assert!(admit(&upstream).is_ok(), "and a request opens its own");
}

#[tokio::test]
async fn calls_share_a_connection_over_http_that_was_opened_ahead() {
    let (upstream, opened, unknown) = model().await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let providers = [upstream.clone()];
    let calls = [(); 8].map(|()| Ready::keep(&providers, &tasks, &shutdown));
    until(&unknown, 1).await;
    // The answer comes, and with it the connection waits.
    tokio::time::sleep(Duration::from_millis(300)).await;
    ask(&upstream).await;
    ask(&upstream).await;
    let one_more = Ready::keep(&providers, &tasks, &shutdown);
    ask(&upstream).await;
    assert_eq!((opened.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst)), (1, 1));
    drop((calls, one_more));
    tasks.close();
    tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("nobody wants it any more");
}

#[tokio::test]
async fn a_connection_is_opened_at_once_when_a_request_that_is_broken_off_has_taken_the_last_one_along() {
    let (upstream, opened, unknown) = model().await;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let calls = [(); 8].map(|()| Ready::keep(std::slice::from_ref(&upstream), &tasks, &shutdown));
    until(&unknown, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for before in 1..3 {
        let asked = open(&upstream, FOR_EVER);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(opened.load(Ordering::SeqCst), before, "the request has the connection that waited");
        drop(asked);
        until(&unknown, before + 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let counted = (opened.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst));
        assert_eq!(counted, (before + 1, before + 1), "one call has opened another one");
    }
    ask(&upstream).await;
    assert_eq!(opened.load(Ordering::SeqCst), 3, "the next turn waits for no handshake");
    drop(calls);
}

#[tokio::test]
async fn a_provider_over_http_that_is_not_there_ahead_of_need_is_tried_once_and_is_asked_as_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = opened.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let upstream = Arc::new(Upstream::new(provider("openai-chat", port)).expect("a client"));
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let calls = [(); 8].map(|()| Ready::keep(std::slice::from_ref(&upstream), &tasks, &shutdown));
    until(&opened, 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(opened.load(Ordering::SeqCst), 1, "however many calls there are");
    assert!(upstream.is_asked());
    shutdown.cancel();
    tasks.close();
    tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("a relay that stops does not wait for them");
    drop(calls);
}

#[tokio::test]
async fn what_is_asked_over_websockets_alone_is_not_asked_over_http() {
    let (upstream, _) = voice(0, 0).await;
    assert!(Ready::keep(&[upstream], &TaskTracker::new(), &CancellationToken::new()).is_none());
}
