//! Words that come late: they belong to the turn that the user has taken last, as long as nothing was heard of its answer.
//!
//! Recognisers take a pause for an end, and find more words afterwards. As long as the answer has not begun, what comes is no turn of its own:
//! the turn becomes longer, and the answer is made anew with all of it. Once something of an answer was given, what is said interrupts that.
//! What the agent is told to say while the turn goes on is no answer to it: all words of the turn stay together.
//!
//! A turn that is as long as turns may be becomes no longer. Its answer is owed: whoever talks on, or a television, does not interrupt it, neither
//! while it is found nor while it is given, and is answered after it.

use audio::SPEECH_RATE;

use super::speaking::Speaking;
use super::{Begins, Conversation};
use crate::agent::AgentOutput;
use crate::agent::utterances::Ears;

/// A turn is ended by its time, and its last words may end earlier: 1 s, in samples.
const LAST_WORDS: u32 = 16_000;

/// The turn that the user has taken last by speaking.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    last: Option<Turn>,
    /// It goes on.
    goes_on: bool,
    /// It was too long, and so many answers had begun before the one that is owed.
    owed: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    start: u32,
    end: u32,
    words_end: u32,
    /// So many answers had begun when it was taken.
    answers: u32,
}

impl<E: Ears> Conversation<E> {
    /// All of the turn to which these words belong, which begin there, and where it begins. The first words decide that, and those behind them
    /// belong to the same turn, whatever is said or cut off meanwhile.
    pub(super) fn go_on_with_turn(&mut self, text: String, start: u32, are_first: bool) -> (String, u32) {
        let Some(last) = self.turns.last else { return (text, start) };
        if !self.turns.goes_on {
            let is_unanswered = last.answers == self.outbox.begun() && self.memory.newest_saying().is_some();
            if !are_first || !is_unanswered || self.is_too_long(last.start, last.end) {
                return (text, start);
            }
            self.turns.goes_on = true;
            self.outbox.push(AgentOutput::TurnGoesOn);
        }
        let before = self.memory.last_saying().unwrap_or_default();
        (format!("{before} {text}"), last.start)
    }

    /// Whether the words that are coming belong to the last turn.
    pub(super) fn is_turn_longer(&self) -> bool {
        self.turns.goes_on
    }

    /// The user has taken a turn, or has gone on with the last one: this is all of it.
    pub(super) fn take_turn(&mut self, text: String, start: u32, end: u32, words_end: u32) {
        self.end_oldest_turn();
        let owed = self.owed();
        if self.is_to_greet() && !self.owes_greeting() {
            // Who has said something over what may not be interrupted is answered after it, and not greeted any more.
            self.begins = Begins::Not;
        }
        let answers = self.outbox.begun();
        let goes_on = std::mem::take(&mut self.turns.goes_on);
        self.turns.last = Some(Turn { start, end, words_end, answers });
        self.turns.owed = self.is_too_long(start, end).then_some(answers).or(owed);
        if !goes_on {
            return self.user_said(text, start, end, words_end);
        }
        self.memory.user_said_more(&text);
        self.outbox.push(AgentOutput::Said { text, start, end, words_end });
        self.wants_to_think = true;
    }

    /// Whether the answer is found or given that is owed for a turn that was too long.
    pub(super) fn is_owed(&self) -> bool {
        let is_given = |answers| self.outbox.begun() == answers + 1 && self.outbox.is_answering();
        self.is_still_owed() || self.turns.owed.is_some_and(is_given)
    }

    /// Whether nothing of that has been given yet, and it is to come.
    pub(super) fn is_still_owed(&self) -> bool {
        let speaks = self.speaking.as_ref().is_some_and(Speaking::is_busy);
        let is_coming = self.wants_to_think || self.is_finding() || speaks;
        is_coming && self.turns.owed == Some(self.outbox.begun())
    }

    /// What is said next is no part of the last turn. An answer that is owed stays owed.
    pub(super) fn forget_turn(&mut self) {
        self.turns = Turns { owed: self.owed(), ..Turns::default() };
    }

    /// How many answers had begun before the one that is owed, if it is still found or given.
    fn owed(&self) -> Option<u32> {
        self.turns.owed.filter(|_| self.is_owed())
    }

    fn is_too_long(&self, start: u32, end: u32) -> bool {
        let longest = self.persona.longest_turn.as_secs().saturating_mul(SPEECH_RATE.0.into());
        let length = u64::from(end.saturating_sub(start)) + u64::from(LAST_WORDS);
        longest > 0 && length >= longest
    }

    /// No words come any more: should the last turn have seemed to go on, it was whole before.
    pub(super) fn end_turn(&mut self) {
        if let Some(Turn { start, end, words_end, .. }) = self.turns.last.filter(|_| self.turns.goes_on) {
            let text = self.memory.last_saying().unwrap_or_default().to_owned();
            self.take_turn(text, start, end, words_end);
        }
    }
}
