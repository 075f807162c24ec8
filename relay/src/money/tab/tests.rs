use super::*;
use crate::money::bill::TokenUsage;
use crate::money::price::PriceTable;

const ITEM: &str = "acme/mind";

fn table() -> PriceTable {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.006", per = 60 },
            { name = "acme/mind", unit = "input_token", usd = "1", per = 1000000 },
            { name = "acme/mind", unit = "output_token", usd = "5", per = 1000000 },
        ]"#;
    PriceTable::parse(toml).expect("a table")
}

fn mind() -> ItemPrice {
    ItemPrice::model(&table(), ITEM, 0).expect("priced")
}

fn tab() -> Tab {
    let price = table().price("acme/ear").expect("priced").clone();
    Tab::new(Meter::new(price, 16_000), vec![mind()], 0, Earlier::default())
}

fn tokens(prompt: u64, output: u64) -> AtMost {
    AtMost::Tokens { prompt, output }
}

fn used(input: u64, output: u64) -> Quantity {
    Quantity::Tokens(TokenUsage { input, output, ..TokenUsage::default() })
}

fn rows_of(rows: &[LedgerRow]) -> NanoUsd {
    rows.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost)
}

#[test]
fn what_is_held_counts_until_the_request_is_settled_and_then_what_it_cost_does() {
    let mut tab = tab();
    tab.hold(RequestId(0), 0, tokens(1_000, 200), Purpose::Hearing);
    assert_eq!((tab.cost(), tab.held()), (NanoUsd::ZERO, NanoUsd::new(2_000_000)));
    tab.settle(RequestId(0), Some(used(900, 10)), &Spent::default());
    assert_eq!((tab.cost(), tab.held()), (NanoUsd::new(950_000), NanoUsd::ZERO));
    assert_eq!(tab.tokens(), 910);
    assert_eq!(rows_of(&tab.take_rows()), tab.cost());
}

#[test]
fn an_answer_that_was_prepared_for_nothing_is_a_line_of_its_own_and_counts_as_tokens() {
    let mut tab = tab();
    tab.hold(RequestId(0), 0, tokens(1_000, 200), Purpose::Hearing);
    let usage = TokenUsage { input: 900, output: 10, ..TokenUsage::default() };
    tab.settle(RequestId(0), Some(Quantity::Eager(usage)), &Spent::default());
    assert_eq!((tab.cost(), tab.tokens(), tab.held()), (NanoUsd::new(950_000), 910, NanoUsd::ZERO));
    let rows = tab.take_rows();
    let named: Vec<_> = rows.iter().map(|row| (&*row.key, &*row.unit)).collect();
    assert_eq!(
        named,
        [
            ("acme/mind@0.0/eager_input_token", "eager_input_token"),
            ("acme/mind@0.0/eager_output_token", "eager_output_token"),
        ]
    );
    // Whoever takes the call over counts them, too.
    let sums: Vec<ItemSum> = rows
        .into_iter()
        .map(|LedgerRow { item, unit, quantity, cost, .. }| ItemSum { item, unit, quantity, cost })
        .collect();
    let earlier = Earlier::besides(&["acme/ear"], &sums);
    assert_eq!((earlier.tokens, earlier.cost), (910, NanoUsd::new(950_000)));
}

#[test]
fn audio_that_is_heard_again_is_on_the_bill_at_its_price_and_costs_the_user_nothing() {
    let price = table().price("acme/ear").expect("priced").clone();
    let ear = ItemPrice::stream(&table(), "acme/ear", 0).expect("priced");
    let mut tab = Tab::new(Meter::new(price.clone(), 16_000), vec![ear], 3, Earlier::default());
    // A stand-in hears half a second again, and a relay that takes over a second.
    tab.hold(RequestId(7), 0, AtMost::Nothing, Purpose::Hearing);
    tab.settle(RequestId(7), Some(Quantity::Repeated(8_000)), &Spent::default());
    let mut keys = Vec::new();
    for samples in [8_000, 0, 16_000] {
        tab.add_repeated(samples);
        for row in tab.take_rows() {
            assert_eq!((&*row.item, &*row.unit, row.cost), ("acme/ear", "repeated_sample", NanoUsd::ZERO));
            // Six thousandths of a dollar a minute.
            assert_eq!((row.price, row.per), (price.amount, 60 * 16_000));
            keys.push((row.key, row.quantity));
        }
    }
    let keys: Vec<(&str, u64)> = keys.iter().map(|(key, quantity)| (&**key, *quantity)).collect();
    assert_eq!(
        keys,
        [
            ("acme/ear@3.7/repeated_sample", 8_000),
            ("acme/ear@3.again0/repeated_sample", 8_000),
            ("acme/ear@3.again1/repeated_sample", 16_000),
        ]
    );
    assert_eq!((tab.cost(), tab.samples()), (NanoUsd::ZERO, 0));
    // Where nobody is paid for listening, nobody is paid again.
    let mut tab = Tab::new(Meter::new(price, 16_000), vec![mind()], 0, Earlier::default());
    tab.add_repeated(16_000);
    assert!(!tab.is_unrowed() && tab.take_rows().is_empty());
}

#[test]
fn tokens_of_a_recogniser_that_the_user_does_not_pay_are_on_the_bill_at_their_price_and_cost_nothing() {
    let mut tab = tab();
    tab.hold(RequestId(0), 0, tokens(1_000, 200), Purpose::Hearing);
    tab.settle(RequestId(0), Some(used(900, 10).repeated()), &Spent::default());
    assert_eq!((tab.cost(), tab.tokens(), tab.held()), (NanoUsd::ZERO, 0, NanoUsd::ZERO));
    let rows = tab.take_rows();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (&*row.key, &*row.unit, row.quantity, row.price.get() / row.per, row.cost.get()))
        .collect();
    assert_eq!(
        rows,
        [
            ("acme/mind@0.0/repeated_input_token", "repeated_input_token", 900, 1_000, 0),
            ("acme/mind@0.0/repeated_output_token", "repeated_output_token", 10, 5_000, 0),
        ]
    );
}

#[test]
fn what_a_provider_reports_beyond_what_was_set_aside_is_the_operators() {
    for (input, output, paid, excess) in [
        // At most 1,200 tokens at the price of output: 2,000,000 nano-dollars are set aside.
        (1_000, 200, vec![("input_token", 1_000), ("output_token", 200)], vec![]),
        (1_000, 300, vec![("input_token", 1_000), ("output_token", 200)], vec![("excess_output_token", 100)]),
        (
            2_500,
            3,
            vec![("input_token", 2_000)],
            vec![("excess_input_token", 500), ("excess_output_token", 3)],
        ),
        (0, u64::MAX, vec![("output_token", 400)], vec![("excess_output_token", 999_999_999_600)]),
    ] {
        let mut tab = tab();
        tab.hold(RequestId(0), 0, tokens(1_000, 200), Purpose::Hearing);
        let most = tab.held();
        let spent = Spent { turn: Some(3), request_id: Some("req_1".to_owned()), estimated: false };
        tab.settle(RequestId(0), Some(used(input, output)), &spent);
        assert!(tab.cost() <= most, "the cap holds, whatever a provider says");
        let counted: u64 = paid.iter().map(|(_, quantity)| quantity).sum();
        assert_eq!((tab.tokens(), tab.held()), (counted, NanoUsd::ZERO));
        let rows = tab.take_rows();
        assert_eq!(rows_of(&rows), tab.cost());
        assert!(rows.iter().all(|row| row.turn == Some(3) && row.request_id.as_deref() == Some("req_1")));
        let is_excess = |row: &LedgerRow| row.unit.starts_with(LedgerRow::EXCESS);
        assert!(
            rows.iter()
                .all(|row| !is_excess(row) || (row.cost == NanoUsd::ZERO && row.excess() > NanoUsd::ZERO))
        );
        assert!(rows.iter().all(|row| is_excess(row) || row.excess() == NanoUsd::ZERO));
        let of = |excess: bool| -> Vec<(&str, u64)> {
            rows.iter().filter(|row| is_excess(row) == excess).map(|row| (&*row.unit, row.quantity)).collect()
        };
        assert_eq!((of(false), of(true)), (paid, excess));
        let mut keys: Vec<&str> = rows.iter().map(|row| &*row.key).collect();
        keys.dedup();
        assert_eq!(keys.len(), rows.len());
    }
}

#[test]
fn requests_under_way_at_once_are_held_apart() {
    let mut tab = tab();
    for n in 1..=3 {
        tab.hold(RequestId(n), 0, tokens(u64::from(n) * 100, 0), Purpose::Hearing);
    }
    tab.settle(RequestId(2), None, &Spent::default());
    tab.settle(RequestId(2), Some(used(200, 0)), &Spent::default());
    assert_eq!((tab.held(), tab.cost()), (NanoUsd::new(400_000), NanoUsd::ZERO));
    assert_eq!(tab.take_rows(), []);
}

#[test]
fn what_nobody_accounts_for_is_taken_to_have_used_all_that_it_may() {
    let mut tab = tab();
    tab.hold(RequestId(0), 0, tokens(100, 20), Purpose::Hearing);
    tab.hold(RequestId(1), 0, tokens(10, 2), Purpose::Hearing);
    let reach = tab.reach();
    tab.settle_rest();
    assert_eq!((tab.cost(), tab.held()), (reach, NanoUsd::ZERO));
    assert!(tab.take_rows().iter().all(|row| row.estimated));
}

#[test]
fn what_a_price_is_not_for_is_too_dear_for_anybody() {
    let tab = tab();
    assert_eq!(tab.worst_case(0, &AtMost::Characters(1)), NanoUsd::MAX);
    assert_eq!(tab.worst_case(1, &tokens(1, 1)), NanoUsd::MAX, "there is no such provider");
}

#[test]
fn a_tab_that_was_taken_over_goes_on_from_the_ledger_and_writes_nothing_twice() {
    let price = table().price("acme/ear").expect("priced").clone();
    let earlier = Earlier { cost: NanoUsd::new(950_000), tokens: 910, ..Earlier::default() };
    let mut tab =
        Tab::new(Meter::resume(price, 16_000, 16_000, NanoUsd::new(100_000)), vec![mind()], 1, earlier);
    assert_eq!((tab.cost(), tab.rowed_cost()), (NanoUsd::new(1_050_000), NanoUsd::new(1_050_000)));
    assert_eq!(tab.take_rows(), []);
    tab.add_samples(1_600);
    assert_eq!(rows_of(&tab.take_rows()), NanoUsd::new(10_000));
}

#[test]
fn a_row_says_for_which_turn_it_was_spent_and_what_the_provider_calls_it() {
    let mut tab = tab();
    tab.hold(RequestId(0), 0, tokens(100, 20), Purpose::Hearing);
    let spent = Spent { turn: Some(7), request_id: Some("req_1".to_owned()), estimated: true };
    tab.settle(RequestId(0), Some(used(10, 2)), &spent);
    let rows = tab.take_rows();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((row.turn, row.request_id.as_deref(), row.estimated), (Some(7), Some("req_1"), true));
    }
}

#[test]
fn what_was_asked_for_an_answer_names_the_turn_that_is_answered_whenever_it_is_settled() {
    for (purpose, named) in
        [(Purpose::Answer(Some(3)), Some(3)), (Purpose::Answer(None), None), (Purpose::Hearing, Some(7))]
    {
        let mut tab = tab();
        tab.hold(RequestId(0), 0, tokens(100, 20), purpose);
        tab.hold(RequestId(1), 0, tokens(100, 20), purpose);
        tab.settle(RequestId(0), Some(used(10, 2)), &Spent { turn: Some(7), ..Spent::default() });
        assert!(tab.take_rows().iter().all(|row| row.turn == named), "{purpose:?}");
        // Of what nobody accounts for it is known, too, what it was for.
        tab.settle_rest();
        let named = named.filter(|_| purpose != Purpose::Hearing);
        assert!(tab.take_rows().iter().all(|row| row.turn == named), "{purpose:?}");
    }
}

const EARS: [(&str, u64); 3] = [("acme/ear", 6), ("acme/other", 9), ("acme/third", 3)];

/// A tab of a call with three recognisers that hear all of it, of which the first and the last are the same, and a model between them.
fn tab_of_stand_ins(epoch: u32, sums: &[ItemSum]) -> Tab {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.006", per = 60 },
            { name = "acme/other", unit = "second", usd = "0.009", per = 60 },
            { name = "acme/third", unit = "second", usd = "0.003", per = 60 },
            { name = "acme/mind", unit = "input_token", usd = "1", per = 1000000 },
            { name = "acme/mind", unit = "output_token", usd = "5", per = 1000000 },
        ]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let stream = |item| ItemPrice::stream(&table, item, 0).expect("priced");
    let prices =
        vec![stream("acme/ear"), stream("acme/other"), mind(), stream("acme/third"), stream("acme/ear")];
    Tab::after(table.price("acme/ear").expect("priced"), prices, epoch, sums)
}

/// Key and quantity of each row of audio.
fn audio(rows: &[LedgerRow]) -> Vec<(&str, u64)> {
    rows.iter().filter(|row| row.unit == SAMPLE).map(|row| (&*row.key, row.quantity)).collect()
}

/// The rows of one item follow each other, which makes their keys unique.
fn follow(rows: &[&LedgerRow]) {
    let mut through = 0;
    for row in rows {
        assert_eq!(row.begins_at(), Some(through), "{row:?}");
        through += row.quantity;
    }
}

#[test]
fn a_second_is_billed_at_the_price_of_the_recogniser_that_hears_it() {
    let mut tab = tab_of_stand_ins(0, &[]);
    tab.hold(RequestId(0), 0, AtMost::Nothing, Purpose::Hearing);
    tab.add_samples(16_000);
    tab.listens(RequestId(0));
    tab.add_samples(16_000);
    assert_eq!(tab.cost(), NanoUsd::new(200_000), "two seconds of the first one");
    // It breaks. What comes until another one is there is heard by that one, at its price, and more than that is reckoned with by then.
    tab.settle(RequestId(0), None, &Spent::default());
    tab.hold(RequestId(1), 1, AtMost::Nothing, Purpose::Hearing);
    let reach = tab.reach_with(16_000);
    tab.add_samples(16_000);
    assert_eq!((tab.reach(), reach), (NanoUsd::new(350_000), NanoUsd::new(350_000)), "at the dearest price");
    tab.listens(RequestId(1));
    tab.listens(RequestId(1));
    assert_eq!((tab.cost(), tab.reach()), (NanoUsd::new(350_000), NanoUsd::new(350_000)));
    tab.add_samples(8_000);
    let rows = tab.take_rows();
    assert_eq!(audio(&rows), [("acme/ear@0", 32_000), ("acme/other@0", 24_000)]);
    assert_eq!((rows_of(&rows), tab.cost()), (NanoUsd::new(425_000), NanoUsd::new(425_000)));
    assert_eq!((tab.samples(), tab.unrowed_samples()), (56_000, 0));
    // A cheaper one hears what came before it was there as well.
    tab.settle(RequestId(1), None, &Spent::default());
    tab.add_samples(16_000);
    assert_eq!(tab.take_rows(), [], "who listens next is not known yet");
    tab.hold(RequestId(2), 3, AtMost::Nothing, Purpose::Hearing);
    tab.listens(RequestId(2));
    tab.add_samples(16_000);
    let rows = tab.take_rows();
    assert_eq!((audio(&rows), rows_of(&rows)), (vec![("acme/third@0", 32_000)], NanoUsd::new(100_000)));
    // A model listens to nothing.
    tab.hold(RequestId(3), 2, tokens(1, 1), Purpose::Answer(None));
    tab.listens(RequestId(3));
    tab.add_samples(1_600);
    assert_eq!(audio(&tab.take_rows()), [("acme/third@32000", 1_600)]);
}

#[test]
fn audio_that_nobody_listens_to_is_in_no_row_before_somebody_does_and_costs_nothing_if_nobody_will() {
    for (next, item, cost) in [(1, "acme/other@0", 225_000), (3, "acme/third@0", 75_000)] {
        let mut tab = tab_of_stand_ins(0, &[]);
        tab.hold(RequestId(0), 0, AtMost::Nothing, Purpose::Hearing);
        // Nobody is there yet, as long as that takes.
        for _ in 0..15 {
            tab.add_samples(16_000);
            assert_eq!((tab.take_rows(), tab.is_unrowed()), (Vec::new(), false));
        }
        assert_eq!((tab.unheard(), tab.rowed_cost()), (15 * 16_000, NanoUsd::ZERO));
        assert_eq!(tab.cost(), NanoUsd::new(1_500_000), "there is money for it, should somebody hear it");
        assert_eq!((tab.give_up_unheard(8_000), tab.give_up_unheard(8_000)), (15 * 16_000 - 8_000, 0));
        assert_eq!((tab.cost(), tab.unheard(), tab.is_unrowed()), (NanoUsd::new(50_000), 8_000, true));
        assert_eq!((tab.give_up_unheard(0), tab.give_up_unheard(0)), (8_000, 0));
        assert_eq!((tab.cost(), tab.samples()), (NanoUsd::ZERO, 0));
        let rows = tab.take_rows();
        let rows: Vec<(&str, u64, NanoUsd)> =
            rows.iter().map(|row| (&*row.key, row.quantity, row.cost)).collect();
        let expected = [
            ("acme/ear@0.unheard0/unheard_sample", 15 * 16_000 - 8_000, NanoUsd::ZERO),
            ("acme/ear@0.unheard1/unheard_sample", 8_000, NanoUsd::ZERO),
        ];
        assert_eq!((rows.as_slice(), tab.is_unrowed()), (&expected[..], false));
        // Whoever is there in the end hears it, dearer or cheaper, and what the one before has heard stays its own.
        tab.listens(RequestId(0));
        tab.add_samples(16_000);
        tab.settle(RequestId(0), None, &Spent::default());
        tab.add_samples(16_000);
        let before = tab.take_rows();
        assert_eq!((audio(&before), rows_of(&before)), (vec![("acme/ear@0", 16_000)], NanoUsd::new(100_000)));
        tab.add_samples(8_000);
        tab.hold(RequestId(1), next, AtMost::Nothing, Purpose::Hearing);
        tab.listens(RequestId(1));
        let after = tab.take_rows();
        assert_eq!((audio(&after), rows_of(&after)), (vec![(item, 24_000)], NanoUsd::new(cost)));
        assert_eq!((tab.samples(), tab.cost()), (40_000, NanoUsd::new(100_000 + cost)));
        assert_eq!(tab.give_up_unheard(0), 0, "it was heard");
    }
    // Who is heard by utterances, or by no provider, is heard by the relay itself.
    let mut tab = tab();
    tab.add_samples(16_000);
    assert_eq!((tab.unheard(), tab.give_up_unheard(0), tab.unrowed_samples()), (0, 0, 16_000));
}

#[test]
fn what_is_heard_again_is_a_line_of_the_recogniser_that_hears_it() {
    let mut tab = tab_of_stand_ins(2, &[]);
    // The first one is not there when a relay takes the call over.
    tab.add_repeated(1_600);
    tab.hold(RequestId(0), 0, AtMost::Nothing, Purpose::Hearing);
    tab.settle(RequestId(0), None, &Spent::default());
    tab.hold(RequestId(1), 1, AtMost::Nothing, Purpose::Hearing);
    tab.listens(RequestId(1));
    tab.add_repeated(800);
    // Nor is this one any more when its line is written.
    tab.settle(RequestId(1), None, &Spent::default());
    tab.hold(RequestId(2), 3, AtMost::Nothing, Purpose::Hearing);
    tab.listens(RequestId(2));
    let rows = tab.take_rows();
    let named: Vec<_> = rows.iter().map(|row| (&*row.item, row.quantity, row.cost, row.turn)).collect();
    assert_eq!(named, [("acme/other", 2_400, NanoUsd::ZERO, None)]);
}

#[test]
fn each_recogniser_goes_on_where_the_ledger_ends_and_no_key_stands_twice() {
    let mut ledger: Vec<LedgerRow> = Vec::new();
    for epoch in 0..4 {
        let sums: Vec<ItemSum> = ledger
            .iter()
            .cloned()
            .map(|LedgerRow { item, unit, quantity, cost, .. }| ItemSum { item, unit, quantity, cost })
            .collect();
        let mut tab = tab_of_stand_ins(epoch, &sums);
        assert_eq!((tab.cost(), tab.rowed_cost()), (rows_of(&ledger), rows_of(&ledger)));
        assert_eq!(tab.samples(), ledger.iter().map(|row| row.quantity).sum::<u64>());
        for (request, place) in [(0, 1), (1, 3), (2, 0)] {
            tab.hold(RequestId(request), place, AtMost::Nothing, Purpose::Hearing);
            tab.listens(RequestId(request));
            tab.add_samples(1_601);
            tab.settle(RequestId(request), None, &Spent::default());
        }
        ledger.extend(tab.take_rows());
        assert_eq!(rows_of(&ledger), tab.cost());
    }
    for (item, per_minute) in EARS {
        let of: Vec<_> = ledger.iter().filter(|row| row.item == item).collect();
        follow(&of);
        let samples: u64 = of.iter().map(|row| row.quantity).sum();
        let cost: u64 = of.iter().map(|row| row.cost.get()).sum();
        // Each relay rounds up what it has metered.
        let at_once = (1_601 * per_minute * 1_000_000).div_ceil(960_000);
        assert_eq!((samples, cost), (4 * 1_601, 4 * at_once));
    }
}

#[test]
fn what_is_set_aside_for_a_request_is_raised_and_never_lowered() {
    let mut tab = tab();
    tab.hold(RequestId(0), 0, tokens(1_000, 200), Purpose::Hearing);
    tab.hold(RequestId(1), 0, tokens(10, 0), Purpose::Hearing);
    assert_eq!(tab.more(RequestId(0), &tokens(1_000, 300)), NanoUsd::new(500_000));
    tab.raise(RequestId(0), tokens(1_000, 300));
    assert_eq!(tab.held(), NanoUsd::new(2_510_000));
    assert_eq!(tab.more(RequestId(0), &tokens(10, 10)), NanoUsd::ZERO);
    tab.raise(RequestId(0), tokens(10, 10));
    assert_eq!(tab.held(), NanoUsd::new(2_510_000));
    tab.settle(RequestId(0), None, &Spent::default());
    assert_eq!(tab.more(RequestId(0), &tokens(1_000, 300)), NanoUsd::ZERO, "it is over");
    tab.raise(RequestId(0), tokens(1_000, 300));
    assert_eq!(tab.held(), NanoUsd::new(10_000));
}

#[test]
fn what_is_used_is_known_to_be_in_no_row_until_its_rows_are_taken() {
    let mut tab = tab();
    assert!(!tab.is_unrowed());
    tab.add_samples(1_600);
    assert!(tab.is_unrowed());
    assert_eq!((tab.unrowed_samples(), tab.samples()), (1_600, 1_600));
    assert_eq!(tab.cost(), tab.price_of(Duration::from_millis(100)));
    tab.take_rows();
    assert!(!tab.is_unrowed());
    assert_eq!((tab.unrowed_samples(), tab.samples()), (0, 1_600));
    tab.hold(RequestId(0), 0, tokens(10, 2), Purpose::Hearing);
    assert!(!tab.is_unrowed(), "nothing is used yet");
    tab.settle(RequestId(0), Some(used(10, 2)), &Spent::default());
    assert!(tab.is_unrowed());
    tab.take_rows();
    assert!(!tab.is_unrowed());
}

#[test]
fn rows_have_names_of_their_own_whatever_relay_writes_them() {
    let mut keys = Vec::new();
    for epoch in 0..3 {
        let price = table().price("acme/ear").expect("priced").clone();
        let mut tab = Tab::new(Meter::new(price, 16_000), vec![mind()], epoch, Earlier::default());
        for request in 0..20 {
            tab.hold(RequestId(request), 0, tokens(10, 2), Purpose::Hearing);
            tab.settle(RequestId(request), Some(used(10, 2)), &Spent::default());
        }
        keys.extend(tab.take_rows().into_iter().map(|row| row.key));
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3 * 20 * 2);
}

#[test]
fn characters_add_up_over_relays_and_what_a_price_does_not_count_is_the_worst_case() {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.006", per = 60 },
            { name = "acme/mouth", unit = "character", usd = "0.03", per = 1000 },
        ]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let price = table.price("acme/ear").expect("priced").clone();
    let mouth = ItemPrice::voice(&table, "acme/mouth", 0).expect("priced");
    let earlier = Earlier { characters: 5, ..Earlier::default() };
    let mut tab = Tab::new(Meter::new(price, 16_000), vec![mouth], 1, earlier);
    tab.hold(RequestId(0), 0, AtMost::Characters(100), Purpose::Hearing);
    tab.settle(RequestId(0), Some(Quantity::Characters(7)), &Spent::default());
    assert_eq!((tab.characters(), tab.cost()), (12, NanoUsd::new(210_000)));
    tab.hold(RequestId(1), 0, AtMost::Characters(100), Purpose::Hearing);
    tab.settle(RequestId(1), Some(Quantity::Samples(1)), &Spent::default());
    assert_eq!((tab.characters(), tab.cost()), (112, NanoUsd::new(3_210_000)));
}

#[test]
fn what_goes_on_is_what_the_ledger_says_item_by_item() {
    let sum = |item: &str, unit: &str, quantity, cost| ItemSum {
        item: item.to_owned(),
        unit: unit.to_owned(),
        quantity,
        cost: NanoUsd::new(cost),
    };
    let sums = [
        sum("acme/ear", "sample", 16_000, 100),
        sum("acme/mind", "input_token", 40, 7),
        sum("acme/mind", "output_token", 2, 3),
        sum("acme/mouth", "character", 9, 5),
        sum("other/ear", "sample", 800, 11),
        sum("unknown/lost", "nano_usd", 13, 13),
    ];
    assert_eq!(heard("acme/ear", &sums), (16_000, NanoUsd::new(100)));
    let expected = Earlier { cost: NanoUsd::new(39), tokens: 42, characters: 9, samples: 800 };
    assert_eq!(Earlier::besides(&["acme/ear"], &sums), expected);
}

/// However holds, settlements, audio and rows are mixed: the rows add up to the cost, and the cost never passes what was reached before.
#[test]
fn nothing_costs_more_than_what_was_asked_for_and_rows_add_up() {
    for seed in 0..500_u64 {
        let (mut tab, mut state, mut rows) = (tab(), seed, NanoUsd::ZERO);
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        let (mut open, mut next) = (Vec::new(), 0);
        for _ in 0..60 {
            let reach = tab.reach();
            match below(4) {
                0 => {
                    let (prompt, output) = (below(5_000), below(500));
                    let worst_case = tab.worst_case(0, &tokens(prompt, output));
                    tab.hold(RequestId(next), 0, tokens(prompt, output), Purpose::Hearing);
                    assert_eq!(tab.reach(), reach + worst_case);
                    open.push((RequestId(next), prompt, output));
                    next += 1;
                }
                1 if !open.is_empty() => {
                    let (request, prompt, output) = open.swap_remove(below(open.len() as u64) as usize);
                    tab.settle(request, Some(used(below(prompt + 1), below(output + 1))), &Spent::default());
                    assert!(tab.reach() <= reach);
                }
                2 => {
                    let samples = below(3_201) as u32;
                    let reach = tab.reach_with(samples);
                    tab.add_samples(samples);
                    assert_eq!(tab.reach(), reach);
                }
                _ => rows += rows_of(&tab.take_rows()),
            }
            assert!(tab.rowed_cost() <= tab.cost());
        }
        rows += rows_of(&tab.take_rows());
        assert_eq!((rows, tab.rowed_cost()), (tab.cost(), tab.cost()), "seed {seed}");
    }
}

/// Whoever listens, and whenever: audio costs no more than was reckoned with when it came, and each sample stands in one row.
#[test]
fn recognisers_that_change_cost_no_more_than_was_reckoned_with() {
    for seed in 0..500_u64 {
        let (mut tab, mut state, mut ledger) = (tab_of_stand_ins(0, &[]), seed, Vec::new());
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        let (mut open, mut next, mut heard, mut unheard) = (Vec::new(), 0, 0, 0);
        for _ in 0..80 {
            let reach = tab.reach();
            match below(7) {
                6 => unheard += u64::from(tab.give_up_unheard(below(3_201) as u32)),
                0 => {
                    let place = [0, 1, 3, 4][below(4) as usize];
                    tab.hold(RequestId(next), place, AtMost::Nothing, Purpose::Hearing);
                    open.push(RequestId(next));
                    next += 1;
                }
                1 if !open.is_empty() => tab.listens(open[below(open.len() as u64) as usize]),
                2 if !open.is_empty() => {
                    tab.settle(open.swap_remove(below(open.len() as u64) as usize), None, &Spent::default());
                }
                3 => ledger.extend(tab.take_rows()),
                _ => {
                    let samples = below(3_201) as u32;
                    let reach = tab.reach_with(samples);
                    tab.add_samples(samples);
                    heard += u64::from(samples);
                    assert_eq!(tab.reach(), reach, "seed {seed}");
                    continue;
                }
            }
            assert!(tab.reach() <= reach && tab.rowed_cost() <= tab.cost(), "seed {seed}");
        }
        unheard += u64::from(tab.give_up_unheard(0));
        ledger.extend(tab.take_rows());
        assert_eq!(rows_of(&ledger), tab.cost(), "seed {seed}");
        let through: u64 = ledger.iter().map(|row| row.quantity).sum();
        assert_eq!((through, tab.samples()), (heard, heard - unheard), "seed {seed}");
        for (item, _) in EARS {
            let of_item = ledger.iter().filter(|row| row.item == item && row.unit == SAMPLE);
            follow(&of_item.collect::<Vec<_>>());
        }
    }
}
