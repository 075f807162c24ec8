//! Whether the database's clock goes as time goes. Leases are read off that clock: if somebody puts it forward by an hour, every lease is over
//! until its relay has renewed it, and nothing may be concluded from that.

use std::time::Duration;

use protocol::Time;

/// How far the database's clock and time may move apart between two looks. Clocks that are corrected step by step stay far below it, and it is
/// far below the length of a lease.
const APART: Duration = Duration::from_secs(5);

/// What the database's clock showed last.
#[derive(Debug, Default)]
pub(crate) struct DatabaseClock {
    last: Option<(Time, i64)>,
}

impl DatabaseClock {
    /// Notes that the clock shows so many milliseconds since 1970. Says whether it has gone on as time has since the look before; after the first
    /// look nobody can say.
    pub(crate) fn handle_look(&mut self, now: Time, shown_ms: i64) -> bool {
        let Some((before, shown_before)) = self.last.replace((now, shown_ms)) else { return false };
        let passed = i64::try_from(now.since(before).as_millis()).unwrap_or(i64::MAX);
        let apart = shown_ms.saturating_sub(shown_before).saturating_sub(passed);
        Duration::from_millis(apart.unsigned_abs()) <= APART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of these looks says: when it is, in seconds, and what the clock shows then.
    fn looks(looks: &[(u64, i64)]) -> Vec<bool> {
        let mut clock = DatabaseClock::default();
        let look = |(at, shown): &(u64, i64)| {
            clock.handle_look(Time::from_millis(at * 1_000), 1_700_000_000_000 + shown * 1_000)
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn nothing_is_known_of_a_clock_at_first_and_then_it_goes_as_time_goes() {
        assert_eq!(looks(&[(0, 0), (2, 2), (17, 17), (32, 32)]), [false, true, true, true]);
        assert_eq!(looks(&[(0, 0), (15, 11), (30, 30)]), [false, true, true], "it is corrected");
    }

    #[test]
    fn a_clock_that_is_put_forward_or_back_is_known_by_the_next_look_and_believed_again_by_the_one_after_it()
    {
        assert_eq!(looks(&[(0, 0), (15, 3_615), (30, 3_630)]), [false, false, true]);
        assert_eq!(looks(&[(0, 0), (15, -3_585), (30, -3_570)]), [false, false, true]);
        assert_eq!(looks(&[(0, 0), (15, 21)]), [false, false]);
    }

    #[test]
    fn a_relay_that_stood_still_while_the_database_went_on_concludes_nothing() {
        assert_eq!(looks(&[(0, 0), (15, 3_600)]), [false, false]);
    }

    #[test]
    fn no_clock_is_too_far_off() {
        let mut clock = DatabaseClock::default();
        for shown in [i64::MIN, i64::MAX, i64::MIN] {
            assert!(!clock.handle_look(Time::ZERO, shown));
        }
    }
}
