//! The clock of a relay's machine, and so that of its SQLite, is put forward by an hour and back in the middle of a call, each time just before
//! the relay looks for lost sessions: the call goes on, and costs what it cost.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use relay::NanoUsd;
use relay::client::{Options, run};
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::json;
use tests::sound::{silence, voice};
use tests::{Relay, alone, now, token_but};
use tokio::time::{Instant, sleep_until};

/// A relay looks for lost sessions 2 s after its start, and every 15 s from then on. On SQLite it renews its lease every 5 s. So here its lease was
/// renewed by the clock as it was before.
const PUT_FORWARD_AFTER: Duration = Duration::from_millis(15_900);
const PUT_BACK_AFTER: Duration = Duration::from_millis(30_900);
/// Of three seconds each: they go on until after the look that comes then.
const PHRASES: usize = 12;

/// Has the clock of the relay show so much more, in seconds.
fn put(clock: &Path, offset: &str) {
    // It is read at any moment, and has to be whole.
    let new = clock.with_extension("new");
    fs::write(&new, offset).expect("the folder is ours");
    fs::rename(new, clock).expect("the folder is ours");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs libfaketime: cargo xtask test --all"]
async fn a_call_goes_on_when_the_clock_is_put_forward_by_an_hour_and_back() {
    let library = std::env::var("E2E_FAKETIME").expect("E2E_FAKETIME is the path of libfaketime");
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, log) = (folder.path().join("clock"), folder.path().join("log"));
    put(&clock, "+0");
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a plain path")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let kept = File::create(&log).expect("the folder is ours");
    let config = alone(folder.path(), "");
    let relay = Relay::start_in_logging(folder.path(), "127.0.0.1:0", &config, &variables, kept.into()).await;
    let started = Instant::now();

    let token = token_but(&json!({ "exp": now() + 36_000 }));
    let speech = [voice(1.8), silence(1.2)].concat().repeat(PHRASES);
    let options = Options { longest: Duration::from_secs(90), ..Options::new(relay.url(), token, speech) };
    let (report, ()) = tokio::join!(run(options, |_| {}), async {
        sleep_until(started + PUT_FORWARD_AFTER).await;
        put(&clock, "+3600");
        sleep_until(started + PUT_BACK_AFTER).await;
        put(&clock, "+0");
    });
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.reconnects, 0, "the page did not notice");
    relay.terminate().await;

    let log = fs::read_to_string(log).expect("it was written");
    assert_eq!(log.matches("lost sessions wait").count(), 2, "each of the two was noticed: {log}");
    let store = SqlStore::sqlite(&folder.path().join("data").join(DATABASE_FILE)).await.expect("opened");
    let id = report.session_id.as_deref().expect("there was a session");
    let session = store.session(id).await.expect("readable").expect("stored");
    let ledger = store.ledger(id).await.expect("readable");
    let cost = ledger.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
    assert_eq!(session.end_reason.as_deref(), Some("normal"));
    assert_eq!(
        (session.cost, report.usage.cost_nano_usd),
        (cost, cost.get()),
        "told, stored, and in the ledger"
    );
    store.close().await;
}
