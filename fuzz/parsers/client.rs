//! The client's end of a link: frames of a relay, cut out of the input one after another, with time between them.
//!
//! Each frame begins with three bytes: what it is, and how long it is in two. The rest is the frame.

use std::time::Duration;

use protocol::client::{Answer, Client, Config, Input, Output};
use protocol::{ClientMessage, Time};

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let (mut now, mut client) = (Time::from_millis(1), Client::new(Config::default()));
    for begin in [Input::Start, Input::Token(Ok("jwt")), Input::Opened] {
        client.handle_input(now, begin);
        while client.poll_output().is_some() {}
    }
    let mut rest = input;
    while let [kind, low, high, tail @ ..] = rest {
        let length = u16::from_le_bytes([*low, *high]);
        let (frame, next) = tail.split_at(usize::from(length).min(tail.len()));
        rest = next;
        match (kind % 6, std::str::from_utf8(frame)) {
            (0, Ok(text)) => client.handle_input(now, Input::Text(text)),
            (1, _) => client.handle_input(now, Input::Chunk(&[7; 320])),
            (2, _) => {
                now = now + Duration::from_millis(u64::from(length) * 100);
                rest = tail;
                client.handle_input(now, Input::Timeout);
                assert!(client.poll_timeout().is_none_or(|due| due > now));
            }
            (3, Ok(body)) => client.handle_input(now, Input::Why(Some(Answer { status: 503, body }))),
            (4, _) => {
                for again in [Input::Closed { code: 1006 }, Input::Online, Input::Timeout] {
                    client.handle_input(now, again);
                    while client.poll_output().is_some() {}
                }
                client.handle_input(now, Input::Token(Ok("jwt")));
                client.handle_input(now, Input::Opened);
            }
            _ => client.handle_input(now, Input::Binary(frame)),
        }
        while let Some(output) = client.poll_output() {
            if let Output::Text(text) = output {
                ClientMessage::parse(&text).expect("what is said can be read");
            }
        }
    }
}
