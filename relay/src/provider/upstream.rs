//! A configured provider as all calls of a relay share it: what it is, the connections to it, and whether it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Time;

use super::breaker::{Breaker, Standing, Ticket};
use super::places::{Place, Places};
use super::{Ask, Connections, Event, Failure, FailureKind, Provider};
use crate::operations::telemetry;

/// The providers of a relay, by the names that the configuration gives them.
pub type Upstreams = BTreeMap<String, Arc<Upstream>>;

/// One provider, shared by all calls.
#[derive(Debug)]
pub struct Upstream {
    provider: Provider,
    connections: Arc<Connections>,
    breaker: Mutex<Breaker>,
    places: Places,
}

impl Upstream {
    /// What is shared of this provider.
    ///
    /// # Errors
    /// When the system's own certificates or threads are not to be had.
    pub fn new(provider: Provider) -> Result<Upstream, reqwest::Error> {
        let connections = Arc::new(Connections::new(&provider.name, provider.deadlines.connect)?);
        let places = Places::new(&provider.name, provider.max_concurrent);
        Ok(Upstream { provider, connections, breaker: Mutex::default(), places })
    }

    /// The provider as it is configured.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The connections to it.
    #[must_use]
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Lets a request through, or says why it is not made.
    ///
    /// # Errors
    /// A [`FailureKind::CircuitOpen`] with the time that is left, or a [`FailureKind::AtLimit`].
    pub fn admit(self: &Arc<Self>, now: Time, ask: &Ask) -> Result<Pass, Failure> {
        // The place comes first: a breaker that has let a request through wants to hear of it.
        let Some(place) = self.places.take() else {
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
            _place: place,
        })
    }

    /// Tells the breaker something, and the operator if it stands otherwise after that.
    fn with_breaker<T>(&self, tell: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker: MutexGuard<'_, Breaker> =
            self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.standing();
        let told = tell(&mut breaker);
        let after = breaker.standing();
        if before != after {
            // Within the lock, so that the gauge ends where the breaker does.
            self.tell_operator(before, after);
        }
        told
    }

    fn tell_operator(&self, before: Standing, after: Standing) {
        let name = &self.provider.name;
        telemetry::provider_circuit(name, after);
        match (before, after) {
            (Standing::Closed, Standing::Open) => {
                telemetry::provider_opened(name);
                tracing::warn!(provider = %name, "a provider fails, so it is not asked any more; one request in a while tries");
            }
            (_, Standing::Closed) => tracing::info!(provider = %name, "a provider answers again"),
            (_, Standing::Probing | Standing::Open) => {
                tracing::debug!(provider = %name, before = before.name(), after = after.name(), "circuit");
            }
        }
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
    /// Free for another request when this is dropped.
    _place: Place,
}

impl Pass {
    /// The provider says this.
    pub fn note(&mut self, now: Time, event: &Event) {
        let Some(ticket) = self.ticket else { return };
        match event {
            // Anybody may take a connection.
            Event::Ready => {}
            Event::Text(_)
            | Event::Thought { .. }
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
