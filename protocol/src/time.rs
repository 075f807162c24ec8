//! Time as the machines see it: a number that comes in as an argument.

use core::ops::{Add, Sub};
use core::time::Duration;

/// Microseconds since an arbitrary start that the driver chooses once (a browser's `performance.timeOrigin`, the start of
/// a process, zero in a simulation). Monotonic; never a wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The arbitrary start.
    pub const ZERO: Time = Time(0);

    /// So many microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros)
    }

    /// So many milliseconds after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Time(millis * 1_000)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is not in the past.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(micros(span)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(micros(span)))
    }
}

/// A span in whole microseconds, or the largest number there is if it is longer than half a million years. In 64 bits, since a page would download
/// the arithmetic of 128.
#[must_use]
pub const fn micros(span: Duration) -> u64 {
    const TOO_LONG_S: u64 = u64::MAX / 1_000_000;
    if span.as_secs() < TOO_LONG_S {
        span.as_secs() * 1_000_000 + span.subsec_micros() as u64
    } else {
        u64::MAX
    }
}

/// A fixed set of named timers, at most one due time each. `N` is the number of names.
#[derive(Debug)]
pub(crate) struct Timers<const N: usize>([Option<Time>; N]);

impl<const N: usize> Timers<N> {
    pub(crate) const fn new() -> Self {
        Timers([None; N])
    }

    pub(crate) fn set(&mut self, timer: usize, due: Time) {
        self.0[timer] = Some(due);
    }

    /// Lets it ring by then at the latest.
    pub(crate) fn hasten(&mut self, timer: usize, due: Time) {
        self.0[timer] = Some(self.0[timer].map_or(due, |before| before.min(due)));
    }

    pub(crate) fn stop(&mut self, timer: usize) {
        self.0[timer] = None;
    }

    pub(crate) fn is_set(&self, timer: usize) -> bool {
        self.0[timer].is_some()
    }

    /// When it rings, if it is set.
    pub(crate) fn due(&self, timer: usize) -> Option<Time> {
        self.0[timer]
    }

    /// The earliest due time of all.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one timer that is due, the earliest first.
    pub(crate) fn expire(&mut self, now: Time) -> Option<usize> {
        let (timer, due) = self
            .0
            .iter_mut()
            .enumerate()
            .filter(|(_, due)| due.is_some_and(|due| due <= now))
            .min_by_key(|(_, due)| **due)?;
        *due = None;
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn whole_microseconds_are_those_of_the_standard_library_as_far_as_64_bits_go() {
        let spans = [
            Duration::ZERO,
            Duration::from_nanos(999),
            Duration::from_nanos(1_000),
            Duration::new(1, 999_999_999),
            Duration::from_secs(18_446_744_073_708),
        ];
        for span in spans {
            assert_eq!(u128::from(micros(span)), span.as_micros());
        }
        assert_eq!(micros(Duration::MAX), u64::MAX);
        assert_eq!(Time::from_millis(1) + Duration::MAX, Time::from_micros(u64::MAX));
        assert_eq!(Time::from_millis(1) - Duration::MAX, Time::ZERO);
    }
}
