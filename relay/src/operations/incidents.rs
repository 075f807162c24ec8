//! What is wrong with the service as a whole, for the webhook of alerts: providers that are not asked, calls that fail, answers that are slow, a
//! database that is away. All but the last is written into the database, so that one of several relays sends it, once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::Time;
use tokio::sync::watch;

use super::health::Health;
use super::outage::{Outage, OutageNews};
use super::upkeep::{AlertsAddress, every};
use crate::App;
use crate::records::store::{Attempted, HOUR_MS, IncidentKind, IncidentState, NewIncident, unix_ms};

/// Between two looks at the providers. One that is not asked stays so for longer.
const PROVIDERS_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at how calls went.
const CALLS_EVERY: Duration = Duration::from_secs(60);
/// Between two looks at whether the database takes writes, and between two tries to tell of it at least.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// How much may wait to be told of the database. The oldest goes.
const NEWS_MAX: usize = 16;

/// What this relay has noted last of each kind and subject, and in which hour: it writes what is news, and not with each look.
#[derive(Debug, Default)]
struct Noted(BTreeMap<(IncidentKind, String), (IncidentState, i64)>);

impl Noted {
    /// Whether this is as it was in this hour.
    fn has(&self, incident: &NewIncident) -> bool {
        self.last(incident) == Some(&stamp(incident))
    }

    /// Whether this was last found to be so, at whatever time.
    fn was_firing(&self, incident: &NewIncident) -> bool {
        self.last(incident).is_some_and(|(state, _)| *state == IncidentState::Firing)
    }

    fn note(&mut self, incident: NewIncident) {
        let stamp = stamp(&incident);
        self.0.insert((incident.kind, incident.subject), stamp);
    }

    fn last(&self, incident: &NewIncident) -> Option<&(IncidentState, i64)> {
        self.0.get(&(incident.kind, incident.subject.clone()))
    }
}

fn stamp(incident: &NewIncident) -> (IncidentState, i64) {
    (incident.state, incident.at_ms.div_euclid(HOUR_MS))
}

/// Tells of the providers that this relay does not ask, and of those that it asks again.
pub(super) async fn watch_providers(apps: watch::Receiver<Arc<App>>) {
    let mut noted = Noted::default();
    let mut tick = every(PROVIDERS_EVERY);
    loop {
        tick.tick().await;
        let app = Arc::clone(&apps.borrow());
        for (name, upstream) in &app.upstreams {
            let state = if upstream.is_asked() { IncidentState::Resolved } else { IncidentState::Firing };
            let incident = NewIncident {
                kind: IncidentKind::ProviderDown,
                subject: name.clone(),
                state,
                value: 0,
                threshold: 0,
                at_ms: unix_ms(),
            };
            // That this relay asks a provider says nothing of one that others have found to be down.
            if state == IncidentState::Firing || noted.was_firing(&incident) {
                note(&app, &mut noted, incident).await;
            }
        }
    }
}

/// Tells of calls that fail and of answers that are slow, by the sums that all relays of a database share.
pub(super) async fn watch_calls(apps: watch::Receiver<Arc<App>>) {
    let mut noted = Noted::default();
    let mut tick = every(CALLS_EVERY);
    loop {
        tick.tick().await;
        let app = Arc::clone(&apps.borrow());
        let alerts = app.config.alerts;
        if alerts.failed_calls_percent.is_none() && alerts.answer_p95_ms.is_none() {
            continue;
        }
        let now_ms = unix_ms();
        match app.records.store.overview(&Health::lately(now_ms)).await {
            Ok(overview) => {
                for incident in Health::of(&overview).incidents(&alerts, now_ms) {
                    note(&app, &mut noted, incident).await;
                }
            }
            Err(error) => tracing::debug!(%error, "how calls went was not read"),
        }
    }
}

/// Writes it for the webhook, unless this relay has. What cannot be written is found again with the next look.
async fn note(app: &App, noted: &mut Noted, incident: NewIncident) {
    if noted.has(&incident) {
        return;
    }
    let NewIncident { kind, subject, state, value, threshold, .. } = &incident;
    match app.records.store.note_incident(&incident).await {
        Ok(true) => {
            let (alert, state) = (kind.name(), state.name());
            tracing::warn!(alert, state, %subject, value, threshold, "an alert of the service as a whole");
        }
        // Another relay has written it, or there is nothing that could end.
        Ok(false) => {}
        Err(error) => return tracing::debug!(%error, alert = kind.name(), "an alert waits for the database"),
    }
    noted.note(incident);
}

/// Tells that the database takes no writes, by whether it took the last renewal of this relay's lease, and that it takes them again. Each relay
/// tells it for itself: there is nothing that several could agree by.
pub(super) async fn watch_store(apps: watch::Receiver<Arc<App>>) {
    let (mut outage, mut address) = (Outage::default(), AlertsAddress::default());
    let mut untold: VecDeque<Untold> = VecDeque::new();
    let mut tick = every(STORE_EVERY);
    loop {
        tick.tick().await;
        let app = Arc::clone(&apps.borrow());
        let (now, takes_writes) = (app.live.now(), app.live.lease.is_renewed());
        if let Some(news) = outage.handle_look(now, unix_ms(), takes_writes, app.config.alerts.store_down) {
            let OutageNews { state, since_ms, .. } = news;
            let state = state.name();
            tracing::warn!(alert = "store.down", state, since_ms, "an alert of the service as a whole");
            untold.push_back(Untold { news, attempts: 0, due: now });
            if untold.len() > NEWS_MAX {
                untold.pop_front();
            }
        }
        // One after another, so that nobody hears of the end before the beginning.
        let Some(next) = untold.front_mut().filter(|next| next.due <= now) else { continue };
        let attempted = match address.newest(app.config.webhook.as_ref()) {
            Ok(Some(webhook)) => {
                next.attempts += 1;
                webhook.tell_outage(&app.live.relay_id, &next.news, next.attempts).await
            }
            Ok(None) => Attempted::GivenUp,
            Err(error) => return tracing::error!(%error, "alerts of the database are not sent"),
        };
        match attempted {
            Attempted::Again(wait) => next.due = app.live.now() + wait,
            Attempted::Delivered | Attempted::GivenUp => {
                untold.pop_front();
            }
        }
    }
}

/// What is to be told of the database.
#[derive(Debug)]
struct Untold {
    news: OutageNews,
    attempts: u32,
    /// When it is tried next.
    due: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(subject: &str, state: IncidentState, at_ms: i64) -> NewIncident {
        let kind = IncidentKind::ProviderDown;
        NewIncident { kind, subject: subject.to_owned(), state, value: 0, threshold: 0, at_ms }
    }

    #[test]
    fn what_goes_on_is_written_once_an_hour_and_each_provider_for_itself() {
        let (firing, resolved) = (IncidentState::Firing, IncidentState::Resolved);
        let mut noted = Noted::default();
        assert!(!noted.was_firing(&incident("ears", resolved, 0)), "it was never found to be down");
        noted.note(incident("ears", firing, 5));
        assert!(noted.has(&incident("ears", firing, HOUR_MS - 1)));
        assert!(!noted.has(&incident("ears", firing, HOUR_MS)), "in the next hour it is told again");
        assert!(!noted.has(&incident("voice", firing, 5)) && !noted.has(&incident("ears", resolved, 6)));
        assert!(noted.was_firing(&incident("ears", resolved, 7)));
        noted.note(incident("ears", resolved, 7));
        assert!(!noted.was_firing(&incident("ears", resolved, 8)), "its end is told once");
    }
}
