//! A relay's own disk: what is to be written while the database is away, and what it holds in memory for want of room.

use std::collections::{BTreeMap, BTreeSet};

use relay::records::spill::{Fate, Owed};
use relay::records::store::StoreError;

/// An entry.
#[derive(Clone, Debug)]
struct Kept {
    session: String,
    epoch: u32,
    owed: Owed,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    file: BTreeMap<i64, Kept>,
    /// Gone with the process.
    held: Vec<Kept>,
    next: i64,
}

impl Disk {
    /// Keeps an entry, and says under which number.
    pub(crate) fn keep(&mut self, session: &str, epoch: u32, owed: Owed) -> i64 {
        self.next += 1;
        self.file.insert(self.next, Kept { session: session.to_owned(), epoch, owed });
        self.next
    }

    pub(crate) fn hold(&mut self, session: &str, epoch: u32, owed: Owed) {
        self.held.push(Kept { session: session.to_owned(), epoch, owed });
    }

    pub(crate) fn forget(&mut self, numbers: &[i64]) {
        self.file.retain(|number, _| !numbers.contains(number));
    }

    /// The process is gone; says whether anything went with it.
    pub(crate) fn crash(&mut self) -> bool {
        let lost = !self.held.is_empty();
        self.held.clear();
        lost
    }

    /// Whether something of this session waits.
    pub(crate) fn has(&self, session: &str) -> bool {
        self.file.values().chain(&self.held).any(|kept| kept.session == session)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.file.is_empty() && self.held.is_empty()
    }

    /// Writes what sessions that are wanted have left behind, each one's in its order, oldest first. Says whether all of it found its end.
    pub(crate) fn replay(
        &mut self,
        is_wanted: impl Fn(&str) -> bool,
        mut write: impl FnMut(&str, u32, &Owed) -> Result<(), StoreError>,
    ) -> bool {
        for kept in std::mem::take(&mut self.held) {
            if is_wanted(&kept.session) {
                self.next += 1;
                self.file.insert(self.next, kept);
            } else {
                self.held.push(kept);
            }
        }
        let (mut waiting, mut done) = (BTreeSet::new(), Vec::new());
        for (number, Kept { session, epoch, owed }) in &self.file {
            if !is_wanted(session) || waiting.contains(session) {
                continue;
            }
            match Owed::fate(&write(session, *epoch, owed)) {
                Fate::Written | Fate::Dropped => done.push(*number),
                Fate::Waits => {
                    waiting.insert(session.clone());
                }
            }
        }
        self.forget(&done);
        waiting.is_empty()
    }
}
