//! What is committed, and what may be played again for nothing, in chunks of any length.

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

use super::*;

/// What is committed may be behind by less than the usual chunk, in samples.
const BEHIND: u32 = 1_600;

/// A call, and what came of its user, each frame by itself.
struct Line {
    bench: Bench,
    /// The mark of each frame, and how many of its samples were metered and may be played again.
    frames: Vec<(Mark, u32)>,
    next: Mark,
    /// The mark of the frame up to which the agent called everything final.
    exact: Mark,
}

impl Line {
    fn new() -> Line {
        Line { bench: Bench::new(), frames: Vec::new(), next: Mark::default(), exact: Mark::default() }
    }

    fn audio(&mut self, samples: u32) {
        let payload = vec![0; 2 * samples as usize];
        self.bench.input(Input::Audio { mark: self.next, payload: &payload });
        self.frames.push((self.next, samples));
        self.next = Mark { seq: self.next.seq + 1, position: self.next.position + samples };
    }

    fn gap(&mut self, frames: u32, samples: u32) {
        let to = Mark { seq: self.next.seq + frames, position: self.next.position + samples };
        self.bench.input(Input::Gap(Gap { from: self.next, to }));
        if samples > 0 {
            // The client holds nothing from before it.
            self.frames.iter_mut().for_each(|(_, metered)| *metered = 0);
        }
        self.frames.push((self.next, 0));
        self.next = to;
    }

    fn message(&mut self) {
        let message = Upward::Context { text: "It rains.".to_owned() };
        self.bench.input(Input::Message { mark: self.next, message: &message });
        self.frames.push((self.next, 0));
        self.next.seq += 1;
    }

    /// The agent calls everything before the position final, and the relay writes what there is: what is committed then, and how many samples
    /// are free for whoever plays them again.
    fn written(&mut self, through: u32) -> (Mark, u32) {
        self.bench.script.lock().expect("one thread").push_back(AgentOutput::Final { through });
        self.bench.input(Input::Checkpoint { sent_away: false });
        (self.bench.committed, self.bench.replayable.expect("it is told"))
    }

    /// How many samples were metered behind a mark.
    fn metered_from(&self, mark: Mark) -> u32 {
        self.frames.iter().filter(|(frame, _)| frame.seq >= mark.seq).map(|(_, metered)| metered).sum()
    }

    fn check(&mut self, through: u32) {
        let exact = if through >= self.next.position {
            self.next
        } else {
            let last = self.frames.iter().rev().find(|(mark, _)| mark.position <= through);
            last.map_or(Mark::default(), |(mark, _)| *mark)
        };
        if exact.seq > self.exact.seq {
            self.exact = exact;
        }
        let (committed, free) = self.written(through);
        assert!(committed.seq <= self.exact.seq, "{committed:?} is beyond {:?}", self.exact);
        assert!(self.exact.position - committed.position < BEHIND, "{committed:?}, not {:?}", self.exact);
        let is_a_frames = self.frames.iter().any(|(mark, _)| *mark == committed);
        assert!(is_a_frames || committed == self.next, "{committed:?}");
        assert_eq!(free, self.metered_from(committed), "behind {committed:?}");
    }
}

#[test]
fn audio_in_the_shortest_chunks_is_free_once_more_after_a_crash_however_much_of_it_there_is() {
    let mut line = Line::new();
    // 22 s.
    for _ in 0..7_000 {
        line.audio(50);
    }
    assert_eq!(line.written(0), (Mark::default(), 350_000));
    // What is final ends in the middle of a chunk: what comes behind it is neither committed nor paid for twice.
    line.check(1_625);
    line.check(200_025);
    line.check(349_999);
    line.check(350_000);
    assert_eq!(line.written(350_000), (line.next, 0));
}

#[test]
fn nothing_is_committed_that_is_not_final_and_nothing_metered_twice_however_many_frames_wait() {
    let mut line = Line::new();
    // A text behind each chunk, so that each stands alone.
    for _ in 0..4_000 {
        line.audio(50);
        line.message();
    }
    assert_eq!(
        line.written(1_025),
        (Mark::default(), 200_000),
        "the oldest are committed together or not at all"
    );
    line.check(190_025);
    line.check(200_000);
}

#[test]
fn a_result_that_waits_for_nothing_is_committed_alone_and_one_behind_short_chunks_is_not() {
    for chunks in [0, 1, 2, 40] {
        let mut line = Line::new();
        for _ in 0..chunks {
            line.audio(50);
        }
        let result =
            Upward::ToolResult { call_id: "c1".to_owned(), output: "{}".to_owned(), is_error: false };
        line.bench.input(Input::Message { mark: line.next, message: &result });
        line.bench.input(Input::Checkpoint { sent_away: false });
        let committed = if chunks == 0 { Mark { seq: 1, position: 0 } } else { Mark::default() };
        assert_eq!(line.bench.committed, committed, "behind {chunks}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Audio(u32),
    Gap(u32, u32),
    Message,
    /// The agent calls everything final but so many samples.
    Final(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let samples = prop_oneof![6 => 50..400_u32, 2 => 400..2_000_u32, 1 => 2_000..50_000_u32];
    let missing = prop_oneof![Just(0), 1..5_000_u32];
    prop_oneof![
        20 => samples.prop_map(Step::Audio),
        1 => (1..5_u32, missing).prop_map(|(frames, samples)| Step::Gap(frames, samples)),
        3 => Just(Step::Message),
        4 => prop_oneof![Just(0), 1..4_000_u32, 4_000..40_000_u32].prop_map(Step::Final),
    ]
}

fn config() -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let file = FileFailurePersistence::Direct("proptest-regressions/committing.txt");
    Config { failure_persistence: Some(Box::new(file)), ..Config::with_cases(asked.unwrap_or(200)) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_free_when_it_is_played_again_is_what_was_metered_and_is_not_committed(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut line = Line::new();
        for step in steps {
            match step {
                Step::Audio(samples) => line.audio(samples),
                Step::Gap(frames, samples) => line.gap(frames, samples),
                Step::Message => line.message(),
                Step::Final(behind) => line.check(line.next.position.saturating_sub(behind)),
            }
        }
        line.check(0);
    }
}
