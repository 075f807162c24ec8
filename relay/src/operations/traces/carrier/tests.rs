//! What becomes of spans that a collector takes, takes in part, or does not take.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::super::otlp::{Export, PartialSuccess};
use super::*;
use crate::operations::outbound;

/// The spans of a turn, by their names.
fn waiting(names: &[&str], bytes: usize) -> Waiting {
    let spans = names.iter().map(|name| Span { name: (*name).to_owned(), ..Span::default() }).collect();
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is room");
    Waiting { spans, bytes, _room: room }
}

/// A carrier to a collector that answers so to the names of the spans that it is posted, and the way to its queue.
async fn carrier(answer: fn(&[String]) -> Response) -> (Carrier, mpsc::Sender<Waiting>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let take = move |body: Bytes| async move {
        let export = Export::decode(&*body).expect("an export of traces");
        let scopes = export.resource_spans.into_iter().flat_map(|of| of.scope_spans);
        let names: Vec<String> = scopes.flat_map(|of| of.spans).map(|span| span.name).collect();
        answer(&names)
    };
    let routes = Router::new().route("/", post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = outbound::http_client().build().expect("there is TLS");
    let url = format!("http://127.0.0.1:{port}/").parse().expect("a URL");
    let (queue, spans) = mpsc::channel(8);
    (Carrier::new(spans, Collector { client, url }, CancellationToken::new()), queue)
}

/// Posts these turns at once. Says how many spans are dropped, and why.
async fn deliver(carrier: &mut Carrier, turns: &[&[&str]]) -> (usize, String) {
    let turns = turns.iter().map(|names| waiting(names, 1)).collect();
    carrier.posting.push_back(Batch { turns, is_half: false });
    let done = carrier.deliver().await;
    assert!(carrier.posting.is_empty());
    done
}

#[tokio::test]
async fn a_turn_that_is_refused_costs_only_the_half_that_it_is_in_its_spans() {
    let (mut carrier, _queue) = carrier(|names| match names.iter().any(|name| name == "fat") {
        true => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        false => StatusCode::OK.into_response(),
    })
    .await;
    let turns: &[&[&str]] = &[&["a"], &["b", "c"], &["fat"], &["d"]];
    assert_eq!(deliver(&mut carrier, turns).await, (2, "status 413".to_owned()));
    assert_eq!(deliver(&mut carrier, &[&["a"]]).await, (0, String::new()));
}

#[tokio::test]
async fn spans_that_a_collector_says_it_rejects_are_dropped_and_an_endless_answer_says_nothing() {
    let (mut carrier, _queue) = carrier(|names| {
        let rejected_spans = i64::try_from(names.len()).expect("a few") - 1;
        let partial_success = Some(PartialSuccess { rejected_spans });
        Answer { partial_success }.encode_to_vec().into_response()
    })
    .await;
    assert_eq!(deliver(&mut carrier, &[&["a", "b"], &["c"]]).await, (2, "rejected".to_owned()));

    let (mut carrier, _queue) = self::carrier(|_| {
        let piece = Ok::<_, Infallible>(Bytes::from_static(&[0; 4_096]));
        Body::from_stream(stream::repeat(piece)).into_response()
    })
    .await;
    assert_eq!(deliver(&mut carrier, &[&["a"]]).await, (0, String::new()));
}

#[tokio::test]
async fn a_collector_that_wants_to_be_left_alone_for_long_costs_one_batch_and_is_left_alone() {
    let (mut carrier, _queue) =
        carrier(|_| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3600")]).into_response()).await;
    let before = Instant::now();
    assert_eq!(deliver(&mut carrier, &[&["a"], &["b"]]).await, (2, "status 503".to_owned()));
    let rests_until = carrier.rests_until.expect("it said so");
    assert!(rests_until >= before + LONGEST_REST && rests_until <= Instant::now() + LONGEST_REST);
}

#[test]
fn spans_are_posted_again_when_the_collector_wants_it_and_within_their_time() {
    let second = Duration::from_secs;
    let now = Instant::now();
    let deadline = now + WITHIN;
    for (passed, wait, rest, wanted) in [
        (0, 1, None, Some(1)),
        (0, 4, Some(second(9)), Some(9)),
        (0, 16, Some(second(9)), Some(16)),
        (13, 16, None, Some(29)),
        (14, 16, None, None),
        (0, 1, Some(LONGEST_REST), None),
    ] {
        let now = now + second(passed);
        let again = next_try(now, second(wait), rest, deadline);
        assert_eq!(again, wanted.map(|after| deadline - WITHIN + second(after)), "{passed} {wait} {rest:?}");
    }
}

#[tokio::test]
async fn a_batch_ends_where_it_has_enough_bytes_and_what_is_given_up_is_counted_whole() {
    let (mut carrier, queue) = carrier(|_| StatusCode::OK.into_response()).await;
    // Nothing is waited for.
    carrier.closing.cancel();
    for names in [&["a", "b"][..], &["c"], &["d"], &["e", "f", "g"]] {
        queue.try_send(waiting(names, 600 * 1_024)).expect("there is room");
    }
    assert!(carrier.gather().await);
    assert_eq!(carrier.posting.iter().map(|batch| batch.turns.len()).collect::<Vec<_>>(), [2]);
    // Three that are to be posted, and four in the queue.
    assert_eq!(carrier.give_up(), 7);
    assert!(queue.try_send(waiting(&["h"], 1)).is_err(), "nobody would count it");
}
