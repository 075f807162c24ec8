//! Missing audio is told to the application once, however often the relay has to hear of it.

/// Stretches that are remembered; with more of them in one uncommitted stretch of talk, the oldest may be told again.
const REMEMBERED: usize = 64;

/// Stretches of the microphone's timeline (samples) that were told as missing, in order, none touching another.
#[derive(Debug, Default)]
pub(super) struct ToldGaps(Vec<(u32, u32)>);

impl ToldGaps {
    /// Notes `from..to` and gives what of it was not told before, from left to right.
    pub(super) fn tell(&mut self, from: u32, to: u32) -> Vec<(u32, u32)> {
        let (mut untold, mut next) = (Vec::new(), from);
        let (mut start, mut end) = (from, to);
        // Whatever touches the new stretch becomes one with it.
        self.0.retain(|&(told_from, told_to)| {
            if told_from > to || told_to < from {
                return true;
            }
            if next < told_from {
                untold.push((next, told_from));
            }
            next = next.max(told_to);
            start = start.min(told_from);
            end = end.max(told_to);
            false
        });
        if next < to {
            untold.push((next, to));
        }
        self.0.push((start, end));
        // The last one to its place. `insert` and `remove` bring words for places that there are not, which would be downloaded.
        let mut rest = self.0.as_mut_slice();
        while let Some((last, before)) = rest.split_last_mut() {
            if let Some(previous) = before.last_mut().filter(|previous| previous.0 > last.0) {
                std::mem::swap(previous, last);
            }
            rest = before;
        }
        if self.0.len() > REMEMBERED
            && let Some((_, oldest_end)) = self.0.first().copied()
        {
            self.forget_before(oldest_end);
        }
        untold
    }

    /// What is committed cannot go missing any more.
    pub(super) fn forget_before(&mut self, position: u32) {
        self.0.retain(|told| told.1 > position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_sample_is_told_once() {
        let mut told = ToldGaps::default();
        assert_eq!(told.tell(10, 20), [(10, 20)]);
        assert_eq!(told.tell(30, 40), [(30, 40)]);
        assert_eq!(told.tell(10, 20), []);
        assert_eq!(told.tell(5, 45), [(5, 10), (20, 30), (40, 45)]);
        assert_eq!(told.tell(0, 50), [(0, 5), (45, 50)]);
        told.forget_before(50);
        assert_eq!(told.tell(60, 70), [(60, 70)]);
        assert_eq!(told.0.len(), 1);
    }

    #[test]
    fn stretches_are_in_order_and_the_oldest_is_forgotten_when_there_are_too_many() {
        let mut told = ToldGaps::default();
        // From both ends to the middle.
        for n in 0..REMEMBERED as u32 / 2 {
            told.tell(10 * n, 10 * n + 5);
            told.tell(10_000 - 10 * n, 10_005 - 10 * n);
        }
        assert!(told.0.is_sorted());
        assert_eq!((told.0.len(), told.0[0]), (REMEMBERED, (0, 5)));
        told.tell(5_000, 5_005);
        assert!(told.0.is_sorted() && told.0.contains(&(5_000, 5_005)));
        assert_eq!((told.0.len(), told.0[0]), (REMEMBERED, (10, 15)));
        assert_eq!(told.0.last(), Some(&(10_000, 10_005)));
    }
}
