//! Token buckets: audio no faster than real time beyond the burst that a resume needs, and control messages no faster than any
//! client has reason to send them.

use std::time::Duration;

use super::UPLINK;
use crate::{Limits, Time};

/// A device's clock may run this much too fast (parts in 100): sound cards are within 0.1 %, emulated ones within 2 %.
pub(super) const CLOCK_TOLERANCE_PERCENT: u64 = 5;
/// Samples of the uplink have 16 bits.
const SAMPLE_BYTES: u64 = 2;
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
    /// Samples of the uplink: real time, and `burst_ms` beyond it, or one of the longest chunks if that is more. Less would refuse such a
    /// chunk however long its client waits.
    pub(super) fn audio(now: Time, limits: &Limits) -> Self {
        let rate = u64::from(UPLINK.rate());
        let per_second = rate * (100 + CLOCK_TOLERANCE_PERCENT) / 100;
        let burst = u64::from(limits.burst_ms) * rate / 1_000;
        RateLimit::new(now, per_second, burst.max(u64::from(limits.chunk_max_bytes) / SAMPLE_BYTES))
    }

    /// Frames of the uplink, whatever is in them: as many as that audio makes in the shortest chunks, and the few that are sent twice.
    pub(super) fn frames(now: Time, limits: &Limits) -> Self {
        let audio = RateLimit::audio(now, limits);
        let shortest = (u64::from(limits.chunk_min_bytes) / SAMPLE_BYTES).max(1);
        let per_second = (audio.per_second / shortest).max(1);
        RateLimit::new(now, per_second, audio.capacity / shortest + per_second)
    }

    /// Control messages; a limit of 0 is taken for 1.
    pub(super) fn control(now: Time, per_second: u32) -> Self {
        let per_second = u64::from(per_second.max(1));
        RateLimit::new(now, per_second, per_second * CONTROL_BURST.as_secs())
    }

    fn new(now: Time, per_second: u64, capacity: u64) -> Self {
        RateLimit { per_second, capacity, available: capacity, filled: now }
    }

    /// Leaves no more than `tokens`.
    pub(super) fn leave(&mut self, tokens: u64) {
        self.available = self.available.min(tokens);
    }

    /// Leaves what is left after `spent` tokens since so long ago, when the bucket was full, or `least` if that is more.
    pub(super) fn carry_over(&mut self, age: Duration, spent: u64, least: u64) {
        let gained =
            u64::try_from(age.as_millis()).unwrap_or(u64::MAX).saturating_mul(self.per_second) / 1_000;
        self.leave(self.capacity.saturating_add(gained).saturating_sub(spent).max(least));
    }

    /// Leaves what flows in within a second, or `least` if that is more.
    pub(super) fn leave_a_second(&mut self, least: u64) {
        self.leave(self.per_second.max(least));
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

    fn limits(burst_ms: u32) -> Limits {
        Limits {
            session_ms: 0,
            idle_ms: 0,
            chunk_min_bytes: 100,
            chunk_max_bytes: 3_200,
            burst_ms,
            budget_nano_usd: 0,
        }
    }

    #[test]
    fn the_longest_chunk_passes_when_it_has_waited_however_short_the_burst() {
        for burst_ms in [0, 1, 1_000, 65_000] {
            let limits = Limits { chunk_max_bytes: 100_000, ..limits(burst_ms) };
            let (mut audio, mut now) = (RateLimit::audio(Time::ZERO, &limits), Time::ZERO);
            for _ in 0..100 {
                if let Err(wait) = audio.take(now, 50_000) {
                    now = now + wait + Duration::from_millis(1);
                    assert_eq!(
                        audio.take(now, 50_000),
                        Ok(()),
                        "after {wait:?} with a burst of {burst_ms} ms"
                    );
                }
            }
        }
    }

    #[test]
    fn a_minute_in_the_shortest_chunks_passes_at_once_and_a_flood_of_frames_does_not() {
        let mut frames = RateLimit::frames(Time::ZERO, &limits(65_000));
        assert!((0..19_200).all(|_| frames.take(Time::ZERO, 1).is_ok()));
        assert!((0..19_200).any(|_| frames.take(Time::ZERO, 1).is_err()));
        let passed = (0..100_000).filter(|n| frames.take(Time::from_millis(n / 100), 1).is_ok()).count();
        assert!(passed < 3_000, "{passed} of 100,000 frames in a second");
    }

    #[test]
    fn real_time_with_a_fast_clock_passes_for_ever_and_double_speed_does_not() {
        let mut real = RateLimit::audio(Time::ZERO, &limits(1_000));
        for chunk in 0..100_000 {
            assert_eq!(real.take(Time::from_millis(chunk * 98), 1_600), Ok(()));
        }
        let mut double = RateLimit::audio(Time::ZERO, &limits(1_000));
        let refused =
            (0..100_u64).position(|chunk| double.take(Time::from_millis(chunk * 50), 1_600).is_err());
        assert!(refused.is_some_and(|chunk| (15..25).contains(&chunk)), "{refused:?}");
    }

    #[test]
    fn a_refusal_says_when_there_is_room_again() {
        let mut rate = RateLimit::audio(Time::ZERO, &limits(100));
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
