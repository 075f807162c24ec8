//! Somebody who goes from relay to relay in the middle of a call.

use protocol::{
    AudioHeader, Bye, ClientMessage, Codec, ErrorMessage, Hello, Mark, RelayMessage, Resume, Resumed,
};
use serde_json::json;

use crate::sound::voice;
use crate::{Heard, Raw, Relay, hello, token_but};

/// Samples of 100 ms.
pub const CHUNK: u32 = 1_600;

/// A client that says what it likes about where it stands.
#[derive(Debug)]
pub struct Hopper {
    /// Its connection.
    pub raw: Raw,
    /// Its session.
    pub id: String,
    /// Where the next frame stands.
    pub next: Mark,
    sub: &'static str,
    token: String,
    epoch: u32,
}

impl Hopper {
    /// Calls under this name.
    pub async fn begin(relay: &Relay, sub: &'static str) -> Hopper {
        let (raw, welcome) = Raw::welcomed(relay, sub).await;
        Hopper {
            raw,
            sub,
            id: welcome.session_id,
            token: welcome.resume_token,
            epoch: welcome.epoch,
            next: Mark::default(),
        }
    }

    /// Says so many chunks as fast as they go, and waits until the relay has them all.
    ///
    /// # Errors
    /// The error that came, if one did, and the code with which the relay closed the connection.
    pub async fn speak(&mut self, chunks: u32) -> Result<(), (Option<ErrorMessage>, u16)> {
        let sound = voice(f64::from(chunks) / 10.0);
        for sound in sound.chunks(CHUNK as usize) {
            let mut frame = Vec::new();
            AudioHeader::write(Codec::PcmS16le16000, self.next.seq, self.next.position, &mut frame);
            frame.extend(sound.iter().flat_map(|sample| sample.to_le_bytes()));
            self.raw.send(frame.into()).await;
            self.next = Mark { seq: self.next.seq + 1, position: self.next.position + CHUNK };
        }
        let mut told = None;
        loop {
            match self.raw.next().await {
                Heard::Said(RelayMessage::RelayAck(ack)) if ack.received == self.next => return Ok(()),
                Heard::Said(RelayMessage::ErrorMessage(error)) => told = Some(error),
                Heard::Closed(code) => return Err((told, code)),
                _ => {}
            }
        }
    }

    /// Goes on at another relay, without a word to the one before. `None` if another session began there.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn hop(&mut self, relay: &Relay, start: Mark) -> Option<Resumed> {
        let resume = Resume {
            session_id: self.id.clone(),
            resume_token: self.token.clone(),
            epoch: self.epoch,
            received: 0,
            played: None,
        };
        let hello = Hello { start, ..hello(&token_but(&json!({ "sub": self.sub })), Some(resume)) };
        let mut raw = Raw::connect(relay, None).await.expect("connects");
        raw.say(&ClientMessage::from(hello).to_json()).await;
        loop {
            match raw.next().await {
                Heard::Said(RelayMessage::Resumed(resumed)) => {
                    (self.raw, self.token, self.epoch) = (raw, resumed.resume_token.clone(), resumed.epoch);
                    self.next = resumed.received;
                    return Some(resumed);
                }
                Heard::Said(RelayMessage::Welcome(_)) => return None,
                Heard::Closed(code) => panic!("{code}"),
                _ => {}
            }
        }
    }

    /// Hangs up. Says what the relay says was used, in milliseconds.
    ///
    /// # Panics
    /// When the call does not end in order.
    pub async fn hang_up(mut self) -> u64 {
        self.raw.say(&ClientMessage::from(Bye { end: self.next.seq }).to_json()).await;
        loop {
            match self.raw.next().await {
                Heard::Said(RelayMessage::Ended(ended)) => return ended.usage.audio_ms,
                Heard::Closed(code) => panic!("{code}"),
                _ => {}
            }
        }
    }
}
