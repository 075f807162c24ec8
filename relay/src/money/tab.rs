//! What a call consumes, item by item, and what it may yet cost.

mod late;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use audio::SPEECH_RATE;

use super::NanoUsd;
use super::bill::{AtMost, Billing, ItemPrice, Quantity};
use super::ledger::{ItemSum, LedgerRow, used_unit};
use super::meter::{Meter, SAMPLE};
use super::price::{Price, Unit};
pub use late::Billed;
use late::Late;

/// A request of one call to a provider, counted from 0 in each epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// The open bill of one call: what runs (listening, by the sample), what requests have cost, and a *hold* for each request under way.
///
/// A hold is the worst case of its request. `cost + held` never goes beyond what is authorised, because it is asked before a request is
/// made and before audio is taken; so whatever a provider bills afterwards fits. What is held is what a crash exposes: whether the provider
/// was paid cannot be told then.
#[derive(Debug)]
pub struct Tab {
    /// A meter for each item that all of the user's audio may be heard by: that of the first recogniser, and of those that stand in for it.
    listening: Vec<Meter>,
    /// The one that counts: that of the recogniser that listens, or of the one that did last.
    counts: usize,
    /// The request by which a recogniser listens.
    listener: Option<RequestId>,
    /// The user is heard by recognisers that hear all of a call: what none of them listens to is nobody's yet.
    is_streamed: bool,
    /// Samples that came while none of those listened, and are in no row before one does: whoever listens next hears them.
    unheard: u32,
    /// Rows of such samples that were given up.
    unheard_rows: u32,
    /// Samples that a relay before has metered as something that nobody here listens by.
    before: u64,
    /// The prices of the agent's providers, by their places.
    prices: Vec<ItemPrice>,
    /// Makes the keys of requests unique among those of every relay that had the session.
    epoch: u32,
    /// What everything but listening has cost.
    requests: NanoUsd,
    /// That part of `requests` that is in rows which were taken.
    rowed: NanoUsd,
    tokens: u64,
    characters: u64,
    held: Vec<Hold>,
    /// Samples that a relay before has metered, and that a recogniser hears again here.
    repeated: u64,
    /// Rows of such samples that were taken.
    repeated_rows: u32,
    /// Rows that were not taken yet, oldest first.
    rows: Vec<LedgerRow>,
    /// Recognisers that are over and may yet say what they bill.
    late: Late,
}

/// What is set aside for a request.
#[derive(Clone, Copy, Debug)]
struct Hold {
    request: RequestId,
    provider: usize,
    at_most: AtMost,
    worst_case: NanoUsd,
    purpose: Purpose,
    /// Samples that the user is charged for and that this one heard.
    listened: u64,
}

/// What a request is made for, and with that the turn which its rows name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To answer this turn of the user, or none: the agent speaks first.
    Answer(Option<u32>),
    /// To understand the user: its rows name the turn of which [`Spent`] tells.
    Hearing,
}

/// What a ledger row says of a request beside what it has used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The turn that it was spent for, if its [`Purpose`] does not say.
    pub turn: Option<u32>,
    /// The provider's own name for the request.
    pub request_id: Option<String>,
    /// Nobody reported what it has used.
    pub estimated: bool,
}

/// What the ledger knows of a call besides what it has heard: of the relay before, if it was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Its cost.
    pub cost: NanoUsd,
    /// Tokens of language models, of prompts and answers.
    pub tokens: u64,
    /// Characters that were to be spoken.
    pub characters: u64,
    /// Samples that were heard as something else.
    pub samples: u64,
}

impl Earlier {
    /// What a ledger says, by item and unit, besides the audio of these items.
    #[must_use]
    pub fn besides(listening: &[&str], sums: &[ItemSum]) -> Earlier {
        let mut earlier = Earlier::default();
        for sum in sums.iter().filter(|sum| !listening.iter().any(|item| is_listening(item, sum))) {
            earlier.cost += sum.cost;
            if sum.unit == SAMPLE {
                earlier.samples = earlier.samples.saturating_add(sum.quantity);
            }
            match used_unit(&sum.unit) {
                Some(Unit::Token(_)) => earlier.tokens = earlier.tokens.saturating_add(sum.quantity),
                Some(Unit::Character) => earlier.characters = earlier.characters.saturating_add(sum.quantity),
                Some(Unit::Second) | None => {}
            }
        }
        earlier
    }
}

/// What a ledger says of the audio of this item.
#[must_use]
pub fn heard(listening: &str, sums: &[ItemSum]) -> (u64, NanoUsd) {
    let heard = sums.iter().filter(|sum| is_listening(listening, sum));
    heard.fold((0, NanoUsd::ZERO), |(samples, cost), sum| (samples + sum.quantity, cost + sum.cost))
}

/// The prices of the recognisers that stand in for the one that listens by this item: others that hear all of a call, each once.
fn stand_ins(listening: &str, prices: &[ItemPrice]) -> Vec<Price> {
    let mut stand_ins: Vec<Price> = Vec::new();
    let listens_first = prices.first().is_some_and(|first| first.item() == listening);
    for price in prices.iter().filter(|_| listens_first) {
        if let ItemPrice::Stream(price) = price
            && *price.item != *listening
            && !stand_ins.iter().any(|known| known.item == price.item)
        {
            stand_ins.push(price.clone());
        }
    }
    stand_ins
}

fn is_listening(item: &str, sum: &ItemSum) -> bool {
    sum.item == item && sum.unit == SAMPLE
}

impl Tab {
    /// A tab that goes on where the ledger ends, in this epoch of its session. If the first of the prices is that of the audio which the call
    /// listens to, other prices of such audio are those of recognisers that stand in.
    #[must_use]
    pub fn new(listening: Meter, prices: Vec<ItemPrice>, epoch: u32, earlier: Earlier) -> Tab {
        let stand_ins = stand_ins(listening.item(), &prices);
        let stand_ins = stand_ins.into_iter().map(|price| Meter::new(price, SPEECH_RATE.0));
        let listening = std::iter::once(listening).chain(stand_ins).collect();
        Tab::with_meters(listening, prices, epoch, earlier)
    }

    /// The same, after what the ledger says of the session, item by item.
    #[must_use]
    pub fn after(listening: &Price, prices: Vec<ItemPrice>, epoch: u32, sums: &[ItemSum]) -> Tab {
        let stand_ins = stand_ins(&listening.item, &prices);
        let meters = std::iter::once(listening.clone()).chain(stand_ins).map(|price| {
            let (samples, cost) = heard(&price.item, sums);
            Meter::resume(price, SPEECH_RATE.0, samples, cost)
        });
        let meters: Vec<Meter> = meters.collect();
        let items: Vec<&str> = meters.iter().map(Meter::item).collect();
        let earlier = Earlier::besides(&items, sums);
        Tab::with_meters(meters, prices, epoch, earlier)
    }

    fn with_meters(listening: Vec<Meter>, prices: Vec<ItemPrice>, epoch: u32, earlier: Earlier) -> Tab {
        let is_stream = |price: &ItemPrice| {
            price.billing() == Billing::Stream && listening.iter().any(|meter| meter.item() == price.item())
        };
        Tab {
            is_streamed: prices.iter().any(is_stream),
            listening,
            counts: 0,
            listener: None,
            unheard: 0,
            unheard_rows: 0,
            before: earlier.samples,
            prices,
            epoch,
            requests: earlier.cost,
            rowed: earlier.cost,
            tokens: earlier.tokens,
            characters: earlier.characters,
            held: Vec::new(),
            repeated: 0,
            repeated_rows: 0,
            rows: Vec::new(),
            late: Late::default(),
        }
    }

    /// Audio was heard.
    pub fn add_samples(&mut self, samples: u32) {
        self.listening[self.counts].add_samples(samples);
        match self.listener {
            Some(listener) => self.note_listened(listener, samples),
            None if self.is_streamed => self.unheard = self.unheard.saturating_add(samples),
            None => {}
        }
    }

    /// Whether a recogniser is to hear all of the call, and none is there.
    #[must_use]
    pub fn lacks_listener(&self) -> bool {
        self.is_streamed && self.listener.is_none()
    }

    /// What came while nobody listened is given up, but for so many samples of it that came last: it costs nothing, and is in a row that says so.
    /// Returns how many samples that is.
    pub fn give_up_unheard(&mut self, but: u32) -> u32 {
        let given_up = self.unheard.saturating_sub(but);
        if given_up > 0 {
            self.unheard -= given_up;
            let meter = &mut self.listening[self.counts];
            meter.take_back(given_up);
            let key = format!("{}@{}.unheard{}", meter.item(), self.epoch, self.unheard_rows);
            self.rows.push(meter.unheard_row(&key, given_up));
            self.unheard_rows += 1;
        }
        given_up
    }

    /// The user is charged for samples that this request hears.
    fn note_listened(&mut self, request: RequestId, samples: u32) {
        if let Some(hold) = self.held.iter_mut().find(|hold| hold.request == request) {
            hold.listened += u64::from(samples);
        }
    }

    /// The recogniser of this request is there. It hears what comes from now on, and what came while nobody listened. Says nothing of a request
    /// that is not by a stream of audio.
    pub fn listens(&mut self, request: RequestId) {
        if self.listener == Some(request) {
            return;
        }
        let hold = self.held.iter().find(|hold| hold.request == request);
        let Some(ItemPrice::Stream(price)) = hold.and_then(|hold| self.prices.get(hold.provider)) else {
            return;
        };
        let Some(next) = self.listening.iter().position(|meter| *meter.item() == *price.item) else { return };
        self.listener = Some(request);
        let unheard = std::mem::take(&mut self.unheard);
        if next != self.counts {
            self.listening[self.counts].take_back(unheard);
            self.listening[next].add_samples(unheard);
            self.counts = next;
        }
        self.note_listened(request, unheard);
    }

    /// Audio was heard that was metered before, by a relay that was lost. A recogniser that hears all of the call is paid for it once more, and the
    /// user is not asked to.
    pub fn add_repeated(&mut self, samples: u32) {
        if self.stream().is_some() {
            self.repeated += u64::from(samples);
        }
    }

    /// Sets the worst case of a request aside. It is the purse's to say beforehand whether that is allowed.
    pub fn hold(&mut self, request: RequestId, provider: usize, at_most: AtMost, purpose: Purpose) {
        let worst_case = self.worst_case(provider, &at_most);
        self.held.push(Hold { request, provider, at_most, worst_case, purpose, listened: 0 });
    }

    /// Raises what is set aside for a request to this worst case; it is never lowered. It is the purse's to say beforehand whether that is
    /// allowed. A request that is over has nothing set aside.
    pub fn raise(&mut self, request: RequestId, at_most: AtMost) {
        let more = self.more(request, &at_most);
        if let Some(hold) = self.held.iter_mut().find(|hold| hold.request == request) {
            hold.worst_case += more;
            hold.at_most = at_most;
        }
    }

    /// What a request may cost beyond what is set aside for it, with this worst case.
    #[must_use]
    pub fn more(&self, request: RequestId, at_most: &AtMost) -> NanoUsd {
        let hold = self.held.iter().find(|hold| hold.request == request);
        hold.map_or(NanoUsd::ZERO, |hold| {
            self.worst_case(hold.provider, at_most).saturating_sub(hold.worst_case)
        })
    }

    /// A request is over: this is what it has used. Nothing of it is held any more. One that was never held has cost nothing. What a provider
    /// reports beyond what was set aside is in rows of its own that cost nothing: the caps hold, whatever a provider says.
    pub fn settle(&mut self, request: RequestId, used: Option<Quantity>, spent: &Spent) {
        let Some(place) = self.held.iter().position(|hold| hold.request == request) else { return };
        let hold = self.held.remove(place);
        if self.listener == Some(request) {
            // What was heard again was heard by this one.
            self.row_repeated();
            self.listener = None;
        }
        if self.prices.get(hold.provider).is_some_and(|price| price.billing() == Billing::Stream) {
            self.late.close(request, hold.provider, hold.listened);
        }
        let (Some(used), Some(price)) = (used, self.prices.get(hold.provider)) else { return };
        // What this price does not count has still been used: the worst case is then what is known of it.
        let Some(used) = Some(used).filter(|used| price.counts(used)).or(hold.at_most.whole()) else {
            return;
        };
        let key = format!("{}@{}.{}", price.item(), self.epoch, request);
        let turn = match hold.purpose {
            Purpose::Answer(turn) => turn,
            // What hears all of a call belongs to no single turn.
            Purpose::Hearing => spent.turn.filter(|_| price.billing() != Billing::Stream),
        };
        let mut left = hold.worst_case;
        for row in price.rows(&key, &used, spent.estimated) {
            for row in row.split(left).into_iter().flatten() {
                left = left.saturating_sub(row.cost);
                self.requests += row.cost;
                match used_unit(&row.unit) {
                    Some(Unit::Token(_)) => self.tokens = self.tokens.saturating_add(row.quantity),
                    Some(Unit::Character) => self.characters = self.characters.saturating_add(row.quantity),
                    Some(Unit::Second) | None => {}
                }
                self.rows.push(LedgerRow { turn, request_id: spent.request_id.clone(), ..row });
            }
        }
    }

    /// Whether a request is under way by which a recogniser hears the user.
    #[must_use]
    pub fn is_hearing(&self, request: RequestId) -> bool {
        self.held.iter().any(|hold| hold.request == request && hold.purpose == Purpose::Hearing)
    }

    /// Nobody will say any more what the requests under way have used: each is taken to have used all that it may.
    pub fn settle_rest(&mut self) {
        while let Some(hold) = self.held.last().copied() {
            let spent = Spent { estimated: true, ..Spent::default() };
            self.settle(hold.request, hold.at_most.whole(), &spent);
        }
    }

    /// Rows for everything that is not in one yet, but for what nobody has listened to: rows are never changed, and nobody may ever hear it.
    pub fn take_rows(&mut self) -> Vec<LedgerRow> {
        self.row_repeated();
        self.rowed = self.requests;
        let (counts, unheard) = (self.counts, self.unheard);
        let meters = self.listening.iter_mut().enumerate();
        let rows =
            meters.filter_map(|(at, meter)| meter.take_row_without(if at == counts { unheard } else { 0 }));
        let mut rows: Vec<LedgerRow> = rows.collect();
        rows.append(&mut self.rows);
        rows
    }

    /// The price of the recogniser that listens, or that did last, if it is one that hears all of the call.
    fn stream(&self) -> Option<&ItemPrice> {
        let item = self.listening[self.counts].item();
        self.prices.iter().find(|price| price.billing() == Billing::Stream && price.item() == item)
    }

    fn row_repeated(&mut self) {
        if let Some(price) = self.stream().filter(|_| self.repeated > 0) {
            let key = format!("{}@{}.again{}", price.item(), self.epoch, self.repeated_rows);
            let rows = price.rows(&key, &Quantity::Repeated(self.repeated), false);
            self.rows.extend(rows);
            self.repeated = 0;
            self.repeated_rows += 1;
        }
    }

    /// What a request costs at most.
    #[must_use]
    pub fn worst_case(&self, provider: usize, at_most: &AtMost) -> NanoUsd {
        self.prices.get(provider).map_or(NanoUsd::MAX, |price| price.worst_case(at_most))
    }

    /// What the call has cost so far.
    #[must_use]
    pub fn cost(&self) -> NanoUsd {
        self.listening.iter().fold(self.requests, |sum, meter| sum + meter.cost())
    }

    /// What requests have cost: everything but listening.
    #[must_use]
    pub fn requests_cost(&self) -> NanoUsd {
        self.requests
    }

    /// The part of the cost that is in rows.
    #[must_use]
    pub fn rowed_cost(&self) -> NanoUsd {
        self.listening.iter().fold(self.rowed, |sum, meter| sum + meter.rowed_cost())
    }

    /// What the requests under way may cost: what is exposed should the relay be lost.
    #[must_use]
    pub fn held(&self) -> NanoUsd {
        self.held.iter().fold(NanoUsd::ZERO, |sum, hold| sum + hold.worst_case)
    }

    /// What the call costs at most as things are.
    #[must_use]
    pub fn reach(&self) -> NanoUsd {
        self.reach_with(0)
    }

    /// What the call costs at most if this many samples more are heard: to be asked before they are.
    #[must_use]
    pub fn reach_with(&self, samples: u32) -> NanoUsd {
        let meter = &self.listening[self.counts];
        self.cost().saturating_sub(meter.cost())
            + meter.cost_with(samples)
            + self.surcharge(samples)
            + self.held()
    }

    /// What it costs more at most if another recogniser hears what nobody listens to so far, and so many samples more.
    fn surcharge(&self, samples: u32) -> NanoUsd {
        if self.listener.is_some() || self.listening.len() == 1 {
            return NanoUsd::ZERO;
        }
        let meter = &self.listening[self.counts];
        let (with, without) = (meter.cost_with(samples), meter.cost_without(self.unheard));
        let unheard = self.unheard.saturating_add(samples);
        let others = self.listening.iter().enumerate().filter(|(place, _)| *place != self.counts);
        let more = others.map(|(_, other)| {
            let cost = other.cost_with(unheard).saturating_sub(other.cost());
            (without + cost).saturating_sub(with)
        });
        more.max().unwrap_or_default()
    }

    /// What listening for so long costs, rounded up.
    #[must_use]
    pub fn price_of(&self, audio: Duration) -> NanoUsd {
        self.listening[self.counts].price_of(audio)
    }

    /// Whether something was used that is in no row yet.
    #[must_use]
    pub fn is_unrowed(&self) -> bool {
        self.unrowed_samples() > 0 || self.repeated > 0 || !self.rows.is_empty() || self.late.has_credits()
    }

    /// Samples that are in no row yet and can be.
    #[must_use]
    pub fn unrowed_samples(&self) -> u64 {
        let unrowed: u64 = self.listening.iter().map(Meter::unrowed_samples).sum();
        unrowed.saturating_sub(self.unheard.into())
    }

    /// Samples that are in no row, since nobody has listened to them: the last ones that came.
    #[must_use]
    pub fn unheard(&self) -> u32 {
        self.unheard
    }

    /// Samples that were heard.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.listening.iter().map(Meter::samples).sum::<u64>().saturating_add(self.before)
    }

    /// Tokens that were used.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Characters that were to be spoken.
    #[must_use]
    pub fn characters(&self) -> u64 {
        self.characters
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
