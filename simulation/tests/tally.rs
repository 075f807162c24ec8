//! What is simulated really happens: a kind of event that falls out of the calls is found by nothing else.

use simulation::{Fixed, Tally, Trace};

/// So many calls have everything in them, several times over.
const CALLS: u64 = 3_000;

#[test]
fn everything_that_may_happen_in_a_call_happens_in_some() {
    let fixed = Fixed::default();
    let mut tally = Tally::default();
    for seed in 1..=CALLS {
        match simulation::run(&fixed, seed, Trace(false)) {
            Ok(one) => tally += one,
            Err(cause) => panic!("seed {seed}: {cause}"),
        }
    }
    let missing: Vec<&str> =
        tally.counts().into_iter().filter(|(_, count)| *count == 0).map(|(word, _)| word).collect();
    assert_eq!(missing, [""; 0], "{tally}");
    // Most calls are conversations: the gate makes as many calls as it takes for its number of them.
    assert!(tally.conversations > CALLS * 4 / 5, "{tally}");
    // The page answers calls of tools, and does so more often than once in a while.
    assert!(tally.results > CALLS / 50, "{tally}");
}
