//! When a session goes elsewhere whose relay is told to stop.
//!
//! Each session has a random moment of its own, so that not all of them come to the other relays at once. From then on it waits for a pause
//! between two turns, in which nobody hears that it goes. Where none comes it goes in the end whatever is said, again at a moment of its own, and
//! early enough for its client to be gone by itself when the relay stops.

use std::time::Duration;

use protocol::Time;

use crate::session::jitter::Jitter;

/// Sessions begin to wait for a pause within so many tenths of the time,
const PAUSES_FROM: u32 = 8;
/// and those that find none go within so many tenths after that. What is left is for the way of the last ones.
const LATEST: u32 = 1;

/// How a session of a relay that is told to stop goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// When it begins to wait for a pause.
    from: Time,
    /// When it goes even if somebody speaks.
    latest: Time,
    /// Whether the client that is connected was told to go.
    is_told: bool,
}

impl Drain {
    /// Sessions are sent elsewhere within this time.
    pub(super) fn new(now: Time, within: Duration, jitter: &mut Jitter) -> Drain {
        let tenth = within / 10;
        let pauses = tenth * PAUSES_FROM;
        let from = now + jitter.part_of(pauses);
        Drain { from, latest: now + pauses + jitter.part_of(tenth * LATEST), is_told: false }
    }

    /// When something is due next, at this time or later.
    pub(super) fn due(&self, now: Time) -> Option<Time> {
        (!self.is_told).then_some(if self.from > now { self.from } else { self.latest })
    }

    /// Whether its moment has come, whether or not its client was told by now.
    pub(super) fn has_begun(&self, now: Time) -> bool {
        self.from <= now
    }

    /// Whether the session goes in the first pause from now on.
    pub(super) fn wants_to_move(&self, now: Time) -> bool {
        !self.is_told && self.has_begun(now)
    }

    /// Whether the session goes now, pause or not.
    pub(super) fn is_over(&self, now: Time) -> bool {
        !self.is_told && self.latest <= now
    }

    /// The client that is connected is told to go.
    pub(super) fn tell(&mut self) {
        self.is_told = true;
    }

    /// Another connection goes on with the session, whose client knows nothing of it.
    pub(super) fn tell_again(&mut self) {
        self.is_told = false;
    }
}
