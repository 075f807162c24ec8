//! HTTP: the accept loop, the routes, and what is checked before a WebSocket is opened.

mod address;
mod api;
mod assets;
mod dev;
mod problem;
mod socket;
mod stream;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;
use tower::ServiceExt;

use crate::store::Leases;
use crate::throttle::SWEEP_INTERVAL;
use crate::{App, denials, upkeep};
pub use api::openapi;
use problem::Problem;
pub use socket::close_code;
use stream::{CallPlace, CallStream};

/// For the head of a request; also how long a connection may stay idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes. Cookies of the relay's domain are in it.
const HEAD_MAX_BYTES: usize = 32 * 1024;
/// Connections without a call at a time: pages, files, and those that do not say what they want.
const PLAIN_CONNECTIONS_MAX: usize = 1_024;
/// Those of one address: whoever says nothing leaves room for others. A proxy whose word counts sees to that itself.
const PLAIN_CONNECTIONS_PER_ADDRESS: u32 = 256;
/// After the operating system refused a connection (mostly: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The connection that a request comes over.
#[derive(Clone, Debug)]
struct Source {
    peer: SocketAddr,
    place: CallPlace,
}

/// Serves until [`App::shutdown`] is cancelled; then lets what runs end within the configured grace, and closes the store.
pub async fn run(listener: TcpListener, app: Arc<App>) {
    app.tasks.spawn(sweep(Arc::clone(&app)));
    let router = router(Arc::clone(&app));
    let places = Arc::new(Semaphore::new(PLAIN_CONNECTIONS_MAX));
    if let Err(error) = denials::look(&app).await {
        tracing::warn!(%error, "the deny-list was not read yet");
    }
    app.tasks.spawn(denials::keep(Arc::clone(&app)));
    let mut upkeep = upkeep::start(&app);
    while let Some((stream, peer, place)) = accept(&listener, &places, &app).await {
        app.tasks.spawn(serve_connection(stream, peer, place, router.clone(), Arc::clone(&app)));
    }
    drop(listener);
    app.tasks.close();
    if tokio::time::timeout(app.config.shutdown_grace, app.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = app.tasks.len(), "some connections did not end in time");
    }
    upkeep.shutdown().await;
    if let Err(error) = app.store.end_leases(Leases::Of(&app.relay_id)).await {
        tracing::warn!(%error, "the sessions that were left could not be set free at once");
    }
    app.store.close().await;
    app.spill.close().await;
}

/// Forgets who called a while ago, so that what is remembered of strangers stays small.
async fn sweep(app: Arc<App>) {
    let mut due = tokio::time::interval(SWEEP_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            _ = due.tick() => {
                app.throttle.sweep();
                app.api_requests.sweep();
            }
        }
    }
}

/// The next connection, once there is a place for it; `None` when the relay is to stop.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    app: &App,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return (stream, peer, place),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = app.shutdown.cancelled() => None,
        connection = next => Some(connection),
    }
}

/// The peer went away while it waited; there is nothing wrong here.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Serves one connection, unless its address has too many. An upgrade ends it here and frees its place: calls have places of
/// their own.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    router: Router,
    app: Arc<App>,
) {
    let address = peer.ip();
    let counted = if app.config.network.trusts(address) {
        None
    } else {
        match app.throttle.connect(address, PLAIN_CONNECTIONS_PER_ADDRESS) {
            Ok(counted) => Some(counted),
            Err(_) => {
                tracing::debug!(%address, "too many connections from this address");
                return;
            }
        }
    };
    socket::set_options(&stream);
    let source = Source { peer, place: CallPlace::default() };
    let stream = CallStream::new(stream, source.place.clone(), app.tasks.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(source.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
    drop((place, counted));
}

fn router(app: Arc<App>) -> Router {
    let calls = upgrade::Calls::new(app.config.network.max_connections);
    let mut routes = Router::new()
        .route("/livez", get(livez))
        .route("/v1/call", get(upgrade::open_call).with_state((Arc::clone(&app), calls)))
        .route("/sdk/{*path}", get(assets::sdk))
        .merge(api::router(Arc::clone(&app)));
    if app.config.dev {
        routes = routes
            .route("/dev/token", get(dev::token).with_state(app))
            .route("/minimal.html", get(assets::minimal))
            .fallback(assets::demo);
    } else {
        routes = routes.fallback(not_found);
    }
    routes.method_not_allowed_fallback(method_not_allowed)
}

/// Says that the process runs; nothing about what it depends on.
async fn livez() -> &'static str {
    "ok\n"
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take this method.")
}
