//! `GET /readyz`: whether calls are to be sent here, for load balancers; and what is away meanwhile, for people.
//!
//! A database or a provider that is away is no reason to send calls elsewhere: it is away from every relay, and the calls that go on without it have
//! to be able to come back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::STOPPING_RETRY_AFTER_SECONDS;
use crate::App;
use crate::provider::Upstream;
use crate::records::store::StoreError;

/// How long an answer of the database counts. The database is asked no more often than this, however many requests come.
const COUNTS_FOR: Duration = Duration::from_secs(1);
/// How long the database may take to answer. Load balancers wait for 2 to 5 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// After how many seconds to come back to a relay that lacks something.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Whether calls are to be sent here, as far as the database said last.
#[derive(Debug)]
pub(super) struct Readiness {
    app: Arc<App>,
    /// When the database was last asked, and what it said. It is locked while the database is asked, so that requests that come meanwhile wait
    /// for the same answer.
    last: Mutex<Option<(Instant, Database)>>,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Told {
    ready: bool,
    /// Why calls are to be sent elsewhere.
    reasons: Vec<Reason>,
    database: Database,
    /// The keys with which tokens are checked.
    keys: Health,
    /// The speech and language providers: `away` if at least one of them is not asked at the moment.
    providers: Health,
}

/// Why calls are to be sent elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// The relay is told to stop.
    Draining,
    /// No key of an issuer was fetched yet, so that no token can be checked.
    NoKeys,
    /// The schema of the database lacks what this relay needs.
    SchemaTooOld,
}

/// How the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Database {
    Ok,
    /// It does not answer, or takes no writes.
    Away,
    /// Its schema is too old.
    Outdated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Away,
}

impl Health {
    fn of(is_there: bool) -> Health {
        if is_there { Health::Ok } else { Health::Away }
    }
}

impl Readiness {
    pub(super) fn new(app: Arc<App>) -> Readiness {
        Readiness { app, last: Mutex::default() }
    }

    /// Whether the database answers and takes writes.
    async fn database(&self) -> Database {
        let mut last = self.last.lock().await;
        if let Some((_, said)) = last.filter(|(asked, _)| asked.elapsed() < COUNTS_FOR) {
            return said;
        }
        let said = match timeout(PATIENCE, self.app.records.store.ping()).await {
            // A database with a full disk, or one that only follows another, answers and takes no writes. The renewal of the lease shows that.
            Ok(Ok(())) if self.app.live.lease.is_renewed() => Database::Ok,
            Ok(Err(StoreError::Outdated { .. })) => Database::Outdated,
            _ => Database::Away,
        };
        *last = Some((Instant::now(), said));
        said
    }

    async fn tell(&self) -> Told {
        let (live, database) = (&self.app.live, self.database().await);
        let has_keys = self.app.admission.verifier.has_keys();
        let reasons = [
            (live.unready.is_cancelled(), Reason::Draining),
            (!has_keys, Reason::NoKeys),
            (database == Database::Outdated, Reason::SchemaTooOld),
        ];
        let reasons: Vec<Reason> =
            reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect();
        let are_asked = self.app.upstreams.values().all(|upstream| Upstream::is_asked(upstream));
        Told {
            ready: reasons.is_empty(),
            reasons,
            database,
            keys: Health::of(has_keys),
            providers: Health::of(are_asked),
        }
    }
}

/// `GET /readyz`.
pub(super) async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    let told = readiness.tell().await;
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if told.ready {
        return (StatusCode::OK, headers, Json(told)).into_response();
    }
    let is_draining = told.reasons.contains(&Reason::Draining);
    let seconds = if is_draining { STOPPING_RETRY_AFTER_SECONDS } else { RETRY_AFTER_SECONDS };
    headers.insert(header::RETRY_AFTER, seconds.into());
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(told)).into_response()
}
