//! Which frames of the user may be committed: those that can be part of no later turn.

use protocol::Mark;

use super::{Call, Output};

/// How many frames that may not be committed yet are remembered: 60 s of the shortest chunks. Beyond it the oldest are forgotten, and are
/// committed with whatever is committed next.
const UNCOMMITTED_MAX: usize = 3_000;

/// A frame of the user that may not be committed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uncommitted {
    pub(super) mark: Mark,
    /// How many of its samples were metered, here or before a relay was lost. What nobody heard was not.
    pub(super) paid: u32,
    /// How many of those were metered here. The others were played again.
    pub(super) metered: u32,
}

impl Uncommitted {
    /// The client does not hold its samples any more.
    pub(super) fn lose(&mut self) {
        (self.paid, self.metered) = (0, 0);
    }
}

impl Call {
    /// Raises the committable mark to the frame that `through` is in, because the agent called everything before it final.
    pub(super) fn raise_committable(&mut self, through: u32) {
        let mark = self.forget_before(through);
        if mark.seq <= self.committable.seq {
            return;
        }
        self.committable = mark;
    }

    /// Makes a message committable that has no part in any turn, if nothing waits before it. Otherwise it becomes committable with what the
    /// agent is still to call final.
    pub(super) fn commit_alone(&mut self) {
        if self.uncommitted.len() == 1 {
            self.raise_committable(self.expected.position);
        }
    }

    /// Commits everything before the mark, unless that is done already.
    pub(super) fn commit(&mut self, mark: Mark) {
        if mark.seq > self.committed.seq {
            self.committed = mark;
            self.outputs.push_back(Output::Commit(mark));
        }
    }

    /// The mark of the frame that `position` is in, before which everything can be committed. The frames before it are forgotten.
    pub(super) fn forget_before(&mut self, position: u32) -> Mark {
        if position >= self.expected.position {
            self.uncommitted.clear();
            (self.uncommitted_paid, self.uncommitted_metered) = (0, 0);
            return self.expected;
        }
        while self.uncommitted.get(1).is_some_and(|second| second.mark.position <= position) {
            self.forget_oldest();
        }
        self.uncommitted.front().map_or(self.expected, |oldest| oldest.mark)
    }

    /// Remembers a frame until it may be committed.
    pub(super) fn add_uncommitted(&mut self, frame: Uncommitted) {
        if self.uncommitted.len() == UNCOMMITTED_MAX {
            self.forget_oldest();
        }
        self.uncommitted_paid += frame.paid;
        self.uncommitted_metered += frame.metered;
        self.uncommitted.push_back(frame);
    }

    /// Forgets the oldest frame.
    pub(super) fn forget_oldest(&mut self) {
        if let Some(oldest) = self.uncommitted.pop_front() {
            self.uncommitted_paid -= oldest.paid;
            self.uncommitted_metered -= oldest.metered;
        }
    }
}
