//! What the user and the page say: kept until it is committed, sent in order, and dropped in a written way when there is too much of it.

use std::time::Duration;

use super::phase::{Attempt, Away, Phase, Timer, Up};
use super::{Client, Event, GapInfo, NotTaken, Output, UPLINK, say};
use crate::replay::Message;
use crate::{
    BargeIn, Bye, ClientMessage, CloseCode, ErrorCode, Features, Gap, Mark, Mute, Numbered, Playback, Upward,
    micros,
};

/// Bytes a socket may hold back before chunks wait in our own buffer instead: 4 s of audio.
const SOCKET_HIGH_WATER: usize = 128 * 1024;
/// A socket that was full takes more when it holds back less than this. What was dropped meanwhile is declared in one piece: on a slow line,
/// one for each chunk would be more control messages than a relay takes.
const SOCKET_LOW_WATER: usize = 64 * 1024;
/// However often an application mutes, the relay hears of it this seldom: a button must not cost the connection.
const MUTE_APART: Duration = Duration::from_millis(200);
/// A socket that held back this much and now holds less hands audio on: the system's own buffers were full before.
const BACKLOG: usize = 16 * 1024;
/// Messages and gaps are sent no closer than this in the long run. A relay takes twice as many, for what is said beside them.
const TURN_APART: Duration = Duration::from_millis(100);
/// As many may be sent at once as come apart in this time: 20, half of what a relay takes.
const TURNS_AT_ONCE: Duration = Duration::from_secs(2);

impl Client {
    pub(super) fn handle_chunk(&mut self, samples: &[i16]) {
        // Whoever hangs up without waiting has taken back what was not sent, and says nothing in its place.
        let is_cut = self.closing.is_some_and(|closing| !closing.finishes);
        if samples.is_empty() || self.muted || is_cut || self.up().is_some_and(|up| up.told_bye) {
            return;
        }
        if !self.uplink.push_audio(UPLINK, samples) {
            return self.end(CloseCode::TooLong);
        }
        self.make_room();
    }

    pub(super) fn take_message(&mut self, message: &Upward) -> Result<(), NotTaken> {
        if matches!(self.phase, Phase::Closed) || self.closing.is_some() {
            return Err(NotTaken::Over);
        }
        message.check_length().map_err(NotTaken::TooLong)?;
        if self.up().is_some_and(|up| !up.features.has(message.word())) {
            return Err(NotTaken::NotSupported);
        }
        let numbered = Numbered { mark: self.uplink.end(), message: message.clone() };
        let json = ClientMessage::from(numbered).to_json();
        if (self.uplink.text_bytes() + json.len()) as u64 > self.capacity() {
            return Err(NotTaken::Full);
        }
        if !self.uplink.push_text(message.word(), json) {
            self.end(CloseCode::TooLong);
            return Err(NotTaken::Over);
        }
        self.make_room();
        Ok(())
    }

    /// Bytes that the buffer holds.
    fn capacity(&self) -> u64 {
        let bytes_per_second = u64::from(UPLINK.rate()) * 2;
        micros(self.config.buffer) / 1_000 * bytes_per_second / 1_000
    }

    /// The oldest audio makes room, and never a message.
    fn make_room(&mut self) {
        let capacity = self.capacity();
        while self.uplink.samples() * 2 + self.uplink.text_bytes() as u64 > capacity {
            let Some(dropped) = self.uplink.drop_oldest_audio() else { break };
            if dropped.seq >= self.acknowledged.seq {
                self.tell_full();
            }
        }
    }

    /// Once in each phase.
    fn tell_full(&mut self) {
        let told = match &mut self.phase {
            Phase::Idle { told_full } => told_full,
            Phase::Away(away) => &mut away.told_full,
            Phase::Up(up) => &mut up.told_full,
            Phase::Closed => return,
        };
        if !std::mem::replace(told, true) {
            self.tell(Event::Error(const { ErrorCode::BufferFull.info() }.into()));
        }
    }

    pub(super) fn handle_buffered(&mut self, bytes: usize) {
        let socket = match &mut self.phase {
            Phase::Up(up) => &mut up.socket,
            Phase::Away(Away {
                attempt: Attempt::Opening { socket, .. } | Attempt::Greeting { socket, .. },
                ..
            }) => socket,
            Phase::Away(_) | Phase::Idle { .. } | Phase::Closed => return,
        };
        let drains = socket.told_bytes >= BACKLOG && bytes < socket.told_bytes;
        socket.told_bytes = bytes;
        socket.bytes = bytes;
        socket.held_back = bytes >= if socket.held_back { SOCKET_LOW_WATER } else { SOCKET_HIGH_WATER };
        if drains && self.up().is_some() {
            self.alive();
            self.progress();
        }
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.up().is_some_and(|up| up.socket.held_back) && !self.uplink.is_sent()
    }

    /// Whether what comes next waits for its turn, whatever the line carries.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.is_set(Timer::Turn)
    }

    /// What the uplink has to send: what was dropped, then what is held, then what must come after it.
    pub(super) fn poll_uplink(&mut self) -> Option<Output> {
        self.up()?;
        if let Some(message) = self.poll_playback() {
            return Some(say(&message));
        }
        if self.is_held_back() {
            return None;
        }
        let cursor = self.uplink.cursor();
        let held = self.uplink.next_held(cursor.seq);
        if cursor.seq < held.seq {
            if !self.take_turn() {
                return None;
            }
            self.uplink.seek(held);
            self.tell_gap(cursor, held);
            return Some(say(&Gap { from: cursor, to: held }.into()));
        }
        if self.uplink.is_sent() {
            return self.poll_last();
        }
        if self.uplink.is_text_next() && !self.take_turn() {
            return None;
        }
        let Phase::Up(up) = &mut self.phase else { return None };
        let message = self.uplink.advance(up.features.has(Features::SAMPLES))?;
        up.socket.bytes += message.len();
        up.socket.held_back |= up.socket.bytes >= SOCKET_HIGH_WATER;
        Some(match message {
            Message::Text(text) => Output::Text(text),
            Message::Binary(frame) => {
                up.has_spoken_since = true;
                Output::Binary(frame)
            }
        })
    }

    /// What is said when everything else is.
    fn poll_last(&mut self) -> Option<Output> {
        let Phase::Up(up) = &mut self.phase else { return None };
        let waits = up.told_bye || up.timers.is_set(Timer::Mute as usize);
        // Who unmutes, speaks and mutes again before the relay could be told is muted, as it was told, and has said something that ends here.
        let is_news = up.told_muted != self.muted || self.muted && up.has_spoken_since;
        if is_news && !waits {
            (up.told_muted, up.has_spoken_since) = (self.muted, false);
            up.timers.set(Timer::Mute as usize, self.now + MUTE_APART);
            return Some(say(&Mute { muted: self.muted }.into()));
        }
        // What the relay does not know to be heard by then counts as not heard.
        if self.closing.is_some() && !up.told_bye && !up.timers.is_set(Timer::Ack as usize) {
            up.told_bye = true;
            return Some(say(&Bye { end: self.uplink.end().seq }.into()));
        }
        None
    }

    /// What the relay does not know yet of the agent's sound on the page.
    fn poll_playback(&mut self) -> Option<ClientMessage> {
        let Up { features, told_barge_in, told_held, .. } = self.up()?;
        let barges_in = self.barge_in.filter(|_| *told_barge_in != self.barge_in && features.has("barge_in"));
        let holds = *told_held != self.playback_held && features.has("playback");
        if barges_in.is_none() && !holds || !self.take_turn() {
            return None;
        }
        let Phase::Up(up) = &mut self.phase else { return None };
        if let Some(played) = barges_in {
            up.told_barge_in = barges_in;
            return Some(BargeIn { played }.into());
        }
        up.told_held = self.playback_held;
        Some(Playback { held: self.playback_held }.into())
    }

    /// Whether one more message may be sent now: a relay closes on whoever sends too many.
    fn take_turn(&mut self) -> bool {
        let refilled = self.refilled.max(self.now) + TURN_APART;
        let allowed = self.now + TURNS_AT_ONCE;
        if refilled > allowed {
            self.set(Timer::Turn, (refilled - TURNS_AT_ONCE).since(self.now));
            return false;
        }
        self.stop(Timer::Turn);
        self.refilled = refilled;
        true
    }

    /// The relay that answered takes no messages of some kinds: what it does not have of them yet it will never get.
    pub(super) fn take_back_unsupported(&mut self) {
        let Phase::Up(up) = &self.phase else { return };
        let features = &up.features;
        let texts = self.uplink.take_texts(self.acknowledged.seq, &|word| !features.has(word));
        self.tell_undelivered(&texts);
    }

    /// The relay has ended the call, by a word or by closing the connection, and has said before that what it has stored. A text that it had and
    /// did not store came too late. Of other messages that is not known: they may have been taken and need not be stored.
    pub(super) fn take_back_unheard(&mut self) {
        let texts = self.uplink.take_texts(self.base.seq, &|word| matches!(word, "text" | "say"));
        self.tell_undelivered(&texts);
    }

    /// Whatever was said from here on is missing.
    pub(super) fn tell_missing(&mut self, from: Mark) {
        self.tell_gap(from, self.uplink.end());
        let texts = self.uplink.take_texts(from.seq, &|_| true);
        self.tell_undelivered(&texts);
    }

    fn tell_undelivered(&mut self, texts: &[String]) {
        for message in texts.iter().filter_map(|text| Upward::parse(text).ok()) {
            self.tell(Event::Undelivered(message));
        }
    }

    /// Tells the application of missing audio, leaving out what it was told before.
    fn tell_gap(&mut self, from: Mark, to: Mark) {
        if from.position < to.position {
            for (position, end) in self.told_gaps.tell(from.position, to.position) {
                self.tell(Event::Gap(GapInfo { position, samples: end - position }));
            }
        }
    }
}
