//! WebSockets that are opened ahead of need, so that a turn does not wait for a handshake.
//!
//! Each waits in a task of its own, which watches it: a provider may greet whoever opens a socket, or close one that nobody uses. Whoever has a
//! request takes the oldest one that is open, or else the oldest, with all that came on it; it belongs to nobody before, so that any call may. One
//! that is open is taken on the spot: its task would be one more to wait for where many are busy. One that nobody takes is closed after a few
//! seconds, before its provider would do that: a socket that dies unnoticed is worse than none.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Target;
use super::places::Place;
use super::socket::{self, Opened};

/// How long a socket waits: less than the 10 s after which Deepgram closes one without audio.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(8);
/// How old a socket may be of which it is expected that it is still there when it is needed.
const FRESH_FOR: Duration = Duration::from_secs(4);
/// Sockets of one provider that wait at a time.
const WAITING_MAX: usize = 256;
/// Messages that a provider may send on a socket before it is asked anything.
const EARLY_MAX: usize = 16;

/// The sockets of one provider that wait for a request.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Oldest first.
    waiting: Mutex<VecDeque<Waiting>>,
    /// How many requests are expected soon.
    expected: AtomicUsize,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    wanted: oneshot::Sender<oneshot::Sender<Opened>>,
    socket: SharedSocket,
    place: SharedPlace,
}

impl Waiting {
    fn is_open(&self) -> bool {
        is_there(&self.socket)
    }
}

/// A waiting socket, once it is open: its task's until somebody takes it over.
type SharedSocket = Arc<Mutex<Option<Opened>>>;

/// The place of a waiting socket: its task's until somebody takes it over.
type SharedPlace = Arc<Mutex<Option<Place>>>;

/// A socket that is taken, whether or not it is open already.
#[derive(Debug)]
pub(super) struct Taken {
    socket: SharedSocket,
    wanted: oneshot::Sender<oneshot::Sender<Opened>>,
}

impl Taken {
    /// Whether nobody has to wait for it.
    pub(super) fn is_open(&self) -> bool {
        is_there(&self.socket)
    }

    /// The socket when it is open; `None` if it does not open, or was closed.
    pub(super) async fn opened(self) -> Option<Opened> {
        if let Some(opened) = taken(&self.socket) {
            return Some(opened);
        }
        let (to, opened) = oneshot::channel();
        self.wanted.send(to).ok()?;
        opened.await.ok()
    }
}

impl Ahead {
    /// One request more, or less, is expected soon.
    pub(super) fn expect(&self, is_expected: bool) {
        if is_expected {
            self.expected.fetch_add(1, Ordering::Relaxed);
        } else {
            self.expected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a socket is to be opened, so that everybody who is expected finds one.
    pub(super) fn wants_more(&self) -> bool {
        let mut waiting = self.waiting();
        waiting.retain(|waiting| !waiting.wanted.is_closed());
        let fresh = waiting.iter().filter(|waiting| waiting.since.elapsed() < FRESH_FOR).count();
        waiting.len() < WAITING_MAX && fresh < self.expected.load(Ordering::Relaxed)
    }

    /// Opens a socket there, which gives up after `connect`, or when the relay stops.
    pub(super) fn open(
        &self,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
        target: Target,
        connect: Duration,
        place: Place,
    ) {
        let (wanted, is_wanted) = oneshot::channel();
        let waits = place.wait_ahead();
        let (socket, place) = (SharedSocket::default(), Arc::new(Mutex::new(Some(place))));
        let waiting = Waiting { since: Instant::now(), wanted, socket: socket.clone(), place: place.clone() };
        self.waiting().push_back(waiting);
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            wait(&target, connect, is_wanted, &socket, &shutdown).await;
            drop(waits);
            drop(taken(&place));
        });
    }

    /// The oldest socket that is open, or else the oldest that will be, with its place.
    pub(super) fn take(&self) -> Option<(Place, Taken)> {
        let mut waiting = self.waiting();
        loop {
            let open = waiting.iter().position(Waiting::is_open).unwrap_or_default();
            let Waiting { wanted, socket, place, .. } = waiting.remove(open)?;
            if !wanted.is_closed()
                && let Some(place) = taken(&place)
            {
                return Some((place, Taken { socket, wanted }));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_there<T>(shared: &Mutex<Option<T>>) -> bool {
    shared.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn taken<T>(shared: &Mutex<Option<T>>) -> Option<T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Opens a socket and keeps it until it is wanted or taken, or for as long as anything does.
async fn wait(
    target: &Target,
    connect: Duration,
    mut is_wanted: oneshot::Receiver<oneshot::Sender<Opened>>,
    socket: &SharedSocket,
    shutdown: &CancellationToken,
) {
    let opened = tokio::select! {
        () = shutdown.cancelled() => return,
        opened = timeout(connect, socket::open(target)) => opened,
    };
    // Whoever wants it hears that it is not there, and tries by itself: what is wrong is told to a request, and to nobody before.
    let Ok(Ok(opened)) = opened else { return };
    *socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
    let wanted = tokio::select! {
        biased;
        // Also when it is taken: then nobody is left who could say that it is wanted.
        wanted = &mut is_wanted => wanted.ok(),
        () = shutdown.cancelled() => None,
        () = poll_fn(|context| poll_end(socket, context)) => None,
        () = sleep(KEPT_FOR) => None,
    };
    // Whoever wants one from here on opens another at once, and does not wait until this one is closed.
    drop(is_wanted);
    let Some(opened) = taken(socket) else { return };
    match wanted {
        // Whoever wanted it may have gone; then it is dropped, and so closed.
        Some(to) => drop(to.send(opened)),
        None => opened.close().await,
    }
}

/// Ready when a socket is of no more use. What comes on it before is kept for whoever takes it.
fn poll_end(socket: &SharedSocket, context: &mut Context<'_>) -> Poll<()> {
    let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(opened) = socket.as_mut() else { return Poll::Pending };
    loop {
        match ready!(opened.stream.poll_next_unpin(context)) {
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) if opened.early.len() < EARLY_MAX => {
                opened.early.push_back(message);
            }
            Some(_) | None => return Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::super::places::Places;
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_open_is_taken_on_the_spot_with_what_came_on_it_and_the_others_when_they_are_open()
     {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let target = || Target {
            url: format!("ws://{address}/").parse().expect("an address"),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let (ahead, tasks, shutdown) = (Ahead::default(), TaskTracker::new(), CancellationToken::new());
        let place = || Places::new("voice", 0).take().expect("there is no limit");
        let minute = Duration::from_secs(60);
        ahead.open(&tasks, &shutdown, target(), minute, place());
        let (stream, _) = listener.accept().await.expect("it comes");
        let mut server = accept_async(stream).await.expect("a WebSocket");
        futures_util::SinkExt::send(&mut server, Message::text("hello")).await.expect("sent");
        let greeted = async {
            loop {
                let socket = ahead.waiting()[0].socket.clone();
                let early =
                    socket.lock().expect("nobody panics").as_ref().map_or(0, |opened| opened.early.len());
                if early == 1 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(minute, greeted).await.expect("what comes is read before anybody asks");
        let (_place, taken) = ahead.take().expect("it waits");
        let opened = taken.opened().now_or_never().expect("nobody is waited for").expect("it is open");
        assert_eq!(opened.early, [Message::text("hello")]);
        tasks.close();
        timeout(minute, tasks.wait()).await.expect("nobody watches it any more");
        tasks.reopen();

        // The first of these is answered last.
        ahead.open(&tasks, &shutdown, target(), minute, place());
        let (slow, _) = listener.accept().await.expect("it comes");
        ahead.open(&tasks, &shutdown, target(), minute, place());
        let (stream, _) = listener.accept().await.expect("it comes");
        let _server = accept_async(stream).await.expect("a WebSocket");
        while !ahead.waiting()[1].is_open() {
            tokio::task::yield_now().await;
        }
        let (_place, taken) = ahead.take().expect("they wait");
        assert!(taken.opened().now_or_never().expect("nobody is waited for").is_some());
        let (_place, taken) = ahead.take().expect("it is being opened");
        let opened = tokio::spawn(taken.opened());
        let _slow = accept_async(slow).await.expect("a WebSocket");
        let opened = timeout(minute, opened).await.expect("it is handed over").expect("no panic");
        assert!(opened.is_some());

        ahead.open(&tasks, &shutdown, target(), minute, place());
        let (_place, taken) = ahead.take().expect("it waits");
        let opened = tokio::spawn(taken.opened());
        let (stream, _) = listener.accept().await.expect("it comes");
        let _server = accept_async(stream).await.expect("a WebSocket");
        let opened = timeout(minute, opened).await.expect("it is handed over").expect("no panic");
        assert!(opened.is_some());
    }
}
