//! What an export reads while others write.

use std::io::{self, Write};
use std::sync::Arc;

use relay::records::moving::{self, MoveError};
use relay::records::store::{Quality, Store, unix_ms};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::{Bench, WIDE, caps, on_both_databases, open, quota, row, session, settle};

on_both_databases! {
    an_export_is_the_database_at_one_moment_whatever_a_relay_writes_meanwhile
    live_sessions_are_not_exported
}

/// A file during whose first write a relay carries a whole call.
struct Slow {
    relay: Option<Arc<dyn Store>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(relay) = self.relay.take() {
            block_in_place(|| Handle::current().block_on(call(&*relay, "late")));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn call(store: &dyn Store, id: &str) {
    open(store, &session(id), &quota()).await;
    let spent = settle(id, vec![row("1", 1, 8)], caps(WIDE, WIDE, WIDE));
    store.settle(&spent).await.expect("written");
    store.end_session(id, 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
}

async fn an_export_is_the_database_at_one_moment_whatever_a_relay_writes_meanwhile(bench: Bench) {
    call(&*bench.store, "early").await;
    let from = bench.sql().await;
    let mut file = Slow { relay: Some(bench.another().await) };
    for sessions in [1, 2] {
        let tallies = moving::export(&from, unix_ms(), &mut file, |_| {}).await.expect("exported");
        for table in ["sessions", "ledger"] {
            let tally = tallies.iter().find(|(name, _)| name == table).expect("it moves").1;
            assert_eq!(tally.rows, sessions, "{table}");
        }
        assert!(file.relay.is_none(), "it wrote meanwhile");
    }
}

async fn live_sessions_are_not_exported(bench: Bench) {
    open(&*bench.store, &session("a"), &quota()).await;
    let exported = moving::export(&bench.sql().await, unix_ms(), io::sink(), |_| {}).await;
    assert!(matches!(exported, Err(MoveError::Live { sessions: 1 })), "{exported:?}");
}
