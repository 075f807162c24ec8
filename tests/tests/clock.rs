//! Clocks that are put forward by an hour and back in the middle of calls, by the table of `docs/records.md`: the calls go on, and cost what they
//! cost.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::{Bye, ClientMessage, RelayMessage, Resume};
use relay::NanoUsd;
use relay::client::{Options, run};
use relay::config::Secret;
use relay::records::store::{DATABASE_FILE, SqlStore, Store};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tests::balancer::Balancer;
use tests::caller::Caller;
use tests::postgres::shared;
use tests::sound::{silence, voice};
use tests::{Heard, Raw, Relay, alone, chunk, hello, now, token_but};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message;

/// A relay looks for lost sessions 2 s after its start, and every 15 s from then on. On SQLite it renews its lease every 5 s. So here its lease was
/// renewed by the clock as it was before.
const PUT_FORWARD_AFTER: Duration = Duration::from_millis(15_900);
const PUT_BACK_AFTER: Duration = Duration::from_millis(30_900);
/// Of three seconds each: they go on until after the look that comes then.
const PHRASES: usize = 12;

/// Starts a relay whose clock, and so that of its SQLite, is that of the machine and what a file says. Returns the file, too.
async fn start_with_a_clock(folder: &Path, log: Stdio) -> (Relay, PathBuf) {
    let library = std::env::var("E2E_FAKETIME").expect("E2E_FAKETIME is the path of libfaketime");
    let clock = folder.join("clock");
    put(&clock, "+0");
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a plain path")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let config = alone(folder, "");
    let relay = Relay::start_in_logging(folder, "127.0.0.1:0", &config, &variables, Some(log)).await;
    (relay, clock)
}

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
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let kept = File::create(&log).expect("the folder is ours");
    let (relay, clock) = start_with_a_clock(folder.path(), kept.into()).await;
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

/// What a relay answers to whoever comes with this token: its greeting, or the code with which it closes the connection.
async fn greeted(relay: &Relay, token: &str, resume: Option<Resume>) -> Result<(Raw, RelayMessage), u16> {
    let mut raw = Raw::connect(relay, None).await.expect("connects");
    raw.say(&ClientMessage::from(hello(token, resume)).to_json()).await;
    loop {
        match raw.next().await {
            Heard::Said(said @ (RelayMessage::Welcome(_) | RelayMessage::Resumed(_))) => {
                return Ok((raw, said));
            }
            Heard::Closed(code) => return Err(code),
            _ => {}
        }
    }
}

/// Says a chunk, and waits until it is heard.
async fn is_heard(raw: &mut Raw, seq: u32) {
    raw.send(Message::binary(chunk(seq))).await;
    loop {
        match raw.next().await {
            Heard::Said(RelayMessage::RelayAck(ack)) if ack.received.seq > seq => return,
            Heard::Closed(code) => panic!("closed with {code}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs libfaketime: cargo xtask test --all"]
async fn a_token_is_good_by_the_clock_of_the_relay_and_a_call_that_runs_does_not_look_at_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (relay, clock) = start_with_a_clock(folder.path(), Stdio::null()).await;
    let good_for = |seconds: u64| token_but(&json!({ "exp": now() + seconds }));
    let (old, fresh) = (good_for(3_500), good_for(7_200));
    let Ok((mut raw, RelayMessage::Welcome(welcome))) = greeted(&relay, &old, None).await else {
        panic!("the token is good")
    };
    is_heard(&mut raw, 0).await;

    put(&clock, "+3600");
    assert_eq!(greeted(&relay, &old, None).await.err(), Some(4401), "it was good for less than an hour more");
    is_heard(&mut raw, 1).await;
    drop(raw);
    let resume = Resume {
        session_id: welcome.session_id.clone(),
        resume_token: welcome.resume_token,
        epoch: welcome.epoch,
        received: 0,
        played: None,
    };
    assert_eq!(greeted(&relay, &old, Some(resume.clone())).await.err(), Some(4401), "nor for coming back");
    let Ok((mut raw, RelayMessage::Resumed(resumed))) = greeted(&relay, &fresh, Some(resume)).await else {
        panic!("a fresh token is good")
    };
    assert_eq!((resumed.session_id, resumed.received.seq), (welcome.session_id, 2));

    put(&clock, "-3600");
    let over = token_but(&json!({ "exp": now() - 1_800 }));
    assert!(greeted(&relay, &over, None).await.is_ok(), "it is good for an hour longer");
    let later = token_but(&json!({ "nbf": now() - 60 }));
    assert_eq!(greeted(&relay, &later, None).await.err(), Some(4401), "it is not good yet");
    is_heard(&mut raw, 2).await;
    raw.say(&ClientMessage::from(Bye { end: 3 }).to_json()).await;
    assert_eq!(raw.end().await, (Vec::new(), 1000));
    relay.terminate().await;
}

/// After their start, relays on PostgreSQL look for lost sessions at 2 s and at 17 s. In between the clock is put forward.
const MOVED_AFTER: Duration = Duration::from_secs(6);
/// Calls at each of two relays.
const CALLS: usize = 5;
/// Makes of leases what they are when the clock was put forward by an hour, until their relays have renewed them.
const AN_HOUR_AGO: &str =
    "UPDATE voxrelay.relays SET lease_until = lease_until - 3600000, seen_at = seen_at - 3600000";
/// Makes of leases what they are when it was put back by an hour; that of a relay that was killed just before stays so.
const IN_AN_HOUR: &str =
    "UPDATE voxrelay.relays SET lease_until = lease_until + 3600000, seen_at = seen_at + 3600000";

/// Changes the leases of both relays.
async fn change(database: &Secret, leases: &'static str) {
    let mut connection = AnyConnection::connect(database.expose()).await.expect("it is there");
    let changed = sqlx::raw_sql(leases).execute(&mut connection).await.expect("changed");
    assert_eq!(changed.rows_affected(), 2, "one for each relay");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes long: cargo xtask test --all"]
async fn calls_of_two_relays_go_on_when_their_leases_are_an_hour_behind_and_an_hour_ahead() {
    let database = shared().database().await;
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let first = Relay::start_on(&database, folders[0].path(), "").await;
    let second = Relay::start_on(&database, folders[1].path(), "").await;
    let started = Instant::now();
    let balancer = Balancer::before(vec![first.address, second.address]).await;
    let begin = |url: &str, at: &str| -> Vec<Caller> {
        (0..CALLS).map(|n| Caller::call(url, &format!("caller {n} of the {at}"))).collect()
    };
    let (mut of_first, mut of_second) = (begin(&balancer.url(), "first"), begin(&second.url(), "second"));
    join_all(of_first.iter_mut().chain(&mut of_second).map(Caller::connected)).await;
    join_all(of_first.iter().chain(&of_second).map(Caller::speak)).await;

    sleep_until(started + MOVED_AFTER).await;
    change(&database, AN_HOUR_AGO).await;
    sleep(Duration::from_secs(3)).await;
    first.kill().await;
    change(&database, IN_AN_HOUR).await;
    join_all(of_first.iter_mut().map(Caller::lost)).await;
    join_all(of_first.iter_mut().map(Caller::connected)).await;
    sleep(Duration::from_secs(3)).await;
    join_all(of_first.iter().chain(&of_second).map(Caller::hang_up)).await;

    let store = SqlStore::postgres(&database).await.expect("opened");
    for (callers, times) in [(of_first, 1), (of_second, 0)] {
        for told in join_all(callers.into_iter().map(Caller::end)).await {
            assert_eq!(told.away.len(), times, "it was away: {told:?}");
            told.check_paid_once(&store).await;
        }
    }
    second.terminate().await;
}
