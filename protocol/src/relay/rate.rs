//! Token buckets: audio no faster than real time beyond the burst that a resume needs, and control messages no faster than any
//! client has reason to send them.

use std::time::Duration;

use super::UPLINK;
use crate::Time;

/// A device's clock may run this much too fast (parts in 100): sound cards are within 0.1 %, emulated ones within 2 %.
pub(super) const CLOCK_TOLERANCE_PERCENT: u64 = 5;
/// Control messages of this many seconds may come at once: a greeting is followed by several, and a network delivers late what
/// was sent over time.
pub(super) const CONTROL_BURST: Duration = Duration::from_secs(2);

/// A token bucket. What the tokens are, its constructors say.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: u64,
    capacity: u64,
    available: u64,
    /// What flowed in up to here is in `available`.
    filled: Time,
}

impl RateLimit {
    /// Samples of the uplink: real time, and `burst_ms` beyond it.
    pub(super) fn audio(now: Time, burst_ms: u32) -> Self {
        let rate = u64::from(UPLINK.rate());
        let per_second = rate * (100 + CLOCK_TOLERANCE_PERCENT) / 100;
        RateLimit::new(now, per_second, u64::from(burst_ms) * rate / 1_000)
    }

    /// Control messages; a limit of 0 is taken for 1.
    pub(super) fn control(now: Time, per_second: u32) -> Self {
        let per_second = u64::from(per_second.max(1));
        RateLimit::new(now, per_second, per_second * CONTROL_BURST.as_secs())
    }

    fn new(now: Time, per_second: u64, capacity: u64) -> Self {
        RateLimit { per_second, capacity, available: capacity, filled: now }
    }

    /// Takes `tokens`, or says how long to wait for them.
    pub(super) fn take(&mut self, now: Time, tokens: u64) -> Result<(), Duration> {
        self.fill(now);
        match self.available.checked_sub(tokens) {
            Some(left) => {
                self.available = left;
                Ok(())
            }
            None => Err(Duration::from_micros((tokens - self.available) * 1_000_000 / self.per_second)),
        }
    }

    /// Lets whole tokens flow in; the time that made no whole one counts next time.
    fn fill(&mut self, now: Time) {
        let elapsed = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let gained = elapsed.saturating_mul(self.per_second) / 1_000_000;
        if gained >= self.capacity - self.available {
            self.available = self.capacity;
            self.filled = self.filled.max(now);
        } else {
            self.available += gained;
            self.filled = self.filled + Duration::from_micros(gained * 1_000_000 / self.per_second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn real_time_with_a_fast_clock_passes_for_ever_and_double_speed_does_not() {
        let mut real = RateLimit::audio(Time::ZERO, 1_000);
        for chunk in 0..100_000 {
            assert_eq!(real.take(Time::from_millis(chunk * 98), 1_600), Ok(()));
        }
        let mut double = RateLimit::audio(Time::ZERO, 1_000);
        let refused =
            (0..100_u64).position(|chunk| double.take(Time::from_millis(chunk * 50), 1_600).is_err());
        assert!(refused.is_some_and(|chunk| (15..25).contains(&chunk)), "{refused:?}");
    }

    #[test]
    fn a_refusal_says_when_there_is_room_again() {
        let mut rate = RateLimit::audio(Time::ZERO, 100);
        assert_eq!(rate.take(Time::ZERO, 1_600), Ok(()));
        let wait = rate.take(Time::ZERO, 1_600).expect_err("empty");
        assert!(rate.take(Time::ZERO + wait + Duration::from_millis(1), 1_600).is_ok());
    }

    #[test]
    fn messages_at_the_limit_pass_for_ever_however_unevenly_they_fall_and_one_more_a_second_does_not() {
        let mut even = RateLimit::control(Time::ZERO, 20);
        // 74 ms and 26 ms by turns: parts of a token must not be lost.
        assert!((0..100_000).all(|n| even.take(Time::from_millis(n / 2 * 100 + n % 2 * 74), 1).is_ok()));
        let mut faster = RateLimit::control(Time::ZERO, 20);
        let refused =
            (0..10_000_u64).position(|n| faster.take(Time::from_micros(n * 1_000_000 / 21), 1).is_err());
        assert!(refused.is_some_and(|n| n > 40 && n < 1_000), "{refused:?}");
    }

    #[test]
    fn a_burst_of_two_seconds_is_let_through_and_back_after_two() {
        let mut rate = RateLimit::control(Time::ZERO, 20);
        let now = Time::from_millis(500);
        assert_eq!((0..100).filter(|_| rate.take(now, 1).is_ok()).count(), 40);
        let later = now + CONTROL_BURST;
        assert_eq!((0..100).filter(|_| rate.take(later, 1).is_ok()).count(), 40);
    }
}
