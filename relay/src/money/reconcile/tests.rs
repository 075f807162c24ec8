use super::*;
use crate::money::NanoUsd;
use crate::money::price::TokenKind;

const INPUT: Unit = Unit::Token(TokenKind::Input);
const OUTPUT: Unit = Unit::Token(TokenKind::Output);

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
        comparison.add("2026-11-02", &row("acme/mind", unit, quantity)).expect("few");
    }
    comparison.add("2026-11-02", &row("acme/voice", "character", 5)).expect("few");
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
        comparison.add("2026-11-01", &row("acme/ear", unit, quantity)).expect("few");
    }
    comparison
        .add("2026-11-01", &LedgerRow { request_id: None, ..row("acme/ear", "sample", 1) })
        .expect("few");
    let expected =
        [("", Verdict::OnlyLedger), ("gone", Verdict::OnlyExport), ("request of acme/ear", Verdict::Same)];
    assert_eq!(verdicts(&comparison, 0.0), expected.map(|(group, verdict)| (group.to_owned(), verdict)));
    let (_, found) = comparison.groups().nth(2).expect("there");
    assert!((found.units[&Unit::Second].borne - 0.6).abs() < EXACT);
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
        ("day,model,n,usd,of\n2026-11-01,a,1,1,parsec\n", "line 2: of = \"parsec\""),
        ("day,model,n,usd,of\n2026-11-01,a\n", "line 2: of = \"\""),
    ] {
        let error = Comparison::read(by_word(), csv.as_bytes()).expect_err(csv).to_string();
        assert!(error.contains(complaint), "{csv:?} gave {error:?}");
    }
}
