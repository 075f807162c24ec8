//! What recognisers that hear all of a call say of a request that is over: what they bill, beside what the call has metered for it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use audio::SPEECH_RATE;

use super::{RequestId, Tab};
use crate::money::bill::{AudioPrice, ItemPrice};
use crate::money::ledger::{LateCredit, LedgerRow};

/// How many requests are remembered of which it may yet be said what they bill. A recogniser says so within seconds.
const CLOSED_MAX: usize = 64;

/// What a recogniser says that it bills of a request which is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// The request.
    pub request: RequestId,
    /// How many samples it was given.
    pub given: u64,
    /// How many samples it bills.
    pub samples: u64,
    /// The provider's own name for the request.
    pub request_id: Option<String>,
}

/// Requests of recognisers that are over, and what the user gets back of them.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Requests of which nobody has said yet what they bill, oldest first.
    closed: VecDeque<Closed>,
    /// What the user gets back and is in no settlement yet.
    credits: Vec<LateCredit>,
}

/// A request of a recogniser that is over.
#[derive(Clone, Copy, Debug)]
struct Closed {
    request: RequestId,
    provider: usize,
    /// Samples that the user was charged for it.
    charged: u64,
}

impl Billed {
    /// How many samples more are billed than were given, or less. `None` up to a second: a recogniser says so in seconds, and of those not all
    /// digits.
    #[must_use]
    pub fn difference(&self) -> Option<i64> {
        let difference = i64::try_from(self.samples).ok()? - i64::try_from(self.given).ok()?;
        (difference.unsigned_abs() > u64::from(SPEECH_RATE.0)).then_some(difference)
    }
}

impl Late {
    /// A request is over for which the user was charged so many samples.
    pub(super) fn close(&mut self, request: RequestId, provider: usize, charged: u64) {
        if self.closed.len() >= CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(Closed { request, provider, charged });
    }

    /// Whether something is given back that is in no settlement yet.
    pub(super) fn has_credits(&self) -> bool {
        !self.credits.is_empty()
    }

    /// The request, once.
    fn take(&mut self, request: RequestId) -> Option<Closed> {
        let place = self.closed.iter().position(|closed| closed.request == request)?;
        self.closed.remove(place)
    }
}

impl Tab {
    /// A recogniser says what it bills of a request that is over. What it bills beyond what it was given is in a row of its own that costs nothing,
    /// like anything that goes beyond what was set aside. If it bills less, the user gets back what they were charged beyond that. It is said once.
    ///
    /// Servers that do not count say 0, which is taken for no figure.
    pub fn correct(&mut self, billed: &Billed) {
        let Some(Closed { provider, charged, .. }) = self.late.take(billed.request) else { return };
        let Some(ItemPrice::Stream(price)) = self.prices.get(provider) else { return };
        let Some(difference) = billed.difference().filter(|_| billed.samples > 0) else { return };
        let key = format!("{}@{}.{}.late", price.item, self.epoch, billed.request);
        let price = AudioPrice::of(price.clone());
        if difference > 0 {
            let row = price.excess(&key, difference.unsigned_abs());
            self.rows.push(LedgerRow { request_id: billed.request_id.clone(), ..row });
            return;
        }
        // What the recogniser was given and the user does not pay for is the operator's to save first.
        let samples = charged.saturating_sub(billed.samples).min(difference.unsigned_abs());
        let amount = price.worth(samples);
        if amount.get() > 0 {
            self.late.credits.push(LateCredit { key, samples, amount });
        }
    }

    /// What the user gets back, and is in no settlement yet. It is for rows that were taken before.
    pub fn take_credits(&mut self) -> Vec<LateCredit> {
        std::mem::take(&mut self.late.credits)
    }
}
