//! The database is away: what is running goes on for a while, what is new is refused, and nothing metered is lost.

use std::path::Path;
use std::time::Duration;

use protocol::client::{Event, State};
use protocol::{CloseCode, Role};
use relay::NanoUsd;
use relay::client::{Options, Report, run};
use relay::store::{SessionRow, SqlStore, Store};
use tests::outage::{How, Manner, Outage, go_through};
use tests::postgres::Server;
use tests::sound::voice;
use tests::{AUDIENCE, ISSUER, Raw, Relay, SECRET, hello, token};
use tokio::sync::mpsc;
use tokio::time::sleep;

fn config(folder: &Path, database: &relay::config::Secret, grace: u32) -> String {
    format!(
        "data_dir = {:?}\ndatabase_url = {:?}\n[auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n\
        [store]\ngrace_seconds = {grace}\n",
        folder.join("data"),
        database.expose()
    )
}

/// Words, with pauses between them: turns.
fn speech(seconds: f64) -> Vec<i16> {
    let mut speech = voice(seconds);
    for piece in speech.chunks_mut(48_000) {
        piece.iter_mut().skip(28_800).for_each(|sample| *sample = 0);
    }
    speech
}

struct Running {
    call: tokio::task::JoinHandle<Report>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Running {
    async fn start(relay: &Relay, seconds: f64) -> Running {
        let (tell, events) = mpsc::unbounded_channel();
        let options = Options {
            url: relay.url(),
            token: token(),
            speech: speech(seconds),
            chunk: 1_600,
            longest: Duration::from_secs(120),
        };
        let call = tokio::spawn(run(options, move |event| {
            let _ = tell.send(event.clone());
        }));
        let mut running = Running { call, events };
        running.wait(|event| matches!(event, Event::State(State::Connected))).await;
        running
    }

    async fn wait(&mut self, wanted: impl Fn(&Event) -> bool) {
        while let Some(event) = self.events.recv().await {
            if wanted(&event) {
                return;
            }
        }
        panic!("the call ended");
    }
}

/// What is stored is whole: the ledger, the session and what the page was told are the same, to the nano-dollar.
async fn check(database: &relay::config::Secret, report: &Report) -> SessionRow {
    let store = SqlStore::postgres(database).await.expect("it is back");
    let id = report.session_id.as_deref().expect("there was a session");
    let session = store.session(id).await.expect("readable").expect("stored");
    let ledger = store.ledger(id).await.expect("readable");
    let cost = ledger.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
    let samples: u64 = ledger.iter().map(|row| row.quantity).sum();
    assert_eq!((session.cost, session.audio_samples), (cost, samples));
    assert_eq!(session.authorised, session.cost, "nothing stays set aside");
    assert_eq!(report.usage.cost_nano_usd, cost.get(), "the page was told what is stored");
    assert_eq!(report.usage.audio_ms, samples / 16);
    let turns = store.turns(id).await.expect("readable");
    let told: Vec<(u32, Role, String)> =
        report.turns.iter().map(|turn| (turn.turn, turn.role, turn.text.clone())).collect();
    let stored: Vec<_> =
        turns.iter().map(|row| (row.turn.turn, row.turn.role, row.turn.text.clone())).collect();
    assert_eq!(stored, told, "every word that was told is stored");
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_without_the_database_for_a_while_and_new_ones_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config(folder.path(), &database, 60)).await;
    let mut running = Running::start(&relay, 12.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    server.crash();
    let mut raw = Raw::connect(&relay, None).await.expect("connects");
    raw.say(&protocol::ClientMessage::from(hello(&token(), None)).to_json()).await;
    assert_eq!(raw.end().await, (vec!["store_unavailable".to_owned()], CloseCode::TryLater.code()));
    sleep(Duration::from_secs(4)).await;
    server.restart();
    let report = running.call.await.expect("no panic");
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.reconnects, report.missing), (0, 0), "the page did not notice");
    let session = check(&database, &report).await;
    assert!(session.audio_samples >= 12 * 16_000);
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waited_too_long_goes_on_when_the_database_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config(folder.path(), &database, 2)).await;
    let mut running = Running::start(&relay, 12.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    server.crash();
    running.wait(|event| matches!(event, Event::State(State::Reconnecting { .. }))).await;
    server.restart();
    let report = running.call.await.expect("no panic");
    assert_eq!((report.ended, report.missing), (Some(CloseCode::Normal), 0), "{report:?}");
    assert!(report.reconnects >= 1);
    check(&database, &report).await;
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_while_the_database_is_away_writes_what_it_owed_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::durable();
    let database = server.database().await;
    let config = config(folder.path(), &database, 60);
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let address = relay.address.to_string();
    let mut running = Running::start(&relay, 14.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    server.crash();
    // Long enough for rows and turns that cannot be written.
    sleep(Duration::from_secs(7)).await;
    relay.kill().await;
    server.restart();
    let relay = Relay::start_with(folder.path(), &address, &config).await;
    let report = running.call.await.expect("no panic");
    assert_eq!((report.ended, report.missing), (Some(CloseCode::Normal), 0), "{report:?}");
    let session = check(&database, &report).await;
    assert_eq!(session.epoch, 1);
    let samples = session.audio_samples;
    assert!(samples >= 14 * 16_000, "what was said in that time is metered: {samples}");
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_relay_takes_a_call_over_from_one_that_is_gone_with_its_disk() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(here.path(), "127.0.0.1:0", &config(here.path(), &database, 60)).await;
    let address = relay.address.to_string();
    let mut running = Running::start(&relay, 10.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    relay.kill().await;
    drop(here);
    // As a load balancer does it: the same name leads to another relay.
    let relay = Relay::start_with(there.path(), &address, &config(there.path(), &database, 60)).await;
    let report = running.call.await.expect("no panic");
    assert_eq!((report.ended, report.missing), (Some(CloseCode::Normal), 0), "{report:?}");
    let session = check(&database, &report).await;
    assert_eq!((session.epoch, session.reconnects), (1, report.reconnects));
    assert!(session.audio_samples >= 10 * 16_000);
    relay.terminate().await;
}

#[tokio::test]
async fn a_relay_that_starts_before_its_database_waits_for_it() {
    let mut server = Server::durable();
    let database = server.database().await;
    server.crash();
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), &database, 60);
    let later = async {
        sleep(Duration::from_secs(2)).await;
        server.restart();
    };
    let (relay, ()) = tokio::join!(Relay::start_with(folder.path(), "127.0.0.1:0", &config), later);
    Raw::welcomed(&relay, "ada").await;
    relay.terminate().await;
}

fn outage(grace: u32, away: u64, how: How) -> Outage {
    let away = Duration::from_secs(away);
    Outage { calls: 50, grace, away, how, killed: false, manner: Manner::Together }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_that_all_go_on_when_the_database_is_back_lose_nothing_and_none_closes() {
    for how in [How::Frozen, How::Crashed] {
        let outcome = go_through(&outage(60, 12, how)).await;
        assert!(outcome.is_whole(), "{how:?}: {outcome}");
        let closes: Vec<_> = outcome.calls.iter().map(|call| &call.closes[..]).collect();
        assert!(closes.iter().all(|closes| *closes == [CloseCode::Normal.code()]), "{how:?}: {closes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_that_waited_too_long_close_with_1013_and_lose_nothing() {
    for killed in [false, true] {
        let outcome = go_through(&Outage { killed, ..outage(4, 14, How::Crashed) }).await;
        assert!(outcome.is_whole(), "killed: {killed}, {outcome}");
        assert_eq!(outcome.closed_with(CloseCode::TryLater), 50, "killed: {killed}, {outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_whose_relay_is_killed_while_the_database_is_away_lose_nothing() {
    let outage = Outage { killed: true, manner: Manner::Chance(1), ..outage(60, 12, How::Frozen) };
    let outcome = go_through(&outage).await;
    assert!(outcome.is_whole(), "{outcome}");
}
