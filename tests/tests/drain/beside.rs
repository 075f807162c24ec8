//! See the crate's page.

use std::fs::File;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::{CloseCode, Mark, RelayMessage};
use relay::records::store::SqlStore;
use tests::balancer::Balancer;
use tests::caller::Caller;
use tests::hopper::Hopper;
use tests::http::{metric, metric_until};
use tests::over_http::{BINARY, OverHttp};
use tests::ports::free_address;
use tests::postgres::shared;
use tests::{Heard, Raw, Relay, chunk};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Error;

/// Waits until a client is told to go on elsewhere, and says how long it may take over that.
async fn told_to_move(mut next: impl AsyncFnMut() -> Heard) -> u32 {
    loop {
        match next().await {
            Heard::Said(RelayMessage::Move(told)) => return told.within_ms,
            Heard::Closed(code) => panic!("closed with {code} before it was told"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_takes_calls_until_others_have_noticed_and_then_sends_them_elsewhere() {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let drain = "[drain]\nserve_seconds = 4\nmove_seconds = 4\n";
    let first = Relay::start_on(&database, folders[0].path(), drain).await;
    let second = Relay::start_on(&database, folders[1].path(), "").await;
    let mut ada = Hopper::begin(&first, "ada").await;
    ada.speak(5).await.expect("no limit is near");
    let (mut cyd, _) = OverHttp::welcomed(&first, "cyd").await;

    first.signal("-TERM").await;
    assert_eq!((first.becomes_ready(503).await, second.becomes_ready(200).await), (503, 200));
    let mut bob = Hopper::begin(&first, "bob").await;
    bob.speak(5).await.expect("it is a call as any other");
    assert_eq!(cyd.bring(&[(BINARY, &chunk(0))]).await.status, 204, "and so is one over HTTP");
    assert_eq!(told_to_move(async || ada.raw.next().await).await, 0, "the relay has chosen the moment");
    match Raw::connect(&first, None).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 503),
        // It has stopped meanwhile.
        Err(_) => {}
        Ok(_) => panic!("it takes no calls any more"),
    }
    assert_eq!(told_to_move(async || bob.raw.next().await).await, 0);
    assert_eq!(told_to_move(async || cyd.next().await).await, 0);
    drop(cyd);
    for mut hopper in [ada, bob] {
        let resumed = hopper.hop(&second, Mark::default()).await.expect("it is taken over");
        assert_eq!(resumed.epoch, 1);
        hopper.hang_up().await;
    }
    first.end().await;
    second.terminate().await;
}

/// As many calls as are sent elsewhere at once in this test. In every other one somebody speaks meanwhile, and an answer sounds in each pause.
const CALLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "how long it took is for whoever looks")]
async fn twenty_calls_of_a_relay_that_is_told_to_stop_go_on_at_another_one_and_lose_nothing() {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let logs = folders.each_ref().map(|folder| folder.path().join("log"));
    let [kept, kept_too] = logs.each_ref().map(|log| File::create(log).expect("the folder is ours"));
    let metrics = [free_address(), free_address()];
    let [drain, shown] = metrics.map(|address| format!("[metrics]\nlisten = \"{address}\"\n"));
    let drain = drain + "[drain]\nserve_seconds = 1\nmove_seconds = 4\n";
    let first = Relay::start_on_logging(&database, folders[0].path(), &drain, kept.into()).await;
    let second = Relay::start_on_logging(&database, folders[1].path(), &shown, kept_too.into()).await;
    let balancer = Balancer::before(vec![first.address, second.address]).await;
    let mut callers: Vec<Caller> =
        (0..CALLS).map(|n| Caller::call(&balancer.url(), &format!("caller {n}"))).collect();
    join_all(callers.iter_mut().map(Caller::connected)).await;
    join_all(callers.iter().step_by(2).map(Caller::speak)).await;
    sleep(Duration::from_secs(2)).await;

    first.signal("-TERM").await;
    metric_until(metrics[0], "voxrelay_draining", |value| value == 1.0).await;
    // Those who speak all the time keep it until its deadline.
    metric_until(metrics[0], "voxrelay_moved_total{how=\"pause\"}", |count| count > 0.0).await;
    first.end().await;
    join_all(callers.iter().map(Caller::speak)).await;
    sleep(Duration::from_secs(2)).await;
    join_all(callers.iter().map(Caller::hang_up)).await;
    let calls = join_all(callers.into_iter().map(Caller::end)).await;

    let store = SqlStore::postgres(&database).await.expect("opened");
    for call in &calls {
        call.check_paid_once(&store).await;
        let went = (&call.closes[..], call.away.len());
        assert_eq!(
            went,
            (&[1000][..], 1),
            "it went by itself, before anybody closed its connection: {call:?}"
        );
    }
    let mut away: Vec<Duration> = calls.iter().map(|call| call.away[0]).collect();
    away.sort();
    println!(
        "{CALLS} calls were away for {:?} (median), {:?} (the longest)",
        away[CALLS / 2],
        away[CALLS - 1]
    );
    let taken_over = metric(metrics[1], "voxrelay_resumes_total{outcome=\"taken_over\"}").await;
    assert_eq!(taken_over, CALLS as f64);
    second.terminate().await;
    let [first, second] = logs.map(|log| std::fs::read_to_string(log).expect("it was written"));
    assert!(first.contains("told to stop: not ready for 1 s, then 20 calls move within 4 s"), "{first}");
    assert_eq!(first.matches("the client is sent elsewhere").count(), CALLS, "{first}");
    assert!(first.contains("at=\"pause\"") && first.contains("at=\"deadline\""), "{first}");
    let taken = second.matches("session taken over from the store").count();
    assert_eq!((taken, second.matches("does not let go").count()), (CALLS, 0), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_it_at_once_and_so_does_the_end_of_its_last_call() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let patient =
        Relay::start(folders[0].path(), "127.0.0.1:0", "[drain]\nserve_seconds = 600\nmove_seconds = 600\n")
            .await;
    let (mut raw, _) = Raw::welcomed(&patient, "ada").await;
    patient.signal("-INT").await;
    assert_eq!(patient.becomes_ready(503).await, 503);
    patient.signal("-TERM").await;
    assert_eq!(raw.end().await.1, CloseCode::GoingAway.code());
    patient.end().await;

    let idle = Relay::start(folders[1].path(), "127.0.0.1:0", "[drain]\nmove_seconds = 600\n").await;
    idle.terminate().await;
}
