//! The connections to one provider, which all calls of a relay share.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use tower::{Layer, Service};

use super::ahead::Taken;
use crate::operations::outbound::http_client;
use crate::operations::telemetry::{self, Opening};

/// How long a connection of HTTP is kept that nobody uses: less than the 60 s after which load balancers close theirs, so that a request does
/// not meet a connection that is just being closed.
const KEPT_FOR: Duration = Duration::from_secs(50);
/// Connections of HTTP that are kept while nobody uses them.
const KEPT_MAX: usize = 256;

/// What reaches one provider.
#[derive(Debug)]
pub struct Connections {
    provider: Arc<str>,
    client: Client,
}

impl Connections {
    /// The connections to the provider of this name, none yet. One over HTTP that is not there within `connect` is given up. Nobody is followed
    /// elsewhere, since a key goes with each request.
    ///
    /// # Errors
    /// When the system's own certificates or threads are not to be had.
    pub fn new(provider: &str, connect: Duration) -> Result<Connections, reqwest::Error> {
        let provider: Arc<str> = provider.into();
        let client = http_client()
            .redirect(Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(connect)
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT_MAX)
            .connector_layer(Count(provider.clone()))
            .build()?;
        Ok(Connections { provider, client })
    }

    /// What asks over HTTP. It keeps connections alive, whichever call asked.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// A request has to wait until a WebSocket is open.
    pub(super) fn opens_socket(&self) {
        telemetry::provider_connection(&self.provider, Opening::Needed);
    }
}

/// How a request reaches its provider.
#[derive(Debug)]
pub struct Way {
    pub(super) connections: Arc<Connections>,
    /// A WebSocket that was opened ahead for a request like this one.
    pub(super) ahead: Option<Taken>,
}

impl From<Arc<Connections>> for Way {
    /// The way of a request for which nothing was opened ahead.
    fn from(connections: Arc<Connections>) -> Way {
        Way { connections, ahead: None }
    }
}

/// Counts the connections that a client opens.
#[derive(Clone)]
struct Count(Arc<str>);

#[derive(Clone)]
struct Counted<S> {
    provider: Arc<str>,
    inner: S,
}

impl<S> Layer<S> for Count {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { provider: self.0.clone(), inner }
    }
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: R) -> S::Future {
        telemetry::provider_connection(&self.provider, Opening::Needed);
        self.inner.call(to)
    }
}
