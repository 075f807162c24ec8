//! HTTP: the accept loop, the routes, and the checks before a call's connection is opened.

mod address;
mod api;
mod assets;
mod connections;
mod dev;
mod etag;
mod head;
mod over_http;
mod pace;
mod problem;
mod ready;
mod request_id;
mod socket;
mod stream;
mod tls;
mod upgrade;
mod websocket;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::HttpCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::App;
use crate::admission::throttle::network;
use crate::operations::telemetry;
pub use address::client_address;
pub(crate) use api::harmless;
pub use api::{openapi, read_cursor, write_cursor};
pub(crate) use assets::sdk_files;
use connections::{Connection, Connections, Entry, Full, OfACall};
use over_http::Wires;
pub use over_http::{Brought, Malformed, ROUND_ONE_MESSAGE_BYTES, Record};
use problem::Problem;
use ready::Readiness;
pub(crate) use ready::is_ready;
use request_id::RequestId;
use socket::Socket;
use stream::{CallPlace, CallStream};
pub use tls::{Tls, TlsError};

/// After how many seconds to come back to a relay that is full.
const FULL_RETRY_AFTER_SECONDS: u32 = 5;
/// After how many seconds to come back to a relay that stops, or to whichever one takes its place.
const STOPPING_RETRY_AFTER_SECONDS: u32 = 1;
/// How long no connection is accepted after the operating system refused one, mostly because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The connection that a request comes over.
#[derive(Clone, Debug)]
struct Source {
    peer: SocketAddr,
    place: CallPlace,
}

/// What stays while everything else that requests are answered by is replaced.
#[derive(Clone)]
struct Shared {
    /// The places of calls and preflights.
    places: upgrade::Places,
    /// The calls over HTTP.
    wires: Arc<Wires>,
    /// The places of those who look at live calls, and of those who listen in.
    watchers: api::Watchers,
}

/// Accepts connections until [`Live::shutdown`](crate::Live::shutdown) is cancelled. Each is served by a task among
/// [`Live::tasks`](crate::Live::tasks), which may go on for longer.
///
/// Each request is answered as the newest of `apps` has it, whole: also over a connection that is older.
pub(crate) async fn serve(listener: TcpListener, apps: watch::Receiver<Arc<App>>) {
    let app = &Arc::clone(&apps.borrow());
    let network = &app.config.network;
    let shared = Shared {
        places: upgrade::Places::new(network.max_connections),
        wires: Arc::default(),
        watchers: api::watchers(),
    };
    let (newest, routers) = watch::channel(router(Arc::clone(app), &shared));
    app.live.tasks.spawn(follow(apps, newest, shared, app.live.shutdown.clone()));
    let connections = Arc::new(Connections::new(
        network.http_connections,
        network.http_connections_per_address,
        network.keep_alive,
    ));
    while let Some((stream, peer, place)) = accept(&listener, &connections, app).await {
        let (connections, routers) = (Arc::clone(&connections), routers.clone());
        app.live.tasks.spawn(serve_connection(stream, peer, place, connections, routers, Arc::clone(app)));
    }
}

/// Makes a router for each of `apps` that comes, until the relay stops.
async fn follow(
    mut apps: watch::Receiver<Arc<App>>,
    newest: watch::Sender<Router>,
    shared: Shared,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            // Whoever could change it is gone.
            changed = apps.changed() => if changed.is_err() { return },
        }
        let app = Arc::clone(&apps.borrow_and_update());
        drop(newest.send_replace(router(app, &shared)));
        // Not before a request is answered by it.
        tracing::info!("the configuration was read again, and applies to all that begins from now on");
    }
}

/// The next connection, with its place. `None` means that the relay is to stop.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
    app: &App,
) -> Option<(TcpStream, SocketAddr, Connection)> {
    let next = async {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_of_the_peer(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Some(place) = place(connections, peer.ip(), app).await {
                return (stream, peer, place);
            }
        }
    };
    tokio::select! {
        biased;
        () = app.live.shutdown.cancelled() => None,
        connection = next => Some(connection),
    }
}

/// A place for a connection, once there is one. `None` means that its address has too many. The connections of trusted proxies are not
/// counted by address.
async fn place(connections: &Arc<Connections>, peer: IpAddr, app: &App) -> Option<Connection> {
    let address = (!app.config.network.trusts(peer)).then(|| network(peer));
    loop {
        match connections.enter(address, Instant::now()) {
            Ok(place) => return Some(place),
            Err(Full::Relay) => connections.wait_for_place().await,
            Err(Full::Address) => {
                tracing::debug!(address = %peer, "too many connections from this address");
                return None;
            }
        }
    }
}

/// Whether accepting failed because the peer went away while it waited, which is no fault of this machine.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Serves one connection until it ends or is upgraded to a call. Its place is free afterwards, since calls have places of their own.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: Connection,
    connections: Arc<Connections>,
    routers: watch::Receiver<Router>,
    app: Arc<App>,
) {
    socket::set_options(&stream);
    let Some(stream) = secured(stream, peer, &place, &app).await else { return };
    let source = Source { peer, place: CallPlace::default() };
    let live = Arc::clone(&app.live);
    let entry = Arc::clone(&place.entry);
    let stream = CallStream::new(stream, source.place.clone(), Arc::clone(&entry), app.live.tasks.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        entry.pace().handle_request(request.body().size_hint().exact());
        request.extensions_mut().insert(source.clone());
        let router = routers.borrow().clone();
        let (entry, connections) = (Arc::clone(&entry), Arc::clone(&connections));
        // What a call over HTTP brings comes to this relay for as long as the call is here.
        let may_be_last =
            request.method() != Method::POST || !request.uri().path().starts_with(over_http::PATH);
        let live = Arc::clone(&live);
        let id = RequestId::of(request.headers());
        id.answer(async move {
            let response = match head::check(&request) {
                Ok(()) => router.oneshot(request).await?,
                Err(problem) => {
                    let response = problem.into_response();
                    telemetry::http_answered(None, request.method(), response.status(), Duration::ZERO);
                    close(response)
                }
            };
            // A load balancer asks again over another connection, and by then not here.
            let is_last = may_be_last && live.unready.is_cancelled();
            let response = if is_last { close(response) } else { response };
            let (parts, body) = response.into_parts();
            // The stream of a call has a place among the calls, and is watched by its session.
            if parts.extensions.get::<OfACall>().is_some() {
                connections.leave(&entry);
                return Ok::<_, Infallible>(Response::from_parts(parts, Entry::watch_stream(&entry, body)));
            }
            Ok::<_, Infallible>(match connections.watch_answer(&entry, body) {
                Some(body) => Response::from_parts(parts, body),
                None => close(full().into_response()),
            })
        })
    });
    // `must_go` watches the pace of the connection. The library's own time-out is off, because it is the same for the head of a request and
    // for idle connections.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(head::MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut must_go = pin!(place.entry.must_go());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        why = must_go.as_mut() => {
            tracing::debug!(%peer, why, "connection closed");
            return;
        }
        () = app.live.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                _ = must_go => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// The connection with its handshake of TLS done, where the relay speaks TLS. A peer has as long for it as for the first word on a
/// connection without TLS, and loses its place as there.
async fn secured(stream: TcpStream, peer: SocketAddr, place: &Connection, app: &App) -> Option<Socket> {
    let Some(tls) = &app.tls else { return Some(Socket::Plain(stream)) };
    tokio::select! {
        spoken = tls.accept(stream) => match spoken {
            Ok(stream) => Some(Socket::Tls(Box::new(stream))),
            Err(error) => {
                tracing::debug!(%peer, %error, "no handshake");
                None
            }
        },
        why = place.entry.must_go() => {
            tracing::debug!(%peer, why, "connection closed in its handshake");
            None
        }
        () = app.live.shutdown.cancelled() => None,
    }
}

/// Has the connection end after this answer, unless it becomes a call.
fn close(mut response: Response) -> Response {
    let ends = response.headers().get_all(header::CONNECTION).iter().any(|option| option == "close");
    if !ends && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The problem that as many long answers are on their way as are allowed.
fn full() -> Problem {
    let detail = "This relay sends as many files at a time as it may.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .code(HttpCode::RelayFull)
        .retry_after(FULL_RETRY_AFTER_SECONDS)
}

/// The problem that the relay stops, and that calls begin elsewhere.
fn stopping() -> Problem {
    let detail = "This relay stops: calls go to another one, or to the one that takes its place.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .code(HttpCode::RelayStopping)
        .retry_after(STOPPING_RETRY_AFTER_SECONDS)
}

fn router(app: Arc<App>, shared: &Shared) -> Router {
    let Shared { places, wires, watchers } = shared.clone();
    let preflight = get(upgrade::open_preflight).with_state((Arc::clone(&app), places.clone()));
    let mut routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(ready::readyz).with_state(Arc::new(Readiness::new(Arc::clone(&app)))))
        .route("/v1/call", get(upgrade::open_call).with_state((Arc::clone(&app), places.clone())))
        .route(
            &format!("{}{{wire}}", over_http::PATH),
            get(over_http::open).post(over_http::bring).with_state((Arc::clone(&app), places, wires)),
        )
        .route("/v1/preflight", preflight)
        .route("/sdk/{*path}", get(assets::sdk))
        .route("/dashboard", get(assets::dashboard))
        .route("/dashboard/", get(assets::dashboard))
        .route("/dashboard/{*path}", get(assets::dashboard_file))
        .merge(api::router(Arc::clone(&app), watchers));
    if app.config.dev {
        routes = routes.route("/dev/token", get(dev::token).with_state(app)).fallback(assets::demo);
    } else {
        routes = routes.fallback(not_found);
    }
    routes.method_not_allowed_fallback(method_not_allowed).layer(from_fn(counted))
}

/// Answers a request, and counts it by the route that it went to.
async fn counted(request: Request, next: Next) -> Response {
    let (route, method) = (request.extensions().get::<MatchedPath>().cloned(), request.method().clone());
    let asked = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    telemetry::http_answered(route, &method, response.status(), asked.elapsed());
    response
}

/// `GET /livez`: says that the process runs, and nothing about what it depends on.
async fn livez() -> &'static str {
    "ok\n"
}

/// The answer at an unknown address. Pages of every origin may read it, so that a page which calls a wrong address learns why.
async fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this address.").for_every_page()
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take this method.")
}
