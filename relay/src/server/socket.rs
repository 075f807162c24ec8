use protocol::CloseCode;
use tokio::net::TcpStream;
use tungstenite::error::Error;

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

/// The close code that an error from [`axum::extract::ws::WebSocket::recv`] asks for; `None` if there is nobody left to tell.
///
/// The library closes nothing by itself. After such an error the socket reads no more, but one close frame can still be sent.
#[must_use]
pub fn close_code(error: axum::Error) -> Option<CloseCode> {
    let error = error.into_inner().downcast::<Error>().ok()?;
    match *error {
        Error::Capacity(_) => Some(CloseCode::TooBig),
        Error::Utf8(_) => Some(CloseCode::InvalidText),
        // The peer went away without a word.
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
