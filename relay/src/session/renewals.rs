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
    // Stored sessions of this relay that no task here belongs to or is about to. Only those are given up that are found twice in a row: the client
    // of one that could not be taken over for want of an answer of the database comes back meanwhile.
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
    // Those that were here have perhaps ended since.
    Ok(own.into_iter().filter(|id| !known.contains(id) && app.live.sessions.is_stray(id)).collect())
}

/// Ends the leases of sessions that have no task here, so that another relay may take them over.
async fn give_up(app: Arc<App>, ids: Vec<String>) {
    for id in ids {
        // Nobody here takes it over meanwhile, and whoever has begun to has it.
        let _rebuilding = app.live.sessions.lock_rebuilding(&id).await;
        if !app.live.sessions.is_stray(&id) {
            continue;
        }
        tracing::warn!(session = %id, "a session without a task here is given up");
        let lease = Leases::Session { id: &id, relay: &app.live.relay_id };
        if let Err(error) = app.records.store.end_leases(lease).await {
            tracing::warn!(session = %id, %error, "its lease was not ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::Registry;
    use super::*;
    use crate::admission::auth::Verifier;
    use crate::config::Secret;
    use crate::money::price::PriceTable;
    use crate::records::spill::Spill;
    use crate::records::store::{DATABASE_FILE, Opened, SqlStore, sample};
    use crate::{Config, Records};

    /// A relay that does nothing by itself, with its data in a folder.
    async fn relay() -> (Arc<App>, TempDir) {
        let data = tempfile::tempdir().expect("a folder");
        let mut config = Config::defaults();
        config.auth.hs256_secret = Some(Secret::new("an-example-secret-of-more-than-32-bytes".into()));
        let verifier = Verifier::from_config(&config.auth).expect("a verifier");
        let store = SqlStore::sqlite(&data.path().join(DATABASE_FILE)).await.expect("a store");
        let spill = Spill::open(data.path()).await.expect("a file for what is owed");
        let records = Records { store: Arc::new(store), spill, recordings: None };
        (Arc::new(App::new(config, verifier, records, PriceTable::shipped())), data)
    }

    /// Stores a session as this relay's.
    async fn store(app: &App, id: &str) {
        let (session, quota) = (sample::session(id), sample::quota(&app.live.relay_id));
        let opened = app.records.store.open_session(&session, &quota).await.expect("written");
        assert!(matches!(opened, Opened::Yes { .. }), "{opened:?}");
    }

    fn only(id: &str) -> HashSet<String> {
        HashSet::from([id.to_owned()])
    }

    #[tokio::test]
    async fn a_session_that_takes_long_to_be_opened_or_taken_over_is_not_given_up_by_its_own_relay() {
        let (app, _data) = relay().await;
        let coming = Registry::expect(&app.live, "a");
        store(&app, "a").await;
        let held = async || app.records.store.sessions_held(&app.live.relay_id).await.expect("read");
        for _ in 0..3 {
            assert_eq!(look(&app).await.expect("read"), HashSet::new(), "it is about to be here");
        }
        // It was a stray when it was looked at, and is taken over again before it is given up.
        give_up(Arc::clone(&app), vec!["a".to_owned()]).await;
        assert_eq!(held().await, ["a"]);

        // It has come to nothing.
        drop(coming);
        assert_eq!(look(&app).await.expect("read"), only("a"));
        give_up(Arc::clone(&app), vec!["a".to_owned()]).await;
        assert_eq!(held().await, [""; 0], "another relay may take it over");
    }
}
