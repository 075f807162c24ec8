//! `GET /readyz`: whether new calls can begin here, for load balancers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use protocol::HttpCode;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Problem;
use crate::App;

/// How long an answer of the database counts. The database is asked no more often than this, however many requests come.
const COUNTS_FOR: Duration = Duration::from_secs(1);
/// How long the database may take to answer. Load balancers wait for 2 to 5 s.
const PATIENCE: Duration = Duration::from_secs(2);
/// After how many seconds to come back to a relay whose database is away.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Whether new calls can begin, as far as the database said last.
#[derive(Debug)]
pub(super) struct Readiness {
    app: Arc<App>,
    /// When the database was last asked, and whether it answered. It is locked while the database is asked, so that requests that come
    /// meanwhile wait for the same answer.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub(super) fn new(app: Arc<App>) -> Readiness {
        Readiness { app, last: Mutex::default() }
    }

    /// Whether the database answers and takes writes.
    async fn answers(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((_, answered)) = last.filter(|(asked, _)| asked.elapsed() < COUNTS_FOR) {
            return answered;
        }
        // A database with a full disk, or one that only follows another, answers and takes no writes. The renewal of the lease shows that.
        let answered = self.app.live.lease.is_renewed()
            && timeout(PATIENCE, self.app.records.store.ping()).await.is_ok_and(|answer| answer.is_ok());
        *last = Some((Instant::now(), answered));
        answered
    }
}

/// `GET /readyz`.
pub(super) async fn readyz(
    State(readiness): State<Arc<Readiness>>,
) -> Result<([(HeaderName, &'static str); 1], &'static str), Problem> {
    if readiness.answers().await {
        return Ok(([(header::CACHE_CONTROL, "no-store")], "ok\n"));
    }
    let detail = "This relay's database is away, or takes no writes: new calls cannot begin here.";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .code(HttpCode::StoreUnavailable)
        .retry_after(RETRY_AFTER_SECONDS))
}
