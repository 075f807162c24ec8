//! Streamed HTTP: one `POST`, whose answer is read as it comes.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::connections::is_kept;
use super::request::Carried;
use super::{Connections, Input, Target};

/// Headers in which providers name a request.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "dg-request-id"];

/// After its end an answer is read on for so long, and so far, until its connection can be used again.
const REST_WITHIN: Duration = Duration::from_secs(2);
const REST_MAX_BYTES: usize = 64 * 1024;

pub(super) async fn carry(mut carried: Carried, connections: &Connections, target: Target) {
    let (question, mut leaves) = Question::new(target.body);
    let mut request = connections.client().post(target.url).body(reqwest::Body::wrap(question));
    for (name, value) in target.headers {
        request = request.header(name, value);
    }
    let in_use = connections.take();
    // Polled in place: nothing else waits for what it may hold.
    let mut response = {
        let mut sending = std::pin::pin!(request.send());
        let mut has_left = false;
        loop {
            tokio::select! {
                biased;
                left = &mut leaves, if !has_left => {
                    has_left = true;
                    // Who drops it without a word has not sent it.
                    if left.is_ok() && !carried.sent().await {
                        return;
                    }
                }
                sent = &mut sending => match sent {
                    Ok(response) => break response,
                    Err(error) => return lost(&mut carried, &error).await,
                },
                () = sleep_until(carried.due()) => {
                    if !carried.handle(Input::Timeout).await {
                        return;
                    }
                }
            }
        }
    };
    if !head(&mut carried, &response).await {
        return;
    }
    let is_kept = is_kept(&response);
    let rest = read(&mut carried, &mut response).await;
    let is_read = match rest {
        Rest::Nothing => true,
        Rest::Unread if carried.has_finished() => {
            timeout(REST_WITHIN, read_rest(response)).await.unwrap_or(false)
        }
        Rest::Unread | Rest::Lost => false,
    };
    if is_kept && is_read {
        in_use.give_back();
    }
}

/// The body of a request, which says when it leaves: it is taken when a connection is there for it, and not before.
struct Question {
    bytes: Bytes,
    leaves: Option<oneshot::Sender<()>>,
}

impl Question {
    /// What is asked, and what tells when it leaves.
    fn new(bytes: Vec<u8>) -> (Question, oneshot::Receiver<()>) {
        let (leaves, left) = oneshot::channel();
        (Question { bytes: bytes.into(), leaves: Some(leaves) }, left)
    }
}

impl HttpBody for Question {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(leaves) = self.leaves.take() {
            // Whoever asked may have gone.
            let _ = leaves.send(());
        }
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// What is left of a body of which nobody wants to know more.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// It was read to its end.
    Nothing,
    /// More may come.
    Unread,
    /// Its connection is gone.
    Lost,
}

/// The body of an answer.
trait Body {
    /// The next piece; `None` behind the last one. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, reqwest::Error>> + Send;
}

impl Body for Response {
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, reqwest::Error>> + Send {
        self.chunk()
    }
}

/// Hands on what is answered as it comes.
async fn read(carried: &mut Carried, body: &mut impl Body) -> Rest {
    loop {
        let due = carried.due();
        let goes_on = tokio::select! {
            biased;
            piece = body.next() => match piece {
                Ok(Some(bytes)) => carried.handle(Input::Bytes(&bytes)).await,
                Ok(None) => {
                    carried.handle(Input::End).await;
                    return Rest::Nothing;
                }
                Err(error) => {
                    lost(carried, &error).await;
                    return Rest::Lost;
                }
            },
            () = sleep_until(due) => carried.handle(Input::Timeout).await,
        };
        // Whoever never pauses is held to the same times.
        let is_late = goes_on && carried.due() <= Instant::now();
        if !goes_on || is_late && !carried.handle(Input::Timeout).await {
            return Rest::Unread;
        }
    }
}

/// Reads what comes behind the last word of an answer: a connection is used again only when it has nothing more to say. Whether that was so.
async fn read_rest(mut response: Response) -> bool {
    let mut read = 0;
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => read += bytes.len(),
            Ok(None) => return true,
            Err(_) => return false,
        }
        if read > REST_MAX_BYTES {
            return false;
        }
    }
}

async fn head(carried: &mut Carried, response: &Response) -> bool {
    let headers = response.headers();
    let head = Input::Head {
        status: response.status().as_u16(),
        retry_after: text(headers, RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse().ok()),
        request_id: REQUEST_IDS.iter().find_map(|name| text(headers, name)),
        media_type: text(headers, CONTENT_TYPE.as_str()).unwrap_or_default(),
    };
    carried.handle(head).await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The cause is in the innermost error: the outer ones only say that something failed, and where.
async fn lost(carried: &mut Carried, error: &reqwest::Error) {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    carried.handle(Input::Lost(&cause.to_string())).await;
}

#[cfg(test)]
mod tests {
    use protocol::Time;
    use tokio::sync::mpsc;

    use super::super::{Ask, Bounds, Chat, Event, Exchange, FailureKind, Kind, scenario};
    use super::*;

    /// A body that is never out of pieces, until a test has waited for long enough. There is nothing in them.
    struct Tireless(Instant);

    impl Body for Tireless {
        fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, reqwest::Error>> + Send {
            std::future::ready(Ok((Instant::now() < self.0).then(Bytes::new)))
        }
    }

    #[tokio::test]
    async fn an_answer_that_never_pauses_is_held_to_its_times() {
        let kind = Kind::named("openai-chat").expect("registered");
        let ask = Ask::Chat(Chat { messages: Vec::new(), tools: Vec::new(), max_output_tokens: 50 });
        let codec = scenario::provider(kind, "m").codec(&ask).expect("it is asked so");
        let bounds = Bounds { whole: Some(Duration::from_millis(100)), ..Bounds::default() };
        let (exchange, _) = Exchange::open(Time::ZERO, codec, bounds);
        let (events, mut told) = mpsc::channel(8);
        let mut carried = Carried::new(exchange, std::time::Instant::now(), events);
        let head =
            Input::Head { status: 200, retry_after: None, request_id: None, media_type: "text/event-stream" };
        assert!(carried.handle(head).await);
        let mut body = Tireless(Instant::now() + Duration::from_secs(10));
        assert_eq!(read(&mut carried, &mut body).await, Rest::Unread, "it has not come to its end");
        let Some(Event::Failed(failure)) = told.recv().await else { panic!("it has failed") };
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Timeout, "no end in time"));
    }
}
