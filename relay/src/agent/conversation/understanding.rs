//! What a conversation makes of what it hears: turns, and what becomes of the answer that is being given.

use protocol::{Ability, ErrorCode};

use super::floor::{Decision, Remark};
use super::hearing::{Hearing, Understood};
use super::tentative::Tentative;
use super::{Begins, Conversation};
use crate::agent::AgentOutput;
use crate::agent::utterances::{Ears, LONGEST_UTTERANCE};

impl<E: Ears> Conversation<E> {
    pub(super) fn user_said(&mut self, text: String, start: u32, end: u32, words_end: u32) {
        self.memory.user_said(&text);
        self.outbox.push(AgentOutput::Said { text, start, end, words_end });
        self.wants_to_think = true;
    }

    /// Does what follows from what was heard.
    pub(super) fn understand(&mut self) {
        while let Some(understood) = self.hearing.as_mut().and_then(Hearing::poll) {
            match understood {
                Understood::Began { at } => {
                    self.somebody_begins(at);
                    self.is_user_heard = true;
                    self.user_heard_at = self.now;
                    self.floor.turn_begins(self.now);
                    if !self.outbox.is_answering() {
                        self.quiet.hears(self.now);
                        self.outbox.push(AgentOutput::SpeechStarted { at });
                    }
                }
                Understood::Words { text, start, end, words_end, final_through } => {
                    // What is no turn so far may still become one: nothing of it is told or stored before.
                    if self.floor.judge(&text, start, words_end, end, false) == Remark::Turn {
                        let are_first = !self.is_user_speaking;
                        self.seem_to_speak(end);
                        if !self.is_owed() && !self.is_drafted(&text) {
                            self.interrupt_unless_guarded();
                        }
                        let (text, start) = self.go_on_with_turn(text, start, are_first);
                        self.begin_with_words(start);
                        self.outbox.push(AgentOutput::Partial { text, start, end, final_through });
                    }
                }
                Understood::MayBeOver { text } => self.prepare(text),
                Understood::GoesOn => self.discard_draft(),
                Understood::Said { text, start, end, words_end } => {
                    let are_first = !std::mem::take(&mut self.is_user_speaking);
                    self.is_user_heard = false;
                    self.talks_on = matches!(self.hearing, Some(Hearing::Spoken(_)))
                        && end.saturating_sub(start) >= LONGEST_UTTERANCE;
                    if self.talks_on {
                        self.user_heard_at = self.now;
                    }
                    let remark = self.floor.judge(&text, start, words_end, end, true);
                    if remark == Remark::Turn {
                        self.words_at = self.now;
                    }
                    self.floor.turn_over(self.now, remark, words_end);
                    self.eager.next_turn();
                    match remark {
                        Remark::Turn if self.use_draft(&text) => {
                            self.take_turn_with_draft(text, start, end, words_end);
                        }
                        Remark::Turn => {
                            self.interrupt_unless_guarded();
                            let (text, start) = self.go_on_with_turn(text, start, are_first);
                            self.take_turn(text, start, end, words_end);
                        }
                        Remark::BackChannel => {
                            self.end_turn();
                            self.end_oldest_turn();
                            self.forget_turn();
                            self.memory.user_said(&text);
                            self.outbox.push(AgentOutput::Remarked { text, start, end });
                        }
                        Remark::Echo => self.drop_oldest_turn(),
                    }
                    // What they have cut off is cut off by what was said.
                    self.tentative = Tentative::default();
                }
                Understood::Nothing { at } => {
                    self.talks_on = false;
                    self.drop_turn(at);
                }
                Understood::Spent { request, used, estimated, provider_id } => {
                    self.outbox.push(AgentOutput::Spent { request, used, estimated, provider_id });
                }
                Understood::Final { through } => {
                    self.take_words_back(through);
                    self.is_user_heard = false;
                    self.floor.understood(through);
                    self.finalise(through, 1);
                }
                Understood::Deaf(is_deaf) => {
                    self.floor.deafen(is_deaf);
                    self.is_user_heard &= !is_deaf;
                    self.tell_degraded(Ability::Hearing, is_deaf);
                    if is_deaf {
                        self.outbox.push(AgentOutput::Trouble(ErrorCode::NotHeard));
                    }
                }
            }
        }
    }

    /// The user says something: what is being found, given or heard of an answer ends here. Last words do not.
    pub(super) fn interrupt(&mut self) {
        if self.is_parting {
            return;
        }
        self.floor.cut();
        self.cut();
    }

    /// The same, unless the answer is one that may not be interrupted now: then what the user says is answered after it. One that is owed, and a
    /// greeting that is to be heard, may not be interrupted before they sound, either.
    fn interrupt_unless_guarded(&mut self) {
        if self.is_owed() || self.is_greeting_kept() {
            return;
        }
        if !(self.outbox.is_answering() && self.floor.is_guarded(self.now)) {
            self.note_cut();
            self.interrupt();
        }
    }

    /// Does what the floor decides about the answer.
    pub(super) fn decide(&mut self) {
        while let Some(decision) = self.floor.poll() {
            match decision {
                Decision::Hold if self.may_not_be_held() => {}
                Decision::Hold => self.outbox.push(AgentOutput::Hold(true)),
                // It may have been held before nothing was to hold it any more.
                Decision::Resume if self.may_not_be_held() => self.outbox.push(AgentOutput::Hold(false)),
                Decision::Resume => {
                    self.outbox.push(AgentOutput::Hold(false));
                    self.outbox.push(AgentOutput::FalseInterruption);
                }
            }
        }
    }

    /// Nothing holds last words, or what is owed to somebody.
    fn may_not_be_held(&self) -> bool {
        self.is_parting || self.is_owed()
    }

    fn cut(&mut self) {
        // What the agent was told to say waits until this is answered. A greeting that is to be heard comes before that.
        if self.begins != Begins::WithWords && !self.owes_greeting() {
            self.begins = Begins::Not;
        }
        self.quiet.heard(self.now);
        self.discard_draft();
        self.thinking.give_up(&mut self.outbox);
        self.tools.interrupt();
        if let Some(speaking) = &mut self.speaking {
            speaking.cut(&mut self.outbox);
        }
        self.outbox.cut();
    }
}
