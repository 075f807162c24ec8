//! How a conversation speaks its answers: piece by piece, while they are still being written.
//!
//! A piece is a request of its own. The next piece is asked for while the one before is being given, so that nobody waits between them; what
//! comes of it waits until its turn.

mod alignment;
mod pace;
mod piece;

use std::collections::VecDeque;

use super::super::AgentOutput;
use super::super::script::Script;
use super::memory::{Author, Memory};
use super::outbox::Outbox;
use crate::money::bill::AtMost;
use crate::money::tab::RequestId;
use crate::provider::{Event, Skills};
use pace::Pace;
use piece::{Piece, Stage, at_most};

/// A voice: its place among the agent's providers, and what it can.
pub(super) type Voice = (usize, Skills);

/// Pieces that are asked for at a time: the one that is being given, and the next.
const ASKED_MAX: usize = 2;

/// Characters of a sentence, as is expected. A longer one may have to wait for its money.
const SENTENCE_CHARS: u64 = 200;

/// Speaks one answer at a time.
pub(super) struct Speaking {
    /// In the order in which they are asked.
    voices: Vec<Voice>,
    /// The one that is asked now; beyond the last one there is none, and answers are text.
    voice: usize,
    /// Samples a second of what the agent gives.
    rate: u32,
    /// How fast they have spoken.
    pace: Pace,
    script: Script,
    /// What is not given yet, oldest first.
    pieces: VecDeque<Piece>,
    /// Whether anything of an answer is there that is not given to its end.
    is_busy: bool,
    /// No more text comes.
    is_whole: bool,
    /// Who writes the answer just now.
    author: Author,
    /// Who wrote the last words of the answer that were told.
    told: Option<Author>,
    /// The answer may not begin yet.
    waits: bool,
    /// Samples of the answer that were given.
    given: u32,
    /// Where in the answer's sound the piece begins that was told last.
    piece_begins: u32,
    /// Samples that are wanted now.
    room: u32,
}

/// What the page is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// No voice is left: the answer is text.
    Mute,
    /// A voice speaks again.
    Speaks,
}

impl Speaking {
    pub(super) fn new(voices: Vec<Voice>, rate: u32) -> Speaking {
        Speaking {
            voices,
            voice: 0,
            rate,
            pace: Pace::new(),
            script: Script::new(),
            pieces: VecDeque::new(),
            is_busy: false,
            is_whole: false,
            author: Author::Others,
            told: None,
            waits: false,
            given: 0,
            piece_begins: 0,
            room: 0,
        }
    }

    /// Whether an answer is being spoken.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether nothing of an answer is on its way to be spoken, and a voice is left that could speak more.
    pub(super) fn is_still(&self) -> bool {
        !self.is_busy || self.pieces.is_empty() && self.voice < self.voices.len()
    }

    /// What the next sentence uses at most: by whom it is spoken, and how much.
    pub(super) fn expects(&self) -> Option<(usize, AtMost)> {
        let (provider, skills) = self.voices.get(if self.is_busy { self.voice } else { 0 })?;
        Some((*provider, at_most(skills.billing, SENTENCE_CHARS, SENTENCE_CHARS)))
    }

    /// More of the answer's text. The first begins it.
    pub(super) fn add(&mut self, text: &str, author: Author, outbox: &mut Outbox, memory: &mut Memory) {
        if !self.is_busy {
            (self.is_busy, self.is_whole, self.given) = (true, false, 0);
            self.told = None;
            self.script = Script::new();
            // A voice that has failed in an earlier answer may be well again.
            self.voice = 0;
        } else if self.author != author {
            self.end_part(outbox, memory);
        }
        self.author = author;
        self.script.push(text);
        self.go_on(outbox, memory);
    }

    /// What was written so far is spoken as it stands, even half a sentence: more may come, but not soon, or from somebody else.
    pub(super) fn end_part(&mut self, outbox: &mut Outbox, memory: &mut Memory) {
        if !self.is_busy {
            return;
        }
        self.script.finish();
        let pieces = std::iter::from_fn(|| self.script.next_piece());
        self.pieces.extend(pieces.map(|piece| Piece::new(piece, self.author)));
        self.script = Script::new();
        self.go_on(outbox, memory);
    }

    /// No more text is expected, and nobody knows yet: what was written so far is spoken if it ends as a sentence does.
    pub(super) fn end_sentence(&mut self, outbox: &mut Outbox, memory: &mut Memory) {
        if self.script.ends_sentence() {
            self.end_part(outbox, memory);
        }
    }

    /// No more text comes of this answer.
    pub(super) fn finish(&mut self, outbox: &mut Outbox, memory: &mut Memory) {
        self.script.finish();
        self.is_whole = true;
        self.go_on(outbox, memory);
    }

    /// The answer ends with the piece of it that sounds, if one does; every other request is given up.
    pub(super) fn end_soon(&mut self, outbox: &mut Outbox, memory: &mut Memory) {
        let sounding = usize::from(self.pieces.front().is_some_and(Piece::is_told));
        for piece in self.pieces.drain(sounding..) {
            piece.give_up(outbox);
        }
        self.script = Script::new();
        self.finish(outbox, memory);
    }

    /// What a whole text uses at most, request by request, if the first voice speaks it.
    pub(super) fn uses(&self, text: &str) -> Vec<(usize, AtMost)> {
        let Some((provider, skills)) = self.voices.first() else { return Vec::new() };
        let mut script = Script::new();
        script.push(text);
        script.finish();
        let spoken = std::iter::from_fn(|| script.next_piece()).map(|piece| piece.spoken);
        let spoken = spoken.filter(|spoken| !spoken.is_empty());
        spoken
            .map(|spoken| {
                (*provider, at_most(skills.billing, spoken.len() as u64, spoken.chars().count() as u64))
            })
            .collect()
    }

    /// The answer is dropped where it is; every request is given up.
    pub(super) fn cut(&mut self, outbox: &mut Outbox) {
        for piece in self.pieces.drain(..) {
            piece.give_up(outbox);
        }
        (self.is_busy, self.room) = (false, 0);
    }

    /// Takes back what this author has written of the answer, if nothing of that was told. `false` if something was.
    pub(super) fn take_back(&mut self, author: Author, outbox: &mut Outbox) -> bool {
        if !self.is_busy || self.author != author || self.told == Some(author) {
            return false;
        }
        while let Some(piece) = self.pieces.pop_back_if(|piece| piece.author() == author) {
            piece.give_up(outbox);
        }
        self.script = Script::new();
        self.is_busy = self.told.is_some() || !self.pieces.is_empty();
        true
    }

    /// An answer of which nothing was told may begin, or has to wait with that.
    pub(super) fn wait(&mut self, waits: bool, outbox: &mut Outbox, memory: &mut Memory) {
        if std::mem::replace(&mut self.waits, waits) && !waits {
            self.go_on(outbox, memory);
        }
    }

    /// Whether an answer is there that may not begin.
    pub(super) fn is_waiting(&self) -> bool {
        self.may_not_begin() && self.pieces.front().is_some_and(Piece::may_be_told)
    }

    /// So many samples are wanted.
    pub(super) fn room(&mut self, samples: u32, outbox: &mut Outbox, memory: &mut Memory) {
        self.room = samples;
        self.go_on(outbox, memory);
    }

    /// A provider says something. `None` if it is about none of its requests.
    pub(super) fn handle_event(
        &mut self,
        request: RequestId,
        event: &Event,
        outbox: &mut Outbox,
        memory: &mut Memory,
    ) -> Option<Option<News>> {
        let place = self.pieces.iter().position(|piece| piece.request() == Some(request))?;
        let piece = &mut self.pieces[place];
        if !matches!(event, Event::Failed(_)) {
            piece.note_sent();
        }
        let mut news = None;
        match event {
            Event::Sound(sound) => {
                piece.add_sound(sound, self.rate, outbox);
                let has_voice = self.voice < self.voices.len();
                news = (place == 0 && has_voice && self.given == 0).then_some(News::Speaks);
            }
            Event::Spoken(spoken) => piece.note_spoken(spoken, self.rate),
            Event::Usage(used) => piece.note_used(used),
            Event::Finished(answer) => {
                piece.finish(answer, outbox);
                if let Some((text, samples)) = piece.spoken_whole() {
                    self.pace.note(text, samples, self.rate);
                }
            }
            Event::Failed(failure) => {
                piece.fail(failure, self.pace, self.rate, outbox);
                self.voice = self.voice.max(piece.voice() + 1);
                news = (self.voice >= self.voices.len()).then_some(News::Mute);
            }
            _ => {}
        }
        self.go_on(outbox, memory);
        Some(news)
    }

    /// Asks for what is next, and gives what is there.
    fn go_on(&mut self, outbox: &mut Outbox, memory: &mut Memory) {
        if !self.is_busy {
            return;
        }
        self.ask(outbox);
        while !self.may_not_begin()
            && let Some(piece) = self.pieces.front_mut()
        {
            if !piece.is_told() && piece.may_be_told() {
                let (text, known) = piece.tell();
                let end = self.given.saturating_add(known);
                let answer = outbox.words(text.clone(), self.given, end);
                memory.agent_says(answer, piece.author(), &text);
                self.told = Some(piece.author());
                self.piece_begins = self.given;
            }
            for (bytes, after) in piece.take_spoken(self.rate) {
                outbox.push(AgentOutput::Spoken { bytes, end: self.piece_begins.saturating_add(after) });
            }
            let sound = piece.take_sound(self.room, self.rate, outbox);
            if !sound.is_empty() {
                self.room -= sound.len() as u32;
                self.given += sound.len() as u32;
                outbox.push(AgentOutput::Sound(sound));
            }
            if !piece.is_given() {
                break;
            }
            self.pieces.pop_front();
            self.ask(outbox);
        }
        if self.is_whole && self.pieces.is_empty() {
            self.is_busy = false;
            outbox.end_answer();
        }
    }

    fn may_not_begin(&self) -> bool {
        self.waits && self.told.is_none()
    }

    fn ask(&mut self, outbox: &mut Outbox) {
        loop {
            let under_way = self.pieces.iter().filter(|piece| piece.stage() == Stage::Asked).count();
            if under_way >= ASKED_MAX {
                return;
            }
            let waits = self.pieces.iter_mut().find(|piece| piece.stage() == Stage::Waiting);
            let piece = match waits {
                Some(piece) => piece,
                None => {
                    // What can be spoken is taken only when it is to be asked for: until then it is text.
                    let Some(piece) = self.script.next_piece() else { return };
                    self.pieces.push_back(Piece::new(piece, self.author));
                    self.pieces.back_mut().expect("it was just put there")
                }
            };
            piece.ask(self.voice, self.voices.get(self.voice), outbox);
        }
    }
}
