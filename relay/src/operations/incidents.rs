//! What is wrong with the service as a whole, for the webhook of alerts: providers that are not asked, calls that fail, answers that are slow, a
//! database that is away. All but the last is written into the database, so that one of several relays sends it, once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::Time;
use tokio::sync::watch;

use super::health::Health;
use super::outage::{Outage, OutageNews, STORE_DOWN};
use super::telemetry;
use super::upkeep::{AlertsAddress, every};
use crate::App;
use crate::provider::{Standing, Upstreams};
use crate::records::store::{
    Attempted, IncidentKind, IncidentPace, IncidentState, NewIncident, Overview, OverviewFilter, StoreError,
    unix_ms,
};

/// Between two looks at the providers. One that is not asked stays so for longer.
const PROVIDERS_EVERY: Duration = Duration::from_secs(2);
/// How long a provider that has failed still counts as down when the time for which it is not asked is over and no request has tried it since: as
/// long as it is asked now and then, and fails, all of that is one and the same.
const UNTRIED: Duration = Duration::from_secs(300);
/// Between two looks at how calls went.
const CALLS_EVERY: Duration = Duration::from_secs(60);
/// Between two times that a relay notes what it finds, as long as it finds the same. It is often enough that two of them may be lost before the
/// others take it for over.
const NOTE_EVERY: Duration = Duration::from_secs(15);
/// What goes on is told once an hour. It is over when no relay has found it for a minute: what comes and goes sooner is one and the same.
const PACE: IncidentPace = IncidentPace { again: Duration::from_secs(3_600), calm: Duration::from_secs(60) };
/// The same of calls and answers. One relay may find what the others do not, since each adds the long calls that ended at it, and they look seldom: a
/// look that fails or comes late ends nothing.
const PACE_OF_CALLS: IncidentPace = IncidentPace { calm: CALLS_EVERY.saturating_mul(3), ..PACE };
/// Between two looks at whether the database takes writes, and between two tries to tell of it at least.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// How much may wait to be told of the database. The oldest goes.
const NEWS_MAX: usize = 16;

/// What this relay has noted last of each kind and subject.
#[derive(Debug, Default)]
struct Noted(BTreeMap<(IncidentKind, String), Last>);

/// What was noted last.
#[derive(Clone, Copy, Debug)]
struct Last {
    state: IncidentState,
    /// When it was noted for the first time, with nothing else in between.
    since: Time,
    /// When it was noted for the last time. It is not noted again with each look.
    at: Time,
}

impl Noted {
    fn note(&mut self, now: Time, incident: NewIncident) {
        let NewIncident { kind, subject, state, .. } = incident;
        let last = self.0.entry((kind, subject)).or_insert(Last { state, since: now, at: now });
        if last.state != state {
            last.since = now;
        }
        (last.state, last.at) = (state, now);
    }

    /// Whether this was noted a short while ago, and nothing else since.
    fn has(&self, now: Time, incident: &NewIncident) -> bool {
        let last = self.0.get(&(incident.kind, incident.subject.clone()));
        last.is_some_and(|last| last.state == incident.state && now < last.at + NOTE_EVERY)
    }

    /// Forgets the providers that are not in the configuration any more and whose end is written. As long as a relay has just found one down,
    /// its end comes to nothing, so it is noted for longer than that.
    fn forget_removed(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|(kind, name), last| {
            if *kind != IncidentKind::ProviderDown {
                return true;
            }
            if is_there(name) {
                // What counts is how long its end is noted from when it was taken out.
                last.since = last.at;
                return true;
            }
            last.state != IncidentState::Resolved || last.at < last.since + PACE.calm + NOTE_EVERY
        });
    }
}

/// Tells of the providers that this relay does not ask. That it asks one ends nothing that another relay has found, or this one before it was
/// started anew, until nobody has found that for a while.
pub(super) async fn watch_providers(apps: watch::Receiver<Arc<App>>) {
    let mut noted = Noted::default();
    let mut tick = every(PROVIDERS_EVERY);
    loop {
        tick.tick().await;
        let app = Arc::clone(&apps.borrow());
        for incident in of_providers(app.live.now(), &app.upstreams, &noted) {
            note(&app, &mut noted, incident).await;
        }
        noted.forget_removed(|name| app.upstreams.contains_key(name));
    }
}

/// How each provider is, and that nothing is wrong with those that this relay knew and that are not in its configuration any more: nobody would
/// ever say so otherwise. Nor would anybody of one that failed before a quiet night: it is over when nobody has tried it for a while.
fn of_providers(now: Time, upstreams: &Upstreams, noted: &Noted) -> Vec<NewIncident> {
    let incident = |subject: &String, state| {
        let kind = IncidentKind::ProviderDown;
        NewIncident { kind, subject: subject.clone(), state, value: 0, threshold: 0 }
    };
    let there = upstreams.iter().map(|(name, upstream)| {
        let state = match upstream.look(now) {
            Standing::Closed => IncidentState::Resolved,
            Standing::Due { since } if now.since(since) >= UNTRIED => IncidentState::Resolved,
            Standing::Due { .. } | Standing::Probing | Standing::Open => IncidentState::Firing,
        };
        incident(name, state)
    });
    let known = noted
        .0
        .keys()
        .filter(|(kind, name)| *kind == IncidentKind::ProviderDown && !upstreams.contains_key(name));
    there.chain(known.map(|(_, name)| incident(name, IncidentState::Resolved))).collect()
}

/// Tells of calls that fail and of answers that are slow, by the sums that all relays of a database share, and by the long calls of this one.
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
        let filter = Health::lately(now_ms);
        match lately(&app, &filter).await {
            Ok(Some(overview)) => {
                let long = app.live.long_calls.ended(filter.from_ms, now_ms);
                for incident in Health::of(&overview).with(long).incidents(&alerts) {
                    note(&app, &mut noted, incident).await;
                }
            }
            Ok(None) => tracing::debug!("how calls went is not looked at: it is being added up"),
            Err(error) => tracing::debug!(%error, "how calls went was not read"),
        }
    }
}

/// How calls went. `None` while they are not all added up: some of them say nothing of all. That is asked before and after, since it may begin to
/// be made anew, or be done, in between.
async fn lately(app: &App, filter: &OverviewFilter) -> Result<Option<Overview>, StoreError> {
    let store = &app.records.store;
    if !store.is_rolled_up().await? {
        return Ok(None);
    }
    let overview = store.overview(filter).await?;
    Ok(store.is_rolled_up().await?.then_some(overview))
}

fn pace(kind: IncidentKind) -> IncidentPace {
    match kind {
        IncidentKind::ProviderDown => PACE,
        IncidentKind::CallsFailing | IncidentKind::AnswersSlow => PACE_OF_CALLS,
    }
}

/// Notes it for the webhook, unless this relay has a short while ago. What cannot be written is found again with the next look.
async fn note(app: &App, noted: &mut Noted, incident: NewIncident) {
    let now = app.live.now();
    if noted.has(now, &incident) {
        return;
    }
    let NewIncident { kind, subject, state, value, threshold } = &incident;
    match app.records.store.note_incident(&incident, pace(*kind)).await {
        Ok(true) => {
            telemetry::alert(kind.name(), *state);
            let (alert, state) = (kind.name(), state.name());
            tracing::warn!(alert, state, %subject, value, threshold, "an alert of the service as a whole");
        }
        // It is known, or there is nothing that ends yet.
        Ok(false) => {}
        Err(error) => return tracing::debug!(%error, alert = kind.name(), "an alert waits for the database"),
    }
    noted.note(now, incident);
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
            telemetry::alert(STORE_DOWN, state);
            let state = state.name();
            tracing::warn!(alert = STORE_DOWN, state, since_ms, "an alert of the service as a whole");
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
    use crate::provider::{Ask, Event, Failure, FailureKind, Kind, Provider, Upstream, scenario};

    fn incident(subject: &str, state: IncidentState) -> NewIncident {
        let kind = IncidentKind::ProviderDown;
        NewIncident { kind, subject: subject.to_owned(), state, value: 0, threshold: 0 }
    }

    #[test]
    fn a_provider_that_is_taken_out_of_the_configuration_is_told_to_be_over() {
        let mut noted = Noted::default();
        assert_eq!(of_providers(Time::ZERO, &Upstreams::new(), &noted), []);
        noted.note(Time::ZERO, incident("ears", IncidentState::Firing));
        let calls = NewIncident { kind: IncidentKind::CallsFailing, ..incident("", IncidentState::Firing) };
        noted.note(Time::ZERO, calls);
        let over = [incident("ears", IncidentState::Resolved)];
        assert_eq!(of_providers(Time::ZERO, &Upstreams::new(), &noted), over);
        noted.note(Time::ZERO, incident("ears", IncidentState::Resolved));
        assert_eq!(of_providers(Time::ZERO, &Upstreams::new(), &noted), over, "until its end is written");
    }

    #[test]
    fn a_provider_is_down_as_long_as_requests_that_try_it_fail_and_until_nobody_has_tried_it_for_a_while() {
        let kind = Kind::named("openai-speech").expect("registered");
        let ears = Provider { name: "ears".to_owned(), ..scenario::provider(kind, "small") };
        let ears = Arc::new(Upstream::new(ears).expect("a client"));
        let upstreams = Upstreams::from([("ears".to_owned(), Arc::clone(&ears))]);
        let state = |now| {
            let found = of_providers(now, &upstreams, &Noted::default());
            found.into_iter().map(|incident| incident.state).collect::<Vec<_>>()
        };
        let fails = |now| {
            let mut pass = ears.admit(now, &Ask::Speak("Hello.".to_owned())).expect("its time is over");
            pass.note(now, &Event::Failed(Failure::new(FailureKind::Key, "no such key")));
        };
        let (firing, resolved) = ([IncidentState::Firing], [IncidentState::Resolved]);
        assert_eq!(state(Time::ZERO), resolved);
        // Five minutes each, as long as an operator takes.
        let mut now = Time::ZERO;
        for _ in 0..3 {
            fails(now);
            let is_over = now + Duration::from_secs(300);
            now = is_over + UNTRIED - Duration::from_millis(1);
            assert_eq!([state(is_over), state(now)], [firing; 2], "one that is asked now and then");
        }
        now = now + Duration::from_millis(1);
        assert_eq!(state(now), resolved, "nobody knows anything against it any more");
        fails(now);
        assert_eq!(state(now), firing, "it still fails, and somebody was let down");
    }

    #[test]
    fn a_provider_that_is_taken_out_of_the_configuration_is_forgotten_when_its_end_is_written() {
        let (mut noted, none) = (Noted::default(), Upstreams::new());
        let calls = NewIncident { kind: IncidentKind::CallsFailing, ..incident("", IncidentState::Resolved) };
        noted.note(Time::ZERO, calls.clone());
        noted.note(Time::ZERO + 2 * PACE.calm, calls);
        // Here it was well for long, while another relay has found it down: that one may be gone as well.
        let mut now = Time::ZERO;
        for _ in 0..100 {
            now = now + NOTE_EVERY;
            noted.note(now, incident("ears", IncidentState::Resolved));
            noted.forget_removed(|_| true);
        }
        noted.forget_removed(|_| false);
        let mut ends = 0;
        for _ in 0..10 {
            let Some(end) = of_providers(now, &none, &noted).pop() else { break };
            now = now + NOTE_EVERY;
            noted.note(now, end);
            noted.forget_removed(|_| false);
            ends += 1;
        }
        assert_eq!(of_providers(now, &none, &noted), [], "it is not noted for ever");
        assert!(NOTE_EVERY * ends > PACE.calm, "{ends} times: nobody has found it for long enough");
        assert_eq!(noted.0.len(), 1, "nothing else is forgotten");
    }

    #[test]
    fn what_goes_on_is_noted_often_enough_that_nobody_takes_it_for_over_and_what_changes_at_once() {
        let (firing, resolved) = (IncidentState::Firing, IncidentState::Resolved);
        let start = Time::ZERO;
        let mut noted = Noted::default();
        assert!(!noted.has(start, &incident("ears", resolved)), "how it was left by others is not known");
        noted.note(start, incident("ears", firing));
        assert!(noted.has(start + NOTE_EVERY / 2, &incident("ears", firing)));
        assert!(!noted.has(start + NOTE_EVERY, &incident("ears", firing)), "it is noted again");
        assert!(3 * (NOTE_EVERY + PROVIDERS_EVERY) <= PACE.calm, "two that are lost end nothing");
        for kind in IncidentKind::ALL {
            let every = if kind == IncidentKind::ProviderDown { NOTE_EVERY } else { CALLS_EVERY };
            let lost = 2 * every + NOTE_EVERY;
            assert!(lost <= pace(kind).calm, "{kind:?}: one that is lost, and one that is late, end nothing");
        }
        assert!(!noted.has(start, &incident("voice", firing)), "each for itself");
        assert!(!noted.has(start, &incident("ears", resolved)), "it has changed");
        noted.note(start, incident("ears", resolved));
        assert!(!noted.has(start, &incident("ears", firing)), "it has changed again");
        assert!(!noted.has(start + NOTE_EVERY, &incident("ears", resolved)), "until its end is written");
    }
}
