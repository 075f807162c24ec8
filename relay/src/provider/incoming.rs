//! The answer of an HTTP provider as it comes: a stream of events, one whole body, or a refusal.

use sse_parse::SseParser;

use super::refusal::Refusal;

/// The longest event: several times the longest answer, should a server send it in one piece.
const EVENT_MAX_BYTES: usize = 256 * 1024;

/// How far an answer has come.
pub(super) enum Incoming {
    /// Nothing of it is there.
    Waiting,
    /// It comes as server-sent events.
    Events(Box<SseParser>),
    /// It comes whole, although a stream was asked for.
    Whole(Vec<u8>),
    /// It is none.
    Refused(Refusal),
    /// It has ended.
    Over,
}

impl Incoming {
    /// Its head is there. What is not called JSON is read as events, since not every server calls them by their name.
    pub(super) fn begin(&mut self, status: u16, retry_after: Option<u32>, media_type: &str) {
        *self = match (status, media_type == "application/json") {
            (200..=299, false) => Incoming::Events(Box::new(SseParser::new().max_buffer(EVENT_MAX_BYTES))),
            (200..=299, true) => Incoming::Whole(Vec::new()),
            _ => Incoming::Refused(Refusal::new(status, retry_after)),
        };
    }

    /// More of its body. The exchange bounds what comes in all.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        match self {
            Incoming::Events(parser) => parser.feed(bytes),
            Incoming::Whole(body) => body.extend_from_slice(bytes),
            Incoming::Refused(refusal) => refusal.read(bytes),
            Incoming::Waiting | Incoming::Over => {}
        }
    }

    /// The data of the next event that is complete.
    pub(super) fn next_event(&mut self) -> Option<String> {
        let Incoming::Events(parser) = self else { return None };
        parser.next_event().map(|event| event.data)
    }

    /// Nothing more comes. The blank line after the last event may be missing, so that event is complete, too.
    pub(super) fn close(&mut self) {
        if let Incoming::Events(parser) = self {
            parser.feed(b"\n\n");
        }
    }

    /// What has come, which is over with this.
    pub(super) fn take(&mut self) -> Incoming {
        std::mem::replace(self, Incoming::Over)
    }

    /// Whether it is a stream that goes on.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Incoming::Events(_))
    }
}
