//! Where a session's link is, and what belongs to it only while it is there. A phase is replaced whole by the next, so that nothing of it can
//! outlive it.

use crate::time::Timers;
use crate::{CloseCode, Features, RelayAck, Time, Usage};

/// Where the link is.
#[derive(Debug)]
pub(super) enum Phase {
    /// There is no connection. Nobody resumed in time at this time.
    Detached(Time),
    /// A connection carries the session.
    Attached(Attached),
    /// The session ends as soon as what was said before is sent.
    Ending {
        /// Why.
        code: CloseCode,
        /// The final usage.
        usage: Usage,
        /// Whether the client reads the number of samples.
        counted: bool,
        /// When it is over even if not all of that was sent.
        until: Time,
    },
    /// The session is over.
    Ended,
}

/// A connection that carries the session.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) timers: Timers<{ TIMERS.len() }>,
    /// What the client speaks.
    pub(super) features: Features,
    pub(super) told_ack: RelayAck,
    /// When the oldest of the frames came that are not acknowledged yet.
    pub(super) unacknowledged_since: Option<Time>,
    /// `resend` requests without progress.
    pub(super) resends: u32,
    /// The number that the user hung up before.
    pub(super) bye: Option<u32>,
}

impl Attached {
    /// The client knows `told_ack` already, or by its greeting.
    pub(super) fn new(features: Features, told_ack: RelayAck) -> Self {
        Attached {
            timers: Timers::new(),
            features,
            told_ack,
            unacknowledged_since: None,
            resends: 0,
            bye: None,
        }
    }
}

/// Names of the timers of a connection.
#[derive(Clone, Copy)]
pub(super) enum Timer {
    /// The client was silent for too long.
    Dead,
    /// The next `ack`.
    Ack,
    /// A `resend` may be asked for again.
    Resend,
    /// The client was told to come back elsewhere, and is still here.
    Moved,
}

const TIMERS: [Timer; 4] = [Timer::Dead, Timer::Ack, Timer::Resend, Timer::Moved];

/// Something whose time has come.
#[derive(Clone, Copy)]
pub(super) enum Due {
    /// Nobody resumed in time.
    ResumeWindow,
    Timer(Timer),
}

impl Phase {
    /// The earliest time at which something is due.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        match self {
            Phase::Detached(until) => Some(*until),
            Phase::Attached(attached) => attached.timers.next_timeout(),
            Phase::Ending { .. } | Phase::Ended => None,
        }
    }

    /// Takes what is due first.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Due> {
        match self {
            Phase::Detached(until) => (*until <= now).then_some(Due::ResumeWindow),
            Phase::Attached(attached) => attached.timers.expire(now).map(|timer| Due::Timer(TIMERS[timer])),
            Phase::Ending { .. } | Phase::Ended => None,
        }
    }
}
