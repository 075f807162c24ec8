//! Turns samples into money, exactly.

use std::time::Duration;

use crate::money::NanoUsd;
use crate::money::ledger::LedgerRow;
use crate::money::price::Price;

/// The unit of audio in ledger rows. A row's price is for `per` samples, so that quantity, price and cost fit together.
pub const SAMPLE: &str = "sample";
/// The unit of audio that was in a request of its own, beside what the call meters as it comes.
pub const UTTERANCE_SAMPLE: &str = "utterance_sample";
/// The unit of audio that a recogniser was given and that the user does not pay for, who pays another one for it or was told that nobody hears
/// them: rows of it have a price and cost the user nothing.
pub const REPEATED_SAMPLE: &str = "repeated_sample";
/// The unit of audio that came while no recogniser was there, and that was given up or stored before one was: nobody is charged for it.
pub const UNHEARD_SAMPLE: &str = "unheard_sample";

/// Counts the audio of one session for one item.
///
/// The cost is that of the running total, rounded up to a nano-dollar; rows carry the differences, so their sum is the cost
/// of the total however often a row was taken.
#[derive(Clone, Debug)]
pub struct Meter {
    price: Price,
    /// Samples that cost `price.amount`.
    per: u64,
    /// What stood in the store when this meter began.
    base: Reading,
    /// Counted so far, `base` included.
    total: Reading,
    /// What is in rows so far.
    rowed: Reading,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    samples: u64,
    cost: NanoUsd,
}

impl Meter {
    /// A meter at zero for audio of `rate` samples a second, with a price for seconds.
    #[must_use]
    pub fn new(price: Price, rate: u32) -> Meter {
        Meter::resume(price, rate, 0, NanoUsd::ZERO)
    }

    /// A meter that goes on where the stored session stands, at today's price.
    #[must_use]
    pub fn resume(price: Price, rate: u32, samples: u64, cost: NanoUsd) -> Meter {
        let per = price.per.saturating_mul(u64::from(rate)).max(1);
        let base = Reading { samples, cost };
        Meter { price, per, base, total: base, rowed: base }
    }

    /// Counts samples.
    pub fn add_samples(&mut self, samples: u32) {
        self.total.samples = self.total.samples.saturating_add(u64::from(samples));
        self.total.cost = self.base.cost + self.cost_of(self.total.samples - self.base.samples);
    }

    /// Counts so many of the last samples no more, as far as they are in no row yet: somebody else has heard them.
    pub fn take_back(&mut self, samples: u32) {
        self.total.samples -= u64::from(samples).min(self.unrowed_samples());
        self.total.cost = self.base.cost + self.cost_of(self.total.samples - self.base.samples);
    }

    /// What is not in a row yet; `None` if nothing is.
    pub fn take_row(&mut self) -> Option<LedgerRow> {
        self.take_row_without(0)
    }

    /// The same, without so many of the last samples, which stay for a later row.
    pub fn take_row_without(&mut self, samples: u32) -> Option<LedgerRow> {
        let samples = self.total.samples - u64::from(samples).min(self.unrowed_samples());
        if samples == self.rowed.samples {
            return None;
        }
        let through = Reading { samples, cost: self.base.cost + self.cost_of(samples - self.base.samples) };
        let row = LedgerRow {
            key: format!("{}@{}", self.price.item, self.rowed.samples),
            provider: self.price.provider().to_owned(),
            item: self.price.item.to_string(),
            quantity: through.samples - self.rowed.samples,
            unit: SAMPLE.to_owned(),
            price: self.price.amount,
            per: self.per,
            price_version: self.price.version.to_string(),
            cost: through.cost.saturating_sub(self.rowed.cost),
            estimated: false,
            turn: None,
            request_id: None,
        };
        self.rowed = through;
        Some(row)
    }

    /// The row of so many samples that are counted no more, since nobody has listened to them: they have no price. Its key is
    /// `<key>/unheard_sample`.
    #[must_use]
    pub fn unheard_row(&self, key: &str, samples: u32) -> LedgerRow {
        LedgerRow {
            key: format!("{key}/{UNHEARD_SAMPLE}"),
            provider: self.price.provider().to_owned(),
            item: self.price.item.to_string(),
            quantity: samples.into(),
            unit: UNHEARD_SAMPLE.to_owned(),
            price: NanoUsd::ZERO,
            per: self.per,
            price_version: self.price.version.to_string(),
            cost: NanoUsd::ZERO,
            estimated: false,
            turn: None,
            request_id: None,
        }
    }

    /// Samples counted so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.total.samples
    }

    /// Samples that are in no row yet.
    #[must_use]
    pub fn unrowed_samples(&self) -> u64 {
        self.total.samples - self.rowed.samples
    }

    /// What is counted, as the price table names it.
    #[must_use]
    pub fn item(&self) -> &str {
        &self.price.item
    }

    /// What they cost.
    #[must_use]
    pub fn cost(&self) -> NanoUsd {
        self.total.cost
    }

    /// What is in rows so far.
    #[must_use]
    pub fn rowed_cost(&self) -> NanoUsd {
        self.rowed.cost
    }

    /// What so much audio costs, rounded up.
    #[must_use]
    pub fn price_of(&self, audio: Duration) -> NanoUsd {
        let samples = audio.as_micros() * u128::from(self.per / self.price.per.max(1)) / 1_000_000;
        self.cost_of(u64::try_from(samples).unwrap_or(u64::MAX))
    }

    /// What the total would cost with so many samples more: to be asked before they are spent.
    #[must_use]
    pub fn cost_with(&self, samples: u32) -> NanoUsd {
        let counted = self.total.samples - self.base.samples;
        self.base.cost + self.cost_of(counted.saturating_add(u64::from(samples)))
    }

    /// What the total would cost without so many of the last samples, as far as they are in no row yet.
    #[must_use]
    pub fn cost_without(&self, samples: u32) -> NanoUsd {
        let left = self.total.samples - u64::from(samples).min(self.unrowed_samples());
        self.base.cost + self.cost_of(left - self.base.samples)
    }

    fn cost_of(&self, samples: u64) -> NanoUsd {
        let nano = (u128::from(samples) * u128::from(self.price.amount.get())).div_ceil(u128::from(self.per));
        NanoUsd::new(u64::try_from(nano).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::price::PriceTable;

    fn listening() -> Price {
        PriceTable::shipped().price("echo/listening").expect("priced").clone()
    }

    #[test]
    fn a_minute_costs_what_the_table_says() {
        let mut meter = Meter::new(listening(), 16_000);
        for _ in 0..600 {
            meter.add_samples(1_600);
        }
        assert_eq!(meter.cost(), NanoUsd::new(4_800_000));
        assert_eq!(meter.samples(), 960_000);
    }

    #[test]
    fn rows_add_up_to_the_cost_of_the_total_however_they_are_cut() {
        let price = Price { amount: NanoUsd::new(7), per: 3, ..listening() };
        let mut meter = Meter::new(price.clone(), 16_000);
        let (mut samples, mut cost) = (0, NanoUsd::ZERO);
        for n in 1..5_000_u32 {
            meter.add_samples(n * 7_919 % 3_201);
            if n % 3 == 0 {
                let row = meter.take_row().expect("something was counted");
                assert_eq!(row.key, format!("echo/listening@{samples}"));
                samples += row.quantity;
                cost += row.cost;
            }
        }
        if let Some(row) = meter.take_row() {
            samples += row.quantity;
            cost += row.cost;
        }
        assert_eq!((samples, cost), (meter.samples(), meter.cost()));
        assert_eq!(cost.get(), (u128::from(samples) * 7).div_ceil(48_000) as u64);
        assert_eq!(meter.take_row(), None);
    }

    #[test]
    fn time_ahead_is_priced_like_the_audio_of_it() {
        let meter = Meter::new(listening(), 16_000);
        assert_eq!(meter.price_of(Duration::from_secs(60)), NanoUsd::new(4_800_000));
        assert_eq!(meter.price_of(Duration::from_millis(1)), NanoUsd::new(80));
    }

    #[test]
    fn one_sample_is_rounded_up_not_given_away() {
        let mut meter = Meter::new(listening(), 16_000);
        assert_eq!(meter.cost_with(1), NanoUsd::new(5));
        meter.add_samples(1);
        assert_eq!(meter.cost(), NanoUsd::new(5));
    }

    #[test]
    fn what_is_taken_back_was_never_counted_unless_it_is_in_a_row() {
        let mut meter = Meter::new(listening(), 16_000);
        meter.add_samples(1_600);
        assert_eq!(meter.take_row().map(|row| row.quantity), Some(1_600));
        meter.add_samples(800);
        assert_eq!(meter.cost_without(300), NanoUsd::new(10_500));
        assert_eq!(meter.cost_without(u32::MAX), NanoUsd::new(8_000));
        meter.take_back(300);
        assert_eq!((meter.samples(), meter.cost()), (2_100, NanoUsd::new(10_500)));
        meter.take_back(u32::MAX);
        assert_eq!((meter.samples(), meter.cost(), meter.take_row()), (1_600, NanoUsd::new(8_000), None));
    }

    #[test]
    fn what_is_left_out_of_a_row_is_in_the_next_one_or_taken_back() {
        let mut meter = Meter::new(listening(), 16_000);
        meter.add_samples(1_600);
        assert_eq!(meter.take_row_without(2_000), None);
        let row = meter.take_row_without(600).expect("a thousand are left");
        assert_eq!((row.quantity, row.cost, meter.unrowed_samples()), (1_000, NanoUsd::new(5_000), 600));
        assert_eq!((meter.cost(), meter.rowed_cost()), (NanoUsd::new(8_000), NanoUsd::new(5_000)));
        meter.take_back(100);
        let row = meter.take_row().expect("500 are left");
        assert_eq!((&*row.key, row.quantity, row.cost), ("echo/listening@1000", 500, NanoUsd::new(2_500)));
    }

    #[test]
    fn a_resumed_meter_goes_on_from_what_is_stored() {
        let mut meter = Meter::resume(listening(), 16_000, 960_000, NanoUsd::new(4_800_000));
        assert_eq!(meter.take_row(), None);
        meter.add_samples(1_600);
        let row = meter.take_row().expect("counted");
        assert_eq!((row.quantity, row.cost), (1_600, NanoUsd::new(8_000)));
        assert_eq!((&*row.key, &*row.provider), ("echo/listening@960000", "echo"));
        assert_eq!(meter.cost(), NanoUsd::new(4_808_000));
    }

    #[test]
    fn absurd_amounts_stop_at_the_largest() {
        let price = Price { amount: NanoUsd::MAX, per: 1, ..listening() };
        let mut meter = Meter::resume(price, 1, u64::MAX - 1, NanoUsd::MAX);
        meter.add_samples(u32::MAX);
        assert_eq!((meter.samples(), meter.cost()), (u64::MAX, NanoUsd::MAX));
    }
}
