//! What was asked, what was fed, and what was answered: with it a test compares the provider's side of a bill.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use crate::provider::Key;
use crate::script::Wire;

/// How many requests are kept; what comes after them is only counted.
const REQUESTS: usize = 20_000;
/// How many feeds of one request are kept; all of them stand in its bill.
const FEEDS: usize = 20_000;
/// Headers that hold keys: they are never told.
const SECRET: [&str; 6] =
    ["authorization", "x-api-key", "xi-api-key", "api-key", "cookie", "sec-websocket-protocol"];

/// One request, or one connection.
#[derive(Debug, Serialize)]
pub struct Request {
    /// When it came, in milliseconds since the fakes began.
    at_ms: f64,
    wire: Wire,
    path: String,
    query: String,
    key: Key,
    /// The headers, without those that hold keys.
    headers: BTreeMap<String, String>,
    /// The body, if it is JSON; of a form the fields that are text.
    body: Value,
    /// What came after the head of a WebSocket.
    feeds: Vec<Feed>,
    bill: Bill,
    /// How many pieces of the answer were handed to the connection.
    sent_pieces: u64,
    sent_bytes: u64,
    /// When the first of them was, since the fakes began.
    first_sent_ms: Option<f64>,
    ended: Option<Ended>,
    ended_ms: Option<f64>,
}

/// Something that came over a WebSocket.
#[derive(Debug, Serialize)]
struct Feed {
    at_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
}

/// What a provider would charge for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Bill {
    /// Sound that was heard, in seconds.
    pub seconds: f64,
    /// Characters that were spoken.
    pub characters: u64,
    /// Tokens of the prompt that no cache had.
    pub input_tokens: u64,
    /// Tokens that were read from the cache.
    pub cache_read_input_tokens: u64,
    /// Tokens that were written to the cache.
    pub cache_creation_input_tokens: u64,
    /// Tokens of the whole answer, had it been taken whole.
    pub output_tokens: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// As the wire has it.
    Done,
    /// By a status that is no success.
    Refused,
    /// By the other side, before the answer was whole.
    Cancelled,
    /// By a fault of the script, or a deadline of the provider.
    Closed,
}

/// The log of all wires.
#[derive(Debug)]
pub(crate) struct Log {
    began: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default, Serialize)]
struct Kept {
    requests: Vec<Request>,
    /// How many requests were not kept.
    left_off: u64,
    /// Counts how often the log was emptied: an entry of before has nothing to write to.
    #[serde(skip)]
    emptied: u64,
}

/// The line of one request. Dropped before an end is told, it ends as cancelled.
#[derive(Debug)]
pub(crate) struct Entry {
    log: Arc<Log>,
    /// Where it stands, and in which filling of the log.
    place: Option<(usize, u64)>,
}

impl Log {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Log { began: Instant::now(), kept: Mutex::default() })
    }

    pub(crate) fn now_ms(&self) -> f64 {
        (self.began.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    pub(crate) fn open(
        self: &Arc<Self>,
        wire: Wire,
        uri: &axum::http::Uri,
        headers: &HeaderMap,
        key: Key,
    ) -> Entry {
        let told = headers.iter().filter(|(name, _)| !SECRET.contains(&name.as_str()));
        let request = Request {
            at_ms: self.now_ms(),
            wire,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            key,
            headers: told
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: Value::Null,
            feeds: Vec::new(),
            bill: Bill::default(),
            sent_pieces: 0,
            sent_bytes: 0,
            first_sent_ms: None,
            ended: None,
            ended_ms: None,
        };
        let mut kept = self.lock();
        let place = (kept.requests.len() < REQUESTS).then_some((kept.requests.len(), kept.emptied));
        match place {
            Some(_) => kept.requests.push(request),
            None => kept.left_off += 1,
        }
        drop(kept);
        Entry { log: Arc::clone(self), place }
    }

    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        let emptied = kept.emptied + 1;
        *kept = Kept { emptied, ..Kept::default() };
    }

    pub(crate) fn told(&self) -> Value {
        serde_json::to_value(&*self.lock()).expect("a log has nothing that JSON lacks")
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(crate) fn body(&self, body: Value) {
        self.with(|request, _| request.body = body);
    }

    pub(crate) fn fed_message(&self, message: Value) {
        self.feed(Some(message), None);
    }

    pub(crate) fn fed_bytes(&self, bytes: usize) {
        self.feed(None, Some(bytes));
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.with(|request, now_ms| {
            request.sent_pieces += 1;
            request.sent_bytes += bytes as u64;
            request.first_sent_ms.get_or_insert(now_ms);
        });
    }

    pub(crate) fn bill(&self, bill: Bill) {
        self.with(|request, _| request.bill = bill);
    }

    /// The first end counts.
    pub(crate) fn end(&self, ended: Ended) {
        self.with(|request, now_ms| {
            if request.ended.is_none() {
                (request.ended, request.ended_ms) = (Some(ended), Some(now_ms));
            }
        });
    }

    fn feed(&self, message: Option<Value>, bytes: Option<usize>) {
        self.with(|request, at_ms| {
            if request.feeds.len() < FEEDS {
                request.feeds.push(Feed { at_ms, message, bytes });
            }
        });
    }

    fn with(&self, change: impl FnOnce(&mut Request, f64)) {
        let Some((index, emptied)) = self.place else { return };
        let now_ms = self.log.now_ms();
        let mut kept = self.log.lock();
        if kept.emptied == emptied
            && let Some(request) = kept.requests.get_mut(index)
        {
            change(request, now_ms);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(Ended::Cancelled);
    }
}
