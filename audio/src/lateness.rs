//! How evenly the agent's sound comes.

/// A sixteenth of each difference goes into the jitter (RFC 3550, section 6.4.1).
const SMOOTHING: f64 = 16.0;

/// Watches when the pieces of a reply come, beside when they are to be heard.
///
/// A piece is late by as much as it took longer on its way than the fastest piece of its reply. A relay sends ahead of what is played, so what
/// comes early is no news, and late pieces are heard only when they are later than that.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    /// When the timeline began, as the fastest piece of this reply has it, in milliseconds.
    fastest: Option<f64>,
    /// How late the last piece of this reply was, in milliseconds.
    last: f64,
    jitter: f64,
    /// How late the latest piece since the last look was. `None` if none came.
    worst: Option<f64>,
}

/// How unevenly sound came, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unevenness {
    /// The mean difference in lateness from piece to piece, smoothed as RFC 3550 (section 6.4.1) does it.
    pub jitter_ms: f64,
    /// How late the latest piece was.
    pub late_ms: f64,
}

impl Lateness {
    /// A piece came at `now_ms`, by any clock. Its first sample lies `position_ms` after the beginning of the agent's timeline.
    pub fn arrived(&mut self, now_ms: f64, position_ms: f64) {
        let began = now_ms - position_ms;
        let fastest = self.fastest.map_or(began, |fastest| fastest.min(began));
        self.fastest = Some(fastest);
        let late = began - fastest;
        self.jitter += ((late - self.last).abs() - self.jitter) / SMOOTHING;
        self.last = late;
        self.worst = Some(self.worst.map_or(late, |worst| worst.max(late)));
    }

    /// What comes next may come when it likes: another reply begins, or this one was held.
    pub fn restart(&mut self) {
        self.fastest = None;
        self.last = 0.0;
    }

    /// How unevenly sound came since the last call. `None` if none came.
    pub fn take(&mut self) -> Option<Unevenness> {
        let late_ms = self.worst.take()?;
        Some(Unevenness { jitter_ms: self.jitter, late_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Pieces of 100 ms that come at these times.
    fn hear(lateness: &mut Lateness, arrivals: &[f64]) {
        for (piece, now_ms) in arrivals.iter().enumerate() {
            lateness.arrived(*now_ms, piece as f64 * 100.0);
        }
    }

    #[test]
    fn sound_that_comes_ahead_and_then_evenly_is_not_late() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.take(), None);
        // Two seconds at once, and then as it is played.
        let arrivals: Vec<f64> =
            (0..100).map(|piece: u32| f64::from(piece.saturating_sub(20)) * 100.0).collect();
        hear(&mut lateness, &arrivals);
        assert_eq!(lateness.take(), Some(Unevenness::default()));
        assert_eq!(lateness.take(), None, "nothing came since");
    }

    #[test]
    fn a_piece_is_late_by_what_it_took_longer_than_the_fastest_one() {
        let mut lateness = Lateness::default();
        hear(&mut lateness, &[1_000.0, 1_100.0, 1_650.0, 1_660.0]);
        assert_eq!(lateness.take().expect("heard").late_ms, 450.0);
        lateness.arrived(1_700.0, 400.0);
        assert_eq!(lateness.take().expect("heard").late_ms, 300.0, "of what came since");
    }

    #[test]
    fn jitter_is_the_smoothed_difference_from_piece_to_piece() {
        let mut lateness = Lateness::default();
        hear(&mut lateness, &[0.0, 132.0]);
        assert_eq!(lateness.take().expect("heard").jitter_ms, 2.0, "a sixteenth of 32");
        let swinging: Vec<f64> = (0..200).map(|piece: u32| f64::from(piece * 100 + piece % 2 * 80)).collect();
        lateness.restart();
        hear(&mut lateness, &swinging);
        let jitter = lateness.take().expect("heard").jitter_ms;
        assert!((79.0..=80.0).contains(&jitter), "{jitter}");
    }

    #[test]
    fn another_reply_may_come_when_it_likes() {
        let mut lateness = Lateness::default();
        hear(&mut lateness, &[0.0, 100.0]);
        lateness.restart();
        lateness.arrived(60_000.0, 200.0);
        lateness.arrived(60_100.0, 300.0);
        assert_eq!(lateness.take(), Some(Unevenness::default()));
    }
}
