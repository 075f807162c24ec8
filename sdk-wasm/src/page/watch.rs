//! Decides what is to be done about a context whose clock stands still.

/// A context that stood still for so many looks is told to the application.
const TELL_AFTER: u32 = 2;
/// A context that says it runs and stood still for so many looks is made anew, and again after as many. One that is held back is
/// resumed again after as many.
const AGAIN_AFTER: u32 = 5;

/// What a context says about itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) enum Sound {
    #[default]
    Running,
    /// The browser waits for a gesture, or for `resume()`.
    Suspended,
    /// The system has given the sound to something else, such as a phone call. Asked to resume meanwhile, some browsers refuse, or say
    /// that it runs while its clock stands still.
    Interrupted,
}

/// What the last looks at a context's clock showed.
#[derive(Clone, Copy, Default)]
pub(super) struct Watch {
    time: f64,
    stuck: u32,
    told: bool,
    sound: Sound,
}

/// What is to be done after a look.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Remedy {
    pub(super) tell: bool,
    /// An interruption is over.
    pub(super) is_back: bool,
    pub(super) resume: bool,
    pub(super) rebuild: bool,
}

impl Watch {
    /// Whether something else had the sound at the last look.
    pub(super) fn is_interrupted(self) -> bool {
        self.sound == Sound::Interrupted
    }

    /// Looks at a context's clock and at what it says. iOS may call a context `running` whose clock stands still, so the clock is what
    /// counts.
    pub(super) fn look(&mut self, time: f64, sound: Sound) -> Remedy {
        let before = std::mem::replace(&mut self.sound, sound);
        let moved = time - std::mem::replace(&mut self.time, time);
        // A context that was made anew begins at zero, which is no news.
        self.told &= moved <= 0.0;
        self.stuck = if moved != 0.0 {
            0
        } else if sound != before {
            1
        } else {
            self.stuck + 1
        };
        let tell = self.stuck >= TELL_AFTER && !self.told;
        self.told |= tell;
        let is_back = before == Sound::Interrupted && sound != before;
        Remedy {
            tell,
            is_back,
            resume: is_back || sound == Sound::Suspended && self.stuck % AGAIN_AFTER == 1,
            // One that waits for a gesture, or for the end of an interruption, would only be replaced by another that waits.
            rebuild: sound == Sound::Running && self.stuck > 0 && self.stuck.is_multiple_of(AGAIN_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sound::{Interrupted, Running, Suspended};
    use super::*;

    /// What came of so many looks at a clock that stands still: notices, resumes, rebuilds.
    fn stand(watch: &mut Watch, looks: u32, sound: Sound) -> (usize, usize, usize) {
        let at = watch.time;
        let remedies: Vec<Remedy> = (0..looks).map(|_| watch.look(at, sound)).collect();
        let count = |of: fn(&Remedy) -> bool| remedies.iter().filter(|remedy| of(remedy)).count();
        (count(|remedy| remedy.tell), count(|remedy| remedy.resume), count(|remedy| remedy.rebuild))
    }

    fn playing() -> Watch {
        let mut watch = Watch::default();
        assert_eq!(watch.look(1.0, Running), Remedy::default());
        watch
    }

    #[test]
    fn an_interruption_is_told_once_and_waited_for_and_resumed_once_when_it_is_over() {
        for after in [Suspended, Running] {
            let mut watch = playing();
            assert_eq!(stand(&mut watch, 12, Interrupted), (1, 0, 0));
            assert_eq!(watch.look(1.0, after), Remedy { resume: true, is_back: true, ..Remedy::default() });
            assert_eq!(watch.look(2.0, Running), Remedy::default());
            assert_eq!(watch.look(3.0, Running), Remedy::default());
        }
    }

    #[test]
    fn a_clock_that_goes_on_by_itself_after_an_interruption_is_resumed_once_all_the_same() {
        let mut watch = playing();
        stand(&mut watch, 12, Interrupted);
        assert_eq!(watch.look(1.5, Running), Remedy { resume: true, is_back: true, ..Remedy::default() });
        assert_eq!(watch.look(2.5, Running), Remedy::default());
    }

    #[test]
    fn a_clock_that_stands_still_while_the_context_says_that_it_runs_is_made_anew_every_five_looks() {
        let mut watch = playing();
        assert_eq!(stand(&mut watch, 4, Running), (1, 0, 0));
        assert_eq!(stand(&mut watch, 1, Running), (0, 0, 1));
        // The new context begins at zero, and stands still as well.
        assert_eq!(watch.look(0.0, Running), Remedy::default());
        assert_eq!(stand(&mut watch, 5, Running), (0, 0, 1));
    }

    #[test]
    fn a_context_that_waits_for_a_gesture_is_told_once_and_resumed_seldom_and_never_made_anew() {
        let mut watch = playing();
        assert_eq!(stand(&mut watch, 20, Suspended), (1, 4, 0));
    }

    #[test]
    fn a_second_interruption_is_told_again() {
        let mut watch = playing();
        assert_eq!(stand(&mut watch, 3, Interrupted).0, 1);
        watch.look(2.0, Running);
        watch.look(3.0, Running);
        assert_eq!(stand(&mut watch, 3, Interrupted).0, 1);
    }
}
