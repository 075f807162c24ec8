//! Which frames of the user may be committed: those that can be part of no later turn.

use protocol::Mark;

use super::{Call, Output};

/// How many entries there are at most for what may not be committed yet. Of audio alone they are for 150 s, since any two neighbours are
/// longer than [`JOINED`] together: that is more than a client keeps (60 s). Beyond it the two oldest become one.
const UNCOMMITTED_MAX: usize = 3_000;
/// Neighbours that are shorter than this together become one entry: the usual chunk, 100 ms. So the bound is one of time, however short the
/// chunks are that a client sends, and what is committed is behind by less than this at most.
const JOINED: u32 = 1_600;

/// A frame of the user that may not be committed yet, or several that are committed together or not at all. It reaches to the mark of the next
/// one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uncommitted {
    pub(super) mark: Mark,
    /// How many of its samples were metered, here or before a relay was lost. What nobody heard was not.
    pub(super) paid: u32,
    /// How many of those were metered here. The others were played again.
    pub(super) metered: u32,
    /// The same with those that the client does not hold any more: what nobody has listened to so far is the last of them.
    pub(super) counted: u32,
}

impl Uncommitted {
    /// What has no samples.
    pub(super) fn empty(mark: Mark) -> Uncommitted {
        Uncommitted { mark, paid: 0, metered: 0, counted: 0 }
    }

    /// Nobody has heard so many of its samples. Those that the client does not hold any more came first; returns how many it does hold.
    pub(super) fn give_up(&mut self, unheard: u32) -> u32 {
        let held = unheard.saturating_sub(self.counted - self.metered);
        self.counted -= unheard;
        self.metered -= held;
        self.paid -= held;
        held
    }

    /// The client does not hold its samples any more.
    pub(super) fn lose(&mut self) {
        (self.paid, self.metered) = (0, 0);
    }

    /// Whether this and the next one, which reaches to `end`, become one. What takes no place in the audio, such as a text, becomes one only with
    /// others at the same position, and they are committed as they would be one by one.
    fn joins(&self, next: &Uncommitted, end: u32) -> bool {
        let (start, middle) = (self.mark.position, next.mark.position);
        (start == middle) == (middle == end) && end.saturating_sub(start) < JOINED
    }

    /// Takes the next one along.
    fn join(&mut self, next: Uncommitted) {
        self.paid += next.paid;
        self.metered += next.metered;
        self.counted += next.counted;
    }
}

impl Call {
    /// Raises the committable mark to the entry that `through` is in, because the agent called everything before it final. Texts that waited for
    /// that are stored with the mark, and what is committed is in the ledger before.
    pub(super) fn raise_committable(&mut self, through: u32) {
        if self.typed.front().is_some_and(|(mark, _)| mark.position <= through) {
            self.settle_before(through);
        }
        self.raise(through);
        let typed = self.take_typed();
        self.push_turns(typed);
    }

    /// The same before a turn is stored, which takes those texts along.
    pub(super) fn raise(&mut self, through: u32) {
        let mark = self.forget_before(through);
        if mark.seq > self.committable.seq {
            self.committable = mark;
        }
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

    /// The mark of the entry that `position` is in, before which everything can be committed. The entries before it are forgotten.
    pub(super) fn forget_before(&mut self, position: u32) -> Mark {
        if position >= self.expected.position {
            self.uncommitted.clear();
            (self.uncommitted_paid, self.uncommitted_metered, self.uncommitted_counted) = (0, 0, 0);
            return self.expected;
        }
        while self.uncommitted.get(1).is_some_and(|second| second.mark.position <= position) {
            self.forget_oldest();
        }
        self.uncommitted.front().map_or(self.expected, |oldest| oldest.mark)
    }

    /// How many samples that were metered here are left behind the mark of [`Call::forget_before`].
    pub(super) fn metered_behind(&self, position: u32) -> u32 {
        if position >= self.expected.position {
            return 0;
        }
        let begun = self.uncommitted.partition_point(|frame| frame.mark.position <= position);
        self.uncommitted.iter().skip(begun.saturating_sub(1)).map(|frame| frame.counted).sum()
    }

    /// Remembers a frame until it may be committed. None is ever forgotten before: its samples would be metered again when they are played
    /// again, and what is committed next would take it along.
    pub(super) fn add_uncommitted(&mut self, frame: Uncommitted) {
        self.uncommitted_paid += frame.paid;
        self.uncommitted_metered += frame.metered;
        self.uncommitted_counted += frame.counted;
        if let Some(last) = self.uncommitted.pop_back() {
            match self.uncommitted.back_mut() {
                Some(before) if before.joins(&last, frame.mark.position) => before.join(last),
                _ => self.uncommitted.push_back(last),
            }
        }
        if self.uncommitted.len() == UNCOMMITTED_MAX
            && let Some(second) = self.uncommitted.remove(1)
            && let Some(oldest) = self.uncommitted.front_mut()
        {
            oldest.join(second);
        }
        self.uncommitted.push_back(frame);
    }

    /// Forgets the oldest entry.
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.uncommitted.pop_front() {
            self.uncommitted_paid -= oldest.paid;
            self.uncommitted_metered -= oldest.metered;
            self.uncommitted_counted -= oldest.counted;
        }
    }
}
