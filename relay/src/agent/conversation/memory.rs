//! What was said in a conversation, as a language model is told it.

use std::collections::VecDeque;

use crate::call::Turn;
use crate::provider::Message;

/// How many bytes are taken for one token: what English text has on average, by the figures of the providers.
pub(super) const BYTES_PER_TOKEN: usize = 4;

/// The newest part of what was said, oldest first.
///
/// When it is full, the older half is forgotten at once, whole exchanges at a time. A model is then told the same beginning again and again,
/// which providers take out of their caches for a fraction of the price; if one exchange were forgotten in each turn, everything would have to
/// be read anew in each turn.
#[derive(Debug)]
pub(super) struct Memory {
    /// The most bytes of what was said.
    most: usize,
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
}

impl Memory {
    /// What was said before. Not more than about so many tokens of the conversation are remembered, except for the newest exchange.
    pub(super) fn of(turns: &[Turn], tokens: u32) -> Memory {
        let most = tokens as usize * BYTES_PER_TOKEN;
        let mut memory = Memory { most, lines: VecDeque::new(), sayings: 0 };
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
        matches!(self.lines.back(), Some(Line { by: By::User(_), .. }))
    }

    /// What a model is told: how it is to behave, and what was said.
    pub(super) fn messages(&self, instructions: &str) -> Vec<Message> {
        let system = (!instructions.is_empty()).then(|| Message::System(instructions.to_owned()));
        let said = self.lines.iter().map(|line| match line.by {
            By::User(_) => Message::User(line.text.clone()),
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

    /// Forgets the older half once there is more than a model is told: what comes before an exchange that begins there.
    fn shorten(&mut self) {
        let mut bytes: usize = self.lines.iter().map(|line| line.text.len()).sum();
        if bytes <= self.most {
            return;
        }
        while let Some(next) = self.next_exchange()
            && bytes > self.most / 2
        {
            bytes -= self.lines.drain(..next).map(|line| line.text.len()).sum::<usize>();
        }
    }

    /// Where the second exchange begins: the user speaks after the agent has.
    fn next_exchange(&self) -> Option<usize> {
        let by_user = |line: &Line| matches!(line.by, By::User(_));
        let mut pairs = self.lines.iter().zip(self.lines.iter().skip(1));
        Some(pairs.position(|(before, line)| !by_user(before) && by_user(line))? + 1)
    }
}
