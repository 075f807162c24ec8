//! A relay's leases are renewed whatever else goes on in its database.

use std::sync::Arc;
use std::time::Duration;

use relay::store::{Quota, Renewed};
use sqlx::AnyConnection;

use super::{Bench, LEASE, RELAY, WIDE, caps, open, quota, session, settle};

/// More than the store has connections.
const WRITES: usize = 40;
/// As many lost sessions as one sweep looks after.
const LOST: usize = 500;

async fn lease_of(connection: &mut AnyConnection, id: &str) -> i64 {
    sqlx::query_scalar("SELECT lease_until FROM sessions WHERE id = $1")
        .bind(id)
        .fetch_one(connection)
        .await
        .expect("there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_waits_neither_for_a_connection_nor_for_a_row_that_somebody_holds() {
    let bench = Bench::postgres().await;
    let store = Arc::clone(&bench.store);
    for id in ["held", "free"] {
        open(&*store, &session(id), &quota()).await;
    }
    let mut somebody = bench.connect().await;
    let before = lease_of(&mut somebody, "free").await;
    let hold = "BEGIN; SELECT id FROM sessions WHERE id = 'held' FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut somebody).await.expect("held");
    // What is owed of one session is written again and again, and has every connection.
    let writes: Vec<_> = (0..WRITES)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.settle(&settle("held", vec![], caps(WIDE, WIDE, WIDE))).await })
        })
        .collect();
    let mut watch = bench.connect().await;
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watch).await.expect("read") < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let renewed = store.renew_leases(RELAY, LEASE + LEASE).await.expect("written");
    assert!(writes.iter().all(|write| !write.is_finished()), "they all still wait");
    assert_eq!(renewed, Renewed { renewed: vec!["free".into()], busy: vec!["held".into()] });
    assert!(lease_of(&mut watch, "free").await >= before + 50_000);
    sqlx::raw_sql("ROLLBACK").execute(&mut somebody).await.expect("let go");
    for write in writes {
        // Some of them may have waited for too long.
        let _ = write.await.expect("no panic");
    }
    let renewed = store.renew_leases(RELAY, LEASE).await.expect("written");
    assert_eq!((renewed.renewed.len(), renewed.busy.len()), (2, 0), "as soon as it is let go");
}

async fn renewals_go_on_during_a_sweep(bench: Bench) {
    let store = Arc::clone(&bench.store);
    open(&*store, &session("ours"), &quota()).await;
    let wide = Quota { sessions_per_user: 1_000, lease: Duration::ZERO, relay: "relay-2".into(), ..quota() };
    for nth in 0..LOST {
        open(&*store, &session(&format!("lost {nth}")), &wide).await;
    }
    let sweeping = Arc::clone(&store);
    let sweep = tokio::spawn(async move { sweeping.sweep(Duration::ZERO).await.expect("swept") });
    let mut renewals = 0;
    while !sweep.is_finished() {
        let renewed = store.renew_leases(RELAY, LEASE).await.expect("written");
        assert_eq!(renewed, Renewed { renewed: vec!["ours".into()], busy: vec![] });
        renewals += 1;
    }
    assert_eq!(sweep.await.expect("no panic").ended as usize, LOST);
    assert!(
        renewals > 1,
        "{renewals}: each waits for one of the swept sessions at most, not for all of them"
    );
}

super::on_both_databases! {
    renewals_go_on_during_a_sweep
}
