//! What every store has to do. Each scenario runs on SQLite and on PostgreSQL.

mod alerts;
mod crash;
mod denials;
mod erase;
mod money;
mod race;
mod records;
mod retention;
mod schema;
mod sessions;
mod transcript;

use std::sync::Arc;
use std::time::Duration;

use protocol::{Mark, Role};
use relay::NanoUsd;
use relay::config::Secret;
use relay::ledger::LedgerRow;
use relay::store::{
    Caps, Latency, NewSession, Opened, Quota, Range, Reserve, Settle, SqlStore, Store, Turn, unix_ms,
};
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;

use crate::postgres;

/// An empty store, and where it is.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    place: Place,
}

enum Place {
    Sqlite(TempDir),
    Postgres(Secret),
}

impl Bench {
    pub(crate) async fn sqlite() -> Bench {
        let place = Place::Sqlite(tempfile::tempdir().expect("a folder"));
        Bench { store: place.open().await, place }
    }

    pub(crate) async fn postgres() -> Bench {
        let place = Place::Postgres(postgres::shared().database().await);
        Bench { store: place.open().await, place }
    }

    /// The file or the URL.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Sqlite(dir) => dir.path().join("data/voxrelay.db").display().to_string(),
            Place::Postgres(url) => url.expose().to_owned(),
        }
    }

    /// The database itself.
    pub(crate) async fn connect(&self) -> AnyConnection {
        let (url, settings) = match &self.place {
            Place::Sqlite(dir) => {
                let file = dir.path().join("data/voxrelay.db");
                (format!("sqlite://{}", file.display()), "PRAGMA busy_timeout = 5000")
            }
            Place::Postgres(url) => (url.expose().to_owned(), "SET search_path TO voxrelay"),
        };
        let mut connection = AnyConnection::connect(&url).await.expect("it is there");
        sqlx::raw_sql(settings).execute(&mut connection).await.expect("set");
        connection
    }

    /// The same database as another relay sees it.
    pub(crate) async fn another(&self) -> Arc<dyn Store> {
        self.place.open().await
    }
}

impl Place {
    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Place::Sqlite(dir) => {
                Arc::new(SqlStore::sqlite(&dir.path().join("data/voxrelay.db")).await.expect("opened"))
            }
            Place::Postgres(url) => Arc::new(SqlStore::postgres(url).await.expect("opened")),
        }
    }
}

/// Makes each scenario a test on each database.
macro_rules! on_both_databases {
    ($($scenario:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario($crate::store_suite::Bench::sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario($crate::store_suite::Bench::postgres().await).await;
            })*
        }
    };
}

pub(crate) use on_both_databases;

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const RELAY: &str = "relay-1";

pub(crate) fn usd(nano: u64) -> NanoUsd {
    NanoUsd::new(nano)
}

/// A session of `ada`.
pub(crate) fn session(id: &str) -> NewSession {
    NewSession {
        id: id.to_owned(),
        conversation_id: id.to_owned(),
        user_sub: "ada".into(),
        account: "acme".into(),
        plan: None,
        login: Some("login-1".into()),
        client: "test/1".into(),
        agent: "echo".into(),
        started_at_ms: unix_ms(),
        epoch: 0,
        committed: Mark::default(),
        resume_hash: [7; 32],
        recording: None,
    }
}

pub(crate) fn caps(session: u64, user_day: u64, account_month: u64) -> Caps {
    Caps { session: usd(session), user_day: usd(user_day), account_month: usd(account_month) }
}

pub(crate) const WIDE: u64 = 1_000_000_000_000;

pub(crate) fn quota() -> Quota {
    Quota {
        sessions_per_user: 100,
        sessions_per_account: 1_000,
        caps: caps(WIDE, WIDE, WIDE),
        reserve: Range { at_least: usd(0), at_most: usd(0) },
        relay: RELAY.into(),
        lease: LEASE,
    }
}

/// Opens a session that there is room and money for.
pub(crate) async fn open(store: &dyn Store, session: &NewSession, quota: &Quota) -> NanoUsd {
    match store.open_session(session, quota).await.expect("written") {
        Opened::Yes { grant, .. } => grant.authorised,
        refused => panic!("{refused:?}"),
    }
}

pub(crate) fn reserve(id: &str, at_least: u64, at_most: u64, caps: Caps) -> Reserve<'_> {
    Reserve {
        session_id: id,
        epoch: 0,
        through: Range { at_least: usd(at_least), at_most: usd(at_most) },
        spent: usd(0),
        exposed: usd(0),
        caps,
        at_ms: unix_ms(),
    }
}

pub(crate) fn settle(id: &str, rows: Vec<LedgerRow>, caps: Caps) -> Settle {
    Settle {
        session_id: id.to_owned(),
        epoch: 0,
        rows,
        metered_position: 0,
        exposed: usd(0),
        release: false,
        caps,
        at_ms: unix_ms(),
    }
}

/// A row of so many samples.
pub(crate) fn row(key: &str, quantity: u64, cost: u64) -> LedgerRow {
    LedgerRow {
        key: key.into(),
        provider: "echo".into(),
        item: "echo/listening".into(),
        unit: "sample".into(),
        quantity,
        price: usd(4_800_000),
        per: 960_000,
        price_version: "test".into(),
        cost: usd(cost),
        estimated: false,
    }
}

pub(crate) fn turn(turn: u32, role: Role, text: &str) -> Turn {
    Turn { turn, role, text: text.into(), start: 0, end: 16_000, heard: None, latency: Latency::default() }
}
