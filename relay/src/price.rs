//! What things cost: the price table that is shipped in the binary.

use std::sync::Arc;

use serde::Deserialize;

use crate::money::{MoneyError, NanoUsd};

/// The default table.
const SHIPPED: &str = include_str!("../prices.toml");

/// Every price, under one version.
#[derive(Clone, Debug)]
pub struct PriceTable {
    version: Arc<str>,
    prices: Vec<Price>,
}

/// What one item costs: `amount` for `per` units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is metered, such as `echo/listening`.
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

/// What a price counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds of audio.
    Second,
    /// Tokens of a language model.
    Token,
    /// Characters to be spoken.
    Character,
}

/// Why a price is not to be had.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// The table is not TOML of the right shape.
    #[error("price table: {0}")]
    Syntax(#[from] toml::de::Error),
    /// An amount is not exact.
    #[error("price table: item {item}: usd = {given:?}: {source}")]
    Amount {
        /// The item.
        item: String,
        /// The amount as it stands there.
        given: String,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// `per` is 0.
    #[error("price table: item {item}: `per` is 0; give 1 or more")]
    Per {
        /// The item.
        item: String,
    },
    /// Two prices for one item.
    #[error("price table: item {item} stands there twice")]
    Duplicate {
        /// The item.
        item: String,
    },
    /// No price for what is to be used: nothing is served for free.
    #[error("there is no price for {item}; add it to the price table")]
    Missing {
        /// The item.
        item: String,
    },
}

impl PriceTable {
    /// The table in the binary.
    ///
    /// # Panics
    /// Never: a test reads the shipped table.
    #[must_use]
    pub fn shipped() -> PriceTable {
        PriceTable::parse(SHIPPED).expect("a test reads the shipped table")
    }

    /// Reads a table in TOML.
    ///
    /// # Errors
    /// When it is not TOML of this shape or holds an amount that is not exact.
    pub fn parse(toml: &str) -> Result<PriceTable, PriceError> {
        let file: TableFile = toml::from_str(toml)?;
        let version: Arc<str> = file.version.into();
        let mut prices: Vec<Price> = Vec::with_capacity(file.item.len());
        for item in file.item {
            if item.per == 0 {
                return Err(PriceError::Per { item: item.name });
            }
            if prices.iter().any(|price| *price.item == *item.name) {
                return Err(PriceError::Duplicate { item: item.name });
            }
            let amount = match NanoUsd::parse(&item.usd) {
                Ok(amount) => amount,
                Err(source) => return Err(PriceError::Amount { item: item.name, given: item.usd, source }),
            };
            let version = Arc::clone(&version);
            prices.push(Price { item: item.name.into(), unit: item.unit, amount, per: item.per, version });
        }
        Ok(PriceTable { version, prices })
    }

    /// The version that usage rows carry.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The price of an item, to be asked for before anything is spent.
    ///
    /// # Errors
    /// When there is none: the call is then refused with `missing_price`.
    pub fn price(&self, item: &str) -> Result<&Price, PriceError> {
        self.prices
            .iter()
            .find(|price| *price.item == *item)
            .ok_or_else(|| PriceError::Missing { item: item.to_owned() })
    }
}

impl Price {
    /// Who is paid: what stands before the first `/` of the item.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.item.split('/').next().unwrap_or_default()
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

impl Unit {
    /// The word in messages and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Second => "second",
            Unit::Token => "token",
            Unit::Character => "character",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    version: String,
    #[serde(default)]
    item: Vec<ItemFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemFile {
    name: String,
    unit: Unit,
    usd: String,
    per: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_prices_the_echo_agent() {
        let table = PriceTable::shipped();
        let price = table.price("echo/listening").expect("priced");
        assert_eq!((price.amount.get(), price.per, price.unit), (4_800_000, 60, Unit::Second));
        assert_eq!(table.version(), &*price.version);
    }

    #[test]
    fn an_item_without_a_price_is_an_error_that_names_it() {
        let error = PriceTable::shipped().price("acme/ears").expect_err("not in the table");
        assert_eq!(error.to_string(), "there is no price for acme/ears; add it to the price table");
    }

    #[test]
    fn a_table_with_a_doubtful_price_is_refused() {
        let item = |rest: &str| format!("version = \"1\"\n[[item]]\nname = \"a\"\nunit = \"second\"\n{rest}");
        for (rest, says) in [
            ("usd = \"0.00000000001\"\nper = 1", "at most 9 decimals"),
            ("usd = \"1\"\nper = 0", "`per` is 0"),
            ("usd = 0.1\nper = 1", "expected a string"),
            ("usd = \"1\"\nper = 1\nfree = true", "unknown field `free`"),
            ("usd = \"1\"\nper = 1\n[[item]]\nname = \"a\"\nunit = \"token\"\nusd = \"1\"\nper = 1", "twice"),
        ] {
            let error = PriceTable::parse(&item(rest)).expect_err(rest).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
