//! A WebSocket as the driver uses it: reads when asked, writes without waiting, closes in order.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use protocol::CloseCode;
use tokio::time::{Instant, timeout};

use crate::server::close_code;

/// A peer that takes nothing for this long, and says nothing, is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A close frame may take this long there and back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// What may still come before the answer to a close frame, in messages and bytes: a minute that is played again, in the shortest chunks, was on
/// its way. Whoever sends more does not listen, and may miss the code.
const CLOSE_MESSAGES: u32 = 20_000;
/// See [`CLOSE_MESSAGES`].
const CLOSE_BYTES: usize = 4 << 20;
/// Bytes that may wait in the socket; beyond them the agent's words wait in the replay buffer, where they can be resumed from. A third of a
/// second of audio: what is said next about the user's own words is not to wait for long.
const HIGH_WATER: usize = 16 * 1024;
/// With this much waiting, nothing more is read, since it might have to be answered.
const DEAF_WATER: usize = 64 * 1024;

/// What a connection has to tell.
#[derive(Debug)]
pub(super) enum Event {
    /// A message came.
    Message(Message),
    /// Everything written so far is on its way.
    Flushed,
    /// It is gone; a client that broke the WebSocket protocol is to be told how.
    Gone(Option<CloseCode>),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: WebSocket,
    /// Bytes written since everything was last on its way.
    unflushed: usize,
    /// Since when the peer has taken nothing of them and said nothing.
    since: Option<Instant>,
}

impl Connection {
    pub(super) fn new(socket: WebSocket) -> Self {
        Connection { socket, unflushed: 0, since: None }
    }

    /// Whether it takes what the agent says now.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.unflushed < HIGH_WATER && self.socket.poll_ready_unpin(&mut context).is_ready()
    }

    /// Whether what comes can be answered: a message that cannot is better left where it is.
    pub(super) fn may_listen(&self) -> bool {
        self.unflushed < DEAF_WATER
    }

    /// Hands a message over; `false` if the connection is gone.
    pub(super) fn write(&mut self, message: Message) -> bool {
        self.unflushed += match &message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        self.since.get_or_insert_with(Instant::now);
        self.socket.start_send_unpin(message).is_ok()
    }

    /// When the peer is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + SEND_TIMEOUT)
    }

    /// The next thing that happens. Dropping the future loses nothing.
    pub(super) async fn event(&mut self) -> Event {
        poll_fn(|context| {
            if self.since.is_some() {
                match self.socket.poll_flush_unpin(context) {
                    Poll::Ready(Ok(())) => {
                        self.unflushed = 0;
                        self.since = None;
                        return Poll::Ready(Event::Flushed);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone(None)),
                    Poll::Pending => {}
                }
            }
            if !self.may_listen() {
                return Poll::Pending;
            }
            let message = ready!(self.socket.poll_next_unpin(context));
            // A line over which something comes is alive, however slow the other way is.
            self.since = self.since.map(|_| Instant::now());
            if let Some(Ok(Message::Close(_))) = message {
                // The library answers it when it is asked for the next message. There is none.
                let _ = self.socket.poll_next_unpin(context);
            }
            Poll::Ready(match message {
                Some(Ok(Message::Close(_))) | None => Event::Gone(None),
                Some(Ok(message)) => Event::Message(message),
                Some(Err(error)) => Event::Gone(close_code(error)),
            })
        })
        .await
    }

    /// Says goodbye, waits a moment for the answer, and lets go.
    pub(super) async fn close(mut self, code: CloseCode) {
        let frame = CloseFrame { code: code.code(), reason: code.name().into() };
        let _ = timeout(CLOSE_TIMEOUT, async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                let (mut messages, mut bytes) = (0, 0);
                while let Some(Ok(message)) = self.socket.next().await {
                    messages += 1;
                    bytes += message.into_data().len();
                    if messages > CLOSE_MESSAGES || bytes > CLOSE_BYTES {
                        break;
                    }
                }
            }
        })
        .await;
    }
}
