//! What must not wait, because calls end if it comes late: the renewal of leases, what administrators decided, and whether the database
//! answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::poll;
use relay::money::budget::Range;
use relay::records::store::{Quota, Whom};
use tokio::time::sleep;

use super::{Bench, LEASE, RELAY, WIDE, caps, open, quota, row, session, settle, usd};

/// More than there are connections.
const PAYING: usize = 40;
/// More than one sweep handles.
const LOST: usize = 200;

/// A call that goes on, calls that have something to pay, and calls that another relay has lost.
async fn calls(bench: &Bench) -> (Vec<String>, Quota) {
    let store = &*bench.store;
    let limits = Quota { sessions_per_user: 10_000, sessions_per_account: 10_000, ..quota() };
    open(store, &session("running"), &limits).await;
    let paying: Vec<String> = (0..PAYING).map(|n| format!("paying {n}")).collect();
    for id in &paying {
        open(store, &session(id), &limits).await;
    }
    let reserve = Range { at_least: usd(10), at_most: usd(10) };
    let lost = Quota { relay: "relay-2".into(), lease: Duration::ZERO, reserve, ..limits.clone() };
    for n in 0..LOST {
        open(store, &session(&format!("lost {n}")), &lost).await;
    }
    (paying, limits)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_leases_are_renewed_while_every_connection_waits_for_a_lock() {
    let bench = Bench::postgres().await;
    let (paying, limits) = calls(&bench).await;
    open(&*bench.store, &session("locked"), &limits).await;
    bench.store.request_end(Whom::Session("running"), "normal", None).await.expect("written");
    // Somebody has the account's row, which all of them want, and has forgotten about it.
    let mut operator = bench.connect().await;
    let lock =
        "BEGIN; SELECT * FROM sessions WHERE id = 'locked' FOR UPDATE; SELECT * FROM budgets FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut operator).await.expect("locked");
    let done = Arc::new(AtomicUsize::new(0));
    let begun = paying.iter().cloned().map(|id| {
        let (store, done) = (bench.store.clone(), done.clone());
        tokio::spawn(async move {
            let all = caps(WIDE, WIDE, WIDE);
            let _ = store.settle(&settle(&id, vec![row("1", 1, 1)], all)).await;
            done.fetch_add(1, Ordering::Relaxed);
        })
    });
    let begun: Vec<_> = begun.collect();
    let store = bench.store.clone();
    let sweeping = tokio::spawn(async move { store.sweep(Duration::from_secs(120)).await });
    sleep(Duration::from_millis(500)).await;

    // What else is prompt waits as well: nobody has taken the renewal's connection for it.
    let mut blocker = bench.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE revisions").execute(&mut blocker).await.expect("locked");
    let looking: Vec<_> = (0..5)
        .map(|_| {
            let store = bench.store.clone();
            tokio::spawn(async move { store.denials_revision().await })
        })
        .collect();
    sleep(Duration::from_millis(200)).await;
    let before = lease(&bench).await;
    bench.store.renew_lease(RELAY, 2 * LEASE).await.expect("written");
    assert!(lease(&bench).await > before);
    assert!(looking.iter().all(|looking| !looking.is_finished()), "they wait for the table");
    sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.expect("free");
    for looking in looking {
        looking.await.expect("no panic").expect("read");
    }

    let held = bench.store.sessions_held(RELAY).await.expect("read");
    bench.store.ping().await.expect("it answers");
    bench.store.denials_revision().await.expect("read");
    let ends = bench.store.ends_requested(RELAY).await.expect("read");
    assert_eq!(done.load(Ordering::Relaxed), 0, "all of this while every other connection waited");
    assert_eq!(ends.len(), 1);
    assert!(held.len() == PAYING + 2 && held.contains(&"locked".to_owned()), "{held:?}");

    sqlx::raw_sql("ROLLBACK").execute(&mut operator).await.expect("free");
    for task in begun {
        task.await.expect("no panic");
    }
    sweeping.await.expect("no panic").expect("swept");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_leases_are_renewed_before_whatever_waits_to_be_written() {
    let bench = Bench::sqlite().await;
    let (paying, _) = calls(&bench).await;
    let mut operator = bench.connect().await;
    let watch = "CREATE TABLE seen (number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
        CREATE TRIGGER paid AFTER INSERT ON ledger BEGIN INSERT INTO seen (what) VALUES ('paid'); END;
        CREATE TRIGGER renewed AFTER UPDATE OF lease_until ON relays WHEN NEW.id = 'relay-1'
            BEGIN INSERT INTO seen (what) VALUES ('renewed'); END;
        BEGIN IMMEDIATE";
    sqlx::raw_sql(watch).execute(&mut operator).await.expect("locked");
    let mut begun = Vec::new();
    for id in paying {
        let store = bench.store.clone();
        begun.push(tokio::spawn(async move {
            let all = caps(WIDE, WIDE, WIDE);
            store.settle(&settle(&id, vec![row("1", 1, 1)], all)).await.map(drop)
        }));
        if begun.len() == 1 {
            // It is being written, as soon as the file is free; all others are written together after it.
            sleep(Duration::from_millis(200)).await;
        }
    }
    let store = bench.store.clone();
    let sweeping = tokio::spawn(async move { store.sweep(Duration::from_secs(120)).await });
    sleep(Duration::from_millis(500)).await;
    let mut renewal = bench.store.renew_lease(RELAY, LEASE);
    assert!(poll!(&mut renewal).is_pending(), "the file is locked");

    sqlx::raw_sql("COMMIT").execute(&mut operator).await.expect("free");
    renewal.await.expect("written");
    assert_eq!(bench.store.sessions_held(RELAY).await.expect("read").len(), PAYING + 1);
    for task in begun {
        task.await.expect("no panic").expect("written");
    }
    sweeping.await.expect("no panic").expect("swept");
    let seen: Vec<String> = sqlx::query_scalar("SELECT what FROM seen ORDER BY number")
        .fetch_all(&mut operator)
        .await
        .expect("read");
    assert_eq!(seen.len(), PAYING + 1);
    let place = seen.iter().position(|what| what == "renewed").expect("it was");
    assert!(place <= 1, "behind the one that was being written, and nothing else: {place}");
}

async fn lease(bench: &Bench) -> i64 {
    let mut connection = bench.connect().await;
    let query = sqlx::query_scalar("SELECT lease_until FROM relays WHERE id = $1").bind(RELAY);
    query.fetch_one(&mut connection).await.expect("read")
}
