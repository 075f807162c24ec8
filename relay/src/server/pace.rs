//! How fast the peer of a connection without a call has to be.
//!
//! A machine without a clock: it is told what happened and when, and says until when something else has to. Time counts only while
//! the relay waits for the peer: neither a slow database nor an event that is long in coming is the peer's fault.

use std::time::Duration;

use tokio::time::Instant;

/// For the head of a request, from its first byte; also for that first byte on a new connection.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what is there for it. What it takes makes up for it at [`RATE_MIN`].
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes a second that a peer has to take at least: a quarter of what the slowest mobile networks carry.
const RATE_MIN: u64 = 1_024;

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    keep_alive: Duration,
    phase: Phase,
    /// When the last byte moved.
    moved: Instant,
    /// Since when the peer takes nothing of what is there for it.
    blocked: Option<Instant>,
    /// How long it may go on like that.
    credit: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first request has not begun.
    New { since: Instant },
    /// The head of a request has begun and is not whole.
    Head { since: Instant },
    /// A request is being answered.
    Request,
    /// The last one was answered.
    Idle { since: Instant },
}

impl Pace {
    pub(super) fn new(now: Instant, keep_alive: Duration) -> Pace {
        let phase = Phase::New { since: now };
        Pace { keep_alive, phase, moved: now, blocked: None, credit: STALL_TIMEOUT }
    }

    /// Bytes came.
    pub(super) fn handle_read(&mut self, now: Instant) {
        self.moved = now;
        if let Phase::New { .. } | Phase::Idle { .. } = self.phase {
            self.phase = Phase::Head { since: now };
        }
    }

    /// The head of a request is whole.
    pub(super) fn handle_request(&mut self) {
        self.phase = Phase::Request;
    }

    /// The answer is on its way.
    pub(super) fn handle_answered(&mut self, now: Instant) {
        self.phase = Phase::Idle { since: now };
    }

    /// The peer took so many bytes.
    pub(super) fn handle_written(&mut self, now: Instant, bytes: usize) {
        self.moved = now;
        if let Some(since) = self.blocked.take() {
            self.credit = self.credit.saturating_sub(now - since);
        }
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1_000) / RATE_MIN);
        self.credit = self.credit.saturating_add(earned).min(STALL_TIMEOUT);
    }

    /// There is something for the peer, and it takes nothing now.
    pub(super) fn handle_blocked(&mut self, now: Instant) {
        self.blocked.get_or_insert(now);
    }

    /// When the peer has been too slow.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (self.blocked, self.phase) {
            (Some(since), _) => Some(since + self.credit),
            (None, Phase::New { since } | Phase::Head { since }) => Some(since + HEAD_TIMEOUT),
            (None, Phase::Idle { since }) => Some(since + self.keep_alive),
            (None, Phase::Request) => None,
        }
    }

    /// Since when the relay waits for the peer; `None` while the peer waits for the relay.
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
        pace.handle_read(start + after(9));
        assert_eq!(pace.poll_timeout(), Some(start + after(19)));
        pace.handle_read(start + after(18));
        assert_eq!(pace.poll_timeout(), Some(start + after(19)), "more of a head gives no more time");
        pace.handle_request();
        assert_eq!(pace.poll_timeout(), None, "the relay may take its time");
        pace.handle_answered(start + after(50));
        assert_eq!(pace.poll_timeout(), Some(start + after(125)));
        pace.handle_read(start + after(124));
        assert_eq!(pace.poll_timeout(), Some(start + after(134)), "another head");
    }

    /// Takes so many bytes every so many seconds; says for how many seconds it is let.
    fn lasts(bytes: usize, every: u64) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(start, KEEP_ALIVE);
        pace.handle_read(start);
        pace.handle_request();
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
        pace.handle_read(start);
        pace.handle_request();
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
        pace.handle_read(start);
        pace.handle_request();
        pace.handle_blocked(start);
        pace.handle_answered(start);
        assert_eq!(pace.poll_timeout(), Some(start + STALL_TIMEOUT));
        assert!(!pace.is_idle());
    }
}
