//! What has to be true of what users get back, since a recogniser that hears all of a call says in the end that it bills less.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::relay::NanoUsd;
use ::relay::money::bill::ItemPrice;
use ::relay::money::ledger::LedgerRow;
use ::relay::money::meter::SAMPLE;
use ::relay::money::price::Price;
use ::relay::money::tab::RequestId;
use ::relay::records::store::SessionRow;
use ::relay::session::machine::Departure;

use super::super::World;
use super::super::truth::{End, Epoch};

/// Samples a second of what recognisers hear.
const RATE: u64 = 16_000;

/// What may be given back of one request.
struct Due {
    at_least: NanoUsd,
    at_most: NanoUsd,
    item: Arc<str>,
    /// Samples that the recogniser bills.
    billed: u64,
    /// What [`Due::per`] samples cost, in nano-dollars.
    amount: u64,
    /// See [`Due::amount`].
    per: u64,
}

impl Due {
    /// How many samples the recogniser bills and the user got back, rounded down: all of them were charged.
    fn samples(&self, given_back: NanoUsd) -> u64 {
        self.billed + given_back.get() * self.per / self.amount.max(1)
    }
}

impl World<'_> {
    /// Whatever was given back has lowered a budget of the account and one of the user, once.
    pub(super) fn check_lowered(&self) -> Result<(), String> {
        let given = self.store.credits().fold(NanoUsd::ZERO, |sum, (_, amount)| sum + amount);
        for of_accounts in [true, false] {
            let lowered = self.store.lowered(of_accounts);
            // On a new day there may be less in a budget than is given back.
            if lowered > given || lowered < given && !self.scenario.is_midnight {
                return Err(format!(
                    "{given} was given back, and budgets are lowered by {lowered} (of accounts: {of_accounts})"
                ));
            }
        }
        Ok(())
    }

    /// A recogniser that has said that it bills less than it was given is a credit of what the user was charged beyond that, and nothing else is.
    pub(super) fn check_credits(
        &self,
        row: &SessionRow,
        ledger: &[LedgerRow],
        epochs: &[Epoch],
    ) -> Result<(), String> {
        let mut due = BTreeMap::new();
        for epoch in epochs {
            let has_left =
                matches!(epoch.end, Some(End::Departed(departure)) if departure != Departure::TakenOver);
            let is_charged = ledger.iter().any(|row| row.key == format!("lost@{}", epoch.number));
            // What others went on with is not always owed, what was paid for before is not charged, and on a new day there may be less to give back.
            let is_simple = epochs.len() == 1
                && epoch.number == row.epoch
                && self.truth.paid_before(&row.id) == 0
                && !self.scenario.is_midnight;
            let is_owed = has_left && !is_charged && is_simple;
            for (request, (_, is_written)) in &epoch.late {
                let Some((key, mut each)) = self.due(epoch, *request) else { continue };
                if !is_owed || !is_written {
                    each.at_least = NanoUsd::ZERO;
                }
                due.insert(format!("{}/{key}", row.id), each);
            }
        }
        let of_session = |key: &str| key.strip_prefix(&*row.id).is_some_and(|rest| rest.starts_with('/'));
        let given = self.store.credits().filter(|(key, _)| of_session(key));
        let given: BTreeMap<&str, NanoUsd> = given.collect();
        for (key, amount) in &given {
            if due.get(*key).is_none_or(|due: &Due| *amount > due.at_most) {
                let most = due.get(*key).map(|due| due.at_most);
                return Err(format!("{amount} given back as {key}, and {most:?} may be"));
            }
        }
        if self.truth.is_refused || self.truth.is_lossy || self.truth.is_erased {
            return Ok(());
        }
        let mut charged: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, due) in &due {
            let amount = given.get(key.as_str()).copied();
            if amount.unwrap_or_default() < due.at_least {
                return Err(format!("{amount:?} given back as {key}, and {} is owed", due.at_least));
            }
            if let Some(amount) = amount {
                *charged.entry(&*due.item).or_default() += due.samples(amount);
            }
        }
        // What waited on a relay's own disk is not always taken: then what is given back may be of audio that others have metered.
        for (item, charged) in charged.into_iter().filter(|_| !self.truth.is_kept) {
            let rows = ledger.iter().filter(|row| row.item == item && row.unit == SAMPLE);
            let metered: u64 = rows.map(|row| row.quantity).sum();
            if charged > metered {
                return Err(format!("{charged} samples of {item} are billed or given back, of {metered}"));
            }
        }
        Ok(())
    }

    /// What is due of a request, and under which key; `None` if its recogniser does not say that it bills less.
    fn due(&self, epoch: &Epoch, request: RequestId) -> Option<(String, Due)> {
        let log = epoch.log.lock();
        let (billed, _) = epoch.late.get(&request)?;
        let items = self.items();
        let ItemPrice::Stream(price) = items.get(log.asked.get(&request)?.0)? else { return None };
        let less = billed.difference().filter(|more| *more < 0 && billed.samples > 0)?.unsigned_abs();
        let Price { item, amount, per, .. } = price;
        let per = per * RATE;
        let worth = |samples: u64| NanoUsd::new(samples * amount.get() / per);
        // A chunk is metered whole, and a recogniser may come or go in the midst of it.
        let (charged, chunk) = (log.listening.of(request), u64::from(self.scenario.chunk.max(1_600)));
        let beyond = |charged: u64| charged.saturating_sub(billed.samples).min(less);
        let due = Due {
            at_least: worth(beyond(charged.at_least.saturating_sub(chunk))),
            at_most: worth(beyond(charged.at_most + chunk)),
            item: item.clone(),
            billed: billed.samples,
            amount: amount.get(),
            per,
        };
        Some((format!("{item}@{}.{request}.late", epoch.number), due))
    }
}
