//! Whatever Deepgram says, and whenever it says it: each word is told once, nothing that is final is lost, and the end of an utterance ends a turn.
//!
//! A case that failed once is in `relay/proptest-regressions/deepgram.txt` and is tried first, every time.

use proptest::prelude::*;
use serde_json::json;

use crate::properties::cases;
use crate::provider::deepgram::DEEPGRAM;
use crate::provider::scenario::{Call, provider, seconds};

/// What happens next in a call. It knows all of the words but the last so many when it says something.
#[derive(Clone, Debug)]
enum Step {
    /// So many words are spoken.
    Speak(usize),
    /// So many tenths of a second pass, with audio or without.
    Pass(u64, bool),
    /// The user pauses.
    Pause,
    /// It tells of words that may change.
    Interim(usize),
    /// Words stay, and speech may be over with them.
    Final(usize, bool),
    /// It works off what it has, if it was told to. It may never do so.
    Obey,
    /// No words have come for a while: behind the last one that it has called final, behind the last one of all, or behind none that it names.
    UtteranceEnd(usize),
}

struct Server {
    call: Call,
    /// Its words have times.
    is_timed: bool,
    /// It revises words when it calls them final, unless they have times.
    revises: bool,
    /// How many words it has called final, and where the audio behind them begins, in tenths of a second.
    first: usize,
    begins: u64,
}

impl Server {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Speak(words) => self.call.speak(words),
            Step::Pass(tenths, has_audio) => self.call.pass(tenths, has_audio),
            Step::Pause => self.call.pause(),
            Step::Interim(unknown) => self.results(unknown, &[]),
            Step::Final(unknown, false) => self.results(unknown, &["is_final"]),
            Step::Final(unknown, true) => self.results(unknown, &["is_final", "speech_final"]),
            Step::Obey => {
                if std::mem::take(&mut self.call.is_asked) {
                    self.results(0, &["is_final", "from_finalize"]);
                }
            }
            Step::UtteranceEnd(behind) => {
                let words = [0, self.first, self.call.spoken.len()][behind];
                let last = words.checked_sub(1).map(|last| seconds(self.call.spoken[last]));
                let end = last.unwrap_or(json!(-1));
                self.call.says(&json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end}));
            }
        }
        assert!(self.call.told().0 >= self.first, "what it has called final is final");
    }

    fn results(&mut self, unknown: usize, flags: &[&str]) {
        let known = self.call.spoken.len().saturating_sub(unknown).max(self.first);
        let last_word = known.checked_sub(1).map_or(0, |last| self.call.spoken[last]);
        let heard_to = if known == self.call.spoken.len() { self.call.fed } else { last_word };
        let end = heard_to.max(self.begins);
        let is_final = flags.contains(&"is_final");
        let (transcript, words) =
            self.call.words(self.first..known, self.is_timed, is_final, is_final && self.revises);
        let mut message = json!({
            "type": "Results", "start": seconds(self.begins), "duration": seconds(end - self.begins),
            "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.9, "words": words}]},
        });
        for flag in flags {
            message[*flag] = json!(true);
        }
        self.call.says(&message);
        if is_final {
            (self.first, self.begins) = (known, end);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5_usize).prop_map(Step::Speak),
        3 => (1..30_u64, any::<bool>()).prop_map(|(tenths, has_audio)| Step::Pass(tenths, has_audio)),
        3 => Just(Step::Pause),
        6 => (0..4_usize).prop_map(Step::Interim),
        3 => (0..3_usize, any::<bool>()).prop_map(|(unknown, is_over)| Step::Final(unknown, is_over)),
        2 => Just(Step::Obey),
        3 => (0..3_usize).prop_map(Step::UtteranceEnd),
    ]
}

proptest! {
    #![proptest_config(cases(300, "proptest-regressions/deepgram.txt"))]

    #[test]
    fn each_word_is_told_once_whatever_is_said_of_a_pause_and_when(
        is_timed in any::<bool>(),
        revises in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let call = Call::heard_by(&provider(&DEEPGRAM, "nova-3"));
        let mut server = Server { call, is_timed, revises, first: 0, begins: 0 };
        for step in &steps {
            server.step(step);
        }
        server.results(0, &["is_final"]);
        let words = server.call.spoken.len();
        prop_assert_eq!(server.call.told(), (words, words));
        if is_timed {
            // Without times an end that is told late cannot be told from one of later words.
            server.step(&Step::UtteranceEnd(2));
            prop_assert_eq!(server.call.over, words, "the last turn is over");
        }
    }
}
