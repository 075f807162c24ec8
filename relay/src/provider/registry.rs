//! Every kind of provider, and one that an operator has configured.

use reqwest::Url;

use super::guarded::Guarded;
use super::{
    Ask, Bounds, Codec, Deadlines, Service, Skills, anthropic, aura, chat, deepgram, elevenlabs, flux,
    speech, transcription,
};
use crate::config::Secret;
use crate::money::bill::ItemPrice;
use crate::money::price::{PriceError, PriceTable};

/// Every kind of provider: a line here for each codec, whose file has the rest.
pub const KINDS: &[&Kind] = &[
    &chat::OPENAI_CHAT,
    &anthropic::ANTHROPIC,
    &deepgram::DEEPGRAM,
    &flux::DEEPGRAM_FLUX,
    &transcription::OPENAI_TRANSCRIPTION,
    &aura::DEEPGRAM_AURA,
    &elevenlabs::ELEVENLABS,
    &speech::OPENAI_SPEECH,
];

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
    /// It can be fed while it works: a recogniser with audio, a voice with more text.
    pub is_fed: bool,
    /// It is a voice that has no default: the configuration has to name one.
    pub needs_voice: bool,
    /// Where it is if the operator does not say; it ends with a slash.
    pub default_url: &'static str,
    /// Who is there, as the price table names them.
    pub vendor: &'static str,
    /// The line of the vendor's prices for a model and a language.
    pub(super) line: fn(&str, Option<&str>) -> String,
    /// The codec for a request; `None` for what it cannot be asked.
    pub(super) codec: fn(&Provider, &Ask) -> Option<Box<dyn Codec>>,
    /// What it may do with a request.
    pub(super) bounds: fn(&Provider, &Ask) -> Bounds,
    /// What the requests of an item of the price table cost at a time, in milliseconds since 1970.
    pub(super) price: fn(&PriceTable, &str, i64) -> Result<ItemPrice, PriceError>,
}

/// A provider as an operator has configured it: `[providers.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Which of its voices.
    pub voice: Option<String>,
    /// The language that is spoken, as a BCP 47 tag such as `en` or `de-CH`.
    pub language: Option<String>,
    /// Words that a recogniser is to expect: names, products.
    pub key_terms: Vec<String>,
    /// It is to say when a turn may be over, before it is sure.
    pub eager: bool,
    /// The text of its answers begins with a thought, of which only the end is marked.
    pub thinks_first: bool,
    /// The item of the price table that it is billed by, if the operator names one; otherwise it is [`Provider::item`].
    pub price: Option<String>,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// How many requests and open sockets it may have at a time; 0 for no limit.
    pub max_concurrent: u32,
}

/// Most vendors have a line for each model.
pub(super) fn model_line(model: &str, _language: Option<&str>) -> String {
    model.to_owned()
}

/// Kinds are told apart by their words.
impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

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
            Service::SpeechToText => "recogniser (speech to text)",
            Service::LanguageModel => "language model",
            Service::TextToSpeech => "voice (text to speech)",
        }
    }
}

impl Provider {
    /// The codec that asks this of it; `None` if it cannot be asked that.
    #[must_use]
    pub fn codec(&self, ask: &Ask) -> Option<Box<dyn Codec>> {
        let codec = (self.kind.codec)(self, ask)?;
        Some(Box::new(Guarded::new(codec, self.key.clone(), ask)))
    }

    /// The item of this table that it is billed by: what its operator names, or else the first that there is of `NAME/MODEL` in an operator's
    /// own table, `KIND/MODEL`, and the vendor's for the model. At the vendor's own address the vendor's comes before that of the kind. Where there is
    /// none, it is the item that the table lacks: the vendor's at the vendor's address, and `NAME/MODEL` anywhere else.
    #[must_use]
    pub fn item(&self, table: &PriceTable) -> String {
        let Provider { name, kind, base_url, model, language, .. } = self;
        if let Some(item) = &self.price {
            return item.clone();
        }
        let vendors = format!("{}/{}", kind.vendor, (kind.line)(model, language.as_deref()));
        // What goes by the name of the vendor is the vendor's, who may call it otherwise than the model.
        let called = |whose: &str| {
            if whose == kind.vendor { vendors.clone() } else { format!("{whose}/{model}") }
        };
        let (names, kinds) = (called(name), called(kind.name));
        let is_at_vendor = base_url.as_str() == kind.default_url;
        let own = Some(&names).filter(|item| table.has_own(item));
        let others = if is_at_vendor { [&vendors, &kinds, &names] } else { [&kinds, &vendors, &names] };
        let there = own.or_else(|| others.into_iter().find(|item| table.has(item)));
        there.unwrap_or(if is_at_vendor { &vendors } else { &names }).clone()
    }

    /// What its requests cost at a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`PriceError::Missing`] when the table has no price for what it uses.
    pub fn price(&self, table: &PriceTable, at_ms: i64) -> Result<ItemPrice, PriceError> {
        (self.kind.price)(table, &self.item(table), at_ms)
    }

    /// What an agent has to know of it, if its requests have this price.
    #[must_use]
    pub fn skills(&self, price: &ItemPrice) -> Skills {
        let Kind { service, is_fed, .. } = *self.kind;
        Skills { service, is_fed, billing: price.billing() }
    }

    /// What it may do with this request.
    #[must_use]
    pub fn bounds(&self, ask: &Ask) -> Bounds {
        (self.kind.bounds)(self, ask)
    }
}
