//! A wire as a session uses it: it is read when asked, written without waiting, holds a bounded amount, and is closed in order.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use protocol::CloseCode;
use protocol::client::Transport;
use tokio::time::{Instant, timeout};

use super::wire::{Gone, Incoming, Outgoing, Wire};

/// How long a peer may take nothing and say nothing until it is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a close frame may take there and back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many messages may still come before the answer to a close frame. A minute of audio in the shortest chunks may be on its way, played
/// again. A peer that sends more does not listen, and may miss the close code.
const CLOSE_MESSAGES: u32 = 20_000;
/// How many bytes may still come before the answer to a close frame. A minute of audio may be on its way, played again.
const CLOSE_BYTES: usize = 4 << 20;
/// How many bytes may wait in the wire until the agent's words wait in the replay buffer instead, from where they can be resumed. It is a
/// third of a second of audio, so that acknowledgements of the user's own words do not wait for long behind it.
const HIGH_WATER: usize = 16 * 1024;
/// How many bytes may wait in the wire until nothing more is read, since what is read might have to be answered.
const DEAF_WATER: usize = 64 * 1024;

/// What happens on a connection.
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
    /// How many bytes were written since everything was last flushed.
    unflushed: usize,
    /// When the wait for the peer to take what is unflushed began. It begins again whenever something comes from the peer.
    since: Option<Instant>,
    /// Whether it was said last that it takes nothing of what the agent says.
    is_full: bool,
}

impl Connection {
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        Connection { wire, unflushed: 0, since: None, is_full: false }
    }

    /// Whether the connection takes the agent's words now.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.is_full = self.unflushed >= HIGH_WATER || self.wire.poll_ready(&mut context).is_pending();
        !self.is_full
    }

    /// What it goes over.
    pub(super) fn transport(&self) -> Transport {
        self.wire.transport()
    }

    /// Tells the wire that the user is known. See [`Wire::greeted`].
    pub(super) fn greeted(&mut self) {
        self.wire.greeted();
    }

    /// Whether there is room to answer what comes. Without room, messages are left unread.
    pub(super) fn may_listen(&self) -> bool {
        self.unflushed < DEAF_WATER
    }

    /// Writes a message, without waiting until it is on its way.
    ///
    /// # Errors
    /// When the connection is gone. [`Connection::event`] says so as well.
    pub(super) fn write(&mut self, message: Outgoing) -> Result<(), Gone> {
        self.unflushed += message.len();
        self.since.get_or_insert_with(Instant::now);
        self.wire.write(message)
    }

    /// Writes a text and waits until it is on its way.
    ///
    /// # Errors
    /// When the connection is gone, or the peer does not take the text in time.
    pub(super) async fn say(&mut self, text: String, within: Duration) -> Result<(), Gone> {
        self.write(Outgoing::Text(text))?;
        timeout(within, self.flush()).await.unwrap_or(Err(Gone))
    }

    /// When a peer that takes nothing and says nothing is given up.
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
            // A peer that sends something is alive, however slowly it takes what is written.
            self.since = self.since.map(|_| Instant::now());
            Poll::Ready(Event::Incoming(incoming))
        })
        .await
    }

    /// Sends the close code, waits a moment for the answer, and drops the wire.
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
        // The connection ends here, whether the peer has heard the code or not.
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        poll_fn(|context| self.wire.poll_flush(context)).await?;
        self.unflushed = 0;
        self.since = None;
        Ok(())
    }
}
