//! Whatever Flux says, and whenever it says it: each word is told once, nothing that was told is lost, and the end of a turn is told behind its words.
//!
//! A case that failed once is in `relay/proptest-regressions/flux.txt` and is tried first, every time.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::properties::cases;
use crate::provider::flux::DEEPGRAM_FLUX;
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
    /// It tells of the turn.
    Update(usize),
    /// It ends the turn by itself.
    End(usize),
    /// It ends the turn that it was told to end, if it was. It may never do so.
    Obey(usize),
    /// It says once more what it has said last.
    Again,
}

struct Server {
    call: Call,
    /// Its words have times.
    is_timed: bool,
    /// It revises words when it ends a turn, unless they have times.
    revises: bool,
    /// How many words it has told of, and how many of them are of earlier turns.
    known: usize,
    first: usize,
    /// Where its turn begins, in tenths of a second, and its number.
    begins: u64,
    index: u32,
    has_begun: bool,
    last: Value,
}

impl Server {
    fn new(is_timed: bool, revises: bool) -> Server {
        let call = Call::heard_by(&provider(&DEEPGRAM_FLUX, "flux-general-en"));
        let (known, first, begins, index) = (0, 0, 0, 0);
        Server { call, is_timed, revises, known, first, begins, index, has_begun: false, last: Value::Null }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Speak(words) => self.call.speak(words),
            Step::Pass(tenths, has_audio) => self.call.pass(tenths, has_audio),
            Step::Pause => self.call.pause(),
            Step::Update(unknown) => self.update(unknown),
            Step::End(unknown) => self.end(unknown),
            Step::Obey(unknown) => {
                if std::mem::take(&mut self.call.is_asked) && self.has_begun {
                    self.end(unknown);
                }
            }
            Step::Again => self.call.says(&self.last),
        }
        assert_eq!(self.call.told().1, self.known, "all that it has told of is told");
    }

    fn update(&mut self, unknown: usize) {
        let has_words = self.knows(unknown) > self.first;
        let event = if has_words && !self.has_begun { "StartOfTurn" } else { "Update" };
        self.has_begun |= has_words;
        self.tell(event, unknown);
    }

    fn end(&mut self, unknown: usize) {
        if self.knows(unknown) > self.first {
            self.tell("EndOfTurn", unknown);
            (self.first, self.has_begun) = (self.known, false);
            self.index += 1;
        }
    }

    /// How many words it knows, all but so many: never fewer than it has told of.
    fn knows(&self, unknown: usize) -> usize {
        self.call.spoken.len().saturating_sub(unknown).max(self.known)
    }

    fn tell(&mut self, event: &str, unknown: usize) {
        self.known = self.knows(unknown);
        let last_word = self.known.checked_sub(1).map_or(0, |last| self.call.spoken[last]);
        let heard_to = if self.known == self.call.spoken.len() { self.call.fed } else { last_word };
        let end = heard_to.max(self.begins);
        let is_over = event == "EndOfTurn";
        let (transcript, words) =
            self.call.words(self.first..self.known, self.is_timed, is_over, is_over && self.revises);
        self.last = json!({
            "type": "TurnInfo", "event": event, "turn_index": self.index,
            "audio_window_start": seconds(self.begins), "audio_window_end": seconds(end),
            "transcript": transcript, "words": words,
        });
        self.call.says(&self.last);
        if is_over {
            self.begins = end;
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5_usize).prop_map(Step::Speak),
        3 => (1..30_u64, any::<bool>()).prop_map(|(tenths, has_audio)| Step::Pass(tenths, has_audio)),
        3 => Just(Step::Pause),
        7 => (0..4_usize).prop_map(Step::Update),
        2 => (0..3_usize).prop_map(Step::End),
        2 => (0..3_usize).prop_map(Step::Obey),
        1 => Just(Step::Again),
    ]
}

proptest! {
    #![proptest_config(cases(300, "proptest-regressions/flux.txt"))]

    #[test]
    fn each_word_is_told_once_whatever_is_said_of_a_pause_and_when(
        is_timed in any::<bool>(),
        revises in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut server = Server::new(is_timed, revises);
        for step in &steps {
            server.step(step);
        }
        server.update(0);
        server.end(0);
        let words = server.call.spoken.len();
        prop_assert_eq!(server.call.told(), (words, words));
        prop_assert_eq!(server.call.over, words, "the last turn is over");
    }
}
