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
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::connections::Entry;
use super::pace::Pace;

/// How long a peer may take to read what it was told last.
const LINGER: Duration = Duration::from_secs(2);
/// What is thrown away meanwhile.
const LINGER_MAX_BYTES: u64 = 4 * 1024 * 1024;

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
    tasks: TaskTracker,
    /// What came with the end of a head or a body, and is not of it: it is handed on by itself.
    ahead: Bytes,
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
        CallStream {
            stream: Some(stream),
            ended: false,
            place,
            entry: Some(entry),
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
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        if !self.ahead.is_empty() {
            let more = self.ahead.slice(..room.min(self.ahead.len()));
            let handed_on = self.hand_on(&more);
            buffer.put_slice(&more[..handed_on]);
            self.ahead.advance(handed_on);
            return Poll::Ready(Ok(()));
        }
        let read = ready!(self.stream().poll_read(cx, buffer));
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
