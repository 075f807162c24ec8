//! What things cost: the table in the binary, and an operator's own over it.
//!
//! A price is for one item and one unit. It may begin on a day, and it may be for prompts above a size only. Time is an
//! argument, in milliseconds since 1970: the table never asks a clock. What has no price is an error and never free.

mod age;
mod error;
mod read;
#[cfg(test)]
mod tests;
mod unit;

use std::sync::Arc;

use jiff::civil::Date;

use crate::money::NanoUsd;

pub use age::{Line, OLD_DAYS, Old};
pub use error::PriceError;
pub use unit::{TokenKind, Unit};

/// The default table.
const SHIPPED: &str = include_str!("../../prices.toml");
/// Characters of a version, the joined one of two tables included.
pub const MAX_VERSION: usize = 64;
/// Characters of an item's name.
pub const MAX_NAME: usize = 128;
/// Between the versions of two tables.
const JOINT: char = '+';

/// Every price, under one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTable {
    version: Arc<str>,
    /// Ordered by [`Entry::place`].
    entries: Vec<Entry>,
}

/// What one item costs: `amount` for `per` units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is metered, as `provider/model`, such as `echo/listening`.
    pub item: Arc<str>,
    /// What is counted.
    pub unit: Unit,
    /// Money for `per` units.
    pub amount: NanoUsd,
    /// Units that cost `amount`; at least 1.
    pub per: u64,
    /// Version of the table it is from.
    pub version: Arc<str>,
}

/// A price and when it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) price: Price,
    /// The first day; `None` for always.
    from: Option<Date>,
    /// Midnight of `from` in UTC, in milliseconds since 1970.
    from_ms: i64,
    /// It is for prompts of more tokens than this; `None` for those that no other price is for.
    pub(crate) prompt_over: Option<u64>,
    /// The day on which it was last read in the provider's list.
    seen: Option<Date>,
    /// Whether it is of the table in the binary.
    is_shipped: bool,
}

impl PriceTable {
    /// The table in the binary.
    ///
    /// # Panics
    /// Never: a test reads the shipped table.
    #[must_use]
    pub fn shipped() -> PriceTable {
        let mut table = PriceTable::parse(SHIPPED).expect("a test reads the shipped table");
        table.entries.iter_mut().for_each(|entry| entry.is_shipped = true);
        table
    }

    /// Reads a table in TOML; `docs/prices.md` describes it.
    ///
    /// # Errors
    /// When it is not TOML of this shape, or when a price in it is doubtful. The error names the item, what was given and
    /// what is accepted.
    pub fn parse(toml: &str) -> Result<PriceTable, PriceError> {
        let (version, entries) = read::read(toml)?;
        Ok(PriceTable { version, entries })
    }

    /// This table with an operator's own over it. An item that the own table names is priced by the own table alone: each
    /// of its units, dates and prompt sizes. Every price then carries both versions, such as `2026-11-26+acme-3`.
    ///
    /// # Errors
    /// Those of [`PriceTable::parse`], and a version that is too long with the other before it.
    pub fn with_overrides(&self, toml: &str) -> Result<PriceTable, PriceError> {
        let (own, own_entries) = read::read(toml)?;
        let taken = self.version.chars().count() + JOINT.len_utf8();
        read::checked_version(&own, MAX_VERSION.saturating_sub(taken))?;
        let version: Arc<str> = format!("{}{JOINT}{own}", self.version).into();
        let kept = self
            .entries
            .iter()
            .filter(|entry| own_entries.iter().all(|own| own.price.item != entry.price.item));
        let mut entries: Vec<Entry> = kept.chain(&own_entries).cloned().collect();
        for entry in &mut entries {
            entry.price.version = Arc::clone(&version);
        }
        entries.sort_by(|a, b| a.place().cmp(&b.place()));
        Ok(PriceTable { version, entries })
    }

    /// The version that usage rows carry.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it has a price of this item, of whatever unit and time.
    #[must_use]
    pub fn has(&self, item: &str) -> bool {
        self.entries.iter().any(|entry| *entry.price.item == *item)
    }

    /// Whether it has one that an operator has written.
    #[must_use]
    pub fn has_own(&self, item: &str) -> bool {
        self.entries.iter().any(|entry| !entry.is_shipped && *entry.price.item == *item)
    }

    /// The price of a second, for an item whose price of a second depends on no date.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none: the call is then refused with `missing_price`. [`PriceError::Dated`]
    /// when only [`PriceTable::second_price_at`] can tell.
    pub fn price(&self, item: &str) -> Result<&Price, PriceError> {
        let mut entries = self.entries_of(item, Unit::Second);
        let entry = entries.next().ok_or_else(|| self.missing(item, Unit::Second))?;
        if entry.from.is_some() || entries.next().is_some() {
            return Err(PriceError::Dated { item: item.to_owned(), unit: Unit::Second });
        }
        Ok(&entry.price)
    }

    /// The price of a second at `at_ms`, milliseconds since 1970.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time.
    pub fn second_price_at(&self, item: &str, at_ms: i64) -> Result<&Price, PriceError> {
        self.price_at(item, Unit::Second, at_ms, 0)
    }

    /// The price of a unit at `at_ms`, milliseconds since 1970, in a request whose prompt has `prompt_tokens` (new, cached
    /// and written ones together; 0 where there is no prompt). Ask before anything is spent.
    ///
    /// Of several prices the newest one applies whose first day has begun in UTC, and of those for several prompt sizes the
    /// one for the largest size that the prompt exceeds.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time.
    pub fn price_at(
        &self,
        item: &str,
        unit: Unit,
        at_ms: i64,
        prompt_tokens: u64,
    ) -> Result<&Price, PriceError> {
        let applies = |entry: &&Entry| entry.prompt_over.is_none_or(|tokens| prompt_tokens > tokens);
        let tiers = self.tiers(item, unit, at_ms);
        let entry = tiers.into_iter().rfind(applies).ok_or_else(|| self.missing(item, unit))?;
        Ok(&entry.price)
    }

    /// All prices of an item at `at_ms`, milliseconds since 1970, as `welcome` tells them; none for an unknown item. The
    /// unit of a price for large prompts tells their size: `input_token>100000`.
    #[must_use]
    pub fn messages(&self, item: &str, at_ms: i64) -> Vec<protocol::Price> {
        let tiers = Unit::ALL.into_iter().flat_map(|unit| self.tiers(item, unit, at_ms));
        let message = |entry: &Entry| {
            let mut message = entry.price.to_message();
            if let Some(tokens) = entry.prompt_over {
                message.unit = format!("{}>{tokens}", message.unit);
            }
            message
        };
        tiers.map(message).collect()
    }

    /// The prices in force at a time, one for each prompt size, smallest first. If there are any, the first is for all
    /// sizes: no table without it is read.
    pub(crate) fn tiers(&self, item: &str, unit: Unit, at_ms: i64) -> Vec<&Entry> {
        let mut tiers: Vec<&Entry> = Vec::new();
        for entry in self.entries_of(item, unit).filter(|entry| entry.from_ms <= at_ms) {
            match tiers.last_mut() {
                Some(older) if older.prompt_over == entry.prompt_over => *older = entry,
                _ => tiers.push(entry),
            }
        }
        tiers
    }

    /// Why there is no price at a time when [`PriceTable::tiers`] finds none.
    pub(crate) fn missing(&self, item: &str, unit: Unit) -> PriceError {
        let from = self.entries_of(item, unit).filter_map(|entry| entry.from).min();
        PriceError::Missing { item: item.to_owned(), unit, from }
    }

    fn entries_of(&self, item: &str, unit: Unit) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| *entry.price.item == *item && entry.price.unit == unit)
    }
}

impl Price {
    /// Who is paid: what stands before the first `/` of the item.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.item.split('/').next().unwrap_or_default()
    }

    /// What `quantity` units cost, rounded up to a nano-dollar.
    #[must_use]
    pub fn cost(&self, quantity: u64) -> NanoUsd {
        let nano =
            (u128::from(quantity) * u128::from(self.amount.get())).div_ceil(u128::from(self.per.max(1)));
        NanoUsd::new(u64::try_from(nano).unwrap_or(u64::MAX))
    }

    /// As `welcome` tells it.
    #[must_use]
    pub fn to_message(&self) -> protocol::Price {
        protocol::Price {
            item: self.item.to_string(),
            unit: self.unit.name().to_owned(),
            nano_usd: self.amount.get(),
            per: self.per,
        }
    }
}

impl Entry {
    /// What it is a price for; two of one place contradict each other.
    fn place(&self) -> (&str, Unit, Option<u64>, i64) {
        (&self.price.item, self.price.unit, self.prompt_over, self.from_ms)
    }
}
