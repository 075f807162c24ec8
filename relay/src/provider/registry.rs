//! Every kind of provider, and one that an operator has configured.

use std::time::Duration;

use reqwest::Url;

use super::{Ask, Bounds, Codec, chat};
use crate::config::Secret;
use crate::money::bill::ItemPrice;
use crate::money::price::{PriceError, PriceTable};

/// Every kind of provider: a line here for each codec, whose file has the rest.
pub const KINDS: &[&Kind] = &[&chat::OPENAI_CHAT];

/// The words of the configuration for them, in the same order.
pub const KIND_NAMES: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = KINDS[place].name;
        place += 1;
    }
    names
};

/// A kind of provider: what it speaks, and what is true of whoever speaks that.
#[derive(Debug)]
pub struct Kind {
    /// The word in the configuration.
    pub name: &'static str,
    /// What an agent can have it for.
    pub service: Service,
    /// Where it is if the operator does not say; it ends with a slash.
    pub default_url: &'static str,
    /// The codec for a request; `None` for what it cannot be asked.
    pub(super) codec: fn(&Provider, &Ask) -> Option<Box<dyn Codec>>,
    /// What it may do with a request.
    pub(super) bounds: fn(&Provider, &Ask) -> Bounds,
    /// What the requests of an item of the price table cost at a time, in milliseconds since 1970.
    pub(super) price: fn(&PriceTable, &str, i64) -> Result<ItemPrice, PriceError>,
}

/// What an agent can have a provider for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// A language model: it answers text with text.
    LanguageModel,
}

/// A provider as an operator has configured it: `[providers.NAME]`.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The name that agents know it by.
    pub name: String,
    /// What it speaks.
    pub kind: &'static Kind,
    /// Where it is; it ends with a slash.
    pub base_url: Url,
    /// What it wants to see; never logged, never sent to a page.
    pub key: Option<Secret>,
    /// Which of its models.
    pub model: String,
    /// The item of the price table that it is billed by.
    pub price: String,
    /// How long the first piece of an answer may take.
    pub timeout: Duration,
}

impl Kind {
    /// The kind that this word of the configuration names.
    #[must_use]
    pub fn named(word: &str) -> Option<&'static Kind> {
        KINDS.iter().copied().find(|kind| kind.name == word)
    }
}

impl Service {
    /// In words, for whoever configures an agent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Service::LanguageModel => "language model",
        }
    }
}

impl Provider {
    /// The codec that asks this of it; `None` if it cannot be asked that.
    #[must_use]
    pub fn codec(&self, ask: &Ask) -> Option<Box<dyn Codec>> {
        (self.kind.codec)(self, ask)
    }

    /// What its requests cost at a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when the table has no price for what it uses.
    pub fn price(&self, table: &PriceTable, at_ms: i64) -> Result<ItemPrice, PriceError> {
        (self.kind.price)(table, &self.price, at_ms)
    }

    /// What it may do with this request.
    #[must_use]
    pub fn bounds(&self, ask: &Ask) -> Bounds {
        (self.kind.bounds)(self, ask)
    }
}
