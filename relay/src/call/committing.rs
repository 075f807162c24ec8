//! Which frames of the user may be committed: those that can be part of no later turn.

use protocol::Mark;

use super::{Call, Output};

/// The most frames that are remembered until their commit. Beyond it the oldest is forgotten: a commit then ends at the frame after it.
const OPEN_MARKS: usize = 3_000;

/// A frame of the user that is not committed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) mark: Mark,
    pub(super) samples: u32,
    /// How many of its samples were metered. The others were metered before a relay was lost, and were played again.
    pub(super) metered: u32,
}

impl Call {
    /// Raises the committable mark to the frame that `through` is in, because the agent called everything before it final.
    pub(super) fn finalise(&mut self, through: u32) {
        let mark = self.mark_before(through);
        if mark.seq <= self.committable.seq {
            return;
        }
        self.committable = mark;
    }

    /// Commits everything before the mark, unless that is done already.
    pub(super) fn commit(&mut self, mark: Mark) {
        if mark.seq > self.committed.seq {
            self.committed = mark;
            self.outputs.push_back(Output::Commit(mark));
        }
    }

    /// The mark of the frame that `position` is in, before which everything can be committed. The frames before it are forgotten.
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

    /// Remembers a frame until it is committed.
    pub(super) fn open(&mut self, frame: Open) {
        if self.open.len() == OPEN_MARKS {
            self.close_oldest();
        }
        self.samples_open += frame.samples;
        self.metered_open += frame.metered;
        self.open.push_back(frame);
    }

    /// Forgets the oldest frame.
    pub(super) fn close_oldest(&mut self) {
        if let Some(oldest) = self.open.pop_front() {
            self.samples_open -= oldest.samples;
            self.metered_open -= oldest.metered;
        }
    }
}
