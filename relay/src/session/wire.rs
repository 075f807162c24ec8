//! What a connection is to a session: messages both ways, whole and in order, and a close with a reason.
//!
//! The server opens a [`Wire`] for each call: over a WebSocket today. A session knows nothing of what is below it, so that another
//! transport that keeps messages whole and in order can carry a call as well.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use protocol::CloseCode;

/// What comes over a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// Something of the transport that carries no message, with so many bytes of payload: a WebSocket's ping or pong.
    Control(usize),
    /// The peer has closed the wire or is gone: nothing follows. If it broke the rules of the transport, this says how it is to be told.
    Gone(Option<CloseCode>),
}

/// What goes over a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

impl Outgoing {
    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Outgoing::Text(text) => text.len(),
            Outgoing::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the message has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The wire is broken. Its reading side says so, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is gone")]
pub struct Gone;

/// An open connection that carries whole messages both ways, in order.
///
/// Nothing here waits by itself: what cannot be done at once is [`Poll::Pending`] and wakes the task when it can. How much may wait in a
/// wire, and for how long, is for the session to say.
pub trait Wire: fmt::Debug + Send {
    /// Takes the next thing that came.
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming>;

    /// Whether the wire takes a message without letting it pile up. Ready, too, when it is broken.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Hands over a message, which may wait inside until [`Wire::poll_flush`] has carried it off.
    ///
    /// # Errors
    /// When the wire is broken.
    fn write(&mut self, message: Outgoing) -> Result<(), Gone>;

    /// Hands over the last word: why the wire is closed. What was written before goes first.
    ///
    /// # Errors
    /// When the wire is broken.
    fn write_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Gone>;

    /// The user of the call is known: whatever strangers may send less of than callers is not bounded so tightly any more.
    fn greeted(&mut self) {}

    /// Carries off what was written: ready when all of it is on its way.
    ///
    /// # Errors
    /// When the wire is broken.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>>;
}
