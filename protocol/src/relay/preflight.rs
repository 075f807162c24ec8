//! What comes after the greeting of a preflight: pings are answered, and binary messages are echoed, up to a number of bytes and a time.

use std::time::Duration;

use crate::{ClientMessage, CloseCode, Ping, Pong, RelayMessage, Time};

/// How long a preflight may take, counted from the moment at which its connection was accepted.
pub const PREFLIGHT_DEADLINE: Duration = Duration::from_secs(15);
/// How many bytes a preflight may carry, both directions together.
pub const PREFLIGHT_MAX_BYTES: usize = 256 * 1024;
/// What a message counts besides its payload: the head of a client's WebSocket frame.
const FRAME_BYTES: usize = 6;

/// Answers a preflight whose `hello` was accepted.
#[derive(Debug)]
pub struct Preflight {
    deadline: Time,
    /// How many bytes may still be carried.
    left: usize,
}

impl Preflight {
    /// The preflight of a connection that was accepted at `accepted`.
    #[must_use]
    pub fn new(accepted: Time) -> Preflight {
        Preflight { deadline: accepted + PREFLIGHT_DEADLINE, left: PREFLIGHT_MAX_BYTES }
    }

    /// When to close the connection with [`CloseCode::Normal`].
    #[must_use]
    pub fn poll_timeout(&self) -> Time {
        self.deadline
    }

    /// The answer to a text message: a `pong` to a `ping`.
    ///
    /// # Errors
    /// With how to close the connection.
    pub fn handle_text(&mut self, text: &str) -> Result<String, CloseCode> {
        let Ok(ClientMessage::Ping(Ping { id, .. })) = ClientMessage::parse(text) else {
            return Err(CloseCode::Protocol);
        };
        let answer = RelayMessage::from(Pong { id }).to_json();
        self.count(text.len() + FRAME_BYTES + answer.len())?;
        Ok(answer)
    }

    /// The answer to a binary message: the same bytes, and the first half of them once more, as the agent's audio takes half as much again as
    /// the user's.
    ///
    /// # Errors
    /// With how to close the connection.
    pub fn handle_binary(&mut self, payload: &[u8]) -> Result<Vec<u8>, CloseCode> {
        let half = &payload[..payload.len() / 2];
        self.count(payload.len() + FRAME_BYTES + payload.len() + half.len())?;
        Ok([payload, half].concat())
    }

    /// Counts a WebSocket ping or pong with a payload of so many bytes.
    ///
    /// # Errors
    /// With how to close the connection.
    pub fn handle_control(&mut self, bytes: usize) -> Result<(), CloseCode> {
        self.count(bytes + FRAME_BYTES)
    }

    fn count(&mut self, bytes: usize) -> Result<(), CloseCode> {
        self.left = self.left.checked_sub(bytes).ok_or(CloseCode::Limited)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn preflight() -> Preflight {
        Preflight::new(Time::ZERO)
    }

    #[test]
    fn a_ping_is_answered_and_nothing_else_is_said() {
        let mut preflight = preflight();
        assert_eq!(
            preflight.handle_text(r#"{"type":"ping","id":7,"rtt_us":0}"#).as_deref(),
            Ok(r#"{"type":"pong","id":7}"#)
        );
        for text in [r#"{"type":"bye","end":0}"#, r#"{"type":"text","seq":0,"text":"hello"}"#, "{", ""] {
            assert_eq!(preflight.handle_text(text), Err(CloseCode::Protocol), "{text}");
        }
    }

    #[test]
    fn audio_comes_back_half_as_long_again() {
        let echo = preflight().handle_binary(&[1, 2, 3, 4, 5, 6]).expect("within the bytes");
        assert_eq!(echo, [1, 2, 3, 4, 5, 6, 1, 2, 3]);
        assert_eq!(preflight().handle_binary(&[]), Ok(Vec::new()));
    }

    #[test]
    fn two_seconds_of_a_call_fit_and_both_directions_are_counted() {
        let mut busy = preflight();
        for _ in 0..20 {
            assert!(busy.handle_binary(&[0; 3_200]).is_ok());
        }
        let most = (PREFLIGHT_MAX_BYTES - FRAME_BYTES) * 2 / 5;
        assert!(preflight().handle_binary(&vec![0; most]).is_ok());
        assert_eq!(preflight().handle_binary(&vec![0; most + 2]), Err(CloseCode::Limited));
    }

    #[test]
    fn nothing_that_a_peer_can_repeat_is_free() {
        let floods: [fn(&mut Preflight) -> bool; 3] = [
            |preflight| preflight.handle_binary(&[]).is_ok(),
            |preflight| preflight.handle_control(0).is_ok(),
            |preflight| preflight.handle_text(r#"{"type":"ping","id":7,"rtt_us":0}"#).is_ok(),
        ];
        for flood in floods {
            let mut preflight = preflight();
            let passed = (0..PREFLIGHT_MAX_BYTES).take_while(|_| flood(&mut preflight)).count();
            assert!(passed <= PREFLIGHT_MAX_BYTES / FRAME_BYTES, "{passed}");
        }
    }

    #[test]
    fn it_is_over_at_its_deadline() {
        let accepted = Time::from_micros(1_000_000);
        assert_eq!(Preflight::new(accepted).poll_timeout(), accepted + PREFLIGHT_DEADLINE);
    }
}
