//! The lease of a relay: until when its sessions are its own. While the relay renews it, no other relay takes them for lost. A relay that
//! cannot renew it has to stop its sessions before another relay may take them over.
//!
//! Where relays share a database, each renewal also says that its relay is there. A relay that is killed says nothing more, and its sessions are
//! taken over without waiting for it.

use std::time::Duration;

use protocol::Time;

/// The time between two renewals where relays share a database.
pub const RENEW_EVERY: Duration = Duration::from_millis(500);
/// The time between two renewals of a relay that is alone, and that nobody listens for.
pub const RENEW_EVERY_ALONE: Duration = Duration::from_secs(5);
/// The time between a renewal that failed and the next try.
pub const RENEW_RETRY: Duration = Duration::from_secs(1);
/// How much longer a lease is than a call may go on without the database. A renewal may be late, and clocks differ in speed.
const MARGIN: Duration = Duration::from_secs(30);
/// How long before the end of the lease this relay stops its sessions. It is a part of [`MARGIN`].
const SAFETY: Duration = Duration::from_secs(10);
/// How late the renewals of a relay are at most that is there: it may miss two of those of a relay that is alone.
const LATE: Duration = Duration::from_secs(15);
/// How long a relay that shares a database says nothing until it is taken for lost: as long as four renewals.
const UNSEEN: Duration = Duration::from_secs(2);
/// How long after this relay's own renewals stopped the silence of others says nothing of them: what kept this one from renewing may keep
/// them from it a little longer.
const SETTLING: Duration = Duration::from_secs(15);

/// How long a relay's sessions are its own after a renewal, where calls may go on for `grace` without the database.
#[must_use]
pub fn duration(grace: Duration) -> Duration {
    grace + MARGIN
}

/// Which relays are taken for lost, so that their sessions are not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Those with less of their lease left.
    pub left: Duration,
    /// Those that have not been heard of for so long, if their silence says anything. A relay that was never heard of is one of a version before,
    /// and tells by its lease alone that it is there.
    pub unseen: Option<Duration>,
}

/// What a relay knows of its own lease, and may conclude about others from it.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// How long it is after a renewal.
    duration: Duration,
    /// When this relay has to stop its sessions.
    until: Time,
    /// When the last renewal that succeeded was sent.
    renewed: Time,
    /// Whether the last renewal failed. The database then takes no writes, whether or not it answers reads.
    has_failed: bool,
    /// From when on a relay that says nothing is lost.
    settled: Time,
}

impl Lease {
    /// The lease of a relay that begins, where calls may go on for `grace` without the database.
    #[must_use]
    pub fn new(now: Time, grace: Duration) -> Lease {
        let duration = duration(grace);
        let until = now + duration.saturating_sub(SAFETY);
        Lease { duration, until, renewed: now, has_failed: false, settled: now + UNSEEN }
    }

    /// Notes a renewal. It counts from when it was sent, which is before the database began to count.
    pub fn handle_renewal(&mut self, sent: Time) {
        // A relay that did not come to renew, because it or its machine stood still, does not know what others did meanwhile.
        if sent.since(self.renewed) >= UNSEEN {
            self.settled = self.settled.max(sent + SETTLING);
        }
        (self.until, self.renewed, self.has_failed) =
            (sent + self.duration.saturating_sub(SAFETY), sent, false);
    }

    /// Notes that a renewal failed, or took too long.
    pub fn handle_failure(&mut self, now: Time) {
        self.has_failed = true;
        self.settled = now + SETTLING;
    }

    /// When this relay has to stop its sessions, unless the lease is renewed.
    #[must_use]
    pub fn valid_until(&self) -> Time {
        self.until
    }

    /// Whether the database took the last renewal. A database with a full disk takes none, nor does one that only follows another.
    #[must_use]
    pub fn is_renewed(&self) -> bool {
        !self.has_failed
    }

    /// Which relays are to be taken for lost, as far as this one can tell.
    #[must_use]
    pub fn lost(&self, now: Time) -> Lost {
        let hears = now >= self.settled && now.since(self.renewed) < UNSEEN;
        Lost { left: self.duration.saturating_sub(LATE), unseen: hears.then_some(UNSEEN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    /// A lease that has been renewed every half second until then.
    fn renewed_until(ms: u64) -> Lease {
        let mut lease = Lease::new(at(0), GRACE);
        for sent in (0..=ms).step_by(500) {
            lease.handle_renewal(at(sent));
        }
        lease
    }

    #[test]
    fn a_relay_stops_its_sessions_before_its_lease_is_over() {
        let mut lease = Lease::new(at(0), GRACE);
        assert_eq!(lease.valid_until(), at(80_000), "ten seconds before the ninetieth");
        lease.handle_renewal(at(5_000));
        assert_eq!(lease.valid_until(), at(85_000), "a renewal counts from when it was sent");
        lease.handle_failure(at(6_000));
        assert_eq!((lease.valid_until(), lease.is_renewed()), (at(85_000), false));
        lease.handle_renewal(at(7_000));
        assert_eq!((lease.valid_until(), lease.is_renewed()), (at(87_000), true));
    }

    #[test]
    fn the_silence_of_another_relay_counts_once_this_one_has_been_there_as_long() {
        assert_eq!(renewed_until(1_500).lost(at(1_999)).unseen, None);
        assert_eq!(renewed_until(2_000).lost(at(2_000)).unseen, Some(UNSEEN));
    }

    #[test]
    fn the_silence_of_another_relay_says_nothing_while_this_one_cannot_renew_and_for_a_while_after_that() {
        let mut lease = renewed_until(60_000);
        assert_eq!(lease.lost(at(60_400)).unseen, Some(UNSEEN));
        assert_eq!(lease.lost(at(62_000)).unseen, None, "it has not been heard of itself");
        lease.handle_failure(at(60_500));
        assert_eq!(lease.lost(at(60_500)).unseen, None);
        for sent in (61_500..=75_000).step_by(500) {
            lease.handle_renewal(at(sent));
            assert_eq!(lease.lost(at(sent)).unseen, None, "{sent}");
        }
        lease.handle_renewal(at(75_500));
        assert_eq!(lease.lost(at(75_500)).unseen, Some(UNSEEN));
    }

    #[test]
    fn a_relay_that_stood_still_does_not_take_others_for_lost_when_it_goes_on() {
        let mut lease = renewed_until(60_000);
        lease.handle_renewal(at(64_000));
        assert_eq!(lease.lost(at(64_000)).unseen, None);
        assert_eq!(lease.lost(at(64_000)).left, Duration::from_secs(75), "the rule of leases goes on");
    }

    #[test]
    fn a_relay_that_is_alone_takes_nobody_for_lost_by_silence() {
        let mut lease = Lease::new(at(0), GRACE);
        for sent in (0..100_000).step_by(5_000) {
            lease.handle_renewal(at(sent));
            assert_eq!(lease.lost(at(sent + 1)).unseen, None, "{sent}");
        }
    }
}
