//! Words that are taken back: a recogniser seemed to hear somebody, and then hears that nobody has said anything.
//!
//! Words interrupt as soon as they are heard, long before they stay. Should none of them stay, nothing was said: what they cut off before
//! anything of it was heard is begun anew, so that the user is answered all the same. Of an answer that was heard in part nothing is said again.
//! They may cut off several things, one after another: the greeting, and what the agent is told to say while they seem to come.
//! It is the same with an answer that makes way for what the agent is told to say at once.

use super::{Author, Begins, Conversation, Speaking, TO_SAY_MAX};
use crate::agent::utterances::Ears;

/// The words that the user seems to be saying.
#[derive(Debug, Default)]
pub(super) struct Tentative {
    /// Where they end.
    end: u32,
    /// The answer that they have cut off first.
    cut: Option<Cut>,
    /// They have cut off the greeting, before it began.
    greeting: bool,
    /// What the agent was told to say and they have cut off, before that began, oldest first.
    sayings: Vec<String>,
}

/// An answer that was cut off.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nothing of it had begun.
    Unbegun,
    /// It had begun, heard or not.
    Begun,
}

impl<E: Ears> Conversation<E> {
    /// The user seems to be saying something, as far as this.
    pub(super) fn seem_to_speak(&mut self, end: u32) {
        self.is_user_speaking = true;
        self.is_user_heard = true;
        (self.user_heard_at, self.words_at) = (self.now, self.now);
        self.asks_at_once = false;
        self.tentative.end = self.tentative.end.max(end);
    }

    /// What is being found, given or waited for is about to be cut off by words.
    pub(super) fn note_cut(&mut self) {
        let is_begun = self.outbox.is_answering();
        let is_coming = !is_begun && self.speaking.as_ref().is_some_and(Speaking::is_busy);
        let is_unbegun = self.begins == Begins::WithAnswer
            || self.is_finding() && !self.has_draft()
            || is_coming && self.author != Author::Others;
        let cut = if is_begun { Some(Cut::Begun) } else { is_unbegun.then_some(Cut::Unbegun) };
        let greeting_comes = is_coming && self.floor.is_greeting();
        let is_greeting = greeting_comes || self.is_to_greet() && !self.owes_greeting();
        let tentative = &mut self.tentative;
        tentative.cut = tentative.cut.or(cut);
        tentative.greeting |= is_greeting;
        if is_coming && !greeting_comes && !self.saying.is_empty() && tentative.sayings.len() < TO_SAY_MAX {
            tentative.sayings.push(std::mem::take(&mut self.saying));
        }
    }

    /// Nothing that ends before this position will be understood any more: words that seemed to be there, and are not what the user has said,
    /// were none.
    pub(super) fn take_words_back(&mut self, through: u32) {
        if self.is_user_speaking && through < self.tentative.end {
            return;
        }
        self.end_turn();
        let Tentative { cut, greeting, sayings, .. } = std::mem::take(&mut self.tentative);
        if !std::mem::take(&mut self.is_user_speaking) {
            return self.drop_turns_before(through);
        }
        self.drop_oldest_turn();
        self.floor.drop_turn();
        self.discard_draft();
        self.eager.next_turn();
        if self.is_parting {
            return;
        }
        match cut {
            Some(Cut::Unbegun) => self.answer_again(),
            Some(Cut::Begun) if self.memory.is_unanswered(self.persona.language()) => self.answer_again(),
            Some(Cut::Begun) | None => {}
        }
        if greeting {
            self.begins = Begins::WithGreeting;
        }
        if !sayings.is_empty() {
            for text in sayings.into_iter().rev() {
                self.to_say.push_front((Some(self.final_through), text));
            }
            self.go_on();
        }
    }

    /// What is being found, given or waited for is cut off by what is to be said at once. The user is answered after that all the same, unless
    /// something of the answer was heard: they have said nothing, and still wait for it.
    pub(super) fn make_way(&mut self) {
        let is_given = self.outbox.is_answering();
        let is_coming = self.begins == Begins::WithAnswer
            || self.is_finding() && !self.has_draft()
            || self.is_speaking() && matches!(self.author, Author::Model(_));
        // Whatever the agent was told to say behind the question, that is no answer to it.
        let is_unbegun = is_coming && !self.has_answered && !self.is_speaking();
        self.interrupt();
        self.is_cut_short = is_coming;
        if is_unbegun && !self.is_parting {
            self.is_cut_short = false;
            return self.answer_again();
        }
        // What has no sound is heard when it is said, and of what has some the call tells in a moment.
        if !is_given || self.speaking.is_none() {
            self.answer_if_unheard();
        }
    }

    /// Nobody has heard anything of an answer that made way for something else: it is found anew after that.
    pub(super) fn answer_if_unheard(&mut self) {
        if std::mem::take(&mut self.is_cut_short) && self.memory.is_unanswered(self.persona.language()) {
            self.answer_again();
        }
    }

    /// The model is asked anew, or is told what comes of its calls when it comes.
    fn answer_again(&mut self) {
        if self.memory.ends_in_open_calls() {
            self.quiet.pause();
        } else {
            self.wants_to_think = true;
        }
    }
}
