//! A line of the ledger: what was used, from whom, at which price, and what it cost.

use crate::money::NanoUsd;

/// One spend. Rows are only ever appended; `(session, key)` is unique, so a row that is written twice counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Unique within the session: what the row is about and where it begins, such as `echo/listening@16000`.
    pub key: String,
    /// Who was paid, such as `deepgram`.
    pub provider: String,
    /// What was used, as the price table names it, such as `deepgram/nova-3`.
    pub item: String,
    /// What is counted: `sample`, `utterance_sample`, `repeated_sample`, `character`, or a kind of token such as `input_token`;
    /// `eager_input_token` for an answer that was prepared and not wanted.
    pub unit: String,
    /// How many of them.
    pub quantity: u64,
    /// Money for `per` units.
    pub price: NanoUsd,
    /// Units that cost `price`.
    pub per: u64,
    /// Version of the price table.
    pub price_version: String,
    /// What it cost whoever pays for the session, rounded up to a nano-dollar over the running total. Repeated samples cost them nothing.
    pub cost: NanoUsd,
    /// Whether the quantity is the relay's own estimate and not what the provider reported.
    pub estimated: bool,
    /// The number of the turn that it was spent for, in the session's transcript; `None` for what belongs to no single turn.
    pub turn: Option<u32>,
    /// What the provider calls the request, to find it on the provider's bill; `None` if it has no name for it.
    pub request_id: Option<String>,
}

/// What a session's ledger rows of one item and one unit add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSum {
    /// What was used, as in [`LedgerRow::item`].
    pub item: String,
    /// What is counted, as in [`LedgerRow::unit`].
    pub unit: String,
    /// How many of them.
    pub quantity: u64,
    /// What they cost.
    pub cost: NanoUsd,
}

impl LedgerRow {
    /// The item of what a lost relay had exposed.
    pub const LOST: &str = "unknown/lost";

    /// What is charged, as an estimate, of what the relay of this epoch had exposed when it was lost.
    #[must_use]
    pub fn lost(epoch: u32, charge: NanoUsd) -> LedgerRow {
        LedgerRow {
            key: format!("lost@{epoch}"),
            provider: "unknown".into(),
            item: Self::LOST.into(),
            unit: "nano_usd".into(),
            quantity: charge.get(),
            price: NanoUsd::new(1),
            per: 1,
            price_version: "none".into(),
            cost: charge,
            estimated: true,
            turn: None,
            request_id: None,
        }
    }

    /// After how many of its item it begins, if its key says so, as that of a row of audio does.
    pub(crate) fn begins_at(&self) -> Option<u64> {
        self.key.rsplit_once('@')?.1.parse().ok()
    }
}
