//! Random waits, so that many sessions do not come back at the same moment.

use std::time::Duration;

/// A source of random waits. The same seed gives the same waits.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// A random wait between half and one and a half times `wait`.
    pub(super) fn about(&mut self, wait: Duration) -> Duration {
        wait / 2 + self.part_of(wait)
    }

    /// A random part of `whole`, between nothing and all of it.
    pub(super) fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(self.next() as f64 / u64::MAX as f64)
    }

    /// The next number of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_lie_around_what_was_asked_for_and_differ_by_seed() {
        let wait = Duration::from_millis(100);
        let waits = |seed| {
            let mut jitter = Jitter::new(seed);
            (0..1_000).map(|_| jitter.about(wait)).collect::<Vec<_>>()
        };
        let all = waits(1);
        assert!(all.iter().all(|drawn| (wait / 2..=wait * 3 / 2).contains(drawn)));
        let near = |to: Duration| all.iter().any(|drawn| drawn.abs_diff(to) < wait / 50);
        assert!(near(wait / 2) && near(wait * 3 / 2), "the whole range is used");
        assert_ne!(waits(2), all);
    }
}
