//! A relay's hold on its sessions. While it renews its leases nobody else takes them for lost; once it cannot, it must stop spending before
//! somebody else may.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::registry::Command;
use crate::App;
use crate::store::{Leases, Renewed, StoreError};

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
/// Between two looks for what could not be written.
const REPLAY_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for sessions that others have lost.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

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

/// Renews the leases of this relay's sessions, writes what is owed and looks after the sessions that others have lost, until the relay
/// stops. Each is a task of its own: a renewal waits for none of the others, however much they have to do.
pub(crate) async fn keep(app: Arc<App>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(renew(Arc::clone(&app)));
    tasks.spawn(pay(Arc::clone(&app)));
    tasks.spawn(sweep(app));
    while tasks.join_next().await.is_some() {}
}

async fn renew(app: Arc<App>) {
    let mut due = every(RENEW_EVERY);
    let mut held = Held::default();
    while tick(&app, &mut due).await {
        match timeout(RENEW_TIMEOUT, renew_all(&app, &mut held)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => tracing::warn!(%error, "the leases of the sessions were not renewed"),
            Err(_) => tracing::warn!("the leases of the sessions were not renewed in time"),
        }
        due.reset_after(RENEW_RETRY);
    }
}

/// Writes what sessions that had to leave have left behind.
async fn pay(app: Arc<App>) {
    let mut due = every(REPLAY_EVERY);
    while tick(&app, &mut due).await {
        match app.spill.replay(&*app.store, |id| app.sessions.has(id)).await {
            Ok(0) => {}
            Ok(entries) => tracing::info!(entries, "what was owed to the database is written"),
            Err(error) => tracing::debug!(%error, "what is owed to the database waits"),
        }
    }
}

async fn sweep(app: Arc<App>) {
    let mut due = every(SWEEP_EVERY);
    while tick(&app, &mut due).await {
        match app.store.sweep(app.config.resume_window).await {
            Ok(swept) if swept.released + swept.ended > 0 => {
                tracing::info!(released = swept.released, ended = swept.ended, "lost sessions");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "lost sessions were not looked for"),
        }
    }
}

/// Waits until it is time; `false` when the relay stops.
async fn tick(app: &App, due: &mut Interval) -> bool {
    tokio::select! {
        biased;
        () = app.shutdown.cancelled() => false,
        _ = due.tick() => true,
    }
}

fn every(period: Duration) -> Interval {
    let mut due = interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due
}

/// What the last renewals found.
#[derive(Debug, Default)]
struct Held {
    /// Rows under this relay's name that no session here belongs to. They may be about to begin, so only the second look counts.
    strays: HashSet<String>,
    /// Sessions whose rows somebody else held, and until when their leases are good nevertheless.
    busy: HashMap<String, Instant>,
}

async fn renew_all(app: &App, held: &mut Held) -> Result<(), StoreError> {
    let known = app.sessions.ids();
    let sent = Instant::now();
    let (before, duration) = (app.lease.valid_until(), duration(app));
    let Renewed { renewed, busy } = app.store.renew_leases(&app.relay_id, duration).await?;
    app.lease.renewed(sent, duration);
    let ours: HashSet<String> = renewed.into_iter().chain(busy.iter().cloned()).collect();
    for id in known.iter().filter(|id| !ours.contains(*id)) {
        app.sessions.tell(id, Command::Lose);
    }
    // A row that is held for a moment is renewed the next time. One that is held for so long that its lease ends is as good as lost.
    let until = |id: &String| held.busy.get(id).copied().unwrap_or(before);
    held.busy = busy.into_iter().map(|id| (until(&id), id)).map(|(until, id)| (id, until)).collect();
    for (id, _) in held.busy.iter().filter(|(_, until)| **until <= Instant::now() + RENEW_EVERY) {
        tracing::warn!(session = %id, "its row was held by somebody else for so long that its lease ends");
        app.sessions.tell(id, Command::Lose);
    }
    let here = app.sessions.ids();
    let strays: HashSet<String> =
        ours.into_iter().filter(|id| !known.contains(id) && !here.contains(id)).collect();
    for id in strays.intersection(&held.strays) {
        tracing::warn!(session = %id, "a session without a task here is given up");
        let lease = Leases::Session { id, relay: &app.relay_id };
        if let Err(error) = app.store.end_leases(lease).await {
            tracing::warn!(session = %id, %error, "its lease was not ended");
        }
    }
    held.strays = strays;
    Ok(())
}
