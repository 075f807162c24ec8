//! The stream of a connection, before and after it becomes a call: how fast it is read, and how it is closed.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::task::TaskTracker;

use super::connections::Entry;
use super::pace::Pace;
use super::socket::Socket;

/// How long a call's peer may take to read the last words before its connection is dropped.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes of the peer are thrown away while it reads the last words.
const LINGER_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// How many bytes are read of a connection at once, and how many a second beyond that. A peer that sends more has to wait, as on a slow line.
///
/// The WebSocket library hands on whole messages only. Pieces that never make up a message are bounded here and nowhere else: each piece
/// takes time, and the smallest have two bytes.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: i64,
    per_second: i64,
}

/// The rate of a connection that is no call: the requests of one person, or of a proxy that brings those of many.
const REQUESTS: Rate = Rate { burst: 4 << 20, per_second: 1 << 20 };
/// The rate of a call whose user is not known yet: the largest message that it may send, and little more.
const STRANGER: Rate = Rate { burst: 320 << 10, per_second: 64 << 10 };
/// The rate of a call: at once more than a minute of audio in the shortest chunks, and then eight times as much as a call says.
const CALL: Rate = Rate { burst: 4 << 20, per_second: 256 << 10 };
/// What is read of a call at once: two chunks of audio, and a little.
const READ_BYTES: usize = 8 * 1024;
/// What is handed on of it first, by itself: the head of a frame of audio. The WebSocket library makes room for a whole frame when it has read
/// its head, beside what it has of it by then: if that is nothing, the room is that of one frame, and none of it is moved to make more. Where
/// something else is cut off, that costs a little room and nothing else.
const FRAME_HEAD: usize = 8;
/// How long a connection is not read whose rate is used up.
const REST: Duration = Duration::from_millis(100);

/// The stream of a connection, which may become a call. A call keeps its place among the calls for as long as its stream is open, and its
/// stream is closed so that the peer can read the last words.
///
/// A socket that is closed with unread bytes in it is reset, and a reset overtakes the close frame that says why. A browser that is sending a
/// message which is too large would see a broken connection, and come back to send it again.
#[derive(Debug)]
pub(super) struct CallStream {
    /// The stream, which is there until this is dropped.
    stream: Option<Socket>,
    /// Whether the peer has finished or is gone.
    ended: bool,
    place: CallPlace,
    /// The entry of the connection, whose pace is told what happens until the connection is a call.
    entry: Option<Arc<Entry>>,
    allowance: Allowance,
    /// The timer of the rest while the rate is used up.
    rest: Option<Interval>,
    tasks: TaskTracker,
    /// Bytes that were read and are not handed on yet: what came together with the end of a head or a body and does not belong to it, and, of a
    /// call, what followed the head of a frame.
    ahead: Bytes,
}

/// How many bytes may be read now, at a rate.
#[derive(Debug)]
struct Allowance {
    rate: Rate,
    /// How many bytes may be read now. It falls below zero because a buffer is read whole, and has to rise again first.
    bytes: i64,
    /// The time up to which the rate is in `bytes`.
    filled: Instant,
}

/// What a connection's stream is told by others: the upgrade gives it a place among the calls, and the greeting says that its user is known.
#[derive(Clone, Debug, Default)]
pub(super) struct CallPlace(Arc<CallState>);

#[derive(Debug, Default)]
struct CallState {
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    is_call: AtomicBool,
    is_known: AtomicBool,
}

impl CallPlace {
    /// Makes the connection a call, which keeps this permit until its stream is closed.
    pub(super) fn become_call(&self, permit: OwnedSemaphorePermit) {
        *self.0.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        self.0.is_call.store(true, Ordering::Relaxed);
    }

    /// Notes that the user of the call is known.
    pub(super) fn greeted(&self) {
        self.0.is_known.store(true, Ordering::Relaxed);
    }

    fn is_call(&self) -> bool {
        self.0.is_call.load(Ordering::Relaxed)
    }

    fn rate(&self) -> Rate {
        match (self.is_call(), self.0.is_known.load(Ordering::Relaxed)) {
            (false, _) => REQUESTS,
            (true, false) => STRANGER,
            (true, true) => CALL,
        }
    }
}

impl CallStream {
    pub(super) fn new(stream: Socket, place: CallPlace, entry: Arc<Entry>, tasks: TaskTracker) -> CallStream {
        let allowance = Allowance::new(Instant::now(), REQUESTS);
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

    /// Tells the connection's pace what happened, unless the connection has become a call.
    fn tell(&mut self, what: impl FnOnce(&mut Pace, Instant)) {
        match &self.entry {
            Some(entry) if entry.has_left() => self.entry = None,
            Some(entry) => what(&mut entry.pace(), Instant::now()),
            None => {}
        }
    }

    /// Notes that bytes came, and returns how many of them may be handed on together. See [`Pace::handle_read`]. Of a call, all of them may.
    fn hand_on(&mut self, bytes: &[u8]) -> usize {
        let mut handed_on = bytes.len();
        self.tell(|pace, now| handed_on = pace.handle_read(now, bytes));
        handed_on
    }

    /// Reads what there is of a call, and hands on the head of a frame.
    fn poll_read_call(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut came = ReadBuf::uninit(&mut bytes);
        let read = ready!(self.stream().poll_read(cx, &mut came));
        self.allowance.take(came.filled().len());
        self.ended = read.is_err() || came.filled().is_empty();
        read?;
        let head = came.filled().len().min(FRAME_HEAD).min(buffer.remaining());
        let handed_on = if head == 0 { 0 } else { self.hand_on(&came.filled()[..head]) };
        buffer.put_slice(&came.filled()[..handed_on]);
        self.ahead = Bytes::copy_from_slice(&came.filled()[handed_on..]);
        Poll::Ready(Ok(()))
    }

    fn tell_written(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(bytes)) => self.tell(|pace, now| pace.handle_written(now, *bytes)),
            Poll::Pending => self.tell(Pace::handle_blocked),
            Poll::Ready(Err(_)) => {}
        }
    }

    fn stream(&mut self) -> Pin<&mut Socket> {
        Pin::new(self.stream.as_mut().expect("it is taken by drop alone"))
    }
}

impl Allowance {
    fn new(now: Instant, rate: Rate) -> Allowance {
        Allowance { rate, bytes: rate.burst, filled: now }
    }

    /// Whether nothing may be read now. The clock is asked only if the allowance looks used up.
    fn is_used_up(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.bytes <= 0 {
            let now = now();
            let micros = i64::try_from((now - self.filled).as_micros()).unwrap_or(i64::MAX);
            let gained = micros.saturating_mul(self.rate.per_second) / 1_000_000;
            // Less than a byte is not counted yet, and the time goes on from `filled`.
            if gained > 0 {
                self.bytes = self.bytes.saturating_add(gained).min(self.rate.burst);
                self.filled = now;
            }
        }
        self.bytes <= 0
    }

    /// Changes the rate. Another rate begins with its whole burst.
    fn change(&mut self, now: impl FnOnce() -> Instant, rate: Rate) {
        if rate.burst != self.rate.burst || rate.per_second != self.rate.per_second {
            *self = Allowance::new(now(), rate);
        }
    }

    fn take(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.ended || !self.place.is_call() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let place = self.place.clone();
        self.tasks.spawn(async move {
            // The connection ends here, whether the peer has read the last words or not.
            let _ = tokio::time::timeout(LINGER, linger(stream)).await;
            drop(place);
        });
    }
}

/// Tells the peer that nothing more comes, and throws away what the peer still sends until it closes.
async fn linger(mut stream: Socket) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_MAX_BYTES), &mut tokio::io::sink()).await.map(drop)
}

impl AsyncRead for CallStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rate = self.place.rate();
        self.allowance.change(Instant::now, rate);
        while self.allowance.is_used_up(Instant::now) {
            ready!(self.rest.get_or_insert_with(|| interval_at(Instant::now() + REST, REST)).poll_tick(cx));
        }
        self.rest = None;
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        if !self.ahead.is_empty() {
            // Taken out, and not shared: sharing takes memory of its own, and what is used up would keep what it was a part of.
            let mut ahead = std::mem::take(&mut self.ahead);
            let handed_on = self.hand_on(&ahead[..room.min(ahead.len())]);
            buffer.put_slice(&ahead[..handed_on]);
            ahead.advance(handed_on);
            if !ahead.is_empty() {
                self.ahead = ahead;
            }
            return Poll::Ready(Ok(()));
        }
        if self.place.is_call() {
            return self.poll_read_call(cx, buffer);
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
    use tokio::net::TcpStream;
    use tokio::sync::Semaphore;

    use super::super::connections::Connections;
    use super::*;

    /// What is read in so many seconds of a peer that always has more, in pieces of this many bytes, each of which takes a moment to read.
    fn read_in(rate: Rate, seconds: u64, piece: usize, moment: Duration) -> i64 {
        let start = Instant::now();
        let (mut allowance, mut now, mut read) = (Allowance::new(start, rate), start, 0);
        while now < start + Duration::from_secs(seconds) {
            match allowance.is_used_up(|| now) {
                true => now += REST,
                false => {
                    allowance.take(piece);
                    read += piece as i64;
                    now += moment;
                }
            }
        }
        read
    }

    #[test]
    fn a_flood_is_read_as_fast_as_it_may_come_however_long_each_piece_takes() {
        for rate in [REQUESTS, STRANGER, CALL] {
            for (piece, micros) in [(100, 0), (100, 3), (4_096, 0), (4_096, 1), (4_096, 400), (65_536, 7)] {
                let read = read_in(rate, 60, piece, Duration::from_micros(micros));
                let (least, most) =
                    (rate.burst / 2 + 50 * rate.per_second, rate.burst + 61 * rate.per_second + piece as i64);
                assert!(
                    (least..most).contains(&read),
                    "{read} of {rate:?} in pieces of {piece}, {micros} µs each"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_head_of_a_frame_comes_by_itself_and_what_follows_it_comes_in_order_and_is_let_go_of() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut peer = TcpStream::connect(address).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let connections = Arc::new(Connections::new(1, 1, Duration::from_secs(1)));
        let connection = connections.enter(None, Instant::now()).expect("room");
        let place = CallPlace::default();
        let stream = Socket::Plain(stream);
        let mut stream = CallStream::new(stream, place.clone(), connection.entry.clone(), TaskTracker::new());
        drop(connection);
        place.become_call(Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place"));
        let sent: Vec<u8> = (0..3_220_u32).map(|n| (n % 251) as u8).collect();
        for _ in 0..3 {
            peer.write_all(&sent).await.expect("sent");
            let Socket::Plain(plain) = stream.stream().get_mut() else { panic!("it is plain") };
            plain.readable().await.expect("it comes");
            let (mut head, mut rest) = ([0; 1_024], vec![0; sent.len() - FRAME_HEAD]);
            assert_eq!(stream.read(&mut head).await.expect("read"), FRAME_HEAD);
            assert_eq!(head[..FRAME_HEAD], sent[..FRAME_HEAD]);
            stream.read_exact(&mut rest).await.expect("read");
            assert_eq!(rest, sent[FRAME_HEAD..]);
            assert_eq!(stream.ahead.as_ptr(), Bytes::new().as_ptr(), "nothing is kept");
        }
        drop(peer);
        assert_eq!(stream.read(&mut [0; 1_024]).await.expect("its end"), 0);
    }

    #[test]
    fn a_minute_of_audio_is_read_at_once_from_whoever_is_known() {
        assert!(read_in(CALL, 1, 4_096, Duration::from_micros(1)) >= CALL.burst);
    }

    #[test]
    fn whoever_is_greeted_begins_anew_and_nobody_else_does() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start, STRANGER);
        allowance.take(400_000);
        allowance.change(|| start, STRANGER);
        assert!(allowance.is_used_up(|| start));
        allowance.change(|| start, CALL);
        assert!(!allowance.is_used_up(|| start));
    }

    #[test]
    fn whoever_sends_no_more_than_a_call_has_never_to_wait() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start, CALL);
        for tenth in 0..36_000 {
            assert!(!allowance.is_used_up(|| start + tenth * REST), "after {tenth} chunks");
            allowance.take(3_500);
        }
    }
}
