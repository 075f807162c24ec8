//! A relay's hold on its sessions. While it renews its lease nobody else takes them for lost; once it cannot, it must stop spending before
//! somebody else may.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::registry::Command;
use crate::App;
use crate::records::store::{Leases, StoreError};

/// Between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// After a renewal that failed.
const RENEW_RETRY: Duration = Duration::from_secs(1);
/// What takes longer will not come back: the next try may.
const RENEW_TIMEOUT: Duration = Duration::from_secs(10);
/// A lease is this much longer than a call may go on without the database: a renewal may be late, and clocks differ in speed.
const MARGIN: Duration = Duration::from_secs(30);
/// Of that, what is left when sessions stop.
const SAFETY: Duration = Duration::from_secs(10);
/// How long a session is this relay's after a renewal.
#[must_use]
pub(crate) fn duration(app: &App) -> Duration {
    app.config.store_grace + MARGIN
}

/// What is left at least of the lease of a relay that is there.
#[must_use]
pub(super) fn fresh(app: &App) -> Duration {
    duration(app).saturating_sub(3 * RENEW_EVERY)
}

/// Until when this relay may go on with its sessions, unless it renews its lease by then.
#[derive(Debug)]
pub struct Lease(Mutex<Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    until: Instant,
    /// The last try to renew it failed: the database takes no writes, whether or not it answers questions.
    failed: bool,
}

impl Lease {
    /// Valid for so long from now on.
    pub(crate) fn new(grace: Duration) -> Lease {
        Lease(Mutex::new(Held { until: Instant::now() + grace + MARGIN - SAFETY, failed: false }))
    }

    /// When it ends.
    pub(super) fn valid_until(&self) -> Instant {
        self.lock().until
    }

    /// Whether the database took the last renewal. A disk that is full, and a server that follows another one, take none.
    pub(crate) fn is_renewed(&self) -> bool {
        !self.lock().failed
    }

    /// Renewed by a request that was sent at this time.
    fn renewed(&self, sent: Instant, duration: Duration) {
        *self.lock() = Held { until: sent + duration - SAFETY, failed: false };
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews this relay's lease until the relay stops. It waits for nothing else that the relay does.
pub(crate) async fn keep(app: Arc<App>) {
    let mut due = interval(RENEW_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Rows under this relay's name that no session here belongs to. They may be about to begin, so only the second look counts.
    let mut strays = HashSet::new();
    // That waits for whoever has such a row locked, and no renewal waits for that.
    let mut giving_up = JoinSet::new();
    while tick(&app, &mut due).await {
        match timeout(RENEW_TIMEOUT, renew_and_look(&app)).await {
            Ok(Ok(found)) => {
                while giving_up.try_join_next().is_some() {}
                if giving_up.is_empty() {
                    let ids: Vec<String> = found.intersection(&strays).cloned().collect();
                    giving_up.spawn(give_up(Arc::clone(&app), ids));
                }
                strays = found;
                continue;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the lease of this relay was not renewed"),
            Err(_) => tracing::warn!("the lease of this relay was not renewed in time"),
        }
        app.live.lease.lock().failed = true;
        due.reset_after(RENEW_RETRY);
    }
}

async fn give_up(app: Arc<App>, ids: Vec<String>) {
    for id in ids {
        tracing::warn!(session = %id, "a session without a task here is given up");
        let lease = Leases::Session { id: &id, relay: &app.live.relay_id };
        if let Err(error) = app.records.store.end_leases(lease).await {
            tracing::warn!(session = %id, %error, "its lease was not ended");
        }
    }
}

/// Waits until it is time; `false` when the relay stops.
async fn tick(app: &App, due: &mut Interval) -> bool {
    tokio::select! {
        biased;
        () = app.live.shutdown.cancelled() => false,
        _ = due.tick() => true,
    }
}

/// Renews this relay's lease, and tells sessions that are here and not its own any more. Says which ones are its own and not here.
async fn renew_and_look(app: &App) -> Result<HashSet<String>, StoreError> {
    let known = app.live.sessions.ids();
    let sent = Instant::now();
    let duration = duration(app);
    app.records.store.renew_lease(&app.live.relay_id, duration).await?;
    app.live.lease.renewed(sent, duration);
    let own: HashSet<String> =
        app.records.store.sessions_held(&app.live.relay_id).await?.into_iter().collect();
    for id in known.iter().filter(|id| !own.contains(*id)) {
        app.live.sessions.tell(id, Command::Lose);
    }
    let here = app.live.sessions.ids();
    Ok(own.into_iter().filter(|id| !known.contains(id) && !here.contains(id)).collect())
}
