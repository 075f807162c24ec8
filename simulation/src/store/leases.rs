//! Until when a session is its relay's, and what becomes of those whose relay is lost.

use std::time::Duration;

use protocol::CloseCode;
use relay::records::store::{HAND_OFF, Leases, Lost, Swept};

use super::{HELD, Model, RelayRow, Session};

/// Lost sessions that one sweep handles.
const SWEEP_MAX: usize = 50;

impl Model {
    /// When a session is nobody's any more.
    pub(super) fn lease(&self, session: &Session) -> i64 {
        match self.relays.get(&session.row.relay) {
            Some(relay) => relay.lease_until.min(session.lease_until),
            None if session.lease_until < HELD => session.lease_until,
            None => 0,
        }
    }

    /// See [`relay::records::store::Store::ask_for`].
    pub fn ask_for(&mut self, now: i64, id: &str, by: &str, lost: Lost) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let seen_at = self.relays.get(&session.row.relay).map_or(0, |relay| relay.seen_at);
        let is_silent = lost.unseen.is_some_and(|unseen| seen_at > 0 && seen_at <= now - millis(unseen));
        let is_held = session.is_live()
            && session.row.relay != by
            && self.lease(session) > now + millis(lost.left)
            && !is_silent;
        if let Some(session) = self.sessions.get_mut(id).filter(|_| is_held) {
            session.end_requested.get_or_insert_with(|| HAND_OFF.to_owned());
        }
        is_held
    }

    /// What somebody wants done with a relay's sessions: hand them over, or end them with a close code of this name.
    #[must_use]
    pub fn ends_requested(&self, relay: &str) -> Vec<(String, String)> {
        let of_relay = self.sessions.values().filter(|one| one.is_live() && one.row.relay == relay);
        of_relay.filter_map(|one| Some((one.row.id.clone(), one.end_requested.clone()?))).collect()
    }

    /// Asks the relay that has a session to end it. See [`relay::records::store::Store::request_end`].
    pub fn request_end(&mut self, id: &str, reason: &str) {
        if let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_live()) {
            session.end_requested = Some(reason.to_owned());
        }
    }

    /// See [`relay::records::store::Store::renew_lease`].
    pub fn renew_lease(&mut self, now: i64, relay: &str, lease: Duration) {
        let row = RelayRow { lease_until: now + millis(lease), seen_at: now };
        match self.relays.get_mut(relay) {
            Some(relay) => *relay = row,
            None => drop(self.relays.insert(relay.to_owned(), row)),
        }
    }

    /// Gives a relay a lease, if it has none that is good.
    pub(super) fn begin_lease(&mut self, now: i64, relay: &str, lease: Duration) {
        if self.relays.get(relay).is_none_or(|relay| relay.lease_until <= now) {
            self.renew_lease(now, relay, lease);
        }
    }

    /// See [`relay::records::store::Store::sessions_held`].
    #[must_use]
    pub fn sessions_held(&self, now: i64, relay: &str) -> Vec<String> {
        let of_relay = self.sessions.values().filter(|one| one.is_live() && one.row.relay == relay);
        of_relay.filter(|one| one.lease_until > now).map(|one| one.row.id.clone()).collect()
    }

    /// See [`relay::records::store::Store::end_leases`].
    pub fn end_leases(&mut self, now: i64, leases: Leases<'_>) {
        if let Leases::Of(relay) = leases
            && let Some(relay) = self.relays.get_mut(relay)
        {
            relay.lease_until = relay.lease_until.min(now);
        }
        let is_meant = |session: &Session| match leases {
            Leases::Of(relay) => session.row.relay == relay,
            Leases::OfAllBut(relay) => session.row.relay != relay,
            Leases::Session { id, relay } => session.row.id == id && session.row.relay == relay,
        };
        for session in self.sessions.values_mut().filter(|one| one.is_live() && is_meant(one)) {
            session.lease_until = session.lease_until.min(now);
        }
    }

    /// See [`relay::records::store::Store::sweep`].
    pub fn sweep(&mut self, now: i64, window: Duration) -> Swept {
        let over = now - millis(window);
        let mut lost: Vec<(i64, String)> = self
            .sessions
            .values()
            .filter(|one| one.is_live())
            .map(|one| (self.lease(one), one))
            .filter(|(lease, one)| *lease <= now && (*lease <= over || one.row.authorised > one.row.cost))
            .map(|(lease, one)| (lease, one.row.id.clone()))
            .collect();
        lost.sort();
        lost.truncate(SWEEP_MAX);
        let mut swept = Swept::default();
        for (lease, id) in lost {
            swept.released += 1;
            if lease <= over {
                self.end_lost(now, &id, CloseCode::Abnormal);
                swept.ended += 1;
            } else {
                self.write_off(now, &id);
            }
        }
        swept
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
