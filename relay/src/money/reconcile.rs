//! A provider's usage export beside the ledger: what both say, what only one of them says, and what of it the operator bears.
//!
//! Lines are put together by day and item, or by the provider's own id of the request where the export has it. What a user does not pay (units that
//! begin with `excess_` or `repeated_`) was asked of the provider all the same, so it is compared with the rest, and is said apart as well.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::NanoUsd;
use super::bill::{EAGER, REPEATED};
use super::ledger::LedgerRow;
use super::meter::UTTERANCE_SAMPLE;
use super::price::{Price, PriceTable, Unit};

/// Samples in a second of audio, as the ledger counts it.
const SAMPLES_PER_SECOND: u64 = 16_000;
/// The most lines and groups that are held.
const GROUPS_MAX: usize = 2_000_000;
/// How long a request may take (the most that a provider's `whole_timeout_seconds` may say), in milliseconds: so far from midnight provider and ledger
/// have it on the same day. A provider dates a request by its beginning or by its end, and the ledger by when it was settled.
const REQUEST_MAX_MS: i64 = 600_000;
/// Differences of this part are those of numbers in binary.
const EXACT: f64 = 1e-9;

/// How an export of a provider reads: which column says what.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// Whose rows of the ledger it is compared with, such as `deepgram`.
    pub provider: String,
    /// The column with the day, or with a time that begins with it.
    pub date: String,
    /// The column with the model; without one, all of the provider's items are one.
    pub model: Option<String>,
    /// The items of the price table that models are called by in the export; `provider/model` for others.
    pub models: BTreeMap<String, String>,
    /// The columns that count, each with what it counts, unless a column says that.
    pub quantities: Vec<(String, Option<Measure>)>,
    /// The column that says what is counted.
    pub unit: Option<String>,
    /// What its words stand for.
    pub units: BTreeMap<String, Measure>,
    /// The column with the provider's id of the request.
    pub request_id: Option<String>,
    /// The column with the cost in US dollars.
    pub cost: Option<String>,
}

/// What a number in an export counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// A unit of the price table.
    pub unit: Unit,
    /// How many of it one is: 3,600 seconds an hour.
    pub factor: f64,
}

/// Why an export cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// It is no CSV.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// It has no such column.
    #[error("there is no column {column:?}: there are {there}")]
    NoColumn {
        /// The column.
        column: String,
        /// The columns that there are.
        there: String,
    },
    /// A cell is not as it should be.
    #[error("line {line}: {column} = {given:?}: {accepted}")]
    Cell {
        /// The line of the file.
        line: u64,
        /// The column.
        column: String,
        /// What it has.
        given: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// There are too many of them.
    #[error("more than 2,000,000 lines: compare a shorter time")]
    TooMany,
    /// It has no lines.
    #[error("it has no lines")]
    Empty,
}

/// What is compared with each other: a day and an item, or a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The day, such as `2026-12-31`; empty for a request.
    pub day: String,
    /// The item; empty for a request, and where the export names no model.
    pub item: String,
    /// The provider's id of the request; empty for a day.
    pub request_id: String,
}

/// What either side says of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// How much of each unit.
    pub units: BTreeMap<Unit, Amounts>,
    /// What it cost, in nano-dollars, if the export says so.
    pub theirs_nano_usd: Option<i128>,
    /// What it costs by the ledger's prices, whoever bears it, in nano-dollars.
    pub ours_nano_usd: i128,
    /// What of that the operator bears.
    pub borne_nano_usd: i128,
    /// Whether the export has a line of it.
    pub in_export: bool,
    /// Whether the ledger has a row of it.
    pub in_ledger: bool,
    /// Whether the export would have a row of the ledger's. With requests it may lack what has no id, and what was settled near its first or last midnight.
    pub is_expected: bool,
}

/// What users who are erased had used of an item in a day. Whose it was, at which price and in which request is not known any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedUse {
    /// The day (UTC), as `2026-12-31`.
    pub day: String,
    /// What was used, as in [`LedgerRow::item`].
    pub item: String,
    /// What is counted, as in [`LedgerRow::unit`].
    pub unit: String,
    /// How many of them.
    pub quantity: u64,
    /// What it cost whoever paid for it.
    pub cost: NanoUsd,
}

/// What relays have given back of a day's audio, since its recogniser has said afterwards that it bills less than was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// The credit's key.
    pub key: String,
    /// The day (UTC) of the charges, as `2026-12-31`.
    pub day: String,
    /// What was charged, as in [`LedgerRow::item`].
    pub item: String,
    /// How much is given back.
    pub amount: NanoUsd,
}

/// Quantities of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amounts {
    /// By the export.
    pub theirs: f64,
    /// By the ledger, whoever bears it.
    pub ours: f64,
    /// What of that the operator bears.
    pub borne: f64,
}

/// What came of comparing a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both say the same, but for the tolerance.
    Same,
    /// They differ in quantity, or in money.
    Differs,
    /// Only the export has it.
    OnlyExport,
    /// Only the ledger has it.
    OnlyLedger,
    /// Only the ledger has it, and it cannot be said whether the export should: it has no id, or the export of the day before or after may have it.
    NotCompared,
}

/// An export and the ledger beside each other.
#[derive(Clone, Debug)]
pub struct Comparison {
    mapping: Mapping,
    groups: BTreeMap<Group, Compared>,
    days: (Date, Date),
    /// When these days begin and end, in milliseconds since 1970.
    span_ms: (i64, i64),
}

impl Comparison {
    /// Reads an export.
    ///
    /// # Errors
    /// When it is no CSV with these columns, or a cell cannot be read.
    pub fn read(mapping: Mapping, from: impl Read) -> Result<Comparison, ReconcileError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(from);
        let columns = Columns::find(&mapping, reader.headers()?)?;
        let (mut groups, mut days) = (BTreeMap::<Group, Compared>::new(), None);
        for record in reader.records() {
            let record = record?;
            let line = Line { line: record.position().map_or(0, csv::Position::line), record: &record };
            let day = line.day(&columns.date)?;
            days = Some(days.map_or((day, day), |(from, to): (Date, Date)| (from.min(day), to.max(day))));
            let compared = groups.entry(columns.group(&mapping, &line, day)).or_default();
            compared.in_export = true;
            for (column, measure) in &columns.quantities {
                let measure = match (measure, &columns.unit) {
                    (Some(measure), _) => *measure,
                    (None, unit) => line.measure(&mapping, unit.as_ref())?,
                };
                let amounts = compared.units.entry(measure.unit).or_default();
                amounts.theirs += line.number(column)? * measure.factor;
            }
            if let Some(cost) = &columns.cost {
                let nano = (line.number(cost)? * 1e9).round() as i128;
                compared.theirs_nano_usd = Some(compared.theirs_nano_usd.unwrap_or_default() + nano);
            }
            if groups.len() > GROUPS_MAX {
                return Err(ReconcileError::TooMany);
            }
        }
        let days = days.ok_or(ReconcileError::Empty)?;
        let next = days.1.saturating_add(1.day());
        let span_ms = (midnight_ms(days.0).unwrap_or(i64::MIN), midnight_ms(next).unwrap_or(i64::MAX));
        Ok(Comparison { mapping, groups, days, span_ms })
    }

    /// The first and the last day that the export has lines of.
    #[must_use]
    pub fn days(&self) -> (Date, Date) {
        self.days
    }

    /// The first and the last day of which rows of the ledger are to be added. With requests it is one more at both sides, since a request that the
    /// export has on its last day may have been settled after midnight.
    #[must_use]
    pub fn ledger_days(&self) -> (Date, Date) {
        let (first, last) = self.days;
        match self.mapping.request_id {
            Some(_) => (first.saturating_sub(1.day()), last.saturating_add(1.day())),
            None => (first, last),
        }
    }

    /// Adds a row of the ledger, of that day, which was written at that time, in milliseconds since 1970. One that counts what no provider is paid by
    /// counts for nothing, as does one of before or after the export's days, unless it is of a request that the export has.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, day: &str, at_ms: i64, row: &LedgerRow) -> Result<(), ReconcileError> {
        let Some(counted) = Counted::of(&row.unit) else { return Ok(()) };
        let nano = match counted.is_borne {
            true => counted_nano(row.quantity, row.price, row.per),
            false => i128::from(row.cost.get()),
        };
        let group = self.group(day, &row.item, row.request_id.as_deref());
        let (begins_ms, ends_ms) = self.span_ms;
        let has_id = !group.request_id.is_empty();
        let is_within = (begins_ms..ends_ms).contains(&at_ms);
        let is_named = has_id && self.groups.get(&group).is_some_and(|compared| compared.in_export);
        if !(is_within || is_named) {
            return Ok(());
        }
        let well_within = begins_ms.saturating_add(REQUEST_MAX_MS)..ends_ms.saturating_sub(REQUEST_MAX_MS);
        let is_expected = self.mapping.request_id.is_none() || has_id && well_within.contains(&at_ms);
        self.put(group, &counted, row.quantity as f64, nano, is_expected)
    }

    /// Adds what users had used who are erased. With requests it belongs to the rows without an id. What the operator bears of it has the table's
    /// price of that day, and none if the table has none.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add_erased(&mut self, used: &ErasedUse, prices: &PriceTable) -> Result<(), ReconcileError> {
        let Some(counted) = Counted::of(&used.unit) else { return Ok(()) };
        let nano = match (counted.is_borne, price_of(prices, &used.item, counted.unit, &used.day)) {
            (false, _) => i128::from(used.cost.get()),
            (true, Some(price)) => {
                counted_nano(used.quantity, price.amount, price.per.saturating_mul(counted.in_unit))
            }
            (true, None) => 0,
        };
        let is_expected = self.mapping.request_id.is_none();
        let group = self.group(&used.day, &used.item, None);
        self.put(group, &counted, used.quantity as f64, nano, is_expected)
    }

    /// Takes out of the audio of the ledger what was given back, since no provider bills it: the money, and as much audio as it is at the table's
    /// price of that day. With requests it is taken out of the rows without an id.
    ///
    /// # Errors
    /// When there are too many.
    pub fn take_out(&mut self, given: &GivenBack, prices: &PriceTable) -> Result<(), ReconcileError> {
        let counted = Counted { unit: Unit::Second, in_unit: 1, is_borne: false };
        let seconds = |price: &Price| {
            let amount = price.amount.get().max(1) as f64;
            given.amount.get() as f64 / amount * price.per as f64
        };
        let seconds = price_of(prices, &given.item, Unit::Second, &given.day).map_or(0.0, seconds);
        let group = self.group(&given.day, &given.item, None);
        let is_expected = self.mapping.request_id.is_none();
        self.put(group, &counted, -seconds, -i128::from(given.amount.get()), is_expected)
    }

    /// With what a row of the ledger is compared.
    fn group(&self, day: &str, item: &str, request_id: Option<&str>) -> Group {
        match self.mapping.request_id {
            Some(_) => Group { request_id: request_id.unwrap_or_default().to_owned(), ..Group::default() },
            None => Group {
                day: day.to_owned(),
                item: self.mapping.model.as_ref().map(|_| item.to_owned()).unwrap_or_default(),
                ..Group::default()
            },
        }
    }

    /// Adds so much of what is counted so, which costs so much by the ledger's prices, and whether the export should have it.
    fn put(
        &mut self,
        group: Group,
        counted: &Counted,
        quantity: f64,
        nano: i128,
        is_expected: bool,
    ) -> Result<(), ReconcileError> {
        let compared = self.groups.entry(group).or_default();
        compared.in_ledger = true;
        compared.is_expected |= is_expected;
        compared.ours_nano_usd += nano;
        let quantity = quantity / counted.in_unit as f64;
        let amounts = compared.units.entry(counted.unit).or_default();
        amounts.ours += quantity;
        if counted.is_borne {
            amounts.borne += quantity;
            compared.borne_nano_usd += nano;
        }
        if self.groups.len() > GROUPS_MAX { Err(ReconcileError::TooMany) } else { Ok(()) }
    }

    /// What was compared, in the order of days and items, or of requests.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, &Compared)> {
        self.groups.iter()
    }
}

impl Compared {
    /// What came of it, where differences up to so many per cent are none.
    #[must_use]
    pub fn verdict(&self, tolerance_percent: f64) -> Verdict {
        match (self.in_export, self.in_ledger) {
            (true, false) => return Verdict::OnlyExport,
            (false, _) if self.is_expected => return Verdict::OnlyLedger,
            (false, _) => return Verdict::NotCompared,
            (true, true) => {}
        }
        let is_same = |one: f64, other: f64| {
            let most = one.abs().max(other.abs());
            (one - other).abs() <= most * (tolerance_percent / 100.0 + EXACT)
        };
        let quantities = self.units.values().all(|amounts| is_same(amounts.theirs, amounts.ours));
        let money =
            self.theirs_nano_usd.is_none_or(|theirs| is_same(theirs as f64, self.ours_nano_usd as f64));
        if quantities && money { Verdict::Same } else { Verdict::Differs }
    }
}

/// What a row counts.
struct Counted {
    /// The unit that it is priced by.
    unit: Unit,
    /// How many of what it counts are one of that unit.
    in_unit: u64,
    /// Whether the operator bears it.
    is_borne: bool,
}

impl Counted {
    /// What a row with this unit counts, if a provider is paid by that.
    fn of(unit: &str) -> Option<Counted> {
        let (mut unit, mut is_borne) = (unit, false);
        loop {
            if let Some(rest) =
                [LedgerRow::EXCESS, REPEATED].iter().find_map(|prefix| unit.strip_prefix(*prefix))
            {
                (unit, is_borne) = (rest, true);
            } else if let Some(rest) = unit.strip_prefix(EAGER) {
                unit = rest;
            } else {
                break;
            }
        }
        if unit == "sample" || unit == UTTERANCE_SAMPLE {
            return Some(Counted { unit: Unit::Second, in_unit: SAMPLES_PER_SECOND, is_borne });
        }
        Some(Counted { unit: Unit::parse(unit)?, in_unit: 1, is_borne })
    }
}

/// What a unit of an item costs on a day, if the table has a price of it.
fn price_of<'t>(prices: &'t PriceTable, item: &str, unit: Unit, day: &str) -> Option<&'t Price> {
    let midnight_ms = midnight_ms(day.parse().ok()?)?;
    prices.price_at(item, unit, midnight_ms, 0).ok()
}

/// When a day begins (UTC), in milliseconds since 1970.
fn midnight_ms(day: Date) -> Option<i64> {
    day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp().as_millisecond())
}

/// A number without the commas between its thousands, or nothing if a comma stands anywhere else: it may be a decimal comma then, and the number another
/// one by a factor of a thousand. Thousands are groups of three digits behind one to three digits that do not begin with a 0.
fn without_thousands(number: &str) -> Option<String> {
    if !number.contains(',') {
        return Some(number.to_owned());
    }
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut groups = whole.strip_prefix(['+', '-']).unwrap_or(whole).split(',');
    let are_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let is_first =
        |group: &str| (1..=3).contains(&group.len()) && !group.starts_with('0') && are_digits(group);
    let are_thousands =
        groups.next().is_some_and(is_first) && groups.all(|group| group.len() == 3 && are_digits(group));
    (are_thousands && !fraction.contains(',')).then(|| format!("{}{fraction}", whole.replace(',', "")))
}

/// What so many cost at this price for `per` of them, rounded up to a nano-dollar.
fn counted_nano(quantity: u64, price: NanoUsd, per: u64) -> i128 {
    let nano = u128::from(quantity) * u128::from(price.get());
    i128::try_from(nano.div_ceil(u128::from(per.max(1)))).unwrap_or(i128::MAX)
}

/// A column by its name and its place.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    at: usize,
}

/// Where in each line what stands.
struct Columns {
    date: Column,
    model: Option<Column>,
    unit: Option<Column>,
    request_id: Option<Column>,
    cost: Option<Column>,
    quantities: Vec<(Column, Option<Measure>)>,
}

impl Columns {
    fn find(mapping: &Mapping, headers: &csv::StringRecord) -> Result<Columns, ReconcileError> {
        let find = |name: &String| match headers.iter().position(|header| header == name) {
            Some(at) => Ok(Column { name: name.clone(), at }),
            None => Err(ReconcileError::NoColumn {
                column: name.clone(),
                there: headers.iter().map(|header| format!("{header:?}")).collect::<Vec<_>>().join(", "),
            }),
        };
        let maybe = |name: &Option<String>| name.as_ref().map(find).transpose();
        let quantities = mapping.quantities.iter();
        Ok(Columns {
            date: find(&mapping.date)?,
            model: maybe(&mapping.model)?,
            unit: maybe(&mapping.unit)?,
            request_id: maybe(&mapping.request_id)?,
            cost: maybe(&mapping.cost)?,
            quantities: quantities
                .map(|(name, measure)| Ok((find(name)?, *measure)))
                .collect::<Result<_, ReconcileError>>()?,
        })
    }

    fn group(&self, mapping: &Mapping, line: &Line<'_>, day: Date) -> Group {
        if let Some(column) = &self.request_id {
            return Group { request_id: line.cell(column).to_owned(), ..Group::default() };
        }
        let item = self.model.as_ref().map(|column| {
            let model = line.cell(column);
            let named = mapping.models.get(model).cloned();
            named.unwrap_or_else(|| format!("{}/{model}", mapping.provider))
        });
        Group { day: day.to_string(), item: item.unwrap_or_default(), ..Group::default() }
    }
}

/// A line of an export.
struct Line<'r> {
    line: u64,
    record: &'r csv::StringRecord,
}

impl Line<'_> {
    fn cell(&self, column: &Column) -> &str {
        self.record.get(column.at).unwrap_or_default()
    }

    fn day(&self, column: &Column) -> Result<Date, ReconcileError> {
        let day = self.cell(column).get(.."2026-12-31".len()).and_then(|day| day.parse().ok());
        day.ok_or_else(|| self.wrong(column, "give a day such as 2026-12-31, or a time that begins with it"))
    }

    /// A number, whose thousands may be apart, of dollars too; nothing is 0.
    fn number(&self, column: &Column) -> Result<f64, ReconcileError> {
        let text = self.cell(column).replace('$', "");
        if text.is_empty() {
            return Ok(0.0);
        }
        let text = without_thousands(&text).ok_or_else(|| {
            self.wrong(column, "give a number with a decimal point; commas stand between thousands alone")
        })?;
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.wrong(column, "give a number"))
    }

    fn measure(&self, mapping: &Mapping, column: Option<&Column>) -> Result<Measure, ReconcileError> {
        let Some(column) = column else {
            return Err(ReconcileError::NoColumn { column: "unit".to_owned(), there: "none".to_owned() });
        };
        let word = self.cell(column);
        let own = || Unit::parse(word).map(|unit| Measure { unit, factor: 1.0 });
        let measure = mapping.units.get(word).copied().or_else(own);
        measure.ok_or_else(|| self.wrong(column, "say in `units` which unit this is"))
    }

    fn wrong(&self, column: &Column, accepted: &'static str) -> ReconcileError {
        let (line, column, given) = (self.line, column.name.clone(), self.cell(column).to_owned());
        ReconcileError::Cell { line, column, given, accepted }
    }
}
