//! See the crate's page.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use protocol::client::{Event, State};
use protocol::{CloseCode, RelayMessage, Role};
use relay::NanoUsd;
use relay::client::{Options, Report, run};
use relay::config::Secret;
use relay::records::store::{SessionRow, SqlStore, Store};
use sqlx::{AnyConnection, Connection};
use tests::outage::{How, Manner, Outage, go_through};
use tests::ports::free_address;
use tests::postgres::Server;
use tests::sound::voice;
use tests::{Heard, Raw, Relay, hello, sharing, token};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

fn config(folder: &Path, database: &Secret, grace: u32) -> String {
    sharing(database, folder, &format!("[store]\ngrace_seconds = {grace}\n"))
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
            longest: Duration::from_secs(120),
            ..Options::new(relay.url(), token(), speech(seconds))
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
    assert_eq!((report.reconnects, report.missing()), (0, 0), "the page did not notice");
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
    assert_eq!((report.ended, report.missing()), (Some(CloseCode::Normal), 0), "{report:?}");
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
    let address = free_address().to_string();
    let relay = Relay::start_with(folder.path(), &address, &config).await;
    let mut running = Running::start(&relay, 14.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    server.crash();
    // Long enough for rows and turns that cannot be written.
    sleep(Duration::from_secs(7)).await;
    relay.kill().await;
    server.restart();
    let relay = Relay::start_with(folder.path(), &address, &config).await;
    let report = running.call.await.expect("no panic");
    assert_eq!((report.ended, report.missing()), (Some(CloseCode::Normal), 0), "{report:?}");
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
    let address = free_address().to_string();
    let relay = Relay::start_with(here.path(), &address, &config(here.path(), &database, 60)).await;
    let mut running = Running::start(&relay, 10.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    relay.kill().await;
    drop(here);
    // As a load balancer does it: the same name leads to another relay.
    let relay = Relay::start_with(there.path(), &address, &config(there.path(), &database, 60)).await;
    let report = running.call.await.expect("no panic");
    assert_eq!((report.ended, report.missing()), (Some(CloseCode::Normal), 0), "{report:?}");
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

/// How long a load balancer waits for an answer of a relay.
const BALANCER_WAITS: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_database_does_not_answer_answers_load_balancers_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config(folder.path(), &database, 60)).await;
    for how in [How::Frozen, How::Crashed] {
        relay.has_database("ok").await;
        match how {
            How::Frozen => server.freeze(),
            How::Crashed => server.crash(),
        }
        for _ in 0..16 {
            let answer = timeout(BALANCER_WAITS, relay.status("/readyz")).await;
            assert_eq!(answer, Ok(200), "{how:?}: its calls come back here");
            // The balancer that asks before this one has hung up: what the database says counts all the same.
            let gone = timeout(Duration::from_millis(20), relay.status("/readyz")).await;
            assert!(gone.is_err() || gone == Ok(200), "{how:?}: {gone:?}");
            sleep(Duration::from_millis(250)).await;
        }
        relay.has_database("away").await;
        match how {
            How::Frozen => server.thaw(),
            How::Crashed => server.restart(),
        }
    }
    relay.has_database("ok").await;
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
        assert!(outcome.is_whole() && outcome.metered == outcome.spoken, "{how:?}: {outcome}");
        let closes: Vec<_> = outcome.calls.iter().map(|call| &call.closes[..]).collect();
        let normal = CloseCode::Normal.code();
        assert!(closes.iter().all(|closes| closes.iter().all(|code| *code == normal)), "{how:?}: {closes:?}");
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

/// Ends a session, as an operator may do it.
const END: &str = "UPDATE sessions SET state = 'ended', ended_at = 1, end_reason = 'normal'";
/// Ends a session, as another relay does it for an administrator.
const END_ELSEWHERE: &str = "UPDATE sessions SET state = 'ended', ended_at = 1, end_reason = 'ended_by_operator', \
    relay_epoch = epoch, fenced_epoch = epoch + 1, epoch = epoch + 1";
const DELETE: &str = "DELETE FROM sessions";

/// Locks the session's row for so long that a write gives up, and ends or deletes the session behind the relay's back.
async fn end_behind_its_back(url: &str, settings: &str, begin: &str, end: &str, id: &str) {
    let mut other = AnyConnection::connect(url).await.expect("it is there");
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings.to_owned())).execute(&mut other).await.expect("set");
    sqlx::raw_sql(sqlx::AssertSqlSafe(begin.to_owned())).execute(&mut other).await.expect("begun");
    let end = format!("{end} WHERE id = '{id}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(end)).execute(&mut other).await.expect("locked");
    sleep(Duration::from_secs(6)).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("ended");
}

/// Speaks for so long, and says how much the caller was told to have used.
async fn speak_until_the_end(raw: &mut Raw, chunks: std::ops::Range<u32>) -> Option<protocol::Usage> {
    let mut told = None;
    for number in chunks {
        raw.send(Message::binary(tests::chunk(number))).await;
        sleep(Duration::from_millis(100)).await;
        while let Ok(heard) = timeout(Duration::from_millis(1), raw.next()).await {
            match heard {
                Heard::Said(RelayMessage::Usage(usage)) => told = Some(usage),
                Heard::Said(RelayMessage::Ended(ended)) => return Some(ended.usage),
                Heard::Closed(_) => return told,
                _ => {}
            }
        }
    }
    told
}

async fn everything_told_is_in_the_ledger(relay: &Relay, store: &dyn Store, end: impl AsyncFnOnce(&str)) {
    let (mut raw, welcome) = Raw::welcomed(relay, "ada").await;
    let id = welcome.session_id;
    let _ = speak_until_the_end(&mut raw, 0..40).await;
    let (told, ()) = tokio::join!(speak_until_the_end(&mut raw, 40..200), end(&id));
    let told = told.expect("the caller was told").audio_ms;
    assert!(told > 4_000, "{told}");
    let mut metered = 0;
    for _ in 0..20 {
        metered = store.ledger(&id).await.expect("readable").iter().map(|row| row.quantity).sum::<u64>() / 16;
        if metered >= told {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(metered, told, "milliseconds in the ledger, and told");
    assert_eq!(store.session(&id).await.expect("readable").expect("there").audio_samples, metered * 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_locked_and_then_ended_by_sql_has_all_it_was_told_in_its_ledger_postgres() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config(folder.path(), &database, 60)).await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let url = database.expose();
    let set = "SET search_path TO voxrelay";
    everything_told_is_in_the_ledger(&relay, &store, async |id| {
        end_behind_its_back(url, set, "BEGIN", END, id).await;
    })
    .await;
    let elsewhere = async |id: &str| {
        sleep(Duration::from_secs(2)).await;
        assert!(store.end_elsewhere(id, "normal").await.expect("written"));
    };
    everything_told_is_in_the_ledger(&relay, &store, elsewhere).await;
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_locked_and_then_ended_by_sql_has_all_it_was_told_in_its_ledger_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let file = folder.path().join("data/voxrelay.db");
    let store = SqlStore::sqlite(&file).await.expect("opened");
    let url = format!("sqlite://{}", file.display());
    let set = "PRAGMA busy_timeout = 5000";
    let end = async |id: &str| end_behind_its_back(&url, set, "BEGIN IMMEDIATE", END, id).await;
    everything_told_is_in_the_ledger(&relay, &store, end).await;
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_waited_while_their_session_was_ended_elsewhere_are_in_its_transcript() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config(folder.path(), &database, 60)).await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let mut running = Running::start(&relay, 30.0).await;
    running.wait(|event| matches!(event, Event::Transcript(_))).await;
    let live = store.live_sessions(None, 1).await.expect("readable").rows;
    let id = live[0].session.id.clone();
    let set = "SET search_path TO voxrelay";
    end_behind_its_back(database.expose(), set, "BEGIN", END_ELSEWHERE, &id).await;
    let report = running.call.await.expect("no panic");
    let users = report.turns.iter().filter(|turn| turn.role == Role::User);
    let told: Vec<(u32, &str)> = users.map(|turn| (turn.turn, turn.text.as_str())).collect();
    assert!(told.len() > 1, "something was said while it was locked: {report:?}");
    let mut missing = told.clone();
    for _ in 0..20 {
        let stored = store.turns(&id).await.expect("readable");
        missing.retain(|told| !stored.iter().any(|row| (row.turn.turn, &*row.turn.text) == *told));
        if missing.is_empty() {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert!(missing.is_empty(), "{missing:?} was told and is not stored: {report:?}");
    relay.terminate().await;
}

/// What is left of a session that is deleted while it is locked: all that was not in its ledger by then is on the account's bill.
async fn everything_told_is_on_the_bill(
    relay: &Relay,
    database: &mut AnyConnection,
    store: &dyn Store,
    delete: impl AsyncFnOnce(&str),
) {
    let (mut raw, welcome) = Raw::welcomed(relay, "ada").await;
    let id = welcome.session_id;
    let _ = speak_until_the_end(&mut raw, 0..60).await;
    let in_ledger = async {
        // Nothing is written from now on.
        sleep(Duration::from_secs(1)).await;
        store.ledger(&id).await.expect("readable").iter().map(|row| row.quantity).sum::<u64>() / 16
    };
    let (told, (), before) = tokio::join!(speak_until_the_end(&mut raw, 60..220), delete(&id), in_ledger);
    let told = told.expect("the caller was told").audio_ms;
    assert!(before > 0 && told > before + 2_000, "{before} ms in the ledger, {told} told");
    let mut after = 0;
    for _ in 0..20 {
        let used =
            "SELECT CAST(COALESCE(SUM(quantity), 0) AS BIGINT) FROM erased_usage WHERE account = 'default'";
        after = sqlx::query_scalar::<_, i64>(used).fetch_one(&mut *database).await.expect("readable") / 16;
        if before + after as u64 >= told {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(before + after as u64, told, "milliseconds in the ledger and on the bill, and told");
    let budgets: Vec<(i64, i64)> = sqlx::query_as("SELECT spent_nano_usd, reserved_nano_usd FROM budgets")
        .fetch_all(database)
        .await
        .expect("readable");
    assert!(budgets.iter().all(|(spent, _)| *spent == told as i64 * 80), "{budgets:?} for {told} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_locked_and_then_deleted_by_sql_is_paid_for_postgres() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::durable();
    let database = server.database().await;
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config(folder.path(), &database, 60)).await;
    let store = SqlStore::postgres(&database).await.expect("opened");
    let set = "SET search_path TO voxrelay";
    let mut connection = AnyConnection::connect(database.expose()).await.expect("it is there");
    sqlx::raw_sql(set).execute(&mut connection).await.expect("set");
    let delete = async |id: &str| end_behind_its_back(database.expose(), set, "BEGIN", DELETE, id).await;
    everything_told_is_on_the_bill(&relay, &mut connection, &store, delete).await;
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_locked_and_then_deleted_by_sql_is_paid_for_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let file = folder.path().join("data/voxrelay.db");
    let store = SqlStore::sqlite(&file).await.expect("opened");
    let url = format!("sqlite://{}", file.display());
    // As it is for whoever deletes by hand without `PRAGMA foreign_keys`, the ledger would stay: here it goes with its session.
    let set = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON";
    let mut connection = AnyConnection::connect(&url).await.expect("it is there");
    let delete = async |id: &str| end_behind_its_back(&url, set, "BEGIN IMMEDIATE", DELETE, id).await;
    everything_told_is_on_the_bill(&relay, &mut connection, &store, delete).await;
    relay.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_close_connect_and_resume_in_a_loop_slow_nobody() {
    const RESUMES: usize = 15;
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "").await;
    let relay = &relay;
    let users = ["ada", "bob", "eve"].map(async |user| {
        let token = tests::token_but(&serde_json::json!({ "sub": user }));
        let (mut raw, welcome) = Raw::welcomed(relay, user).await;
        let (session_id, mut resume_token) = (welcome.session_id, welcome.resume_token);
        let mut slow = 0;
        for number in 0..RESUMES as u32 {
            raw.send(Message::binary(tests::chunk(number))).await;
            drop(raw);
            // A call of somebody else's begins meanwhile: it is not refused.
            drop(Raw::welcomed(relay, &format!("{user} {number}")).await);
            let begun = std::time::Instant::now();
            raw = Raw::connect(relay, None).await.expect("connects");
            let resume = protocol::Resume {
                session_id: session_id.clone(),
                resume_token,
                epoch: 0,
                received: 0,
                played: None,
            };
            raw.say(&protocol::ClientMessage::from(hello(&token, Some(resume))).to_json()).await;
            resume_token = loop {
                match raw.next().await {
                    Heard::Said(RelayMessage::Resumed(resumed)) => break resumed.resume_token,
                    Heard::Closed(code) => panic!("{user} is not resumed but closed: {code}"),
                    Heard::Said(RelayMessage::ResumeFailed(_)) => panic!("{user} is not resumed"),
                    _ => {}
                }
            };
            // As long as the store is waited for where something waits for it.
            slow += usize::from(begun.elapsed() >= Duration::from_secs(2));
        }
        slow
    });
    let slow: usize = join_all(users).await.into_iter().sum();
    assert!(slow * 4 < 3 * RESUMES, "{slow} of {} resumes waited in vain", 3 * RESUMES);
}
