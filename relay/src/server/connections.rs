//! The connections without a call: how many there are, and which one is closed when there is no place left.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;

/// The longest time between two looks at a connection's pace. What happens on the connection may bring its end nearer.
const LOOK: Duration = Duration::from_secs(1);
/// How many bytes an answer may have until it counts as long. An answer of unknown length is long as well.
const LONG_BYTES: u64 = 64 * 1024;

/// All connections without a call.
#[derive(Debug)]
pub(super) struct Connections {
    /// How many connections there may be.
    most: usize,
    /// How many connections there may be from one address.
    most_of_address: usize,
    /// How long an idle connection is kept.
    keep_alive: Duration,
    open: Mutex<Open>,
    /// Notified when a connection has left.
    left: Notify,
}

/// The open connections by their ids.
#[derive(Debug, Default)]
struct Open {
    entries: HashMap<u64, Arc<Entry>>,
    /// The id of the next connection.
    next: u64,
}

/// What is known of one connection.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    /// The address that the connection is counted for. `None` for a trusted proxy, which is not counted.
    address: Option<IpAddr>,
    pace: Mutex<Pace>,
    /// Whether a long answer is on its way over the connection.
    has_long_answer: AtomicBool,
    /// Whether the connection has ended or has become a call.
    has_left: AtomicBool,
    /// Cancelled when the connection has to make room for another one.
    evicted: CancellationToken,
}

/// Marks the answer that is a call's stream of events. Its connection has a place among the calls, and ends with the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfACall;

/// A place among the connections without a call, until this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) entry: Arc<Entry>,
    connections: Arc<Connections>,
}

/// Why there is no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The address has too many connections.
    Address,
    /// There are too many connections, and each of them waits for the relay.
    Relay,
}

impl Connections {
    pub(super) fn new(most: usize, most_of_address: usize, keep_alive: Duration) -> Connections {
        Connections { most, most_of_address, keep_alive, open: Mutex::default(), left: Notify::new() }
    }

    /// Gives a new connection a place. If there is none left, the connection is closed whose peer the relay has waited for longest.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>, now: Instant) -> Result<Connection, Full> {
        let mut open = self.lock();
        let of_address = |entry: &Entry| address.is_some() && entry.address == address;
        if open.entries.values().filter(|entry| of_address(entry)).count() >= self.most_of_address {
            // Among the connections of an address only one that was served makes room, so that opening more and more silent connections gains
            // nothing.
            open.evict(|entry| of_address(entry) && entry.pace().is_idle()).ok_or(Full::Address)?;
        }
        if open.entries.len() >= self.most {
            open.evict(|_| true).ok_or(Full::Relay)?;
        }
        let id = open.next;
        let entry = Arc::new(Entry {
            id,
            address,
            pace: Mutex::new(Pace::new(now, self.keep_alive)),
            has_long_answer: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            evicted: CancellationToken::new(),
        });
        open.next += 1;
        open.entries.insert(id, Arc::clone(&entry));
        Ok(Connection { entry, connections: Arc::clone(self) })
    }

    /// Waits until a connection has left.
    pub(super) async fn wait_for_place(&self) {
        self.left.notified().await;
    }

    /// Wraps the body of an answer, so that its end is noticed. Only three quarters of the connections may get long answers at a time, so
    /// that short ones always find a place. With so many, the one whose peer takes nothing is closed, and `None` means that there is no such
    /// one.
    pub(super) fn watch_answer(&self, to: &Arc<Entry>, body: Body) -> Option<Body> {
        let is_long = body.size_hint().upper().is_none_or(|bytes| bytes > LONG_BYTES);
        if is_long {
            let mut open = self.lock();
            let long =
                open.entries.values().filter(|entry| entry.has_long_answer.load(Ordering::Relaxed)).count();
            if long >= (self.most - self.most / 4).max(1) {
                open.evict(|entry| entry.has_long_answer.load(Ordering::Relaxed))?;
            }
            to.has_long_answer.store(true, Ordering::Relaxed);
        }
        Some(Body::new(AnswerBody { body, to: Arc::clone(to) }))
    }

    /// Gives the place of a connection to others. Its peer still has to take what is there for it in time.
    pub(super) fn leave(&self, entry: &Entry) {
        self.lock().entries.remove(&entry.id);
        self.left.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Closes the connection whose peer has moved nothing for longest, among those that `among` picks. A connection whose peer waits for the
    /// relay is not closed.
    fn evict(&mut self, among: impl Fn(&Entry) -> bool) -> Option<()> {
        let waits = |entry: &Entry| entry.pace().waits_since();
        let candidates = self.entries.iter().filter(|(_, entry)| among(entry));
        let (_, id) = candidates.filter_map(|(id, entry)| waits(entry).map(|since| (since, *id))).min()?;
        let entry = self.entries.remove(&id)?;
        entry.evicted.cancel();
        Some(())
    }
}

impl Entry {
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wraps a call's stream of events, so that its end is noticed.
    pub(super) fn watch_stream(entry: &Arc<Entry>, body: Body) -> Body {
        Body::new(AnswerBody { body, to: Arc::clone(entry) })
    }

    /// Whether the connection has ended or has become a call. Its pace does not matter any more then.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }

    /// Waits until the connection has to be closed, and says why: its peer is too slow, or its place is needed.
    pub(super) async fn must_go(&self) -> &'static str {
        loop {
            let now = Instant::now();
            let due = self.pace().poll_timeout();
            if due.is_some_and(|due| due <= now) {
                return "too slow, or idle for too long";
            }
            let look = due.map_or(now + LOOK, |due| due.min(now + LOOK));
            tokio::select! {
                () = self.evicted.cancelled() => return "its place is needed",
                () = sleep_until(look) => {}
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.entry.has_left.store(true, Ordering::Relaxed);
        self.connections.leave(&self.entry);
    }
}

/// The body of an answer, which tells the connection's pace when the last of it was handed on.
#[derive(Debug)]
struct AnswerBody {
    body: Body,
    to: Arc<Entry>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.to.has_long_answer.store(false, Ordering::Relaxed);
        self.to.pace().handle_answered(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    fn connections(most: usize, of_address: usize) -> Arc<Connections> {
        Arc::new(Connections::new(most, of_address, KEEP_ALIVE))
    }

    fn here(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn gone(connection: &Connection) -> bool {
        connection.entry.evicted.is_cancelled()
    }

    #[test]
    fn with_all_places_taken_the_longest_idle_goes_and_nobody_who_waits_for_the_relay() {
        let connections = connections(3, 3);
        let start = Instant::now();
        let enter = |n: u8, at| connections.enter(here(n), start + Duration::from_secs(at));
        let first = enter(1, 0).expect("room");
        first.entry.pace().handle_request(Some(0));
        let second = enter(2, 1).expect("room");
        let third = enter(3, 2).expect("room");
        let fourth = enter(4, 3).expect("the second one's place");
        assert_eq!([gone(&first), gone(&second), gone(&third)], [false, true, false]);
        third.entry.pace().handle_request(Some(0));
        fourth.entry.pace().handle_request(Some(0));
        assert_eq!(enter(5, 4).err(), Some(Full::Relay), "all of them wait for the relay");
        // One that does not take its answer is waited for.
        third.entry.pace().handle_blocked(start);
        let fifth = enter(5, 5).expect("the third one's place");
        assert!(gone(&third) && !gone(&fifth));
        drop(first);
        assert!(enter(6, 6).is_ok());
    }

    #[test]
    fn an_address_has_its_share_and_only_its_own_idle_ones_make_room_in_it() {
        let connections = connections(10, 2);
        let start = Instant::now();
        let enter = |n: u8| connections.enter(here(n), start);
        let (first, second) = (enter(1).expect("room"), enter(1).expect("room"));
        let other = enter(2).expect("another address");
        assert_eq!(enter(1).err(), Some(Full::Address), "silent ones make no room");
        second.entry.pace().handle_request(Some(0));
        second.entry.pace().handle_answered(start);
        let third = enter(1).expect("in the place of an idle one");
        assert_eq!([gone(&first), gone(&second), gone(&third), gone(&other)], [false, true, false, false]);
        for _ in 0..5 {
            connections.enter(None, start).map(std::mem::forget).expect("a proxy is not counted");
        }
    }

    #[test]
    fn long_answers_leave_a_quarter_of_the_places_to_others() {
        let connections = connections(8, 8);
        let long = || Body::from(vec![0; LONG_BYTES as usize + 1]);
        let enter = || connections.enter(None, Instant::now()).expect("room");
        let reading: Vec<_> = (0..6)
            .map(|_| {
                let connection = enter();
                connection.entry.pace().handle_request(Some(0));
                let body = connections.watch_answer(&connection.entry, long()).expect("room");
                (connection, body)
            })
            .collect();
        let (seventh, eighth) = (enter(), enter());
        assert!(connections.watch_answer(&seventh.entry, long()).is_none(), "all six are taken as they come");
        assert!(connections.watch_answer(&seventh.entry, Body::from("short")).is_some());
        reading[3].0.entry.pace().handle_blocked(Instant::now());
        assert!(connections.watch_answer(&seventh.entry, long()).is_some());
        assert!(gone(&reading[3].0) && !gone(&reading[0].0) && !gone(&eighth));
    }
}
