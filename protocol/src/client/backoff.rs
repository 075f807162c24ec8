//! When to try again: `min(1 s * 2^n, 30 s)` with full jitter.
//!
//! Source of the formula and of "full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use crate::{Time, micros};

const FIRST_S: u64 = 1;
const LONGEST: Duration = Duration::from_secs(30);
/// Attempts that the network's coming back makes begin no closer than this: it may come and go many times a second, and a relay takes two
/// resumes of a user a second in the long run.
const HURRIED_APART: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
    failures: u32,
    due: Time,
    /// When the last attempt began.
    began: Option<Time>,
    /// The relay's `retry_after`: no attempt before it.
    not_before: Time,
    /// The highest ceiling.
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Backoff {
            random: seed,
            failures: 0,
            due: Time::ZERO,
            began: None,
            not_before: Time::ZERO,
            longest: LONGEST,
        }
    }

    /// Attempts that failed since the last stable connection.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Time) {
        self.began = Some(now);
    }

    /// An attempt failed: the next one is due after a random part of the ceiling.
    pub(super) fn fail(&mut self, now: Time) -> Time {
        let due = self.pause(now);
        self.failures += 1;
        due
    }

    /// The network went away, which says nothing about the relay: due as after a failure, but it counts as none.
    pub(super) fn pause(&mut self, now: Time) -> Time {
        let ceiling = Duration::from_secs(FIRST_S << self.failures.min(5)).min(self.longest);
        self.due = (now + self.part_of(ceiling)).max(self.not_before);
        self.due
    }

    /// A random part of a span.
    pub(super) fn part_of(&mut self, span: Duration) -> Duration {
        // Or-ed with 1, it divides, whatever the span is.
        Duration::from_micros(self.next_random() % (micros(span) | 1))
    }

    /// The network is back: the next attempt is due at once, unless the relay said otherwise or the one before has only just begun.
    pub(super) fn hurry(&mut self, now: Time) -> Time {
        let apart = self.began.map_or(now, |began| began + HURRIED_APART);
        self.due = now.max(apart).max(self.not_before);
        self.due
    }

    /// The relay asked not to come back before this time.
    pub(super) fn hold_until(&mut self, time: Time) -> Time {
        self.not_before = time;
        self.due = self.due.max(time);
        self.due
    }

    /// Words wait for the next connection: from now on no ceiling is higher.
    pub(super) fn shorten(&mut self, longest: Duration) {
        self.longest = longest;
    }

    /// The connection has been stable.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.not_before = Time::ZERO;
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn delays_fill_the_range_from_zero_to_the_doubling_ceiling() {
        for (failures, ceiling_ms) in
            [(0, 1_000), (1, 2_000), (2, 4_000), (3, 8_000), (4, 16_000), (5, 30_000), (9, 30_000)]
        {
            let delays: Vec<u128> = (0..2_000)
                .map(|seed| {
                    let mut backoff = Backoff { failures, ..Backoff::new(seed) };
                    backoff.fail(Time::ZERO).since(Time::ZERO).as_millis()
                })
                .collect();
            assert!(delays.iter().all(|delay| *delay <= ceiling_ms));
            assert!(delays.iter().any(|delay| *delay < ceiling_ms / 20), "full jitter reaches down to zero");
            assert!(delays.iter().any(|delay| *delay > ceiling_ms * 19 / 20), "and up to the ceiling");
        }
    }

    #[test]
    fn the_random_numbers_are_those_of_splitmix64() {
        let mut backoff = Backoff::new(0);
        // The first outputs of the reference implementation (S. Vigna, splitmix64.c) for the seed 0.
        let expected = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        assert_eq!([(); 3].map(|()| backoff.next_random()), expected);
    }

    #[test]
    fn retry_after_holds_even_when_the_network_comes_back() {
        let mut backoff = Backoff::new(1);
        backoff.hold_until(Time::from_millis(9_000));
        assert!(backoff.fail(Time::ZERO) >= Time::from_millis(9_000));
        assert_eq!(backoff.hurry(Time::from_millis(10)), Time::from_millis(9_000));
        backoff.reset();
        assert_eq!(backoff.hurry(Time::from_millis(10)), Time::from_millis(10));
    }
}
