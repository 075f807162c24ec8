//! The first message of a connection, before anything is known about it.

use core::time::Duration;

use crate::{ClientMessage, CloseCode, Codec, ErrorCode, ErrorMessage, Hello, Time};

/// A connection has this long to say who it is.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// And no more than this many bytes for it.
pub const HELLO_MAX_BYTES: usize = 8 * 1024;
/// No session has a later epoch: each is one relay more that has had it. A greater one would soon be more than is stored.
const EPOCH_MAX: u32 = 1 << 30;
/// A frame of a client without its payload.
const CONTROL_FRAME_BYTES: usize = 6;
/// Of the client's name, this much is kept.
pub(super) const CLIENT_NAME_CHARS: usize = 64;

/// Why a connection is closed before it has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Sent as an `error` message first.
    pub error: ErrorMessage,
    /// Then the connection is closed with this.
    pub close: CloseCode,
}

impl Refusal {
    /// Closes with the error's own words.
    #[must_use]
    pub fn new(close: CloseCode, code: ErrorCode) -> Self {
        Refusal { error: code.into(), close }
    }

    /// No token in time, or one that is not valid: one answer for every cause.
    #[must_use]
    pub fn unauthorized() -> Self {
        Refusal::new(CloseCode::Unauthorized, ErrorCode::Unauthorized)
    }
}

/// Waits for `hello`.
#[derive(Debug)]
pub struct Handshake {
    deadline: Time,
    /// Bytes that came and were no `hello`.
    wasted: usize,
}

impl Handshake {
    /// A connection was accepted.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Handshake { deadline: now + HELLO_DEADLINE, wasted: 0 }
    }

    /// When to give up, with [`Refusal::unauthorized`].
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        self.deadline
    }

    /// Reads the first text message.
    ///
    /// # Errors
    /// With how to refuse the connection.
    pub fn handle_text(&self, text: &str) -> Result<Hello, Refusal> {
        if self.wasted.saturating_add(text.len()) > HELLO_MAX_BYTES {
            return Err(Refusal::unauthorized());
        }
        match ClientMessage::parse(text) {
            Ok(ClientMessage::Hello(mut hello)) => {
                if Codec::from_name(&hello.codec) != Some(Codec::PcmS16le16000) {
                    return Err(Refusal::new(CloseCode::Protocol, ErrorCode::ChunkCodec));
                }
                if hello.resume.as_ref().is_some_and(|resume| resume.epoch > EPOCH_MAX) {
                    return Err(Refusal::new(CloseCode::Protocol, ErrorCode::Protocol));
                }
                if let Some((cut, _)) = hello.client.char_indices().nth(CLIENT_NAME_CHARS) {
                    hello.client.truncate(cut);
                }
                Ok(hello)
            }
            Ok(_) => Err(Refusal::unauthorized()),
            Err(_) => Err(Refusal::new(CloseCode::Protocol, ErrorCode::Protocol)),
        }
    }

    /// A WebSocket ping or pong with a payload of so many bytes came.
    ///
    /// # Errors
    /// With how to refuse the connection, when there were too many.
    pub fn handle_control(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.wasted = self.wasted.saturating_add(bytes + CONTROL_FRAME_BYTES);
        if self.wasted > HELLO_MAX_BYTES { Err(Refusal::unauthorized()) } else { Ok(()) }
    }

    /// A binary message came first.
    #[must_use]
    pub fn handle_binary(&self) -> Refusal {
        Refusal::unauthorized()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn refused(text: &str) -> CloseCode {
        Handshake::new(Time::ZERO).handle_text(text).expect_err("refused").close
    }

    #[test]
    fn only_a_hello_of_ours_is_let_in() {
        assert_eq!(refused("{"), CloseCode::Protocol);
        assert_eq!(refused(r#"{"type":"nonsense"}"#), CloseCode::Protocol);
        assert_eq!(refused(r#"{"type":"ping","id":1,"rtt_us":0}"#), CloseCode::Unauthorized);
        assert_eq!(
            refused(&format!(r#"{{"type":"hello","x":"{}"}}"#, "y".repeat(9_000))),
            CloseCode::Unauthorized
        );
        let opus =
            r#"{"type":"hello","token":"t","client":"c","codec":"opus","start":{"seq":0,"position":0}}"#;
        assert_eq!(refused(opus), CloseCode::Protocol);
        assert_eq!(Handshake::new(Time::ZERO).handle_binary().close, CloseCode::Unauthorized);
        let resuming = |epoch: u32| {
            format!(
                r#"{{"type":"hello","token":"t","client":"c","codec":"pcm_s16le_16000","start":{{"seq":0,"position":0}},
                    "resume":{{"session_id":"x","resume_token":"y","epoch":{epoch},"received":0}}}}"#
            )
        };
        assert!(Handshake::new(Time::ZERO).handle_text(&resuming(EPOCH_MAX)).is_ok());
        assert_eq!(refused(&resuming(EPOCH_MAX + 1)), CloseCode::Protocol);
    }

    #[test]
    fn pings_before_the_hello_count_towards_its_bytes() {
        let mut handshake = Handshake::new(Time::ZERO);
        let let_through = (0..10_000).take_while(|_| handshake.handle_control(0).is_ok()).count();
        assert_eq!(let_through, HELLO_MAX_BYTES / CONTROL_FRAME_BYTES);
        assert_eq!(handshake.handle_control(125), Err(Refusal::unauthorized()));

        let mut handshake = Handshake::new(Time::ZERO);
        let hello = r#"{"type":"hello","token":"t","client":"c","codec":"pcm_s16le_16000","start":{"seq":0,"position":0}}"#;
        assert_eq!(handshake.handle_control(125), Ok(()));
        assert!(handshake.handle_text(hello).is_ok(), "a few do no harm");
        for _ in 0..61 {
            assert_eq!(handshake.handle_control(125), Ok(()));
        }
        assert_eq!(handshake.handle_text(hello), Err(Refusal::unauthorized()));
    }

    #[test]
    fn a_long_client_name_is_cut() {
        let text = format!(
            r#"{{"type":"hello","token":"t","client":"{}","codec":"pcm_s16le_16000","start":{{"seq":0,"position":0}}}}"#,
            "ü".repeat(100)
        );
        let hello = Handshake::new(Time::ZERO).handle_text(&text).expect("a hello");
        assert_eq!(hello.client.chars().count(), 64);
    }
}
