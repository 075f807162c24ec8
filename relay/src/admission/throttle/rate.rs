//! Rates by key: how many in a minute.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::{Quota, RateLimiter};
use protocol::ErrorCode;

use super::Excess;

/// How many keys are remembered at the same time, in 6 MiB. With so many, everybody is refused until some are forgotten.
const KEYS_MAX: usize = 1 << 18;
/// After how long to come back when there are too many keys: the next sweep is over by then.
const FULL_RETRY_AFTER: Duration = super::SWEEP_INTERVAL;
/// A minute in microseconds, the unit in which [`Rates`] counts.
const MINUTE: NonZeroU32 = NonZeroU32::new(60_000_000).expect("it is not zero");

/// Whether somebody wants to do something, or only to know whether they might.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asking {
    /// It is done, and counts.
    Take,
    /// Nothing is done, and nothing counts.
    Look,
}

/// Limits how many a minute each key may take. The limit may differ from key to key and from time to time.
///
/// The library's limiters have one quota for all keys. Here that quota is a minute of time, which comes back as time passes, and taking one
/// of `n` a minute costs the `n`th part of it.
#[derive(Debug)]
pub struct Rates<C: Clock = DefaultClock> {
    limiter: RateLimiter<Asked, Minutes, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    /// Makes hashes of keys, which are kept in place of them, so that long names cost nothing. It is seeded at random, so that nobody can
    /// make up a key with the hash of another one.
    hasher: RandomState,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates::with_clock(DefaultClock::default())
    }
}

impl<C: Clock> Rates<C> {
    /// Rates that use the caller's clock.
    #[must_use]
    pub fn with_clock(clock: C) -> Rates<C>
    where
        C: Clone,
    {
        let quota = Quota::per_minute(MINUTE);
        let limiter = RateLimiter::new(quota, Minutes::default(), clock.clone());
        Rates { limiter, clock, hasher: RandomState::new() }
    }

    /// Takes one of `per_minute` for this key. All of a minute may be taken at once.
    ///
    /// # Errors
    /// When all are taken, with `code`, and when there are too many keys, with [`ErrorCode::RelayFull`]. A refused one costs nothing.
    pub fn take(&self, code: ErrorCode, key: &impl Hash, per_minute: u32) -> Result<(), Excess> {
        self.ask(Asking::Take, code, key, per_minute)
    }

    /// Takes one of `per_minute` for this key, or looks whether one could be taken.
    ///
    /// # Errors
    /// Those of [`Rates::take`].
    pub fn ask(
        &self,
        asking: Asking,
        code: ErrorCode,
        key: &impl Hash,
        per_minute: u32,
    ) -> Result<(), Excess> {
        let limit = u64::from(per_minute);
        if self.limiter.len() >= KEYS_MAX {
            let (limit, asked) = (KEYS_MAX as u64, KEYS_MAX as u64 + 1);
            return Err(Excess { code: ErrorCode::RelayFull, limit, asked, retry_after: FULL_RETRY_AFTER });
        }
        let Some(cost) = MINUTE.get().checked_div(per_minute) else {
            return Err(Excess { code, limit, asked: 1, retry_after: Duration::from_secs(60) });
        };
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        let taken = self.limiter.check_key_n(&Asked { key: self.hasher.hash_one(key), asking }, cost);
        taken.expect("no part of a minute is more than a minute").map_err(|until| {
            let retry_after = until.wait_time_from(self.clock.now());
            Excess { code, limit, asked: limit + 1, retry_after }
        })
    }

    /// Forgets the keys that have their whole minute again.
    pub fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// A key, and what is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    key: u64,
    asking: Asking,
}

/// What each key has left of its minute. It decides what the library's own store decides, and for those who only look it keeps nothing of it.
#[derive(Debug, Default)]
struct Minutes(DashMapStateStore<u64>);

impl StateStore for Minutes {
    type Key = Asked;

    fn measure_and_replace<T, F, E>(&self, asked: &Asked, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if asked.asking == Asking::Take {
            return self.0.measure_and_replace(&asked.key, decide);
        }
        // An error is the one decision after which the store stays as it is.
        let looked = self.0.measure_and_replace(&asked.key, |before| {
            Err::<(Infallible, Nanos), Result<T, E>>(decide(before).map(|(answer, _)| answer))
        });
        match looked {
            Ok(never) => match never {},
            Err(answer) => answer,
        }
    }
}

impl ShrinkableKeyedStateStore<Asked> for Minutes {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        self.0.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates() -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(clock.clone()), clock)
    }

    fn take(rates: &Rates<FakeRelativeClock>, key: &str, per_minute: u32) -> Result<(), Duration> {
        rates.take(ErrorCode::SessionRate, &key, per_minute).map_err(|excess| excess.retry_after)
    }

    #[test]
    fn every_limit_lets_through_as_many_as_it_says_and_one_more_when_it_says() {
        for limit in [1, 2, 3, 7, 10, 59, 60, 61, 100, 600, 1_000] {
            let (rates, clock) = rates();
            let passed = (0..2 * limit).take_while(|_| take(&rates, "ada", limit).is_ok()).count();
            assert_eq!(passed, limit as usize, "{limit} a minute");
            let wait = take(&rates, "ada", limit).expect_err("used up");
            assert!(wait <= Duration::from_secs(60) / limit, "{limit} a minute: {wait:?}");
            clock.advance(wait.saturating_sub(Duration::from_micros(1)));
            assert!(take(&rates, "ada", limit).is_err(), "{limit} a minute");
            clock.advance(Duration::from_micros(1));
            assert_eq!(take(&rates, "ada", limit), Ok(()), "{limit} a minute");
            assert!(take(&rates, "ada", limit).is_err(), "{limit} a minute");
        }
    }

    #[test]
    fn who_only_looks_is_told_the_same_and_takes_nothing() {
        let (rates, clock) = rates();
        let look = || rates.ask(Asking::Look, ErrorCode::SessionRate, &"ada", 2);
        for _ in 0..10 {
            assert_eq!(look(), Ok(()));
        }
        assert_eq!(take(&rates, "ada", 2), Ok(()));
        assert_eq!(look(), Ok(()));
        assert_eq!(take(&rates, "ada", 2), Ok(()));
        let refused = look().expect_err("both are taken");
        assert_eq!((refused.code, refused.limit, refused.asked), (ErrorCode::SessionRate, 2, 3));
        assert_eq!(take(&rates, "ada", 2), Err(refused.retry_after), "who takes is told the same");
        clock.advance(refused.retry_after);
        assert_eq!(look(), Ok(()));
        assert_eq!(take(&rates, "ada", 2), Ok(()));
        clock.advance(Duration::from_secs(61));
        assert_eq!(rates.ask(Asking::Look, ErrorCode::SessionRate, &"bob", 2), Ok(()));
        rates.sweep();
        assert!(rates.limiter.is_empty(), "nobody is remembered for having looked");
    }

    #[test]
    fn a_limit_of_none_lets_none_through() {
        let (rates, clock) = rates();
        assert_eq!(take(&rates, "ada", 0), Err(Duration::from_secs(60)));
        clock.advance(Duration::from_secs(60));
        assert_eq!(take(&rates, "ada", 0), Err(Duration::from_secs(60)));
        assert!(rates.limiter.is_empty());
    }

    #[test]
    fn keys_do_not_share_and_may_have_limits_of_their_own() {
        let (rates, _) = rates();
        assert_eq!(take(&rates, "ada", 1), Ok(()));
        assert!(take(&rates, "ada", 1).is_err());
        assert_eq!(take(&rates, "bob", 2), Ok(()));
        assert_eq!(take(&rates, "bob", 2), Ok(()));
        assert!(take(&rates, "bob", 2).is_err());
    }

    #[test]
    fn another_plan_counts_from_the_same_minute() {
        let (rates, _) = rates();
        assert_eq!(take(&rates, "ada", 2), Ok(()));
        for _ in 0..5 {
            assert_eq!(take(&rates, "ada", 10), Ok(()));
        }
        assert!(take(&rates, "ada", 10).is_err(), "half a minute was spent before");
    }

    #[test]
    fn a_refused_key_is_not_kept_waiting_by_its_own_attempts() {
        let (rates, clock) = rates();
        assert_eq!(take(&rates, "ada", 1), Ok(()));
        for _ in 0..60 {
            assert!(take(&rates, "ada", 1).is_err());
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(take(&rates, "ada", 1), Ok(()));
    }

    #[test]
    fn a_hundred_thousand_keys_are_forgotten_after_a_minute() {
        let (rates, clock) = rates();
        for key in 0..100_000 {
            assert_eq!(take(&rates, &key.to_string(), 1), Ok(()));
        }
        clock.advance(Duration::from_secs(59));
        rates.sweep();
        assert_eq!(rates.limiter.len(), 100_000, "each still matters");
        assert!(take(&rates, "7", 1).is_err());
        clock.advance(Duration::from_secs(2));
        rates.sweep();
        assert!(rates.limiter.is_empty());
    }

    #[test]
    fn more_keys_than_are_remembered_do_not_get_in_until_some_are_forgotten() {
        let (rates, clock) = rates();
        for key in 0..KEYS_MAX {
            assert_eq!(take(&rates, &key.to_string(), 60), Ok(()));
        }
        let excess = rates.take(ErrorCode::SessionRate, &"one more", 60).expect_err("full");
        assert_eq!((excess.code, excess.retry_after), (ErrorCode::RelayFull, FULL_RETRY_AFTER));
        clock.advance(FULL_RETRY_AFTER);
        rates.sweep();
        assert_eq!(take(&rates, "one more", 60), Ok(()));
        assert_eq!(rates.limiter.len(), 1);
    }
}
