//! What was said in a conversation, as a language model is told it.

use std::collections::VecDeque;

use crate::call::Turn;
use crate::provider::Message;

/// Bytes of the conversation that a model is told, its instructions not counted: the newest turns of it.
pub(super) const MAX_BYTES: usize = 32 * 1024;

/// The newest part of what was said, oldest first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lines: VecDeque<Line>,
    /// How often the user has said something in this call.
    sayings: u32,
}

#[derive(Debug)]
struct Line {
    by: By,
    text: String,
}

/// Who said something. What was said in an earlier call cannot be corrected or cut short any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The user; in this call it was this one of what they have said.
    User(Option<u32>),
    /// The agent; in this call it was this answer.
    Agent(Option<u32>),
    /// Nobody: the page has told the agent what it is to know.
    Page,
}

impl Memory {
    /// What was said before.
    pub(super) fn of(turns: &[Turn]) -> Memory {
        let mut memory = Memory::default();
        for turn in turns {
            let by = match turn.role {
                protocol::Role::User => By::User(None),
                protocol::Role::Agent | protocol::Role::Unknown => By::Agent(None),
            };
            memory.push(by, turn.text.clone());
        }
        memory
    }

    /// The user says something.
    pub(super) fn user_said(&mut self, text: &str) {
        self.push(By::User(Some(self.sayings)), text.to_owned());
        self.sayings += 1;
    }

    /// The agent is to know something that nobody has said.
    pub(super) fn learn(&mut self, text: &str) {
        self.push(By::Page, text.to_owned());
    }

    /// The agent says more in this answer.
    pub(super) fn agent_says(&mut self, answer: u32, text: &str) {
        let by = By::Agent(Some(answer));
        match self.lines.iter_mut().rev().find(|line| line.by == by) {
            Some(line) => {
                line.text.push_str(text);
                self.shorten();
            }
            None => self.push(by, text.to_owned()),
        }
    }

    /// Of this answer the user has heard so many bytes, and no more.
    pub(super) fn heard(&mut self, answer: u32, bytes: usize) {
        let by = By::Agent(Some(answer));
        let Some(place) = self.lines.iter().rposition(|line| line.by == by) else { return };
        let text = &mut self.lines[place].text;
        let mut end = bytes.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        if text.is_empty() {
            self.lines.remove(place);
        }
    }

    /// What the user really said.
    pub(super) fn correct(&mut self, said: u32, text: &str) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.by == By::User(Some(said))) {
            text.clone_into(&mut line.text);
            self.shorten();
        }
    }

    /// Whether the last word is the user's.
    pub(super) fn is_unanswered(&self) -> bool {
        let last = self.lines.iter().rfind(|line| line.by != By::Page);
        matches!(last, Some(Line { by: By::User(_), .. }))
    }

    /// What a model is told: how it is to behave, and what was said.
    pub(super) fn messages(&self, instructions: &str) -> Vec<Message> {
        let system = (!instructions.is_empty()).then(|| Message::System(instructions.to_owned()));
        let said = self.lines.iter().map(|line| match line.by {
            By::User(_) => Message::User(line.text.clone()),
            // Only a user's message may stand anywhere in a conversation, with every provider.
            By::Page => Message::User(format!("[For your information, not said by the user: {}]", line.text)),
            By::Agent(_) => Message::Assistant { text: line.text.clone(), calls: Vec::new() },
        });
        system.into_iter().chain(said).collect()
    }

    fn push(&mut self, by: By, text: String) {
        if !text.is_empty() {
            self.lines.push_back(Line { by, text });
            self.shorten();
        }
    }

    /// Forgets the oldest of what is more than a model is told.
    fn shorten(&mut self) {
        let mut bytes: usize = self.lines.iter().map(|line| line.text.len()).sum();
        while bytes > MAX_BYTES && self.lines.len() > 1 {
            bytes -= self.lines.pop_front().map_or(0, |oldest| oldest.text.len());
        }
    }
}
