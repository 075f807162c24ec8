//! A session that ends has to leave its relay before its end is stored.

use super::*;
use crate::agent::{AgentInput, AgentOutput};

/// An agent that understands nothing yet of what it hears.
struct Listener;

impl Agent for Listener {
    fn rate(&self) -> u32 {
        24_000
    }

    fn handle_input(&mut self, _: Time, _: AgentInput<'_>) {}

    fn poll_output(&mut self) -> Option<AgentOutput> {
        None
    }

    fn is_between_turns(&self) -> bool {
        false
    }
}

/// A session whose user plays two chunks again, which another relay has metered.
fn begin() -> Bench {
    Bench::of(NanoUsd::new(5_000_000_000), Box::new(Listener), 2 * CHUNK).begun_as(&[])
}

#[test]
fn before_its_end_is_to_be_written_all_may_be_played_again_at_the_relay_that_goes_on_with_it() {
    let mut bench = begin();
    bench.audio(2, silence);
    bench.input(Input::End(CloseCode::EndedByOperator));
    let mut outputs = bench.input(Input::Shutdown);
    outputs.extend(bench.let_store_answer());
    let replayable = outputs.iter().filter_map(|output| match output {
        Output::Write { entry: Entry::Settlement(settlement), .. } => Some(settlement.replayable),
        _ => None,
    });
    assert_eq!(replayable.collect::<Vec<_>>(), [2 * CHUNK], "behind the settlement of the end");
    assert_eq!(bench.written, ["settlement", "settlement", "settlement", "detached"]);
    let departure = Departure::HandedOff { code: CloseCode::GoingAway, let_go: true };
    assert_eq!(over(&outputs), Some(departure));
}

#[test]
fn behind_its_end_nothing_is_written() {
    let mut bench = begin();
    bench.failure = Some(FailureKind::Away);
    let mut outputs = VecDeque::from(bench.audio(2, silence));
    outputs.extend(bench.input(Input::TakenOver));
    let mut kept = Vec::new();
    let departure = loop {
        match outputs.pop_front() {
            Some(Output::Over(departure)) => break departure,
            Some(Output::Keep(entries)) => {
                kept.extend(entries.iter().map(kind));
                outputs.extend(bench.input(Input::Kept(vec![Some(1); entries.len()])));
            }
            Some(_) => {}
            None => outputs.extend(bench.until(bench.now + Duration::from_secs(1))),
        }
    };
    assert_eq!(departure, Departure::HandedOff { code: CloseCode::TryLater, let_go: false });
    assert_eq!(kept, ["settlement", "settlement", "end"], "what was claimed, what was spent, the end");
}
