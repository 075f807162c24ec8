//! `GET /metrics`, on a listener of its own: what it tells is for the operator only.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use super::Telemetry;
use crate::App;

/// For the head of a request; also how long a connection may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 16;
/// After the operating system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Between two rounds of upkeep.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Serves until the relay stops.
pub async fn serve(listener: TcpListener, telemetry: Telemetry, app: Arc<App>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut upkeep = interval(UPKEEP_EVERY);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.live.shutdown.cancelled() => return,
            _ = upkeep.tick() => telemetry.run_upkeep(),
            connection = listener.accept() => match (connection, Arc::clone(&places).try_acquire_owned()) {
                (Ok((stream, _)), Ok(place)) => {
                    let (telemetry, tasks) = (telemetry.clone(), app.live.tasks.clone());
                    let app = Arc::clone(&app);
                    tasks.spawn(async move {
                        serve_connection(stream, &telemetry, &app).await;
                        drop(place);
                    });
                }
                // Too many at once: this one is closed.
                (Ok(_), Err(_)) => {}
                (Err(error), _) => {
                    tracing::debug!(%error, "metrics: accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn serve_connection(stream: TcpStream, telemetry: &Telemetry, app: &App) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let status = status(&request);
        let body = if status == StatusCode::OK { telemetry.render(app).await } else { String::new() };
        Ok::<_, Infallible>(answer(status, body))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A scraper that hangs up is nothing to report.
        _ = connection.as_mut() => {}
        () = app.live.shutdown.cancelled() => {}
    }
}

fn status(request: &Request<Incoming>) -> StatusCode {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => StatusCode::OK,
        (_, "/metrics") => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    }
}

fn answer(status: StatusCode, body: String) -> Response<Body> {
    let builder = Response::builder().status(status).header(header::CACHE_CONTROL, "no-store");
    let builder = builder.header(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    builder.body(Body::from(body)).expect("status and headers are good")
}
