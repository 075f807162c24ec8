//! What a request may use, what it has used, and its price, whatever is counted.

use super::{AudioPrice, CharacterPrice, ModelPrices, TokenUsage};
use crate::money::NanoUsd;
use crate::money::ledger::LedgerRow;
use crate::money::price::{Price, PriceError, PriceTable, TokenKind, Unit};

/// What a request uses at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtMost {
    /// Tokens of a language model.
    Tokens {
        /// Of the prompt.
        prompt: u64,
        /// Of the answer, its thinking included.
        output: u64,
    },
    /// Characters that are to be spoken.
    Characters(u64),
    /// Samples of audio at 16 kHz that are in the request.
    Samples(u64),
    /// Nothing beyond what the call meters anyway.
    Nothing,
}

/// What a request has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Tokens of a language model.
    Tokens(TokenUsage),
    /// Characters that were to be spoken.
    Characters(u64),
    /// Samples of audio at 16 kHz.
    Samples(u64),
    /// Samples of audio at 16 kHz that another recogniser has heard or will hear, by which the user pays for them once. They cost the operator.
    Repeated(u64),
    /// Tokens of a recogniser for such audio. They cost the operator.
    RepeatedTokens(TokenUsage),
    /// Tokens of an answer that was prepared before the user's turn was over, and that nobody wanted then.
    Eager(TokenUsage),
}

/// What a provider's requests cost, at the prices of the moment at which the call began.
#[derive(Clone, Debug)]
pub enum ItemPrice {
    /// By the token.
    Tokens(ModelPrices),
    /// By the character.
    Characters(CharacterPrice),
    /// By the second of audio that is in a request.
    Seconds(AudioPrice),
    /// By the second of audio that goes through it, which the call meters at this price: the requests themselves cost nothing.
    Stream(Price),
}

/// What a request is billed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// The audio that goes through it, which the call meters as it comes: the requests themselves cost nothing.
    Stream,
    /// The seconds of audio that are in the request.
    Seconds,
    /// Characters that are to be spoken.
    Characters,
    /// Tokens.
    Tokens,
}

impl Billing {
    /// Whether this is what is counted there.
    #[must_use]
    pub fn counts(self, used: &Quantity) -> bool {
        matches!(
            (self, used),
            (Billing::Tokens, Quantity::Tokens(_) | Quantity::Eager(_) | Quantity::RepeatedTokens(_))
                | (Billing::Characters, Quantity::Characters(_))
                | (Billing::Seconds, Quantity::Samples(_))
                | (Billing::Seconds | Billing::Stream, Quantity::Repeated(_))
        )
    }
}

impl AtMost {
    /// The dearest thing that it can become.
    #[must_use]
    pub fn whole(self) -> Option<Quantity> {
        match self {
            AtMost::Tokens { prompt, output } => {
                Some(Quantity::Tokens(TokenUsage { input: prompt, output, ..TokenUsage::default() }))
            }
            AtMost::Characters(characters) => Some(Quantity::Characters(characters)),
            AtMost::Samples(samples) => Some(Quantity::Samples(samples)),
            AtMost::Nothing => None,
        }
    }
}

impl Quantity {
    /// Tokens, of prompt and answer.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        match self {
            Quantity::Tokens(usage) | Quantity::Eager(usage) | Quantity::RepeatedTokens(usage) => {
                usage.prompt_tokens().saturating_add(usage.output_tokens())
            }
            Quantity::Characters(_) | Quantity::Samples(_) | Quantity::Repeated(_) => 0,
        }
    }

    /// Characters.
    #[must_use]
    pub fn characters(&self) -> u64 {
        match self {
            Quantity::Characters(characters) => *characters,
            Quantity::Tokens(_)
            | Quantity::Eager(_)
            | Quantity::Samples(_)
            | Quantity::Repeated(_)
            | Quantity::RepeatedTokens(_) => 0,
        }
    }

    /// The same where the user does not pay for what a recogniser has heard, but for what another one hears of the same.
    #[must_use]
    pub fn repeated(self) -> Quantity {
        match self {
            Quantity::Samples(samples) => Quantity::Repeated(samples),
            Quantity::Tokens(usage) => Quantity::RepeatedTokens(usage),
            Quantity::Characters(_)
            | Quantity::Repeated(_)
            | Quantity::RepeatedTokens(_)
            | Quantity::Eager(_) => self,
        }
    }
}

impl ItemPrice {
    /// The price of a language model that is asked with text and answers with text. A worst case counts each token at the dearest kind that the
    /// table has of those by which such a request can be billed: what comes from a cache or is written to it is among them. What is written for
    /// an hour is not, since it is billed only to a request that asks for it, and no codec does. A provider that reports it all the same
    /// is billed at the price of the table, and what goes beyond the worst case then is the operator's.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time, in milliseconds since 1970.
    pub fn model(table: &PriceTable, item: &str, at_ms: i64) -> Result<ItemPrice, PriceError> {
        let mut kinds = vec![TokenKind::Input, TokenKind::Output];
        kinds.extend(
            [TokenKind::Cached, TokenKind::Written]
                .into_iter()
                .filter(|kind| table.price_at(item, Unit::Token(*kind), at_ms, 0).is_ok()),
        );
        ModelPrices::new(table, item, &kinds, at_ms).map(ItemPrice::Tokens)
    }

    /// The price of a voice: by the character, or, where the table has none, by tokens of text and of audio.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time, in milliseconds since 1970.
    pub fn voice(table: &PriceTable, item: &str, at_ms: i64) -> Result<ItemPrice, PriceError> {
        CharacterPrice::new(table, item, at_ms).map(ItemPrice::Characters).or_else(|missing| {
            ModelPrices::new(table, item, &[TokenKind::Input, TokenKind::AudioOutput], at_ms)
                .map(ItemPrice::Tokens)
                .map_err(|_| missing)
        })
    }

    /// The price of a recogniser that is asked about one utterance at a time: by the second, or, where the table has none, by tokens of audio
    /// and of text.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time, in milliseconds since 1970.
    pub fn utterances(table: &PriceTable, item: &str, at_ms: i64) -> Result<ItemPrice, PriceError> {
        AudioPrice::new(table, item, at_ms).map(ItemPrice::Seconds).or_else(|missing| {
            let kinds = [TokenKind::AudioInput, TokenKind::Input, TokenKind::Output];
            ModelPrices::new(table, item, &kinds, at_ms).map(ItemPrice::Tokens).map_err(|_| missing)
        })
    }

    /// The price of a recogniser that hears all of a call.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when there is none at that time, in milliseconds since 1970.
    pub fn stream(table: &PriceTable, item: &str, at_ms: i64) -> Result<ItemPrice, PriceError> {
        table.second_price_at(item, at_ms).cloned().map(ItemPrice::Stream)
    }

    /// What requests are billed by.
    #[must_use]
    pub fn billing(&self) -> Billing {
        match self {
            ItemPrice::Tokens(_) => Billing::Tokens,
            ItemPrice::Characters(_) => Billing::Characters,
            ItemPrice::Seconds(_) => Billing::Seconds,
            ItemPrice::Stream(_) => Billing::Stream,
        }
    }

    /// Whether this price is for what is counted there.
    #[must_use]
    pub fn counts(&self, used: &Quantity) -> bool {
        self.billing().counts(used)
    }

    /// What a request costs at most. What this price is not for is too dear for anybody.
    #[must_use]
    pub fn worst_case(&self, at_most: &AtMost) -> NanoUsd {
        match (self, at_most) {
            (_, AtMost::Nothing) => NanoUsd::ZERO,
            (ItemPrice::Tokens(prices), AtMost::Tokens { prompt, output }) => {
                prices.worst_case(*prompt, *output)
            }
            (ItemPrice::Characters(price), AtMost::Characters(characters)) => price.worst_case(*characters),
            (ItemPrice::Seconds(price), AtMost::Samples(samples)) => price.worst_case(*samples),
            (_, AtMost::Tokens { .. } | AtMost::Characters(_) | AtMost::Samples(_)) => NanoUsd::MAX,
        }
    }

    /// The ledger rows of what a request has used, with keys that begin with `key`. What this price is not for was never allowed, so it has
    /// none.
    #[must_use]
    pub fn rows(&self, key: &str, used: &Quantity, estimated: bool) -> Vec<LedgerRow> {
        match (self, used) {
            (ItemPrice::Tokens(prices), Quantity::Tokens(usage)) => prices.rows(key, usage, estimated),
            (ItemPrice::Tokens(prices), Quantity::Eager(usage)) => prices.eager(key, usage, estimated),
            (ItemPrice::Tokens(prices), Quantity::RepeatedTokens(usage)) => {
                prices.repeated(key, usage, estimated)
            }
            (ItemPrice::Characters(price), Quantity::Characters(characters)) => {
                price.rows(key, *characters, estimated)
            }
            (ItemPrice::Seconds(price), Quantity::Samples(samples)) => price.rows(key, *samples, estimated),
            (ItemPrice::Seconds(price), Quantity::Repeated(samples)) => price.repeated(key, *samples),
            (ItemPrice::Stream(price), Quantity::Repeated(samples)) => {
                AudioPrice::of(price.clone()).repeated(key, *samples)
            }
            (
                _,
                Quantity::Tokens(_)
                | Quantity::Eager(_)
                | Quantity::Characters(_)
                | Quantity::Samples(_)
                | Quantity::Repeated(_)
                | Quantity::RepeatedTokens(_),
            ) => Vec::new(),
        }
    }

    /// What is billed, as the price table names it.
    #[must_use]
    pub fn item(&self) -> &str {
        match self {
            ItemPrice::Tokens(prices) => prices.item(),
            ItemPrice::Characters(price) => price.item(),
            ItemPrice::Seconds(price) => price.item(),
            ItemPrice::Stream(price) => &price.item,
        }
    }
}
