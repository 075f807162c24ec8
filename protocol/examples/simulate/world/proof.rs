//! The proof at the end of a call.

use protocol::CloseCode;

use super::World;

/// What the relay's side has of the uplink: stretches of the user's timeline, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Audio { from: u32, to: u32 },
    Gap { from: u32, to: u32 },
}

impl Heard {
    pub(super) fn range(self) -> (u32, u32) {
        match self {
            Heard::Audio { from, to } | Heard::Gap { from, to } => (from, to),
        }
    }
}

impl World {
    /// What was heard is what was said, each sample once, in order, but for the gaps that were announced, to the sample.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.ended != Some(CloseCode::Normal) {
            return Err(format!("the call ended with {:?}", self.ended));
        }
        let missing = merge(self.heard.iter().filter_map(|heard| match *heard {
            Heard::Gap { from, to } => Some((from, to)),
            Heard::Audio { .. } => None,
        }));
        let told = merge(self.told_gaps.iter().copied());
        let length: u64 = self.told_gaps.iter().map(|(from, to)| u64::from(to - from)).sum();
        if length != told.iter().map(|(from, to)| u64::from(to - from)).sum::<u64>() {
            return Err(format!("missing audio was told twice: {:?}", self.told_gaps));
        }
        let end = self.heard.last().map_or(0, |last| last.range().1);
        // Who hangs up before the relay has ever answered takes the call back: nothing is sent any more, and the page is told so.
        if self.scenario.slow && self.tally.connected && end < self.spoken {
            return Err(format!(
                "a line that moves was hung up with {} of {} samples heard",
                end, self.spoken
            ));
        }
        let unheard = if end < self.spoken { vec![(end, self.spoken)] } else { Vec::new() };
        let missing = merge(missing.into_iter().chain(unheard));
        if !missing.iter().all(|gap| told.iter().any(|known| known.0 <= gap.0 && gap.1 <= known.1)) {
            return Err(format!("missing {missing:?} but told {told:?}"));
        }
        if told != missing && !self.heard_all_but_acknowledgement(&told, &missing) {
            return Err(format!("told {told:?} but missing {missing:?}"));
        }
        let inside = told.iter().any(|gap| gap.1 < self.spoken);
        if inside && self.spoken <= self.scenario.buffer {
            return Err(format!("told {told:?} although all {} samples fit the buffer", self.spoken));
        }
        if self.closed_in_order && self.downlink.said != self.downlink.heard {
            return Err(format!(
                "closed in order, said {:?}, heard {:?}",
                self.downlink.said, self.downlink.heard
            ));
        }
        if !self.downlink.said.starts_with(&self.downlink.heard) {
            return Err(format!("said {:?}, heard {:?}", self.downlink.said, self.downlink.heard));
        }
        Ok(())
    }

    /// A call that is hung up while the relay cannot be reached cannot know whether its last words arrived: it says so of all it
    /// has no acknowledgement for, and only at the very end.
    fn heard_all_but_acknowledgement(&self, told: &[(u32, u32)], missing: &[(u32, u32)]) -> bool {
        let Some((last, others)) = told.split_last() else { return false };
        last.1 == self.spoken && missing.starts_with(others)
    }
}

fn merge(ranges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<_> = ranges.filter(|(from, to)| from < to).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => merged.push((from, to)),
        }
    }
    merged
}
