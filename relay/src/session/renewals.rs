//! Renews this relay's [`Lease`], and compares the sessions that are its by the database with those that live here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::Time;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::lease::{self, Lease, Lost};
use super::registry::Command;
use crate::App;
use crate::records::store::{Leases, StoreError};

/// How long a renewal may take. One that takes longer is given up, since the next try may get through.
const RENEW_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two looks at whether the database has this relay's address: a row of a relay that was away for long is made anew without it.
const ADVERTISE_EVERY: Duration = Duration::from_secs(60);
/// The time between two looks at which sessions are this relay's.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The lease of this relay, as its tasks share it.
#[derive(Debug)]
pub struct OwnLease(Mutex<Lease>);

impl OwnLease {
    pub(crate) fn new(lease: Lease) -> OwnLease {
        OwnLease(Mutex::new(lease))
    }

    /// See [`Lease::valid_until`].
    pub(super) fn valid_until(&self) -> Time {
        self.lock().valid_until()
    }

    /// How long it is until this relay has to stop its sessions, unless the lease is renewed.
    pub(crate) fn margin(&self, now: Time) -> Duration {
        self.valid_until().since(now)
    }

    /// See [`Lease::is_renewed`].
    pub(crate) fn is_renewed(&self) -> bool {
        self.lock().is_renewed()
    }

    /// See [`Lease::lost`].
    pub(crate) fn lost(&self, now: Time) -> Lost {
        self.lock().lost(now)
    }

    fn lock(&self) -> MutexGuard<'_, Lease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews this relay's lease until it is dropped. That is later than the order to stop: the sessions of a relay that stops write what is owed, and
/// another relay that is asked for them has to know that this one is still there. No renewal waits for anything else that the relay does.
pub(crate) async fn keep(app: Arc<App>) {
    let is_shared = app.config.database_url.is_some();
    let mut due = interval(if is_shared { lease::RENEW_EVERY } else { lease::RENEW_EVERY_ALONE });
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let duration = lease::duration(app.config.store_grace);
    let mut advertised = None::<Time>;
    loop {
        due.tick().await;
        let sent = app.live.now();
        let renewing = app.records.store.renew_lease(&app.live.relay_id, duration);
        match timeout(RENEW_TIMEOUT, renewing).await {
            Ok(Ok(())) => {
                app.live.lease.lock().handle_renewal(sent);
                if advertised.is_none_or(|at| sent.since(at) >= ADVERTISE_EVERY) && advertise(&app).await {
                    advertised = Some(sent);
                }
                continue;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the lease of this relay was not renewed"),
            Err(_) => tracing::warn!("the lease of this relay was not renewed in time"),
        }
        app.live.lease.lock().handle_failure(app.live.now());
        due.reset_after(lease::RENEW_RETRY);
    }
}

/// Notes where other relays reach this one, if its configuration says it. Says whether there is nothing left to do for a while.
async fn advertise(app: &App) -> bool {
    let Some(address) = &app.config.network.advertise else { return true };
    let noting = app.records.store.advertise(&app.live.relay_id, address);
    match timeout(lease::RENEW_EVERY, noting).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the address of this relay was not noted");
            false
        }
        Err(_) => false,
    }
}

/// Tells sessions here that another relay has taken over, and gives up those that the database says are here and that are not.
pub(crate) async fn compare(app: Arc<App>) {
    let mut due = interval(LOOK_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Stored sessions of this relay that no task here belongs to. A session that is about to begin looks like that for a moment, so only
    // those are given up that are found twice in a row.
    let mut strays = HashSet::new();
    // Giving a session up may wait for a lock on its row, so it is a task of its own, which no look waits for.
    let mut giving_up = JoinSet::new();
    loop {
        due.tick().await;
        match look(&app).await {
            Ok(found) => {
                while giving_up.try_join_next().is_some() {}
                if giving_up.is_empty() {
                    let ids: Vec<String> = found.intersection(&strays).cloned().collect();
                    giving_up.spawn(give_up(Arc::clone(&app), ids));
                }
                strays = found;
            }
            Err(error) => tracing::warn!(%error, "which sessions are this relay's could not be read"),
        }
    }
}

/// Tells sessions here that another relay has taken over. Returns the ids of stored sessions of this relay that have no task here.
async fn look(app: &App) -> Result<HashSet<String>, StoreError> {
    let known = app.live.sessions.ids();
    let own: HashSet<String> =
        app.records.store.sessions_held(&app.live.relay_id).await?.into_iter().collect();
    for id in known.iter().filter(|id| !own.contains(*id)) {
        app.live.sessions.tell(id, Command::TakenOver);
    }
    let here = app.live.sessions.ids();
    Ok(own.into_iter().filter(|id| !known.contains(id) && !here.contains(id)).collect())
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
