//! What every codec over a WebSocket has: the state of its socket, what it has to say, and its one end.

use std::collections::VecDeque;

use bytes::Bytes;
use reqwest::Url;
use serde_json::Value;

use super::refusal::Refusal;
use super::{Answer, Event, Failure, Input, Opening, Output, Target};
use crate::money::bill::Quantity;

/// The WebSocket of a codec.
///
/// A driver sends nothing before the socket is open: what is said before that waits in the driver, in its order. So a codec says at once
/// what it has to say.
pub(super) struct Channel {
    opening: Option<Opening>,
    state: State,
    outputs: VecDeque<Output>,
    /// The provider's own name for the request.
    request_id: Option<String>,
}

enum State {
    Connecting,
    Open,
    /// The opening was answered as an HTTP request is that is refused.
    Refused(Refusal),
    Over,
}

impl Channel {
    /// A socket that is to be opened there, with these headers.
    pub(super) fn new(url: Url, headers: Vec<(&'static str, String)>) -> Channel {
        let target = Target { url, headers, body: Vec::new() };
        Channel {
            opening: Some(Opening::Socket(target)),
            state: State::Connecting,
            outputs: VecDeque::new(),
            request_id: None,
        }
    }

    /// How it begins.
    pub(super) fn open(&mut self) -> Opening {
        self.opening.take().expect("an exchange opens its codec once")
    }

    /// Takes care of the opening, and of whoever refuses it. What it gives back is for the codec: the head of a socket that is open now,
    /// messages, feeds, and the end. After the end it gives back nothing.
    pub(super) fn take<'a>(&mut self, input: Input<'a>) -> Option<Input<'a>> {
        match (&mut self.state, input) {
            (State::Connecting, Input::Head { status: 101, request_id, .. }) => {
                self.state = State::Open;
                self.request_id = request_id.map(str::to_owned);
                self.tell(Event::Ready);
                if let Some(name) = self.request_id.clone() {
                    self.tell(Event::Named(name));
                }
                Some(input)
            }
            (State::Connecting, Input::Head { status, retry_after, .. }) => {
                self.state = State::Refused(Refusal::new(status, retry_after));
                None
            }
            (State::Refused(refusal), Input::Bytes(bytes)) => {
                refusal.read(bytes);
                None
            }
            (State::Refused(_), Input::End | Input::Lost(_)) => {
                if let State::Refused(refusal) = std::mem::replace(&mut self.state, State::Over) {
                    self.fail(refusal.failure());
                }
                None
            }
            (State::Over | State::Refused(_), _) | (_, Input::Head { .. } | Input::Bytes(_)) => None,
            (State::Connecting | State::Open, input) => Some(input),
        }
    }

    /// Says this as a text message.
    pub(super) fn say(&mut self, message: &Value) {
        self.outputs.push_back(Output::Text(message.to_string()));
    }

    /// Sends this as a binary message.
    pub(super) fn send(&mut self, bytes: Bytes) {
        self.outputs.push_back(Output::Binary(bytes));
    }

    /// Tells whoever asked.
    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// A message names the request; a header's name goes before.
    pub(super) fn named(&mut self, request_id: &Value) {
        if self.request_id.is_none() {
            self.request_id = request_id.as_str().map(str::to_owned);
        }
    }

    /// The answer is whole.
    pub(super) fn finish(&mut self, usage: Option<Quantity>) {
        self.state = State::Over;
        let request_id = self.request_id.take();
        self.tell(Event::Finished(Answer { usage, request_id, ..Answer::default() }));
    }

    /// There is no (whole) answer.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.state = State::Over;
        self.tell(Event::Failed(failure));
    }

    /// Whether the socket is open: what was said, and is said, has been sent.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether its end was told.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next thing to do.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// The address of a WebSocket: these parts of a path below `base`, which is http(s) and ends with a slash, and these questions.
pub(super) fn address(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    url.set_scheme(scheme).expect("one web address becomes another");
    url.path_segments_mut().expect("a web address has a path").pop_if_empty().extend(path);
    url.query_pairs_mut().extend_pairs(query);
    // A plus in a query is a space to some servers and a plus to others; this is a space to all of them.
    let spaced = url.query().map(|query| query.replace('+', "%20"));
    url.set_query(spaced.as_deref());
    url
}
