//! A limit of so many in a minute that is kept outside of a relay's memory: what is counted there is one number for each key.

use std::time::Duration;

use protocol::ErrorCode;

use super::Excess;

/// A minute in microseconds.
const MINUTE_US: i64 = 60_000_000;

/// A limit of so many in a minute, all of which may be taken at once. Taking one of `n` takes the `n`th part of a minute, which comes back as
/// time passes: the generic cell rate algorithm (ITU-T I.371), which keeps of each key its *theoretical arrival time*, when its whole minute is
/// there again. The limit may differ from one time to the next. Times are microseconds since any beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerMinute(pub u32);

impl PerMinute {
    /// How much of a minute one takes, in microseconds.
    #[must_use]
    pub fn cost_us(self) -> i64 {
        MINUTE_US.checked_div(i64::from(self.0)).unwrap_or(MINUTE_US).max(1)
    }

    /// The theoretical arrival time after one more is taken at `now_us`, where `tat_us` is the one from before. A time that nobody can have
    /// written by the same clock, because it is more than a minute ahead, counts as none: the clock was set back since, and nobody is to wait
    /// until it has caught up.
    #[must_use]
    pub fn take(self, tat_us: Option<i64>, now_us: i64) -> i64 {
        let tat_us = tat_us.filter(|tat_us| (now_us..=now_us + MINUTE_US).contains(tat_us));
        tat_us.unwrap_or(now_us) + self.cost_us()
    }

    /// Why the one that was taken was one too many, if the whole minute is there again only `ahead_us` after that.
    #[must_use]
    pub fn excess(self, code: ErrorCode, ahead_us: i64) -> Option<Excess> {
        let all_us = (self.cost_us() * i64::from(self.0)).min(MINUTE_US);
        let limit = u64::from(self.0);
        (ahead_us > all_us).then(|| {
            let retry_after = Duration::from_micros((ahead_us - all_us).unsigned_abs());
            Excess { code, limit, asked: limit + 1, retry_after }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of the tests' beginning.
    const BEGIN_US: i64 = 1_798_761_590_000_000;
    const MS: i64 = 1_000;

    /// Takes one at a time, and says after how many milliseconds to come back if it was one too many. Then it counts nothing.
    fn take(tat_us: &mut Option<i64>, per_minute: u32, now_us: i64) -> Result<(), u64> {
        let after = PerMinute(per_minute).take(*tat_us, now_us);
        match PerMinute(per_minute).excess(ErrorCode::SessionRate, after - now_us) {
            None => {
                *tat_us = Some(after);
                Ok(())
            }
            Some(excess) => {
                let limit = u64::from(per_minute);
                assert_eq!((excess.limit, excess.asked), (limit, limit + 1));
                Err(excess.retry_after_ms())
            }
        }
    }

    #[test]
    fn every_limit_lets_through_as_many_as_it_says_and_one_more_to_the_millisecond() {
        for limit in [1, 2, 3, 5, 7, 10, 59, 60, 61, 600, 9_999, 10_000, 100_000] {
            let mut tat_us = None;
            let passed = (0..2 * limit).take_while(|_| take(&mut tat_us, limit, BEGIN_US).is_ok()).count();
            assert_eq!(passed, limit as usize, "{limit} a minute");
            let wait = take(&mut tat_us, limit, BEGIN_US).expect_err("used up");
            assert_eq!(wait, (60_000_000_u64 / u64::from(limit)).div_ceil(1_000), "{limit} a minute");
            let back = BEGIN_US + wait as i64 * MS;
            assert!(take(&mut tat_us, limit, back - MS).is_err(), "{limit} a minute");
            assert_eq!(take(&mut tat_us, limit, back), Ok(()), "{limit} a minute");
        }
    }

    #[test]
    fn a_limit_without_bounds_is_none_and_one_of_nothing_lets_nobody_through() {
        let mut tat_us = None;
        assert!((0..100_000).all(|_| take(&mut tat_us, u32::MAX, BEGIN_US).is_ok()));
        assert_eq!(take(&mut None, 0, BEGIN_US), Err(60_000));
    }

    #[test]
    fn a_clock_that_is_set_locks_nobody_out_for_longer_than_a_minute() {
        for jump_s in [-36_000, -3_600, -61, -60, -59, -1, 0, 1, 59, 60, 61, 3_600] {
            for limit in [1, 10] {
                let mut tat_us = None;
                while take(&mut tat_us, limit, BEGIN_US).is_ok() {}
                let now_us = BEGIN_US + jump_s * 1_000_000;
                if let Err(wait) = take(&mut tat_us, limit, now_us) {
                    assert!(wait <= 60_000, "{limit} a minute, {jump_s} s: {wait} ms");
                    assert_eq!(take(&mut tat_us, limit, now_us + wait as i64 * MS), Ok(()));
                }
            }
        }
    }

    #[test]
    fn one_of_a_lower_limit_takes_more_of_the_same_minute() {
        let mut tat_us = None;
        assert_eq!(take(&mut tat_us, 2, BEGIN_US), Ok(()));
        assert_eq!(take(&mut tat_us, 4, BEGIN_US), Ok(()));
        assert_eq!(take(&mut tat_us, 2, BEGIN_US), Err(15_000));
        assert_eq!(take(&mut tat_us, 4, BEGIN_US), Ok(()));
        assert_eq!(take(&mut tat_us, 4, BEGIN_US), Err(15_000));
    }
}
