//! A circuit breaker: whether a provider is asked at all, which all calls of a relay have learnt from each other.
//!
//! Each configured provider has one. While it is **closed**, every request is made. Three failures in a row open it; a wrong key, an unpaid
//! bill, and a provider that says when it wants to be asked again open it at once. While it is **open**, nobody asks: the next provider in
//! line does without having waited for this one. When its time is over it is **half open**: one request is let through as a **probe**, and everybody
//! else goes on without it. A probe that is answered closes the breaker; one that fails opens it again, for twice as long each time.
//!
//! What counts is whether the *provider* works. A question that it refuses as wrong is an answer in that sense. A request that the user cut
//! short before anything came says nothing, and neither does one that was fed too much before its connection was there. Requests that were
//! made before the breaker last changed say nothing either: hundreds of them may fail late, after a probe has shown that the provider is back.

#[cfg(test)]
mod tests;

use std::time::Duration;

use protocol::Time;

use super::{Failure, FailureKind};

/// Failures in a row that open a breaker.
const FAILURES_MAX: u32 = 3;
/// How long a breaker is open the first time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// How long a breaker is open at most because requests fail one after the other.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long a breaker is open when an operator has to do something: about the key, or about a bill.
const OPERATOR_WAIT: Duration = Duration::from_secs(300);
/// The longest time for which a provider is taken at its word that it wants to be left alone.
const RETRY_AFTER_MAX: u32 = 300;
/// A probe that is not decided by now is given up as one, and the next request is the probe.
const PROBE_WITHIN: Duration = Duration::from_secs(30);

/// Whether a provider is asked.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// How often it was opened since it was last closed.
    openings: u32,
    /// Another one with each change: what requests of an earlier epoch say is old.
    epoch: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Time,
    },
    /// The time for which it was open is over, and the next request is the probe.
    Due {
        since: Time,
    },
    Probing {
        since: Time,
    },
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every request is made.
    Closed,
    /// One request is under way, and what comes of it decides.
    Probing,
    /// The next request is made, and what comes of it decides: nothing is known against the provider any more until somebody tries.
    Due {
        /// Since when nobody has tried.
        since: Time,
    },
    /// No request is made before its time is over.
    Open,
}

/// A request that a breaker has let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    is_probe: bool,
}

impl Ticket {
    /// Whether everybody waits for what comes of this request.
    #[must_use]
    pub fn is_probe(self) -> bool {
        self.is_probe
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { state: State::Closed { failures: 0 }, openings: 0, epoch: 0 }
    }
}

impl Breaker {
    /// Lets a request through, or says how long nobody is let through.
    ///
    /// # Errors
    /// When the breaker is open, or another request is the probe.
    pub fn admit(&mut self, now: Time) -> Result<Ticket, Duration> {
        let blocked_until = match self.state {
            State::Closed { .. } => return Ok(Ticket { epoch: self.epoch, is_probe: false }),
            State::Open { until } => until,
            State::Due { since } => since,
            State::Probing { since } => since + PROBE_WITHIN,
        };
        if blocked_until > now {
            return Err(blocked_until.since(now));
        }
        self.change(State::Probing { since: now });
        Ok(Ticket { epoch: self.epoch, is_probe: true })
    }

    /// The provider has answered.
    pub fn worked(&mut self, ticket: Ticket) {
        if ticket.epoch != self.epoch {
            return;
        }
        match self.state {
            State::Closed { .. } => self.state = State::Closed { failures: 0 },
            State::Probing { .. } => self.close(),
            State::Open { .. } | State::Due { .. } => {}
        }
    }

    /// The provider has not answered, or not to the end.
    pub fn failed(&mut self, now: Time, ticket: Ticket, failure: &Failure) {
        if ticket.epoch != self.epoch {
            return;
        }
        let wait = match failure.kind {
            // It works, and the question was wrong.
            FailureKind::Request => return self.closes_if_probing(),
            // Nobody was asked.
            FailureKind::CircuitOpen | FailureKind::AtLimit => return,
            // It had no say yet.
            FailureKind::Clogged => return self.gave_up(ticket),
            FailureKind::Key | FailureKind::Payment => Some(OPERATOR_WAIT),
            FailureKind::Busy => failure
                .retry_after
                .map(|seconds| Duration::from_secs(seconds.clamp(1, RETRY_AFTER_MAX).into())),
            // Whether it refuses every question or only some, nobody can tell from one of them.
            FailureKind::Permission
            | FailureKind::Provider
            | FailureKind::Timeout
            | FailureKind::Connection
            | FailureKind::BrokeOff
            | FailureKind::Flood => None,
        };
        match (wait, self.state) {
            (Some(wait), State::Closed { .. } | State::Probing { .. }) => self.open(now, wait),
            (None, State::Closed { failures }) if failures + 1 < FAILURES_MAX => {
                self.state = State::Closed { failures: failures + 1 };
            }
            (None, State::Closed { .. } | State::Probing { .. }) => self.open(now, self.next_wait()),
            (_, State::Open { .. } | State::Due { .. }) => {}
        }
    }

    /// The request was given up before anything came of it. If it was the probe, the next request is.
    pub fn gave_up(&mut self, ticket: Ticket) {
        if ticket.epoch == self.epoch
            && let State::Probing { since } = self.state
        {
            self.change(State::Due { since });
        }
    }

    /// Notes that the time for which it was open is over, which nobody else does while no request is made.
    pub fn look(&mut self, now: Time) {
        if let State::Open { until } = self.state
            && until <= now
        {
            self.change(State::Due { since: until });
        }
    }

    /// How it stands, by when it was looked at or asked last.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Closed { .. } => Standing::Closed,
            State::Probing { .. } => Standing::Probing,
            State::Due { since } => Standing::Due { since },
            State::Open { .. } => Standing::Open,
        }
    }

    fn closes_if_probing(&mut self) {
        if let State::Probing { .. } = self.state {
            self.close();
        }
    }

    fn close(&mut self) {
        self.openings = 0;
        // The probe is the first request of the new epoch: should it still fail, that counts.
        self.state = State::Closed { failures: 0 };
    }

    fn open(&mut self, now: Time, wait: Duration) {
        self.openings = self.openings.saturating_add(1);
        self.change(State::Open { until: now + wait });
    }

    fn next_wait(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.openings);
        FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

impl Standing {
    /// The number that the gauge `voxrelay_provider_circuit` shows.
    #[must_use]
    pub const fn shown(self) -> u8 {
        match self {
            Standing::Closed => 0,
            Standing::Probing | Standing::Due { .. } => 1,
            Standing::Open => 2,
        }
    }

    /// The word in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Standing::Closed => "closed",
            Standing::Probing => "probing",
            Standing::Due { .. } => "half open",
            Standing::Open => "open",
        }
    }
}
