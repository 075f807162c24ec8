//! WebSockets that are opened ahead of need, so that a turn does not wait for a handshake.
//!
//! Each waits in a task of its own, which watches it: a provider may greet whoever opens a socket, or close one that nobody uses. Whoever has a
//! request takes the oldest one over, with all that came on it; it belongs to nobody before, so that any call may. One that nobody takes is
//! closed after a few seconds, before its provider would do that: a socket that dies unnoticed is worse than none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
const KEPT_FOR: Duration = Duration::from_secs(8);
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
    place: SharedPlace,
}

/// The place of a waiting socket: its task's until somebody takes it over.
type SharedPlace = Arc<Mutex<Option<Place>>>;

/// A socket that is taken, whether or not it is open already.
#[derive(Debug)]
pub(super) struct Taken(oneshot::Sender<oneshot::Sender<Opened>>);

impl Taken {
    /// The socket when it is open; `None` if it does not open, or was closed.
    pub(super) async fn opened(self) -> Option<Opened> {
        let (to, opened) = oneshot::channel();
        self.0.send(to).ok()?;
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
        let place: SharedPlace = Arc::new(Mutex::new(Some(place)));
        self.waiting().push_back(Waiting { since: Instant::now(), wanted, place: place.clone() });
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            wait(&target, connect, is_wanted, &shutdown).await;
            drop(taken(&place));
        });
    }

    /// The oldest socket that is still there, with its place.
    pub(super) fn take(&self) -> Option<(Place, Taken)> {
        let mut waiting = self.waiting();
        while let Some(Waiting { wanted, place, .. }) = waiting.pop_front() {
            if !wanted.is_closed()
                && let Some(place) = taken(&place)
            {
                return Some((place, Taken(wanted)));
            }
        }
        None
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken(place: &SharedPlace) -> Option<Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Opens a socket and keeps it until it is wanted, or for as long as anything does.
async fn wait(
    target: &Target,
    connect: Duration,
    mut is_wanted: oneshot::Receiver<oneshot::Sender<Opened>>,
    shutdown: &CancellationToken,
) {
    let opened = tokio::select! {
        () = shutdown.cancelled() => return,
        opened = timeout(connect, socket::open(target)) => opened,
    };
    // Whoever wants it hears that it is not there, and tries by itself: what is wrong is told to a request, and to nobody before.
    let Ok(Ok(mut opened)) = opened else { return };
    let mut expires = std::pin::pin!(sleep(KEPT_FOR));
    let wanted = loop {
        tokio::select! {
            biased;
            wanted = &mut is_wanted => break wanted.ok(),
            () = shutdown.cancelled() => break None,
            came = opened.stream.next() => match came {
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) if opened.early.len() < EARLY_MAX => {
                    opened.early.push_back(message);
                }
                Some(_) | None => break None,
            },
            () = &mut expires => break None,
        }
    };
    match wanted {
        // Whoever wanted it may have gone; then it is dropped, and so closed.
        Some(to) => drop(to.send(opened)),
        None => opened.close().await,
    }
}
