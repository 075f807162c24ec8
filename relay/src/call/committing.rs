//! Which frames of the user may be committed: those that nothing said later can be about.

use protocol::Mark;

use super::{Call, Output};

/// Chunks that can be waiting for their commit: 60 s of the shortest. Older ones are committed with the next.
const OPEN_MARKS: usize = 3_000;

/// A frame that is not committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) mark: Mark,
    pub(super) samples: u32,
    /// How many of its samples were metered; the others were played again.
    pub(super) metered: u32,
}

impl Call {
    pub(super) fn finalise(&mut self, through: u32) {
        let mark = self.mark_before(through);
        if mark.seq <= self.committable.seq {
            return;
        }
        self.committable = mark;
    }

    pub(super) fn commit(&mut self, mark: Mark) {
        if mark.seq > self.committed.seq {
            self.committed = mark;
            self.outputs.push_back(Output::Commit(mark));
        }
    }

    /// The frame that `position` is in: all before it can be committed.
    pub(super) fn mark_before(&mut self, position: u32) -> Mark {
        if position >= self.expected.position {
            self.open.clear();
            (self.samples_open, self.metered_open) = (0, 0);
            return self.expected;
        }
        while self.open.get(1).is_some_and(|second| second.mark.position <= position) {
            self.close_oldest();
        }
        self.open.front().map_or(self.expected, |oldest| oldest.mark)
    }

    pub(super) fn open(&mut self, frame: Open) {
        if self.open.len() == OPEN_MARKS {
            self.close_oldest();
        }
        self.samples_open += frame.samples;
        self.metered_open += frame.metered;
        self.open.push_back(frame);
    }

    pub(super) fn close_oldest(&mut self) {
        if let Some(oldest) = self.open.pop_front() {
            self.samples_open -= oldest.samples;
            self.metered_open -= oldest.metered;
        }
    }
}
