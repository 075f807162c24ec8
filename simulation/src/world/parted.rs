//! What recognisers say of sessions that are over in their relay: each takes its time for it, and a relay that is gone hears nothing.

use std::time::Duration;

use ::relay::money::tab::Billed;
use ::relay::session::books::Books;
use ::relay::session::machine::Machine;
use protocol::Time;

use super::World;

/// How long a recogniser may take to say what it bills, in milliseconds.
const SAID_WITHIN_MS: u64 = 6_000;
/// Who sends a session elsewhere waits for so long for what is said of it, before another relay may have it.
const WAITS: Duration = Duration::from_millis(300);

/// A session that is over in its relay, and of which something is yet to be said.
pub(super) struct Parted {
    pub(super) relay: usize,
    machine: Machine,
    books: Books,
    /// What is said, and when.
    late: Vec<(Time, Billed)>,
}

impl Parted {
    pub(super) fn due(&self) -> Option<Time> {
        self.late.iter().map(|(due, _)| *due).min()
    }
}

impl World<'_> {
    /// A session is over here. What was said of it by now is written at once, and the rest when it is said.
    pub(super) fn part(
        &mut self,
        relay: usize,
        machine: Machine,
        books: Books,
        late: impl Iterator<Item = Billed>,
        lets_go: bool,
    ) {
        let late: Vec<(Time, Billed)> =
            late.map(|billed| (self.now + self.millis(0, SAID_WITHIN_MS), billed)).collect();
        let mut parted = Parted { relay, machine, books, late };
        if !self.settle_late(&mut parted, &[]) {
            self.truth.late_is_kept(&parted.books.session_id, parted.books.epoch);
        }
        for (_, billed) in &parted.late {
            self.truth.late_is_written(&parted.books.session_id, parted.books.epoch, billed.request, false);
        }
        self.hear_late(&mut parted, if lets_go { WAITS } else { Duration::ZERO });
        self.keep_parted(parted);
    }

    /// Recognisers say what is due.
    pub(super) fn step_parted(&mut self) {
        for mut parted in std::mem::take(&mut self.parted) {
            self.hear_late(&mut parted, Duration::ZERO);
            self.keep_parted(parted);
        }
    }

    fn keep_parted(&mut self, parted: Parted) {
        if !parted.late.is_empty() {
            self.parted.push(parted);
        }
    }

    /// What is said by now, or so much later, is written, each by itself.
    fn hear_late(&mut self, parted: &mut Parted, ahead: Duration) {
        let until = self.now + ahead;
        let said: Vec<(Time, Billed)> = parted.late.extract_if(.., |(due, _)| *due <= until).collect();
        for (_, billed) in said {
            self.say(|_| format!("provider, of {}: {billed:?}", parted.books.session_id));
            self.tally.afterwards += 1;
            let request = billed.request;
            if self.settle_late(parted, &[billed]) {
                self.truth.late_is_written(&parted.books.session_id, parted.books.epoch, request, true);
            }
        }
    }

    /// Writes what follows as what the session leaves behind. Says whether all of it is in the store.
    fn settle_late(&mut self, parted: &mut Parted, billed: &[Billed]) -> bool {
        let mut is_written = true;
        for entry in parted.machine.settle_late(self.now, billed) {
            is_written &= self.leave_behind(parted.relay, &parted.books, &entry);
        }
        is_written
    }
}
