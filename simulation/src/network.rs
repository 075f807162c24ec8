//! The line of the link's own simulation, and what only a whole call asks of it.

use protocol::Time;

#[path = "../../protocol/examples/simulate/network.rs"]
mod line;

pub(crate) use line::{Connection, Packet};

impl Connection {
    /// Bytes that the relay has sent and the line has not carried.
    pub(crate) fn unsent_to_client(&self, now: Time) -> usize {
        self.to_client.unsent(now)
    }

    /// Nobody is there: the client hears of it at once.
    pub(crate) fn refuse(&mut self, now: Time) {
        self.broken = true;
        self.to_client.push(now + self.delay, Packet::Closed(1006));
    }
}
