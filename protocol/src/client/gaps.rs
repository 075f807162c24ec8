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
        let place = self.0.iter().position(|told| told.0 > start).unwrap_or(self.0.len());
        self.0.insert(place, (start, end));
        if self.0.len() > REMEMBERED {
            self.0.remove(0);
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
}
