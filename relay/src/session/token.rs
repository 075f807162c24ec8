//! How long the token in use is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// How long before a token expires another is asked for.
const LEAD: Duration = Duration::from_secs(60);
/// No timer further away than this: a year.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Knows when to ask for another token and when to stop waiting for it.
#[derive(Debug)]
pub(super) struct TokenClock {
    expires: Instant,
    /// How long the call goes on after that.
    grace: Duration,
    asked: bool,
}

impl TokenClock {
    /// A token that expires at this time (seconds since 1970); the call goes on for the grace after that.
    pub(super) fn new(expires_at: u64, grace: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(expires_at).saturating_sub(now).min(FAR);
        TokenClock { expires: Instant::now() + left, grace, asked: false }
    }

    /// Time until it expires.
    pub(super) fn left(&self) -> Duration {
        self.expires.saturating_duration_since(Instant::now())
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        if self.asked {
            self.expires + self.grace
        } else {
            self.expires.checked_sub(LEAD).unwrap_or(self.expires)
        }
    }

    /// Whether it is time to ask for another, once; with the time until the call would end.
    pub(super) fn expiring(&mut self) -> Option<Duration> {
        if self.asked || Instant::now() < self.due() {
            return None;
        }
        self.asked = true;
        Some(self.left() + self.grace)
    }

    /// Whether the grace is over.
    pub(super) fn is_over(&self) -> bool {
        self.asked && Instant::now() >= self.due()
    }
}
