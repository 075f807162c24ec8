//! The requests that a session has under way at providers.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use tokio_util::task::TaskTracker;

use crate::money::tab::RequestId;
use crate::operations::telemetry;
use crate::provider::{Ask, Event, Feed, Provider, Request};

/// The requests of one session. Dropping this cancels them.
#[derive(Debug)]
pub(super) struct Requests {
    tasks: TaskTracker,
    client: Option<reqwest::Client>,
    started: Instant,
    /// The agent's providers, by their places.
    providers: Vec<Provider>,
    /// The requests under way with the places of their providers, oldest first.
    running: Vec<(RequestId, usize, Request)>,
}

impl Requests {
    pub(super) fn new(
        tasks: TaskTracker,
        client: Option<reqwest::Client>,
        started: Instant,
        providers: Vec<Provider>,
    ) -> Requests {
        Requests { tasks, client, started, providers, running: Vec::new() }
    }

    /// Makes a request.
    pub(super) fn open(&mut self, id: RequestId, provider: usize, ask: &Ask) {
        // No session begins whose agent has providers, unless there is a client to ask them with.
        let (Some(of), Some(client)) = (self.providers.get(provider), &self.client) else { return };
        let Some(codec) = of.codec(ask) else {
            // The configuration gives an agent only providers of the service that it asks for, so this does not happen.
            tracing::error!(provider = %of.name, kind = of.kind.name, "it cannot be asked that");
            return;
        };
        let request = Request::open(&self.tasks, client, self.started, codec, of.bounds(ask));
        self.running.push((id, provider, request));
    }

    /// Adds to a request, if it is still under way.
    pub(super) fn feed(&mut self, id: RequestId, feed: Feed) {
        if let Some((_, _, request)) = self.running.iter_mut().find(|(running, ..)| *running == id) {
            request.feed(feed);
        }
    }

    /// Gives up a request.
    pub(super) fn cancel(&mut self, id: RequestId) {
        self.running.retain(|(running, ..)| *running != id);
    }

    /// The next thing that a provider says about any of the requests. It waits for ever without requests. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> (RequestId, Event) {
        poll_fn(|context| {
            for place in 0..self.running.len() {
                let (id, provider, request) = &mut self.running[place];
                let Poll::Ready(event) = request.poll_next(context) else { continue };
                let (id, name) = (*id, &self.providers[*provider].name);
                match &event {
                    Event::Text(_) => {}
                    Event::Finished(_) => telemetry::provider_request(name, None),
                    Event::Failed(failure) => {
                        tracing::warn!(provider = %name, kind = failure.kind.name(), why = %failure, "a provider has failed");
                        telemetry::provider_request(name, Some(failure.kind));
                    }
                }
                if matches!(event, Event::Finished(_) | Event::Failed(_)) {
                    self.running.remove(place);
                }
                return Poll::Ready((id, event));
            }
            Poll::Pending
        })
        .await
    }
}
