//! What a relay says: whatever is read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::RelayMessage;

fuzz_target!(|text: &str| {
    if let Ok(message) = RelayMessage::parse(text) {
        assert_eq!(RelayMessage::parse(&message.to_json()), Ok(message));
    }
});
