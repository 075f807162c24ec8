//! What is done when recognisers fail one after the other: who is asked next, how long it is waited, and when nobody hears the user.
//!
//! Each of them is asked once, without any wait. When all have failed, their outage may be a short one, such as the restart of a provider: what
//! was said is kept, and they are asked again after half a second, a second, and then every two seconds, and for the last time when the first
//! failure is ten seconds ago. Calls that lost their recognisers at one time spread their tries by where each of them is in its audio, which adds
//! up to half of a wait, and to the ten seconds up to half of the first one.

use std::time::Duration;

use protocol::Time;

use crate::provider::{Failure, FailureKind};

/// How long recognisers that have all failed are asked again before the user is told that nobody hears them. A circuit breaker that opens lets
/// nobody through for 5 s, and then one request before all others: this is long enough for both. Whoever was not answered for longer says again
/// what they have said.
const PATIENCE: Duration = Duration::from_secs(10);
/// Recognisers that fail one after the other, having been of no use, before the user is told so, however long each of them took.
const FAILURES_MAX: u32 = 3;
/// How long it is waited after each time that all have failed. The last one stays.
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// Whoever wants to be left alone for longer than this many seconds will not be there in time. A circuit breaker says at most 30 s while one
/// request is under way that may let everybody through at once, and at most 60 s because requests fail one after the other.
const LEFT_ALONE_MAX: u32 = 60;

/// Recognisers that have failed since one of them was of use.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// How many have failed.
    failures: u32,
    /// How many of them have since they were waited for.
    failed: usize,
    /// One of those may soon be well again.
    may_pass: bool,
    /// How often all of them have failed.
    rounds: usize,
    /// When they are asked for the last time.
    until: Option<Time>,
    /// When they are asked again.
    due: Option<Time>,
}

/// What is done about a recogniser that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next one is asked at once.
    AskNext,
    /// All have failed, and the first one is asked when it is time.
    Wait,
    /// Nobody hears the user.
    GiveUp,
}

impl Outage {
    /// One of so many recognisers has failed, while the user's audio stood at this position. `may_pass` is whether that may be over soon.
    pub(super) fn failed(&mut self, now: Time, may_pass: bool, recognisers: usize, position: u32) -> Then {
        self.failures = self.failures.saturating_add(1);
        self.failed += 1;
        self.may_pass |= may_pass;
        let until = *self.until.get_or_insert(now + PATIENCE + spread(WAITS[0], position));
        if self.failed < recognisers {
            return Then::AskNext;
        }
        let wait = WAITS[self.rounds.min(WAITS.len() - 1)];
        let due = now + wait + spread(wait, position);
        self.failed = 0;
        self.rounds += 1;
        let is_too_long = now >= until && self.failures >= FAILURES_MAX;
        if !std::mem::take(&mut self.may_pass) || is_too_long {
            return Then::GiveUp;
        }
        // The last wait ends with the time for which they are asked again, and not before it.
        self.due = Some(if now < until { due.min(until) } else { due });
        Then::Wait
    }

    /// Whether it is time to ask the first recogniser again, which is said once.
    pub(super) fn take_due(&mut self, now: Time) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    /// Nobody is to be asked again.
    pub(super) fn stop_waiting(&mut self) {
        self.due = None;
    }

    /// When the first recogniser is asked again, if that is waited for.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }
}

/// Whether a recogniser that has failed like this may be well again within seconds. For the others an operator has to do something.
pub(super) fn may_pass(failure: &Failure) -> bool {
    use FailureKind::{Key, Payment, Permission, Request};
    let is_operators = matches!(failure.kind, Key | Permission | Payment | Request);
    !is_operators && failure.retry_after.is_none_or(|seconds| seconds <= LEFT_ALONE_MAX)
}

/// Up to half of a wait: where a call is in its audio, multiplied by the golden ratio of 32 bits, is anywhere in it.
fn spread(wait: Duration, position: u32) -> Duration {
    wait * (position.wrapping_mul(2_654_435_769) >> 22) / 2_048
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When so many recognisers are asked again that always fail at once, and when they are given up, in milliseconds.
    fn asked_again(recognisers: usize, position: u32) -> (Vec<u64>, u64) {
        let (mut outage, mut now, mut asked) = (Outage::default(), Time::ZERO, Vec::new());
        loop {
            for _ in 1..recognisers {
                assert_eq!(outage.failed(now, true, recognisers, position), Then::AskNext);
            }
            let then = outage.failed(now, true, recognisers, position);
            if then == Then::GiveUp {
                return (asked, now.since(Time::ZERO).as_millis() as u64);
            }
            assert_eq!(then, Then::Wait);
            let due = outage.due().expect("it waits");
            assert!(due > now && !outage.take_due(now), "not before it is time");
            now = due;
            assert!(outage.take_due(now) && outage.due().is_none(), "once");
            asked.push(now.since(Time::ZERO).as_millis() as u64);
        }
    }

    #[test]
    fn all_are_asked_at_once_and_then_again_after_growing_waits_for_ten_seconds() {
        for recognisers in 1..=5 {
            let expected = vec![500, 1_500, 3_500, 5_500, 7_500, 9_500, 10_000];
            assert_eq!(asked_again(recognisers, 0), (expected, 10_000), "{recognisers}");
        }
    }

    #[test]
    fn calls_that_lose_their_recognisers_together_do_not_ask_again_together() {
        let mut firsts: Vec<u64> = (0..1_000).map(|call| asked_again(1, call * 1_600).0[0]).collect();
        firsts.sort_unstable();
        assert!(firsts[0] >= 500 && firsts[999] < 750, "{} to {}", firsts[0], firsts[999]);
        for (nth, first) in firsts.iter().enumerate() {
            assert!(first.abs_diff(500 + nth as u64 / 4) < 25, "{nth} asks at {first}");
        }
        let mut lasts: Vec<u64> = (0..1_000).map(|call| asked_again(1, call * 1_600).1).collect();
        lasts.sort_unstable();
        assert!(lasts[0] < 10_020 && lasts[999] > 10_230, "{} to {}", lasts[0], lasts[999]);
        for call in 0..1_000 {
            let (asked, given_up) = asked_again(1, call * 1_600);
            assert!(asked.iter().any(|at| *at > 5_500), "after a breaker has let one through: {asked:?}");
            assert!((10_000..=10_250).contains(&given_up), "{given_up}");
        }
    }

    #[test]
    fn recognisers_that_take_long_to_fail_are_asked_three_times_in_all() {
        let mut outage = Outage::default();
        for (ms, then) in [(15_000, Then::Wait), (30_500, Then::Wait), (46_500, Then::GiveUp)] {
            assert_eq!(outage.failed(Time::from_millis(ms), true, 1, 0), then);
            outage.stop_waiting();
        }
        // Whoever was given up is asked once from then on.
        assert_eq!(outage.failed(Time::from_millis(60_000), true, 1, 0), Then::GiveUp);
    }

    #[test]
    fn what_an_operator_has_to_do_something_about_is_waited_for_by_nobody() {
        let mut outage = Outage::default();
        assert_eq!(outage.failed(Time::ZERO, false, 2, 0), Then::AskNext);
        assert_eq!(outage.failed(Time::ZERO, false, 2, 0), Then::GiveUp);
        assert_eq!(outage.failed(Time::ZERO, false, 2, 0), Then::AskNext);
        assert_eq!(outage.failed(Time::ZERO, true, 2, 0), Then::Wait, "one of them may be well again");
        for kind in FailureKind::ALL {
            let is_operators = matches!(
                kind,
                FailureKind::Key | FailureKind::Permission | FailureKind::Payment | FailureKind::Request
            );
            for (retry_after, is_soon) in [(None, true), (Some(60), true), (Some(61), false)] {
                let failure = Failure { retry_after, ..Failure::new(kind, "why") };
                assert_eq!(may_pass(&failure), is_soon && !is_operators, "{failure}");
            }
        }
    }
}
