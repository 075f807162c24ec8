//! What a connection is to a session: messages both ways, whole and in order, and a close with a reason.
//!
//! The server opens a [`Wire`] for each connection, over a WebSocket. A session knows nothing of what is below the wire, so that another
//! transport that keeps messages whole and in order can carry a call as well.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use protocol::CloseCode;
use protocol::client::Transport;

/// What comes over a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// Something of the transport that carries no message, such as a WebSocket's ping or pong, and how many bytes of payload it has.
    Control(usize),
    /// The peer has closed the wire or is gone, and nothing follows. The code is there if the peer broke the rules of the transport, and says
    /// how.
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
    /// How many bytes the message has.
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

/// The error of a wire that is broken. Its reading side says so as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is gone")]
pub struct Gone;

/// An open connection that carries whole messages both ways, in order.
///
/// No method waits by itself: what cannot be done at once is [`Poll::Pending`], and the task is woken when it can be. The session decides how
/// much may wait in a wire, and for how long.
pub trait Wire: fmt::Debug + Send {
    /// Takes the next thing that came.
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming>;

    /// Ready when the wire takes a message without letting it pile up, and also when it is broken.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Takes a message, which may wait inside until [`Wire::poll_flush`] has sent it.
    ///
    /// # Errors
    /// When the wire is broken.
    fn write(&mut self, message: Outgoing) -> Result<(), Gone>;

    /// Takes the code and the reason that the wire is closed with. What was written before is sent first.
    ///
    /// # Errors
    /// When the wire is broken.
    fn write_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Gone>;

    /// What it goes over.
    fn transport(&self) -> Transport;

    /// Tells the wire that the user of the call is known. Limits that are tighter for strangers than for callers can be raised now.
    fn greeted(&mut self) {}

    /// Sends what was written. Ready when all of it is on its way.
    ///
    /// # Errors
    /// When the wire is broken.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>>;
}
