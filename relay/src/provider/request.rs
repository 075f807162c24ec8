//! A request under way: a task that carries an exchange over its wire.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use protocol::Time;
use tokio::sync::mpsc;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    Answer, Bounds, Codec, Event, Exchange, Failure, FailureKind, Feed, Input, Opening, Output, Way, http,
    socket,
};

/// Events that wait for the session. While they do, the provider is not read: it waits, too.
const EVENTS_WAITING: usize = 64;
/// What waits to be taken by the provider's socket: more than a client plays again after an outage (65 s in chunks of 100 ms), all at once, while
/// the socket is not open yet.
const FEEDS_WAITING: usize = 1_024;

/// A request that a session has made of a provider. Dropping it cancels it: the connection is closed.
#[derive(Debug)]
pub struct Request {
    events: mpsc::Receiver<Event>,
    feeds: mpsc::Sender<Feed>,
    /// It took no more of what it was fed.
    clogged: bool,
    over: bool,
    /// Until the end was told. After that the task ends by itself, soon: it leaves its connection as others can use it.
    task: Option<AbortOnDropHandle<()>>,
}

impl Request {
    /// Opens it, with time since `started`. The tracker is for the relay, which waits for all tasks before it leaves.
    #[must_use]
    pub fn open(
        tasks: &TaskTracker,
        way: Way,
        started: Instant,
        codec: Box<dyn Codec>,
        bounds: Bounds,
    ) -> Request {
        let (to_session, events) = mpsc::channel(EVENTS_WAITING);
        let (feeds, from_session) = mpsc::channel(FEEDS_WAITING);
        let task = tasks.spawn(async move {
            let (exchange, opening) = Exchange::open(time(started), codec, bounds);
            let carried = Carried {
                exchange,
                started,
                events: to_session,
                to_send: VecDeque::new(),
                has_finished: false,
            };
            match opening {
                Opening::Http(target) => http::carry(carried, way.connections.client(), target).await,
                Opening::Socket(target) => socket::carry(carried, way, target, from_session).await,
            }
        });
        Request { events, feeds, clogged: false, over: false, task: Some(AbortOnDropHandle::new(task)) }
    }

    /// Adds to the request. One that takes nothing for so long that what it was fed piles up has failed.
    pub fn feed(&mut self, feed: Feed) {
        if matches!(self.feeds.try_send(feed), Err(mpsc::error::TrySendError::Full(_))) {
            self.clogged = true;
            self.task = None;
        }
    }

    /// Tells it that nothing more comes, and waits for its end: what it says until then is of no interest any more. `None` if its answer is not
    /// whole.
    pub async fn finish(mut self) -> Option<Answer> {
        self.feed(Feed::Finish);
        loop {
            match self.next().await {
                Event::Finished(answer) => return Some(answer),
                Event::Failed(_) => return None,
                _ => {}
            }
        }
    }

    /// The next event; pending for ever after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event, if it is there; never after the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.over {
            return Poll::Pending;
        }
        let event = ready!(self.events.poll_recv(context)).unwrap_or_else(|| {
            let cause = if self.clogged { "it takes nothing more" } else { "it was given up" };
            Event::Failed(Failure::new(FailureKind::Connection, cause))
        });
        self.over = matches!(event, Event::Finished(_) | Event::Failed(_));
        if self.over
            && let Some(task) = self.task.take()
        {
            drop(task.detach());
        }
        Poll::Ready(event)
    }
}

/// An exchange in the hands of its driver.
pub(super) struct Carried {
    exchange: Exchange,
    started: Instant,
    events: mpsc::Sender<Event>,
    /// Messages for a WebSocket, oldest first.
    pub(super) to_send: VecDeque<Output>,
    /// The answer is whole.
    has_finished: bool,
}

impl Carried {
    /// Tells the exchange, and its asker what comes of it. `false` when it is over, or nobody asks any more.
    pub(super) async fn handle(&mut self, input: Input<'_>) -> bool {
        self.exchange.handle_input(time(self.started), input);
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Event(event) => {
                    self.has_finished |= matches!(event, Event::Finished(_));
                    if !self.tell(event).await {
                        return false;
                    }
                }
                message => self.to_send.push_back(message),
            }
        }
        !self.exchange.is_over()
    }

    /// Tells whoever asked, and waits until they have room for it. `false` if nobody asks any more.
    async fn tell(&mut self, event: Event) -> bool {
        let event = match self.events.try_send(event) {
            Ok(()) => return true,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(event)) => event,
        };
        let since = Instant::now();
        let told = self.events.send(event).await.is_ok();
        self.exchange.held_back(since.elapsed());
        told
    }

    /// Whether the answer came to its end.
    pub(super) fn has_finished(&self) -> bool {
        self.has_finished
    }

    /// When the exchange wants to be told the time.
    pub(super) fn due(&self) -> tokio::time::Instant {
        let due = self.exchange.poll_timeout().map_or(FAR, |due| Duration::from_micros(due.as_micros()));
        tokio::time::Instant::from_std(self.started + due)
    }
}

/// When nothing is due: longer than any relay runs.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

fn time(started: Instant) -> Time {
    Time::from_micros(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::poll;

    use super::super::upstream::Upstream;
    use super::super::{Ask, Kind, Provider, scenario};
    use super::*;

    #[tokio::test]
    async fn all_that_a_client_plays_again_waits_for_a_socket_that_is_not_open_and_no_more_than_that() {
        // Nobody takes its connections.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let kind = Kind::named("deepgram").expect("registered");
        let base_url = url.parse().expect("an address");
        let provider = Provider { base_url, ..scenario::provider(kind, "m") };
        let codec = provider.codec(&Ask::Listen).expect("it listens");
        let upstream = Arc::new(Upstream::new(provider).expect("a client"));
        let way = upstream.admit(Time::ZERO, &Ask::Listen).expect("it is asked").way();
        let bounds = Bounds { head: Duration::from_secs(60), ..Bounds::default() };
        let mut request = Request::open(&TaskTracker::new(), way, Instant::now(), codec, bounds);
        let chunk = Bytes::from(vec![0; 3_200]);
        for _ in 0..700 {
            request.feed(Feed::Audio(chunk.clone()));
        }
        assert!(poll!(std::pin::pin!(request.next())).is_pending(), "it waits");
        for _ in 0..FEEDS_WAITING {
            request.feed(Feed::Audio(chunk.clone()));
        }
        let Event::Failed(failure) = request.next().await else { panic!("it is given up") };
        assert_eq!(failure.message, "it takes nothing more");
    }
}
