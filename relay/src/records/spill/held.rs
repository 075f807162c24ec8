//! What found no place in the file, because the relay's own disk is full or broken: held in memory until it is written somewhere.

use std::collections::HashSet;

use super::file::Kept;
use crate::operations::telemetry::{self, Place};

/// Entries that are held at most.
const ENTRIES_MAX: usize = 10_000;
/// Bytes of entries that are held at most.
const BYTES_MAX: usize = 16 << 20;

/// The entries, oldest first. Those that came first are the ones that stay when there are too many.
#[derive(Debug, Default)]
pub(super) struct Held {
    entries: Vec<Kept>,
    bytes: usize,
    next_number: i64,
}

impl Held {
    /// Whether there was room for it.
    pub(super) fn add(&mut self, session_id: &str, epoch: u32, entry: String) -> bool {
        if self.entries.len() >= ENTRIES_MAX || self.bytes + entry.len() > BYTES_MAX {
            return false;
        }
        self.bytes += entry.len();
        let (number, session_id) = (self.next_number, session_id.to_owned());
        self.next_number += 1;
        self.entries.push(Kept { number, session_id, epoch, entry });
        telemetry::spill_entries(Place::Memory, self.entries.len() as u64);
        true
    }

    /// Takes away what is written elsewhere.
    pub(super) fn remove(&mut self, numbers: &HashSet<i64>) {
        self.entries.retain(|kept| !numbers.contains(&kept.number));
        self.bytes = self.entries.iter().map(|kept| kept.entry.len()).sum();
        telemetry::spill_entries(Place::Memory, self.entries.len() as u64);
    }

    /// Copies of those of some sessions, in their order.
    pub(super) fn of(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Kept> {
        self.entries.iter().filter(|kept| is_wanted(&kept.session_id)).cloned().collect()
    }

    /// Whether something of this session is held.
    pub(super) fn has(&self, session_id: &str) -> bool {
        self.entries.iter().any(|kept| kept.session_id == session_id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_held_up_to_a_number_and_a_size() {
        let mut held = Held::default();
        let added = (0..ENTRIES_MAX + 5).filter(|n| held.add("a", 0, n.to_string())).count();
        assert_eq!(added, ENTRIES_MAX);
        assert_eq!(held.of(|_| true)[0].entry, "0");
        held.remove(&(0..10).collect());
        assert!(held.add("b", 0, "x".to_owned()), "there is room again");
        assert_eq!(held.of(|id| id == "b").len(), 1);
        let mut held = Held::default();
        let added = (0..100).filter(|_| held.add("a", 0, "x".repeat(1 << 20))).count();
        assert_eq!(added, BYTES_MAX >> 20);
    }
}
