//! The proof at the end of a call.

use protocol::{CloseCode, Mark};

use super::World;

/// What the relay's side has of the uplink, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) from: Mark,
    pub(super) to: Mark,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Audio,
    Gap,
    /// A typed text, by its number.
    Text(u32),
}

/// What became of a text that the client took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Typed {
    /// Where in the user's timeline it was typed.
    pub(super) position: u32,
    /// Whether the application was told that it was not delivered.
    pub(super) undelivered: bool,
}

impl World {
    /// What was heard is what was said, each sample once, in order, but for the gaps that were announced, to the sample.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.ended != Some(CloseCode::Normal) {
            return Err(format!("the call ended with {:?}", self.ended));
        }
        self.check_texts()?;
        let gaps = self.heard.iter().filter(|heard| heard.what == What::Gap);
        let missing = merge(gaps.map(|gap| (gap.from.position, gap.to.position)));
        let told = merge(self.told_gaps.iter().copied());
        let length: u64 = self.told_gaps.iter().map(|(from, to)| u64::from(to - from)).sum();
        if length != told.iter().map(|(from, to)| u64::from(to - from)).sum::<u64>() {
            return Err(format!("missing audio was told twice: {:?}", self.told_gaps));
        }
        let end = self.heard.last().map_or(0, |last| last.to.position);
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
        if inside && self.spoken * 2 + self.typed_bytes <= self.scenario.buffer * 2 {
            return Err(format!("told {told:?} although all {} samples fit the buffer", self.spoken));
        }
        let wanted = self.downlink.wanted();
        let heard: Vec<&String> = self.downlink.heard.iter().collect();
        if self.closed_in_order && wanted != heard {
            return Err(format!("closed in order, to be heard {wanted:?}, heard {heard:?}"));
        }
        if !wanted.starts_with(&heard) {
            return Err(format!("to be heard {wanted:?}, heard {heard:?}"));
        }
        Ok(())
    }

    /// Each text was delivered once, in order, between the samples between which it was typed; or else the application was told that it was
    /// not. Both are true only of one whose acknowledgement was lost with the relay, at the end of a call.
    fn check_texts(&self) -> Result<(), String> {
        let delivered: Vec<(u32, u32)> = self
            .heard
            .iter()
            .filter_map(|heard| {
                if let What::Text(number) = heard.what { Some((number, heard.from.position)) } else { None }
            })
            .collect();
        if !delivered.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(format!("texts came out of order, or twice: {delivered:?}"));
        }
        for (number, typed) in (0_u32..).zip(&self.typed) {
            let place = delivered.iter().find(|(delivered, _)| *delivered == number).map(|(_, place)| *place);
            match place {
                Some(place) if place != typed.position => {
                    return Err(format!("text {number} was typed at {} and came at {place}", typed.position));
                }
                Some(_) if typed.undelivered && self.closed_in_order => {
                    return Err(format!("text {number} was delivered, and told not to be"));
                }
                None if !typed.undelivered => return Err(format!("text {number} is lost without a word")),
                _ => {}
            }
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
