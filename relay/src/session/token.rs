//! How long the token in use is good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use crate::auth::{Identity, Refused, Verifier};

/// How long before a token expires another is asked for.
const LEAD: Duration = Duration::from_secs(60);
/// No timer further away than this: a year.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a call goes on after its token's grace while nobody can know whether the fresh one is good, once a token. More than the longest
/// time between two fetches of the issuer's keys.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest time between two looks at the same token.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Looks at a fresh token, and again for as long as nobody can know whether it is good: the call need not ask for another one.
pub(super) async fn check(verifier: &Verifier, token: &str) -> Result<Identity, Refused> {
    let end = Instant::now() + LEAD + PATIENCE;
    loop {
        let checked = verifier.check(token).await;
        let wait = checked.as_ref().err().and_then(|refused| refused.retry_after);
        match wait.map(|wait| wait.max(AGAIN_AFTER)) {
            Some(wait) if Instant::now() + wait <= end => sleep(wait).await,
            _ => return checked,
        }
    }
}

/// Knows when to ask for another token and when to stop waiting for it.
#[derive(Debug)]
pub(super) struct TokenClock {
    expires: Instant,
    /// How long the call goes on after that.
    grace: Duration,
    asked: bool,
    /// Whether a fresh token is being looked at.
    held: bool,
}

impl TokenClock {
    /// A token that expires at this time (seconds since 1970); the call goes on for the grace after that.
    pub(super) fn new(expires_at: u64, grace: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(expires_at).saturating_sub(now).min(FAR);
        TokenClock { expires: Instant::now() + left, grace, asked: false, held: false }
    }

    /// Time until it expires.
    pub(super) fn left(&self) -> Duration {
        self.expires.saturating_duration_since(Instant::now())
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        if self.asked {
            self.expires + self.grace + if self.held { PATIENCE } else { Duration::ZERO }
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

    /// A fresh token has come and is being looked at.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// The fresh token was looked at.
    pub(super) fn release(&mut self) {
        self.held = false;
    }

    /// Whether the grace is over.
    pub(super) fn is_over(&self) -> bool {
        self.asked && Instant::now() >= self.due()
    }
}
