//! Reads a table from TOML by hand, so that every error names the item, what was given and what is accepted.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::{Table, Value};

use super::{Entry, MAX_NAME, MAX_VERSION, Price, PriceError, Unit};
use crate::money::NanoUsd;

const TOP: [&str; 2] = ["version", "item"];
const FIELDS: [&str; 7] = ["name", "unit", "usd", "per", "from", "prompt_over", "seen"];
/// Characters of a wrong text that an error repeats.
const QUOTED: usize = 80;

/// The version and the entries of a table, in the order of [`Entry::place`] and without doubtful ones.
pub(super) fn read(toml: &str) -> Result<(Arc<str>, Vec<Entry>), PriceError> {
    let file: Table = toml::from_str(toml)?;
    known("top level", &file, &TOP)?;
    let version = text("top level", &file, "version", "a text such as \"acme-3\"")?;
    let version = checked_version(version, MAX_VERSION)?;
    let items = match file.get("item") {
        None => &[][..],
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong("top level", "item", other, "a list: [[item]]")),
    };
    let mut entries = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = format!("item number {}", index + 1);
        let Value::Table(item) = item else {
            return Err(wrong(&place, "item", item, "a table: [[item]]"));
        };
        entries.push(read_item(&place, item, &version)?);
    }
    entries.sort_by(|a, b| a.place().cmp(&b.place()));
    check_duplicates(&entries)?;
    check_bases(&entries)?;
    Ok((version, entries))
}

/// A version of at most `max` characters.
pub(super) fn checked_version(version: &str, max: usize) -> Result<Arc<str>, PriceError> {
    if is_plain(version, max) {
        Ok(version.into())
    } else {
        Err(PriceError::Version { given: quoted(version), max })
    }
}

fn read_item(place: &str, item: &Table, version: &Arc<str>) -> Result<Entry, PriceError> {
    let name = text(place, item, "name", "a text such as \"acme/ears\"")?;
    let slash =
        name.split_once('/').is_some_and(|(provider, model)| !provider.is_empty() && !model.is_empty());
    if !slash || !is_plain(name, MAX_NAME) {
        return Err(PriceError::Name { given: quoted(name) });
    }
    let place = format!("item {name}");
    known(&place, item, &FIELDS)?;

    let unit = text(&place, item, "unit", "a text such as \"second\"")?;
    let unit = Unit::parse(unit).ok_or_else(|| PriceError::Unit {
        item: name.to_owned(),
        given: quoted(unit),
        accepted: Unit::ALL.map(Unit::name).join(", "),
    })?;
    let usd = text(&place, item, "usd", "a decimal number in quotes, such as \"0.0048\"")?;
    let amount = NanoUsd::parse(usd).map_err(|source| PriceError::Amount {
        item: name.to_owned(),
        given: quoted(usd),
        source,
    })?;
    let per = integer(&place, item, "per", "a whole number of units")?
        .ok_or_else(|| missing(&place, "per", "a whole number of units"))?;
    let per = u64::try_from(per)
        .ok()
        .filter(|per| *per > 0)
        .ok_or_else(|| PriceError::Per { item: name.to_owned(), given: per })?;
    let (from, from_ms) = date(&place, item, "from")?;
    let (seen, _) = date(&place, item, "seen")?;
    let prompt_over = prompt_over(&place, item, unit)?;
    let price = Price { item: name.into(), unit, amount, per, version: Arc::clone(version) };
    Ok(Entry { price, from, from_ms, prompt_over, seen, is_shipped: false })
}

/// A day and its midnight in UTC; without a day, the beginning of time.
fn date(place: &str, item: &Table, field: &'static str) -> Result<(Option<Date>, i64), PriceError> {
    const ACCEPTED: &str = "a date such as 2026-10-07, without quotes or a time of day";
    let given = match item.get(field) {
        None => return Ok((None, i64::MIN)),
        Some(given) => given,
    };
    let date = match given {
        Value::Datetime(datetime) if datetime.time.is_none() && datetime.offset.is_none() => datetime.date,
        _ => None,
    };
    let midnight = date.and_then(|date| {
        let year = i16::try_from(date.year).ok()?;
        let date = Date::new(year, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()?;
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some((Some(date), midnight.as_millisecond()))
    });
    midnight.ok_or_else(|| wrong(place, field, given, ACCEPTED))
}

fn prompt_over(place: &str, item: &Table, unit: Unit) -> Result<Option<u64>, PriceError> {
    const ACCEPTED: &str = "1 or more tokens, and for kinds of token only";
    let Some(given) = integer(place, item, "prompt_over", ACCEPTED)? else {
        return Ok(None);
    };
    match (unit, u64::try_from(given)) {
        (Unit::Token(_), Ok(tokens @ 1..)) => Ok(Some(tokens)),
        _ => Err(wrong(place, "prompt_over", &Value::Integer(given), ACCEPTED)),
    }
}

/// Entries are in order, so two of one place are neighbours.
fn check_duplicates(entries: &[Entry]) -> Result<(), PriceError> {
    match entries.windows(2).find(|pair| pair[0].place() == pair[1].place()) {
        None => Ok(()),
        Some(pair) => Err(PriceError::Duplicate {
            item: pair[0].price.item.to_string(),
            unit: pair[0].price.unit,
            from: pair[0].from,
            prompt_over: pair[0].prompt_over,
        }),
    }
}

/// Whenever a price for large prompts is in force, so is one for all.
fn check_bases(entries: &[Entry]) -> Result<(), PriceError> {
    for entry in entries {
        let Some(prompt_over) = entry.prompt_over else { continue };
        let has_base = entries.iter().any(|base| {
            base.prompt_over.is_none()
                && base.from_ms <= entry.from_ms
                && base.price.item == entry.price.item
                && base.price.unit == entry.price.unit
        });
        if !has_base {
            let (item, unit) = (entry.price.item.to_string(), entry.price.unit);
            return Err(PriceError::Base { item, unit, from: entry.from, prompt_over });
        }
    }
    Ok(())
}

fn known(place: &str, table: &Table, accepted: &[&str]) -> Result<(), PriceError> {
    match table.keys().find(|field| !accepted.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => Err(PriceError::Field {
            place: place.to_owned(),
            field: shortened(field),
            accepted: accepted.join(", "),
        }),
    }
}

fn text<'a>(
    place: &str,
    table: &'a Table,
    field: &'static str,
    accepted: &'static str,
) -> Result<&'a str, PriceError> {
    match table.get(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong(place, field, other, accepted)),
        None => Err(missing(place, field, accepted)),
    }
}

fn integer(
    place: &str,
    table: &Table,
    field: &'static str,
    accepted: &'static str,
) -> Result<Option<i64>, PriceError> {
    match table.get(field) {
        Some(Value::Integer(number)) => Ok(Some(*number)),
        Some(other) => Err(wrong(place, field, other, accepted)),
        None => Ok(None),
    }
}

fn missing(place: &str, field: &'static str, accepted: &'static str) -> PriceError {
    PriceError::Value { place: place.to_owned(), field, given: "missing".to_owned(), accepted }
}

fn wrong(place: &str, field: &'static str, given: &Value, accepted: &'static str) -> PriceError {
    let given = match given {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(datetime) => datetime.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    };
    PriceError::Value { place: place.to_owned(), field, given, accepted }
}

/// Nothing in it would garble a log line, a table or a CSV file.
fn is_plain(text: &str, max: usize) -> bool {
    let strange = |character: char| character.is_control() || character.is_whitespace();
    !text.is_empty() && text.chars().count() <= max && !text.chars().any(strange)
}

fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
