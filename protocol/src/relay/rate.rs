//! Audio no faster than real time, beyond the burst that a resume needs: a token bucket counted in samples.

use std::time::Duration;

use super::UPLINK;
use crate::Time;

/// A device's clock may run this much too fast (parts in 100): sound cards are within 0.1 %, emulated ones within 2 %.
const CLOCK_TOLERANCE_PERCENT: u64 = 5;

#[derive(Debug)]
pub(super) struct RateLimit {
    capacity: u64,
    available: u64,
    filled: Time,
}

impl RateLimit {
    pub(super) fn new(now: Time, burst_ms: u32) -> Self {
        let capacity = u64::from(burst_ms) * u64::from(UPLINK.rate()) / 1_000;
        RateLimit { capacity, available: capacity, filled: now }
    }

    /// Takes `samples`, or says how long to wait for them.
    pub(super) fn take(&mut self, now: Time, samples: u64) -> Result<(), Duration> {
        let per_second = u64::from(UPLINK.rate()) * (100 + CLOCK_TOLERANCE_PERCENT) / 100;
        let elapsed = u64::try_from(now.since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let gained = elapsed.saturating_mul(per_second) / 1_000_000;
        if gained > 0 {
            self.available = self.available.saturating_add(gained).min(self.capacity);
            self.filled = now;
        }
        match self.available.checked_sub(samples) {
            Some(left) => {
                self.available = left;
                Ok(())
            }
            None => Err(Duration::from_micros((samples - self.available) * 1_000_000 / per_second)),
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
        let mut real = RateLimit::new(Time::ZERO, 1_000);
        for chunk in 0..100_000 {
            assert_eq!(real.take(Time::from_millis(chunk * 98), 1_600), Ok(()));
        }
        let mut double = RateLimit::new(Time::ZERO, 1_000);
        let refused =
            (0..100_u64).position(|chunk| double.take(Time::from_millis(chunk * 50), 1_600).is_err());
        assert!(refused.is_some_and(|chunk| (15..25).contains(&chunk)), "{refused:?}");
    }

    #[test]
    fn a_refusal_says_when_there_is_room_again() {
        let mut rate = RateLimit::new(Time::ZERO, 100);
        assert_eq!(rate.take(Time::ZERO, 1_600), Ok(()));
        let wait = rate.take(Time::ZERO, 1_600).expect_err("empty");
        assert!(rate.take(Time::ZERO + wait + Duration::from_millis(1), 1_600).is_ok());
    }
}
