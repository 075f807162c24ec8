//! How far the money of a call goes, counted in answers as they have been.
//!
//! What an answer costs is not known beforehand: it depends on the model, on how much of the conversation that is told, and on how long the
//! agent talks. So what is left is compared with the dearest of the last few answers, and with what had to be set aside for one while it was
//! under way, which is several times more.

use crate::agent::Means;
use crate::money::NanoUsd;

/// So many answers before the end the agent is to be brief,
const BRIEF_AT: u64 = 6;
/// and so many before it as cheap as it can.
const CHEAP_AT: u64 = 3;
/// So many answers have to be left until it may be itself again: a new day has begun, or somebody has been given a credit.
const AMPLE_AT: u64 = 12;
/// How many answers are remembered.
const REMEMBERED: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// The last answers, each in the place of the oldest one.
    answers: [Answer; REMEMBERED],
    newest: usize,
    /// What the requests had cost before the newest answer.
    before: NanoUsd,
    means: Means,
    /// What was left when there was too little for a request: it says more than answers of before.
    too_little: Option<NanoUsd>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// What its requests have cost.
    cost: NanoUsd,
    /// The most that was set aside for them at a time.
    held: NanoUsd,
}

impl Pace {
    /// The pace of a call whose requests have cost so much.
    pub(super) fn new(cost: NanoUsd) -> Pace {
        let answers = [Answer::default(); REMEMBERED];
        Pace { answers, newest: 0, before: cost, means: Means::Ample, too_little: None }
    }

    /// The user has said something: what requests cost from now on is the next answer's.
    pub(super) fn next_answer(&mut self, cost: NanoUsd) {
        self.note(cost, NanoUsd::ZERO);
        self.before = cost;
        self.newest = (self.newest + 1) % REMEMBERED;
        self.answers[self.newest] = Answer::default();
    }

    /// The requests have cost so much, and so much is set aside for those under way.
    pub(super) fn note(&mut self, cost: NanoUsd, held: NanoUsd) {
        let answer = &mut self.answers[self.newest];
        answer.cost = cost.saturating_sub(self.before);
        answer.held = answer.held.max(held);
    }

    /// How far so much goes, if that is news.
    pub(super) fn judge(&mut self, left: NanoUsd) -> Option<Means> {
        let cost = self.answers.iter().map(|answer| answer.cost).max().unwrap_or_default();
        if cost == NanoUsd::ZERO {
            return None;
        }
        let held = self.answers.iter().map(|answer| answer.held).max().unwrap_or_default();
        let is_less_than = |answers: u64| left < held + NanoUsd::new(cost.get().saturating_mul(answers));
        let means = if is_less_than(CHEAP_AT) {
            Means::Scarce
        } else if is_less_than(BRIEF_AT) {
            Means::Little
        } else if is_less_than(AMPLE_AT) {
            self.means
        } else {
            Means::Ample
        };
        // Brief answers are cheaper: what is left then looks like more. What was too little is not enough by itself.
        let is_more = self.too_little.is_none_or(|too_little| left > too_little);
        let means = if means == Means::Ample && is_more { means } else { means.max(self.means) };
        (std::mem::replace(&mut self.means, means) != means).then_some(means)
    }

    /// So much is left, and it is too little for a request: the money goes less far than was thought. `None` if it could not be thought to go less
    /// far.
    pub(super) fn lower(&mut self, left: NanoUsd) -> Option<Means> {
        self.too_little = Some(left);
        self.means = match self.means {
            Means::Ample => Means::Little,
            Means::Little => Means::Scarce,
            Means::Scarce => return None,
        };
        Some(self.means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(nano: u64) -> NanoUsd {
        NanoUsd::new(nano)
    }

    /// A call whose answers have cost 10 each, with 50 set aside.
    fn pace() -> Pace {
        let mut pace = Pace::new(usd(1_000));
        for answer in 1..=3 {
            pace.note(usd(1_000 + 10 * answer), usd(50));
            pace.next_answer(usd(1_000 + 10 * answer));
        }
        pace
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let mut pace = Pace::new(usd(5));
        assert_eq!(pace.judge(usd(0)), None);
        pace.note(usd(5), usd(100));
        assert_eq!(pace.judge(usd(0)), None);
    }

    #[test]
    fn the_fewer_answers_are_left_the_less_the_agent_may_spend_on_each() {
        let mut pace = pace();
        assert_eq!(pace.judge(usd(50 + 60)), None);
        assert_eq!(pace.judge(usd(50 + 59)), Some(Means::Little));
        assert_eq!(pace.judge(usd(50 + 58)), None, "it is told once");
        assert_eq!(pace.judge(usd(50 + 29)), Some(Means::Scarce));
    }

    #[test]
    fn it_is_not_taken_back_because_answers_are_cheaper_but_because_there_is_more() {
        let mut pace = pace();
        assert_eq!(pace.judge(usd(79)), Some(Means::Scarce));
        assert_eq!(pace.judge(usd(105)), None);
        assert_eq!(pace.judge(usd(169)), None);
        assert_eq!(pace.judge(usd(170)), Some(Means::Ample));
    }

    #[test]
    fn the_dearest_of_the_last_answers_counts_and_older_ones_are_forgotten() {
        let mut pace = Pace::new(usd(0));
        pace.note(usd(100), usd(500));
        let mut cost = 100;
        for _ in 0..REMEMBERED {
            assert_eq!(pace.judge(usd(500 + 1_200)), None);
            pace.next_answer(usd(cost));
            cost += 1;
            pace.note(usd(cost), usd(1));
        }
        assert_eq!(pace.judge(usd(7)), None, "six answers of 1, and 1 set aside");
        assert_eq!(pace.judge(usd(6)), Some(Means::Little));
    }

    #[test]
    fn a_request_that_there_is_too_little_for_lowers_it_step_by_step() {
        let mut pace = Pace::new(usd(0));
        assert_eq!([(); 3].map(|()| pace.lower(usd(9))), [Some(Means::Little), Some(Means::Scarce), None]);
    }

    #[test]
    fn what_was_too_little_for_a_request_is_not_ample_by_answers_that_were_cheaper() {
        let mut pace = pace();
        assert_eq!(pace.lower(usd(500)), Some(Means::Little));
        assert_eq!(pace.judge(usd(500)), None, "or the same would be asked for again, for ever");
        assert_eq!(pace.lower(usd(490)), Some(Means::Scarce));
        assert_eq!(pace.judge(usd(490)), None);
        assert_eq!(pace.judge(usd(5_000)), Some(Means::Ample), "somebody has been given a credit");
    }
}
