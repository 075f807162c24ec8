use super::*;
use crate::money::budget::{Caps, TokenCaps};

struct Bench {
    journal: Journal,
    now: Time,
}

impl Bench {
    fn new() -> Bench {
        Bench { journal: Journal::new(1), now: Time::from_millis(1_000) }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.journal.handle_input(self.now, input);
        std::iter::from_fn(|| self.journal.poll_output()).collect()
    }

    fn entry(&mut self, entry: Entry) -> Vec<Output> {
        self.input(Input::Entry(entry))
    }

    fn done(&mut self) -> Vec<Output> {
        self.input(Input::Written(Ok(Receipt::Done)))
    }

    fn fails(&mut self, kind: FailureKind) -> Vec<Output> {
        self.input(Input::Written(Err(failure(kind))))
    }

    fn after(&mut self, time: Duration) -> Vec<Output> {
        self.now = self.now + time;
        self.input(Input::Timeout)
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, why: "so".into() }
}

fn turns(seq: u32) -> Entry {
    Entry::Turns { turns: Vec::new(), committed: Mark { seq, position: seq * 1_600 }, replayable: 0 }
}

fn settlement() -> Entry {
    Entry::Settlement(Box::new(Settlement {
        rows: Vec::new(),
        credits: Vec::new(),
        through: 1_600,
        committed: Mark::default(),
        replayable: 0,
        number: 1,
        exposed: NanoUsd::ZERO,
        release: false,
        at: Time::ZERO,
    }))
}

fn end(code: CloseCode) -> Entry {
    Entry::End { code, quality: LineQuality::default(), at: Time::ZERO }
}

/// Writes it at once.
fn write(entry: Entry) -> Output {
    Output::Write { entry, wait: Duration::ZERO }
}

fn written(entry: Entry) -> Output {
    Output::Written { entry, receipt: Receipt::Done }
}

#[test]
fn entries_are_written_one_at_a_time_in_their_order() {
    let mut bench = Bench::new();
    assert_eq!(bench.entry(turns(1)), [write(turns(1))]);
    assert_eq!(bench.entry(settlement()), []);
    assert_eq!(bench.entry(end(CloseCode::Normal)), []);
    assert_eq!(bench.done(), [written(turns(1)), write(settlement())]);
    let standing = Standing::unused(Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    });
    let receipt = Receipt::Settled { cost: NanoUsd::new(7), standing };
    assert_eq!(
        bench.input(Input::Written(Ok(receipt.clone()))),
        [Output::Written { entry: settlement(), receipt }, write(end(CloseCode::Normal))]
    );
    assert!(!bench.journal.is_empty());
    assert_eq!(bench.done(), [written(end(CloseCode::Normal))]);
    assert!(bench.journal.is_empty());
}

#[test]
fn the_first_end_counts_and_a_connection_that_the_store_knows_is_not_written_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.entry(Entry::Attached(true)), [], "a session begins with a connection");
    assert_eq!(bench.entry(Entry::Attached(false)), [write(Entry::Attached(false))]);
    assert_eq!(bench.entry(Entry::Attached(false)), []);
    bench.entry(end(CloseCode::Normal));
    bench.entry(end(CloseCode::Internal));
    assert_eq!(bench.done(), [written(Entry::Attached(false)), write(end(CloseCode::Normal))]);
    assert_eq!(bench.done(), [written(end(CloseCode::Normal))]);
}

#[test]
fn a_refused_entry_is_told_and_the_next_one_is_written() {
    let mut bench = Bench::new();
    bench.entry(turns(1));
    bench.entry(turns(2));
    let refused = Output::Refused { entry: turns(1), failure: failure(FailureKind::Erased) };
    assert_eq!(bench.fails(FailureKind::Erased), [refused, write(turns(2))]);
}

#[test]
fn while_the_database_is_away_the_oldest_is_tried_again_and_what_is_owed_is_kept() {
    let mut bench = Bench::new();
    bench.entry(turns(1));
    bench.entry(Entry::Attached(false));
    bench.entry(settlement());
    let began = bench.now;
    bench.now = bench.now + Duration::from_millis(300);
    let outputs = bench.fails(FailureKind::Away);
    assert_eq!(outputs[0], Output::Away { since: began, why: "so".into() }, "since the write began");
    assert_eq!(outputs[1], Output::Keep(vec![turns(1), settlement()]), "whether it is attached is no debt");
    let Output::Write { entry, wait } = &outputs[2] else { panic!("{outputs:?}") };
    assert_eq!(*entry, turns(1));
    assert!((RETRY_FIRST / 2..=RETRY_FIRST * 3 / 2).contains(wait), "{wait:?}");
    bench.input(Input::Kept(vec![Some(10), Some(11)]));
    assert_eq!(bench.entry(turns(2)), [Output::Keep(vec![turns(2)])], "what comes later is kept as well");
    for _ in 0..20 {
        let outputs = bench.fails(FailureKind::Away);
        let [Output::Write { wait, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        assert!(*wait <= RETRY_MAX * 3 / 2, "{wait:?}");
    }
    assert_eq!(
        bench.done(),
        [Output::Back, Output::Forget(vec![10]), written(turns(1)), write(Entry::Attached(false))]
    );
}

#[test]
fn a_slow_write_is_not_away_but_what_waits_is_kept() {
    let mut bench = Bench::new();
    bench.entry(turns(1));
    assert_eq!(bench.journal.poll_timeout(), Some(bench.now + KEEP_AFTER));
    assert_eq!(bench.after(KEEP_AFTER / 2), []);
    assert_eq!(bench.after(KEEP_AFTER / 2), [Output::Keep(vec![turns(1)])]);
    assert_eq!(bench.journal.poll_timeout(), None, "it is kept once");
    bench.input(Input::Kept(vec![Some(3)]));
    assert_eq!(bench.done(), [Output::Forget(vec![3]), written(turns(1))]);
    assert_eq!(bench.entry(turns(2)), [write(turns(2))], "the next one is not slow yet");
}

#[test]
fn what_is_written_while_it_is_on_its_way_to_the_disk_is_forgotten_when_it_is_there() {
    let mut bench = Bench::new();
    bench.entry(turns(1));
    bench.after(KEEP_AFTER);
    assert_eq!(bench.done(), [written(turns(1))]);
    assert_eq!(bench.input(Input::Kept(vec![Some(3)])), [Output::Forget(vec![3])]);
}

#[test]
fn a_session_that_leaves_keeps_everything_and_holds_what_the_disk_does_not_take() {
    let mut bench = Bench::new();
    for entry in [turns(1), settlement(), end(CloseCode::Normal), Entry::Attached(false)] {
        bench.entry(entry);
    }
    bench.fails(FailureKind::Away);
    bench.input(Input::Kept(vec![Some(1), None, None]));
    assert!(bench.journal.is_kept());
    let rest = vec![settlement(), end(CloseCode::Normal)];
    assert_eq!(bench.input(Input::KeepAll), [Output::Keep(rest.clone())], "the disk is asked once more");
    assert!(!bench.journal.is_kept());
    assert_eq!(bench.journal.poll_timeout(), None);
    assert_eq!(bench.fails(FailureKind::Away), [], "nothing more is written");
    assert_eq!(bench.input(Input::Kept(vec![Some(2), None])), []);
    assert!(bench.journal.is_kept());
    assert_eq!(bench.input(Input::HoldRest), [Output::Hold(rest[1..].to_vec())]);
}

#[test]
fn what_a_full_disk_has_refused_is_asked_for_again_before_what_came_later() {
    let mut bench = Bench::new();
    for entry in [turns(1), settlement()] {
        bench.entry(entry);
    }
    bench.fails(FailureKind::Away);
    bench.input(Input::Kept(vec![Some(1), None]));
    let outputs = bench.fails(FailureKind::Away);
    assert!(
        matches!(outputs[..], [Output::Write { .. }]),
        "a full disk is not asked at each try: {outputs:?}"
    );
    assert_eq!(bench.entry(turns(2)), [Output::Keep(vec![settlement(), turns(2)])]);
    assert_eq!(bench.entry(turns(3)), [], "one wish at a time");
    let rest = vec![settlement(), turns(2), turns(3)];
    assert_eq!(bench.input(Input::Kept(vec![None, None])), [Output::Keep(rest)]);
    assert_eq!(bench.input(Input::Kept(vec![Some(2), None, None])), []);
    assert_eq!(bench.input(Input::HoldRest), [Output::Hold(vec![turns(2), turns(3)])]);
}

#[test]
fn what_a_silent_disk_was_asked_to_keep_is_held_as_well() {
    let mut bench = Bench::new();
    bench.entry(turns(1));
    assert_eq!(bench.input(Input::KeepAll), [Output::Keep(vec![turns(1)])]);
    assert_eq!(bench.input(Input::HoldRest), [Output::Hold(vec![turns(1)])]);
}

#[test]
fn whether_there_is_a_connection_is_of_no_interest_after_the_end() {
    let mut bench = Bench::new();
    bench.entry(end(CloseCode::Normal));
    assert_eq!(bench.entry(Entry::Attached(false)), []);
    bench.done();
    assert_eq!(bench.entry(Entry::Attached(false)), []);
    assert!(bench.journal.is_empty());
}
