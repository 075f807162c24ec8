//! A WebSocket as the wire of a call.

use std::task::{Context, Poll, ready};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use protocol::CloseCode;
use protocol::client::Transport;
use tungstenite::error::{Error, ProtocolError};

use super::stream::CallPlace;
use crate::session::{Gone, Incoming, Outgoing, Wire};

/// A WebSocket that carries a call.
#[derive(Debug)]
pub(super) struct WebSocketWire {
    socket: WebSocket,
    place: CallPlace,
}

impl Wire for WebSocketWire {
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        Poll::Ready(match ready!(self.socket.poll_next_unpin(context)) {
            Some(Ok(Message::Text(text))) => Incoming::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(payload))) => Incoming::Binary(payload),
            Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => Incoming::Control(payload.len()),
            Some(Ok(Message::Close(_))) => {
                // The library answers the close frame when it is asked for the next message, which does not come.
                let _ = self.socket.poll_next_unpin(context);
                Incoming::Gone(None)
            }
            Some(Err(error)) => Incoming::Gone(close_code(error)),
            None => Incoming::Gone(None),
        })
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_ready_unpin(context).map(drop)
    }

    fn write(&mut self, message: Outgoing) -> Result<(), Gone> {
        self.send(match message {
            Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Binary(payload) => Message::Binary(payload),
        })
    }

    fn write_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Gone> {
        self.send(Message::Close(Some(CloseFrame { code: code.code(), reason: reason.into() })))
    }

    fn transport(&self) -> Transport {
        Transport::WebSocket
    }

    fn greeted(&mut self) {
        self.place.greeted();
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.socket.poll_flush_unpin(context).map_err(|_| Gone)
    }
}

impl WebSocketWire {
    /// The wire over this socket, whose stream is told at `place` that the user is known.
    pub(super) fn new(socket: WebSocket, place: CallPlace) -> WebSocketWire {
        WebSocketWire { socket, place }
    }

    fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.socket.start_send_unpin(message).map_err(|_| Gone)
    }
}

/// The close code that an error of a WebSocket calls for. `None` if the peer is gone.
///
/// The library closes nothing by itself. After such an error the socket reads no more, but one close frame can still be sent.
fn close_code(error: axum::Error) -> Option<CloseCode> {
    let error = error.into_inner().downcast::<Error>().ok()?;
    match *error {
        Error::Capacity(_) => Some(CloseCode::TooBig),
        Error::Utf8(_) => Some(CloseCode::InvalidText),
        // The peer went away without a word.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
