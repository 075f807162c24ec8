//! A relay's hold on its sessions. While it renews its leases nobody else takes them for lost; once it cannot, it must stop spending before
//! somebody else may.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::registry::Command;
use crate::App;
use crate::store::{Leases, StoreError};

/// Between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A lease is this much longer than a call may go on without the database: a renewal may be late, and clocks differ in speed.
const MARGIN: Duration = Duration::from_secs(30);
/// Of that, what is left when sessions stop.
const SAFETY: Duration = Duration::from_secs(10);
/// Between two looks for what could not be written.
const REPLAY_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for sessions that others have lost.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// How long a session is this relay's after a renewal.
#[must_use]
pub(crate) fn duration(app: &App) -> Duration {
    app.config.store_grace + MARGIN
}

/// Until when this relay may go on with its sessions.
#[derive(Debug)]
pub struct Lease {
    valid_until: Mutex<Instant>,
}

impl Lease {
    /// Valid for so long from now on.
    pub(crate) fn new(grace: Duration) -> Lease {
        Lease { valid_until: Mutex::new(Instant::now() + grace + MARGIN - SAFETY) }
    }

    /// When it ends, unless it is renewed by then.
    pub(super) fn valid_until(&self) -> Instant {
        *self.lock()
    }

    /// Renewed by a request that was sent at this time.
    fn renewed(&self, sent: Instant, duration: Duration) {
        *self.lock() = sent + duration - SAFETY;
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the leases of this relay's sessions and looks after the sessions that others have lost, until the relay stops.
pub(crate) async fn keep(app: Arc<App>) {
    let mut renew = interval(RENEW_EVERY);
    let mut sweep = interval(SWEEP_EVERY);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut owed = interval(REPLAY_EVERY);
    owed.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Rows under this relay's name that no session here belongs to. They may be about to begin, so only the second look counts.
    let mut strays = HashSet::new();
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            _ = renew.tick() => match renew_all(&app, &strays).await {
                Ok(found) => strays = found,
                Err(error) => tracing::warn!(%error, "the leases of the sessions were not renewed"),
            },
            _ = owed.tick() => pay(&app).await,
            _ = sweep.tick() => match app.store.sweep(app.config.resume_window).await {
                Ok(swept) if swept.released + swept.ended > 0 => {
                    tracing::info!(released = swept.released, ended = swept.ended, "lost sessions");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "lost sessions were not looked for"),
            },
        }
    }
}

/// Writes what sessions that had to leave have left behind.
async fn pay(app: &App) {
    match app.spill.replay(&*app.store, |id| app.sessions.has(id)).await {
        Ok(0) => {}
        Ok(entries) => tracing::info!(entries, "what was owed to the database is written"),
        Err(error) => tracing::debug!(%error, "what is owed to the database waits"),
    }
}

async fn renew_all(app: &App, strays: &HashSet<String>) -> Result<HashSet<String>, StoreError> {
    let known = app.sessions.ids();
    let sent = Instant::now();
    let duration = duration(app);
    let renewed: HashSet<String> =
        app.store.renew_leases(&app.relay_id, duration).await?.into_iter().collect();
    app.lease.renewed(sent, duration);
    for id in known.iter().filter(|id| !renewed.contains(*id)) {
        app.sessions.tell(id, Command::Lose);
    }
    let here = app.sessions.ids();
    let found: HashSet<String> =
        renewed.into_iter().filter(|id| !known.contains(id) && !here.contains(id)).collect();
    for id in found.intersection(strays) {
        tracing::warn!(session = %id, "a session without a task here is given up");
        app.store.end_leases(Leases::Session { id, relay: &app.relay_id }).await?;
    }
    Ok(found)
}
