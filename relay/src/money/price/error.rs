use jiff::civil::Date;

use super::Unit;
use crate::money::MoneyError;

/// Why a table is refused or a price is not to be had.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// The table is not TOML.
    #[error("price table: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A field that no table has.
    #[error("price table: {place}: unknown field {field:?}; accepted are {accepted}")]
    Field {
        /// The item, or where else it stands.
        place: String,
        /// The field.
        field: String,
        /// The fields there are.
        accepted: String,
    },
    /// A field is missing, of another type or out of range.
    #[error("price table: {place}: `{field}` is {given}; give {accepted}")]
    Value {
        /// The item, or where else it stands.
        place: String,
        /// The field.
        field: &'static str,
        /// What stands there.
        given: String,
        /// What may stand there.
        accepted: &'static str,
    },
    /// An amount is not exact.
    #[error("price table: item {item}: usd = {given}: {source}")]
    Amount {
        /// The item.
        item: String,
        /// The amount as it stands there, in quotes.
        given: String,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// `per` is 0 or less.
    #[error("price table: item {item}: `per` is {given}; give 1 or more")]
    Per {
        /// The item.
        item: String,
        /// What stands there.
        given: i64,
    },
    /// A unit that nothing is counted in.
    #[error("price table: item {item}: unknown unit {given}; accepted are {accepted}")]
    Unit {
        /// The item.
        item: String,
        /// What stands there, in quotes.
        given: String,
        /// The units there are.
        accepted: String,
    },
    /// Two prices for the same thing at the same time.
    #[error("price table: item {item} stands there twice for {}", entry(*.unit, *.from, *.prompt_over))]
    Duplicate {
        /// The item.
        item: String,
        /// The unit of both.
        unit: Unit,
        /// The date of both.
        from: Option<Date>,
        /// The prompt size of both, in tokens.
        prompt_over: Option<u64>,
    },
    /// There is a price for large prompts at a time when there is none for the others.
    #[error(
        "price table: item {item}: {} has no price for smaller prompts; give one without `prompt_over`, from the same day or before",
        entry(*.unit, *.from, Some(*.prompt_over))
    )]
    Base {
        /// The item.
        item: String,
        /// The unit of the price.
        unit: Unit,
        /// The date of the price.
        from: Option<Date>,
        /// Its prompt size, in tokens.
        prompt_over: u64,
    },
    /// A name that the records could not keep.
    #[error(
        "price table: item {given}: a name is `provider/model`, at most {} characters, no spaces or control characters",
        super::MAX_NAME
    )]
    Name {
        /// The name, in quotes.
        given: String,
    },
    /// A version that the records could not keep.
    #[error("price table: version {given}: give 1 to {max} characters, no spaces or control characters")]
    Version {
        /// The version, in quotes.
        given: String,
        /// The most characters it may have here.
        max: usize,
    },
    /// No price for what is to be used: nothing is served for free.
    #[error("there is no price of {item} for {}; {}", article(*.unit), remedy(*.from))]
    Missing {
        /// The item.
        item: String,
        /// What it would have been counted in.
        unit: Unit,
        /// When its first price begins, if that is in the future.
        from: Option<Date>,
    },
    /// The price was asked for without a time and depends on it.
    #[error("the price of {item} for {} depends on the date: ask with a time", article(*.unit))]
    Dated {
        /// The item.
        item: String,
        /// What it is counted in.
        unit: Unit,
    },
    /// The prices of a model were asked for without any kind of token.
    #[error("{item}: no kind of token was named; name those that the call will use")]
    NoKind {
        /// The item.
        item: String,
    },
}

fn entry(unit: Unit, from: Option<Date>, prompt_over: Option<u64>) -> String {
    let from = from.map_or(String::new(), |date| format!(" from {date}"));
    let prompt = prompt_over.map_or(String::new(), |tokens| format!(" with prompt_over = {tokens}"));
    format!("`{unit}`{from}{prompt}")
}

fn article(unit: Unit) -> String {
    let name = unit.name();
    if name.starts_with(['a', 'i', 'o']) { format!("an `{name}`") } else { format!("a `{name}`") }
}

fn remedy(from: Option<Date>) -> String {
    match from {
        None => "add it to the price table".to_owned(),
        Some(date) => format!("the first one in the price table begins on {date}"),
    }
}
