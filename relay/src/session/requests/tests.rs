use std::collections::BTreeMap;

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::config::Config;
use crate::provider::{Kind, Provider, scenario};

/// As long as a test that hangs may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a provider is waited for.
async fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

#[test]
fn what_a_recogniser_bills_beyond_a_second_more_or_less_than_it_was_given_is_noticed() {
    let difference = |samples: u64| {
        let answer = Answer { usage: Some(Quantity::Samples(samples)), ..Answer::default() };
        billed(RequestId(0), 160_000, answer).expect("it says so").difference()
    };
    assert_eq!(difference(160_000), None);
    assert_eq!(difference(176_000), None);
    assert_eq!(difference(176_001), Some(16_001));
    assert_eq!(difference(100_000), Some(-60_000));
    assert_eq!(billed(RequestId(0), 160_000, Answer::default()), None);
}

#[tokio::test]
async fn a_recogniser_that_is_let_go_of_is_told_so_and_heard_to_its_end() {
    let listener = bound().await;
    let port = listener.local_addr().expect("bound").port();
    let variables = [
        ("VOXRELAY_PROVIDERS__EARS__KIND", "deepgram".to_owned()),
        ("VOXRELAY_PROVIDERS__EARS__MODEL", "nova-3".to_owned()),
        ("VOXRELAY_PROVIDERS__EARS__URL", format!("http://127.0.0.1:{port}")),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let config = Config::load(None, variables).expect("a configuration");
    let ears = config.providers.into_values().next().expect("it is configured");
    let upstream = Arc::new(Upstream::new(ears).expect("a client"));
    // What it is sent, until it says that it is done and hangs up.
    let recogniser = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("it comes");
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a WebSocket");
        let mut sent = BTreeMap::<String, usize>::new();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) => *sent.entry("audio".to_owned()).or_default() += bytes.len(),
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    let name = message["type"].as_str().expect("a name").to_owned();
                    if name == "CloseStream" {
                        // What it understands last is nobody's any more.
                        let last = json!({"type": "Results", "start": 0, "duration": 0.1, "is_final": true});
                        let done = json!({"type": "Metadata", "request_id": "r", "duration": 0.1});
                        for message in [last, done] {
                            socket.send(Message::text(message.to_string())).await.expect("it reads");
                        }
                    }
                    *sent.entry(name).or_default() += 1;
                }
                _ => *sent.entry("close".to_owned()).or_default() += 1,
            }
        }
        sent
    });
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let mut requests = Requests::new(tasks.clone(), shutdown, Instant::now(), vec![upstream]);
    let id = RequestId(0);
    requests.open(id, 0, &Ask::Listen);
    let ready = timeout(PATIENCE, requests.next()).await.expect("it opens");
    assert!(matches!(ready, Input::Provider(request, Event::Ready) if request == id), "{ready:?}");
    requests.feed(id, Feed::Audio(vec![0; 3_200].into()));
    requests.cancel(id);
    let mut closing = requests.close();
    assert!(!closing.is_empty());
    // The session is over with that.
    drop(requests);
    tasks.close();
    timeout(PATIENCE, tasks.wait()).await.expect("it is gone");
    let sent = timeout(PATIENCE, recogniser).await.expect("it hangs up").expect("no panic");
    let expected = [("CloseStream", 1), ("audio", 3_200), ("close", 1)];
    assert_eq!(sent, expected.map(|(name, count)| (name.to_owned(), count)).into());
    let said = Billed { request: id, given: 1_600, samples: 1_600, request_id: Some("r".into()) };
    assert_eq!(closing.next().await, Some(said));
    assert_eq!(closing.next().await, None);
}

#[tokio::test]
async fn what_one_recogniser_bills_is_told_while_another_one_says_nothing() {
    let tasks = TaskTracker::new();
    let mut closing = Closing::default();
    let said = Billed { request: RequestId(2), given: 16_000, samples: 48_000, request_id: None };
    let saying = said.clone();
    closing.0.push(UnderWay::start(&tasks, std::future::pending()));
    closing.0.push(UnderWay::start(&tasks, async { None }));
    closing.0.push(UnderWay::start(&tasks, async { Some(saying) }));
    let told = timeout(PATIENCE, closing.next()).await.expect("it does not wait for the others");
    assert_eq!(told, Some(said));
    assert!(!closing.is_empty());
}

#[tokio::test]
async fn the_way_to_the_voice_is_opened_with_the_users_first_words_and_not_with_silence() {
    let of = |kind: &str, listener: &TcpListener| {
        let base_url =
            format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("an address");
        let kind = Kind::named(kind).expect("registered");
        Arc::new(Upstream::new(Provider { base_url, ..scenario::provider(kind, "m") }).expect("a client"))
    };
    let (hears, speaks) = (bound().await, bound().await);
    let upstreams = vec![of("deepgram", &hears), of("deepgram-aura", &speaks)];
    let (tell, mut told) = tokio::sync::mpsc::channel::<String>(1);
    tokio::spawn(async move {
        let (stream, _) = hears.accept().await.expect("it comes");
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a WebSocket");
        while let Some(words) = told.recv().await {
            let alternative = json!({"transcript": words, "confidence": 1, "words": []});
            let channel = json!({"alternatives": [alternative]});
            let results =
                json!({"type": "Results", "start": 0, "duration": 0.1, "is_final": true, "channel": channel});
            socket.send(Message::text(results.to_string())).await.expect("it reads");
        }
    });
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let mut requests = Requests::new(tasks, shutdown, Instant::now(), upstreams);
    let id = RequestId(0);
    requests.open(id, 0, &Ask::Listen);
    requests.feed(id, Feed::Audio(vec![0; 3_200].into()));
    let hear = async |requests: &mut Requests, words: &str| {
        tell.send(words.to_owned()).await.expect("it goes on");
        let is_heard = async {
            while !matches!(requests.next().await, Input::Provider(_, Event::Heard(heard)) if heard.text == words)
            {
            }
        };
        timeout(PATIENCE, is_heard).await.expect("it is told");
    };
    hear(&mut requests, "").await;
    assert!(requests.next_voice.is_none(), "nobody has said anything");
    hear(&mut requests, "Hello.").await;
    assert!(requests.next_voice.is_some());
    timeout(PATIENCE, speaks.accept()).await.expect("it comes").expect("a connection");
    // That one was closed at once. It is not tried again with each word.
    tokio::time::sleep(Duration::from_millis(200)).await;
    hear(&mut requests, "Is").await;
    assert!(timeout(Duration::from_millis(300), speaks.accept()).await.is_err());

    // Nobody is answered.
    requests.words_at =
        requests.words_at.and_then(|at| at.checked_sub(SOCKET_KEPT_FOR + Duration::from_secs(1)));
    assert!(requests.next().now_or_never().is_none());
    assert!(requests.next_voice.is_none());
    hear(&mut requests, "Is anybody there?").await;
    timeout(PATIENCE, speaks.accept()).await.expect("it comes").expect("a connection");

    // An answer takes it over, and ends with it unless somebody has spoken meanwhile.
    let spoken = RequestId(1);
    let answers = async |requests: &mut Requests| {
        requests.open(spoken, 1, &Ask::Speak("Yes.".to_owned()));
        assert!(requests.next_voice.is_some() && requests.words_at.is_none());
        timeout(PATIENCE, speaks.accept()).await.expect("it comes").expect("a connection")
    };
    let _connections = answers(&mut requests).await;
    requests.cancel(spoken);
    assert!(requests.next_voice.is_none());
    let _connections = answers(&mut requests).await;
    hear(&mut requests, "Wait.").await;
    requests.cancel(spoken);
    assert!(requests.next_voice.is_some() && requests.words_at.is_some());
}
