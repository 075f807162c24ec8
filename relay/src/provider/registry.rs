//! Every kind of provider, and one that an operator has configured.

use std::time::Duration;

use reqwest::Url;

use super::{Ask, Bounds, Codec, chat};
use crate::config::Secret;
use crate::money::bill::ItemPrice;
use crate::money::price::{PriceError, PriceTable};

/// What a provider speaks: one line for each codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// OpenAI's chat completions, and everything that is compatible with it.
    OpenAiChat,
}

/// A provider as an operator has configured it: `[providers.NAME]`.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The name that agents know it by.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Where it is; it ends with a slash.
    pub base_url: Url,
    /// What it wants to see; never logged, never sent to a page.
    pub key: Option<Secret>,
    /// Which of its models.
    pub model: String,
    /// The item of the price table that it is billed by.
    pub price: String,
    /// How long its first word may take.
    pub timeout: Duration,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 1] = [Kind::OpenAiChat];

    /// The word in the configuration, which is the first part of the default price as well.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::OpenAiChat => "openai-chat",
        }
    }

    /// Where it is if the operator does not say.
    #[must_use]
    pub const fn default_url(self) -> &'static str {
        match self {
            Kind::OpenAiChat => "https://api.openai.com/v1/",
        }
    }
}

impl Provider {
    /// The codec that asks this of it.
    #[must_use]
    pub fn codec(&self, ask: &Ask) -> Box<dyn Codec> {
        match (self.kind, ask) {
            (Kind::OpenAiChat, Ask::Chat(ask)) => {
                Box::new(chat::Chat::new(&self.base_url, self.key.as_ref(), &self.model, ask))
            }
        }
    }

    /// What its requests cost at a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when the table has no price for what it uses.
    pub fn price(&self, table: &PriceTable, at_ms: i64) -> Result<ItemPrice, PriceError> {
        match self.kind {
            Kind::OpenAiChat => ItemPrice::model(table, &self.price, at_ms),
        }
    }

    /// What it may do with one request.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { head: self.timeout, ..Bounds::default() }
    }
}
