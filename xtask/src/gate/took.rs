//! Whether the gate took too long.

use std::time::Duration;

/// The most that the usual steps may take on two cores, even where nothing is compiled yet.
const MOST: Duration = Duration::from_secs(35 * 60);

/// What stands behind the time of all usual steps. Too long is no failure: how fast a machine is, no change of the code decides.
pub(super) fn verdict(took: Duration) -> &'static str {
    if took < MOST { "  under 35 min" } else { "  OVER 35 min, which is the most on two cores" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_five_minutes_are_too_long() {
        assert!(verdict(MOST).contains("OVER"));
        assert!(!verdict(MOST - Duration::from_secs(1)).contains("OVER"));
    }
}
