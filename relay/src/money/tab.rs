//! What a call consumes, item by item, and what it may yet cost.

use std::fmt;

use super::NanoUsd;
use super::bill::TokenUsage;
use super::ledger::LedgerRow;
use super::meter::Meter;

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
    listening: Meter,
    /// What everything but listening has cost.
    requests: NanoUsd,
    /// That part of `requests` that is in rows which were taken.
    rowed: NanoUsd,
    tokens: u64,
    characters: u64,
    held: Vec<(RequestId, NanoUsd)>,
    /// Rows that were not taken yet, oldest first.
    rows: Vec<LedgerRow>,
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
}

impl Tab {
    /// A tab that goes on where the ledger ends.
    #[must_use]
    pub fn new(listening: Meter, earlier: Earlier) -> Tab {
        Tab {
            listening,
            requests: earlier.cost,
            rowed: earlier.cost,
            tokens: earlier.tokens,
            characters: earlier.characters,
            held: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Audio was heard.
    pub fn add_samples(&mut self, samples: u32) {
        self.listening.add_samples(samples);
    }

    /// Sets the worst case of a request aside. It is the purse's to say beforehand whether that is allowed.
    pub fn hold(&mut self, request: RequestId, worst_case: NanoUsd) {
        self.held.push((request, worst_case));
    }

    /// A request is over, or another part of it is known: these rows are what it cost. Nothing of it is held any more.
    pub fn settle(&mut self, request: RequestId, rows: Vec<LedgerRow>, used: Used) {
        self.release(request);
        self.tokens += used.tokens;
        self.characters += used.characters;
        for row in rows {
            self.requests += row.cost;
            self.rows.push(row);
        }
    }

    /// A request was never made, so it has cost nothing.
    pub fn release(&mut self, request: RequestId) {
        self.held.retain(|(held, _)| *held != request);
    }

    /// Rows for everything that is not in one yet.
    pub fn take_rows(&mut self) -> Vec<LedgerRow> {
        self.rowed = self.requests;
        self.listening.take_row().into_iter().chain(self.rows.drain(..)).collect()
    }

    /// What the call has cost so far.
    #[must_use]
    pub fn cost(&self) -> NanoUsd {
        self.listening.cost() + self.requests
    }

    /// The part of the cost that is in rows.
    #[must_use]
    pub fn rowed_cost(&self) -> NanoUsd {
        self.listening.rowed_cost() + self.rowed
    }

    /// What the requests under way may cost: what is exposed should the relay be lost.
    #[must_use]
    pub fn held(&self) -> NanoUsd {
        self.held.iter().fold(NanoUsd::ZERO, |sum, (_, worst_case)| sum + *worst_case)
    }

    /// What the call costs at most if this many samples more are heard: to be asked before they are.
    #[must_use]
    pub fn reach_with(&self, samples: u32) -> NanoUsd {
        self.listening.cost_with(samples) + self.requests + self.held()
    }

    /// What the call costs at most if another request is made with this worst case.
    #[must_use]
    pub fn reach_with_request(&self, worst_case: NanoUsd) -> NanoUsd {
        self.cost() + self.held() + worst_case
    }

    /// Samples that were heard.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.listening.samples()
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

/// What a request has used, for the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens, of prompt and answer.
    pub tokens: u64,
    /// Characters.
    pub characters: u64,
}

impl From<&TokenUsage> for Used {
    fn from(usage: &TokenUsage) -> Used {
        Used { tokens: usage.prompt_tokens().saturating_add(usage.output_tokens()), characters: 0 }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::bill::ModelPrices;
    use crate::money::price::{PriceTable, TokenKind};

    const ITEM: &str = "acme/mind";

    fn table() -> PriceTable {
        let toml = r#"
            version = "1"
            item = [
                { name = "acme/ear", unit = "second", usd = "0.006", per = 60 },
                { name = "acme/mind", unit = "input_token", usd = "1", per = 1000000 },
                { name = "acme/mind", unit = "output_token", usd = "5", per = 1000000 },
            ]"#;
        PriceTable::parse(toml).expect("a table")
    }

    fn prices() -> ModelPrices {
        ModelPrices::new(&table(), ITEM, &[TokenKind::Input, TokenKind::Output], 0).expect("priced")
    }

    fn tab() -> Tab {
        let price = table().price("acme/ear").expect("priced").clone();
        Tab::new(Meter::new(price, 16_000), Earlier::default())
    }

    fn rows_of(rows: &[LedgerRow]) -> NanoUsd {
        rows.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost)
    }

    #[test]
    fn what_is_held_counts_until_the_request_is_settled_and_then_what_it_cost_does() {
        let (mut tab, prices) = (tab(), prices());
        let worst = prices.worst_case(1_000, 200);
        assert_eq!(tab.reach_with_request(worst), worst);
        tab.hold(RequestId(0), worst);
        assert_eq!((tab.cost(), tab.held()), (NanoUsd::ZERO, worst));
        let usage = TokenUsage { input: 900, output: 10, ..TokenUsage::default() };
        tab.settle(RequestId(0), prices.rows("mind@0.0", &usage, false), Used::from(&usage));
        assert_eq!((tab.cost(), tab.held()), (NanoUsd::new(950_000), NanoUsd::ZERO));
        assert_eq!(tab.tokens(), 910);
        assert_eq!(rows_of(&tab.take_rows()), tab.cost());
    }

    #[test]
    fn requests_under_way_at_once_are_held_apart() {
        let mut tab = tab();
        for n in 1..=3 {
            tab.hold(RequestId(n), NanoUsd::new(u64::from(n) * 100));
        }
        tab.release(RequestId(2));
        tab.release(RequestId(2));
        assert_eq!(tab.held(), NanoUsd::new(400));
    }

    #[test]
    fn a_tab_that_was_taken_over_goes_on_from_the_ledger_and_writes_nothing_twice() {
        let price = table().price("acme/ear").expect("priced").clone();
        let earlier = Earlier { cost: NanoUsd::new(950_000), tokens: 910, characters: 0 };
        let mut tab = Tab::new(Meter::resume(price, 16_000, 16_000, NanoUsd::new(100_000)), earlier);
        assert_eq!((tab.cost(), tab.rowed_cost()), (NanoUsd::new(1_050_000), NanoUsd::new(1_050_000)));
        assert_eq!(tab.take_rows(), []);
        tab.add_samples(1_600);
        assert_eq!(rows_of(&tab.take_rows()), NanoUsd::new(10_000));
    }

    /// However holds, settlements, audio and rows are mixed: the rows add up to the cost, and the cost never passes what was reached before.
    #[test]
    fn nothing_costs_more_than_what_was_asked_for_and_rows_add_up() {
        let prices = prices();
        for seed in 0..500_u64 {
            let (mut tab, mut state, mut rows) = (tab(), seed, NanoUsd::ZERO);
            let mut below = |end: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % end
            };
            let (mut open, mut next) = (Vec::new(), 0);
            for _ in 0..60 {
                match below(4) {
                    0 => {
                        let (prompt, answer) = (below(5_000), below(500));
                        let worst = prices.worst_case(prompt, answer);
                        let reach = tab.reach_with_request(worst);
                        tab.hold(RequestId(next), worst);
                        assert_eq!(tab.cost() + tab.held(), reach);
                        open.push((RequestId(next), prompt, answer));
                        next += 1;
                    }
                    1 if !open.is_empty() => {
                        let (request, prompt, answer) = open.swap_remove(below(open.len() as u64) as usize);
                        let reach = tab.cost() + tab.held();
                        let usage = TokenUsage {
                            input: below(prompt + 1),
                            output: below(answer + 1),
                            ..Default::default()
                        };
                        let key = format!("mind@0.{request}");
                        tab.settle(request, prices.rows(&key, &usage, false), Used::from(&usage));
                        assert!(tab.cost() + tab.held() <= reach);
                    }
                    2 => {
                        let samples = below(3_201) as u32;
                        let reach = tab.reach_with(samples);
                        tab.add_samples(samples);
                        assert_eq!(tab.cost() + tab.held(), reach);
                    }
                    _ => rows += rows_of(&tab.take_rows()),
                }
                assert!(tab.rowed_cost() <= tab.cost());
            }
            rows += rows_of(&tab.take_rows());
            assert_eq!((rows, tab.rowed_cost()), (tab.cost(), tab.cost()), "seed {seed}");
        }
    }
}
