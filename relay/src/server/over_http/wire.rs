//! A wire of two halves: a stream of events down, and requests one after another up. Between them lies what one half has for the other.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use axum::body::HttpBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Frame;
use protocol::CloseCode;
use protocol::client::Transport;
use serde_json::json;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::body::{Brought, Record};
use super::wires::{WireId, Wires};
use crate::session::{Gone, Incoming, Outgoing, Wire};

/// How many bytes of events may wait for the stream until the wire takes no more of the agent's words. The session bounds what it writes in
/// any case; what the HTTP library has taken of the stream comes on top.
const READY_BYTES: usize = 16 * 1024;
/// What the stream begins with: a comment, so that whatever stands between sends the head of the answer on.
const BEGINNING: &[u8] = b":\n\n";

/// A call's connection over HTTP, as its session has it.
#[derive(Debug)]
pub(super) struct HttpWire {
    id: WireId,
    halves: Arc<Halves>,
    wires: Arc<Wires>,
}

/// What the stream, the requests and the session of a wire share.
#[derive(Debug)]
pub(super) struct Halves {
    state: Mutex<State>,
    /// Notified when the session has taken what a request brought, or takes nothing more.
    pub(super) taken: Notify,
    /// The wire's place among the calls, which is free once the session and the stream have let go of it.
    _place: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the request that comes next.
    next: u32,
    /// Whether a request is under way.
    is_receiving: bool,
    /// What the last request brought and the session has not taken.
    brought: Option<Brought>,
    /// Set when nothing more comes up, with what the client did wrong, if it did. What was brought before is still taken.
    ended: Option<Option<CloseCode>>,
    /// Events that the stream has not taken.
    events: Vec<u8>,
    /// Whether the stream ends after these events.
    is_closed: bool,
    /// Whether the stream is gone.
    is_unread: bool,
    /// Whether the session has let go of the wire.
    is_dropped: bool,
    /// The session waits for what comes, for room, and for its words to be taken, the stream for events.
    incoming: Option<Waker>,
    ready: Option<Waker>,
    flushed: Option<Waker>,
    reading: Option<Waker>,
}

/// The stream of a wire's events.
#[derive(Debug)]
pub(super) struct EventStream(Arc<Halves>);

/// The one request of a wire that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Receiving(Arc<Halves>);

/// What becomes of a request that came with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is the next one, and was taken.
    Taken,
    /// It was taken before.
    Repeated,
    /// One before it is missing, or the wire is over.
    Over,
}

impl HttpWire {
    /// A wire with this place among the calls, and the stream of its events.
    pub(super) fn new(id: WireId, place: OwnedSemaphorePermit, wires: Arc<Wires>) -> (HttpWire, EventStream) {
        let state = State { events: BEGINNING.to_vec(), ..State::default() };
        let halves = Arc::new(Halves { state: Mutex::new(state), taken: Notify::new(), _place: place });
        (HttpWire { id, halves: Arc::clone(&halves), wires }, EventStream(halves))
    }

    pub(super) fn halves(&self) -> &Arc<Halves> {
        &self.halves
    }
}

impl Wire for HttpWire {
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let mut state = self.halves.lock();
        let record = state.brought.as_mut().and_then(Iterator::next);
        if state.brought.as_ref().is_some_and(Brought::is_empty) {
            state.brought = None;
            self.halves.taken.notify_waiters();
        }
        match record {
            Some(Record::Text(text)) => match String::from_utf8(text.into()) {
                Ok(text) => return Poll::Ready(Incoming::Text(text)),
                Err(_) => self.halves.end_here(&mut state, Some(CloseCode::InvalidText)),
            },
            Some(Record::Binary(payload)) => return Poll::Ready(Incoming::Binary(payload)),
            Some(Record::Close) => self.halves.end_here(&mut state, None),
            None => {}
        }
        match state.ended {
            Some(violation) => Poll::Ready(Incoming::Gone(violation)),
            None => {
                state.incoming = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.halves.lock();
        if state.is_unread || state.events.len() < READY_BYTES {
            return Poll::Ready(());
        }
        state.ready = Some(context.waker().clone());
        Poll::Pending
    }

    fn write(&mut self, message: Outgoing) -> Result<(), Gone> {
        self.halves.lock().write(|events| match message {
            // JSON has no line breaks but those between its parts, and the relay's has none there.
            Outgoing::Text(text) => push(events, &[b"data:", text.as_bytes()]),
            Outgoing::Binary(payload) => {
                push(events, &[b"event:audio\ndata:", STANDARD.encode(payload).as_bytes()]);
            }
        })
    }

    fn write_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Gone> {
        let mut state = self.halves.lock();
        let close = json!({ "code": code.code(), "reason": reason }).to_string();
        state.write(|events| push(events, &[b"event:close\ndata:", close.as_bytes()]))?;
        state.is_closed = true;
        Ok(())
    }

    fn transport(&self) -> Transport {
        Transport::Http
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut state = self.halves.lock();
        if state.is_unread {
            return Poll::Ready(Err(Gone));
        }
        if state.events.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.flushed = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for HttpWire {
    fn drop(&mut self) {
        self.wires.forget(&self.id, &self.halves);
        let mut state = self.halves.lock();
        state.is_dropped = true;
        state.is_closed = true;
        wake(&mut state.reading);
        self.halves.taken.notify_waiters();
    }
}

/// Adds an event of these parts.
fn push(events: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| events.extend_from_slice(part));
    events.extend_from_slice(b"\n\n");
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Halves {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more comes up. The client did this wrong, if it did anything wrong.
    pub(super) fn end(&self, violation: Option<CloseCode>) {
        self.lock().end(violation);
    }

    /// Nothing more is taken of what was brought.
    fn end_here(&self, state: &mut State, violation: Option<CloseCode>) {
        state.brought = None;
        state.end(violation);
        self.taken.notify_waiters();
    }

    /// Begins a request. There is none to begin while another one is under way, or when nothing more comes up.
    pub(super) fn receive(self: &Arc<Self>) -> Option<Receiving> {
        let mut state = self.lock();
        if state.ended.is_some() || state.is_dropped || std::mem::replace(&mut state.is_receiving, true) {
            return None;
        }
        Some(Receiving(Arc::clone(self)))
    }
}

impl Receiving {
    /// Whether the session has taken everything that was brought. `None` if it has not, and takes nothing more.
    pub(super) fn is_taken(&self) -> Option<bool> {
        let state = self.0.lock();
        let is_taken = state.brought.is_none();
        (is_taken || !state.is_dropped).then_some(is_taken)
    }

    /// Gives the session what came, if it is its turn. Everything that was brought before has to be taken.
    pub(super) fn bring(&self, brought: Brought) -> Turn {
        let mut state = self.0.lock();
        if brought.number() < state.next {
            return Turn::Repeated;
        }
        if brought.number() > state.next || state.ended.is_some() || state.is_dropped {
            return Turn::Over;
        }
        state.next += 1;
        if !brought.is_empty() {
            state.brought = Some(brought);
            wake(&mut state.incoming);
        }
        Turn::Taken
    }

    pub(super) fn halves(&self) -> &Halves {
        &self.0
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.lock().is_receiving = false;
    }
}

impl State {
    fn end(&mut self, violation: Option<CloseCode>) {
        self.ended.get_or_insert(violation);
        wake(&mut self.incoming);
    }

    fn write(&mut self, event: impl FnOnce(&mut Vec<u8>)) -> Result<(), Gone> {
        if self.is_unread || self.is_closed {
            return Err(Gone);
        }
        event(&mut self.events);
        wake(&mut self.reading);
        Ok(())
    }
}

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut state = self.0.lock();
        if state.events.is_empty() {
            if state.is_closed {
                return Poll::Ready(None);
            }
            state.reading = Some(context.waker().clone());
            return Poll::Pending;
        }
        let events = std::mem::take(&mut state.events);
        wake(&mut state.flushed);
        wake(&mut state.ready);
        Poll::Ready(Some(Ok(Frame::data(events.into()))))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_unread = true;
        state.events = Vec::new();
        state.end(None);
        wake(&mut state.flushed);
        wake(&mut state.ready);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::Semaphore;

    use super::*;

    /// A wire, its stream, and the places that it has one of.
    fn wire() -> (HttpWire, EventStream, Arc<Semaphore>) {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("a place");
        let id = WireId::parse("0123456789abcdef0123456789abcdef").expect("an id");
        let (wire, events) = HttpWire::new(id, place, Arc::default());
        (wire, events, places)
    }

    /// A body with this number and these messages, as texts.
    fn texts(number: u32, texts: &[&[u8]]) -> Brought {
        let mut body = number.to_le_bytes().to_vec();
        for text in texts {
            body.push(1);
            body.extend((text.len() as u32).to_le_bytes());
            body.extend(*text);
        }
        Brought::parse(body.into()).expect("whole")
    }

    fn incoming(wire: &mut HttpWire) -> Poll<Incoming> {
        wire.poll_incoming(&mut Context::from_waker(Waker::noop()))
    }

    async fn frame(events: &mut EventStream) -> Option<String> {
        let frame = poll_fn(|context| Pin::new(&mut *events).poll_frame(context)).await?;
        let data = frame.expect("infallible").into_data().expect("data");
        Some(String::from_utf8(data.into()).expect("text"))
    }

    #[test]
    fn a_request_is_taken_in_its_turn_once_and_one_at_a_time() {
        let (mut wire, _events, _) = wire();
        let receiving = wire.halves().receive().expect("the first one");
        assert!(wire.halves().receive().is_none(), "another one is under way");
        assert_eq!(receiving.bring(texts(1, &[b"{}"])), Turn::Over, "one is missing");
        assert_eq!(receiving.bring(texts(0, &[b"{}", b"[]"])), Turn::Taken);
        assert_eq!(receiving.is_taken(), Some(false));
        assert_eq!(incoming(&mut wire), Poll::Ready(Incoming::Text("{}".into())));
        assert_eq!(receiving.is_taken(), Some(false));
        assert_eq!(incoming(&mut wire), Poll::Ready(Incoming::Text("[]".into())));
        assert_eq!(receiving.is_taken(), Some(true));
        assert_eq!(receiving.bring(texts(0, &[b"{}", b"[]"])), Turn::Repeated);
        assert_eq!(incoming(&mut wire), Poll::Pending);
        drop(receiving);
        let receiving = wire.halves().receive().expect("the next one");
        drop(wire);
        assert_eq!(receiving.bring(texts(1, &[])), Turn::Over);
        assert_eq!(receiving.is_taken(), Some(true), "nothing is left of what was brought");
    }

    #[test]
    fn what_a_session_leaves_untaken_was_not_taken() {
        let (mut wire, _events, _) = wire();
        let receiving = wire.halves().receive().expect("a request");
        assert_eq!(receiving.bring(texts(0, &[b"{}", b"[]"])), Turn::Taken);
        assert!(incoming(&mut wire).is_ready());
        drop(wire);
        assert_eq!(receiving.is_taken(), None);
    }

    #[test]
    fn what_was_brought_before_the_end_is_heard_and_broken_text_is_the_end() {
        let (mut wire, events, _) = wire();
        let receiving = wire.halves().receive().expect("a request");
        assert_eq!(receiving.bring(texts(0, &[b"{}"])), Turn::Taken);
        drop(events);
        assert_eq!(incoming(&mut wire), Poll::Ready(Incoming::Text("{}".into())));
        assert_eq!(incoming(&mut wire), Poll::Ready(Incoming::Gone(None)));
        assert_eq!(wire.write(Outgoing::Text("{}".into())), Err(Gone));

        let (mut wire, _events, _) = self::wire();
        let receiving = wire.halves().receive().expect("a request");
        assert_eq!(receiving.bring(texts(0, &[b"\xFF", b"{}"])), Turn::Taken);
        assert_eq!(incoming(&mut wire), Poll::Ready(Incoming::Gone(Some(CloseCode::InvalidText))));
    }

    #[tokio::test]
    async fn the_stream_has_every_event_and_the_close_code_last_and_keeps_its_place_until_then() {
        let (mut wire, mut events, places) = wire();
        wire.write(Outgoing::Text("{\"a\":1}".into())).expect("open");
        wire.write(Outgoing::Binary(Bytes::from_static(&[1, 2, 3, 4]))).expect("open");
        assert_eq!(
            frame(&mut events).await.as_deref(),
            Some(":\n\ndata:{\"a\":1}\n\nevent:audio\ndata:AQIDBA==\n\n")
        );
        wire.write_close(CloseCode::Normal, "normal").expect("open");
        assert_eq!(wire.write(Outgoing::Text("late".into())), Err(Gone));
        drop(wire);
        assert_eq!(places.available_permits(), 0);
        let close = "event:close\ndata:{\"code\":1000,\"reason\":\"normal\"}\n\n";
        assert_eq!(frame(&mut events).await.as_deref(), Some(close));
        assert_eq!(frame(&mut events).await, None);
        drop(events);
        assert_eq!(places.available_permits(), 1);
    }

    #[test]
    fn a_stream_that_is_not_read_fills_up_and_is_flushed_when_it_is_read() {
        let (mut wire, mut events, _) = wire();
        let context = &mut Context::from_waker(Waker::noop());
        while wire.poll_ready(context).is_ready() {
            wire.write(Outgoing::Text("x".repeat(1_000))).expect("open");
            assert!(wire.halves.lock().events.len() < READY_BYTES + 1_100);
        }
        assert_eq!((wire.poll_ready(context), wire.poll_flush(context)), (Poll::Pending, Poll::Pending));
        assert!(Pin::new(&mut events).poll_frame(context).is_ready());
        assert_eq!(
            (wire.poll_ready(context), wire.poll_flush(context)),
            (Poll::Ready(()), Poll::Ready(Ok(())))
        );
    }
}
