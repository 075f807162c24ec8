//! Sending an answer at the pace at which it is heard.

use std::time::Duration;

use protocol::Time;

use crate::call::Turn;

/// How far the sending is ahead of the playing: enough for a bad network, little enough to be dropped when interrupted.
const LEAD: Duration = Duration::from_secs(2);
/// After the end should have been heard, this long is waited for the client to say so.
const GRACE: Duration = Duration::from_secs(3);

/// An answer that is being sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) turn: Turn,
    audio: Vec<i16>,
    cursor: usize,
    /// Frames handed out that were not taken yet.
    promised: usize,
    frame: usize,
    frame_time: Duration,
    /// When the next frame would begin to play if all before it played without a pause.
    plays_at: Time,
}

impl Reply {
    pub(super) fn new(now: Time, turn: Turn, audio: Vec<i16>, rate: u32) -> Reply {
        Reply {
            turn,
            audio,
            cursor: 0,
            promised: 0,
            frame: (rate / 10) as usize,
            frame_time: Duration::from_millis(100),
            plays_at: now,
        }
    }

    /// Promises the next frame if its time has come. Says how many samples it has.
    pub(super) fn promise_frame(&mut self, now: Time) -> Option<u32> {
        let length = self.frame.min(self.audio.len() - self.promised);
        if length == 0 || self.plays_at > now + LEAD {
            return None;
        }
        self.promised += length;
        self.plays_at = self.plays_at.max(now) + self.frame_time;
        Some(length as u32)
    }

    /// The samples of a promised frame.
    pub(super) fn next_frame(&mut self) -> &[i16] {
        let start = self.cursor;
        self.cursor = self.promised.min(start + self.frame);
        &self.audio[start..self.cursor]
    }

    /// Samples that were promised and not taken.
    pub(super) fn untaken(&self) -> u32 {
        (self.promised - self.cursor) as u32
    }

    /// Whether every frame has been promised.
    pub(super) fn is_sent(&self) -> bool {
        self.promised == self.audio.len()
    }

    /// When there is something to do: the next frame, or that nobody told that the end was heard.
    pub(super) fn due(&self, room: bool) -> Option<Time> {
        if self.is_sent() { Some(self.plays_at + GRACE) } else { room.then(|| self.plays_at - LEAD) }
    }

    /// Whether the client has had the time to say that it played everything.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.is_sent() && now >= self.plays_at + GRACE
    }
}
