//! Who has begun to speak is let finish: no model is asked meanwhile, and where words come only after an utterance, no answer begins to sound over
//! one.
//!
//! A question that is asked while the user goes on would be given up with their next words, be paid for all the same, and be asked anew with all
//! that was said. So it waits until nobody speaks. A user of whom nothing more comes is not waited for, nor one whose turn was as long as turns
//! may be. Noise, of which nobody knows at first whether it has words, keeps a question waiting for 10 s in all, and words without an end for two
//! and a half minutes: where utterances are recognised, so do those that follow one another without a pause. What is typed is asked about at once,
//! unless words come behind it. An answer that is prepared, or that goes on after a tool, or of which another model is asked the same, is no new
//! question.
//!
//! What is recognised as it is spoken interrupts an answer before it sounds. An utterance does so only once it was understood; until then an
//! answer that is there waits, with its words, and the utterance belongs to the turn that it answers. It waits no longer than an answer that
//! sounds is held: a television has no end. What has been heard for so long lets every answer begin, until it pauses.

use std::time::Duration;

use protocol::Time;

use super::hearing::Hearing;
use super::{Conversation, Speaking};
use crate::agent::utterances::Ears;

/// How long after its beginning an utterance keeps an answer from beginning.
const WAITS: Duration = Duration::from_secs(10);
/// How long after the last words of somebody who goes on, or after the beginning of an utterance, a question waits.
const QUESTION_WAITS: Duration = Duration::from_secs(10);
/// How long after a recogniser's sign it waits where no words come: a recogniser gives its first words within a second, and a cough has none.
const QUESTION_WAITS_FOR_WORDS: Duration = Duration::from_secs(2);
/// The same where what is heard is the rest of what somebody says, of whom an utterance was understood that was as long as one may be, 25 s: the
/// next one may be as long.
const QUESTION_WAITS_FOR_REST: Duration = Duration::from_secs(35);
/// That it goes on is heard within this time: ears take a third of a second.
const REST_BEGINS_WITHIN: Duration = Duration::from_secs(1);
/// How long a question waits whatever comes. It is longer than turns are by default: the answer to one that is as long as that is owed.
const QUESTION_WAITS_AT_MOST: Duration = Duration::from_secs(150);

impl<E: Ears> Conversation<E> {
    /// Lets an answer begin, unless somebody is to be let finish.
    pub(super) fn let_finish(&mut self) {
        let is_heard = self.hearing.as_ref().is_some_and(Hearing::hears_an_utterance);
        self.heard_since = is_heard.then(|| self.heard_since.unwrap_or(self.now));
        let is_in_time = self.lets_finish_until().is_some_and(|until| self.now < until);
        let may_begin = self.is_parting || self.is_owed() || self.floor.is_guarded(self.now);
        if let Some(speaking) = &mut self.speaking {
            speaking.wait(is_in_time && !may_begin, &mut self.outbox, &mut self.memory);
        }
    }

    /// When an answer begins that waits for the user.
    pub(super) fn begins_at(&self) -> Option<Time> {
        let waits = self.speaking.as_ref().is_some_and(Speaking::is_waiting);
        self.lets_finish_until().filter(|_| waits)
    }

    /// Whether the next question waits for a user who is saying something.
    pub(super) fn question_waits(&self) -> bool {
        self.question_waits_until().is_some_and(|until| self.now < until)
    }

    /// When a question is asked that waits for the user, if nothing more is heard of them.
    pub(super) fn asks_at(&self) -> Option<Time> {
        self.question_waits_until().filter(|until| self.has_question() && *until > self.now)
    }

    /// Notes since when a question waits, if one does.
    pub(super) fn note_question(&mut self) {
        self.question_since = self.has_question().then(|| self.question_since.unwrap_or(self.now));
    }

    /// Whether a model could be asked something if nobody were to be let finish.
    fn has_question(&self) -> bool {
        self.wants_to_think && !self.is_speaking() || self.has_late_results()
    }

    fn question_waits_until(&self) -> Option<Time> {
        if self.asks_at_once || self.is_parting || self.is_still_owed() {
            return None;
        }
        let waits = match &self.hearing {
            Some(hearing @ Hearing::Spoken(_)) => match (hearing.hears_an_utterance(), self.talks_on) {
                (true, true) => Some(QUESTION_WAITS_FOR_REST),
                (true, false) => Some(QUESTION_WAITS),
                (false, true) => Some(REST_BEGINS_WITHIN),
                (false, false) => None,
            },
            _ if self.is_user_speaking => Some(QUESTION_WAITS),
            _ => self.is_user_heard.then_some(QUESTION_WAITS_FOR_WORDS),
        };
        let since = self.question_since.unwrap_or(self.now);
        let without_words = since.max(self.words_at) + waits.unwrap_or_default().max(QUESTION_WAITS);
        let at_most = without_words.min(since + QUESTION_WAITS_AT_MOST);
        waits.map(|waits| (self.user_heard_at + waits).min(at_most))
    }

    fn lets_finish_until(&self) -> Option<Time> {
        self.heard_since.map(|since| since + WAITS)
    }
}
