use tokio::net::TcpStream;

/// What the system may hold for a peer beyond what is on its way: more than a second of audio. Left alone it takes over a megabyte, and a
/// peer that takes nothing is not noticed before that is full.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT_MAX_BYTES: u32 = 64 * 1024;

/// Small messages go out at once, and few of them wait inside the system.
pub(super) fn set_options(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_MAX_BYTES) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT");
    }
}
