//! The lease of a relay: until when its sessions are its own. While the relay renews it, no other relay takes them for lost. A relay that
//! cannot renew it has to stop its sessions before another relay may take them over.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::registry::Command;
use crate::App;
use crate::records::store::{Leases, StoreError};

/// The time between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// The time between a renewal that failed and the next try.
const RENEW_RETRY: Duration = Duration::from_secs(1);
/// How long a renewal may take. One that takes longer is given up, since the next try may get through.
const RENEW_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer a lease is than a call may go on without the database. A renewal may be late, and clocks differ in speed.
const MARGIN: Duration = Duration::from_secs(30);
/// How long before the end of the lease this relay stops its sessions. It is a part of [`MARGIN`].
const SAFETY: Duration = Duration::from_secs(10);

/// How long a relay's sessions are its own after a renewal.
#[must_use]
pub(crate) fn duration(app: &App) -> Duration {
    app.config.store_grace + MARGIN
}

/// How much of its lease a relay that renews it has left at any time, even if two renewals in a row are late. A relay with less left is taken
/// for lost.
#[must_use]
pub(super) fn least_left(app: &App) -> Duration {
    duration(app).saturating_sub(3 * RENEW_EVERY)
}

/// Until when this relay may go on with its sessions, unless it renews its lease by then.
#[derive(Debug)]
pub struct Lease(Mutex<Validity>);

/// What is known of this relay's lease.
#[derive(Clone, Copy, Debug)]
struct Validity {
    /// When this relay has to stop its sessions.
    until: Instant,
    /// Whether the last renewal failed. The database then takes no writes, whether or not it answers reads.
    failed: bool,
}

impl Lease {
    /// The lease of a relay that begins, in a configuration where a call may go on for `grace` without the database.
    pub(crate) fn new(grace: Duration) -> Lease {
        Lease(Mutex::new(Validity { until: Instant::now() + grace + MARGIN - SAFETY, failed: false }))
    }

    /// When this relay has to stop its sessions, unless the lease is renewed.
    pub(super) fn valid_until(&self) -> Instant {
        self.lock().until
    }

    /// Whether the database took the last renewal. A database with a full disk takes none, nor does one that only follows another.
    pub(crate) fn is_renewed(&self) -> bool {
        !self.lock().failed
    }

    /// Notes a renewal. It counts from when it was sent, which is before the database began to count.
    fn renewed(&self, sent: Instant, duration: Duration) {
        *self.lock() = Validity { until: sent + duration - SAFETY, failed: false };
    }

    fn lock(&self) -> MutexGuard<'_, Validity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews this relay's lease until the relay stops. No renewal waits for anything else that the relay does.
pub(crate) async fn keep(app: Arc<App>) {
    let mut due = interval(RENEW_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Stored sessions of this relay that no task here belongs to. A session that is about to begin looks like that for a moment, so only
    // those are given up that are found twice in a row.
    let mut strays = HashSet::new();
    // Giving a session up may wait for a lock on its row, so it is a task of its own, which no renewal waits for.
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

/// Ends the leases of sessions that have no task here, so that another relay may take them over.
async fn give_up(app: Arc<App>, ids: Vec<String>) {
    for id in ids {
        tracing::warn!(session = %id, "a session without a task here is given up");
        let lease = Leases::Session { id: &id, relay: &app.live.relay_id };
        if let Err(error) = app.records.store.end_leases(lease).await {
            tracing::warn!(session = %id, %error, "its lease was not ended");
        }
    }
}

/// Waits until the next renewal is due. `false` means that the relay stops.
async fn tick(app: &App, due: &mut Interval) -> bool {
    tokio::select! {
        biased;
        () = app.live.shutdown.cancelled() => false,
        _ = due.tick() => true,
    }
}

/// Renews this relay's lease, and tells sessions here that another relay has taken over. Returns the ids of stored sessions of this relay
/// that have no task here.
async fn renew_and_look(app: &App) -> Result<HashSet<String>, StoreError> {
    let known = app.live.sessions.ids();
    let sent = Instant::now();
    let duration = duration(app);
    app.records.store.renew_lease(&app.live.relay_id, duration).await?;
    app.live.lease.renewed(sent, duration);
    let own: HashSet<String> =
        app.records.store.sessions_held(&app.live.relay_id).await?.into_iter().collect();
    for id in known.iter().filter(|id| !own.contains(*id)) {
        app.live.sessions.tell(id, Command::TakenOver);
    }
    let here = app.live.sessions.ids();
    Ok(own.into_iter().filter(|id| !known.contains(id) && !here.contains(id)).collect())
}
