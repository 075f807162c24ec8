//! An answer that the agent is giving: its words as they come, and its sound, which is sent at the pace at which the user hears it.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;

use super::{Turn, millis};
use crate::agent::speech_rate::{ends_of_words, lasts_at_least};

/// How far sending runs ahead of playing. It is enough to bridge a bad network, and little enough to be thrown away at an interruption.
const LEAD: Duration = Duration::from_secs(2);
/// How long the call waits for the client to say that an answer was played, counted from when its end should have been heard.
const GRACE: Duration = Duration::from_secs(3);
/// How long a frame of sound plays, but for the last one of an answer, and one that is waited for.
const FRAME_TIME: Duration = Duration::from_millis(100);
/// How long a frame plays at least that is waited for, because nothing plays that was sent before.
const FIRST_FRAME_TIME: Duration = Duration::from_millis(20);
/// When the agent is late by this much, what it says then comes after a pause of its own. By less sound may always be late that is given as it is
/// heard, and a client waits for as much before it plays anything.
const PAUSE: Duration = Duration::from_millis(100);
/// The most sound that waits to be sent. An agent that gives more without being asked loses what is beyond it.
const WAITING_MAX: Duration = Duration::from_secs(60);
/// The shortest time between two messages with the words of an unfinished answer. Its last words are told at once.
const WORDS_EVERY: Duration = Duration::from_millis(100);

/// An answer that the agent is giving.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Which answer of the call it is, counted from 0.
    number: u32,
    /// The words so far, and their place in the agent's timeline. `end` grows as more of the answer is known.
    pub(super) turn: Turn,
    /// Where each piece of the words begins: its first sample in the answer's sound, and its first byte in the text. Where the voice says when
    /// a word ends, another piece begins.
    pieces: Vec<(u32, usize)>,
    /// Where in the text the words begin that were added last.
    added: usize,
    /// Whether the agent has given all words of the answer.
    is_said: bool,
    /// Whether the agent has given all words and all sound of the answer.
    is_whole: bool,
    /// The agent was asked for more sound and had none, since the last frame was sent.
    is_awaited: bool,
    /// The page was told that all its sound was sent.
    is_end_told: bool,
    /// Sound that is not sent yet.
    waiting: VecDeque<i16>,
    /// Samples that were sent.
    sent: u32,
    /// Samples a second.
    rate: u32,
    /// When the next frame begins to play if everything before it plays without a pause.
    plays_at: Time,
    /// Since when nothing of it is sent or played.
    held_since: Option<Time>,
    /// The agent has it held.
    is_held: bool,
    /// The page holds it back.
    is_held_back: bool,
    /// When the first of it was sent.
    first_sent: Option<Time>,
    /// What the page was last told of the answer.
    told: Option<Told>,
    /// The turn as it was last stored.
    stored: Option<Turn>,
}

/// What the page was told of an answer, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    at: Time,
    bytes: usize,
    end: u32,
    last: bool,
}

impl Answer {
    /// An answer that another relay was giving: where each piece of it began is not known here. It was stored when all of it was there.
    fn of_another_relay(turn: Turn, rate: u32) -> Answer {
        Answer { pieces: vec![(0, 0)], is_whole: true, ..Answer::new(Time::ZERO, 0, turn, rate) }
    }

    pub(super) fn new(now: Time, number: u32, turn: Turn, rate: u32) -> Answer {
        Answer {
            number,
            turn,
            pieces: Vec::new(),
            added: 0,
            is_said: false,
            is_whole: false,
            is_awaited: false,
            is_end_told: false,
            waiting: VecDeque::new(),
            sent: 0,
            rate,
            plays_at: now,
            held_since: None,
            is_held: false,
            is_held_back: false,
            first_sent: None,
            told: None,
            stored: None,
        }
    }

    /// Appends words, with their place in the answer's sound.
    pub(super) fn add_words(&mut self, text: &str, start: u32, end: u32, last: bool) {
        self.added = self.turn.text.len();
        self.pieces.push((start, self.added));
        self.turn.text.push_str(text);
        self.turn.end = self.turn.end.max(self.turn.start.saturating_add(end));
        self.is_said |= last;
    }

    /// Notes where a word ends in the answer's sound of those that were added last: so many bytes of them are spoken by then, and with no more of
    /// them nothing was said since. It counts only behind what was noted before.
    pub(super) fn note_spoken(&mut self, bytes: usize, end: u32) {
        let byte = self.added.saturating_add(bytes).min(self.turn.text.len());
        let is_next = self.pieces.last().is_some_and(|&(start, before)| start < end && before <= byte);
        if is_next && self.turn.text.is_char_boundary(byte) {
            self.pieces.push((end, byte));
        }
    }

    /// Appends sound, as far as there is room for it.
    pub(super) fn add_sound(&mut self, samples: &[i16]) {
        let most = (WAITING_MAX.as_secs() as usize) * self.rate as usize;
        let room = most.saturating_sub(self.waiting.len());
        self.waiting.extend(&samples[..samples.len().min(room)]);
        let known = self.sent.saturating_add(self.waiting.len() as u32);
        self.turn.end = self.turn.end.max(self.turn.start.saturating_add(known));
    }

    /// Notes that the agent gives nothing more.
    pub(super) fn complete(&mut self) {
        self.is_said = true;
        self.is_whole = true;
    }

    /// Whether the sound is held where it is.
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Holds the sound where it is, or lets it go on for a client that has heard the agent up to `played`. Says whether that is new.
    pub(super) fn hold(&mut self, now: Time, held: bool, played: u32) -> bool {
        if self.is_held == held {
            return false;
        }
        self.is_held = held;
        self.stand_still(now, played);
        true
    }

    /// The page holds the sound back, or lets it go on where it has heard the agent up to `played`.
    pub(super) fn hold_back(&mut self, now: Time, held_back: bool, played: u32) {
        self.is_held_back = held_back;
        self.stand_still(now, played);
    }

    /// The sound stands still as long as anybody holds it.
    fn stand_still(&mut self, now: Time, played: u32) {
        if self.held_since.is_some() == (self.is_held || self.is_held_back) {
            return;
        }
        match self.held_since.take() {
            None => self.held_since = Some(now),
            Some(since) => {
                // A client that cannot hold has played on meanwhile, and has no more left than it has not played.
                let left = self.turn.start.saturating_add(self.sent).saturating_sub(played);
                self.plays_at = (self.plays_at.max(since) + now.since(since)).min(now + self.time(left));
            }
        }
    }

    /// The client can be reached again, and has heard the agent up to `played`: it says later that the rest of what was sent was played.
    pub(super) fn wait_for_the_rest(&mut self, now: Time, played: u32) {
        // What was late then was late because of the line as well.
        self.is_awaited = false;
        if self.is_sent() {
            let left = self.turn.start.saturating_add(self.sent).saturating_sub(played);
            self.plays_at = self.plays_at.max(now + self.time(left));
        }
    }

    /// Whether it answers what the user said last, and nothing of its sound was sent yet.
    pub(super) fn is_first_to_answer(&self) -> bool {
        self.turn.latency.llm_ms.is_some() && self.turn.latency.total_ms.is_none()
    }

    /// Takes the next frame, if it is there and it is time to send it.
    pub(super) fn next_frame(&mut self, now: Time) -> Option<Vec<i16>> {
        if self.held_since.is_some() || !self.has_frame(now) || self.plays_at > now + LEAD {
            return None;
        }
        let length = self.samples(FRAME_TIME).min(self.waiting.len());
        self.plays_at = self.plays_at.max(now) + self.time(length as u32);
        self.is_awaited = false;
        self.sent += length as u32;
        self.first_sent.get_or_insert(now);
        Some(self.waiting.drain(..length).collect())
    }

    /// Notes that the agent was asked for more sound and has none for now.
    pub(super) fn note_awaited(&mut self) {
        self.is_awaited = true;
    }

    /// Whether a frame that is sent now comes after a pause of the agent's, in which whoever listens has heard all that was sent before, however
    /// good the line is.
    pub(super) fn has_paused(&self, now: Time) -> bool {
        self.is_awaited && self.sent > 0 && now >= self.plays_at + PAUSE
    }

    /// Notes that the user has heard the agent up to `played`. Says whether the first of an answer to them was heard only now.
    pub(super) fn note_heard(&mut self, now: Time, played: u32) -> bool {
        let is_measured = self.turn.latency.total_ms.is_some() && self.turn.latency.heard_ms.is_none();
        let Some(sent) = self.first_sent.filter(|_| is_measured && played > self.turn.start) else {
            return false;
        };
        self.turn.latency.heard_ms = Some(millis(now.since(sent)));
        true
    }

    /// How many samples the agent is asked for now: what the next frame lacks, so that sound does not pile up here.
    pub(super) fn wanted(&self, now: Time) -> u32 {
        let frame = self.rate / 10;
        let waiting = self.waiting.len() as u32;
        let is_early = self.held_since.is_some() || self.plays_at > now + LEAD;
        if self.is_whole || is_early { 0 } else { frame.saturating_sub(waiting) }
    }

    /// Whether all that was sent of it was heard by who has heard the agent up to `played`.
    pub(super) fn is_heard(&self, played: u32) -> bool {
        played >= self.turn.start.saturating_add(self.sent)
    }

    /// How many samples were sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// Which answer of the call it is, counted from 0.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How many samples are not sent yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the agent has given all words and all sound of the answer.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether the answer is whole and all its sound is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.is_whole && self.waiting.is_empty()
    }

    /// Notes that the caller tells the page now that all sound of the answer was sent, if there was some. Says whether that is new: what is sent
    /// already may turn out to be all of it only later.
    pub(super) fn note_end(&mut self) -> bool {
        self.sent > 0 && !std::mem::replace(&mut self.is_end_told, true)
    }

    /// Whether the answer is whole and has no sound.
    pub(super) fn is_silent(&self) -> bool {
        self.is_sent() && self.sent == 0
    }

    /// Notes that the caller tells the page of the answer now, if it is time to. Says whether it is.
    pub(super) fn note_told(&mut self, now: Time) -> bool {
        let next = Told { at: now, bytes: self.turn.text.len(), end: self.turn.end, last: self.is_said };
        let is_new = match self.told {
            None => true,
            // The end grows with the sound. It is told with the words, and once more when the answer is whole.
            Some(told) if told.last => self.is_whole && next.end != told.end,
            Some(told) => next.last || next.bytes != told.bytes && now >= told.at + WORDS_EVERY,
        };
        if is_new {
            self.told = Some(next);
        }
        is_new
    }

    /// Whether the agent has given all words of the answer.
    pub(super) fn is_said(&self) -> bool {
        self.is_said
    }

    /// Notes that the caller stores the turn now, if it differs from what is stored. Says whether it does.
    pub(super) fn note_stored(&mut self) -> bool {
        let is_new = self.stored.as_ref() != Some(&self.turn);
        if is_new {
            self.stored = Some(self.turn.clone());
        }
        is_new
    }

    /// How many bytes of the words the user has heard, who has heard the sound up to `played`, a place in the agent's timeline. Words of an
    /// answer without sound count as heard as soon as they are said.
    ///
    /// Within a piece of the words the time is taken to be spread evenly over them, and a word is heard when all of it is. Of a piece whose
    /// sound is not all there, its length is not known: it lasts as long as words do.
    pub(super) fn heard_words(&self, played: u32) -> usize {
        let text = &self.turn.text;
        // Without any piece all that is left of them was heard.
        if self.turn.end == self.turn.start || self.pieces.is_empty() {
            return text.len();
        }
        // What is whole and was heard to its end has no more sound: words behind that were read.
        if self.is_sent() && self.sent > 0 && self.is_heard(played) {
            return text.len();
        }
        let heard = played.saturating_sub(self.turn.start);
        let next = self.pieces.partition_point(|(start, _)| *start < heard);
        let Some(&(start, byte)) = next.checked_sub(1).and_then(|place| self.pieces.get(place)) else {
            return 0;
        };
        let (end, end_byte) = self.pieces.get(next).copied().unwrap_or_else(|| {
            let known = self.turn.end - self.turn.start;
            let words = lasts_at_least(&text[byte..], self.rate);
            (if self.is_whole { known } else { known.max(start.saturating_add(words)) }, text.len())
        });
        let length = u64::from(end.saturating_sub(start)).max(1);
        let bytes = (end_byte - byte) as u64 * u64::from(heard - start) / length;
        if bytes >= (end_byte - byte) as u64 {
            return end_byte;
        }
        let ends = ends_of_words(&text[byte..end_byte]);
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

    /// When the answer next needs attention: to send a frame, to tell more words, or because the client did not say that the end was played.
    /// Unless the link `has_room`, no frame is due, and nobody is there who could say what was played.
    pub(super) fn due(&self, now: Time, has_room: bool) -> Option<Time> {
        let words = self.told.filter(|told| !told.last && told.bytes != self.turn.text.len());
        let words = words.map(|told| told.at + WORDS_EVERY);
        let next = self.plays_at - LEAD;
        let sound = if self.held_since.is_some() {
            None
        } else if self.is_sent() {
            Some(self.plays_at + GRACE).filter(|_| has_room)
        } else {
            // A frame that is late and not there is the agent's to give. It was asked already, so no timer runs for it. What is less than
            // a frame is sent when nothing else plays any more.
            let is_next = self.has_frame(now) || next > now;
            let is_part = self.waiting.len() >= self.samples(FIRST_FRAME_TIME);
            let due = if is_next { Some(next) } else { is_part.then_some(self.plays_at) };
            due.filter(|_| has_room)
        };
        words.into_iter().chain(sound).min()
    }

    /// Whether there is a frame to send: a whole one, the rest, or as little as is worth sending to somebody who hears nothing meanwhile.
    fn has_frame(&self, now: Time) -> bool {
        let least = if self.plays_at <= now { FIRST_FRAME_TIME } else { FRAME_TIME };
        self.waiting.len() >= self.samples(least) || self.is_whole && !self.waiting.is_empty()
    }

    /// How many samples play for so long.
    fn samples(&self, time: Duration) -> usize {
        (u128::from(self.rate) * time.as_millis() / 1_000) as usize
    }

    /// How long so many samples play.
    fn time(&self, samples: u32) -> Duration {
        Duration::from_micros(u64::from(samples) * 1_000_000 / u64::from(self.rate.max(1)))
    }

    /// Whether the client has had time enough to say that it played everything.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.held_since.is_none() && self.is_sent() && now >= self.plays_at + GRACE
    }
}

impl Turn {
    /// What is left of an answer that another relay was giving, for a user who has heard the agent up to `played` since.
    #[must_use]
    pub fn broken_off(self, played: u32, rate: u32) -> Turn {
        let mut answer = Answer::of_another_relay(self, rate);
        answer.shorten(played);
        let Answer { mut turn, .. } = answer;
        turn.heard = Some(played.clamp(turn.start, turn.end));
        turn
    }
}
