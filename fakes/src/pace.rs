//! When the pieces of an answer come, and what becomes of them on the way: the one place that applies delays and faults.

use std::collections::VecDeque;

use crate::script::{Act, Delays, Fault, FaultKind};

/// Something that is sent as a whole: an event of a stream, a message of a WebSocket.
pub trait Piece: Clone {
    /// The piece in two, cut where it hurts.
    fn halves(&self) -> Vec<Self>;
    /// A piece without a meaning.
    fn garbage() -> Self;
}

/// What a driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<P> {
    /// Nothing, for so many milliseconds.
    Wait(u64),
    /// Send the piece.
    Send(P),
    /// Nothing, for ever; the connection stays open.
    Stall,
    /// Close: a WebSocket by this code and reason, a body as if it were whole.
    Close(u16, String),
    /// Break the connection.
    Drop,
}

/// Turns pieces into steps. It knows no clock: a driver waits.
#[derive(Debug)]
pub struct Pace<P> {
    delays: Delays,
    faults: Vec<Fault>,
    /// The number of the request, by which spread delays are chosen.
    index: u64,
    /// How many pieces have come in.
    count: usize,
    /// The next piece is the first of what it belongs to.
    is_first: bool,
    /// A piece that is to come after the next one.
    held: Option<P>,
    is_over: bool,
}

impl<P: Piece> Pace<P> {
    /// The pace of the `index`th request of its wire.
    pub fn new(act: &Act, index: u64) -> Self {
        let Act { pace, faults, .. } = act;
        Pace {
            delays: pace.clone(),
            faults: faults.clone(),
            index,
            count: 0,
            is_first: true,
            held: None,
            is_over: false,
        }
    }

    /// What follows is an answer of its own, with a first piece.
    pub fn begin(&mut self) {
        self.is_first = true;
    }

    /// Takes the next piece. `error` tells the provider's error of a name as a piece.
    pub fn piece(&mut self, piece: P, error: impl Fn(&str) -> P) -> Vec<Step<P>> {
        if self.is_over {
            return Vec::new();
        }
        let mut steps = Vec::new();
        let wait = if self.is_first { self.delays.first_ms } else { self.delays.between_ms };
        let wait = wait.ms(self.index);
        if wait > 0 {
            steps.push(Step::Wait(wait));
        }
        self.is_first = false;
        let number = self.count;
        self.count += 1;
        let mut pieces = VecDeque::from([piece]);
        pieces.extend(self.held.take());
        let faults: Vec<Fault> = self.faults.iter().filter(|fault| fault.at == number).cloned().collect();
        for fault in faults {
            match fault.kind {
                FaultKind::Stall => return self.over(steps, Step::Stall),
                FaultKind::Close => return self.over(steps, Step::Close(fault.code, fault.reason)),
                FaultKind::Drop => return self.over(steps, Step::Drop),
                FaultKind::Error => {
                    steps.push(Step::Send(error(&fault.error)));
                    return self.over(steps, Step::Close(fault.code, fault.reason));
                }
                FaultKind::Wait => steps.push(Step::Wait(fault.ms)),
                FaultKind::Garbage => pieces.push_front(P::garbage()),
                FaultKind::Late => self.held = pieces.pop_front(),
                FaultKind::Skip => drop(pieces.pop_front()),
                FaultKind::Cut => {
                    let halves = pieces.pop_front().map(|piece| piece.halves()).unwrap_or_default();
                    halves.into_iter().rev().for_each(|half| pieces.push_front(half));
                }
                FaultKind::Twice => repeat(&mut pieces, 1),
                FaultKind::Flood => repeat(&mut pieces, fault.count),
            }
        }
        steps.extend(pieces.into_iter().map(Step::Send));
        steps
    }

    /// Nothing follows: a piece that was late comes now.
    pub fn end(&mut self) -> Vec<Step<P>> {
        self.held.take().filter(|_| !self.is_over).map(Step::Send).into_iter().collect()
    }

    fn over(&mut self, mut steps: Vec<Step<P>>, last: Step<P>) -> Vec<Step<P>> {
        self.is_over = true;
        steps.push(last);
        steps
    }
}

fn repeat<P: Piece>(pieces: &mut VecDeque<P>, times: usize) {
    if let Some(piece) = pieces.front().cloned() {
        for _ in 0..times {
            pieces.push_front(piece.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Piece for &'static str {
        fn halves(&self) -> Vec<Self> {
            let (first, second) = self.split_at(self.len() / 2);
            vec![first, second]
        }

        fn garbage() -> Self {
            "garbage"
        }
    }

    fn sent(script: &str, pieces: &[&'static str]) -> Vec<Step<&'static str>> {
        let act: Act = serde_json::from_str(script).expect("an act");
        let mut pace = Pace::new(&act, 0);
        let mut steps: Vec<_> = pieces.iter().flat_map(|piece| pace.piece(*piece, |_| "error")).collect();
        steps.extend(pace.end());
        steps
    }

    fn plain(pieces: &[&'static str]) -> Vec<Step<&'static str>> {
        pieces.iter().copied().map(Step::Send).collect()
    }

    #[test]
    fn the_first_piece_has_a_delay_of_its_own() {
        let steps = sent(r#"{ "pace": { "first_ms": 9, "between_ms": 2 } }"#, &["a", "b"]);
        assert_eq!(steps, [Step::Wait(9), Step::Send("a"), Step::Wait(2), Step::Send("b")]);
    }

    #[test]
    fn a_piece_can_come_twice_in_two_halves_late_and_not_at_all() {
        let fault = |kind: &str, pieces: &[&'static str]| {
            sent(&format!(r#"{{ "faults": [{{ "at": 1, "kind": "{kind}", "count": 2 }}] }}"#), pieces)
        };
        let pieces = ["ab", "cd", "ef"];
        assert_eq!(fault("twice", &pieces), plain(&["ab", "cd", "cd", "ef"]));
        assert_eq!(fault("flood", &pieces), plain(&["ab", "cd", "cd", "cd", "ef"]));
        assert_eq!(fault("cut", &pieces), plain(&["ab", "c", "d", "ef"]));
        assert_eq!(fault("late", &pieces), plain(&["ab", "ef", "cd"]));
        assert_eq!(fault("late", &pieces[..2]), plain(&["ab", "cd"]));
        assert_eq!(fault("skip", &pieces), plain(&["ab", "ef"]));
        assert_eq!(fault("garbage", &pieces), plain(&["ab", "garbage", "cd", "ef"]));
    }

    #[test]
    fn after_a_fatal_fault_nothing_comes() {
        let fault = |kind: &str| {
            sent(&format!(r#"{{ "faults": [{{ "at": 1, "kind": "{kind}" }}] }}"#), &["a", "b", "c"])
        };
        let close = Step::Close(1011, String::new());
        assert_eq!(fault("stall"), [Step::Send("a"), Step::Stall]);
        assert_eq!(fault("drop"), [Step::Send("a"), Step::Drop]);
        assert_eq!(fault("close"), [Step::Send("a"), close.clone()]);
        assert_eq!(fault("error"), [Step::Send("a"), Step::Send("error"), close]);
    }
}
