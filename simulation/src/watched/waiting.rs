//! What the user has said or typed and has no answer yet: every turn, and not only the newest.
//!
//! A turn is answered by the first words that come after a model was asked about it. A model that was asked about later turns only has not answered
//! it, and neither do words that are to pass the time.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::provider::{Chat, Message};

/// What an agent says while it waits for its tools: no answer.
pub(crate) const FILLER: &str = "One moment.";
/// No user says more before anything of it is answered.
const MOST: usize = 100;

/// Turns that wait for their answers, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    turns: VecDeque<Turn>,
    /// What a model was asked last.
    asked: Vec<String>,
}

#[derive(Debug)]
struct Turn {
    text: String,
    /// When it was said, or a model was asked about it last.
    since: Time,
    is_asked: bool,
}

impl Waiting {
    /// The user has said this. `false` if more waits than anybody says.
    pub(super) fn say(&mut self, now: Time, text: &str) -> bool {
        // Of an answer that was prepared the question was asked before the turn was over.
        let is_asked = self.asked.last().is_some_and(|asked| asked == text);
        self.turns.push_back(Turn { text: text.to_owned(), since: now, is_asked });
        self.turns.len() <= MOST
    }

    /// An agent begins behind this turn, of which nobody has heard an answer.
    pub(crate) fn inherit(&mut self, now: Time, text: &str) {
        self.turns.push_back(Turn { text: text.to_owned(), since: now, is_asked: false });
    }

    /// A model is asked this. A turn that became longer stands in a longer message.
    pub(super) fn ask(&mut self, now: Time, chat: &Chat) {
        let users = chat.messages.iter().filter_map(|message| match message {
            Message::User(text) => Some(text.clone()),
            _ => None,
        });
        self.asked = users.collect();
        for turn in &mut self.turns {
            if self.asked.iter().any(|asked| asked.contains(&turn.text)) {
                (turn.since, turn.is_asked) = (now, true);
            }
        }
    }

    /// Words of an answer come.
    pub(super) fn answer(&mut self, words: &str) {
        if words.trim() != FILLER {
            self.turns.retain(|turn| !turn.is_asked);
        }
    }

    /// The user is told that something does not work.
    pub(super) fn tell_why(&mut self) {
        self.turns.clear();
    }

    /// Nobody waits any more.
    pub(super) fn forget(&mut self) {
        self.turns.clear();
    }

    /// A turn that waits for longer than this, and for how long.
    pub(crate) fn too_long(&self, now: Time, patience: Duration) -> Option<(&str, Duration)> {
        let waits = |turn: &Turn| now.since(turn.since);
        let turn = self.turns.iter().find(|turn| waits(turn) > patience)?;
        Some((&turn.text, waits(turn)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn asks(waiting: &mut Waiting, at: Time, said: &[&str]) {
        let messages = said.iter().map(|text| Message::User((*text).to_owned())).collect();
        waiting.ask(at, &Chat { messages, tools: Vec::new(), max_output_tokens: 16 });
    }

    #[test]
    fn a_turn_waits_until_words_come_after_a_model_was_asked_about_it() {
        let (begin, end) = (Time::from_millis(0), Time::from_millis(20_000));
        let mut waiting = Waiting::default();
        assert!(waiting.say(begin, "first") && waiting.say(begin, "second"));
        asks(&mut waiting, begin, &["second"]);
        waiting.answer(FILLER);
        waiting.answer("To the second.");
        let first = waiting.too_long(end, PATIENCE).map(|(text, _)| text);
        assert_eq!(first, Some("first"), "the answer was to the other one");
        // It is part of a longer turn by then.
        asks(&mut waiting, begin, &["first and more"]);
        waiting.answer(FILLER);
        assert!(waiting.too_long(end, PATIENCE).is_some(), "to pass the time is no answer");
        waiting.answer("To the first.");
        assert_eq!(waiting.too_long(end, PATIENCE), None);
    }

    #[test]
    fn a_turn_whose_answer_was_prepared_is_answered_by_it() {
        let begin = Time::from_millis(0);
        let mut waiting = Waiting::default();
        asks(&mut waiting, begin, &["Hello"]);
        assert!(waiting.say(begin, "Hello"));
        waiting.answer("Hello.");
        assert_eq!(waiting.too_long(Time::from_millis(20_000), PATIENCE), None);
    }
}
