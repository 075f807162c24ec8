use super::*;
use crate::money::NanoUsd;
use crate::money::price::TokenKind;

const INPUT: Unit = Unit::Token(TokenKind::Input);
const OUTPUT: Unit = Unit::Token(TokenKind::Output);
/// Noon of 2026-11-01 (UTC).
const NOON_MS: i64 = 1_793_534_400_000;
const DAY_MS: i64 = 86_400_000;

fn mapping(quantities: &[(&str, Option<Unit>)]) -> Mapping {
    let quantity = |(name, unit): &(&str, Option<Unit>)| {
        ((*name).to_owned(), unit.map(|unit| Measure { unit, factor: 1.0 }))
    };
    Mapping {
        provider: "acme".into(),
        date: "day".into(),
        model: Some("model".into()),
        models: BTreeMap::from([("mind-2026".to_owned(), "acme/mind".to_owned())]),
        quantities: quantities.iter().map(quantity).collect(),
        unit: None,
        units: BTreeMap::new(),
        request_id: None,
        cost: Some("usd".into()),
    }
}

/// A row at a nano-dollar for each unit.
fn row(item: &str, unit: &str, quantity: u64) -> LedgerRow {
    let is_borne = unit.starts_with(LedgerRow::EXCESS) || unit.starts_with(REPEATED);
    LedgerRow {
        key: "1".into(),
        provider: "acme".into(),
        item: item.into(),
        unit: unit.into(),
        quantity,
        price: NanoUsd::new(1),
        per: 1,
        price_version: "test".into(),
        cost: NanoUsd::new(if is_borne { 0 } else { quantity }),
        estimated: false,
        turn: None,
        request_id: Some(format!("request of {item}")),
    }
}

fn verdicts(comparison: &Comparison, tolerance: f64) -> Vec<(String, Verdict)> {
    let of = |(group, compared): (&Group, &Compared)| {
        (format!("{}{}{}", group.day, group.item, group.request_id), compared.verdict(tolerance))
    };
    comparison.groups().map(of).collect()
}

#[test]
fn days_and_items_are_the_same_with_what_the_operator_bears() {
    let csv = "day,model,in,out,usd,more\n2026-11-02T23:59:59Z,mind-2026,\"1,000\",20,$0.00000109,x\n2026-11-01,mind,500,10,,\n";
    let mapping = mapping(&[("in", Some(INPUT)), ("out", Some(OUTPUT))]);
    let mut comparison = Comparison::read(mapping, csv.as_bytes()).expect("read");
    let (from, to) = comparison.days();
    assert_eq!((from.to_string(), to.to_string()), ("2026-11-01".into(), "2026-11-02".into()));
    for (unit, quantity) in [
        ("input_token", 900),
        ("eager_input_token", 30),
        ("excess_input_token", 50),
        ("excess_eager_input_token", 20),
        ("output_token", 20),
        ("nano_usd", 7_000),
    ] {
        comparison.add("2026-11-02", NOON_MS + DAY_MS, &row("acme/mind", unit, quantity)).expect("few");
    }
    comparison.add("2026-11-02", NOON_MS + DAY_MS, &row("acme/voice", "character", 5)).expect("few");
    let expected = [
        ("2026-11-01acme/mind", Verdict::OnlyExport),
        ("2026-11-02acme/mind", Verdict::Differs),
        ("2026-11-02acme/voice", Verdict::OnlyLedger),
    ];
    assert_eq!(verdicts(&comparison, 0.0), expected.map(|(group, verdict)| (group.to_owned(), verdict)));
    // The money differs by 70 of 1,090 nano-dollars, and the quantities not at all.
    assert_eq!(verdicts(&comparison, 7.0)[1].1, Verdict::Same);
    let (_, mind) = comparison.groups().nth(1).expect("there");
    assert_eq!(mind.units[&INPUT], Amounts { theirs: 1_000.0, ours: 1_000.0, borne: 70.0 });
    assert_eq!((mind.theirs_nano_usd, mind.ours_nano_usd, mind.borne_nano_usd), (Some(1_090), 1_020, 70));
}

#[test]
fn requests_are_found_by_their_ids_and_audio_by_the_second() {
    let csv = "day,model,usd,id,amount,of\n2026-11-01,ear,0,request of acme/ear,0.001,h\n2026-11-01,ear,0,gone,1,second\n";
    let mut mapping = mapping(&[("amount", None)]);
    (mapping.unit, mapping.request_id, mapping.cost) = (Some("of".into()), Some("id".into()), None);
    mapping.units = BTreeMap::from([("h".to_owned(), Measure { unit: Unit::Second, factor: 3_600.0 })]);
    let mut comparison = Comparison::read(mapping, csv.as_bytes()).expect("read");
    for (unit, quantity) in [("sample", 16_000), ("utterance_sample", 32_000), ("repeated_sample", 9_600)] {
        comparison.add("2026-11-01", NOON_MS, &row("acme/ear", unit, quantity)).expect("few");
    }
    comparison
        .add("2026-11-01", NOON_MS, &LedgerRow { request_id: None, ..row("acme/ear", "sample", 1) })
        .expect("few");
    let expected =
        [("", Verdict::NotCompared), ("gone", Verdict::OnlyExport), ("request of acme/ear", Verdict::Same)];
    assert_eq!(verdicts(&comparison, 0.0), expected.map(|(group, verdict)| (group.to_owned(), verdict)));
    let (_, found) = comparison.groups().nth(2).expect("there");
    assert!((found.units[&Unit::Second].borne - 0.6).abs() < EXACT);
}

#[test]
fn a_request_is_found_on_whichever_side_of_midnight_it_was_settled() {
    const MIDNIGHT_MS: i64 = NOON_MS + DAY_MS / 2;
    let csv = "day,model,usd,id,n\n2026-11-01,mind,0,first,1\n2026-11-01T23:59:59Z,mind,0,last,1\n";
    let named = mapping(&[("n", Some(OUTPUT))]);
    let named = Mapping { request_id: Some("id".into()), cost: None, ..named };
    let mut comparison = Comparison::read(named.clone(), csv.as_bytes()).expect("read");
    let (from, to) = comparison.ledger_days();
    assert_eq!((from.to_string(), to.to_string()), ("2026-10-31".into(), "2026-11-02".into()));
    let mut add = |day: &str, at_ms: i64, id: &str| {
        let request_id = Some(id).filter(|id| !id.is_empty()).map(str::to_owned);
        let row = LedgerRow { request_id, ..row("acme/mind", "output_token", 1) };
        comparison.add(day, at_ms, &row).expect("few");
    };
    add("2026-10-31", MIDNIGHT_MS - DAY_MS - 1, "first");
    add("2026-11-02", MIDNIGHT_MS + 5_000, "last");
    // Of other days, each of which has an export of its own.
    add("2026-10-31", MIDNIGHT_MS - DAY_MS - 1, "of the day before");
    add("2026-11-02", MIDNIGHT_MS, "of the day after");
    add("2026-11-02", MIDNIGHT_MS, "");
    // These may have begun the day before, or be the next day's for the provider, and this one cannot.
    add("2026-11-01", MIDNIGHT_MS - DAY_MS, "early");
    add("2026-11-01", MIDNIGHT_MS - 1, "late");
    add("2026-11-01", MIDNIGHT_MS - DAY_MS + REQUEST_MAX_MS, "lost");
    let expected = [
        ("early", Verdict::NotCompared),
        ("first", Verdict::Same),
        ("last", Verdict::Same),
        ("late", Verdict::NotCompared),
        ("lost", Verdict::OnlyLedger),
    ];
    assert_eq!(verdicts(&comparison, 0.0), expected.map(|(group, verdict)| (group.to_owned(), verdict)));
    let by_day = Comparison::read(Mapping { request_id: None, ..named }, csv.as_bytes()).expect("read");
    assert_eq!(by_day.ledger_days(), by_day.days());
}

#[test]
fn what_erased_users_had_used_counts_with_its_day_and_with_requests_as_rows_without_an_id() {
    let table = "version = \"test\"\nitem = [{ name = \"acme/ear\", unit = \"second\", usd = \"0.0000006\", per = 60 }]";
    let prices = PriceTable::parse(table).expect("a table");
    let used = |unit: &str, quantity: u64, cost: u64| ErasedUse {
        day: "2026-11-01".into(),
        item: "acme/ear".into(),
        unit: unit.into(),
        quantity,
        cost: NanoUsd::new(cost),
    };
    let csv = "day,model,id,usd,n\n2026-11-01,ear,r-1,0.00000004,4\n";
    let compare = |mapping: Mapping| {
        let mut comparison = Comparison::read(mapping, csv.as_bytes()).expect("read");
        comparison.add("2026-11-01", NOON_MS, &row("acme/ear", "utterance_sample", 2_000)).expect("few");
        // Two seconds at a nano-dollar for a tenth of one, one that the operator bears, and what no provider is paid by.
        for used in [used("sample", 32_000, 20), used("excess_sample", 16_000, 0), used("nano_usd", 7, 7)] {
            comparison.add_erased(&used, &prices).expect("few");
        }
        comparison
    };
    let mapping = mapping(&[("n", Some(Unit::Second))]);
    let by_day = compare(mapping.clone());
    let (_, ear) = by_day.groups().next().expect("there");
    assert_eq!(ear.units[&Unit::Second], Amounts { theirs: 4.0, ours: 3.125, borne: 1.0 });
    assert_eq!((ear.ours_nano_usd, ear.borne_nano_usd), (2_000 + 20 + 10, 10));
    let by_request = compare(Mapping { request_id: Some("id".into()), ..mapping });
    let expected = [
        ("", Verdict::NotCompared),
        ("r-1", Verdict::OnlyExport),
        ("request of acme/ear", Verdict::OnlyLedger),
    ];
    assert_eq!(verdicts(&by_request, 0.0), expected.map(|(group, verdict)| (group.to_owned(), verdict)));
    let (_, unnamed) = by_request.groups().next().expect("there");
    assert!((unnamed.units[&Unit::Second].ours - 3.0).abs() < EXACT);
}

#[test]
fn what_cannot_be_read_is_named_with_its_line_and_its_column() {
    let by_word = || Mapping { unit: Some("of".into()), ..mapping(&[("n", None)]) };
    for (csv, complaint) in [
        ("day,model,n,usd,of\n", "it has no lines"),
        ("day,model,n,of\n", "there is no column \"usd\": there are \"day\", \"model\", \"n\", \"of\""),
        ("day,model,n,usd,of\n1.11.2026,a,1,1,second\n", "line 2: day = \"1.11.2026\""),
        (
            "day,model,n,usd,of\n2026-11-01,a,1,1,second\n2026-11-01,a,many,1,second\n",
            "line 3: n = \"many\": give a number",
        ),
        (
            "day,model,n,usd,of\n2026-11-01,a,\"1,1\",1,second\n",
            "line 2: n = \"1,1\": give a number with a decimal point",
        ),
        (
            "day,model,n,usd,of\n2026-11-01,a,1,\"$0,3168\",second\n",
            "line 2: usd = \"$0,3168\": give a number with a decimal point",
        ),
        ("day,model,n,usd,of\n2026-11-01,a,1,1,parsec\n", "line 2: of = \"parsec\""),
        ("day,model,n,usd,of\n2026-11-01,a\n", "line 2: of = \"\""),
    ] {
        let error = Comparison::read(by_word(), csv.as_bytes()).expect_err(csv).to_string();
        assert!(error.contains(complaint), "{csv:?} gave {error:?}");
    }
}

#[test]
fn a_comma_stands_between_thousands_or_the_number_is_refused() {
    for (number, read) in [
        ("1.5", "1.5"),
        ("-1,234", "-1234"),
        ("12,345,678.25", "12345678.25"),
        ("999,000", "999000"),
        ("1,000.", "1000."),
    ] {
        assert_eq!(without_thousands(number).as_deref(), Some(read));
    }
    for number in
        ["1,1", "0,3168", "0,316", "1,2345", "1234,567", "1,23,456", ",500", "1,", "1.234,56", "1,x23"]
    {
        assert_eq!(without_thousands(number), None, "{number}");
    }
}
