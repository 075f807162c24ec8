use super::*;

/// Noon on 2026-11-22, in UTC.
const NOON: i64 = 1_795_348_800_000;
/// Midnight before 2026-10-07, in UTC.
const OCTOBER_7: i64 = 1_791_331_200_000;
const HAIKU: &str = "anthropic/claude-haiku-5-5";
const TEXT: [TokenKind; 4] = [TokenKind::Input, TokenKind::Cached, TokenKind::Written, TokenKind::Output];

fn shipped(item: &str, kinds: &[TokenKind]) -> ModelPrices {
    ModelPrices::new(&PriceTable::shipped(), item, kinds, NOON).expect("priced")
}

fn parse(items: &[String]) -> PriceTable {
    PriceTable::parse(&format!("version = \"1\"\nitem = [{}]", items.join(","))).expect("a table")
}

fn own(items: &[&str]) -> PriceTable {
    parse(&items.iter().map(|item| format!("{{ name = \"acme/mind\", {item} }}")).collect::<Vec<_>>())
}

fn total(rows: &[LedgerRow]) -> NanoUsd {
    rows.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost)
}

/// Knuth's MMIX generator: the same numbers in every run.
struct Lcg(u64);

impl Lcg {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * u128::from(end)) >> 64) as u64
    }

    fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u64) as usize]
    }

    /// At most `most` tokens of each side, spread over the kinds.
    fn usage(&mut self, kinds: &[TokenKind], most_prompt: u64, most_output: u64) -> TokenUsage {
        let mut usage = TokenUsage::default();
        for (output, most) in [(false, most_prompt), (true, most_output)] {
            let kinds: Vec<TokenKind> =
                kinds.iter().copied().filter(|kind| kind.is_output() == output).collect();
            let mut left = if self.below(3) == 0 { most } else { self.below(most.saturating_add(1)) };
            for turn in 0..2 * kinds.len() {
                let last = turn + 1 == 2 * kinds.len();
                let some = if last { left } else { self.below(left.saturating_add(1)) };
                *field(&mut usage, self.one_of(&kinds)) += some;
                left -= some;
            }
        }
        usage
    }
}

fn field(usage: &mut TokenUsage, kind: TokenKind) -> &mut u64 {
    match kind {
        TokenKind::Input => &mut usage.input,
        TokenKind::Cached => &mut usage.cached,
        TokenKind::Written => &mut usage.written,
        TokenKind::Written1h => &mut usage.written_1h,
        TokenKind::Output => &mut usage.output,
        TokenKind::AudioInput => &mut usage.audio_input,
        TokenKind::AudioCached => &mut usage.audio_cached,
        TokenKind::AudioOutput => &mut usage.audio_output,
    }
}

#[test]
fn a_model_whose_kinds_are_not_all_priced_is_refused_before_the_call() {
    let table = PriceTable::shipped();
    let new = |item, kinds: &[TokenKind], at| ModelPrices::new(&table, item, kinds, at).map(|_| ());
    assert!(new(HAIKU, &TEXT, NOON).is_ok());
    for (item, kinds, says) in [
        (
            HAIKU,
            &[TokenKind::Input, TokenKind::AudioCached][..],
            "no price of anthropic/claude-haiku-5-5 for an `audio_cached_token`",
        ),
        (
            "openai/gpt-realtime-2.1",
            &[TokenKind::Written],
            "no price of openai/gpt-realtime-2.1 for a `written_token`",
        ),
        ("acme/mind", &[TokenKind::Output], "no price of acme/mind for an `output_token`"),
        ("openai/tts-1", &[TokenKind::Input], "no price of openai/tts-1 for an `input_token`"),
        (
            HAIKU,
            &[],
            "anthropic/claude-haiku-5-5: no kind of token was named; name those that the call will use",
        ),
    ] {
        let error = new(item, kinds, NOON).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    let dated = own(&["unit = \"input_token\", usd = \"1\", per = 1, from = 2026-10-07"]);
    assert!(ModelPrices::new(&dated, "acme/mind", &[TokenKind::Input], OCTOBER_7).is_ok());
    assert!(ModelPrices::new(&dated, "acme/mind", &[TokenKind::Input], OCTOBER_7 - 1).is_err());
    assert!(CharacterPrice::new(&table, HAIKU, NOON).is_err());
}

#[test]
fn a_usage_becomes_one_row_for_each_kind_that_was_used() {
    let usage = TokenUsage { input: 25, cached: 900, output: 42, ..TokenUsage::default() };
    let rows = shipped(HAIKU, &TEXT).rows("turn-3/reply", &usage, false);
    let row = |kind: &str, quantity, price, cost| LedgerRow {
        key: format!("turn-3/reply/{kind}"),
        provider: "anthropic".to_owned(),
        item: HAIKU.to_owned(),
        unit: kind.to_owned(),
        quantity,
        price: NanoUsd::new(price),
        per: 1_000_000,
        price_version: "2026-11-26".to_owned(),
        cost: NanoUsd::new(cost),
        estimated: false,
        turn: None,
        request_id: None,
    };
    assert_eq!(
        rows,
        [
            row("input_token", 25, 100_000_000, 2_500),
            row("cached_token", 900, 10_000_000, 9_000),
            row("output_token", 42, 500_000_000, 21_000),
        ]
    );
    let prices = shipped(HAIKU, &TEXT);
    assert!(prices.rows("k", &usage, true).iter().all(|row| row.estimated));
    assert_eq!(prices.rows("k", &TokenUsage::default(), false), []);
}

#[test]
fn the_whole_prompt_sets_the_price_of_every_row() {
    let prices = shipped(HAIKU, &TEXT);
    let usage = TokenUsage { input: 1, cached: 90_000, written: 9_999, output: 1, ..TokenUsage::default() };
    assert_eq!(usage.prompt_tokens(), 100_000);
    assert_eq!(total(&prices.rows("k", &usage, false)).get(), 100 + 900_000 + 1_249_875 + 500);
    let usage = TokenUsage { input: 2, ..usage };
    assert_eq!(total(&prices.rows("k", &usage, false)).get(), 1_000 + 4_500_000 + 6_249_375 + 2_500);
}

#[test]
fn the_worst_case_is_the_dearest_kind_at_the_dearest_prompt_size() {
    let cached = shipped(HAIKU, &TEXT);
    let plain = shipped(HAIKU, &[TokenKind::Input, TokenKind::Output]);
    for (prices, prompt, output, nano) in [
        (&cached, 0, 0, 0),
        (&cached, 100_000, 1_000, 100_000 * 125 + 1_000 * 500),
        (&plain, 100_000, 1_000, 100_000 * 100 + 1_000 * 500),
        (&cached, 100_001, 1_000, 100_001 * 625 + 1_000 * 2_500),
        (&plain, 100_001, 1_000, 100_001 * 500 + 1_000 * 2_500),
        (&cached, u64::MAX, 0, NanoUsd::MAX.get()),
        (&cached, 0, u64::MAX, NanoUsd::MAX.get()),
    ] {
        assert_eq!(prices.worst_case(prompt, output).get(), nano, "{prompt} {output}");
    }
    let realtime = shipped(
        "openai/gpt-realtime-2.1",
        &[TokenKind::AudioInput, TokenKind::Input, TokenKind::AudioOutput],
    );
    assert_eq!(realtime.worst_case(1_000, 10).get(), 1_000 * 32_000 + 10 * 64_000);
}

#[test]
fn what_a_model_is_asked_costs_at_most_the_dearest_kind_by_which_the_request_can_be_billed() {
    let table = PriceTable::shipped();
    let worst_case = |item: &str| {
        let price = ItemPrice::model(&table, item, NOON).expect("priced");
        price.worst_case(&AtMost::Tokens { prompt: 1_000, output: 10 }).get()
    };
    // Written to the cache for as long as is usual, which is dearer than read anew; nobody asks for an hour, which is dearer still.
    assert_eq!(worst_case(HAIKU), 1_000 * 125 + 10 * 500);
    for item in [HAIKU, "anthropic/claude-sonnet-5-5", "anthropic/claude-opus-5-5"] {
        let of = |kind| table.price_at(item, Unit::Token(kind), NOON, 0).expect("priced").cost(1_000).get();
        let kinds = [TokenKind::Input, TokenKind::Cached, TokenKind::Written];
        let (dearest, hour) = (kinds.map(of).into_iter().max(), of(TokenKind::Written1h));
        let output = worst_case(item) - dearest.unwrap_or_default();
        assert_eq!(output, of(TokenKind::Output) / 100, "{item}");
        assert!(dearest < Some(hour), "{item}");
    }
    // What is reported all the same costs what it costs.
    let usage = Quantity::Tokens(TokenUsage { written_1h: 1_000, ..TokenUsage::default() });
    let price = ItemPrice::model(&table, HAIKU, NOON).expect("priced");
    assert_eq!(total(&price.rows("k", &usage, false)).get(), 1_000 * 200);
}

#[test]
fn a_large_prompt_that_is_cheaper_does_not_hide_a_dearer_small_one() {
    let table = own(&[
        "unit = \"input_token\", usd = \"0.000000010\", per = 1",
        "unit = \"input_token\", usd = \"0.000000001\", per = 1, prompt_over = 100",
    ]);
    let prices = ModelPrices::new(&table, "acme/mind", &[TokenKind::Input], NOON).expect("priced");
    assert_eq!(prices.worst_case(200, 0).get(), 1_000, "a prompt of 100 tokens is the dearest");
    assert_eq!(prices.worst_case(2_000, 0).get(), 2_000);
}

#[test]
fn rows_keep_the_prices_of_the_request_when_another_price_begins_meanwhile() {
    let sonnet = "anthropic/claude-sonnet-5-5";
    let usage = TokenUsage { cached: 1_000, ..TokenUsage::default() };
    let cost = |at| {
        let prices = ModelPrices::new(&PriceTable::shipped(), sonnet, &TEXT, at).expect("priced");
        total(&prices.rows("k", &usage, false)).get()
    };
    assert_eq!((cost(OCTOBER_7 - 1), cost(OCTOBER_7)), (200_000, 100_000));
}

#[test]
fn a_kind_that_nobody_named_is_billed_at_its_own_price_or_the_dearest_of_its_side() {
    let usage =
        TokenUsage { cached: 10, written: 10, audio_input: 10, audio_output: 10, ..TokenUsage::default() };
    let rows = shipped(HAIKU, &[TokenKind::Input, TokenKind::Output]).rows("k", &usage, false);
    let billed: Vec<(&str, u64)> = rows.iter().map(|row| (row.unit.as_str(), row.cost.get())).collect();
    assert_eq!(
        billed,
        [
            ("cached_token", 100),
            ("written_token", 1_250),
            ("audio_input_token", 1_000),
            ("audio_output_token", 5_000)
        ]
    );

    let one_sided = own(&["unit = \"input_token\", usd = \"0.000000003\", per = 1"]);
    let one_sided = ModelPrices::new(&one_sided, "acme/mind", &[TokenKind::Input], NOON).expect("priced");
    let usage = TokenUsage { output: 10, ..TokenUsage::default() };
    assert_eq!(total(&one_sided.rows("k", &usage, false)).get(), 30);
    assert_eq!(one_sided.worst_case(0, 10).get(), 30);
}

#[test]
fn the_rows_of_a_shipped_model_never_exceed_its_worst_case() {
    const VOICE: [TokenKind; 6] = [
        TokenKind::Input,
        TokenKind::Cached,
        TokenKind::Output,
        TokenKind::AudioInput,
        TokenKind::AudioCached,
        TokenKind::AudioOutput,
    ];
    let models: [(&str, &[TokenKind]); 7] = [
        (HAIKU, &TEXT),
        ("anthropic/claude-sonnet-5-5", &TEXT),
        ("anthropic/claude-opus-5-5", &TEXT),
        ("anthropic/claude-haiku-4-5", &TEXT),
        ("openai/gpt-realtime-2.1", &VOICE),
        ("openai/gpt-realtime-2.1-mini", &VOICE),
        ("openai/gpt-4o-mini-tts", &[TokenKind::Input, TokenKind::AudioOutput]),
    ];
    let mut random = Lcg(22);
    for (item, kinds) in models {
        let prices = shipped(item, kinds);
        for _ in 0..5_000 {
            let prompt = random.one_of(&[0, 1, 99_999, 100_000, 100_001, 200_000, 1_000_000]);
            let output = random.one_of(&[0, 1, 1_024, 64_000]);
            let usage = random.usage(kinds, prompt, output);
            let (rows, worst) = (prices.rows("k", &usage, false), prices.worst_case(prompt, output));
            assert!(total(&rows) <= worst, "{item}: {usage:?} costs more than {worst}");
        }
    }
}

#[test]
fn the_rows_of_any_table_never_exceed_the_worst_case() {
    let mut random = Lcg(7);
    let (mut exact, mut requests) = (0, 0);
    for number in 0..1_500 {
        let mut items = Vec::new();
        let mut priced = Vec::new();
        for kind in TokenKind::ALL {
            if random.below(3) == 0 {
                continue;
            }
            priced.push(kind);
            for tier in [None, Some(10), Some(25), Some(1_000_000_000_000_u64)] {
                if tier.is_some() && random.below(2) == 0 {
                    continue;
                }
                let over = tier.map_or(String::new(), |tokens| format!("prompt_over = {tokens}, "));
                let (usd, per) = (random.below(30), 1 + random.below(13));
                let huge = if random.below(40) == 0 { "900000000" } else { "0" };
                let unit = kind.name();
                items.push(format!(
                    "{{ name = \"acme/mind\", unit = \"{unit}\", {over}usd = \"{huge}.{usd:09}\", per = {per} }}"
                ));
            }
        }
        let mut named = priced.clone();
        named.retain(|_| random.below(3) > 0);
        if named.is_empty() {
            continue;
        }
        let prices = ModelPrices::new(&parse(&items), "acme/mind", &named, NOON).expect("priced");
        let usable: Vec<TokenKind> = TokenKind::ALL
            .into_iter()
            .filter(|kind| named.contains(kind) || !priced.contains(kind))
            .collect();
        for _ in 0..40 {
            let most = [0, 1, 2, 3, 9, 10, 11, 25, 26, 60, 1_000_000_000_001, u64::MAX];
            let (prompt, output) = (random.one_of(&most), random.one_of(&most));
            let usage = random.usage(&usable, prompt, output);
            let (rows, worst) = (prices.rows("k", &usage, false), prices.worst_case(prompt, output));
            let cost = total(&rows);
            assert!(cost <= worst, "table {number}: {usage:?} costs {cost}, more than {worst}");
            assert!(rows.iter().all(|row| row.quantity <= MAX_QUANTITY));
            exact += u32::from(cost == worst && cost > NanoUsd::ZERO);
            requests += 1;
        }
    }
    assert!(requests > 40_000, "{requests}");
    assert!(exact > 1_000, "the bound is reached, so it is no larger than it must be: {exact} of {requests}");
}

#[test]
fn absurd_reports_become_rows_that_a_database_can_keep() {
    let most = u64::MAX;
    let usage = TokenUsage {
        input: most,
        cached: most,
        written: most,
        written_1h: most,
        output: most,
        audio_input: most,
        audio_cached: most,
        audio_output: most,
    };
    let rows = shipped(HAIKU, &TEXT).rows("k", &usage, false);
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row.quantity == MAX_QUANTITY && row.cost > NanoUsd::ZERO));
    assert!(i64::try_from(MAX_QUANTITY * 1_000_000).is_ok(), "a million of them add up");
}

#[test]
fn characters_cost_what_was_reserved_for_them() {
    let table = PriceTable::shipped();
    let voice = CharacterPrice::new(&table, "elevenlabs/eleven_flash_v2_5", NOON).expect("priced");
    let rows = voice.rows("turn-3/voice", 123, true);
    assert_eq!(
        rows,
        [LedgerRow {
            key: "turn-3/voice/character".to_owned(),
            provider: "elevenlabs".to_owned(),
            item: "elevenlabs/eleven_flash_v2_5".to_owned(),
            unit: "character".to_owned(),
            quantity: 123,
            price: NanoUsd::new(50_000_000_000),
            per: 1_000_000,
            price_version: "2026-11-26".to_owned(),
            cost: NanoUsd::new(6_150_000),
            estimated: true,
            turn: None,
            request_id: None,
        }]
    );
    assert_eq!(voice.worst_case(123), NanoUsd::new(6_150_000));
    assert_eq!(voice.rows("k", 0, false), []);
    assert_eq!(voice.worst_case(u64::MAX), NanoUsd::MAX);

    let odd = own(&["unit = \"character\", usd = \"0.000000007\", per = 3"]);
    let odd = CharacterPrice::new(&odd, "acme/mind", NOON).expect("priced");
    for (characters, nano) in [(1, 3), (2, 5), (3, 7)] {
        let cost = total(&odd.rows("k", characters, false));
        assert_eq!((cost, odd.worst_case(characters)), (NanoUsd::new(nano), NanoUsd::new(nano)));
    }
}

#[test]
fn utterances_are_billed_by_the_second_or_by_the_token_where_there_are_no_seconds() {
    let second = "unit = \"second\", usd = \"1\", per = 60";
    let tokens = ["audio_input_token", "input_token", "output_token"]
        .map(|unit| format!("unit = \"{unit}\", usd = \"1\", per = 1"));
    let [audio, text, output] = &tokens;
    let price = |items: &[&str]| ItemPrice::utterances(&own(items), "acme/mind", NOON);
    let billing = |items: &[&str]| price(items).expect("priced").billing();
    assert_eq!(billing(&[second]), Billing::Seconds);
    assert_eq!(billing(&[second, audio, text, output]), Billing::Seconds);
    assert_eq!(billing(&[audio, text, output]), Billing::Tokens);
    let missing = price(&[audio, text]).expect_err("an answer has no price").to_string();
    assert!(missing.contains("second"), "{missing}");
}
