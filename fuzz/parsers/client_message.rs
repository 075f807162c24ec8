//! What a client says: whatever is read is written so that it reads the same.

use protocol::relay::Handshake;
use protocol::{ClientMessage, Time, Upward};

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = Handshake::new(Time::ZERO).handle_text(text);
    let _ = Upward::parse(text);
    if let Ok(message) = ClientMessage::parse(text) {
        assert_eq!(ClientMessage::parse(&message.to_json()), Ok(message));
    }
}
