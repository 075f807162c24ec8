//! Requests to providers: what each may cost is set aside before it is made, and what it used is charged.

use super::*;

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
