//! One relay of two is killed.

use std::time::{Duration, Instant};

use protocol::client::State;
use tests::proxy::{Kind, Proxy};
use tokio::time::sleep;

use crate::conversation::{Crowd, Place};

/// Conversations at once.
const CALLS: usize = 100;
/// When one relay is killed, after the first of them have spoken: all are in the middle of something.
const KILLED_AFTER: Duration = Duration::from_secs(12);
/// 99 of 100 conversations whose relay was killed are at the other one by then.
const BACK_WITHIN: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes and all of a machine: cargo xtask test --all"]
async fn a_hundred_conversations_behind_each_proxy_go_on_when_one_relay_of_two_is_killed() {
    for kind in Kind::ALL {
        killed_behind(kind).await;
    }
}

#[expect(clippy::print_stdout, reason = "how long it took is for whoever looks")]
async fn killed_behind(kind: Kind) {
    let place = Place::new("").await;
    let (first, second) = (place.start(0, "127.0.0.1:0").await, place.start(1, "127.0.0.1:0").await);
    let proxy = Proxy::start(kind, [first.address, second.address]).await;
    let crowd = Crowd::call(&proxy.url(), CALLS, 1);
    sleep(KILLED_AFTER).await;
    let killed = Instant::now();
    first.kill().await;
    let calls = crowd.over().await;

    let mut back: Vec<Duration> = calls
        .iter()
        .filter(|call| call.report.reconnects > 0)
        .filter_map(|call| {
            let again = call.states.iter().filter(|(at, state)| *at > killed && *state == State::Connected);
            again.map(|(at, _)| at.duration_since(killed)).next_back()
        })
        .collect();
    back.sort();
    assert!(back.len() > CALLS / 4, "{kind:?} has given both relays calls: {}", back.len());
    let ninety_nine = back[(back.len() * 99).div_ceil(100) - 1];
    println!(
        "{kind:?}: {CALLS} conversations; {} were back after {:?} (median), {ninety_nine:?} (99 of 100), {:?} (the last one)",
        back.len(),
        back[back.len() / 2],
        back[back.len() - 1],
    );
    assert!(ninety_nine < BACK_WITHIN, "{kind:?}: {ninety_nine:?}");
    let wrong = place.check(&calls, 1, 1).await;
    assert!(wrong.is_empty(), "{kind:?}, {} of {CALLS}: {wrong:#?}", wrong.len());
    second.terminate().await;
}
