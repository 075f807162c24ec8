//! What a relay says: whatever is read is written so that it reads the same.

use protocol::RelayMessage;

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(message) = RelayMessage::parse(text) {
        assert_eq!(RelayMessage::parse(&message.to_json()), Ok(message));
    }
}
