use super::*;
use crate::money::NanoUsd;
use crate::money::bill::{AtMost, Quantity};
use crate::money::meter::Meter;
use crate::money::price::PriceTable;
use crate::money::tab::{Earlier, Purpose, Spent};

/// A tab of a recogniser of 6.25 nano-dollars a sample and of another one at twice that.
fn tab() -> Tab {
    let toml = r#"
        version = "1"
        item = [
            { name = "acme/ear", unit = "second", usd = "0.006", per = 60 },
            { name = "acme/other", unit = "second", usd = "0.012", per = 60 },
        ]"#;
    let table = PriceTable::parse(toml).expect("a table");
    let stream = |item| ItemPrice::stream(&table, item, 0).expect("priced");
    let ear = Meter::new(table.price("acme/ear").expect("priced").clone(), 16_000);
    Tab::new(ear, vec![stream("acme/ear"), stream("acme/other")], 3, Earlier::default())
}

/// A recogniser is there, hears so many samples, and is let go of.
fn listen(tab: &mut Tab, request: u32, place: usize, samples: u32) {
    let request = RequestId(request);
    tab.hold(request, place, AtMost::Nothing, Purpose::Hearing);
    tab.listens(request);
    tab.add_samples(samples);
    tab.settle(request, None, &Spent::default());
}

fn billed(request: u32, given: u64, samples: u64) -> Billed {
    Billed { request: RequestId(request), given, samples, request_id: None }
}

fn back(key: &str, samples: u64, amount: u64) -> LateCredit {
    LateCredit { key: key.into(), samples, amount: NanoUsd::new(amount) }
}

#[test]
fn what_is_billed_beyond_what_was_given_is_the_operators() {
    let mut tab = tab();
    listen(&mut tab, 0, 0, 160_000);
    tab.take_rows();
    assert!(!tab.is_unrowed());
    tab.correct(&Billed { request_id: Some("r".into()), ..billed(0, 160_000, 200_000) });
    assert!(tab.is_unrowed());
    let rows = tab.take_rows();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&*row.key, &*row.unit), ("acme/ear@3.0.late/excess_sample", "excess_sample"));
    assert_eq!((row.quantity, row.cost, row.excess()), (40_000, NanoUsd::ZERO, NanoUsd::new(250_000)));
    assert_eq!((row.turn, row.request_id.as_deref(), row.estimated), (None, Some("r"), false));
    assert_eq!((tab.cost(), tab.samples()), (NanoUsd::new(1_000_000), 160_000), "nobody is charged");
    assert_eq!(tab.take_credits(), []);
}

#[test]
fn what_was_charged_beyond_what_is_billed_is_given_back_and_rounded_down() {
    let mut tab = tab();
    listen(&mut tab, 0, 0, 160_000);
    listen(&mut tab, 1, 1, 160_000);
    tab.take_rows();
    tab.correct(&billed(0, 160_000, 100_001));
    tab.correct(&billed(1, 160_000, 1));
    assert!(tab.is_unrowed());
    let given = [back("acme/ear@3.0.late", 59_999, 374_993), back("acme/other@3.1.late", 159_999, 1_999_987)];
    assert_eq!(tab.take_credits(), given);
    assert!(!tab.is_unrowed() && tab.take_rows().is_empty());
    assert_eq!(tab.cost(), NanoUsd::new(3_000_000), "what is given back stands beside what was charged");
    let why = "acme/ear has said afterwards that it bills 59999 samples less than were charged";
    assert_eq!(given[0].reason(), why);
}

#[test]
fn a_second_no_figure_and_what_was_said_before_change_nothing() {
    for (request, samples) in [(0, 160_000), (0, 176_000), (0, 144_000), (0, 0), (7, 1), (7, 900_000)] {
        let mut tab = tab();
        listen(&mut tab, 0, 0, 160_000);
        tab.take_rows();
        tab.correct(&billed(request, 160_000, samples));
        assert!(!tab.is_unrowed(), "{samples} of request {request}");
        if request == 0 {
            tab.correct(&billed(0, 160_000, 1));
            assert!(!tab.is_unrowed(), "{samples} were said before");
        }
    }
}

#[test]
fn what_the_user_did_not_pay_for_is_saved_by_the_operator_first() {
    let mut tab = tab();
    // Half of what it was given was metered by a relay before.
    let request = RequestId(0);
    tab.hold(request, 0, AtMost::Nothing, Purpose::Hearing);
    tab.listens(request);
    tab.add_repeated(80_000);
    tab.add_samples(80_000);
    tab.settle(request, Some(Quantity::Repeated(0)), &Spent::default());
    tab.correct(&billed(0, 160_000, 120_000));
    assert_eq!(tab.take_credits(), []);
    listen(&mut tab, 1, 0, 80_000);
    tab.correct(&billed(1, 160_000, 60_000));
    assert_eq!(tab.take_credits(), [back("acme/ear@3.1.late", 20_000, 125_000)]);
}

#[test]
fn what_came_while_nobody_listened_is_the_next_ones_unless_it_stands_in_a_row() {
    let mut tab = tab();
    tab.add_samples(16_000);
    tab.take_rows();
    tab.add_samples(16_000);
    listen(&mut tab, 0, 0, 16_000);
    tab.correct(&billed(0, 32_000, 1_000));
    assert_eq!(tab.take_credits(), [back("acme/ear@3.0.late", 31_000, 193_750)]);
}

#[test]
fn of_recognisers_that_stand_in_for_each_other_each_is_held_to_what_it_heard() {
    let mut tab = tab();
    for request in [0, 1] {
        tab.hold(RequestId(request), request as usize, AtMost::Nothing, Purpose::Hearing);
    }
    tab.listens(RequestId(0));
    tab.add_samples(48_000);
    tab.listens(RequestId(1));
    tab.add_samples(32_000);
    for request in [0, 1] {
        tab.settle(RequestId(request), None, &Spent::default());
        tab.correct(&billed(request, 80_000, 1));
    }
    let given = [back("acme/ear@3.0.late", 47_999, 299_993), back("acme/other@3.1.late", 31_999, 399_987)];
    assert_eq!(tab.take_credits(), given);
}

#[test]
fn as_many_are_remembered_as_may_be_late() {
    let mut tab = tab();
    for request in 0..=CLOSED_MAX as u32 {
        listen(&mut tab, request, 0, 32_000);
    }
    tab.correct(&billed(0, 32_000, 1));
    assert_eq!(tab.take_credits(), [], "the oldest is forgotten");
    tab.correct(&billed(1, 32_000, 1));
    assert_eq!(tab.take_credits().len(), 1);
}
