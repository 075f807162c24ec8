//! Turns of the user from where they begin: each has its number then, long before its words are understood, so that numbers are in the order of
//! speaking.

use protocol::Role;

use super::{Call, Turn};

/// Turns that can have begun at once without any of them being understood. A further one has its number with its words.
const BEGUN_MAX: usize = 16;

/// A turn of the user that has begun and is not whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// Its number.
    pub(super) turn: u32,
    /// Where it began, as the agent says.
    at: u32,
    /// Whether the page was told words of it,
    is_told: bool,
    /// and whether some of them, which were final, are in the record.
    is_stored: bool,
    /// The newest turn of the user that had words before this one had some.
    before: Option<u32>,
}

impl Call {
    /// The user begins a turn, which has its number from here on.
    pub(super) fn begin_turn(&mut self, at: u32) {
        if self.begun.len() < BEGUN_MAX {
            let turn = self.take_turn();
            self.begun.push_back(Begun { turn, at, is_told: false, is_stored: false, before: None });
        }
    }

    /// Nothing has come of the turn that began there.
    pub(super) fn drop_turn(&mut self, at: u32) {
        let place = self.begun.iter().position(|begun| begun.at == at);
        if let Some(begun) = place.and_then(|place| self.begun.remove(place)) {
            self.give_up(begun);
        }
    }

    /// The turn that the user has taken last goes on with what they have begun to say.
    pub(super) fn go_on_with_turn(&mut self) {
        self.goes_on = self.understood.back().map(|understood| understood.turn);
        if self.goes_on.is_some()
            && let Some(begun) = self.begun.pop_front()
        {
            self.give_up(begun);
        }
    }

    /// The number of the turn of which there are words now, the first of which begin there: of the one that goes on, or the oldest that has begun.
    pub(super) fn worded_turn(&mut self, at: u32) -> u32 {
        if let Some(turn) = self.goes_on {
            return turn;
        }
        let mut begun = match self.begun.pop_front() {
            Some(begun) => begun,
            None => Begun { turn: self.take_turn(), at, is_told: false, is_stored: false, before: None },
        };
        if !std::mem::replace(&mut begun.is_told, true) {
            begun.before = self.users_turn;
        }
        self.begun.push_front(begun);
        self.users_turn = Some(begun.turn);
        begun.turn
    }

    /// Words of this turn are in the record. Should nothing come of it, they are taken back there as well.
    pub(super) fn note_stored(&mut self, turn: u32) {
        if let Some(begun) = self.begun.front_mut().filter(|begun| begun.turn == turn) {
            begun.is_stored = true;
        }
    }

    /// The number of the turn that is whole now.
    pub(super) fn whole_turn(&mut self) -> u32 {
        let begun = self.goes_on.take().or_else(|| self.begun.pop_front().map(|begun| begun.turn));
        let turn = begun.unwrap_or_else(|| self.take_turn());
        self.users_turn = Some(turn);
        turn
    }

    /// The number of a turn that came to nothing is given up. The next turn has it if nobody was told of it and none began since; otherwise no turn
    /// has it, and an empty text takes back what the page was told.
    fn give_up(&mut self, begun: Begun) {
        let Begun { turn, at, is_told, is_stored, before } = begun;
        if is_told {
            let nothing = Turn::new(turn, Role::User, String::new(), at, at);
            self.tell_turn(&nothing, true);
            if is_stored {
                self.store_turn(nothing);
            }
            if self.users_turn == Some(turn) {
                self.users_turn = before;
            }
        } else if turn + 1 == self.next_turn {
            self.next_turn = turn;
        }
    }
}
