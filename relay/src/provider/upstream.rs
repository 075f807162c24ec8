//! A configured provider as all calls of a relay share it: what it is, the connections to it, and whether it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::Time;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ahead::Ahead;
use super::breaker::{Breaker, Standing, Ticket};
use super::connections::FRESH_FOR;
use super::places::{Place, Places};
use super::{Ask, Connections, Event, Failure, FailureKind, Opening, Provider, Service, Way};
use crate::money::bill::Quantity;
use crate::operations::{telemetry, tracker};

/// The providers of a relay, by the names that the configuration gives them.
pub type Upstreams = BTreeMap<String, Arc<Upstream>>;

/// A breaker, and whether its gauge belongs to another one by now: see [`Upstream::retire`].
#[derive(Debug, Default)]
struct Guarded {
    breaker: Breaker,
    is_retired: bool,
}

/// One provider, shared by all calls.
#[derive(Debug)]
pub struct Upstream {
    provider: Provider,
    connections: Arc<Connections>,
    breaker: Mutex<Guarded>,
    places: Places,
    /// Its WebSockets that wait for a request.
    ahead: Ahead,
}

impl Upstream {
    /// What is shared of this provider.
    ///
    /// # Errors
    /// When the system's own certificates or threads are not to be had.
    pub fn new(provider: Provider) -> Result<Upstream, reqwest::Error> {
        let connections = Arc::new(Connections::new(&provider.name, provider.deadlines.connect)?);
        let places = Places::new(&provider.name, provider.max_concurrent);
        Ok(Upstream { provider, connections, breaker: Mutex::default(), places, ahead: Ahead::default() })
    }

    /// The provider as it is configured.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// What it is for.
    #[must_use]
    pub fn service(&self) -> Service {
        self.provider.kind.service
    }

    /// Whether requests of it are made as ever.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.lock().breaker.standing() == Standing::Closed
    }

    /// How it stands now. While nobody asks, nobody but who looks notices that the time for which it was not asked is over.
    pub fn look(&self, now: Time) -> Standing {
        self.with_breaker(|breaker| {
            breaker.look(now);
            breaker.standing()
        })
    }

    /// The configuration has another provider of this name from now on, or none. Calls that have this one go on with it, and the gauge of its breaker
    /// belongs to the other.
    pub(crate) fn retire(&self) {
        let mut guarded = self.lock();
        guarded.is_retired = true;
        telemetry::provider_circuit(&self.provider.name, Standing::Closed);
    }

    /// A request of it will come soon. If that goes over a WebSocket, one is opened for it now, unless one waits for it already; `None` if it
    /// goes over HTTP, which is [`Ready`](super::Ready)'s to see to.
    #[must_use]
    pub fn expect(self: &Arc<Self>, tasks: &TaskTracker, shutdown: &CancellationToken) -> Option<Expected> {
        if !self.provider.kind.is_fed {
            return None;
        }
        self.ahead.expect(true);
        let expected = Expected { upstream: self.clone(), tasks: tasks.clone(), shutdown: shutdown.clone() };
        expected.open_ahead();
        Some(expected)
    }

    /// Has a connection wait for the next request if that goes over HTTP, and says after what time to look again.
    pub(super) async fn be_ready(&self) -> Duration {
        if self.provider.kind.is_fed {
            return FRESH_FOR;
        }
        self.connections.be_ready(&self.provider.base_url).await
    }

    /// Waits until one more connection over HTTP is wanted. Dropping the future loses nothing.
    pub(super) async fn wanted(&self) {
        self.connections.wanted().await;
    }

    /// Lets a request through, or says why it is not made.
    ///
    /// # Errors
    /// A [`FailureKind::CircuitOpen`] with the time that is left, or a [`FailureKind::AtLimit`].
    pub fn admit(self: &Arc<Self>, now: Time, ask: &Ask) -> Result<Pass, Failure> {
        // The place comes first: a breaker that has let a request through wants to hear of it.
        let ahead = self.ahead.take().map(|(place, ahead)| (place, Some(ahead)));
        let Some((place, ahead)) = ahead.or_else(|| Some((self.places.take()?, None))) else {
            let message = format!("it has {} requests under way", self.provider.max_concurrent);
            return Err(Failure::new(FailureKind::AtLimit, message));
        };
        let ticket = self.with_breaker(|breaker| breaker.admit(now)).map_err(|left| {
            let seconds = left.as_secs_f64().ceil() as u32;
            let message = format!("it has failed, and is not asked for up to {seconds} s");
            Failure { retry_after: Some(seconds), ..Failure::new(FailureKind::CircuitOpen, message) }
        })?;
        let lasts_as_long_as_the_call = matches!(ask, Ask::Listen);
        Ok(Pass {
            upstream: self.clone(),
            ticket: Some(ticket),
            lasts_as_long_as_the_call,
            has_answered: false,
            way: Some(Way { connections: self.connections.clone(), ahead }),
            _place: place,
        })
    }

    /// Tells the breaker something, and the operator if it stands otherwise after that.
    fn with_breaker<T>(&self, tell: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut guarded = self.lock();
        let before = guarded.breaker.standing();
        let told = tell(&mut guarded.breaker);
        let after = guarded.breaker.standing();
        if before != after {
            // Within the lock, so that the gauge ends where the breaker does.
            if !guarded.is_retired {
                telemetry::provider_circuit(&self.provider.name, after);
            }
            self.tell_operator(before, after);
        }
        told
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_operator(&self, before: Standing, after: Standing) {
        let name = &self.provider.name;
        match (before, after) {
            (Standing::Closed, Standing::Open) => {
                telemetry::provider_opened(name);
                tracker::provider_away(name);
                tracing::warn!(provider = %name, "a provider fails, so it is not asked any more; one request in a while tries");
            }
            (_, Standing::Closed) => tracing::info!(provider = %name, "a provider answers again"),
            (_, Standing::Probing | Standing::Due { .. } | Standing::Open) => {
                tracing::debug!(provider = %name, before = before.name(), after = after.name(), "circuit");
            }
        }
    }
}

/// A request that is expected soon: as long as this is there, a WebSocket is opened for it whenever none waits.
#[derive(Debug)]
pub struct Expected {
    upstream: Arc<Upstream>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Expected {
    /// Opens a WebSocket if none waits for this request, and the provider is asked as ever and has a place for it.
    pub fn open_ahead(&self) {
        let Upstream { provider, ahead, places, .. } = &*self.upstream;
        let ask = match provider.kind.service {
            Service::SpeechToText => Ask::Listen,
            Service::TextToSpeech => Ask::Speak(String::new()),
            Service::LanguageModel => return,
        };
        if !self.upstream.is_asked() || !ahead.wants_more() {
            return;
        }
        // All requests of a provider begin with the same address and the same headers.
        let Some(Opening::Socket(target)) = provider.codec(&ask).map(|mut codec| codec.open()) else {
            return;
        };
        let Some(place) = places.take() else { return };
        telemetry::provider_connection(&provider.name, telemetry::Opening::Ahead);
        ahead.open(&self.tasks, &self.shutdown, target, provider.deadlines.connect, place);
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.upstream.ahead.expect(false);
    }
}

/// A request that may be made. What comes of it is told to the breaker; dropping it before anything came says nothing for or against the
/// provider.
#[derive(Debug)]
pub struct Pass {
    upstream: Arc<Upstream>,
    /// Until the breaker has learnt all that there is to learn.
    ticket: Option<Ticket>,
    /// It listens to a call. That such a connection breaks after it has worked says nothing about the next one.
    lasts_as_long_as_the_call: bool,
    has_answered: bool,
    /// Until the request is on its way.
    way: Option<Way>,
    /// Free for another request when this is dropped.
    _place: Place,
}

impl Pass {
    /// How the request reaches its provider.
    pub fn way(&mut self) -> Way {
        self.way.take().unwrap_or_else(|| self.upstream.connections.clone().into())
    }

    /// The provider says this.
    pub fn note(&mut self, now: Time, event: &Event) {
        let Some(ticket) = self.ticket else { return };
        match event {
            // Anybody may take a connection and say nothing.
            Event::Ready
            | Event::Named(_)
            | Event::Unanswered { .. }
            | Event::Usage(Quantity::Characters(_)) => {}
            Event::Text(_)
            | Event::Thought { .. }
            | Event::Stopped
            | Event::ToolCall(_)
            | Event::Usage(_)
            | Event::Heard(_)
            | Event::Turn(_)
            | Event::Sound(_)
            | Event::Spoken(_) => {
                if std::mem::replace(&mut self.has_answered, true) {
                    return;
                }
                if self.lasts_as_long_as_the_call {
                    self.worked();
                } else if ticket.is_probe() {
                    // Nobody has to wait for the end of the probe. Should it break off, that counts.
                    self.upstream.with_breaker(|breaker| breaker.worked(ticket));
                }
            }
            Event::Finished(_) => self.worked(),
            Event::Failed(failure) => {
                self.ticket = None;
                self.upstream.with_breaker(|breaker| breaker.failed(now, ticket, failure));
            }
        }
    }

    fn worked(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.upstream.with_breaker(|breaker| breaker.worked(ticket));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.has_answered {
            self.worked();
        }
        if let Some(ticket) = self.ticket.take() {
            self.upstream.with_breaker(|breaker| breaker.gave_up(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Heard, KINDS, Kind, scenario};
    use super::*;

    fn upstream(kind: &str) -> Arc<Upstream> {
        let kind = Kind::named(kind).expect("registered");
        Arc::new(Upstream::new(scenario::provider(kind, "m")).expect("a client"))
    }

    fn speak() -> Ask {
        Ask::Speak("Hello.".to_owned())
    }

    fn broke() -> Event {
        Event::Failed(Failure::new(FailureKind::Connection, "broke off"))
    }

    /// Requests that are told these events, one after the other; whether the provider is asked as ever after each.
    fn tell(upstream: &Arc<Upstream>, ask: &Ask, times: usize, events: &[Event]) -> Vec<bool> {
        let one = |_| {
            let mut pass = upstream.admit(Time::ZERO, ask).expect("it is asked");
            events.iter().for_each(|event| pass.note(Time::ZERO, event));
            drop(pass);
            upstream.is_asked()
        };
        (0..times).map(one).collect()
    }

    #[test]
    fn a_recogniser_that_breaks_off_after_it_has_worked_is_asked_again_and_one_that_only_takes_connections_is_not()
     {
        let words =
            Heard { text: "Hello".to_owned(), start: 0, end: 8_000, words_end: None, is_final: false };
        let works = [Event::Ready, Event::Heard(words), broke()];
        assert_eq!(tell(&upstream("deepgram"), &Ask::Listen, 5, &works), [true; 5]);
        let takes = [Event::Ready, Event::Named("r-1".to_owned()), Event::Unanswered { end: 8_000 }, broke()];
        assert_eq!(tell(&upstream("deepgram"), &Ask::Listen, 3, &takes), [true, true, false]);
    }

    #[test]
    fn an_answer_that_always_breaks_off_in_the_middle_is_not_asked_for_any_more() {
        let breaks = [Event::Text("Hel".to_owned()), broke()];
        assert_eq!(tell(&upstream("openai-speech"), &speak(), 3, &breaks), [true, true, false]);
    }

    #[test]
    fn a_user_who_interrupts_has_heard_that_the_provider_works_or_says_nothing() {
        // What it was given is no word of its own.
        let given = [Event::Ready, Event::Usage(Quantity::Characters(7))];
        for (events, is_asked) in
            [(vec![Event::Text("Hel".to_owned())], true), (vec![], false), (given.to_vec(), false)]
        {
            let upstream = upstream("openai-speech");
            tell(&upstream, &speak(), 2, &[broke()]);
            tell(&upstream, &speak(), 1, &events);
            // The third in a row, if nothing was between them.
            assert_eq!(tell(&upstream, &speak(), 1, &[broke()]), [is_asked]);
        }
    }

    #[test]
    fn a_probe_lets_everybody_through_with_its_first_piece() {
        let upstream = upstream("openai-speech");
        tell(&upstream, &speak(), 3, &[broke()]);
        let later = Time::from_millis(5_000);
        let mut probe = upstream.admit(later, &speak()).expect("its time is over");
        let refused = upstream.admit(later, &speak()).expect_err("one at a time");
        assert_eq!(refused.kind, FailureKind::CircuitOpen);
        probe.note(later, &Event::Text("Hel".to_owned()));
        assert!(upstream.is_asked());
        // One that is dropped before it has said anything leaves its place to another.
        tell(&upstream, &speak(), 3, &[broke()]);
        let again = later + Duration::from_secs(60);
        drop(upstream.admit(again, &speak()).expect("its time is over"));
        assert_eq!(upstream.look(again), Standing::Due { since: again });
        assert!(upstream.admit(again, &speak()).is_ok());
    }

    #[test]
    fn all_requests_of_a_provider_begin_alike_on_a_socket_so_that_any_may_take_one_that_was_opened_ahead() {
        let mut fed = 0;
        for kind in KINDS.iter().filter(|kind| kind.is_fed) {
            let provider = Provider { voice: Some("v".to_owned()), ..scenario::provider(kind, "m") };
            let asks = match kind.service {
                Service::SpeechToText => vec![Ask::Listen],
                _ => vec![Ask::Speak(String::new()), Ask::Speak("Hello there, who is it?".to_owned())],
            };
            let opens: Vec<Opening> =
                asks.iter().map(|ask| provider.codec(ask).expect("it is asked so").open()).collect();
            assert!(opens.iter().all(|opening| *opening == opens[0]), "{}", kind.name);
            assert!(matches!(opens[0], Opening::Socket(_)), "{}", kind.name);
            fed += 1;
        }
        assert_eq!(fed, 4);
    }
}
