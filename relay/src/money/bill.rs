//! What a request may cost before it is made, and the ledger rows of what a provider reported.
//!
//! Prices are taken from the table once, at the time of the request, so that its worst case and its rows agree even when
//! midnight brings another price in between. Nothing here asks a clock, a database or a provider.

mod item;
#[cfg(test)]
mod tests;
mod usage;

use std::cmp::Ordering;

use crate::money::NanoUsd;
use crate::money::ledger::LedgerRow;
use crate::money::meter::{REPEATED_SAMPLE, SAMPLE, UTTERANCE_SAMPLE};
use crate::money::price::{Price, PriceError, PriceTable, TokenKind, Unit};

pub use item::{AtMost, Billing, ItemPrice, Quantity};
pub use usage::{AnthropicUsage, AnthropicWritten, RealtimeInput, RealtimeUsage, TextAndAudio, TokenUsage};

/// The units of tokens that were spent on an answer that nobody wanted begin with this: `eager_input_token`.
pub const EAGER: &str = "eager_";
/// The units of tokens of a recogniser that the user does not pay for, since what they said is paid for where it is understood, begin with this:
/// `repeated_audio_input_token`.
pub const REPEATED: &str = "repeated_";
/// Audio of the user has this many.
const SAMPLES_PER_SECOND: u64 = 16_000;
/// More than any request uses, and so little that millions of rows that a provider made up add up to what a database can count.
const MAX_QUANTITY: u64 = 1_000_000_000_000;

/// What the tokens of one model cost at one time.
#[derive(Clone, Debug)]
pub struct ModelPrices {
    /// The kinds the call will use; at least one, each priced.
    kinds: Vec<TokenKind>,
    /// Every price of the item, those of other kinds included.
    tiers: Vec<Tier>,
    /// Whether each price is a whole number of nano-dollars for one token, so that nothing is ever rounded.
    whole: bool,
}

#[derive(Clone, Debug)]
struct Tier {
    kind: TokenKind,
    /// It is for prompts of more tokens than this; `None` for those that no other tier of the kind is for.
    prompt_over: Option<u64>,
    price: Price,
}

/// What the characters of one voice cost at one time.
#[derive(Clone, Debug)]
pub struct CharacterPrice {
    price: Price,
}

/// What the audio of single requests to a recogniser costs at one time.
#[derive(Clone, Debug)]
pub struct AudioPrice {
    /// For `per` samples at 16 kHz, so that a row's quantity, price and cost fit together.
    price: Price,
}

impl ModelPrices {
    /// The prices of `item` at `at_ms`, milliseconds since 1970, for a call that will use these kinds of token. Name every
    /// kind that the request may be billed as: the cached and the written one as well when it uses a cache.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when one of the kinds has no price at that time, [`PriceError::NoKind`] when none is named.
    pub fn new(
        table: &PriceTable,
        item: &str,
        kinds: &[TokenKind],
        at_ms: i64,
    ) -> Result<ModelPrices, PriceError> {
        if kinds.is_empty() {
            return Err(PriceError::NoKind { item: item.to_owned() });
        }
        for &kind in kinds {
            table.price_at(item, Unit::Token(kind), at_ms, 0)?;
        }
        let tiers = TokenKind::ALL.into_iter().flat_map(|kind| {
            let entries = table.tiers(item, Unit::Token(kind), at_ms);
            entries.into_iter().map(move |entry| Tier {
                kind,
                prompt_over: entry.prompt_over,
                price: entry.price.clone(),
            })
        });
        let tiers: Vec<Tier> = tiers.collect();
        let whole = tiers.iter().all(|tier| tier.price.amount.get().is_multiple_of(tier.price.per));
        Ok(ModelPrices { kinds: kinds.to_vec(), tiers, whole })
    }

    /// What a request costs at most, to be reserved before it is made: with a prompt of at most `prompt_tokens`, however
    /// much of it the provider reads, takes from its cache or writes there, and an answer of at most `max_output_tokens`.
    ///
    /// It is never less than the sum of [`ModelPrices::rows`] for a usage that keeps to both numbers and to the kinds that
    /// were named. Of the prompt sizes that can come about, the dearest one counts.
    #[must_use]
    pub fn worst_case(&self, prompt_tokens: u64, max_output_tokens: u64) -> NanoUsd {
        let mut sizes: Vec<u64> = self.tiers.iter().filter_map(|tier| tier.prompt_over).collect();
        sizes.retain(|size| *size < prompt_tokens);
        sizes.push(prompt_tokens);
        sizes.sort_unstable();
        // Each is the largest prompt of its price.
        let cost = |prompt: u64| {
            self.side_at_most(false, prompt, prompt) + self.side_at_most(true, prompt, max_output_tokens)
        };
        sizes.into_iter().map(cost).max().unwrap_or(NanoUsd::MAX)
    }

    /// The ledger rows of one request: one for each kind that was used, with the key `<key>/<kind>`, each cost rounded up to
    /// a nano-dollar. The prompt size that sets the prices is the reported one. `estimated` is for a usage that the provider
    /// did not report, such as that of an aborted stream.
    ///
    /// A kind that was not named at the start has its own price; if the table has none, that of the dearest named kind of
    /// its side (prompt or answer). Nothing is free, and nothing that was used is left out.
    #[must_use]
    pub fn rows(&self, key: &str, usage: &TokenUsage, estimated: bool) -> Vec<LedgerRow> {
        let prompt = usage.prompt_tokens();
        let used = TokenKind::ALL.into_iter().filter(|kind| usage.of(*kind) > 0);
        used.map(|kind| {
            let price = self.price(kind, prompt).unwrap_or_else(|| self.dearest(kind.is_output(), prompt));
            row(key, Unit::Token(kind).name(), price, usage.of(kind), estimated)
        })
        .collect()
    }

    /// The same of an answer that was prepared and that nobody wanted: its units begin with [`EAGER`].
    #[must_use]
    pub fn eager(&self, key: &str, usage: &TokenUsage, estimated: bool) -> Vec<LedgerRow> {
        let mut rows = self.rows(key, usage, estimated);
        begin_units(&mut rows, key, EAGER);
        rows
    }

    /// The same of what a recogniser has used and the user does not pay for: its units begin with [`REPEATED`]. The rows say at which price the
    /// provider was paid, and cost the user nothing.
    #[must_use]
    pub fn repeated(&self, key: &str, usage: &TokenUsage, estimated: bool) -> Vec<LedgerRow> {
        let mut rows = self.rows(key, usage, estimated);
        begin_units(&mut rows, key, REPEATED);
        for row in &mut rows {
            row.cost = NanoUsd::ZERO;
        }
        rows
    }

    /// What is billed, as the price table names it.
    #[must_use]
    pub fn item(&self) -> &str {
        self.tiers.first().map_or("", |tier| &tier.price.item)
    }

    /// What so many tokens of one side cost at most, whatever their kinds.
    fn side_at_most(&self, output: bool, prompt: u64, tokens: u64) -> NanoUsd {
        let kinds = TokenKind::ALL.into_iter().filter(|kind| kind.is_output() == output).count() as u64;
        // Each row is rounded up by less than a nano-dollar; the sum of one row has that already.
        let rounding = if self.whole { 0 } else { tokens.min(kinds).saturating_sub(1) };
        self.dearest(output, prompt).cost(tokens) + NanoUsd::new(rounding)
    }

    /// The highest price of the named kinds of one side; of all named kinds when none is of that side.
    fn dearest(&self, output: bool, prompt: u64) -> &Price {
        let dearest = |of_any_side: bool| {
            let kinds = self.kinds.iter().filter(|kind| of_any_side || kind.is_output() == output);
            kinds.filter_map(|kind| self.price(*kind, prompt)).max_by(|a, b| by_rate(a, b))
        };
        dearest(false)
            .or_else(|| dearest(true))
            .expect("`new` has named at least one kind, and each has a price for every prompt size")
    }

    /// Tiers of a kind are in order of size, and the first is for all sizes.
    fn price(&self, kind: TokenKind, prompt: u64) -> Option<&Price> {
        let applies =
            |tier: &&Tier| tier.kind == kind && tier.prompt_over.is_none_or(|tokens| prompt > tokens);
        self.tiers.iter().rfind(applies).map(|tier| &tier.price)
    }
}

impl CharacterPrice {
    /// The price of `item` by the character at `at_ms`, milliseconds since 1970.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time.
    pub fn new(table: &PriceTable, item: &str, at_ms: i64) -> Result<CharacterPrice, PriceError> {
        let price = table.price_at(item, Unit::Character, at_ms, 0)?.clone();
        Ok(CharacterPrice { price })
    }

    /// What is billed, as the price table names it.
    #[must_use]
    pub fn item(&self) -> &str {
        &self.price.item
    }

    /// What so many characters cost, to be reserved before they are sent.
    #[must_use]
    pub fn worst_case(&self, characters: u64) -> NanoUsd {
        self.price.cost(characters)
    }

    /// The ledger row of so many characters, with the key `<key>/character`; none for none. `estimated` is for a number that
    /// the provider did not report.
    #[must_use]
    pub fn rows(&self, key: &str, characters: u64, estimated: bool) -> Vec<LedgerRow> {
        if characters == 0 {
            return Vec::new();
        }
        vec![row(key, Unit::Character.name(), &self.price, characters, estimated)]
    }
}

impl AudioPrice {
    /// The price of `item` by the second at `at_ms`, milliseconds since 1970.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time.
    pub fn new(table: &PriceTable, item: &str, at_ms: i64) -> Result<AudioPrice, PriceError> {
        Ok(AudioPrice::of(table.second_price_at(item, at_ms)?.clone()))
    }

    /// The price of audio at this price for seconds.
    pub(super) fn of(mut price: Price) -> AudioPrice {
        price.per = price.per.saturating_mul(SAMPLES_PER_SECOND);
        AudioPrice { price }
    }

    /// What is billed, as the price table names it.
    #[must_use]
    pub fn item(&self) -> &str {
        &self.price.item
    }

    /// What so many samples cost, to be reserved before they are sent.
    #[must_use]
    pub fn worst_case(&self, samples: u64) -> NanoUsd {
        self.price.cost(samples)
    }

    /// The ledger row of so many samples, with the key `<key>/utterance_sample`; none for none.
    #[must_use]
    pub fn rows(&self, key: &str, samples: u64, estimated: bool) -> Vec<LedgerRow> {
        if samples == 0 {
            return Vec::new();
        }
        vec![row(key, UTTERANCE_SAMPLE, &self.price, samples, estimated)]
    }

    /// The ledger row of so many samples that the user does not pay for here, with the key `<key>/repeated_sample`; none for none. It says at which
    /// price the provider was paid, and costs the user nothing.
    #[must_use]
    pub fn repeated(&self, key: &str, samples: u64) -> Vec<LedgerRow> {
        if samples == 0 {
            return Vec::new();
        }
        let row = row(key, REPEATED_SAMPLE, &self.price, samples, false);
        vec![LedgerRow { cost: NanoUsd::ZERO, ..row }]
    }

    /// The ledger row of so many samples that a recogniser bills beyond those that it was given, with the key `<key>/excess_sample`. It says at
    /// which price the provider is paid, and costs the user nothing.
    #[must_use]
    pub fn excess(&self, key: &str, samples: u64) -> LedgerRow {
        let unit = format!("{}{SAMPLE}", LedgerRow::EXCESS);
        let row = row(key, &unit, &self.price, samples, false);
        LedgerRow { cost: NanoUsd::ZERO, ..row }
    }

    /// What so many samples are worth, rounded down to a nano-dollar.
    #[must_use]
    pub fn worth(&self, samples: u64) -> NanoUsd {
        let nano =
            u128::from(samples) * u128::from(self.price.amount.get()) / u128::from(self.price.per.max(1));
        NanoUsd::new(u64::try_from(nano).unwrap_or(u64::MAX))
    }
}

fn row(key: &str, unit: &str, price: &Price, quantity: u64, estimated: bool) -> LedgerRow {
    let quantity = quantity.min(MAX_QUANTITY);
    let provider = price.item.split_once('/').map_or(&*price.item, |(provider, _)| provider);
    LedgerRow {
        key: format!("{key}/{unit}"),
        provider: provider.to_owned(),
        item: price.item.to_string(),
        unit: unit.to_owned(),
        quantity,
        price: price.amount,
        per: price.per,
        price_version: price.version.to_string(),
        cost: price.cost(quantity),
        estimated,
        turn: None,
        request_id: None,
    }
}

/// Has the units of one request's rows begin with this.
fn begin_units(rows: &mut [LedgerRow], key: &str, beginning: &str) {
    for row in rows {
        row.unit.insert_str(0, beginning);
        row.key = format!("{key}/{}", row.unit);
    }
}

/// By money for one unit, exactly.
fn by_rate(a: &Price, b: &Price) -> Ordering {
    let cross = |price: &Price, other: &Price| u128::from(price.amount.get()) * u128::from(other.per);
    cross(a, b).cmp(&cross(b, a))
}
