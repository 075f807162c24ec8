//! A few calls of the simulation in every test run, natively and as wasm; `cargo xtask simulate` makes 100,000.

#[path = "../examples/simulate/network.rs"]
mod network;
#[path = "../examples/simulate/random.rs"]
mod random;
#[path = "../examples/simulate/world/mod.rs"]
mod world;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn every_sample_and_every_text_arrives_once_or_is_announced_as_missing() {
    let (mut connections, mut gaps, mut crashes, mut limited, mut slow) = (0, 0, 0, 0, 0);
    let (mut texts, mut refused, mut undelivered) = (0, 0, 0);
    for seed in 0..1_500 {
        let tally = world::World::new(seed).run().unwrap_or_else(|cause| panic!("seed {seed}: {cause}"));
        connections += tally.connections;
        gaps += tally.gaps;
        crashes += tally.crashes;
        limited += tally.limited;
        slow += tally.slow;
        texts += tally.texts;
        refused += tally.refused_texts;
        undelivered += tally.undelivered;
    }
    // The network was as bad as it is meant to be.
    assert!(connections > 2_000 && gaps > 50 && crashes > 20, "{connections} {gaps} {crashes}");
    assert!(limited > 50 && slow > 100, "{limited} {slow}");
    assert!(texts > 10_000 && refused > 100 && undelivered > 100, "{texts} {refused} {undelivered}");
}
