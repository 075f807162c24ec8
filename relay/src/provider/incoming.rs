//! The answer of an HTTP provider as it comes: a stream of events, one whole body, or a refusal.

use serde::de::IgnoredAny;
use sse_parse::SseParser;

use super::essence;
use super::refusal::Refusal;

/// The longest event: several times the longest answer, should a server send it in one piece.
const EVENT_MAX_BYTES: usize = 256 * 1024;

/// Whether it is a JSON object that breaks off. Not every server says beforehand how long its answer is, so that this alone tells.
pub(super) fn breaks_off(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<IgnoredAny>(body).is_err_and(|error| error.is_eof())
}

/// How far an answer has come.
pub(super) enum Incoming {
    /// Nothing of it is there.
    Waiting,
    /// It comes as server-sent events.
    Events {
        parser: Box<SseParser>,
        /// Its first words, if it is called a page and no event has come: some servers call events so, too.
        page: Option<Refusal>,
    },
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
        let media_type = essence(media_type);
        *self = match (status, media_type) {
            (200..=299, "application/json") => Incoming::Whole(Vec::new()),
            (200..=299, _) => Incoming::Events {
                parser: Box::new(SseParser::new().max_buffer(EVENT_MAX_BYTES)),
                page: (media_type == "text/html").then(|| Refusal::new(status, retry_after)),
            },
            _ => Incoming::Refused(Refusal::new(status, retry_after)),
        };
    }

    /// More of its body. The exchange bounds what comes in all.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        match self {
            Incoming::Events { parser, page } => {
                parser.feed(bytes);
                if let Some(page) = page {
                    page.read(bytes);
                }
            }
            Incoming::Whole(body) => body.extend_from_slice(bytes),
            Incoming::Refused(refusal) => refusal.read(bytes),
            Incoming::Waiting | Incoming::Over => {}
        }
    }

    /// Whether an event was longer than any has to be. It is lost.
    pub(super) fn has_overflowed(&self) -> bool {
        matches!(self, Incoming::Events { parser, .. } if parser.overflows() > 0)
    }

    /// The data of the next event that is complete.
    pub(super) fn next_event(&mut self) -> Option<String> {
        let Incoming::Events { parser, page } = self else { return None };
        let event = parser.next_event()?;
        *page = None;
        Some(event.data)
    }

    /// Nothing more comes. The blank line after the last event may be missing, so that event is complete, too.
    pub(super) fn close(&mut self) {
        if let Incoming::Events { parser, .. } = self {
            parser.feed(b"\n\n");
        }
    }

    /// What has come, which is over with this. A page is a refusal, of somebody who stands in the provider's place.
    pub(super) fn take(&mut self) -> Incoming {
        match std::mem::replace(self, Incoming::Over) {
            Incoming::Events { page: Some(page), .. } => Incoming::Refused(page),
            other => other,
        }
    }

    /// Whether it is a stream that goes on.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Incoming::Events { .. })
    }
}
