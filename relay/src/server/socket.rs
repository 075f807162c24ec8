//! Options of TCP sockets.

use tokio::net::TcpStream;

/// How many bytes may wait inside the operating system before they are sent: more than a second of audio. By default it takes over a
/// megabyte, and a peer that takes nothing would not be noticed until that is full.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT_MAX_BYTES: u32 = 64 * 1024;

/// Sets the options of a connection: small messages are sent at once, and few bytes wait inside the operating system.
pub(super) fn set_options(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_MAX_BYTES) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
    }
}
