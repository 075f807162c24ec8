use super::*;

/// Noon on 2026-11-22, in UTC.
const NOON: i64 = 1_795_348_800_000;
/// Midnight before 2026-10-07, in UTC.
const OCTOBER_7: i64 = 1_791_331_200_000;
const MILLION: u64 = 1_000_000;

/// A table with these fields in its only items, each called `acme/ears` unless it says otherwise.
fn table(items: &[&str]) -> Result<PriceTable, PriceError> {
    let mut toml = "version = \"1\"\n".to_owned();
    for item in items {
        let name = if item.contains("name = ") { "" } else { "name = \"acme/ears\"\n" };
        toml += &format!("[[item]]\n{name}{}\n", item.replace("; ", "\n"));
    }
    PriceTable::parse(&toml)
}

fn amount(table: &PriceTable, unit: Unit, at_ms: i64, prompt: u64) -> u64 {
    table.price_at("acme/ears", unit, at_ms, prompt).expect("priced").amount.get()
}

#[test]
fn the_shipped_table_is_the_published_prices_and_nothing_else() {
    const UP_TO: u64 = 100_000;
    const OVER: u64 = 100_001;
    let after = OCTOBER_7;
    let before = OCTOBER_7 - 1;
    // Item, unit, time, tokens of the prompt, nano-dollars, for so many units.
    let mut expected = vec![
        ("echo/listening", "second", after, 0, 4_800_000, 60),
        ("relay/audio", "second", after, 0, 0, 60),
        ("deepgram/nova-3", "second", after, 0, 4_800_000, 60),
        ("deepgram/nova-3-multilingual", "second", after, 0, 5_800_000, 60),
        ("deepgram/flux-general-en", "second", after, 0, 6_500_000, 60),
        ("deepgram/flux-multilingual", "second", after, 0, 7_800_000, 60),
        ("deepgram/flux-general-multi", "second", after, 0, 7_800_000, 60),
        ("deepgram/aura-2", "character", after, 0, 30_000_000_000, MILLION),
        ("deepgram/aura-1", "character", after, 0, 15_000_000_000, MILLION),
        ("openai/tts-1", "character", after, 0, 15_000_000_000, MILLION),
        ("openai/tts-1-hd", "character", after, 0, 30_000_000_000, MILLION),
        ("openai/gpt-4o-mini-tts", "input_token", after, 0, 600_000_000, MILLION),
        ("openai/gpt-4o-mini-tts", "audio_output_token", after, 0, 12_000_000_000, MILLION),
        ("elevenlabs/eleven_flash_v2_5", "character", after, 0, 50_000_000_000, MILLION),
        ("elevenlabs/eleven_multilingual_v2", "character", after, 0, 100_000_000_000, MILLION),
    ];
    // Thousandths of a dollar for a million tokens: new, cached, written, written for an hour, made.
    for (item, at, prompt, milli_usd) in [
        ("anthropic/claude-haiku-5-5", after, UP_TO, [100, 10, 125, 200, 500]),
        ("anthropic/claude-haiku-5-5", after, OVER, [500, 50, 625, 1_000, 2_500]),
        ("anthropic/claude-sonnet-5-5", before, OVER, [2_000, 200, 2_500, 4_000, 10_000]),
        ("anthropic/claude-sonnet-5-5", after, OVER, [2_000, 100, 2_500, 4_000, 10_000]),
        ("anthropic/claude-opus-5-5", after, OVER, [4_000, 200, 5_000, 8_000, 20_000]),
        ("anthropic/claude-haiku-4-5", after, OVER, [1_000, 100, 1_250, 2_000, 5_000]),
    ] {
        let units = ["input_token", "cached_token", "written_token", "written_1h_token", "output_token"];
        for (unit, milli_usd) in units.into_iter().zip(milli_usd) {
            expected.push((item, unit, at, prompt, milli_usd * MILLION, MILLION));
        }
    }
    for (item, text, audio) in [
        ("openai/gpt-realtime-2.1", [4_000, 400, 24_000], [32_000, 400, 64_000]),
        ("openai/gpt-realtime-2.1-mini", [600, 60, 2_400], [10_000, 300, 20_000]),
    ] {
        let text = ["input_token", "cached_token", "output_token"].into_iter().zip(text);
        let audio = ["audio_input_token", "audio_cached_token", "audio_output_token"].into_iter().zip(audio);
        for (unit, milli_usd) in text.chain(audio) {
            expected.push((item, unit, after, OVER, milli_usd * MILLION, MILLION));
        }
    }

    let shipped = PriceTable::shipped();
    for &(item, unit, at, prompt, nano_usd, per) in &expected {
        let unit = Unit::parse(unit).expect("a unit");
        let price = shipped.price_at(item, unit, at, prompt).expect(item);
        assert_eq!((price.amount.get(), price.per), (nano_usd, per), "{item} {unit} {at} {prompt}");
    }
    for entry in &shipped.entries {
        let (item, unit) = (&*entry.price.item, entry.price.unit.name());
        assert!(expected.iter().any(|row| (row.0, row.1) == (item, unit)), "{item} {unit} is not published");
    }
    // Four prices of sonnet are the same on both days and stand in the list above twice.
    assert_eq!(shipped.entries.len(), expected.len() - 4);
    assert_eq!(shipped.version(), "2026-11-26");
}

#[test]
fn the_price_of_a_second_needs_no_time_while_it_depends_on_none() {
    let table = PriceTable::shipped();
    let price = table.price("echo/listening").expect("priced");
    assert_eq!((price.amount.get(), price.per, price.unit), (4_800_000, 60, Unit::Second));
    assert_eq!(table.second_price_at("echo/listening", NOON).expect("priced"), price);
    assert_eq!(table.version(), &*price.version);
}

#[test]
fn the_price_of_a_second_that_depends_on_the_date_is_not_told_without_a_time() {
    let dated = "unit = \"second\"; usd = \"2\"; per = 1; from = 2026-10-07";
    for items in [&[dated][..], &[dated, "unit = \"second\"; usd = \"1\"; per = 1"]] {
        let table = table(items).expect("a table");
        let error = table.price("acme/ears").expect_err("depends on the date").to_string();
        assert_eq!(error, "the price of acme/ears for a `second` depends on the date: ask with a time");
        assert_eq!(
            table.second_price_at("acme/ears", OCTOBER_7).expect("priced").amount.get(),
            2_000_000_000
        );
    }
}

#[test]
fn what_has_no_price_is_an_error_that_names_it_and_is_never_free() {
    let table = PriceTable::shipped();
    let error = table.price("acme/ears").expect_err("not in the table");
    assert_eq!(error.to_string(), "there is no price of acme/ears for a `second`; add it to the price table");
    let kind = Unit::Token(TokenKind::AudioCached);
    let error = table.price_at("openai/gpt-4o-mini-tts", kind, NOON, 0).expect_err("not in the table");
    assert_eq!(
        error.to_string(),
        "there is no price of openai/gpt-4o-mini-tts for an `audio_cached_token`; add it to the price table"
    );
    assert!(table.price("openai/tts-1").is_err(), "priced by the character, not by the second");
}

#[test]
fn a_price_begins_at_midnight_utc_and_not_a_millisecond_before() {
    let items = ["from = 2026-10-07; unit = \"second\"; usd = \"2\"; per = 1"];
    let table = table(&items).expect("a table");
    assert_eq!(amount(&table, Unit::Second, OCTOBER_7, 0), 2_000_000_000);
    for at in [OCTOBER_7 - 1, 0, -1, i64::MIN] {
        let error = table.second_price_at("acme/ears", at).expect_err("not yet").to_string();
        assert_eq!(
            error,
            "there is no price of acme/ears for a `second`; the first one in the price table begins on 2026-10-07"
        );
    }
}

#[test]
fn the_newest_price_that_has_begun_applies() {
    let items = [
        "unit = \"character\"; usd = \"3\"; per = 1; from = 2026-10-07",
        "unit = \"character\"; usd = \"1\"; per = 1",
        "unit = \"character\"; usd = \"4\"; per = 1; from = 2027-01-01",
        "unit = \"character\"; usd = \"2\"; per = 1; from = 1969-12-31",
    ];
    let table = table(&items).expect("a table");
    let day = 86_400_000;
    for (at, dollars) in [
        (i64::MIN, 1),
        (-day - 1, 1),
        (-day, 2),
        (OCTOBER_7 - 1, 2),
        (OCTOBER_7, 3),
        (1_798_761_599_999, 3),
        (1_798_761_600_000, 4),
        (i64::MAX, 4),
    ] {
        assert_eq!(amount(&table, Unit::Character, at, 0), dollars * 1_000_000_000, "{at}");
    }
}

#[test]
fn the_largest_prompt_size_that_is_exceeded_sets_the_price() {
    let items = [
        "unit = \"output_token\"; usd = \"3\"; per = 1; prompt_over = 200",
        "unit = \"output_token\"; usd = \"1\"; per = 1",
        "unit = \"output_token\"; usd = \"2\"; per = 1; prompt_over = 100",
        "unit = \"output_token\"; usd = \"5\"; per = 1; prompt_over = 100; from = 2026-10-07",
        "unit = \"output_token\"; usd = \"9\"; per = 1; prompt_over = 150; from = 2026-10-07",
    ];
    let table = table(&items).expect("a table");
    for (at, prompt, dollars) in [
        (0, 0, 1),
        (0, 100, 1),
        (0, 101, 2),
        (0, 200, 2),
        (0, 201, 3),
        (0, u64::MAX, 3),
        (NOON, 100, 1),
        (NOON, 101, 5),
        (NOON, 151, 9),
        (NOON, 201, 3),
    ] {
        let unit = Unit::Token(TokenKind::Output);
        assert_eq!(amount(&table, unit, at, prompt), dollars * 1_000_000_000, "{at} {prompt}");
    }
}

#[test]
fn the_order_of_a_table_does_not_matter() {
    let mut items = [
        "unit = \"input_token\"; usd = \"3\"; per = 1; prompt_over = 200",
        "unit = \"input_token\"; usd = \"1\"; per = 1",
        "unit = \"input_token\"; usd = \"2\"; per = 1; from = 2026-10-07",
        "name = \"b/b\"; unit = \"second\"; usd = \"2\"; per = 1",
        "name = \"a/b\"; unit = \"second\"; usd = \"2\"; per = 1",
    ];
    let sorted = table(&items).expect("a table");
    for turn in 0..items.len() {
        items.rotate_left(1);
        assert_eq!(table(&items).expect("a table"), sorted, "rotated by {turn}");
        items.swap(0, 3);
        assert_eq!(table(&items).expect("a table"), sorted, "swapped and rotated by {turn}");
    }
}

#[test]
fn a_doubtful_price_is_refused_with_the_item_what_was_given_and_what_is_accepted() {
    const GOOD: &str = "unit = \"second\"; usd = \"1\"; per = 1";
    let long_name = format!("name = \"acme/{}\"; {GOOD}", "n".repeat(124));
    let cases: &[(&[&str], &str)] = &[
        (
            &["unit = \"second\"; usd = \"0.00000000001\"; per = 1"],
            "item acme/ears: usd = \"0.00000000001\": not an amount in US dollars: write it as 5 or 0.0048, with at most 9 decimals",
        ),
        (&["unit = \"second\"; usd = \"-1\"; per = 1"], "item acme/ears: usd = \"-1\": not an amount"),
        (
            &["unit = \"second\"; usd = 0.1; per = 1"],
            "item acme/ears: `usd` is 0.1; give a decimal number in quotes, such as \"0.0048\"",
        ),
        (&["unit = \"second\"; usd = \"1\"; per = 0"], "item acme/ears: `per` is 0; give 1 or more"),
        (&["unit = \"second\"; usd = \"1\"; per = -60"], "item acme/ears: `per` is -60; give 1 or more"),
        (
            &["unit = \"second\"; usd = \"1\"; per = \"60\""],
            "item acme/ears: `per` is \"60\"; give a whole number of units",
        ),
        (
            &["unit = \"second\"; usd = \"1\""],
            "item acme/ears: `per` is missing; give a whole number of units",
        ),
        (&["usd = \"1\"; per = 1"], "item acme/ears: `unit` is missing; give a text such as \"second\""),
        (&["unit = \"second\"; per = 1"], "item acme/ears: `usd` is missing; give a decimal number"),
        (
            &["unit = \"minute\"; usd = \"1\"; per = 1"],
            "item acme/ears: unknown unit \"minute\"; accepted are second, input_token, cached_token, written_token, \
             written_1h_token, output_token, audio_input_token, audio_cached_token, audio_output_token, character",
        ),
        (&["unit = \"token\"; usd = \"1\"; per = 1"], "item acme/ears: unknown unit \"token\""),
        (
            &["unit = \"second\"; usd = \"1\"; per = 1; free = true"],
            "item acme/ears: unknown field \"free\"; accepted are name, unit, usd, per, from, prompt_over, seen",
        ),
        (
            &["unit = \"second\"; usd = \"1\"; per = 1; from = \"2026-10-07\""],
            "item acme/ears: `from` is \"2026-10-07\"; give a date such as 2026-10-07, without quotes or a time of day",
        ),
        (
            &["unit = \"second\"; usd = \"1\"; per = 1; from = 2026-10-07T00:00:00Z"],
            "item acme/ears: `from` is 2026-10-07T00:00:00Z; give a date",
        ),
        (
            &["unit = \"second\"; usd = \"1\"; per = 1; from = 9999-12-31"],
            "`from` is 9999-12-31; give a date",
        ),
        (
            &["unit = \"input_token\"; usd = \"1\"; per = 1; prompt_over = 0"],
            "item acme/ears: `prompt_over` is 0; give 1 or more tokens, and for kinds of token only",
        ),
        (
            &["unit = \"input_token\"; usd = \"1\"; per = 1; prompt_over = 1.5"],
            "`prompt_over` is 1.5; give 1",
        ),
        (
            &["unit = \"second\"; usd = \"1\"; per = 1; prompt_over = 5"],
            "`prompt_over` is 5; give 1 or more tokens",
        ),
        (
            &[GOOD, "unit = \"second\"; usd = \"2\"; per = 2"],
            "item acme/ears stands there twice for `second`",
        ),
        (
            &[
                "unit = \"input_token\"; usd = \"1\"; per = 1",
                "unit = \"input_token\"; usd = \"1\"; per = 1; from = 2026-10-07; prompt_over = 9",
                "unit = \"input_token\"; usd = \"1\"; per = 1; prompt_over = 9; from = 2026-10-07",
            ],
            "item acme/ears stands there twice for `input_token` from 2026-10-07 with prompt_over = 9",
        ),
        (
            &[
                "unit = \"input_token\"; usd = \"1\"; per = 1; prompt_over = 5",
                "unit = \"input_token\"; usd = \"1\"; per = 1; prompt_over = 9",
                "unit = \"output_token\"; usd = \"1\"; per = 1",
            ],
            "item acme/ears: `input_token` with prompt_over = 5 has no price for smaller prompts; \
             give one without `prompt_over`, from the same day or before",
        ),
        (
            &[
                "unit = \"input_token\"; usd = \"1\"; per = 1; prompt_over = 5; from = 2026-10-07",
                "unit = \"input_token\"; usd = \"1\"; per = 1; from = 2026-10-08",
            ],
            "`input_token` from 2026-10-07 with prompt_over = 5 has no price for smaller prompts",
        ),
        (
            &["name = \"\"; unit = \"second\"; usd = \"1\"; per = 1"],
            "item \"\": a name is `provider/model`, at most 128",
        ),
        (
            &["name = \"ears\"; unit = \"second\"; usd = \"1\"; per = 1"],
            "item \"ears\": a name is `provider/model`",
        ),
        (
            &["name = \"acme/\"; unit = \"second\"; usd = \"1\"; per = 1"],
            "item \"acme/\": a name is `provider/model`",
        ),
        (
            &["name = \"acme/e\\u0007rs\"; unit = \"second\"; usd = \"1\"; per = 1"],
            "item \"acme/e\\u{7}rs\": a name is `provider/model`, at most 128 characters, no spaces or control characters",
        ),
        (
            &["name = \"acme/my ears\"; unit = \"second\"; usd = \"1\"; per = 1"],
            "item \"acme/my ears\": a name is",
        ),
        (&[&long_name], "nnn…\": a name is `provider/model`, at most 128 characters"),
        (
            &["name = 5; unit = \"second\"; usd = \"1\"; per = 1"],
            "item number 1: `name` is 5; give a text such as",
        ),
        (&[GOOD, "name = 5"], "item number 2: `name` is 5; give a text"),
    ];
    for (items, says) in cases {
        let error = table(items).expect_err(says).to_string();
        assert!(error.starts_with("price table: ") && error.contains(says), "{error}\nbut not\n{says}");
    }
}

#[test]
fn a_doubtful_version_or_shape_of_a_table_is_refused() {
    let long = format!("version = \"{}\"", "v".repeat(65));
    for (toml, says) in [
        ("version = \"\"", "version \"\": give 1 to 64 characters, no spaces or control characters"),
        ("version = \"a\\nb\"", "version \"a\\nb\": give 1 to 64 characters"),
        ("version = \"a b\"", "version \"a b\": give 1 to 64 characters"),
        (&long, "vvv\": give 1 to 64 characters"),
        ("", "top level: `version` is missing; give a text such as \"acme-3\""),
        ("version = 3", "top level: `version` is 3; give a text"),
        (
            "version = \"1\"\ncurrency = \"EUR\"",
            "top level: unknown field \"currency\"; accepted are version, item",
        ),
        ("version = \"1\"\nitem = 5", "top level: `item` is 5; give a list: [[item]]"),
        ("version = \"1\"\nitem = [5]", "item number 1: `item` is 5; give a table: [[item]]"),
        ("version = \"1\"\nversion = \"2\"", "duplicate key"),
        ("version", "price table: TOML parse error"),
    ] {
        let error = PriceTable::parse(toml).expect_err(says).to_string();
        assert!(error.starts_with("price table: ") && error.contains(says), "{error}\nbut not\n{says}");
    }
    let longest = format!("version = \"{}\"", "ü".repeat(64));
    assert_eq!(PriceTable::parse(&longest).expect("64 characters").version().chars().count(), 64);
    let longest = format!("name = \"acme/{}\"; unit = \"second\"; usd = \"1\"; per = 1", "n".repeat(123));
    assert!(table(&[&longest]).is_ok(), "128 characters");
}

#[test]
fn an_own_table_replaces_the_whole_item_and_leaves_the_others() {
    let own = "version = \"acme-3\"\n\
        [[item]]\nname = \"anthropic/claude-haiku-5-5\"\nunit = \"input_token\"\nusd = \"0.08\"\nper = 1000000\n\
        [[item]]\nname = \"acme/ears\"\nunit = \"second\"\nusd = \"0\"\nper = 1\n";
    let shipped = PriceTable::shipped();
    let table = shipped.with_overrides(own).expect("a table");
    let haiku = "anthropic/claude-haiku-5-5";
    let price = |kind, prompt| table.price_at(haiku, Unit::Token(kind), NOON, prompt);

    assert_eq!(table.version(), "2026-11-26+acme-3");
    for prompt in [0, 1_000_000] {
        assert_eq!(price(TokenKind::Input, prompt).expect("priced").amount.get(), 80_000_000);
        assert!(price(TokenKind::Cached, prompt).is_err(), "the shipped price is gone with its item");
    }
    assert_eq!(table.price("acme/ears").expect("its own item").amount, NanoUsd::ZERO);
    let sonnet = "anthropic/claude-sonnet-5-5";
    assert_eq!(table.messages(sonnet, NOON), shipped.messages(sonnet, NOON));
    assert!(table.entries.iter().all(|entry| &*entry.price.version == "2026-11-26+acme-3"));
    assert!(table.entries.is_sorted_by(|a, b| a.place() < b.place()));
}

#[test]
fn an_own_table_is_refused_like_any_other() {
    let shipped = PriceTable::shipped();
    let version = |length: usize| format!("version = \"{}\"", "v".repeat(length));
    assert_eq!(shipped.with_overrides(&version(53)).expect("fits").version().len(), MAX_VERSION);
    for (own, says) in [
        (version(54), "give 1 to 53 characters"),
        (version(0), "give 1 to 64 characters"),
        ("version = \"1\"\nfree = true".to_owned(), "unknown field \"free\""),
    ] {
        let error = shipped.with_overrides(&own).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn welcome_tells_every_price_of_an_item_with_its_prompt_size() {
    let told = |item: &str, at_ms| -> Vec<(String, u64, u64)> {
        let messages = PriceTable::shipped().messages(item, at_ms);
        assert!(messages.iter().all(|message| message.item == item));
        messages.into_iter().map(|message| (message.unit, message.nano_usd, message.per)).collect()
    };
    let row = |unit: &str, nano_usd| (unit.to_owned(), nano_usd, MILLION);
    assert_eq!(
        told("anthropic/claude-haiku-5-5", NOON),
        [
            row("input_token", 100_000_000),
            row("input_token>100000", 500_000_000),
            row("cached_token", 10_000_000),
            row("cached_token>100000", 50_000_000),
            row("written_token", 125_000_000),
            row("written_token>100000", 625_000_000),
            row("written_1h_token", 200_000_000),
            row("written_1h_token>100000", 1_000_000_000),
            row("output_token", 500_000_000),
            row("output_token>100000", 2_500_000_000),
        ]
    );
    let cached = |at_ms| told("anthropic/claude-sonnet-5-5", at_ms)[1].clone();
    assert_eq!(cached(OCTOBER_7 - 1), row("cached_token", 200_000_000));
    assert_eq!(cached(OCTOBER_7), row("cached_token", 100_000_000));
    assert_eq!(told("echo/listening", NOON), [("second".to_owned(), 4_800_000, 60)]);
    assert_eq!(told("acme/ears", NOON), []);
}

#[test]
fn a_cost_is_rounded_up_and_stops_at_the_largest_amount() {
    let price = Price { amount: NanoUsd::new(7), per: 3, ..PriceTable::shipped().entries[0].price.clone() };
    for (quantity, nano) in [(0, 0), (1, 3), (2, 5), (3, 7), (4, 10)] {
        assert_eq!(price.cost(quantity), NanoUsd::new(nano), "{quantity}");
    }
    let price = Price { amount: NanoUsd::MAX, per: 1, ..price };
    assert_eq!(price.cost(u64::MAX), NanoUsd::MAX);
}

#[test]
fn every_unit_has_one_name() {
    for unit in Unit::ALL {
        assert_eq!(Unit::parse(unit.name()), Some(unit));
    }
    for kind in TokenKind::ALL {
        assert!(Unit::ALL.contains(&Unit::Token(kind)), "{kind:?}");
    }
}

#[test]
fn the_example_of_the_documentation_is_a_table() {
    let page = include_str!("../../../../docs/prices.md");
    let example =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let table = PriceTable::shipped().with_overrides(example).expect("a table");
    assert!(page.contains(&format!("`{}`", table.version())));
    let unit = Unit::Token(TokenKind::Input);
    let price = |prompt| table.price_at("acme/mind", unit, NOON, prompt).expect("priced").amount;
    assert!(price(50_000) < price(50_001));
}

#[test]
fn a_price_is_old_ninety_days_after_it_was_last_read() {
    // 2026-06-01, midnight, and the last moment of the day ninety days later.
    let (seen, last) = (1_780_272_000_000, 1_780_272_000_000 + 91 * 86_400_000 - 1);
    let table = PriceTable::parse(
        r#"
        version = "1"
        item = [
            { name = "acme/ears", unit = "second", usd = "1", per = 60, seen = 2026-06-01 },
            { name = "acme/mind", unit = "input_token", usd = "1", per = 1, seen = 2026-09-01 },
            { name = "acme/mind", unit = "output_token", usd = "1", per = 1, seen = 2026-06-01 },
            { name = "acme/mind", unit = "output_token", from = 2027-01-01, usd = "1", per = 1, seen = 2026-12-01 },
            { name = "acme/mouth", unit = "character", usd = "1", per = 1 },
        ]"#,
    )
    .expect("a table");
    for (item, at_ms, is_old) in [
        ("acme/ears", seen, false),
        ("acme/ears", last, false),
        ("acme/ears", last + 1, true),
        ("acme/ears", 0, false),
        ("acme/mind", last + 1, true),
        ("acme/mind", 1_798_761_600_000, true),
        ("acme/mouth", last + 1, false),
        ("acme/nothing", last + 1, false),
    ] {
        assert_eq!(table.old(item, at_ms).is_some(), is_old, "{item} at {at_ms}");
    }
    let said = table.old("acme/ears", last + 1).map(|old| old.to_string()).unwrap_or_default();
    assert!(
        said.starts_with(
            "the price of acme/ears was last read in the provider's list on 2026-06-01, 91 days ago; "
        ),
        "{said}"
    );
    assert_eq!(table.lines().count(), 5);
}

#[test]
fn a_shipped_price_of_unknown_age_is_old_and_one_that_an_operator_writes_is_not() {
    let shipped = PriceTable::shipped();
    let at_ms = 1_795_651_200_000;
    let said = shipped.old("openai/tts-1", at_ms).map(|old| old.to_string()).unwrap_or_default();
    assert!(said.starts_with("nobody has noted when the price of openai/tts-1"), "{said}");
    assert_eq!(shipped.old("relay/audio", at_ms), None, "it costs nothing whatever its age");
    let own = r#"version = "a"
        [[item]]
        name = "openai/tts-1"
        unit = "character"
        usd = "15"
        per = 1_000_000"#;
    assert_eq!(shipped.with_overrides(own).expect("a table").old("openai/tts-1", at_ms), None);
}
