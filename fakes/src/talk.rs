//! Conversations over a WebSocket: what a wire decides, and the one driver for all of them.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use crate::log::{Bill, Ended};
use crate::pace::{Pace, Piece, Step};
use crate::server::Opened;

/// So long the other side has to answer a close.
const CLOSE: Duration = Duration::from_secs(1);

/// One end of a wire: a machine. Times are milliseconds since the conversation was opened.
pub(crate) trait Conversation: Send {
    /// What is said first.
    fn open(&mut self) -> Vec<Out> {
        Vec::new()
    }

    /// A message of text has come.
    fn handle_text(&mut self, now_ms: u64, text: &str) -> Vec<Out>;

    /// A message of bytes has come.
    fn handle_bytes(&mut self, now_ms: u64, bytes: &[u8]) -> Vec<Out>;

    /// When [`Conversation::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<u64>;

    fn handle_timeout(&mut self, now_ms: u64) -> Vec<Out>;

    /// The provider's error of this name.
    fn error(&self, name: &str) -> Frame;

    fn bill(&self) -> Bill;
}

/// What a conversation wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    /// Send it, when and as the script has it.
    Send(Frame),
    /// Nothing for so many milliseconds.
    Wait(u64),
    /// What is not sent yet never will be.
    Forget,
    /// Close when all is sent.
    Close(u16, &'static str),
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Text(String),
    Bytes(Vec<u8>),
}

impl Out {
    pub(crate) fn json(message: &Value) -> Self {
        Out::Send(Frame::Text(message.to_string()))
    }
}

impl Frame {
    fn len(&self) -> usize {
        match self {
            Frame::Text(text) => text.len(),
            Frame::Bytes(bytes) => bytes.len(),
        }
    }
}

impl Piece for Frame {
    fn halves(&self) -> Vec<Self> {
        match self {
            Frame::Text(text) => {
                let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
                vec![Frame::Text(first.to_owned()), Frame::Text(second.to_owned())]
            }
            Frame::Bytes(bytes) => {
                let (first, second) = bytes.split_at((bytes.len() / 4 * 2 + 1).min(bytes.len()));
                vec![Frame::Bytes(first.to_vec()), Frame::Bytes(second.to_vec())]
            }
        }
    }

    fn garbage() -> Self {
        Frame::Text("{\"garbage\": ]".to_owned())
    }
}

/// Holds the conversation until one side ends it.
pub(crate) async fn drive(mut socket: WebSocket, mut conversation: impl Conversation, opened: Opened) {
    let Opened { act, index, entry, .. } = opened;
    let began = Instant::now();
    let now_ms = || began.elapsed().as_millis() as u64;
    let mut pace = Pace::new(&act, index);
    let mut steps: VecDeque<Step<Frame>> = VecDeque::new();
    // When the next step may be taken.
    let mut due = began;
    let mut outs = conversation.open();
    loop {
        pace.begin();
        for out in outs.drain(..) {
            match out {
                Out::Send(frame) => steps.extend(pace.piece(frame, |name| conversation.error(name))),
                Out::Wait(ms) => steps.push_back(Step::Wait(ms)),
                Out::Forget => steps.clear(),
                Out::Close(code, reason) => {
                    steps.extend(pace.end());
                    steps.push_back(Step::Close(code, reason.to_owned()));
                }
            }
        }
        entry.bill(conversation.bill());
        while !matches!(steps.front(), None | Some(Step::Stall)) && due <= Instant::now() {
            match steps.pop_front() {
                Some(Step::Wait(ms)) => due = Instant::now() + Duration::from_millis(ms),
                Some(Step::Send(frame)) => {
                    let bytes = frame.len();
                    let message = match frame {
                        Frame::Text(text) => Message::text(text),
                        Frame::Bytes(bytes) => Message::binary(bytes),
                    };
                    if socket.send(message).await.is_err() {
                        return;
                    }
                    entry.sent(bytes);
                }
                Some(Step::Close(code, reason)) => {
                    entry.end(if code == 1000 { Ended::Done } else { Ended::Closed });
                    let frame = CloseFrame { code, reason: reason.into() };
                    if socket.send(Message::Close(Some(frame))).await.is_ok() {
                        let _ =
                            timeout(CLOSE, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
                    }
                    return;
                }
                Some(Step::Drop) => {
                    entry.end(Ended::Closed);
                    return;
                }
                Some(Step::Stall) | None => {}
            }
        }
        let next_step = match steps.front() {
            None | Some(Step::Stall) => None,
            Some(_) => Some(due),
        };
        let deadline = conversation.poll_timeout().map(|ms| began + Duration::from_millis(ms));
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let told = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_str()));
                    entry.fed_message(told);
                    outs = conversation.handle_text(now_ms(), &text);
                }
                Some(Ok(Message::Binary(bytes))) => {
                    entry.fed_bytes(bytes.len());
                    outs = conversation.handle_bytes(now_ms(), &bytes);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    entry.end(if steps.is_empty() { Ended::Done } else { Ended::Cancelled });
                    // The next read answers the close.
                    let _ = timeout(CLOSE, socket.recv()).await;
                    return;
                }
                Some(Err(_)) | None => return,
            },
            () = until(next_step) => {}
            () = until(deadline) => outs = conversation.handle_timeout(now_ms()),
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
