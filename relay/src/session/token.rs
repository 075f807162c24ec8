//! How long the access token in use is good, and when the client is asked for another one.

use std::time::Duration;

use protocol::Time;

/// How long before a token expires another one is asked for. For a short token it is a third of what is left of it.
pub(super) const LEAD: Duration = Duration::from_secs(60);
/// The shortest time between two requests for another token.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The longest time that a token counts as good: a year. A timer has to fit into [`Time`].
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// How much longer than its token's grace a call goes on while a fresh token cannot be judged, because the issuer's keys cannot be fetched.
/// It is longer than the longest time between two fetches.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Knows when to ask for another token and when to stop waiting for it.
#[derive(Debug)]
pub(super) struct TokenClock {
    /// When the token says that it expires, in seconds since 1970. Tokens are told apart by it.
    expires_at: u64,
    /// When the token expires, in the time of this machine.
    expires: Time,
    /// How long the call goes on after the token has expired.
    grace: Duration,
    /// When to ask for another token, the next time.
    ask: Time,
    /// Whether a fresh token is being checked.
    is_checking: bool,
}

impl TokenClock {
    /// The clock of a token that expires at `expires_at` (seconds since 1970), which is after `left`. The call goes on for the grace after
    /// that.
    pub(super) fn new(now: Time, expires_at: u64, left: Duration, grace: Duration) -> Self {
        let left = left.min(FAR);
        // A short token is used for two thirds of what is left of it before another one is asked for.
        let ask = now + left - LEAD.min(left / 3);
        TokenClock { expires_at, expires: now + left, grace, ask, is_checking: false }
    }

    /// Goes on with another token. The same one again, out of a cache perhaps, changes nothing, so that the asking for the next one is not
    /// begun anew.
    pub(super) fn renew(&mut self, now: Time, expires_at: u64, left: Duration) {
        if expires_at != self.expires_at {
            *self = TokenClock::new(now, expires_at, left, self.grace);
        }
    }

    /// The time until the token expires.
    pub(super) fn left(&self, now: Time) -> Duration {
        self.expires.since(now)
    }

    /// When to ask for another token, or to end the call.
    pub(super) fn due(&self) -> Time {
        if self.is_checking { self.end() } else { self.ask.min(self.end()) }
    }

    /// The time until the call would end, if it is time to ask the client for another token. It is asked several times, since its own server
    /// may be away, or the token that it brings may be refused.
    pub(super) fn expiring(&mut self, now: Time) -> Option<Duration> {
        let left = self.end().since(now);
        if self.is_checking || now < self.ask || left.is_zero() {
            return None;
        }
        self.ask = now + ASK_AGAIN.max(left / 3);
        Some(left)
    }

    /// Notes that a fresh token is being checked. Until [`TokenClock::end_check`], none is asked for, and the call may go on for [`PATIENCE`]
    /// longer.
    pub(super) fn begin_check(&mut self) {
        self.is_checking = true;
    }

    /// Notes that the fresh token was checked.
    pub(super) fn end_check(&mut self) {
        self.is_checking = false;
    }

    /// Whether the token has expired, and the grace is over as well.
    pub(super) fn is_over(&self, now: Time) -> bool {
        now >= self.end()
    }

    fn end(&self) -> Time {
        self.expires + self.grace + if self.is_checking { PATIENCE } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// When another token is asked for, in seconds, by a client that never brings one.
    fn asked(lifetime: u64) -> Vec<u64> {
        let begin = Time::from_millis(7_000);
        let mut clock = TokenClock::new(begin, 1_000 + lifetime, secs(lifetime), GRACE);
        let mut asked = Vec::new();
        while clock.due() < clock.end() {
            let now = clock.due();
            assert!(clock.expiring(now).is_some());
            asked.push(now.since(begin).as_secs());
        }
        asked
    }

    #[test]
    fn it_is_asked_in_time_and_again_while_there_is_time_and_never_in_a_storm() {
        for lifetime in [0, 1, 5, 40, 60, 90, 300, 3_600, 86_400] {
            let asked = asked(lifetime);
            let first = lifetime - (lifetime / 3).min(60);
            assert!(asked[0].abs_diff(first) <= 1, "{lifetime}: {asked:?}");
            assert!((3..20).contains(&asked.len()), "{lifetime}: {asked:?}");
            assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 4), "{lifetime}: {asked:?}");
        }
    }

    #[test]
    fn the_same_token_out_of_a_cache_does_not_begin_the_asking_anew() {
        let now = Time::ZERO;
        let mut clock = TokenClock::new(now, 1_040, secs(40), GRACE);
        assert!(clock.expiring(now + secs(30)).is_some());
        let due = clock.due();
        clock.renew(now + secs(30), 1_040, secs(10));
        assert_eq!(clock.due(), due);
    }

    #[test]
    fn nothing_is_asked_while_a_fresh_token_is_looked_at() {
        let now = Time::ZERO;
        let mut clock = TokenClock::new(now, 1_040, secs(40), GRACE);
        clock.begin_check();
        assert_eq!(clock.expiring(now + secs(39)), None);
        assert_eq!(clock.due(), now + secs(40) + GRACE + PATIENCE);
        clock.end_check();
        assert!(clock.expiring(now + secs(39)).is_some());
    }
}
