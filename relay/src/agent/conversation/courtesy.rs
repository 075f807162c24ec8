//! Who has begun to speak is let finish: where words come only after an utterance, an answer does not begin to sound over one.
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

    fn lets_finish_until(&self) -> Option<Time> {
        self.heard_since.map(|since| since + WAITS)
    }
}
