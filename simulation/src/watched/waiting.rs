//! What the user has said or typed and has no answer yet: every turn, and not only the newest.
//!
//! A turn is answered by the first words that come after a model was asked about it. A model that was asked about later turns only has not answered
//! it, and neither do words that are to pass the time, or that the page or an administrator wants said.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Time;
use relay::provider::{Chat, Message};

/// What an agent says while it waits for its tools: no answer.
pub(crate) const FILLER: &str = "One moment.";
/// What everything begins with that an agent is told to say: no answer either.
pub(crate) const TOLD_TO_SAY: &str = "Note number ";
/// No user says more before anything of it is answered.
const MOST: usize = 100;
/// How often models are asked about a turn of which nothing was answered, at most, while the user says nothing more: one and the one that stands in
/// for it, again with what came of each tool, and of tools that were late.
const MOST_QUESTIONS: u32 = 30;

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
    /// When it was said.
    said: Time,
    /// When it was said, or a model was asked about it last.
    since: Time,
    is_asked: bool,
    /// How often a model was asked about it since words of the user came last.
    questions: u32,
}

/// How long a turn may wait for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// After it was said, or a model was asked about it last.
    pub(crate) since_asked: Duration,
    /// After it was said, however often a model was asked about it.
    pub(crate) in_all: Duration,
}

impl Turn {
    fn new(now: Time, text: &str, is_asked: bool) -> Turn {
        Turn { text: text.to_owned(), said: now, since: now, is_asked, questions: 0 }
    }

    /// Whether a model is told it by this message: as it is, or as the beginning of a turn that became longer.
    fn stands_in(&self, message: &str) -> bool {
        message.strip_prefix(&*self.text).is_some_and(|more| more.is_empty() || more.starts_with(' '))
    }
}

impl Waiting {
    /// The user has said this. `false` if more waits than anybody says.
    pub(super) fn say(&mut self, now: Time, text: &str) -> bool {
        // Of an answer that was prepared the question was asked before the turn was over.
        let is_asked = self.asked.last().is_some_and(|asked| asked == text);
        self.turns.push_back(Turn::new(now, text, is_asked));
        self.turns.len() <= MOST
    }

    /// An agent begins behind this turn, of which nobody has heard an answer.
    pub(crate) fn inherit(&mut self, now: Time, text: &str) {
        self.turns.push_back(Turn::new(now, text, false));
    }

    /// Words of the user come, whatever becomes of them: a model may be asked anew.
    pub(super) fn hear(&mut self) {
        self.turns.iter_mut().for_each(|turn| turn.questions = 0);
    }

    /// A model is asked this. A turn that became longer stands in a longer message. `false` if models are asked about a turn again and again.
    pub(super) fn ask(&mut self, now: Time, chat: &Chat) -> bool {
        let users = chat.messages.iter().filter_map(|message| match message {
            Message::User(text) => Some(text.clone()),
            _ => None,
        });
        self.asked = users.collect();
        for turn in &mut self.turns {
            if self.asked.iter().any(|asked| turn.stands_in(asked)) {
                (turn.since, turn.is_asked) = (now, true);
                turn.questions += 1;
            }
        }
        self.turns.iter().all(|turn| turn.questions <= MOST_QUESTIONS)
    }

    /// Words of an answer come.
    pub(super) fn answer(&mut self, words: &str) {
        let words = words.trim();
        if words != FILLER && !words.starts_with(TOLD_TO_SAY) {
            self.turns.retain(|turn| !turn.is_asked);
        }
    }

    /// The user is told that something does not work: that is why there is no answer to what a model was asked about, and to what was said before.
    pub(super) fn tell_why(&mut self) {
        if let Some(newest) = self.turns.iter().rposition(|turn| turn.is_asked) {
            self.turns.drain(..=newest);
        }
    }

    /// Nobody waits any more.
    pub(super) fn forget(&mut self) {
        self.turns.clear();
    }

    /// A turn that waits for longer than this, and for how long since it was said.
    pub(crate) fn too_long(&self, now: Time, patience: Patience) -> Option<(&str, Duration)> {
        let Patience { since_asked, in_all } = patience;
        let is_too_long = |turn: &&Turn| now.since(turn.since) > since_asked || now.since(turn.said) > in_all;
        let turn = self.turns.iter().find(is_too_long)?;
        Some((&turn.text, now.since(turn.said)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { since_asked: Duration::from_secs(10), in_all: Duration::from_secs(30) };

    fn asks(waiting: &mut Waiting, at: Time, said: &[&str]) -> bool {
        let messages = said.iter().map(|text| Message::User((*text).to_owned())).collect();
        waiting.ask(at, &Chat { messages, tools: Vec::new(), max_output_tokens: 16 })
    }

    #[test]
    fn a_turn_waits_until_words_come_after_a_model_was_asked_about_it() {
        let (begin, end) = (Time::from_millis(0), Time::from_millis(20_000));
        let mut waiting = Waiting::default();
        assert!(waiting.say(begin, "first") && waiting.say(begin, "second"));
        assert!(asks(&mut waiting, begin, &["second"]));
        waiting.answer(FILLER);
        waiting.answer("To the second.");
        let first = waiting.too_long(end, PATIENCE).map(|(text, _)| text);
        assert_eq!(first, Some("first"), "the answer was to the other one");
        // It is part of a longer turn by then.
        assert!(asks(&mut waiting, begin, &["first and more"]));
        waiting.answer(FILLER);
        waiting.answer(" Note number 0 well.");
        assert!(waiting.too_long(end, PATIENCE).is_some(), "neither of them is an answer");
        waiting.answer("To the first.");
        assert_eq!(waiting.too_long(end, PATIENCE), None);
    }

    #[test]
    fn a_turn_whose_answer_was_prepared_is_answered_by_it() {
        let begin = Time::from_millis(0);
        let mut waiting = Waiting::default();
        assert!(asks(&mut waiting, begin, &["Hello"]));
        assert!(waiting.say(begin, "Hello"));
        waiting.answer("Hello.");
        assert_eq!(waiting.too_long(Time::from_millis(20_000), PATIENCE), None);
    }

    #[test]
    fn a_turn_that_is_asked_about_again_and_again_and_not_answered_waits_too_long() {
        let mut waiting = Waiting::default();
        assert!(waiting.say(Time::ZERO, "first"));
        for second in 1..=30 {
            let now = Time::from_millis(1_000 * second);
            assert!(asks(&mut waiting, now, &["first"]));
            assert_eq!(waiting.too_long(now, PATIENCE), None);
        }
        let now = Time::from_millis(31_000);
        assert_eq!(waiting.too_long(now, PATIENCE), Some(("first", Duration::from_secs(31))));
        assert!(!asks(&mut waiting, now, &["first"]), "the user has said nothing new");
        waiting.hear();
        assert!(asks(&mut waiting, now, &["first"]), "whoever says more is asked about anew");
    }

    #[test]
    fn what_does_not_work_is_why_there_is_no_answer_to_what_was_asked_and_not_to_what_was_said_since() {
        let (begin, end) = (Time::ZERO, Time::from_millis(20_000));
        let waits = |waiting: &Waiting| waiting.too_long(end, PATIENCE).map(|(text, _)| text.to_owned());
        let mut waiting = Waiting::default();
        assert!(waiting.say(begin, "first") && waiting.say(begin, "second"));
        assert!(asks(&mut waiting, begin, &["second"]));
        assert!(waiting.say(begin, "third"));
        waiting.tell_why();
        assert_eq!(waits(&waiting).as_deref(), Some("third"), "nobody was asked about it");
        waiting.tell_why();
        assert_eq!(waits(&waiting).as_deref(), Some("third"), "it is still to be asked about");
    }

    #[test]
    fn a_turn_is_not_asked_about_by_a_message_in_which_its_words_stand_by_chance() {
        let (begin, end) = (Time::ZERO, Time::from_millis(20_000));
        let mut waiting = Waiting::default();
        assert!(waiting.say(begin, "typed 1"));
        assert!(asks(&mut waiting, begin, &["typed 10", "not typed 1"]));
        waiting.answer("To the others.");
        assert_eq!(waiting.too_long(end, PATIENCE), Some(("typed 1", Duration::from_secs(20))));
    }
}
