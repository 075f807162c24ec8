//! How fast the peer of a connection without a call has to be.
//!
//! The pace is a machine without a clock: it is told what happened and when, and says until when the peer has to do something. Time counts
//! only while the relay waits for the peer, since a slow database is not the peer's fault.

use std::time::Duration;

use tokio::time::Instant;

/// How long a new connection may be silent, and how long the head of a request may take from its first byte.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what is there for it. The time that it has used up comes back as it takes bytes, at [`RATE_MIN`].
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes a second a peer has to take at least: a quarter of what the slowest mobile networks carry.
const RATE_MIN: u64 = 1_024;

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long an idle connection is kept.
    keep_alive: Duration,
    phase: Phase,
    /// How many bytes of the request's body have not come yet.
    body_left: u64,
    /// Where in a head the next byte is.
    line: Line,
    /// Whether the head of the next request has begun while this one is being answered.
    next_begun: bool,
    /// When the last byte came or was taken.
    moved: Instant,
    /// Since when the peer has taken nothing of what is there for it.
    blocked: Option<Instant>,
    /// How long the peer may take nothing, counted from `blocked`.
    credit: Duration,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first request has not begun.
    New { since: Instant },
    /// The head of a request has begun and is not whole.
    Head { since: Instant },
    /// A request is being answered.
    Request,
    /// The last request was answered, and no other one has begun.
    Idle { since: Instant },
}

/// Where in the lines of a head the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Before the first line, where empty lines may stand (RFC 9112, 2.2).
    Before,
    /// At the beginning of a line that is not the first.
    Beginning,
    /// Within a line.
    Within,
}

impl Pace {
    pub(super) fn new(now: Instant, keep_alive: Duration) -> Pace {
        let phase = Phase::New { since: now };
        Pace {
            keep_alive,
            phase,
            body_left: 0,
            line: Line::Before,
            next_begun: false,
            moved: now,
            blocked: None,
            credit: STALL_TIMEOUT,
        }
    }

    /// Notes that bytes came. Returns how many of them, from the first on, belong to the same head or body, and may be handed on together.
    /// The caller asks again about the rest, which would be taken for a part of this one otherwise.
    pub(super) fn handle_read(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.moved = now;
        if self.body_left > 0 {
            let of_body = bytes.len().min(usize::try_from(self.body_left).unwrap_or(usize::MAX));
            self.body_left -= of_body as u64;
            return of_body;
        }
        match self.phase {
            Phase::New { .. } | Phase::Idle { .. } => self.phase = Phase::Head { since: now },
            Phase::Request => self.next_begun = true,
            Phase::Head { .. } => {}
        }
        self.of_head(bytes)
    }

    /// How many of these bytes belong to the head that is being read.
    fn of_head(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            self.line = match (self.line, byte) {
                (Line::Beginning, b'\n') => {
                    self.line = Line::Before;
                    return at + 1;
                }
                (Line::Before, b'\r' | b'\n') => Line::Before,
                (Line::Beginning, b'\r') | (_, b'\n') => Line::Beginning,
                _ => Line::Within,
            };
        }
        bytes.len()
    }

    /// Notes that the head of a request is whole, and how many bytes its body has. `None` if that is not known before its end.
    pub(super) fn handle_request(&mut self, body: Option<u64>) {
        self.phase = Phase::Request;
        self.body_left = body.unwrap_or(u64::MAX);
        self.next_begun = false;
    }

    /// Notes that the whole answer was handed to the HTTP library.
    pub(super) fn handle_answered(&mut self, now: Instant) {
        self.phase = if self.next_begun { Phase::Head { since: now } } else { Phase::Idle { since: now } };
        self.next_begun = false;
        // The library throws away what is left of a body that was not read, or closes the connection.
        if self.body_left == u64::MAX {
            self.body_left = 0;
        }
    }

    /// Notes that the peer took this many bytes.
    pub(super) fn handle_written(&mut self, now: Instant, bytes: usize) {
        self.moved = now;
        if let Some(since) = self.blocked.take() {
            self.credit = self.credit.saturating_sub(now - since);
        }
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1_000) / RATE_MIN);
        self.credit = self.credit.saturating_add(earned).min(STALL_TIMEOUT);
    }

    /// Notes that there is something for the peer, and that it takes nothing now.
    pub(super) fn handle_blocked(&mut self, now: Instant) {
        self.blocked.get_or_insert(now);
    }

    /// When the peer will have been too slow.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (self.blocked, self.phase) {
            (Some(since), _) => Some(since + self.credit),
            (None, Phase::New { since } | Phase::Head { since }) => Some(since + HEAD_TIMEOUT),
            (None, Phase::Idle { since }) => Some(since + self.keep_alive),
            (None, Phase::Request) => None,
        }
    }

    /// Since when the relay has been waiting for the peer. `None` while the peer waits for the relay.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        (self.blocked.is_some() || self.phase != Phase::Request).then_some(self.moved)
    }

    /// Whether the last request was answered, and no other one has begun.
    pub(super) fn is_idle(&self) -> bool {
        self.blocked.is_none() && matches!(self.phase, Phase::Idle { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_connection_is_kept_longer_than_a_head_may_take() {
        let start = Instant::now();
        let mut pace = Pace::new(start, KEEP_ALIVE);
        assert_eq!(pace.poll_timeout(), Some(start + HEAD_TIMEOUT), "it has said nothing");
        pace.handle_read(start + after(9), b"G");
        assert_eq!(pace.poll_timeout(), Some(start + after(19)));
        pace.handle_read(start + after(18), b"G");
        assert_eq!(pace.poll_timeout(), Some(start + after(19)), "more of a head gives no more time");
        pace.handle_request(Some(0));
        assert_eq!(pace.poll_timeout(), None, "the relay may take its time");
        pace.handle_answered(start + after(50));
        assert_eq!(pace.poll_timeout(), Some(start + after(125)));
        pace.handle_read(start + after(124), b"G");
        assert_eq!(pace.poll_timeout(), Some(start + after(134)), "another head");
    }

    /// Takes so many bytes every so many seconds; says for how many seconds it is let.
    fn lasts(bytes: usize, every: u64) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(start, KEEP_ALIVE);
        pace.handle_read(start, b"G");
        pace.handle_request(Some(0));
        for second in (0..3_600).step_by(every as usize) {
            pace.handle_blocked(start + after(second));
            let next = start + after(second + every);
            if pace.poll_timeout().is_some_and(|end| end <= next) {
                return Some(second);
            }
            pace.handle_written(next, bytes);
        }
        None
    }

    #[test]
    fn whoever_takes_a_kibibyte_a_second_may_take_for_ever_and_whoever_takes_less_may_not() {
        for (bytes, every) in [(1_024, 1), (8_192, 8), (9_216, 9), (100_000, 9), (2_000, 1)] {
            assert_eq!(lasts(bytes, every), None, "{bytes} each {every} s");
        }
        for (bytes, every) in [(0, 1), (1, 1), (100, 1), (900, 1), (1, 9), (4_096, 9), (1_000_000, 11)] {
            assert!(lasts(bytes, every).is_some(), "{bytes} each {every} s");
        }
    }

    #[test]
    fn time_counts_only_while_there_is_something_for_the_peer() {
        let start = Instant::now();
        let mut pace = Pace::new(start, KEEP_ALIVE);
        pace.handle_read(start, b"G");
        pace.handle_request(Some(0));
        for hour in 0..24 {
            let now = start + after(3_600 * hour);
            assert_eq!((pace.poll_timeout(), pace.waits_since()), (None, None));
            pace.handle_written(now, 1);
        }
    }

    #[test]
    fn an_answer_that_is_not_taken_counts_although_it_is_on_its_way() {
        let start = Instant::now();
        let mut pace = Pace::new(start, KEEP_ALIVE);
        pace.handle_read(start, b"G");
        pace.handle_request(Some(0));
        pace.handle_blocked(start);
        pace.handle_answered(start);
        assert_eq!(pace.poll_timeout(), Some(start + STALL_TIMEOUT));
        assert!(!pace.is_idle());
    }

    /// What is handed on at a time when these bytes come at once, with bodies of these lengths; and how long the last head may take.
    fn parts(bytes: &[u8], bodies: &[u64]) -> (Vec<usize>, u64) {
        let start = Instant::now();
        let mut pace = Pace::new(start, KEEP_ALIVE);
        let (mut rest, mut given, mut bodies) = (bytes, Vec::new(), bodies.iter());
        while !rest.is_empty() {
            let part = pace.handle_read(start, rest);
            given.push(part);
            let whole = rest[..part].ends_with(b"\n\r\n") && !rest[..part].starts_with(b"{");
            rest = &rest[part..];
            if whole && let Some(body) = bodies.next() {
                pace.handle_answered(start);
                pace.handle_request(Some(*body));
            }
        }
        pace.handle_answered(start);
        (given, (pace.poll_timeout().expect("it waits") - start).as_secs())
    }

    #[test]
    fn a_head_that_begins_with_what_came_before_it_has_10_s_as_any_other() {
        let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        let (one, two) = (get.len(), post.len() - 2);
        for (bytes, bodies, given, seconds) in [
            (get.to_owned(), &[0][..], vec![one], 75),
            (format!("{get}GET /"), &[0], vec![one, 5], 10),
            (format!("{get}{get}"), &[0, 0], vec![one, one], 75),
            (format!("{get}{get}G"), &[0, 0], vec![one, one, 1], 10),
            (post.to_owned(), &[2], vec![two, 2], 75),
            (format!("{post}GET /"), &[2], vec![two, 2, 5], 10),
            (format!("{post}{get}"), &[2, 0], vec![two, 2, one], 75),
            (format!("\r\n{get}G"), &[0], vec![one + 2, 1], 10),
        ] {
            assert_eq!(parts(bytes.as_bytes(), bodies), (given, seconds), "{bytes:?}");
        }
    }
}
