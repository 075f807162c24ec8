//! A rolling deploy: both relays are replaced, one after the other, while people speak.

use std::time::Duration;

use tests::ports::free_address;
use tests::proxy::{Kind, Proxy};
use tokio::time::sleep;

use crate::conversation::{Crowd, Place};

/// Conversations at once, each of two rounds, which is about a minute.
const CALLS: usize = 60;
const ROUNDS: usize = 2;
/// As a relay is told to stop where a proxy asks it every second or two.
const DRAIN: &str = "[drain]\nserve_seconds = 4\nmove_seconds = 8\n";
/// When the first relay is told to stop: all are in the middle of something.
const BEGUN_AFTER: Duration = Duration::from_secs(10);
/// For how long both relays are there again until the second one is told to stop: each proxy has found the new one by then.
const BOTH_FOR: Duration = Duration::from_secs(6);
/// How long nothing may be heard in the middle of an answer.
const LONGEST_GAP: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes and all of a machine: cargo xtask test --all"]
async fn conversations_behind_each_proxy_lose_nothing_and_hear_no_gap_while_both_relays_are_replaced() {
    for kind in Kind::ALL {
        replaced_behind(kind).await;
    }
}

#[expect(clippy::print_stdout, reason = "how long it took is for whoever looks")]
async fn replaced_behind(kind: Kind) {
    let place = Place::new(DRAIN).await;
    let addresses = [free_address(), free_address()];
    let start = async |number: usize| place.start(number, &addresses[number].to_string()).await;
    let mut relays = [start(0).await, start(1).await];
    let proxy = Proxy::start(kind, addresses).await;
    let crowd = Crowd::call(&proxy.url(), CALLS, ROUNDS);
    sleep(BEGUN_AFTER).await;
    for (number, relay) in relays.iter_mut().enumerate() {
        relay.signal("-TERM").await;
        let stopped = relay.child.wait().await.expect("it ran");
        assert!(stopped.success(), "{kind:?}: {stopped:?}");
        *relay = start(number).await;
        sleep(BOTH_FOR).await;
    }
    let calls = crowd.over().await;

    let mut gaps: Vec<Duration> = calls.iter().map(|call| call.report.longest_gap).collect();
    gaps.sort();
    let moved = calls.iter().filter(|call| call.report.reconnects > 0).count();
    println!(
        "{kind:?}: {CALLS} conversations; the longest gap in an answer was {:?} (median), {:?} (the longest); {moved} were moved",
        gaps[CALLS / 2],
        gaps[CALLS - 1],
    );
    let wrong = place.check(&calls, ROUNDS, 0).await;
    assert!(wrong.is_empty(), "{kind:?}, {} of {CALLS}: {wrong:#?}", wrong.len());
    assert_eq!(moved, CALLS, "{kind:?}: each was on a relay that was replaced");
    assert!(gaps[CALLS - 1] <= LONGEST_GAP, "{kind:?}: {gaps:?}");
    for relay in relays {
        relay.terminate().await;
    }
}
