//! A request under way: a task that carries an exchange over its wire.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use protocol::Time;
use tokio::sync::mpsc;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

use super::{
    Answer, Bounds, Codec, Event, Exchange, Failure, FailureKind, Feed, Input, Opening, Output, Way, http,
    socket,
};

/// Events that wait for the session. While they do, the provider is not read: it waits, too.
const EVENTS_WAITING: usize = 64;
/// Bytes that wait to be taken by the provider's socket: 80 s of audio. That is more than a client plays again after an outage (65 s), all at
/// once, and what it says while the socket is opened.
const WAITING_MAX_BYTES: usize = 80 * 32_000;
/// So many feeds wait at most: more than those bytes are in the shortest chunks that a relay takes, unless its operator lets them be shorter
/// than 100 bytes. The channel makes room as feeds come.
const FEEDS_WAITING: usize = 1 << 15;

/// A request that a session has made of a provider. Dropping it cancels it: the connection is closed.
#[derive(Debug)]
pub struct Request {
    events: mpsc::Receiver<Event>,
    feeds: mpsc::Sender<Feed>,
    /// Bytes of the feeds that wait.
    waiting: Arc<AtomicUsize>,
    /// Its connection is there, as it was told.
    is_ready: bool,
    /// It took no more of what it was fed, which is a failure of this kind.
    clogged: Option<FailureKind>,
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
        let waiting = Arc::new(AtomicUsize::new(0));
        let fed = Fed { feeds: from_session, waiting: waiting.clone() };
        let work = async move {
            let (exchange, opening) = Exchange::open(time(started), codec, bounds);
            let carried = Carried::new(exchange, started, to_session);
            match opening {
                Opening::Http(target) => http::carry(carried, &way.connections, target).await,
                Opening::Socket(target) => socket::carry(carried, way, target, fed).await,
            }
        };
        let task = Some(AbortOnDropHandle::new(tasks.spawn(work.in_current_span())));
        Request { events, feeds, waiting, is_ready: false, clogged: None, over: false, task }
    }

    /// Adds to the request. One that takes nothing for so long that what it was fed piles up has failed. Whose failure that is depends on whether
    /// its connection was there.
    pub fn feed(&mut self, feed: Feed) {
        let bytes = length(&feed);
        // Counted first: the driver takes it off as soon as it is there.
        let waited = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let is_too_much = waited + bytes > WAITING_MAX_BYTES;
        if is_too_much || matches!(self.feeds.try_send(feed), Err(mpsc::error::TrySendError::Full(_))) {
            let kind = if self.is_ready { FailureKind::Connection } else { FailureKind::Clogged };
            self.clogged.get_or_insert(kind);
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
            Event::Failed(match self.clogged {
                Some(kind) => Failure::new(kind, "it takes nothing more"),
                None => Failure::new(FailureKind::Connection, "it was given up"),
            })
        });
        self.is_ready |= !matches!(event, Event::Failed(_));
        self.over = matches!(event, Event::Finished(_) | Event::Failed(_));
        if self.over
            && let Some(task) = self.task.take()
        {
            drop(task.detach());
        }
        Poll::Ready(event)
    }
}

/// What a request is fed, in the hands of its driver.
#[derive(Debug)]
pub(super) struct Fed {
    feeds: mpsc::Receiver<Feed>,
    waiting: Arc<AtomicUsize>,
}

impl Fed {
    /// The next one; `None` once nobody feeds it any more. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Feed> {
        let feed = self.feeds.recv().await?;
        self.waiting.fetch_sub(length(&feed), Ordering::Relaxed);
        Some(feed)
    }
}

/// How many bytes of audio or text it has.
fn length(feed: &Feed) -> usize {
    match feed {
        Feed::Text(text) => text.len(),
        Feed::Audio(bytes) => bytes.len(),
        Feed::Flush | Feed::Finish => 0,
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
    /// An exchange that has begun, with time since `started`, and who is told of it.
    pub(super) fn new(exchange: Exchange, started: Instant, events: mpsc::Sender<Event>) -> Carried {
        Carried { exchange, started, events, to_send: VecDeque::new(), has_finished: false }
    }

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

    /// What is asked over HTTP is on its way. `false` when it is over, or nobody asks any more.
    pub(super) async fn sent(&mut self) -> bool {
        self.exchange.sent();
        !self.exchange.is_over() && self.tell(Event::Ready).await
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
    use bytes::Bytes;
    use futures_util::{StreamExt, poll};

    use super::super::upstream::{Pass, Upstream};
    use super::super::{Ask, Kind, Provider, scenario};
    use super::*;

    /// A recogniser at this address.
    fn upstream(listener: &tokio::net::TcpListener) -> Arc<Upstream> {
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let kind = Kind::named("deepgram").expect("registered");
        let base_url = url.parse().expect("an address");
        Arc::new(Upstream::new(Provider { base_url, ..scenario::provider(kind, "m") }).expect("a client"))
    }

    /// One that listens to a call.
    fn open(upstream: &Arc<Upstream>) -> (Request, Pass) {
        let codec = upstream.provider().codec(&Ask::Listen).expect("it listens");
        let mut pass = upstream.admit(Time::ZERO, &Ask::Listen).expect("it is asked");
        let bounds = Bounds { head: Duration::from_secs(60), ..Bounds::default() };
        (Request::open(&TaskTracker::new(), pass.way(), Instant::now(), codec, bounds), pass)
    }

    fn feed(request: &mut Request, seconds: usize, chunk: usize) {
        let audio = Bytes::from(vec![0; chunk]);
        (0..seconds * 32_000 / chunk).for_each(|_| request.feed(Feed::Audio(audio.clone())));
    }

    /// How it fails, and whether its provider is asked as ever then.
    async fn fails(mut request: Request, mut pass: Pass, upstream: &Upstream) -> (FailureKind, bool) {
        loop {
            let event = request.next().await;
            pass.note(Time::ZERO, &event);
            if let Event::Failed(failure) = event {
                assert_eq!(failure.message, "it takes nothing more");
                return (failure.kind, upstream.is_asked());
            }
        }
    }

    #[tokio::test]
    async fn all_that_a_client_plays_again_waits_for_a_socket_that_is_not_open_and_no_more_than_that() {
        // Nobody takes its connections.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = upstream(&listener);
        // The usual chunk, the shortest that is sensible, and the shortest.
        for chunk in [3_200, 640, 100] {
            let (mut request, pass) = open(&upstream);
            feed(&mut request, 65, chunk);
            assert!(poll!(std::pin::pin!(request.next())).is_pending(), "it waits, in chunks of {chunk}");
            feed(&mut request, 20, chunk);
            // Nor does it keep others from being asked, who have not fed it so.
            let failed = fails(request, pass, &upstream).await;
            assert_eq!(failed, (FailureKind::Clogged, true), "in chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn a_provider_that_is_there_and_takes_nothing_has_failed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = upstream(&listener);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(tokio_tungstenite::accept_async(stream).await);
            }
        });
        for is_asked in [true, true, false] {
            let (mut request, pass) = open(&upstream);
            assert_eq!(request.next().await, Event::Ready);
            feed(&mut request, 85, 100);
            assert_eq!(fails(request, pass, &upstream).await, (FailureKind::Connection, is_asked));
        }
    }

    #[tokio::test]
    async fn what_the_driver_has_taken_does_not_wait_any_more() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream = upstream(&listener);
        let taken = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("it comes");
            let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a WebSocket");
            let mut taken = 0;
            while taken < 200 * 32_000 {
                let Some(Ok(message)) = socket.next().await else { break };
                taken += if message.is_binary() { message.len() } else { 0 };
            }
            taken
        });
        let (mut request, _pass) = open(&upstream);
        assert_eq!(request.next().await, Event::Ready);
        for _ in 0..20 {
            feed(&mut request, 10, 640);
            let driven = async {
                while request.waiting.load(Ordering::Relaxed) > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), driven).await.expect("it is taken");
        }
        assert_eq!(taken.await.expect("it takes all"), 200 * 32_000);
    }
}
