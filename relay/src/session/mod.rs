//! Sessions: the driver of one connection, and the registry of those that live.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ws::WebSocket;

use crate::App;

/// The sessions that live in this relay.
#[derive(Debug, Default)]
pub struct Registry {}

/// Serves one connection until it ends.
#[expect(clippy::unused_async, reason = "the driver takes this place")]
pub async fn serve_socket(socket: WebSocket, app: Arc<App>, peer: SocketAddr) {
    let _ = (socket, app, peer);
}
