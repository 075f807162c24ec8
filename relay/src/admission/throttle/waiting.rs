//! Connections that wait to be greeted, counted by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::ErrorCode;
use protocol::relay::HELLO_DEADLINE;

use super::Excess;

/// How many connections of each address wait. An address without any has no entry.
type Counts = HashMap<IpAddr, u32>;

/// The connections whose user is not known yet.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom(Arc<Mutex<Counts>>);

/// A connection whose user is not known yet. It is counted until this is dropped.
#[derive(Debug)]
pub struct Waiting {
    address: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl WaitingRoom {
    pub(super) fn enter(&self, address: IpAddr, limit: u32) -> Result<Waiting, Excess> {
        let mut counts = lock(&self.0);
        match counts.entry(address) {
            Entry::Occupied(mut waiting) if *waiting.get() < limit => *waiting.get_mut() += 1,
            Entry::Vacant(none) if limit > 0 => {
                none.insert(1);
            }
            _ => {
                let (limit, code) = (u64::from(limit), ErrorCode::AddressConnections);
                // After this time, all connections that wait now are greeted or gone.
                return Err(Excess { code, limit, asked: limit + 1, retry_after: HELLO_DEADLINE });
            }
        }
        Ok(Waiting { address, counts: Arc::clone(&self.0) })
    }

    pub(super) fn sweep(&self) {
        lock(&self.0).shrink_to_fit();
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Entry::Occupied(mut waiting) = counts.entry(self.address) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_waiting_as_the_limit_and_each_that_goes_makes_room() {
        let (room, here) = (WaitingRoom::default(), IpAddr::from([192, 0, 2, 1]));
        let first = room.enter(here, 2).expect("room");
        let second = room.enter(here, 2).expect("room");
        let excess = room.enter(here, 2).expect_err("two wait");
        assert_eq!((excess.code, excess.limit, excess.asked), (ErrorCode::AddressConnections, 2, 3));
        assert_eq!(excess.retry_after, HELLO_DEADLINE);
        let other = room.enter(IpAddr::from([192, 0, 2, 2]), 2).expect("another address");
        drop(first);
        let third = room.enter(here, 2).expect("room again");
        assert!(room.enter(here, 2).is_err());
        drop((second, third, other));
        assert!(room.is_empty(), "nobody waits, nothing is kept");
    }
}
