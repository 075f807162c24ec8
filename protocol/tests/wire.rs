//! Every message exactly as it goes over the wire, which is exactly as `docs/protocol.md` shows it.

use std::collections::BTreeSet;

use protocol::{ClientMessage, RelayMessage, Upward};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

/// The JSON lines of the code blocks marked `json client` or `json relay`.
fn examples(marker: &str) -> Vec<&'static str> {
    let mut examples = Vec::new();
    for block in DOCUMENT.split("```").skip(1).step_by(2) {
        if let Some(body) = block.strip_prefix(marker) {
            examples.extend(body.lines().filter(|line| line.starts_with('{')));
        }
    }
    examples
}

#[test]
fn every_example_of_the_document_reads_and_writes_to_the_letter() {
    let client = examples("json client\n");
    let relay = examples("json relay\n");
    assert!(client.len() >= 7 && relay.len() >= 16, "{} {}", client.len(), relay.len());
    for text in client {
        let message = ClientMessage::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(message.to_json(), text);
    }
    for text in relay {
        let message = RelayMessage::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(message.to_json(), text);
    }
}

#[test]
fn the_document_shows_every_message_there_is() {
    let of_client = [ClientMessage::WORDS, Upward::WORDS].concat();
    for (known, marker) in [(of_client.as_slice(), "json client\n"), (RelayMessage::WORDS, "json relay\n")] {
        let shown: BTreeSet<&str> = examples(marker)
            .iter()
            .filter_map(|text| text.strip_prefix(r#"{"type":""#)?.split('"').next())
            .collect();
        assert_eq!(known.iter().copied().collect::<BTreeSet<_>>(), shown);
    }
}
