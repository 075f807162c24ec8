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
    bench.chunk([]);
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

pub(super) const MIND: RequestId = RequestId(0);

/// A call whose agent may ask a language model, at 1 dollar for a million tokens of the prompt and 5 for those of the answer.
fn thinking(authorised: u64) -> Bench {
    let caps = Caps {
        session: NanoUsd::MAX,
        user_day: NanoUsd::MAX,
        account_month: NanoUsd::MAX,
        token: TokenCaps::NONE,
    };
    Bench::of_tab(caps, NanoUsd::new(authorised), 0, thinking_tab())
}

pub(super) fn thinking_tab() -> Tab {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.0048", per = 60 },
            { name = "acme/mind", unit = "input_token", usd = "1", per = 1000000 },
            { name = "acme/mind", unit = "output_token", usd = "5", per = 1000000 },
            { name = "acme/voice", unit = "character", usd = "30", per = 1000000 },
        ]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let ear = Meter::new(table.price("acme/ear").expect("priced").clone(), 16_000);
    let mind = ItemPrice::model(&table, "acme/mind", 0).expect("priced");
    let voice = ItemPrice::voice(&table, "acme/voice", 0).expect("priced");
    Tab::new(ear, vec![mind, voice], 3, Earlier::default())
}

fn ask() -> AgentOutput {
    AgentOutput::Ask {
        request: MIND,
        provider: 0,
        ask: Ask::Chat(relay::provider::Chat {
            messages: Vec::new(),
            tools: Vec::new(),
            max_output_tokens: 100,
        }),
        at_most: AtMost::Tokens { prompt: 1_000, output: 100 },
    }
}

fn spent(input: u64, output: u64) -> AgentOutput {
    AgentOutput::Spent {
        request: MIND,
        used: Some(Quantity::Tokens(TokenUsage { input, output, ..TokenUsage::default() })),
        estimated: false,
        provider_id: None,
    }
}

const WORST: NanoUsd = NanoUsd::new(1_500_000);

#[test]
fn a_request_is_made_when_its_worst_case_is_set_aside_and_the_store_knows_that_it_is_exposed() {
    let mut bench = thinking(100_000_000);
    let text = Input::Message { mark: Mark::default(), message: &typed("hello") };
    bench.script.lock().expect("one thread").extend([said(0, 0), ask()]);
    let did = bench.input(text);
    let exposed = did.iter().find_map(|did| match did {
        Did::Reserve(through, spent, exposed) => Some((*through, *spent, *exposed)),
        _ => None,
    });
    let (through, spent_so_far, exposed) = exposed.expect("it is asked for");
    assert_eq!((spent_so_far, exposed), (NanoUsd::ZERO, WORST));
    assert!(through.at_least >= WORST);
    let grant = Grant { authorised: through.at_least, standing: Standing::unused(bench.caps) };
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(MIND)]);
    assert_eq!(bench.call.usage().cost_nano_usd, 0, "nothing is spent yet");
    // What it did cost is billed, and nothing of it is exposed any more.
    let words = AgentOutput::Words { text: "Hi.".into(), start: 0, end: 0, last: false };
    bench.script.lock().expect("one thread").extend([words, spent(900, 10), AgentOutput::AnswerEnd]);
    let did = bench.input(Input::Provider { request: MIND, event: &Event::Text("Hi.".into()) });
    assert_eq!(bench.call.usage().cost_nano_usd, 950_000);
    assert_eq!(bench.call.usage().tokens, 910);
    let rows: Vec<_> = did
        .iter()
        .filter_map(|did| match did {
            Did::Settle(rows, ..) => Some(rows.iter().map(|row| (row.key.clone(), row.cost.get()))),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(
        rows,
        [
            ("acme/mind@3.0/input_token".to_owned(), 900_000),
            ("acme/mind@3.0/output_token".to_owned(), 50_000)
        ]
    );
    assert_eq!(bench.exposed, NanoUsd::ZERO);
}

#[test]
fn what_a_request_is_fed_waits_for_the_money_that_it_may_cost_and_comes_in_its_order() {
    let mut bench = thinking(100_000_000);
    let feed = |feed, characters: Option<u64>| AgentOutput::Feed {
        request: MIND,
        feed,
        at_most: characters.map(AtMost::Characters),
    };
    let ahead = AgentOutput::Ask {
        request: MIND,
        provider: 1,
        ask: Ask::Speak(String::new()),
        at_most: AtMost::Characters(0),
    };
    let words = [feed(Feed::Text("Hello".into()), Some(5)), feed(Feed::Flush, None)];
    bench.script.lock().expect("one thread").extend([said(0, 0), ahead]);
    bench.script.lock().expect("one thread").extend(words);
    let did = bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    // It is opened ahead for nothing, and is not given a word before the store knows what that may cost.
    assert!(did.contains(&Did::Open(MIND)) && !did.contains(&Did::Feed(MIND)), "{did:?}");
    let exposed = did.iter().find_map(|did| match did {
        Did::Reserve(_, _, exposed) => Some(*exposed),
        _ => None,
    });
    assert_eq!(exposed, Some(NanoUsd::new(150_000)));
    let grant = Grant { authorised: NanoUsd::new(100_000_000), standing: Standing::unused(bench.caps) };
    let did = bench.input(Input::Reserved(&Reserved::Granted(grant)));
    assert_eq!(did, [Did::Feed(MIND), Did::Feed(MIND)]);
    // More words cost more; when the request is over, what it has used is billed and nothing is held.
    let more = [feed(Feed::Text(" you".into()), Some(9)), feed(Feed::Finish, None)];
    bench.script.lock().expect("one thread").extend(more);
    let did = bench.input(Input::Provider { request: MIND, event: &Event::Ready });
    let exposed = did.iter().find_map(|did| match did {
        Did::Reserve(_, _, exposed) => Some(*exposed),
        _ => None,
    });
    assert_eq!(exposed, Some(NanoUsd::new(270_000)), "{did:?}");
    let did = bench.input(Input::Reserved(&Reserved::Granted(grant)));
    assert_eq!(did, [Did::Feed(MIND), Did::Feed(MIND)]);
    let used = Some(Quantity::Characters(9));
    let over = AgentOutput::Spent { request: MIND, used, estimated: false, provider_id: None };
    bench.script.lock().expect("one thread").push_back(over);
    bench.input(Input::Provider { request: MIND, event: &Event::Ready });
    assert_eq!(bench.call.usage().cost_nano_usd, 270_000);
    assert_eq!(bench.call.usage().characters, 9);
    assert_eq!(bench.exposed, NanoUsd::ZERO);
}

#[test]
fn no_request_is_made_while_a_settlement_is_on_its_way_that_takes_back_what_is_exposed() {
    let mut bench = thinking(100_000_000);
    bench.script.lock().expect("one thread").extend([said(0, 0), ask()]);
    bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    let grant = Grant { authorised: NanoUsd::new(100_000_000), standing: Standing::unused(bench.caps) };
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(MIND)]);
    let settlements = |did: &[Did]| did.iter().filter(|did| matches!(did, Did::Settle(..))).count();
    // The request is over, which is being written, with nothing exposed; and the user types again.
    bench.script.lock().expect("one thread").extend([spent(900, 10), said(0, 0)]);
    let failed = Event::Failed(relay::provider::Failure::new(relay::provider::FailureKind::Busy, "busy"));
    let first = bench.input(Input::Provider { request: MIND, event: &failed });
    let again = RequestId(MIND.0 + 1);
    let asks = match ask() {
        AgentOutput::Ask { provider, ask, at_most, .. } => {
            AgentOutput::Ask { request: again, provider, ask, at_most }
        }
        other => other,
    };
    bench.script.lock().expect("one thread").extend([asks]);
    let second =
        bench.input(Input::Message { mark: Mark { seq: 1, position: 0 }, message: &typed("hello?") });
    let is_opened = |did: &[Did]| did.iter().any(|did| matches!(did, Did::Open(_)));
    assert!(!is_opened(&second), "a relay that is killed now would leave nothing to charge: {second:?}");
    let mut did = Vec::new();
    // One for what was typed first is not answered yet, either.
    for _ in 0..1 + settlements(&first) + settlements(&second) {
        did.extend(bench.input(settled(&Settled::default())));
    }
    assert!(!is_opened(&did) && did.iter().any(|did| matches!(did, Did::Reserve(_, _, WORST))), "{did:?}");
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(again)]);
}

#[test]
fn a_request_that_was_expected_waits_neither_for_money_nor_for_what_is_being_stored() {
    let mut bench = thinking(100_000_000);
    let question = (0, AtMost::Tokens { prompt: 2_000, output: 100 });
    let sentence = (1, AtMost::Characters(100));
    let began = AgentOutput::SpeechStarted { at: 0 };
    let did = bench.chunk([began, AgentOutput::Expect(vec![question, sentence])]);
    let expected = NanoUsd::new(2_500_000 + 3_000_000);
    let asks = |did: &[Did]| {
        did.iter().find_map(|did| if let Did::Reserve(_, _, exposed) = did { Some(*exposed) } else { None })
    };
    assert_eq!(asks(&did), Some(expected), "the store knows of it before it is needed: {did:?}");
    let grant = Grant { authorised: NanoUsd::new(100_000_000), standing: Standing::unused(bench.caps) };
    assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), []);
    // What was said is on its way to the store, and takes back nothing of what is exposed.
    let did = bench.chunk([said(0, 3_200), ask(), AgentOutput::Expect(vec![sentence])]);
    assert!(did.iter().any(|did| matches!(did, Did::Settle(..))), "{did:?}");
    assert_eq!(bench.exposed, expected);
    assert!(did.contains(&Did::Open(MIND)), "{did:?}");
    // Nothing is expected any more: the next settlement exposes what is under way, and no more.
    bench.chunk([AgentOutput::Expect(Vec::new()), said(3_200, 4_800)]);
    assert_eq!(bench.exposed, WORST);
}

#[test]
fn what_is_expected_ends_no_call_that_cannot_pay_for_it() {
    let mut bench = thinking(1_000_000);
    let expect = AgentOutput::Expect(vec![(0, AtMost::Tokens { prompt: 1_000_000, output: 100 })]);
    let did = bench.chunk([expect]);
    let asked =
        did.iter().find_map(|did| if let Did::Reserve(range, ..) = did { Some(*range) } else { None });
    assert_eq!(
        asked.map(|range| range.at_least),
        Some(NanoUsd::new(1_000_000)),
        "no more is needed: {did:?}"
    );
    let grant = Grant { authorised: NanoUsd::new(1_100_000), standing: Standing::unused(bench.caps) };
    assert_eq!(
        bench.input(Input::Reserved(&Reserved::Granted(grant))),
        [],
        "it is not asked for again and again"
    );
    assert_eq!(bench.chunk([]), []);
}

#[test]
fn a_request_that_costs_too_much_is_not_made_and_the_call_says_why() {
    let mut bench = thinking(1_000_000);
    bench.script.lock().expect("one thread").extend([said(0, 0), ask()]);
    let did = bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
    assert!(did.iter().any(|did| matches!(did, Did::Reserve(..))), "{did:?}");
    let balance = Balance { limit: NanoUsd::new(1_000_000), ..Balance::default() };
    let authorised = NanoUsd::new(1_000_000);
    let short = Reserved::Short(Shortage { scope: Scope::User, balance, contended: false, authorised });
    let did = bench.input(Input::Reserved(&short));
    assert!(!did.iter().any(|did| matches!(did, Did::Open(_))), "{did:?}");
    assert!(did.iter().any(|did| matches!(did, Did::Exhausted(_))), "{did:?}");
    assert_eq!(bench.call.usage().cost_nano_usd, 0);
}

#[test]
fn nothing_is_asked_for_the_answer_to_a_user_who_has_hung_up() {
    let mut bench = thinking(10_000_000);
    bench.chunk([said(0, 1_600)]);
    bench.input(Input::Bye);
    let mut did = bench.chunk([ask()]);
    did.extend(bench.written());
    let is_request = |did: &Did| matches!(did, Did::Open(_) | Did::Reserve(..));
    assert!(!did.iter().any(is_request) && did.contains(&Did::End(CloseCode::Normal)), "{did:?}");
}

#[test]
fn whoever_leaves_gives_up_what_is_under_way_and_what_nobody_accounts_for_is_billed_whole() {
    for accounted in [true, false] {
        let mut bench = thinking(100_000_000);
        bench.script.lock().expect("one thread").extend([ask()]);
        let did = bench.input(Input::Message { mark: Mark::default(), message: &typed("hello") });
        assert!(matches!(did.as_slice(), [Did::Reserve(..)]), "{did:?}");
        let grant = Grant { authorised: NanoUsd::new(100_000_000), standing: Standing::unused(bench.caps) };
        assert_eq!(bench.input(Input::Reserved(&Reserved::Granted(grant))), [Did::Open(MIND)]);
        if accounted {
            let cancel = AgentOutput::Cancel { request: MIND };
            bench.script.lock().expect("one thread").extend([cancel, spent(10, 1)]);
        }
        let did = bench.input(Input::Checkpoint { sent_away: true });
        assert_eq!(did.contains(&Did::Cancel(MIND)), accounted, "{did:?}");
        let cost = if accounted { 15_000 } else { WORST.get() };
        assert_eq!(bench.call.usage().cost_nano_usd, cost);
        let [.., Did::Settle(rows, _, true)] = did.as_slice() else { panic!("{did:?}") };
        assert!(rows.iter().all(|row| row.estimated != accounted), "{rows:?}");
        assert_eq!(bench.exposed, NanoUsd::ZERO, "nothing is under way where it goes on");
    }
}

#[test]
fn a_settlement_that_says_what_was_exposed_before_never_comes_after_what_is_exposed_now() {
    let mut bench = thinking(100_000_000);
    bench.chunk([]);
    bench.now = bench.now + Duration::from_secs(6);
    let did = bench.input(Input::Timeout);
    assert!(did.iter().any(|did| matches!(did, Did::Settle(..))), "{did:?}");
    let did = bench.chunk([ask()]);
    assert!(!did.iter().any(|did| matches!(did, Did::Reserve(..))), "it could be overtaken: {did:?}");
    let did = bench.input(settled(&Settled::default()));
    assert!(matches!(did.as_slice(), [Did::Reserve(_, _, WORST)]), "{did:?}");
    bench.now = bench.now + Duration::from_secs(6);
    bench.chunk([]);
    assert_eq!(bench.exposed, WORST, "what is asked for may be under way by then");
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
