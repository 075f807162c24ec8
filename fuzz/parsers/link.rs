//! The relay's end of a link: frames of a client, cut out of the input one after another, with time between them.
//!
//! Each frame begins with three bytes: what it is, and how long it is in two. The rest is the frame.

use std::time::Duration;

use bytes::Bytes;
use protocol::relay::{Attachment, Config, Handshake, Input, Link, Output};
use protocol::{AudioHeader, Codec, Features, Limits, Mark, Prices, Time};

const HELLO: &str =
    r#"{"type":"hello","token":"t","client":"c","codec":"pcm_s16le_16000","start":{"seq":0,"position":0}}"#;

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let mut now = Time::from_millis(1);
    let mut link = Link::new(now, config(), Mark::default());
    let hello = Handshake::new(now).handle_text(HELLO).expect("a hello");
    link.handle_input(now, Input::Attach { hello: &hello, attachment: Attachment::New, resume_token: "r" });
    let (mut rest, mut heard) = (input, Mark::default());
    while let [kind, low, high, tail @ ..] = rest {
        let length = u16::from_le_bytes([*low, *high]);
        let (frame, next) = tail.split_at(usize::from(length).min(tail.len()));
        rest = next;
        let text = std::str::from_utf8(frame);
        match (kind % 6, text) {
            (0, Ok(text)) => link.handle_input(now, Input::Text(text)),
            (1, _) => {
                // The next frame, with a payload of the input.
                let mut audio = Vec::new();
                AudioHeader::write(Codec::PcmS16le16000, heard.seq, heard.position, &mut audio);
                audio.extend_from_slice(frame);
                link.handle_input(now, Input::Binary(audio.into()));
            }
            (2, _) => {
                now = now + Duration::from_millis(u64::from(length) * 100);
                rest = tail;
                link.handle_input(now, Input::Timeout);
                assert!(link.poll_timeout().is_none_or(|due| due > now));
            }
            (3, _) => link.handle_input(now, Input::Audio(&[7; 100])),
            (4, _) => link.handle_input(now, Input::Commit(heard)),
            _ => link.handle_input(now, Input::Binary(Bytes::copy_from_slice(frame))),
        }
        while let Some(output) = link.poll_output() {
            match output {
                Output::Audio { mark, payload } => {
                    assert_eq!(mark, heard);
                    heard = Mark { seq: mark.seq + 1, position: mark.position + (payload.len() / 2) as u32 };
                }
                Output::Message { mark, .. } => {
                    assert!(mark.seq >= heard.seq && mark.position == heard.position);
                    heard = Mark { seq: mark.seq + 1, ..mark };
                }
                Output::Gap(gap) => {
                    assert_eq!(gap.from.position, heard.position);
                    heard = gap.to;
                }
                _ => {}
            }
        }
    }
}

fn config() -> Config {
    Config {
        conversation_id: "c".into(),
        session_id: "s".into(),
        limits: Limits {
            session_ms: 1_800_000,
            idle_ms: 600_000,
            chunk_min_bytes: 2,
            chunk_max_bytes: 200,
            burst_ms: 2_000,
            budget_nano_usd: 5_000_000_000,
        },
        control_per_second: 20,
        prices: Prices::default(),
        agent_codec: Codec::PcmS16le24000,
        recording: false,
        heartbeat: Duration::from_secs(15),
        resume_window: Duration::from_secs(120),
        agent: None,
        features: Features::RELAY,
    }
}
