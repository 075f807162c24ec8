//! What a call does about money.

use super::*;

#[test]
fn usage_is_told_once_a_second_and_recorded_every_five() {
    let mut bench = Bench::new();
    let (mut told, mut recorded) = (Vec::new(), 0);
    for chunk in 0..100 {
        for did in bench.chunk([]).into_iter().chain(bench.wait(Duration::from_millis(100))) {
            match did {
                Did::Usage(_) => told.push(chunk),
                Did::Settle(rows, through, false) => {
                    recorded += rows.first().expect("something was counted").quantity;
                    assert_eq!(u64::from(through), recorded);
                }
                _ => {}
            }
        }
    }
    assert_eq!(told[..4], [10, 20, 30, 40], "with the chunk that comes a second later");
    assert!((9..=10).contains(&told.len()), "{told:?}");
    assert!(recorded >= 5 * 16_000, "{recorded}");
}

#[test]
fn usage_goes_with_the_audio_and_by_itself_only_where_none_comes() {
    let mut bench = Bench::new();
    let is_usage = |did: &Did| matches!(did, Did::Usage(_));
    for chunk in 0..100 {
        // Chunks come a little early and a little late.
        let late = Duration::from_millis([0, 15, 5, 20][chunk % 4]);
        let waited = bench.wait(Duration::from_millis(90) + late);
        assert!(!waited.iter().any(is_usage), "{waited:?}");
        bench.chunk([]);
    }
    let told = bench.wait(Duration::from_millis(1_150));
    assert_eq!(told.iter().filter(|did| is_usage(did)).count(), 1, "{told:?}");
}

#[test]
fn of_audio_that_comes_at_once_no_more_than_ten_seconds_wait_to_be_recorded() {
    let mut bench = Bench::new();
    let mut recorded = Vec::new();
    for chunk in 1..=150 {
        for did in bench.chunk([]) {
            if let Did::Settle(rows, ..) = did {
                recorded.push((chunk, rows.iter().map(|row| row.quantity).sum::<u64>()));
            }
        }
    }
    assert_eq!(recorded, [(101, 161_600)]);
}

#[test]
fn nothing_is_taken_that_would_cost_more_than_the_budget() {
    // A tenth of a second costs 8,000 nano-dollars.
    let mut bench = Bench::with(NanoUsd::new(20_000), 0);
    bench.chunk([]);
    let did = bench.chunk([]);
    let [.., Did::Settle(rows, _, false)] = did.as_slice() else { panic!("{did:?}") };
    assert_eq!(rows[0].cost, NanoUsd::new(16_000), "four fifths are settled as soon as they are told");
    let needed = NanoUsd::new(24_000);
    assert_eq!(
        bench.chunk([]),
        [Did::Reserve(Range { at_least: needed, at_most: needed }, NanoUsd::new(16_000), NanoUsd::ZERO)]
    );
    let balance =
        Balance { limit: NanoUsd::new(20_000), spent: NanoUsd::ZERO, reserved: NanoUsd::new(20_000) };
    let shortage =
        Shortage { scope: Scope::Session, balance, contended: false, authorised: NanoUsd::new(20_000) };
    let did = bench.input(Input::Reserved(&Reserved::Short(shortage)));
    let [
        Did::Exhausted(told),
        Did::Say(words),
        Did::Store(turns, _),
        Did::Say(budget),
        Did::Settle(rows, _, true),
    ] = did.as_slice()
    else {
        panic!("{did:?}")
    };
    assert_eq!((*told, rows.len()), (shortage, 0));
    assert!(matches!(words, Saying::Transcript(turn) if turn.text.contains("budget") && turn.last));
    assert_eq!(turns[0].role, Role::Agent);
    assert!(matches!(budget, Saying::Budget(budget) if budget.percent == 100));
    assert_eq!(bench.call.usage().cost_nano_usd, 16_000, "two chunks and not the third");
    assert_eq!(bench.call.usage().left_nano_usd, 4_000);
    bench.input(Input::Stored { committed: Mark::default() });
    assert_eq!(bench.input(settled(&Settled::default())), []);
    assert_eq!(bench.input(settled(&Settled::default())), [Did::End(CloseCode::Budget)]);
}

#[test]
fn a_budget_that_is_used_up_in_one_jump_is_told_at_each_threshold_in_order() {
    // Less than the first tenth of a second costs.
    let mut bench = Bench::with(NanoUsd::new(7_000), 0);
    bench.chunk([]);
    let balance = Balance { limit: NanoUsd::new(7_000), spent: NanoUsd::ZERO, reserved: NanoUsd::new(7_000) };
    let shortage =
        Shortage { scope: Scope::Session, balance, contended: false, authorised: NanoUsd::new(7_000) };
    let did = bench.input(Input::Reserved(&Reserved::Short(shortage)));
    let told: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Say(Saying::Budget(budget)) => Some((budget.scope, budget.percent, budget.spent_nano_usd)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [50, 80, 100].map(|percent| (BudgetScope::Session, percent, 0)));
}

#[test]
fn audio_waits_for_money_in_its_order_and_then_goes_on() {
    let caps = Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let mut bench = Bench::of(caps, NanoUsd::new(8_000), 0);
    assert!(matches!(bench.chunk([]).as_slice(), [Did::Reserve(..)]), "more is asked for ahead of time");
    assert_eq!(bench.chunk([]), [], "not paid for, so it waits");
    let gap = Gap { from: Mark { seq: 2, position: 3_200 }, to: Mark { seq: 3, position: 4_800 } };
    assert_eq!(bench.input(Input::Gap(gap)), []);
    bench.chunks += 1;
    assert_eq!(bench.chunk([]), []);
    assert_eq!(bench.input(Input::Bye), []);
    assert_eq!(bench.call.usage().cost_nano_usd, 8_000);
    let grant = Grant { authorised: NanoUsd::new(1_000_000), standing: Standing::unused(caps) };
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), []);
    // An agent that does not say that it has understood everything is not waited for any longer.
    let did = bench.wait(Duration::from_secs(3));
    let [Did::Usage(_), Did::Trouble(_), Did::Settle(rows, 6_400, true)] = did.as_slice() else {
        panic!("{did:?}")
    };
    assert_eq!((rows[0].quantity, rows[0].cost), (4_800, NanoUsd::new(24_000)));
    let did = bench.input(settled(&Settled::default()));
    assert_eq!(did.last(), Some(&Did::End(CloseCode::Normal)));
}

#[test]
fn what_others_have_set_aside_is_asked_for_again_until_it_is_there() {
    let caps = Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::new(100_000),
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let mut bench = Bench::of(caps, NanoUsd::new(8_000), 0);
    bench.chunk([]);
    let balance = Balance { limit: caps.user_day, spent: NanoUsd::ZERO, reserved: NanoUsd::new(95_000) };
    let shortage = Shortage { scope: Scope::User, balance, contended: true, authorised: NanoUsd::new(8_000) };
    let short = Reserved::Short(shortage);
    assert_eq!(bench.input(Input::Reserved(&short)), []);
    bench.chunk([]);
    let mut asked = 0;
    for _ in 0..40 {
        let did = bench.wait(Duration::from_millis(100));
        if did.iter().any(|did| matches!(did, Did::Reserve(..))) {
            asked += 1;
            assert_eq!(bench.input(Input::Reserved(&short)), []);
        }
    }
    assert!((6..=8).contains(&asked), "twice a second: {asked}");
    for _ in 0..80 {
        let did = bench.wait(Duration::from_millis(100));
        if did.iter().any(|did| matches!(did, Did::Exhausted(_))) {
            return;
        }
        if did.iter().any(|did| matches!(did, Did::Reserve(..))) {
            bench.input(Input::Reserved(&short));
        }
    }
    panic!("it is given up in the end");
}

#[test]
fn each_threshold_of_each_budget_is_told_once() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let standing = |session: u64, user: u64| {
        let balance =
            |spent| Balance { limit: NanoUsd::new(100), spent: NanoUsd::new(spent), reserved: NanoUsd::ZERO };
        Settled {
            standing: Standing { session: balance(session), user: balance(user), account: balance(0) },
            cost: NanoUsd::new(8_000),
            ..Settled::default()
        }
    };
    let mut told = |session, user| -> Vec<(BudgetScope, u32)> {
        let did = bench.input(settled(&standing(session, user)));
        let budget = |did: &Did| match did {
            Did::Say(Saying::Budget(budget)) => Some((budget.scope, budget.percent)),
            _ => None,
        };
        did.iter().filter_map(budget).collect()
    };
    assert_eq!(told(49, 0), []);
    assert_eq!(told(50, 85), [(BudgetScope::Session, 50), (BudgetScope::User, 50), (BudgetScope::User, 80)]);
    assert_eq!(told(79, 99), []);
    assert_eq!(told(81, 100), [(BudgetScope::Session, 80), (BudgetScope::User, 100)]);
}

#[test]
fn audio_that_was_metered_before_a_crash_is_not_metered_again() {
    let mut bench = Bench::with(NanoUsd::new(5_000_000_000), 2_400);
    bench.chunk([]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
    bench.chunk([]);
    assert_eq!(bench.call.usage().cost_nano_usd, 4_000, "half of the second chunk");
}

#[test]
fn audio_that_a_recogniser_hears_again_after_a_crash_is_a_line_that_costs_the_user_nothing() {
    let toml = r#"version = "1"
        item = [{ name = "acme/ear", unit = "second", usd = "0.0048", per = 60 }]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let ear = ItemPrice::stream(&table, "acme/ear", 0).expect("priced");
    let meter = Meter::new(table.price("acme/ear").expect("priced").clone(), 16_000);
    let caps = Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let tab = Tab::new(meter, vec![ear], 1, Earlier::default());
    let mut bench = Bench::of_tab(caps, NanoUsd::new(5_000_000_000), 2_400, tab);
    let request = RequestId(0);
    bench.chunk([AgentOutput::Ask { request, provider: 0, ask: Ask::Listen, at_most: AtMost::Nothing }]);
    bench.input(settled(&Settled::default()));
    bench.input(Input::Provider { request, event: &Event::Ready });
    bench.chunk([]);
    bench.input(settled(&Settled::default()));
    let mut rows = Vec::new();
    for did in bench.wait(Duration::from_secs(10)) {
        if let Did::Settle(settled, ..) = did {
            rows.extend(settled.into_iter().map(|row| (row.unit, row.quantity, row.cost.get())));
        }
    }
    rows.sort();
    let expected = [("repeated_sample".to_owned(), 2_400, 0), ("sample".to_owned(), 800, 4_000)];
    assert_eq!(rows, expected);
    assert_eq!(bench.call.usage().cost_nano_usd, 4_000);
}

#[test]
fn a_user_whom_nobody_hears_is_charged_for_nothing_until_somebody_does_again() {
    let mut bench = Bench::new();
    bench.chunk([]);
    let cost = bench.call.usage().cost_nano_usd;
    let hearing = |degraded| AgentOutput::Degraded { what: Ability::Hearing, degraded };
    bench.chunk([hearing(true)]);
    let degraded = AgentOutput::Degraded { what: Ability::Speaking, degraded: false };
    for _ in 0..50 {
        bench.chunk([degraded.clone()]);
    }
    assert_eq!(bench.call.usage().cost_nano_usd, 2 * cost, "what came before it was known is charged");
    bench.chunk([hearing(false)]);
    bench.chunk([]);
    assert_eq!(bench.call.usage().cost_nano_usd, 3 * cost);
    // Of what was not charged nothing is exempt from the charge when it is played again elsewhere and heard.
    bench.wait(Duration::from_secs(6));
    assert_eq!(bench.replayable, Some(3 * 1_600));
    for sent_away in [true, false] {
        bench.input(Input::Checkpoint { sent_away });
        assert_eq!(bench.replayable, Some(3 * 1_600), "sent away: {sent_away}");
    }
    // What is committed with a turn is taken from it, and not what merely stands before the turn's end.
    bench.chunk([said(0, 3_200)]);
    assert_eq!(bench.replayable, Some(2 * 1_600), "two are committed, and one came with the turn");
}

#[test]
fn who_is_sent_away_before_the_end_of_the_call_is_written_pays_for_nothing_twice() {
    for sent_away in [true, false] {
        let mut bench = Bench::with(NanoUsd::new(5_000_000_000), 1_600);
        bench.chunk([]);
        bench.chunk([]);
        bench.input(Input::Stop(CloseCode::EndedByOperator));
        assert_eq!(bench.replayable, Some(1_600), "what was metered here");
        bench.input(Input::Checkpoint { sent_away });
        let again = if sent_away { 3_200 } else { 1_600 };
        assert_eq!(bench.replayable, Some(again), "the call goes on elsewhere, sent away: {sent_away}");
    }
    // Where nothing was played again, the end has settled all.
    let mut bench = Bench::new();
    bench.chunk([]);
    bench.input(Input::Stop(CloseCode::EndedByOperator));
    assert_eq!(bench.input(Input::Checkpoint { sent_away: true }), []);
}

#[test]
fn what_is_played_again_is_claimed_before_anybody_else_may_have_it_whatever_comes_before_it() {
    for before in 0..3 {
        let mut bench = Bench::with(NanoUsd::new(5_000_000_000), 24_000);
        let mut did = Vec::new();
        match before {
            1 => {
                let gap = Gap { from: Mark::default(), to: Mark { seq: 1, position: 0 } };
                did.extend(bench.input(Input::Gap(gap)));
            }
            2 => did.extend(bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") })),
            _ => {}
        }
        did.extend(bench.input(Input::Audio { mark: Mark { seq: 1, position: 0 }, payload: &[0; 3_200] }));
        assert_eq!(bench.replayable, Some(0), "after {before}: {did:?}");
    }
}

#[test]
fn a_gap_costs_nothing_and_can_be_committed() {
    let mut bench = Bench::new();
    let gap = Gap { from: Mark::default(), to: Mark { seq: 10, position: 16_000 } };
    bench.script.lock().expect("one thread").push_back(AgentOutput::Final { through: 16_000 });
    bench.input(Input::Gap(gap));
    bench.now = bench.now + Duration::from_secs(6);
    let did = bench.input(Input::Timeout);
    assert!(
        matches!(did.as_slice(), [.., Did::Settle(rows, ..)] if rows.is_empty()),
        "stored before it is told: {did:?}"
    );
    assert_eq!(bench.input(settled(&Settled::default())), [Did::Commit(gap.to)]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
}

#[test]
fn what_another_relay_has_told_of_a_budget_is_not_told_again() {
    let mut bench = Bench::taken_over();
    let standing = |user: u64| Standing {
        user: Balance { limit: NanoUsd::new(100), spent: NanoUsd::new(user), reserved: NanoUsd::ZERO },
        ..Standing::default()
    };
    let mut told = |user| -> Vec<u32> {
        let standing = standing(user);
        let did = bench.input(Input::Settled { cost: NanoUsd::ZERO, standing: &standing });
        let percent = |did: &Did| match did {
            Did::Say(Saying::Budget(budget)) => Some(budget.percent),
            _ => None,
        };
        did.iter().filter_map(percent).collect()
    };
    assert_eq!(told(60), [0; 0], "half of it was told there");
    assert_eq!(told(79), [0; 0]);
    assert_eq!(told(80), [80]);
}

#[test]
fn texts_that_wait_for_money_are_bounded_like_audio() {
    let caps = Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    let mut bench = Bench::of(caps, NanoUsd::ZERO, 0);
    bench.chunk([]);
    let text = "x".repeat(16_000);
    let mut waiting = 0;
    for seq in 1..1_000 {
        let did = bench.input(Input::Message { mark: Mark { seq, position: 1_600 }, message: &typed(&text) });
        if did.iter().any(|did| matches!(did, Did::Settle(_, _, true))) {
            break;
        }
        waiting += text.len();
    }
    assert!((1 << 20..4 << 20).contains(&waiting), "{waiting}");
}
