//! A line of the ledger: what was used, from whom, at which price, and what it cost.

use crate::money::NanoUsd;
use crate::money::bill::{EAGER, REPEATED};
use crate::money::price::Unit;

/// One spend. Rows are only ever appended; `(session, key)` is unique, so a row that is written twice counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Unique within the session: what the row is about and where it begins, such as `echo/listening@16000`.
    pub key: String,
    /// Who was paid, such as `deepgram`.
    pub provider: String,
    /// What was used, as the price table names it, such as `deepgram/nova-3`.
    pub item: String,
    /// What is counted: `sample`, `utterance_sample`, `repeated_sample`, `unheard_sample`, `character`, or a kind of token such as `input_token`;
    /// `eager_input_token` for an answer that was prepared and not wanted; `repeated_audio_input_token` for what a recogniser has used that the
    /// user does not pay; and with [`LedgerRow::EXCESS`] before it, what a provider reported beyond what was set aside, or beyond the audio that it
    /// was given.
    pub unit: String,
    /// How many of them.
    pub quantity: u64,
    /// Money for `per` units.
    pub price: NanoUsd,
    /// Units that cost `price`.
    pub per: u64,
    /// Version of the price table.
    pub price_version: String,
    /// What it cost whoever pays for the session, rounded up to a nano-dollar over the running total. Repeated samples and tokens and excess cost them nothing.
    pub cost: NanoUsd,
    /// Whether the quantity is the relay's own estimate and not what the provider reported.
    pub estimated: bool,
    /// The turn of the user that it was spent for, by its number in the session's transcript: what a model or a voice has used names the turn that
    /// was answered, and what a recogniser has used that was asked about an utterance the turn that was understood. `None` for what belongs to no
    /// single turn: audio that is heard as it comes, and what the agent says before the user has taken a turn.
    pub turn: Option<u32>,
    /// What the provider calls the request, to find it on the provider's bill; `None` if it has no name for it.
    pub request_id: Option<String>,
}

/// What the user gets back of what a session's rows have charged for a request, since the provider has said afterwards that it bills less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateCredit {
    /// Unique within the session: the request, such as `deepgram/nova-3@0.4.late`.
    pub key: String,
    /// How many samples less are billed than were charged.
    pub samples: u64,
    /// What they were charged for those, rounded down to a nano-dollar.
    pub amount: NanoUsd,
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

/// What a row of this unit counts of what a session has used: tokens of an answer that nobody wanted are tokens, too. Nothing where nobody is
/// charged for it.
#[must_use]
pub fn used_unit(unit: &str) -> Option<Unit> {
    Unit::parse(unit.strip_prefix(EAGER).unwrap_or(unit))
}

impl LateCredit {
    /// The item that was charged, as in [`LedgerRow::item`].
    #[must_use]
    pub fn item(&self) -> &str {
        self.key.rsplit_once('@').map_or(&*self.key, |(item, _)| item)
    }

    /// Why it is given, for administrators.
    #[must_use]
    pub fn reason(&self) -> String {
        let (item, samples) = (self.item(), self.samples);
        format!("{item} has said afterwards that it bills {samples} samples less than were charged")
    }
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

    /// Begins the unit of what a provider reported beyond what was set aside for the request, or beyond the audio that it was given.
    pub const EXCESS: &str = "excess_";

    /// The part of the row that costs at most so much, and the rest, which nobody but the operator pays for.
    pub(super) fn split(self, most: NanoUsd) -> [Option<LedgerRow>; 2] {
        if self.cost <= most {
            return [Some(self), None];
        }
        let paid = u128::from(most.get()) * u128::from(self.per) / u128::from(self.price.get().max(1));
        let paid = u64::try_from(paid).unwrap_or(u64::MAX).min(self.quantity);
        let unit = format!("{}{}", Self::EXCESS, self.unit);
        let request = self.key.rsplit_once('/').map_or(&*self.key, |(request, _)| request);
        let rest = LedgerRow {
            key: format!("{request}/{unit}"),
            unit,
            quantity: self.quantity - paid,
            cost: NanoUsd::ZERO,
            ..self.clone()
        };
        let paid = LedgerRow { quantity: paid, cost: self.cost_of(paid), ..self };
        [Some(paid).filter(|row| row.quantity > 0), Some(rest).filter(|row| row.quantity > 0)]
    }

    /// What the operator pays for this row and nobody is charged: what was reported beyond what was set aside.
    #[must_use]
    pub fn excess(&self) -> NanoUsd {
        if !self.unit.starts_with(Self::EXCESS) {
            return NanoUsd::ZERO;
        }
        self.cost_of(self.quantity)
    }

    /// What the operator pays for this row and nobody is charged: what recognisers have used that the user does not pay for.
    #[must_use]
    pub fn repeated(&self) -> NanoUsd {
        if !self.unit.starts_with(REPEATED) {
            return NanoUsd::ZERO;
        }
        self.cost_of(self.quantity)
    }

    /// What so many of its units cost, rounded up.
    fn cost_of(&self, quantity: u64) -> NanoUsd {
        let nano =
            (u128::from(quantity) * u128::from(self.price.get())).div_ceil(u128::from(self.per.max(1)));
        NanoUsd::new(u64::try_from(nano).unwrap_or(u64::MAX))
    }

    /// After how many of its item it begins, if its key says so, as that of a row of audio does.
    pub(crate) fn begins_at(&self) -> Option<u64> {
        self.key.rsplit_once('@')?.1.parse().ok()
    }
}
