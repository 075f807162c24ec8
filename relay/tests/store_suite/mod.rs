//! What every store has to do. Each scenario runs on SQLite and on PostgreSQL.

mod alerts;
mod api_keys;
mod audit;
mod budgets;
mod commands;
mod crash;
mod credits;
mod damage;
mod deliveries;
mod denials;
mod erase;
mod feedback;
mod idempotency;
mod incidents;
mod items;
mod leases;
mod money;
mod moving;
mod opening;
mod owed;
mod prompt;
mod race;
mod rates;
mod records;
mod retention;
mod rollups;
mod schema;
mod sessions;
mod silence;
mod tables;
mod texts;
mod together;
mod tool_calls;
mod transcript;

use std::sync::Arc;

use relay::config::Secret;
use relay::records::store::{SqlStore, Store};
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;

use crate::postgres;
pub(crate) use crate::records::*;

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

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres(_))
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

    /// The same database, as whoever moves it has it.
    pub(crate) async fn sql(&self) -> SqlStore {
        self.place.sql().await
    }

    /// The same database as another relay sees it.
    pub(crate) async fn another(&self) -> Arc<dyn Store> {
        self.place.open().await
    }
}

impl Place {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.sql().await)
    }

    async fn sql(&self) -> SqlStore {
        match self {
            Place::Sqlite(dir) => {
                SqlStore::sqlite(&dir.path().join("data/voxrelay.db")).await.expect("opened")
            }
            Place::Postgres(url) => SqlStore::postgres(url).await.expect("opened"),
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
