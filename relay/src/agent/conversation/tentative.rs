//! Words that are taken back: a recogniser seemed to hear somebody, and then hears that nobody has said anything.
//!
//! Words interrupt as soon as they are heard, long before they stay. Should none of them stay, nothing was said: what they cut off before
//! anything of it was heard is begun anew, so that the user is answered all the same. Of an answer that was heard in part nothing is said again.
//! It is the same with an answer that makes way for what the agent is told to say at once.

use super::{Author, Begins, Conversation, Speaking};
use crate::agent::utterances::Ears;

/// The words that the user seems to be saying.
#[derive(Debug, Default)]
pub(super) struct Tentative {
    /// Where they end.
    end: u32,
    /// What they have cut off.
    cut: Option<Cut>,
}

/// What was cut off.
#[derive(Debug)]
enum Cut {
    /// An answer of which nothing had begun.
    Unbegun,
    /// An answer that had begun, heard or not.
    Begun,
    /// The greeting, before it began.
    Greeting,
    /// What the agent was told to say, before that began.
    Saying(String),
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
        if self.tentative.cut.is_some() {
            return;
        }
        let speaks = self.speaking.as_ref().is_some_and(Speaking::is_busy);
        self.tentative.cut = if self.outbox.is_answering() {
            Some(Cut::Begun)
        } else if matches!(self.begins, Begins::WithGreeting | Begins::WhenGreetingIsWhole(_))
            || speaks && self.floor.is_greeting()
        {
            Some(Cut::Greeting)
        } else if self.begins == Begins::WithAnswer
            || self.is_finding() && !self.has_draft()
            || speaks && self.author != Author::Others
        {
            Some(Cut::Unbegun)
        } else if speaks && !self.saying.is_empty() {
            Some(Cut::Saying(std::mem::take(&mut self.saying)))
        } else {
            None
        };
    }

    /// Nothing that ends before this position will be understood any more: words that seemed to be there, and are not what the user has said,
    /// were none.
    pub(super) fn take_words_back(&mut self, through: u32) {
        if self.is_user_speaking && through < self.tentative.end {
            return;
        }
        self.end_turn();
        let Tentative { cut, .. } = std::mem::take(&mut self.tentative);
        if !std::mem::take(&mut self.is_user_speaking) {
            return self.drop_turns_before(through);
        }
        self.drop_oldest_turn();
        self.floor.drop_turn();
        self.discard_draft();
        self.eager.next_turn();
        match cut.filter(|_| !self.is_parting) {
            Some(Cut::Unbegun) => self.answer_again(),
            Some(Cut::Begun) if self.memory.is_unanswered(self.persona.language()) => self.answer_again(),
            Some(Cut::Greeting) => self.begins = Begins::WithGreeting,
            Some(Cut::Saying(text)) => {
                self.to_say.push_front((Some(self.final_through), text));
                self.go_on();
            }
            Some(Cut::Begun) | None => {}
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
