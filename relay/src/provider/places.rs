//! How many requests and open sockets a provider has at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::operations::telemetry;

/// The places that a provider has.
#[derive(Debug)]
pub(super) struct Places {
    provider: Arc<str>,
    free: Arc<Semaphore>,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    provider: Arc<str>,
    _permit: OwnedSemaphorePermit,
}

/// A WebSocket that was opened ahead and waits for a request, until this is dropped. Whoever takes it over keeps its [`Place`].
#[derive(Debug)]
pub(super) struct WaitsAhead(Arc<str>);

impl Place {
    /// Counts what has this place as one that waits for a request.
    pub(super) fn wait_ahead(&self) -> WaitsAhead {
        telemetry::provider_socket_ahead(&self.provider, 1);
        WaitsAhead(self.provider.clone())
    }
}

impl Drop for WaitsAhead {
    fn drop(&mut self) {
        telemetry::provider_socket_ahead(&self.0, -1);
    }
}

impl Places {
    /// So many places, or as many as anybody wants if that is 0.
    pub(super) fn new(provider: &str, most: u32) -> Places {
        let most = if most == 0 { Semaphore::MAX_PERMITS } else { most as usize };
        Places { provider: provider.into(), free: Arc::new(Semaphore::new(most)) }
    }

    /// A place, if one is free. Nobody waits for one: there are other providers.
    pub(super) fn take(&self) -> Option<Place> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        telemetry::provider_in_use(&self.provider, 1);
        Some(Place { provider: self.provider.clone(), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        telemetry::provider_in_use(&self.provider, -1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_whoever_had_it_is_gone() {
        let places = Places::new("p", 2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some());
        assert!(places.take().is_none(), "there are two");
        drop(first);
        assert!(places.take().is_some());
    }

    #[test]
    fn without_a_limit_there_are_as_many_as_anybody_wants() {
        let places = Places::new("p", 0);
        let taken: Vec<Option<Place>> = (0..10_000).map(|_| places.take()).collect();
        assert!(taken.iter().all(Option::is_some));
    }
}
