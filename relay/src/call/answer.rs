//! An answer that is being given: its words as they come, and its sound, sent at the pace at which it is heard.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;

use super::Turn;

/// How far the sending is ahead of the playing: enough for a bad network, little enough to be dropped when interrupted.
const LEAD: Duration = Duration::from_secs(2);
/// After the end should have been heard, this long is waited for the client to say so.
const GRACE: Duration = Duration::from_secs(3);
/// One frame.
const FRAME_TIME: Duration = Duration::from_millis(100);
/// Sound that waits to be sent. An agent that gives more, unasked, loses what is beyond.
const WAITING_MAX: Duration = Duration::from_secs(60);
/// A voice speaks so many characters a second, or a little less.
const CHARACTERS_PER_SECOND: u32 = 18;
/// Words are told at most this often, until they are all there.
const WORDS_EVERY: Duration = Duration::from_millis(100);

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Counts the answers of the call.
    number: u32,
    /// Its words so far, and its place. `end` is the furthest that is known.
    pub(super) turn: Turn,
    /// Where each piece of the words begins: in the sound, and as a byte of the text.
    pieces: Vec<(u32, usize)>,
    /// Whether all its words are there.
    is_said: bool,
    /// Whether the agent gives nothing more.
    is_whole: bool,
    /// Sound that was not sent yet.
    waiting: VecDeque<i16>,
    /// Samples that were sent.
    sent: u32,
    rate: u32,
    /// When the next frame would begin to play if all before it played without a pause.
    plays_at: Time,
    /// What was told last of its words, and when.
    told: Option<Told>,
    /// What was stored last.
    stored: Option<Turn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    at: Time,
    bytes: usize,
    end: u32,
    last: bool,
}

impl Answer {
    pub(super) fn new(now: Time, number: u32, turn: Turn, rate: u32) -> Answer {
        Answer {
            number,
            turn,
            pieces: Vec::new(),
            is_said: false,
            is_whole: false,
            waiting: VecDeque::new(),
            sent: 0,
            rate,
            plays_at: now,
            told: None,
            stored: None,
        }
    }

    /// More words, with their place in the sound.
    pub(super) fn add_words(&mut self, text: &str, start: u32, end: u32, last: bool) {
        self.pieces.push((start, self.turn.text.len()));
        self.turn.text.push_str(text);
        self.turn.end = self.turn.end.max(self.turn.start.saturating_add(end));
        self.is_said |= last;
    }

    /// More sound.
    pub(super) fn add_sound(&mut self, samples: &[i16]) {
        let most = (WAITING_MAX.as_secs() as usize) * self.rate as usize;
        let room = most.saturating_sub(self.waiting.len());
        self.waiting.extend(&samples[..samples.len().min(room)]);
        let known = self.sent.saturating_add(self.waiting.len() as u32);
        self.turn.end = self.turn.end.max(self.turn.start.saturating_add(known));
    }

    /// The agent gives nothing more.
    pub(super) fn complete(&mut self) {
        self.is_said = true;
        self.is_whole = true;
    }

    /// The next frame if its time has come and it is there.
    pub(super) fn next_frame(&mut self, now: Time) -> Option<Vec<i16>> {
        let frame = (self.rate / 10) as usize;
        if !self.has_frame() || self.plays_at > now + LEAD {
            return None;
        }
        let length = frame.min(self.waiting.len());
        self.plays_at = self.plays_at.max(now) + FRAME_TIME;
        self.sent += length as u32;
        Some(self.waiting.drain(..length).collect())
    }

    /// Samples that the agent is to give now: up to the next frame, so that no more of it waits here than it gives at once.
    pub(super) fn wanted(&self, now: Time) -> u32 {
        let frame = self.rate / 10;
        let waiting = self.waiting.len() as u32;
        if self.is_whole || self.plays_at > now + LEAD { 0 } else { frame.saturating_sub(waiting) }
    }

    /// Samples that were sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// Which answer of the call it is.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Samples that are not sent yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the agent gives nothing more.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether everything is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_whole && self.waiting.is_empty()
    }

    /// Whether nothing of it can be played, and all of it is said.
    pub(super) fn is_silent(&self) -> bool {
        self.is_sent() && self.sent == 0
    }

    /// Whether its words are to be told now. Then they count as told.
    pub(super) fn tell(&mut self, now: Time) -> bool {
        let next = Told { at: now, bytes: self.turn.text.len(), end: self.turn.end, last: self.is_said };
        let news = match self.told {
            None => true,
            // Where it ends grows with its sound; it is told with the words, and when all is there.
            Some(told) if told.last => self.is_whole && next.end != told.end,
            Some(told) => next.last || next.bytes != told.bytes && now >= told.at + WORDS_EVERY,
        };
        if news {
            self.told = Some(next);
        }
        news
    }

    /// Whether all its words are there.
    pub(super) fn is_said(&self) -> bool {
        self.is_said
    }

    /// Whether it is to be stored. Then it counts as stored.
    pub(super) fn store(&mut self) -> bool {
        let news = self.stored.as_ref() != Some(&self.turn);
        if news {
            self.stored = Some(self.turn.clone());
        }
        news
    }

    /// Bytes of its words that somebody has heard who heard the sound up to `played`, a place in the agent's timeline. Words without any
    /// sound are heard when they are said.
    ///
    /// Within a piece of the words the time is taken to be spread evenly over them, and a word is heard when all of it is. Of a piece whose
    /// sound is not all there, its length is not known: it lasts as long as words do.
    pub(super) fn heard_words(&self, played: u32) -> usize {
        let text = &self.turn.text;
        // Without any piece all that is left of them was heard.
        if self.turn.end == self.turn.start || self.pieces.is_empty() {
            return text.len();
        }
        let heard = played.saturating_sub(self.turn.start);
        let next = self.pieces.partition_point(|(start, _)| *start < heard);
        let Some(&(start, byte)) = next.checked_sub(1).and_then(|place| self.pieces.get(place)) else {
            return 0;
        };
        let (end, end_byte) = self.pieces.get(next).copied().unwrap_or_else(|| {
            let known = self.turn.end - self.turn.start;
            let words = text[byte..].chars().count() as u32 * (self.rate / CHARACTERS_PER_SECOND);
            (if self.is_whole { known } else { known.max(start.saturating_add(words)) }, text.len())
        });
        let length = u64::from(end.saturating_sub(start)).max(1);
        let bytes = (end_byte - byte) as u64 * u64::from(heard - start) / length;
        if bytes >= (end_byte - byte) as u64 {
            return end_byte;
        }
        let words = text[byte..end_byte].char_indices();
        let ends = words.filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
        byte + ends.take_while(|at| *at as u64 <= bytes).last().unwrap_or(0)
    }

    /// Forgets the words that nobody has heard who heard the sound up to `played`.
    pub(super) fn shorten(&mut self, played: u32) {
        let heard = self.heard_words(played);
        if heard < self.turn.text.len() {
            self.turn.text.truncate(heard);
            self.pieces.clear();
            self.told = None;
        }
    }

    /// When there is something to do: the next frame, more words, or that nobody told that the end was heard.
    pub(super) fn due(&self, now: Time, room: bool) -> Option<Time> {
        let words = self.told.filter(|told| !told.last && told.bytes != self.turn.text.len());
        let words = words.map(|told| told.at + WORDS_EVERY);
        let next = self.plays_at - LEAD;
        let sound = if self.is_sent() {
            Some(self.plays_at + GRACE)
        } else {
            // What should be there by now is the agent's to give: it is not asked twice.
            (room && (self.has_frame() || next > now)).then_some(next)
        };
        words.into_iter().chain(sound).min()
    }

    fn has_frame(&self) -> bool {
        self.waiting.len() >= (self.rate / 10) as usize || self.is_whole && !self.waiting.is_empty()
    }

    /// Whether the client has had the time to say that it played everything.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.is_sent() && now >= self.plays_at + GRACE
    }
}
