//! WebSockets that are opened ahead of need: who takes them, what becomes of them, and what they count for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use protocol::Time;
use relay::provider::{Ask, Deadlines, Event, FailureKind, Feed, Kind, Pass, Provider, Request, Upstream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// As long as a test that hangs may take.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let provider = Provider {
        name: "voice".to_owned(),
        kind: Kind::named("deepgram-aura").expect("registered"),
        base_url: format!("http://127.0.0.1:{port}/").parse().expect("an address"),
        key: None,
        model: "aura".to_owned(),
        voice: None,
        language: None,
        key_terms: Vec::new(),
        eager: false,
        price: "voice/aura".to_owned(),
        deadlines: Deadlines::default(),
        max_concurrent,
    };
    (Arc::new(Upstream::new(provider).expect("a client")), opened)
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
