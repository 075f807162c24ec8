use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::task::TaskTracker;

use super::connections::Entry;
use super::pace::Pace;

/// How long a peer may take to read what it was told last.
const LINGER: Duration = Duration::from_secs(2);
/// What is thrown away meanwhile.
const LINGER_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// What is read of a connection without a pause: more than a minute of audio in the shortest chunks.
const READ_BURST: usize = 4 * 1024 * 1024;
/// What is read of it in a second beyond that: thirty times as much as a call says. A peer that sends more waits, as on a slow line. The
/// WebSocket library hands on whole messages only, so whatever comes in pieces that never make one is bounded here and nowhere else.
const READ_PER_SECOND: usize = 1024 * 1024;
/// How long a connection rests that was read too much of.
const REST: Duration = Duration::from_millis(100);

/// A call's connection, whoever holds it after the upgrade: it keeps its place among the calls for as long as it is open, and
/// is closed so that the peer can read the last words.
///
/// A socket that is closed with unread bytes in it is reset, and a reset overtakes the close frame that says why: a browser in
/// the middle of a message that is too large would see a broken connection and come back to try again.
#[derive(Debug)]
pub(super) struct CallStream {
    /// Taken when it is dropped.
    stream: Option<TcpStream>,
    /// Whether the peer has finished or is gone.
    ended: bool,
    place: CallPlace,
    /// Whom its pace is told, until it is a call.
    entry: Option<Arc<Entry>>,
    allowance: Allowance,
    /// Set while it rests.
    rest: Option<Interval>,
    tasks: TaskTracker,
    /// What came with the end of a head or a body, and is not of it: it is handed on by itself.
    ahead: Bytes,
}

/// How many bytes may be read.
#[derive(Debug)]
struct Allowance {
    bytes: usize,
    /// What flowed in up to here is in `bytes`.
    filled: Instant,
}

/// Where the upgrade leaves the connection's place.
#[derive(Clone, Debug, Default)]
pub(super) struct CallPlace(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl CallPlace {
    pub(super) fn keep(&self, permit: OwnedSemaphorePermit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }

    fn is_kept(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl CallStream {
    pub(super) fn new(
        stream: TcpStream,
        place: CallPlace,
        entry: Arc<Entry>,
        tasks: TaskTracker,
    ) -> CallStream {
        let allowance = Allowance::new(Instant::now());
        CallStream {
            stream: Some(stream),
            ended: false,
            place,
            entry: Some(entry),
            allowance,
            rest: None,
            tasks,
            ahead: Bytes::new(),
        }
    }

    /// Tells its pace what happened, unless nobody looks at that any more.
    fn tell(&mut self, what: impl FnOnce(&mut Pace, Instant)) {
        match &self.entry {
            Some(entry) if entry.has_left() => self.entry = None,
            Some(entry) => what(&mut entry.pace(), Instant::now()),
            None => {}
        }
    }

    /// How many of these bytes may be handed on: all, once nobody looks at its pace.
    fn hand_on(&mut self, bytes: &[u8]) -> usize {
        let mut handed_on = bytes.len();
        self.tell(|pace, now| handed_on = pace.handle_read(now, bytes));
        handed_on
    }

    fn tell_written(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.tell(|pace, now| pace.handle_written(now, *bytes)),
            Poll::Pending => self.tell(Pace::handle_blocked),
            Poll::Ready(Err(_)) => {}
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("it is taken by drop alone"))
    }
}

impl Allowance {
    fn new(now: Instant) -> Allowance {
        Allowance { bytes: READ_BURST, filled: now }
    }

    /// Looks at the clock only when it has to.
    fn is_used_up(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.bytes == 0 {
            let now = now();
            let gained = (now - self.filled).as_micros() * READ_PER_SECOND as u128 / 1_000_000;
            self.bytes = usize::try_from(gained).unwrap_or(READ_BURST).min(READ_BURST);
            self.filled = now;
        }
        self.bytes == 0
    }

    fn take(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.ended || !self.place.is_kept() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let place = self.place.clone();
        self.tasks.spawn(async move {
            // Whether the peer listened or not, the connection ends here.
            let _ = tokio::time::timeout(LINGER, linger(stream)).await;
            drop(place);
        });
    }
}

/// Says that nothing more comes, and takes what still does until the peer closes.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_MAX_BYTES), &mut tokio::io::sink()).await.map(drop)
}

impl AsyncRead for CallStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.allowance.is_used_up(Instant::now) {
            ready!(self.rest.get_or_insert_with(|| interval_at(Instant::now() + REST, REST)).poll_tick(cx));
        }
        self.rest = None;
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        if !self.ahead.is_empty() {
            let more = self.ahead.slice(..room.min(self.ahead.len()));
            let handed_on = self.hand_on(&more);
            buffer.put_slice(&more[..handed_on]);
            self.ahead.advance(handed_on);
            return Poll::Ready(Ok(()));
        }
        let read = ready!(self.stream().poll_read(cx, buffer));
        self.allowance.take(buffer.filled().len() - before);
        self.ended = read.is_err() || (room > 0 && buffer.filled().len() == before);
        read?;
        let came = &buffer.filled()[before..];
        let handed_on = if came.is_empty() { 0 } else { self.hand_on(came) };
        self.ahead = Bytes::copy_from_slice(&came[handed_on..]);
        buffer.set_filled(before + handed_on);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CallStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write(cx, bytes);
        self.tell_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write_vectored(cx, parts);
        self.tell_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read in so many seconds of a peer that always has more, in pieces of this many bytes.
    fn read_in(seconds: u64, piece: usize) -> usize {
        let start = Instant::now();
        let (mut allowance, mut now, mut read) = (Allowance::new(start), start, 0);
        while now < start + Duration::from_secs(seconds) {
            match allowance.is_used_up(|| now) {
                true => now += REST,
                false => {
                    allowance.take(piece);
                    read += piece;
                }
            }
        }
        read
    }

    #[test]
    fn a_minute_of_audio_is_read_at_once_and_a_flood_as_fast_as_it_may_come() {
        assert!(read_in(1, 4_096) >= READ_BURST);
        for piece in [1, 100, 4_096, 65_536] {
            let read = read_in(60, piece);
            let (least, most) =
                (READ_BURST + 50 * READ_PER_SECOND, READ_BURST + 61 * READ_PER_SECOND + 600 * piece);
            assert!((least..most).contains(&read), "{read} in pieces of {piece}");
        }
    }

    #[test]
    fn whoever_sends_no_more_than_a_call_has_never_to_wait() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for tenth in 0..36_000 {
            assert!(!allowance.is_used_up(|| start + tenth * REST), "after {tenth} chunks");
            allowance.take(3_500);
        }
    }
}
