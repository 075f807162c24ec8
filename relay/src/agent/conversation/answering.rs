//! How a conversation answers: what comes of a model's words, and what is said where none come.

use protocol::{Ability, ErrorCode};

use super::memory::Author;
use super::speaking::Speaking;
use super::thinking::{Question, Thought};
use super::{Conversation, NO_ANSWER};
use crate::agent::AgentOutput;
use crate::agent::utterances::Ears;

impl<E: Ears> Conversation<E> {
    /// Something comes of the answer that is being found.
    pub(super) fn take_thought(&mut self, thought: Thought) {
        match thought {
            Thought::Words(text) => {
                self.has_answered = true;
                self.tools.is_heard();
                self.give(&text, Author::Model(self.tools.step()));
                if self.thinking.is_too_long() {
                    // It does not keep to what it was asked for, and would go on at somebody's expense.
                    self.thinking.give_up(&mut self.outbox);
                    self.end_answer();
                }
            }
            Thought::Stopped => {
                if let Some(speaking) = &mut self.speaking {
                    speaking.end_sentence(&mut self.outbox, &mut self.memory);
                }
            }
            Thought::Calls(calls) => {
                self.tell_degraded(Ability::Thinking, false);
                self.call_tools(calls);
            }
            Thought::Over => {
                self.tell_degraded(Ability::Thinking, false);
                self.end_answer();
            }
            Thought::Failed(question) if self.has_answered => self.stand_in(question),
            Thought::Failed(_) => self.apologise(),
        }
    }

    /// A model has broken off in its words. Another one is asked the same if nothing of them has sounded; else the answer ends there.
    fn stand_in(&mut self, question: Option<Box<Question>>) {
        let author = Author::Model(self.tools.step());
        if let (Some(question), Some(speaking)) = (question, &mut self.speaking)
            && speaking.take_back(author, &mut self.outbox)
        {
            self.has_answered = false;
            // What is left of the answer is somebody else's.
            self.author = Author::Others;
            return self.thinking.ask_again(*question, &mut self.outbox);
        }
        self.tell_degraded(Ability::Thinking, true);
        self.end_answer();
    }

    /// Less was heard of an earlier answer than a model has been told that is being asked: it is asked anew, unless something has come of that.
    pub(super) fn ask_with_what_was_heard(&mut self) {
        if self.has_draft() {
            // It answers somebody who has heard what was not heard.
            self.discard_draft();
        } else if self.thinking.is_busy() && !self.has_answered {
            self.ask_model();
        }
    }

    /// Gives more of an answer's words.
    pub(super) fn give(&mut self, text: &str, author: Author) {
        self.quiet.pause();
        self.saying.clear();
        let is_giving = self.outbox.is_giving() || self.speaking.as_ref().is_some_and(Speaking::is_busy);
        let is_another = author != self.author || author == Author::Aside;
        let joins = is_giving && is_another && !text.starts_with(char::is_whitespace);
        let text = if joins { &format!(" {text}") } else { text };
        self.author = author;
        if let Some(speaking) = &mut self.speaking {
            return speaking.add(text, author, &mut self.outbox, &mut self.memory);
        }
        let answer = self.outbox.words(text.to_owned(), 0, 0);
        self.memory.agent_says(answer, author, text);
    }

    /// No more words come of an answer.
    pub(super) fn end_answer(&mut self) {
        match &mut self.speaking {
            Some(speaking) => speaking.finish(&mut self.outbox, &mut self.memory),
            None => self.outbox.end_answer(),
        }
        self.go_on();
    }

    pub(super) fn apologise(&mut self) {
        self.tools.is_heard();
        self.tell_degraded(Ability::Thinking, true);
        self.outbox.push(AgentOutput::Trouble(ErrorCode::AgentUnavailable));
        self.give(NO_ANSWER, Author::Aside);
        self.end_answer();
    }
}
