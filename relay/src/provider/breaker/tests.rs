//! The breaker as scenarios, and against a plain model whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::properties::cases;

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "of a test")
}

fn busy(retry_after: u32) -> Failure {
    Failure { retry_after: Some(retry_after), ..failure(FailureKind::Busy) }
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1_000)
}

/// A breaker that was opened at `now` by failures in a row.
fn opened(now: Time) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..FAILURES_MAX {
        let ticket = breaker.admit(now).expect("it is closed");
        breaker.failed(now, ticket, &failure(FailureKind::Provider));
    }
    breaker
}

#[test]
fn three_failures_in_a_row_open_it_and_one_answer_between_them_does_not() {
    let mut breaker = Breaker::default();
    for n in 0..10 {
        let ticket = breaker.admit(at(n)).expect("it is closed");
        match n % 3 {
            0 => breaker.worked(ticket),
            _ => breaker.failed(at(n), ticket, &failure(FailureKind::Timeout)),
        }
    }
    assert_eq!(breaker.standing(), Standing::Closed);
    let mut breaker = opened(at(10));
    assert_eq!(breaker.standing(), Standing::Open);
    assert_eq!(breaker.admit(at(12)), Err(Duration::from_secs(3)));
}

#[test]
fn after_the_wait_one_request_is_the_probe_and_its_answer_lets_all_through() {
    let mut breaker = opened(at(0));
    let probe = breaker.admit(at(5)).expect("its time is over");
    assert!(probe.is_probe());
    for second in 5..10 {
        assert!(breaker.admit(at(second)).is_err(), "one at a time");
    }
    breaker.worked(probe);
    for _ in 0..3 {
        assert!(!breaker.admit(at(10)).expect("it is closed").is_probe());
    }
}

#[test]
fn a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_minute_and_an_answer_begins_anew() {
    let (mut breaker, mut now) = (opened(at(0)), at(0));
    for wait in [5, 10, 20, 40, 60, 60] {
        assert!(breaker.admit(now + Duration::from_millis(wait * 1_000 - 1)).is_err(), "{wait} s");
        now = now + Duration::from_secs(wait);
        let probe = breaker.admit(now).expect("its time is over");
        breaker.failed(now, probe, &failure(FailureKind::Connection));
    }
    now = now + LONGEST_WAIT;
    let probe = breaker.admit(now).expect("its time is over");
    breaker.worked(probe);
    for _ in 0..FAILURES_MAX {
        let ticket = breaker.admit(now).expect("it is closed");
        breaker.failed(now, ticket, &failure(FailureKind::Connection));
    }
    assert_eq!(breaker.admit(now), Err(FIRST_WAIT));
}

#[test]
fn what_the_operator_has_to_mend_and_what_the_provider_asks_for_open_it_at_once() {
    for (failure, wait) in [
        (failure(FailureKind::Key), 300),
        (failure(FailureKind::Payment), 300),
        (busy(17), 17),
        (busy(0), 1),
        (busy(u32::MAX), 300),
    ] {
        let mut breaker = Breaker::default();
        let ticket = breaker.admit(at(0)).expect("it is closed");
        breaker.failed(at(0), ticket, &failure);
        assert_eq!(breaker.admit(at(0)), Err(Duration::from_secs(wait)), "{failure}");
    }
}

#[test]
fn a_question_that_is_forbidden_keeps_nobody_elses_away_and_three_in_a_row_open_it_for_seconds() {
    let mut breaker = Breaker::default();
    let mut forbids = |second: u64| {
        let ticket = breaker.admit(at(second)).expect("it is closed");
        breaker.failed(at(second), ticket, &Failure::of_status(403, "not with these words", None));
        breaker.standing()
    };
    assert_eq!([forbids(0), forbids(1)], [Standing::Closed; 2]);
    assert_eq!(forbids(2), Standing::Open);
    assert_eq!(breaker.admit(at(2)), Err(FIRST_WAIT));
}

#[test]
fn a_wrong_question_and_a_user_who_leaves_say_nothing_against_a_provider() {
    let mut breaker = Breaker::default();
    for _ in 0..10 {
        let ticket = breaker.admit(at(0)).expect("it is closed");
        breaker.failed(at(0), ticket, &failure(FailureKind::Request));
        let ticket = breaker.admit(at(0)).expect("it is closed");
        breaker.failed(at(0), ticket, &failure(FailureKind::Clogged));
        let ticket = breaker.admit(at(0)).expect("it is closed");
        breaker.gave_up(ticket);
    }
    assert_eq!(breaker.standing(), Standing::Closed);
}

#[test]
fn a_probe_that_the_user_cut_short_leaves_its_place_to_the_next_request() {
    let mut breaker = opened(at(0));
    let probe = breaker.admit(at(5)).expect("its time is over");
    breaker.gave_up(probe);
    assert_eq!(breaker.standing(), Standing::Due { since: at(5) });
    let second = breaker.admit(at(5)).expect("nobody probes");
    assert!(second.is_probe());
    // One that nobody hears of again keeps the place for a while only.
    assert!(breaker.admit(at(34)).is_err());
    let third = breaker.admit(at(35)).expect("it was given up");
    breaker.worked(second);
    assert_eq!(breaker.standing(), Standing::Probing, "what is late does not count");
    breaker.worked(third);
    assert_eq!(breaker.standing(), Standing::Closed);
}

#[test]
fn one_whose_time_is_over_is_half_open_whether_or_not_anybody_asks() {
    let mut breaker = opened(at(0));
    breaker.look(at(4));
    assert_eq!(breaker.standing(), Standing::Open);
    for second in [5, 3_600] {
        breaker.look(at(second));
        assert_eq!(breaker.standing(), Standing::Due { since: at(5) }, "since nobody has tried");
    }
    assert!(breaker.admit(at(3_600)).expect("the next one tries").is_probe());
    breaker.look(at(3_600));
    assert_eq!(breaker.standing(), Standing::Probing);
}

#[test]
fn requests_from_before_it_was_opened_do_not_open_it_again() {
    let mut breaker = Breaker::default();
    let late: Vec<Ticket> = (0..50).map(|_| breaker.admit(at(0)).expect("it is closed")).collect();
    for ticket in &late[..3] {
        breaker.failed(at(1), *ticket, &failure(FailureKind::Timeout));
    }
    let probe = breaker.admit(at(6)).expect("its time is over");
    breaker.worked(probe);
    for ticket in &late[3..] {
        breaker.failed(at(10), *ticket, &failure(FailureKind::Timeout));
    }
    assert_eq!(breaker.standing(), Standing::Closed);
}

/// The same as sentences: who may speak, and for how long nobody is asked.
#[derive(Debug, Default)]
struct Model {
    /// Nobody is asked before, once it is not closed.
    shut_until: Option<Time>,
    probe: Option<(usize, Time)>,
    in_a_row: u32,
    openings: u32,
    /// Requests of which something may still be learnt.
    heard: BTreeSet<usize>,
}

impl Model {
    fn admits(&mut self, now: Time, request: usize) -> bool {
        let free = match (self.shut_until, self.probe) {
            (None, _) => true,
            (Some(_), Some((_, since))) => now >= since + Duration::from_secs(30),
            (Some(until), None) => now >= until,
        };
        if free {
            if self.shut_until.is_some() {
                self.heard.clear();
                self.probe = Some((request, now));
            }
            self.heard.insert(request);
        }
        free
    }

    fn ends(&mut self, now: Time, request: usize, end: &End) {
        if !self.heard.contains(&request) {
            return;
        }
        let is_probe = self.probe.is_some_and(|(probe, _)| probe == request);
        match end {
            End::Worked => {
                self.in_a_row = 0;
                self.lets_all_through();
            }
            End::GaveUp | End::Failed(FailureKind::Clogged, _) if is_probe => {
                self.shut_until = self.probe.take().map(|(_, since)| since);
                self.heard.clear();
            }
            End::GaveUp | End::Failed(FailureKind::Clogged, _) => {}
            End::Failed(FailureKind::Request, _) => self.lets_all_through(),
            End::Failed(FailureKind::Key | FailureKind::Payment, _) => self.shuts(now, 300),
            End::Failed(FailureKind::Busy, Some(seconds)) => self.shuts(now, (*seconds).clamp(1, 300)),
            End::Failed(..) => {
                self.in_a_row += 1;
                if is_probe || self.in_a_row >= 3 {
                    let wait = [5, 10, 20, 40].get(self.openings as usize).copied().unwrap_or(60);
                    self.shuts(now, wait);
                }
            }
        }
    }

    fn lets_all_through(&mut self) {
        if self.probe.take().is_some() {
            (self.shut_until, self.in_a_row, self.openings) = (None, 0, 0);
        }
    }

    fn shuts(&mut self, now: Time, seconds: u32) {
        self.openings += 1;
        (self.shut_until, self.probe, self.in_a_row) =
            (Some(now + Duration::from_secs(seconds.into())), None, 0);
        self.heard.clear();
    }

    fn standing(&self, now: Time) -> Standing {
        match (self.shut_until, self.probe) {
            (None, _) => Standing::Closed,
            (Some(_), Some(_)) => Standing::Probing,
            (Some(until), None) if until <= now => Standing::Due { since: until },
            (Some(_), None) => Standing::Open,
        }
    }
}

#[derive(Clone, Debug)]
enum End {
    Worked,
    GaveUp,
    Failed(FailureKind, Option<u32>),
}

#[derive(Clone, Debug)]
enum Step {
    Ask,
    Wait(u64),
    /// One of those under way ends, chosen by this number.
    Ends(usize, End),
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = proptest::sample::select(vec![
        FailureKind::Key,
        FailureKind::Permission,
        FailureKind::Payment,
        FailureKind::Busy,
        FailureKind::Request,
        FailureKind::Provider,
        FailureKind::Timeout,
        FailureKind::Connection,
        FailureKind::BrokeOff,
        FailureKind::Flood,
        FailureKind::Clogged,
    ]);
    let end = prop_oneof![
        3 => Just(End::Worked),
        1 => Just(End::GaveUp),
        8 => (kinds, proptest::option::of(0..400_u32)).prop_map(|(kind, retry)| End::Failed(kind, retry)),
    ];
    prop_oneof![
        4 => Just(Step::Ask),
        2 => prop_oneof![1_u64..2_000, 2_000_u64..70_000, Just(300_000)].prop_map(Step::Wait),
        4 => (any::<usize>(), end).prop_map(|(which, end)| Step::Ends(which, end)),
    ]
}

proptest! {
    #![proptest_config(cases(500, "proptest-regressions/breaker.txt"))]

    #[test]
    fn it_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut breaker, mut model, mut now) = (Breaker::default(), Model::default(), Time::ZERO);
        let mut under_way: BTreeMap<usize, Ticket> = BTreeMap::new();
        for (request, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait(millis) => now = now + Duration::from_millis(millis),
                Step::Ask => {
                    let admitted = breaker.admit(now);
                    prop_assert_eq!(admitted.is_ok(), model.admits(now, request));
                    match admitted {
                        Ok(ticket) => {
                            prop_assert_eq!(ticket.is_probe(), model.standing(now) == Standing::Probing);
                            under_way.insert(request, ticket);
                        }
                        // Nobody is left to wait for longer than anything is waited for.
                        Err(left) => prop_assert!(!left.is_zero() && left <= OPERATOR_WAIT),
                    }
                }
                Step::Ends(which, end) => {
                    if let Some(request) = under_way.keys().nth(which % under_way.len().max(1)).copied() {
                        let ticket = under_way.remove(&request).expect("it is there");
                        model.ends(now, request, &end);
                        match end {
                            End::Worked => breaker.worked(ticket),
                            End::GaveUp => breaker.gave_up(ticket),
                            End::Failed(kind, retry_after) => {
                                breaker.failed(now, ticket, &Failure { retry_after, ..failure(kind) });
                            }
                        }
                    }
                }
            }
            let mut looked = breaker.clone();
            looked.look(now);
            prop_assert_eq!(looked.standing(), model.standing(now));
            // What is asked stands as it does, whether or not somebody has looked before.
            if request % 2 == 0 {
                breaker = looked;
            }
        }
    }
}
