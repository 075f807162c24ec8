//! The wires that are open, by their ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::wire::{EventStream, Halves, HttpWire};

/// How many characters an id has at least: as many as 128 random bits have in base64.
const ID_MIN: usize = 22;
/// How many characters an id has at most.
const ID_MAX: usize = 64;

/// The id of a wire, which its client makes of random bits and tells nobody but the relay.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct WireId(Box<str>);

/// An id is a secret, and is not logged.
impl std::fmt::Debug for WireId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WireId")
    }
}

impl WireId {
    /// Reads an id. `None` if it is too short to be unguessable, too long, or has anything but letters, digits, `-` and `_`.
    pub(super) fn parse(id: &str) -> Option<WireId> {
        let is_good = (ID_MIN..=ID_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_good.then(|| WireId(id.into()))
    }
}

/// The wires that are open. There are no more than there are places for calls.
#[derive(Debug, Default)]
pub(in crate::server) struct Wires(Mutex<HashMap<WireId, Arc<Halves>>>);

impl Wires {
    /// Opens a wire. If one with this id is open, that one ends, and there is no other: whoever asks for its stream again has lost some of it.
    pub(super) fn open(
        self: &Arc<Self>,
        id: WireId,
        place: OwnedSemaphorePermit,
    ) -> Option<(HttpWire, EventStream)> {
        let mut wires = self.lock();
        if let Some(open) = wires.get(&id) {
            open.end(None);
            return None;
        }
        let (wire, events) = HttpWire::new(id.clone(), place, Arc::clone(self));
        wires.insert(id, Arc::clone(wire.halves()));
        Some((wire, events))
    }

    /// The wire with this id, if it is open.
    pub(super) fn find(&self, id: &WireId) -> Option<Arc<Halves>> {
        self.lock().get(id).cloned()
    }

    /// Forgets a wire.
    pub(super) fn forget(&self, id: &WireId, halves: &Arc<Halves>) {
        let mut wires = self.lock();
        if wires.get(id).is_some_and(|open| Arc::ptr_eq(open, halves)) {
            wires.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WireId, Arc<Halves>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn an_id_has_128_bits_and_nothing_that_an_address_gives_a_meaning() {
        for id in ["0123456789abcdef0123456789abcdef", "AZaz09-_AZaz09-_AZaz09"] {
            assert!(WireId::parse(id).is_some(), "{id}");
        }
        for id in
            ["", "0123456789abcdef01234", "0123456789abcdef 23456", "0123456789abcdef.23456", &"a".repeat(65)]
        {
            assert!(WireId::parse(id).is_none(), "{id}");
        }
    }

    #[test]
    fn asking_for_an_open_stream_again_ends_it_and_its_id_is_free_once_it_is_let_go() {
        let (wires, places) = (Arc::new(Wires::default()), Arc::new(Semaphore::new(9)));
        let place = || Arc::clone(&places).try_acquire_owned().expect("a place");
        let id = WireId::parse("0123456789abcdef0123456789abcdef").expect("an id");
        let (wire, _events) = wires.open(id.clone(), place()).expect("it is free");
        assert!(wires.find(&id).is_some_and(|wire| wire.receive().is_some()));
        assert!(wires.open(id.clone(), place()).is_none());
        assert!(wires.find(&id).is_some_and(|wire| wire.receive().is_none()), "nothing more comes up");
        drop(wire);
        assert!(wires.find(&id).is_none());
        assert!(wires.open(id, place()).is_some());
    }
}
