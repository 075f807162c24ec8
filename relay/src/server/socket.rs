use protocol::CloseCode;
use tungstenite::error::Error;

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
