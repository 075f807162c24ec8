//! What recognisers and voices say, over a WebSocket or in an answer over HTTP, cut out of the input one after another, with time between them.
//!
//! The first byte says whose it is, and with which status it begins. Then each piece begins with three bytes: what it is, and how long it is in two.

use std::time::Duration;

use bytes::Bytes;
use protocol::Time;
use relay::provider::{Ask, Deadlines, Event, Exchange, Feed, Input, Kind, Output, Provider};

/// Each kind, how it is asked, and the media type of its answer.
pub(crate) const KINDS: [(&str, &str); 8] = [
    ("deepgram", ""),
    ("deepgram-flux", ""),
    ("deepgram-aura", ""),
    ("elevenlabs", ""),
    ("openai-transcription", "text/event-stream"),
    ("openai-transcription", "application/json"),
    ("openai-speech", "audio/wav"),
    ("openai-speech", "text/event-stream"),
];

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    let mut rest = rest;
    let (kind, media_type) = KINDS[usize::from(*how) % KINDS.len()];
    let is_socket = media_type.is_empty();
    let ask = match kind {
        "deepgram" | "deepgram-flux" => Ask::Listen,
        "openai-transcription" => Ask::Transcribe(vec![0; 1_600]),
        _ => Ask::Speak("Good day.".to_owned()),
    };
    let provider = Provider {
        name: "speech".to_owned(),
        kind: Kind::named(kind).expect("registered"),
        base_url: "http://localhost/v1/".parse().expect("an address"),
        key: None,
        model: "gpt-model".to_owned(),
        voice: Some("voice".to_owned()),
        language: Some("en".to_owned()),
        key_terms: Vec::new(),
        eager: false,
        thinks_first: false,
        price: Some("speech/model".to_owned()),
        deadlines: Deadlines::default(),
        max_concurrent: 0,
    };
    let codec = provider.codec(&ask).expect("it is asked so");
    let (mut now, bounds) = (Time::ZERO, provider.bounds(&ask));
    let (mut exchange, _) = Exchange::open(now, codec, bounds);
    let status = match usize::from(*how) / KINDS.len() % 8 {
        7 => 429,
        6 => 401,
        _ if is_socket => 101,
        _ => 200,
    };
    let mut ends = 0;
    let mut handle = |exchange: &mut Exchange, now: Time, input: Input<'_>| {
        exchange.handle_input(now, input);
        while let Some(output) = exchange.poll_output() {
            let Output::Event(event) = output else { continue };
            assert_eq!(ends, 0, "nothing follows the end");
            ends += u32::from(matches!(event, Event::Finished(_) | Event::Failed(_)));
        }
    };
    handle(&mut exchange, now, Input::Head { status, retry_after: None, request_id: None, media_type });
    while let [what, low, high, tail @ ..] = rest {
        let length = u16::from_le_bytes([*low, *high]);
        let (piece, next) = tail.split_at(usize::from(length).min(tail.len()));
        rest = next;
        let feed = match (what % 8, std::str::from_utf8(piece)) {
            (0, Ok(text)) if is_socket => {
                handle(&mut exchange, now, Input::Text(text));
                continue;
            }
            (2, _) => {
                now = now + Duration::from_millis(u64::from(length) * 10);
                rest = tail;
                handle(&mut exchange, now, Input::Timeout);
                continue;
            }
            (3, _) => Feed::Audio(Bytes::copy_from_slice(piece)),
            (4, Ok(text)) => Feed::Text(text.to_owned()),
            (5, _) => Feed::Flush,
            (6, _) => Feed::Finish,
            (_, _) => {
                let piece = if is_socket { Input::Binary(piece) } else { Input::Bytes(piece) };
                handle(&mut exchange, now, piece);
                continue;
            }
        };
        if provider.kind.is_fed {
            handle(&mut exchange, now, Input::Feed(&feed));
        }
    }
    handle(&mut exchange, now, Input::End);
    assert_eq!(ends, 1, "one end");
}
