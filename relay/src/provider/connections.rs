//! The connections to one provider, which all calls of a relay share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use reqwest::header::CONNECTION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::sync::Notify;
use tokio::time::timeout;
use tower::{Layer, Service};

use super::ahead::Taken;
use crate::operations::outbound::http_client;
use crate::operations::telemetry::{self, Opening};

/// How long a connection of HTTP is kept that nobody uses: less than the 60 s after which load balancers close theirs, so that a request does
/// not meet a connection that is just being closed.
const KEPT_FOR: Duration = Duration::from_secs(50);
/// Connections of HTTP that are kept while nobody uses them.
const KEPT_MAX: usize = 256;
/// How long a connection of HTTP waits before it is asked something again, so that it is kept; and how long after one could not be opened ahead
/// another one is tried, whoever wants it.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(45);

tokio::task_local! {
    /// Set while a connection is opened for a request that is yet to come.
    static IS_AHEAD: ();
}

/// What reaches one provider.
#[derive(Debug)]
pub struct Connections {
    provider: Arc<str>,
    client: Client,
    /// How long a connection may take that is opened ahead.
    connect: Duration,
    idle: Mutex<Idle>,
    /// Rung when another connection over HTTP is to be opened: a request has used up its own, or several are under way and none is left for the
    /// next. One of those who wait hears it, or else whoever waits next.
    wanted: Notify,
}

/// What a request over HTTP holds while it is under way. Unless that is given back, its connection is gone with it.
#[derive(Debug)]
pub(super) struct InUse<'c> {
    connections: &'c Connections,
    is_given_back: bool,
}

impl Connections {
    /// The connections to the provider of this name, none yet. One over HTTP that is not there within `connect` is given up. Nobody is followed
    /// elsewhere, since a key goes with each request.
    ///
    /// # Errors
    /// When the system's own certificates or threads are not to be had.
    pub fn new(provider: &str, connect: Duration) -> Result<Connections, reqwest::Error> {
        let provider: Arc<str> = provider.into();
        let client = http_client()
            .redirect(Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(connect)
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT_MAX)
            .connector_layer(Count(provider.clone()))
            .build()?;
        let (idle, wanted) = (Mutex::default(), Notify::new());
        Ok(Connections { provider, client, connect, idle, wanted })
    }

    /// Has a connection over HTTP to this address wait for the next request, unless one does already, and says after what time to look again.
    /// Any answer will do, so no key goes with the question, and nobody hears of one that does not come.
    pub(super) async fn be_ready(&self, base: &Url) -> Duration {
        let left = self.idle().left(Instant::now());
        if let Some(left) = left {
            return left;
        }
        let answer = IS_AHEAD.scope((), self.client.head(base.clone()).send());
        if let Ok(Ok(response)) = timeout(self.connect, answer).await
            && is_kept(&response)
        {
            self.idle().come(Instant::now());
        }
        FRESH_FOR
    }

    /// A request over HTTP is on its way.
    pub(super) fn take(&self) -> InUse<'_> {
        let (mut idle, now) = (self.idle(), Instant::now());
        idle.begin(now);
        let is_short = idle.is_short(now);
        drop(idle);
        if is_short {
            self.wanted.notify_one();
        }
        InUse { connections: self, is_given_back: false }
    }

    /// Waits until one more connection over HTTP is wanted. Dropping the future loses nothing.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    fn give_back(&self) {
        self.idle().give_back(Instant::now());
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What asks over HTTP. It keeps connections alive, whichever call asked.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A request has to wait until a WebSocket is open.
    pub(super) fn opens_socket(&self) {
        telemetry::provider_connection(&self.provider, Opening::Needed);
    }

    /// A request has to wait until a WebSocket is open that was to be there by now.
    pub(super) fn socket_is_late(&self) {
        telemetry::provider_connection(&self.provider, Opening::Late);
    }
}

impl InUse<'_> {
    /// The answer was read to its end: its connection waits for another request.
    pub(super) fn give_back(mut self) {
        self.is_given_back = true;
        self.connections.give_back();
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.connections.idle().end();
        if !self.is_given_back {
            self.connections.wanted.notify_one();
        }
    }
}

/// Whether the connection of an answer can be used again once the answer was read.
pub(super) fn is_kept(response: &Response) -> bool {
    let connection = response.headers().get(CONNECTION).and_then(|value| value.to_str().ok());
    !connection.is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// The connections over HTTP that nobody uses, as the client's pool has them. The pool shows them to nobody.
#[derive(Debug, Default)]
struct Idle {
    /// When each was used last; oldest first.
    since: Vec<Instant>,
    /// When one was last opened ahead, until any connection is there.
    tried: Option<Instant>,
    /// When one was last opened ahead beside others, until it is there.
    tried_beside: Option<Instant>,
    /// Requests under way.
    in_use: usize,
}

impl Idle {
    /// How long nobody has to see to it that a connection waits; `None` when one is to be opened now, or asked something so that it is kept.
    /// Whoever is told so does it: all others are told to wait.
    fn left(&mut self, now: Instant) -> Option<Duration> {
        self.forget(now);
        let seen_to = self.since.last().copied().max(self.tried);
        let left = seen_to.map(|seen_to| (seen_to + FRESH_FOR).saturating_duration_since(now));
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            self.tried = Some(now);
            if self.in_use > 0 {
                self.tried_beside = Some(now);
            }
            self.take();
        }
        left
    }

    /// A request begins.
    fn begin(&mut self, now: Instant) {
        self.forget(now);
        self.in_use += 1;
        self.take();
    }

    /// The pool has closed those that nobody has used for so long.
    fn forget(&mut self, now: Instant) {
        self.since.retain(|since| now.saturating_duration_since(*since) < KEPT_FOR);
    }

    /// A request is over.
    fn end(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Whether the next request would have to wait for a connection, where several come at a time. A single one is given back in time for the next.
    /// Where none is kept that is opened ahead, that is found out again once in a while.
    fn is_short(&self, now: Instant) -> bool {
        let has_tried = self.tried.max(self.tried_beside);
        let may_try = has_tried.is_none_or(|at| now.saturating_duration_since(at) >= FRESH_FOR);
        self.in_use > 1 && self.since.is_empty() && may_try
    }

    /// A request takes the one that was used last, as the pool does.
    fn take(&mut self) {
        self.since.pop();
    }

    /// One that was opened ahead is there.
    fn come(&mut self, now: Instant) {
        self.tried_beside = None;
        self.give_back(now);
    }

    fn give_back(&mut self, now: Instant) {
        self.tried = None;
        if self.since.len() < KEPT_MAX {
            self.since.push(now);
        }
    }
}

/// How a request reaches its provider.
#[derive(Debug)]
pub struct Way {
    pub(super) connections: Arc<Connections>,
    /// A WebSocket that was opened ahead for a request like this one.
    pub(super) ahead: Option<Taken>,
}

impl From<Arc<Connections>> for Way {
    /// The way of a request for which nothing was opened ahead.
    fn from(connections: Arc<Connections>) -> Way {
        Way { connections, ahead: None }
    }
}

/// Counts the connections that a client opens.
#[derive(Clone)]
struct Count(Arc<str>);

#[derive(Clone)]
struct Counted<S> {
    provider: Arc<str>,
    inner: S,
}

impl<S> Layer<S> for Count {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { provider: self.0.clone(), inner }
    }
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: R) -> S::Future {
        // The client asks for a connection in the task that makes the request.
        let is_ahead = IS_AHEAD.try_with(|()| ()).is_ok();
        let opening = if is_ahead { Opening::Ahead } else { Opening::Needed };
        telemetry::provider_connection(&self.provider, opening);
        self.inner.call(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_opened_where_none_waits_and_only_by_one_who_wants_it() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(idle.left(now), None, "none is there");
        assert_eq!(idle.left(at(1)), Some(Duration::from_secs(44)), "somebody else is opening one");
        idle.come(at(2));
        assert_eq!(idle.left(at(3)), Some(Duration::from_secs(44)), "it waits");
        idle.take();
        assert_eq!(idle.left(at(4)), None, "a request has taken it");
        // That one and the request's wait from here on, and the next request takes the newer one.
        idle.come(at(5));
        idle.give_back(at(20));
        idle.take();
        assert_eq!(idle.left(at(30)), Some(Duration::from_secs(20)));
    }

    #[test]
    fn a_connection_is_asked_something_before_it_is_closed() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        idle.give_back(now);
        assert_eq!(idle.left(now + FRESH_FOR), None);
        assert!(idle.since.is_empty(), "it is asked, so it does not wait");
        idle.give_back(now + FRESH_FOR);
        assert_eq!(idle.left(now + KEPT_FOR), Some(FRESH_FOR * 2 - KEPT_FOR));
        assert_eq!(idle.left(now + FRESH_FOR + KEPT_FOR), None, "the pool has closed it");
    }

    #[test]
    fn where_none_can_be_opened_one_is_tried_once_in_a_while_however_many_want_it() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        let seconds = (0..90).map(|second| now + Duration::from_secs(second));
        assert_eq!(seconds.filter(|now| idle.left(*now).is_none()).count(), 2);
    }

    #[test]
    fn where_several_requests_come_at_a_time_one_connection_more_waits_than_they_use() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        idle.give_back(now);
        idle.begin(now);
        assert!(!idle.is_short(now), "one alone");
        idle.begin(now);
        assert!(idle.is_short(now));
        assert_eq!(idle.left(now), None, "whoever is told so opens one");
        assert!(!idle.is_short(now), "and nobody else does");
        idle.come(now);
        idle.begin(now);
        assert!(idle.is_short(now), "a third request has taken that");
        assert_eq!(idle.left(now), None);
        idle.come(now);
        for _ in 0..3 {
            idle.end();
            idle.give_back(now);
        }
        for _ in 0..3 {
            idle.begin(now);
            assert!(!idle.is_short(now), "there are enough for as many as there were at most");
        }
        (0..3).for_each(|_| idle.end());
        (0..2).for_each(|_| idle.begin(now + KEPT_FOR));
        assert!(idle.is_short(now + KEPT_FOR), "those that waited have been closed");
    }

    #[test]
    fn where_none_that_is_opened_ahead_is_kept_one_is_asked_for_once_in_a_while_however_many_requests_come_at_once()
     {
        let (mut idle, now) = (Idle::default(), Instant::now());
        idle.begin(now);
        let mut asked = 0;
        for second in 0..90 {
            let now = now + Duration::from_secs(second);
            // Of two requests under way one has a connection that is kept, which the next one takes.
            idle.begin(now);
            asked += usize::from(idle.is_short(now) && idle.left(now).is_none());
            idle.end();
            idle.give_back(now);
        }
        assert_eq!(asked, 2);
    }

    #[test]
    fn no_more_are_counted_than_the_pool_keeps() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        (0..1_000).for_each(|_| idle.give_back(now));
        assert_eq!(idle.since.len(), KEPT_MAX);
    }
}
