//! A wire as a session uses it: read when asked, written without waiting, never with too much in it, closed in order.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use protocol::CloseCode;
use tokio::time::{Instant, timeout};

use super::wire::{Gone, Incoming, Outgoing, Wire};

/// A peer that takes nothing for this long, and says nothing, is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A close frame may take this long there and back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that may still come before the answer to a close frame: a minute that is played again, in the shortest chunks, was on its way.
/// Whoever sends more does not listen, and may miss the code.
const CLOSE_MESSAGES: u32 = 20_000;
/// Bytes that may still come before the answer to a close frame, for the same reason.
const CLOSE_BYTES: usize = 4 << 20;
/// Bytes that may wait in the wire; beyond them the agent's words wait in the replay buffer, where they can be resumed from. A third of a
/// second of audio: what is said next about the user's own words is not to wait for long.
const HIGH_WATER: usize = 16 * 1024;
/// With this much waiting, nothing more is read, since it might have to be answered.
const DEAF_WATER: usize = 64 * 1024;

/// What a connection has to tell.
#[derive(Debug)]
pub(super) enum Event {
    /// Something came, or the peer is gone.
    Incoming(Incoming),
    /// Everything written so far is on its way, and it was said before that no more is taken.
    Flushed,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    wire: Box<dyn Wire>,
    /// Bytes written since everything was last on its way.
    unflushed: usize,
    /// Since when the peer has taken nothing of them and said nothing.
    since: Option<Instant>,
    /// Whether it was said last that it takes nothing of what the agent says.
    is_full: bool,
}

impl Connection {
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        Connection { wire, unflushed: 0, since: None, is_full: false }
    }

    /// Whether it takes what the agent says now.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.is_full = self.unflushed >= HIGH_WATER || self.wire.poll_ready(&mut context).is_pending();
        !self.is_full
    }

    /// The user is known.
    pub(super) fn greeted(&mut self) {
        self.wire.greeted();
    }

    /// Whether what comes can be answered: a message that cannot is better left where it is.
    pub(super) fn may_listen(&self) -> bool {
        self.unflushed < DEAF_WATER
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// When the connection is gone. [`Connection::event`] says so, too.
    pub(super) fn write(&mut self, message: Outgoing) -> Result<(), Gone> {
        self.unflushed += message.len();
        self.since.get_or_insert_with(Instant::now);
        self.wire.write(message)
    }

    /// Hands a text over and waits until it is on its way.
    ///
    /// # Errors
    /// When the connection is gone, or the peer does not take the text within this time.
    pub(super) async fn say(&mut self, text: String, within: Duration) -> Result<(), Gone> {
        self.write(Outgoing::Text(text))?;
        timeout(within, self.flush()).await.unwrap_or(Err(Gone))
    }

    /// When the peer is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + SEND_TIMEOUT)
    }

    /// The next thing that happens. Dropping the future loses nothing.
    pub(super) async fn event(&mut self) -> Event {
        poll_fn(|context| {
            if self.since.is_some() {
                match self.wire.poll_flush(context) {
                    Poll::Ready(Ok(())) => {
                        self.unflushed = 0;
                        self.since = None;
                        if std::mem::take(&mut self.is_full) {
                            return Poll::Ready(Event::Flushed);
                        }
                    }
                    Poll::Ready(Err(Gone)) => return Poll::Ready(Event::Incoming(Incoming::Gone(None))),
                    Poll::Pending => {}
                }
            }
            if !self.may_listen() {
                return Poll::Pending;
            }
            let incoming = ready!(self.wire.poll_incoming(context));
            // A line over which something comes is alive, however slow the other way is.
            self.since = self.since.map(|_| Instant::now());
            Poll::Ready(Event::Incoming(incoming))
        })
        .await
    }

    /// Says goodbye, waits a moment for the answer, and lets go.
    pub(super) async fn close(mut self, code: CloseCode) {
        let goodbye = async {
            self.wire.write_close(code, code.name())?;
            self.flush().await?;
            let (mut messages, mut bytes) = (0, 0);
            while messages <= CLOSE_MESSAGES && bytes <= CLOSE_BYTES {
                messages += 1;
                bytes += match poll_fn(|context| self.wire.poll_incoming(context)).await {
                    Incoming::Text(text) => text.len(),
                    Incoming::Binary(payload) => payload.len(),
                    Incoming::Control(payload) => payload,
                    Incoming::Gone(_) => break,
                };
            }
            Ok::<(), Gone>(())
        };
        // Whether the peer heard it or not, the connection ends here.
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        poll_fn(|context| self.wire.poll_flush(context)).await?;
        self.unflushed = 0;
        self.since = None;
        Ok(())
    }
}
