//! The WebSocket of one connection, or what has its face.

use std::cell::RefCell;
use std::rc::Weak;

use js_sys::{ArrayBuffer, Uint8Array};
use protocol::client::{Input, Transport};
use wasm_bindgen::JsCast;
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};

use super::report::Report;
use super::{Inner, Outlet, parts};
use crate::listener::Listener;

/// Closes when it is dropped, and nothing of it comes in any more.
pub(crate) struct Socket {
    socket: WebSocket,
    _listeners: [Listener; 3],
}

impl Socket {
    /// Tells over what it is tried, and begins to open a socket; `None` if the browser refuses even to try (a bad URL, mixed content, content
    /// security policy).
    pub(crate) fn open(transport: Transport, outlet: &Outlet, engine: &Weak<RefCell<Inner>>) -> Option<Self> {
        let over_http = transport == Transport::Http;
        outlet.tell(Report::Transport { transport: if over_http { "http" } else { "websocket" } });
        let socket = outlet.open(over_http).ok()?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let on = |event, handle: fn(&mut Inner, &Event)| {
            let engine = engine.clone();
            Listener::new(&socket, event, move |event| {
                if let Some(engine) = engine.upgrade() {
                    handle(&mut parts(&engine), &event);
                }
            })
        };
        let listeners = [on("open", opened), on("message", received), on("close", closed)];
        Some(Socket { socket, _listeners: listeners })
    }

    // A failed send is no news: the socket is closing, and its close event tells so.

    pub(crate) fn send_text(&self, text: &str) {
        let _ = self.socket.send_with_str(text);
    }

    pub(crate) fn send_binary(&self, bytes: &[u8]) {
        let _ = self.socket.send_with_u8_array(bytes);
    }

    /// Bytes taken but not sent.
    pub(crate) fn buffered(&self) -> usize {
        self.socket.buffered_amount() as usize
    }

    /// Closes with this code.
    pub(crate) fn close(self, code: u16) {
        let _ = self.socket.close_with_code(code);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.socket.close();
    }
}

fn opened(engine: &mut Inner, _: &Event) {
    engine.link.input(Input::Opened, &mut engine.playback);
}

fn received(engine: &mut Inner, event: &Event) {
    let data = event.unchecked_ref::<MessageEvent>().data();
    if let Some(text) = data.as_string() {
        engine.link.input(Input::Text(&text), &mut engine.playback);
    } else if let Ok(buffer) = data.dyn_into::<ArrayBuffer>() {
        engine.link.binary(&Uint8Array::new(&buffer), &mut engine.playback);
    }
}

fn closed(engine: &mut Inner, event: &Event) {
    let code = event.unchecked_ref::<CloseEvent>().code();
    engine.link.closed(code, &mut engine.playback);
}
