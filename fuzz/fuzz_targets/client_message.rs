//! What a client says: whatever is read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::relay::Handshake;
use protocol::{ClientMessage, Time, Upward};

fuzz_target!(|text: &str| {
    let _ = Handshake::new(Time::ZERO).handle_text(text);
    let _ = Upward::parse(text);
    if let Ok(message) = ClientMessage::parse(text) {
        assert_eq!(ClientMessage::parse(&message.to_json()), Ok(message));
    }
});
