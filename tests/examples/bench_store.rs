//! What the databases can do, and what they cost a chunk: `cargo xtask bench store`.
//!
//! Each database beside its own bare commits, in the same run. A chunk is followed by a `ping`, which the same task of the relay answers after
//! it: its round trip is what a chunk waits. It is measured with a database in memory and nothing else to do, and with one on disk that
//! another process keeps writing to as fast as it takes it. It fails, after all is printed, if a database adds more than the goal.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::{ClientMessage, Mark, RelayMessage, Role};
use relay::NanoUsd;
use relay::config::Secret;
use relay::money::budget::{Caps, Range, Reserved, TokenCaps};
use relay::records::store::{NewSession, Quota, SqlStore, Store};
use serde_json::json;
use sqlx::any::AnyPoolOptions;
use tests::postgres::Server;
use tests::records;
use tests::{AUDIENCE, Heard, ISSUER, Raw, Relay, SECRET, chunk};
use tokio_tungstenite::tungstenite::Message;

/// At the same time.
const TASKS: u64 = 32;
/// Calls that settle and store turns at the same time.
const MANY: u64 = 256;
/// Of each kind.
const OPERATIONS: u64 = 3_200;
/// Calls whose chunks are timed, and for how long.
const CALLS: usize = 20;
const CALL: Duration = Duration::from_secs(10);
/// The goal for what a database adds to the 99th percentile.
const GOAL_MS: f64 = 1.0;
const CAPS: Caps = Caps {
    session: NanoUsd::MAX,
    user_day: NanoUsd::MAX,
    account_month: NanoUsd::MAX,
    token: TokenCaps::NONE,
};

/// One line of the table.
struct Line {
    database: &'static str,
    what: &'static str,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let as_json = std::env::args().any(|argument| argument == "--json");
    sqlx::any::install_default_drivers();
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::durable();
    let mut lines = Vec::new();

    let file = folder.path().join("bench/voxrelay.db");
    let store: Arc<dyn Store> = Arc::new(SqlStore::sqlite(&file).await.expect("opened"));
    eprintln!("SQLite …");
    lines.push(bare("SQLite", &format!("sqlite://{}", file.display()), 1, "PRAGMA synchronous = FULL").await);
    operations("SQLite", &store, &mut lines).await;
    store.close().await;

    let url = server.database().await;
    let store: Arc<dyn Store> = Arc::new(SqlStore::postgres(&url).await.expect("opened"));
    eprintln!("PostgreSQL …");
    lines.push(bare("PostgreSQL", url.expose(), 10, "SET search_path TO voxrelay").await);
    operations("PostgreSQL", &store, &mut lines).await;
    store.close().await;

    let memory = Path::new("/dev/shm");
    let memory = if memory.exists() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let memory = memory.expect("a folder");
    eprintln!("chunks, database in memory …");
    let base = chunks(memory.path(), None, false).await;
    eprintln!("chunks, SQLite under load …");
    let sqlite = chunks(&folder.path().join("calls"), None, true).await;
    eprintln!("chunks, PostgreSQL under load …");
    let postgres = chunks(&folder.path().join("calls-pg"), Some(&server.database().await), true).await;

    let added = |times: &[Duration]| percentile(times, 99) - percentile(&base, 99);
    let is_reached = |times: &[Duration]| added(times) < GOAL_MS;
    let is_good = is_reached(&sqlite) && is_reached(&postgres);
    let code = if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if as_json {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({ "database": line.database, "what": line.what, "per_second": line.per_second,
                    "p50_ms": line.p50_ms, "p99_ms": line.p99_ms })
            })
            .collect();
        let chunks: Vec<_> = [("memory", &base), ("SQLite", &sqlite), ("PostgreSQL", &postgres)]
            .iter()
            .map(|(name, times)| {
                json!({ "database": name, "p50_ms": percentile(times, 50), "p99_ms": percentile(times, 99),
                    "added_p99_ms": added(times), "reached": is_reached(times), "chunks": times.len() })
            })
            .collect();
        println!("{}", json!({ "operations": lines, "chunks": chunks, "goal_added_p99_ms": GOAL_MS }));
        return code;
    }
    println!("{:<12}{:<26}{:>12}{:>12}{:>12}", "", "", "a second", "p50, ms", "p99, ms");
    for Line { database, what, per_second, p50_ms, p99_ms } in &lines {
        println!("{database:<12}{what:<26}{per_second:>12.0}{p50_ms:>12.2}{p99_ms:>12.2}");
    }
    println!(
        "\nwhat a chunk waits, {CALLS} calls at once{:>12}{:>12}{:>16}",
        "p50, ms", "p99, ms", "added to p99"
    );
    for (name, times) in
        [("in memory, idle", &base), ("SQLite, loaded", &sqlite), ("PostgreSQL, loaded", &postgres)]
    {
        let (p50, p99) = (percentile(times, 50), percentile(times, 99));
        let said = if is_reached(times) { "" } else { "  NOT REACHED" };
        println!("{name:<38}{p50:>12.2}{p99:>12.2}{:>16.2}{said}", added(times));
    }
    println!("goal: added to p99 under {GOAL_MS} ms");
    code
}

/// The yardstick: one row, changed and committed.
async fn bare(database: &'static str, url: &str, connections: u32, settings: &'static str) -> Line {
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .after_connect(move |connection, _| {
            Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
        })
        .connect(url)
        .await
        .expect("it is there");
    sqlx::raw_sql("CREATE TABLE yardstick (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)")
        .execute(&pool)
        .await
        .expect("made");
    for id in 0..TASKS as i64 {
        sqlx::query("INSERT INTO yardstick VALUES ($1, 0)").bind(id).execute(&pool).await.expect("written");
    }
    let line = measure(database, "bare commits", move |task, _| {
        let pool = pool.clone();
        async move {
            sqlx::query("UPDATE yardstick SET n = n + 1 WHERE id = $1")
                .bind(task as i64)
                .execute(&pool)
                .await
                .expect("written");
        }
    });
    line.await
}

async fn operations(database: &'static str, store: &Arc<dyn Store>, lines: &mut Vec<Line>) {
    let with = |store: &Arc<dyn Store>| store.clone();
    let (one, two, three) = (with(store), with(store), with(store));
    lines.push(
        measure(database, "admissions", move |task, n| {
            let store = one.clone();
            async move { open(&*store, &format!("{task}-{n}"), task).await }
        })
        .await,
    );
    lines.push(
        measure(database, "reservations", move |task, n| {
            let store = two.clone();
            async move { reserve(&*store, &format!("{task}-0"), 1_000 * (n + 1)).await }
        })
        .await,
    );
    lines.push(
        measure(database, "settlements", move |task, n| {
            let store = three.clone();
            async move { settle(&*store, &format!("{task}-0"), n).await }
        })
        .await,
    );
    // With nobody beside it each write is a transaction of its own: what grouping them costs a single call, and gains many.
    let (alone, many) = (with(store), with(store));
    lines.push(
        measure_with(1, database, "settlements, 1 call", move |_, n| {
            let store = alone.clone();
            async move { settle(&*store, "0-1", n).await }
        })
        .await,
    );
    lines.push(
        measure_with(MANY, database, "turns + money, 256 calls", move |task, n| {
            let (store, id) = (many.clone(), format!("{}-{}", task % TASKS, 2 + task / TASKS));
            async move {
                match n % 2 {
                    0 => settle(&*store, &id, n).await,
                    _ => save_turn(&*store, &id, n).await,
                }
            }
        })
        .await,
    );
}

/// Runs an operation in several tasks at once: it is told which task and how many before it.
async fn measure<F>(database: &'static str, what: &'static str, operation: impl Fn(u64, u64) -> F) -> Line
where
    F: Future<Output = ()> + Send + 'static,
{
    measure_with(TASKS, database, what, operation).await
}

async fn measure_with<F>(
    tasks: u64,
    database: &'static str,
    what: &'static str,
    operation: impl Fn(u64, u64) -> F,
) -> Line
where
    F: Future<Output = ()> + Send + 'static,
{
    let begin = Instant::now();
    let operation = &operation;
    let tasks = (0..tasks).map(|task| async move {
        let mut times = Vec::new();
        for n in 0..OPERATIONS / tasks {
            let begin = Instant::now();
            tokio::spawn(operation(task, n)).await.expect("no panic");
            times.push(begin.elapsed());
        }
        times
    });
    let times: Vec<Duration> = futures_util::future::join_all(tasks).await.into_iter().flatten().collect();
    Line {
        database,
        what,
        per_second: times.len() as f64 / begin.elapsed().as_secs_f64(),
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
    }
}

async fn open(store: &dyn Store, id: &str, task: u64) {
    let session = NewSession { user_sub: format!("user {task}"), ..records::session(id) };
    let quota = Quota {
        sessions_per_user: u32::MAX,
        sessions_per_account: u32::MAX,
        caps: CAPS,
        reserve: Range { at_least: NanoUsd::new(1), at_most: NanoUsd::new(100) },
        lease: Duration::from_secs(600),
        ..records::quota()
    };
    records::open(store, &session, &quota).await;
}

async fn reserve(store: &dyn Store, id: &str, through: u64) {
    let ask = records::reserve(id, through, through, CAPS);
    let reserved = store.reserve(&ask).await.expect("written");
    assert!(matches!(reserved, Reserved::Granted(_)));
}

async fn settle(store: &dyn Store, id: &str, n: u64) {
    let row = records::row(&format!("row {n}"), 80_000, 400);
    let settle = records::settle(id, vec![row], CAPS);
    store.settle(&settle).await.expect("written");
}

async fn save_turn(store: &dyn Store, id: &str, n: u64) {
    let turn = records::turn(n as u32, Role::User, "what was said");
    store.save_turns(id, 0, &[turn], Mark::default(), 0).await.expect("written");
}

/// Round trips of pings that are sent right after a chunk, ten times a second in each of many calls.
async fn chunks(folder: &Path, database: Option<&Secret>, loaded: bool) -> Vec<Duration> {
    std::fs::create_dir_all(folder).expect("a folder");
    let url = database.map(|url| format!("database_url = {:?}\n", url.expose())).unwrap_or_default();
    let config = format!(
        "data_dir = {:?}\n{url}[auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n\
        [limits]\nsessions_per_user = 1000\nsession_usd = 1000\nuser_day_usd = 100000\naccount_month_usd = 1000000\n[log]\nlevel = \"error\"\n",
        folder.join("data")
    );
    let relay = Relay::start_with(folder, "127.0.0.1:0", &config).await;
    let store: Arc<dyn Store> = match database {
        Some(url) => Arc::new(SqlStore::postgres(url).await.expect("opened")),
        None => Arc::new(SqlStore::sqlite(&folder.join("data/voxrelay.db")).await.expect("opened")),
    };
    let stop = Arc::new(AtomicBool::new(!loaded));
    let written = Arc::new(AtomicU64::new(0));
    let load = {
        let (store, stop, written) = (store.clone(), stop.clone(), written.clone());
        tokio::spawn(async move {
            // Of the account that the calls belong to, so that they wait for the same rows.
            open(&*store, "load", 0).await;
            while !stop.load(Ordering::Relaxed) {
                let n = written.fetch_add(1, Ordering::Relaxed);
                settle(&*store, "load", n).await;
            }
        })
    };
    let calls = (0..CALLS).map(|_| timed_call(&relay));
    let times: Vec<Duration> = futures_util::future::join_all(calls).await.into_iter().flatten().collect();
    stop.store(true, Ordering::Relaxed);
    load.await.expect("no panic");
    store.close().await;
    eprintln!(
        "  {} chunks; beside them {} settlements of another process",
        times.len(),
        written.load(Ordering::Relaxed)
    );
    relay.terminate().await;
    times
}

async fn timed_call(relay: &Relay) -> Vec<Duration> {
    let (mut raw, _) = Raw::welcomed(relay, "ada").await;
    let begin = tokio::time::Instant::now();
    let mut times = Vec::new();
    for seq in 0..(CALL.as_millis() / 100) as u32 {
        tokio::time::sleep_until(begin + Duration::from_millis(100) * seq).await;
        let sent = Instant::now();
        raw.send(Message::binary(chunk(seq))).await;
        raw.say(&ClientMessage::from(protocol::Ping { id: seq, rtt_us: 0 }).to_json()).await;
        loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Pong(pong)) if pong.id == seq => break,
                Heard::Closed(code) => panic!("closed with {code}"),
                _ => {}
            }
        }
        times.push(sent.elapsed());
    }
    times
}

fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}
