//! The answer of a language model over HTTP: what is the same on every wire.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;

use super::incoming::{Incoming, breaks_off};
use super::{Answer, Codec, Event, Failure, FailureKind, Finish, Input, Opening, Output, Target};
use crate::money::bill::Quantity;

/// After the reason for its end, the end itself, the usage, and whatever else comes are waited for this long, each time: not every server sends
/// them.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Whether these words say why an answer stops. Some servers have them in every piece, empty or as the word for nothing, as long as it goes on.
pub(super) fn is_reason(words: &str) -> bool {
    !["", "null", "none"].iter().any(|nothing| words.trim().eq_ignore_ascii_case(nothing))
}

/// How a server says what a model answers.
pub trait Dialect: Send {
    /// The data of one event.
    fn event(&mut self, data: &str, told: &mut Told);

    /// An answer that came in one piece.
    fn whole(&mut self, body: &[u8], told: &mut Told);

    /// Nothing more is said: what was held back is to be told.
    fn rest(&mut self, told: &mut Told);
}

/// One answer of a language model.
pub struct Reply<D> {
    opening: Option<Opening>,
    incoming: Incoming,
    told: Told,
    /// When the last piece came, once the reason for its end was said.
    stopped_at: Option<Time>,
    /// Events that have come, but for those that only keep the connection alive.
    events: u64,
    dialect: D,
}

/// What has come of an answer.
#[derive(Default)]
pub struct Told {
    outputs: VecDeque<Output>,
    answer: Answer,
    /// The answer's own name, should no header name the request.
    id: Option<String>,
    /// The reason for its end was said. The usage may follow, and with some servers more of the answer.
    has_stopped: bool,
    /// The event that was told last said so.
    stops: bool,
    /// It brought words.
    speaks: bool,
    /// Words came before any reason for an end, so that a reason is one.
    has_spoken: bool,
    /// Words came behind a reason for an end: what this server says of it means nothing.
    goes_on: bool,
    /// Something has come of which nothing may be told yet.
    is_more: bool,
    end: Option<End>,
    /// The event that was told last was no piece of the answer.
    is_keep_alive: bool,
}

enum End {
    Whole,
    Failed(Failure),
}

impl Told {
    /// Tells whoever asked.
    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// More words of the answer.
    pub(super) fn say(&mut self, words: impl Into<String>) {
        let words = words.into();
        if !words.is_empty() {
            self.speaks = true;
            self.tell(Event::Text(words));
        }
    }

    /// A piece of the answer came of which nothing may be told yet.
    pub(super) fn go_on(&mut self) {
        self.is_more = true;
    }

    /// Tells that the answer stops, once its last words are told: not of a server that says so in pieces that others follow.
    fn tell_stop(&mut self, had_stopped: bool) {
        let (stops, speaks) = (std::mem::take(&mut self.stops), std::mem::take(&mut self.speaks));
        self.goes_on |= had_stopped && speaks;
        if stops && !had_stopped && !self.goes_on && (self.has_spoken || !speaks) {
            self.tell(Event::Stopped);
        }
        self.has_spoken |= speaks && !stops;
    }

    /// So many bytes of what is thought.
    pub(super) fn thought(&mut self, bytes: usize) {
        if bytes > 0 {
            self.tell(Event::Thought { bytes });
        }
    }

    /// What the request has used so far. A later number takes the place of an earlier one.
    pub(super) fn used(&mut self, used: Quantity) {
        self.answer.usage = Some(used);
        self.tell(Event::Usage(used));
    }

    /// The answer's own name; the first one counts.
    pub(super) fn named(&mut self, id: Option<String>) {
        self.id = self.id.take().or(id);
    }

    /// Why it stops.
    pub(super) fn stop(&mut self, finish: Finish) {
        (self.has_stopped, self.stops) = (true, true);
        self.answer.finish = finish;
    }

    /// Why it has stopped, as far as that was said.
    pub(super) fn finish(&self) -> Finish {
        self.answer.finish
    }

    /// It is whole.
    pub(super) fn done(&mut self) {
        self.end.get_or_insert(End::Whole);
    }

    /// The event was no piece of the answer, and only keeps the connection alive.
    pub(super) fn keep_alive(&mut self) {
        self.is_keep_alive = true;
    }

    /// There is no (whole) answer.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.end.get_or_insert(End::Failed(failure));
    }
}

impl<D: Dialect> Reply<D> {
    /// Asks there, and understands the answer in this dialect.
    pub(super) fn ask(target: Target, dialect: D) -> Reply<D> {
        Reply {
            opening: Some(Opening::Http(target)),
            incoming: Incoming::Waiting,
            told: Told::default(),
            stopped_at: None,
            events: 0,
            dialect,
        }
    }

    fn events(&mut self) {
        while let Some(data) = self.incoming.next_event() {
            let had_stopped = self.told.has_stopped;
            self.dialect.event(&data, &mut self.told);
            self.told.tell_stop(had_stopped);
            self.events += u64::from(!std::mem::take(&mut self.told.is_keep_alive));
            self.end();
        }
    }

    /// The connection has nothing more. Not every server says that it is done.
    fn close(&mut self) {
        self.incoming.close();
        self.events();
        match self.incoming.take() {
            Incoming::Events { .. } if self.told.has_stopped => self.told.done(),
            Incoming::Whole(body) if !breaks_off(&body) => {
                self.dialect.whole(&body, &mut self.told);
                if self.told.has_stopped {
                    self.told.done();
                }
            }
            Incoming::Refused(refusal) => self.told.fail(refusal.failure()),
            // The exchange says that it broke off.
            Incoming::Events { .. } | Incoming::Whole(_) | Incoming::Waiting | Incoming::Over => {}
        }
        self.end();
    }

    /// Tells the end, once it is there.
    fn end(&mut self) {
        let Some(end) = self.told.end.take() else { return };
        self.incoming = Incoming::Over;
        let end = match end {
            End::Whole => {
                self.dialect.rest(&mut self.told);
                let mut answer = std::mem::take(&mut self.told.answer);
                answer.request_id = answer.request_id.or(self.told.id.take());
                Event::Finished(answer)
            }
            End::Failed(failure) => Event::Failed(failure),
        };
        self.told.tell(end);
    }
}

impl<D: Dialect> Codec for Reply<D> {
    fn open(&mut self) -> Opening {
        self.opening.take().expect("an exchange opens its codec once")
    }

    fn handle_input(&mut self, now: Time, input: Input<'_>) {
        let (told, had_stopped) = (self.told.outputs.len(), self.told.has_stopped);
        match input {
            Input::Head { status, retry_after, request_id, media_type } => {
                self.told.answer.request_id = request_id.map(str::to_owned);
                self.incoming.begin(status, retry_after, media_type);
            }
            Input::Bytes(bytes) => {
                self.incoming.read(bytes);
                // What comes behind an event that is lost is no answer.
                if self.incoming.has_overflowed() {
                    self.told.fail(Failure::new(FailureKind::Flood, "an event is longer than any answer"));
                    self.end();
                }
                self.events();
            }
            Input::End => self.close(),
            Input::Timeout if self.poll_timeout().is_some_and(|due| due <= now) => {
                self.told.done();
                self.end();
            }
            Input::Text(_) | Input::Binary(_) | Input::Lost(_) | Input::Feed(_) | Input::Timeout => {}
        }
        // What says nothing, such as a piece that is empty, puts nothing off.
        let is_more = std::mem::take(&mut self.told.is_more) || self.told.outputs.len() > told;
        if self.told.has_stopped && (!had_stopped || is_more) {
            self.stopped_at = Some(now);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.told.outputs.pop_front()
    }

    fn pieces(&self) -> Option<u64> {
        self.incoming.is_stream().then_some(self.events)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.stopped_at.filter(|_| self.incoming.is_stream()).map(|stopped| stopped + END_WITHIN)
    }
}
