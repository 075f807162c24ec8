//! The transcript of a call: which number a turn has, what the page and the store are told of it, and corrections.

use protocol::relay::Saying;
use protocol::{ErrorCode, Mark, Role, Transcript};

use super::{Call, Output, Turn};
use crate::agent::AgentInput;
use crate::money::tab::Purpose;
use crate::provider::Ask;

/// How many of the user's newest turns can be corrected.
const CORRECTABLE: usize = 64;
/// How many texts may wait until what was said before them is heard. One more is stored at once with all of them, and what was said before it is
/// nobody's to pay for.
const TYPED_MAX: usize = 16;
/// How many turns wait at most, with what the agent has said behind those texts.
const BEHIND_MAX: usize = 4 * TYPED_MAX;

/// A turn of the user that the agent has understood, and that can be corrected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Understood {
    pub(super) turn: u32,
    /// Which [`AgentOutput::Said`] or [`AgentOutput::Typed`] it was, counted together from 0.
    pub(super) said: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Call {
    /// Puts what the user really said in place of what was understood, in the record as well.
    pub(super) fn correct(&mut self, turn: u32, text: &str) {
        let understood = self.understood.iter().find(|understood| understood.turn == turn);
        if let Some(&Understood { said, start, end, .. }) = understood {
            let turn = Turn::new(turn, Role::User, text.to_owned(), start, end);
            self.tell_turn(&turn, true);
            self.store_turn(turn);
            self.tell_agent(AgentInput::Corrected { said, text });
        } else {
            self.outputs.push_back(Output::Trouble(ErrorCode::TurnUnknown));
        }
        self.commit_alone();
    }

    /// Remembers a turn of the user, so that it can be corrected.
    pub(super) fn remember(&mut self, turn: u32, start: u32, end: u32) {
        self.understood.retain(|understood| understood.turn != turn);
        if self.understood.len() == CORRECTABLE {
            self.understood.pop_front();
        }
        self.understood.push_back(Understood { turn, said: self.understood_count, start, end });
        self.understood_count += 1;
    }

    /// What a request is made for, as the ledger says it: a model answers the user's newest turn, and a voice speaks what a model was asked
    /// last.
    pub(super) fn purpose(&mut self, ask: &Ask) -> Purpose {
        match ask {
            Ask::Chat(_) => {
                self.answered = self.users_turn;
                Purpose::Answer(self.answered)
            }
            Ask::Speak(_) => Purpose::Answer(self.answered),
            Ask::Listen | Ask::Transcribe(_) => Purpose::Hearing,
        }
    }

    /// The user has said something, whole.
    pub(super) fn user_spoke(&mut self, text: String, start: u32, end: u32) {
        let number = self.whole_turn();
        self.add_turn(Turn::new(number, Role::User, text, start, end));
    }

    /// The user has typed something, perhaps while they speak: that turn keeps its number. One that was whole before does not go on behind it.
    /// What is stored commits all audio before it. So a text behind audio of which a recogniser that is not there is still to say the last word is
    /// stored when that was heard, or given up: whoever goes on with the call until then is sent both once more.
    pub(super) fn user_typed(&mut self, text: String, mark: Mark) {
        self.goes_on = None;
        let number = self.take_turn();
        self.users_turn = Some(number);
        let turn = Turn::new(number, Role::User, text, mark.position, mark.position);
        let waits_before =
            self.uncommitted.front().is_some_and(|oldest| oldest.mark.position < mark.position);
        let is_unheard_before = waits_before && !self.is_deaf && self.tab.lacks_listener();
        let texts = self.typed.iter().filter(|(_, waiting)| waiting.role == Role::User).count();
        if is_unheard_before && texts < TYPED_MAX {
            self.remember(turn.turn, turn.start, turn.end);
            self.tell_turn(&turn, true);
            self.typed.push_back((mark, turn));
        } else {
            self.add_turn(turn);
        }
    }

    /// A turn of the user is whole: it is told, and stored with all audio before its end.
    fn add_turn(&mut self, turn: Turn) {
        self.remember(turn.turn, turn.start, turn.end);
        self.tell_turn(&turn, true);
        self.settle_before(turn.end);
        self.committable = self.forget_before(turn.end);
        self.push_turn(turn);
    }

    pub(super) fn take_turn(&mut self) -> u32 {
        let turn = self.next_turn;
        self.next_turn += 1;
        turn
    }

    pub(super) fn tell_turn(&mut self, turn: &Turn, last: bool) {
        self.outputs.push_back(Output::Say(Saying::Transcript(Transcript {
            seq: 0,
            turn: turn.turn,
            role: turn.role,
            text: turn.text.clone(),
            last,
            start: turn.start,
            end: turn.end,
        })));
    }

    /// Stores a turn, and settles before that what was metered.
    pub(super) fn store_turn(&mut self, turn: Turn) {
        self.settle_up();
        self.push_turn(turn);
    }

    /// Stores a turn and, with it, the committable mark, and texts before that which waited. What was metered before the mark has to be settled
    /// first.
    pub(super) fn push_turn(&mut self, turn: Turn) {
        let mut turns = self.take_typed();
        turns.extend(self.put_behind_typed(turn));
        self.push_turns(turns);
    }

    /// The same with all of these, in one write, if there are any.
    pub(super) fn push_turns(&mut self, mut turns: Vec<Turn>) {
        if turns.is_empty() {
            return;
        }
        self.storing += 1;
        for turn in &mut turns {
            self.revisions += 1;
            turn.revision = self.revisions;
        }
        let (committed, replayable) = (self.committable, self.replayable_after_loss());
        self.outputs.push_back(Output::Store { turns, committed, replayable });
    }

    /// What the agent says behind a text that waits is stored with it: whoever goes on with the call gives both the same numbers once more, and
    /// no answer stands in the transcript before its question. Gives the turn back if it need not wait.
    fn put_behind_typed(&mut self, turn: Turn) -> Option<Turn> {
        if let Some((_, waiting)) = self.typed.iter_mut().find(|(_, waiting)| waiting.turn == turn.turn) {
            waiting.replace_with(turn);
            return None;
        }
        let before = self.typed.iter().rposition(|(_, waiting)| waiting.turn < turn.turn);
        let may_wait = turn.role == Role::Agent && self.typed.len() < BEHIND_MAX;
        let Some(before) = before.filter(|_| may_wait) else { return Some(turn) };
        let mark = self.typed[before].0;
        self.typed.insert(before + 1, (mark, turn));
        None
    }

    /// Texts that waited for what was said before them, as far as that can be committed.
    pub(super) fn take_typed(&mut self) -> Vec<Turn> {
        let many = self.typed.iter().take_while(|(mark, _)| mark.seq < self.committable.seq).count();
        self.typed.drain(..many).map(|(_, turn)| turn).collect()
    }
}
