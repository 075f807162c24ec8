//! How old prices are: how long ago somebody last read them in the provider's own list.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Entry, Price, PriceTable, Unit};

/// A price that was last read longer ago than this is old: providers change theirs several times a year.
pub const OLD_DAYS: i64 = 90;

/// A price as it stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The price.
    pub price: &'a Price,
    /// It is for prompts of more tokens than this only.
    pub prompt_over: Option<u64>,
    /// Its first day (UTC). `None` is for always.
    pub from: Option<Date>,
    /// The day on which it was last read in the provider's list. `None` if nobody has noted that.
    pub seen: Option<Date>,
    /// Whether somebody else than the operator answers for it.
    is_shipped: bool,
}

/// An old price, in words that say what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    item: String,
    seen: Option<(Date, i64)>,
}

impl PriceTable {
    /// Every price there is, by item, unit, prompt size and first day.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.entries.iter().map(Entry::line)
    }

    /// The oldest price of an item that is in force at `at_ms`, milliseconds since 1970, if it is old.
    #[must_use]
    pub fn old(&self, item: &str, at_ms: i64) -> Option<Old> {
        let tiers = Unit::ALL.into_iter().flat_map(|unit| self.tiers(item, unit, at_ms));
        let old = tiers.map(Entry::line).filter(|line| line.is_old(at_ms)).min_by_key(|line| line.seen)?;
        let seen = old.seen.zip(old.age_days(at_ms));
        Some(Old { item: item.to_owned(), seen })
    }
}

impl Line<'_> {
    /// How many days before `at_ms`, milliseconds since 1970, it was last read.
    #[must_use]
    pub fn age_days(&self, at_ms: i64) -> Option<i64> {
        let today = Timestamp::from_millisecond(at_ms).ok()?.to_zoned(TimeZone::UTC).date();
        let days = self.seen?.until(today).ok()?.get_days();
        Some(i64::from(days).max(0))
    }

    /// Whether it has to be read again: it was last read more than [`OLD_DAYS`] ago, or it is of the shipped table and nobody has noted when.
    /// What an operator has written without a day is theirs to know.
    #[must_use]
    pub fn is_old(&self, at_ms: i64) -> bool {
        match self.age_days(at_ms) {
            Some(days) => days > OLD_DAYS,
            None => self.is_shipped && self.price.amount != crate::NanoUsd::ZERO,
        }
    }
}

impl Entry {
    fn line(&self) -> Line<'_> {
        let Entry { price, from, prompt_over, seen, is_shipped, .. } = self;
        Line { price, prompt_over: *prompt_over, from: *from, seen: *seen, is_shipped: *is_shipped }
    }
}

impl fmt::Display for Old {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            Some((seen, days)) => {
                write!(
                    f,
                    "the price of {} was last read in the provider's list on {seen}, {days} days ago",
                    self.item
                )?;
            }
            None => write!(
                f,
                "nobody has noted when the price of {} was last read in the provider's list",
                self.item
            )?,
        }
        f.write_str("; read it again, and write it into the table of prices.file with that day as `seen`")
    }
}
