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
/// After a renewal that failed, or that found rows locked by somebody else.
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
pub struct Lease(Mutex<Valid>);

#[derive(Debug)]
struct Valid {
    until: Instant,
    /// Sessions whose row somebody else had locked at the last renewal: their lease is the one from before.
    held: HashMap<String, Instant>,
}

impl Lease {
    /// Valid for so long from now on.
    pub(crate) fn new(grace: Duration) -> Lease {
        Lease(Mutex::new(Valid { until: Instant::now() + grace + MARGIN - SAFETY, held: HashMap::new() }))
    }

    /// When that of a session ends, unless it is renewed by then.
    pub(super) fn valid_until(&self, session_id: &str) -> Instant {
        let valid = self.lock();
        valid.held.get(session_id).copied().unwrap_or(valid.until)
    }

    /// Renewed by a request that was sent at this time, but for these sessions.
    fn renewed(&self, sent: Instant, duration: Duration, held: &[String]) {
        let mut valid = self.lock();
        let before = |id| valid.held.get(id).copied().unwrap_or(valid.until);
        valid.held = held.iter().map(|id| (id.clone(), before(id))).collect();
        valid.until = sent + duration - SAFETY;
    }

    fn lock(&self) -> MutexGuard<'_, Valid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    // Rows under this relay's name that no session here belongs to. They may be about to begin, so only the second look counts.
    let mut strays = HashSet::new();
    // That waits for whoever has such a row locked, and no renewal waits for that.
    let mut giving_up = JoinSet::new();
    while tick(&app, &mut due).await {
        match timeout(RENEW_TIMEOUT, renew_all(&app)).await {
            Ok(Ok(Found { held, strays: found })) => {
                while giving_up.try_join_next().is_some() {}
                if giving_up.is_empty() {
                    let ids: Vec<String> = found.intersection(&strays).cloned().collect();
                    giving_up.spawn(give_up(Arc::clone(&app), ids));
                }
                strays = found;
                if !held {
                    continue;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the leases of the sessions were not renewed"),
            Err(_) => tracing::warn!("the leases of the sessions were not renewed in time"),
        }
        due.reset_after(RENEW_RETRY);
    }
}

async fn give_up(app: Arc<App>, ids: Vec<String>) {
    for id in ids {
        tracing::warn!(session = %id, "a session without a task here is given up");
        let lease = Leases::Session { id: &id, relay: &app.relay_id };
        if let Err(error) = app.store.end_leases(lease).await {
            tracing::warn!(session = %id, %error, "its lease was not ended");
        }
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

/// What a renewal has found in the store.
struct Found {
    /// Some rows were locked: they are to be tried again soon.
    held: bool,
    /// Sessions that are this relay's and not here.
    strays: HashSet<String>,
}

async fn renew_all(app: &App) -> Result<Found, StoreError> {
    let known = app.sessions.ids();
    let sent = Instant::now();
    let duration = duration(app);
    let Renewed { ids, held } = app.store.renew_leases(&app.relay_id, duration).await?;
    app.lease.renewed(sent, duration, &held);
    let any_held = !held.is_empty();
    let own: HashSet<String> = ids.into_iter().chain(held).collect();
    for id in known.iter().filter(|id| !own.contains(*id)) {
        app.sessions.tell(id, Command::Lose);
    }
    let here = app.sessions.ids();
    let strays = own.into_iter().filter(|id| !known.contains(id) && !here.contains(id)).collect();
    Ok(Found { held: any_held, strays })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_whose_row_was_locked_has_the_lease_from_before_and_others_have_the_new_one() {
        let (grace, step) = (Duration::from_secs(60), Duration::from_secs(5));
        let lease = Lease::new(grace);
        let mut sent = Instant::now();
        let mut renew = |held: &[&str]| {
            sent += step;
            let held: Vec<String> = held.iter().map(|id| (*id).to_owned()).collect();
            lease.renewed(sent, grace + MARGIN, &held);
            sent + grace + MARGIN - SAFETY
        };
        let first = renew(&[]);
        for held in [&["a", "b"][..], &["a", "b"], &["a"]] {
            let now = renew(held);
            assert_eq!((lease.valid_until("a"), lease.valid_until("c")), (first, now));
        }
        assert_eq!(lease.valid_until("b"), first + 3 * step, "it was renewed in the last round");
        let last = renew(&["b"]);
        assert_eq!((lease.valid_until("a"), lease.valid_until("b")), (last, last - step));
    }
}
